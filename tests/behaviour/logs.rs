use std::time::Duration;

use dockline::{Connections, Databases, params};
use dockline_tests::{log_capture, memory};
use log::Level;

/// A registry with an alias of the test's own, to find its lines by.
fn with_alias(alias: &str, settings: dockline::Settings) -> Connections {
    log_capture::start();
    Connections::new(Databases::new().with("default", memory()).with(alias, settings)).unwrap()
}

#[test]
fn opening_and_closing_are_logged_at_debug() {
    let connections = with_alias("opening", memory());
    connections.get("opening").unwrap().query("SELECT 1", ()).unwrap();
    connections.close_all();
    let lines = log_capture::lines("dockline::connection", "alias \"opening\"");
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].1.contains("opened connection") && lines[1].1.contains("closed connection"));
    assert!(lines.iter().all(|(level, _)| *level == Level::Debug));
}

#[test]
fn statements_are_logged_without_their_parameters() {
    let connections = with_alias("statements", memory());
    let db = connections.get("statements").unwrap();
    db.query("SELECT ?", params!["hunter2"]).unwrap();
    // SQLite quotes the parameter in its message.
    let error = db.query("SELECT json_extract('{}', ?)", params!["hunter2"]).unwrap_err();
    assert!(error.message().contains("hunter2"));
    let lines = log_capture::lines("dockline::query", "alias \"statements\"");
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].1.ends_with("SELECT ?") && lines[1].1.contains("failed after"));
    assert!(lines.iter().all(|(level, line)| *level == Level::Debug && !line.contains("hunter2")));
}

#[test]
fn slow_statements_are_logged_at_warn() {
    let connections = with_alias("slow", memory().slow_statement(Some(Duration::ZERO)));
    connections.get("slow").unwrap().query("SELECT 1", ()).unwrap();
    let lines = log_capture::lines("dockline::query", "alias \"slow\"");
    assert_eq!(lines.len(), 1);
    assert!(lines[0].0 == Level::Warn && lines[0].1.contains("slow statement"), "{lines:?}");
}

#[test]
fn slow_statements_are_logged_with_parameters_only_if_the_program_asks_for_them() {
    let slow = memory().slow_statement(Some(Duration::ZERO));
    let said = |alias, settings| {
        let connections = with_alias(alias, settings);
        connections.get(alias).unwrap().query("SELECT ?, ?", params!["hunter2", 7]).unwrap();
        log_capture::lines("dockline::query", &format!("alias {alias:?}"))[0].1.clone()
    };
    let without = said("slow_without", slow.clone());
    assert!(without.ends_with("SELECT ?, ?"), "{without}");
    let with = said("slow_with", slow.slow_statement_params(true));
    assert!(with.ends_with(r#"SELECT ?, ? ["hunter2", 7]"#), "{with}");
}

#[test]
fn a_transaction_left_open_is_logged_at_warn() {
    let connections = with_alias("left_open", memory());
    connections.in_request(|| connections.get("left_open")?.execute("BEGIN", ())).unwrap();
    let lines = log_capture::lines("dockline::connection", "alias \"left_open\": a transaction was left open");
    assert_eq!(lines.iter().map(|(level, _)| *level).collect::<Vec<_>>(), [Level::Warn]);
}

#[test]
fn a_task_inside_a_block_is_logged_at_warn_once() {
    let connections = with_alias("around_task", memory());
    let db = connections.get("around_task").unwrap();
    {
        let _test = dockline::testing::TestCase::begin(&connections, &["around_task"]).unwrap();
        connections.task(|| ())();
    }
    let lines =
        || log_capture::lines("dockline::connection", "alias \"around_task\": a task begins inside an atomic block");
    assert_eq!(lines().len(), 0, "that of a test is around everything");
    for _ in 0..2 {
        db.atomic(|| {
            connections.task(|| ())();
            Ok::<_, dockline::Error>(())
        })
        .unwrap();
    }
    assert_eq!(lines().iter().map(|(level, _)| *level).collect::<Vec<_>>(), [Level::Warn]);
}

#[test]
fn a_full_query_log_says_so_and_its_logger_may_use_the_connection() {
    let connections = with_alias("full", memory());
    let db = connections.get("full").unwrap();
    db.force_query_log(true);
    let insert = "INSERT INTO t VALUES (1)";
    db.execute("CREATE TABLE t (a)", ()).unwrap();
    for _ in 0..9_000 {
        db.execute(insert, ()).unwrap();
    }
    let queries = db.queries();
    assert_eq!((queries.len(), queries[0].sql.as_str()), (9_000, insert), "the oldest has gone");
    assert_eq!(log_capture::lines("dockline::query", "the query log is full")[0].0, Level::Warn);
}

#[test]
fn a_transaction_that_goes_with_its_connection_is_logged_at_warn() {
    let connections = with_alias("goes", memory());
    let db = connections.get("goes").unwrap();
    db.set_autocommit(false).unwrap();
    db.query("SELECT 1", ()).unwrap();
    connections.close_old_connections();
    let lines = log_capture::lines("dockline::connection", "alias \"goes\": a transaction is open");
    assert_eq!(lines.iter().map(|(level, _)| *level).collect::<Vec<_>>(), [Level::Warn]);
}

#[test]
fn where_a_configuration_came_from_is_said_without_its_values() {
    log_capture::start();
    let url = "postgres://app:hunter2@db.example/shop";
    dockline::Databases::from_vars([("DATABASE_URL_WHENCE", url), ("HOME", "/nowhere")]).unwrap();
    let lines = log_capture::lines("dockline::connection", "DATABASE_URL_WHENCE");
    assert!(lines.len() == 1 && lines[0].0 == Level::Info, "{lines:?}");
    assert!(!lines[0].1.contains("hunter2") && !lines[0].1.contains("HOME"), "{lines:?}");
}
