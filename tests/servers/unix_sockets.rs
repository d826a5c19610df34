//! Over a Unix socket everything is as over TCP: what is known of a transaction, and which limits hold.

use std::time::Duration;

use dockline::{Settings, params};
use dockline_tests::servers::Server;

use crate::case::{Case, case};
use crate::opened::Opened;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case!(a_savepoint_takes_an_error_back).private(),
        case!(an_error_that_never_left_the_client_ends_nothing).private(),
        case!(a_failed_transaction_is_known).private(),
        case!(read_timeout_holds).own_server(),
        case!(a_rollback_has_a_limit_of_its_own).own_server(),
        case!(a_statement_can_be_cancelled).private(),
    ]
}

fn opened(server: &Server, change: impl FnOnce(Settings) -> Settings) -> Opened<'_> {
    let socket = server.socket().to_str().expect("a path in UTF-8").to_owned();
    let postgres = server.kind().is_postgres();
    let opened = Opened::with(server, |settings| {
        let settings = if postgres { settings.host(socket) } else { settings.option("socket", socket) };
        change(settings)
    });
    opened.db.execute("CREATE TABLE t (n INTEGER PRIMARY KEY)", ()).unwrap();
    opened
}

fn rows(opened: &Opened<'_>) -> i64 {
    opened.database.admin().value("SELECT count(*) FROM t").expect("a number").parse().unwrap()
}

fn a_savepoint_takes_an_error_back(server: &Server) {
    let opened = opened(server, |settings| settings);
    let db = &opened.db;
    db.execute("BEGIN", ()).unwrap();
    db.execute("INSERT INTO t VALUES (1)", ()).unwrap();
    db.execute("SAVEPOINT a", ()).unwrap();
    let error = db.execute("INSERT INTO t VALUES (1)", ()).unwrap_err();
    assert!(error.constraint().is_some() && !error.is_work_lost(), "{error:?}");
    db.execute("ROLLBACK TO SAVEPOINT a", ()).unwrap();
    db.execute("COMMIT", ()).unwrap();
    assert_eq!(rows(&opened), 1);
}

fn an_error_that_never_left_the_client_ends_nothing(server: &Server) {
    let opened = opened(server, |settings| settings);
    let db = &opened.db;
    db.execute("BEGIN", ()).unwrap();
    db.execute("INSERT INTO t VALUES (1)", ()).unwrap();
    let insert = "INSERT INTO t VALUES (?)";
    for refused in [db.execute(insert, params![1, 2]), db.execute(insert, ()), db.execute("", ())] {
        let error = refused.unwrap_err();
        assert!(!error.may_have_executed() && !error.is_disconnect(), "{error:?}");
    }
    db.execute("COMMIT", ()).unwrap();
    assert_eq!(rows(&opened), 1);
}

fn a_failed_transaction_is_known(server: &Server) {
    let opened = opened(server, |settings| settings);
    let db = &opened.db;
    db.execute("BEGIN", ()).unwrap();
    db.execute("INSERT INTO t VALUES (1)", ()).unwrap();
    let _ = db.execute("INSERT INTO t VALUES (1)", ()).unwrap_err();
    let committed = db.execute("COMMIT", ());
    if server.kind().is_postgres() {
        assert!(committed.unwrap_err().is_work_lost());
    } else {
        committed.unwrap();
    }
    assert_eq!(rows(&opened), i64::from(!server.kind().is_postgres()));
}

fn read_timeout_holds(server: &Server) {
    // Long enough for a busy machine.
    let opened = opened(server, |settings| settings.read_timeout(Some(Duration::from_secs(5))));
    assert_eq!(opened.db.query_value::<i64>("SELECT 1", ()).unwrap(), 1);
    server.pause();
    let result = opened.db.query_value::<i64>("SELECT 1", ());
    server.resume();
    let error = result.unwrap_err();
    assert!(error.is_disconnect() && error.may_have_executed(), "{error:?}");
    assert!(error.message().contains("time"), "{error}");
    assert_eq!(opened.db.query_value::<i64>("SELECT 1", ()).unwrap(), 1);
}

fn a_rollback_has_a_limit_of_its_own(server: &Server) {
    let opened = opened(server, |settings| settings);
    opened.db.set_autocommit(false).unwrap();
    opened.db.execute("INSERT INTO t VALUES (1)", ()).unwrap();
    server.pause();
    let result = opened.db.rollback();
    server.resume();
    assert!(result.unwrap_err().is_disconnect());
    opened.db.close();
    assert_eq!(opened.db.query_value::<i64>("SELECT count(*) FROM t", ()).unwrap(), 0);
}

fn a_statement_can_be_cancelled(server: &Server) {
    let opened = opened(server, |settings| settings);
    let sql = if server.kind().is_postgres() {
        "SELECT pg_sleep(60)::text"
    } else {
        // A SLEEP that is alone returns 1 instead of an error.
        "SELECT SLEEP(60) FROM (SELECT 1 UNION SELECT 2) AS two"
    };
    let canceller = opened.db.canceller();
    let cancelling = std::thread::spawn(move || while !canceller.cancel().unwrap() {});
    let result = opened.db.query(sql, ());
    cancelling.join().unwrap();
    match result {
        Err(error) => assert!(error.is_cancelled(), "{error:?}"),
        // It says so by its value.
        Ok(_) => assert!(!server.kind().is_postgres()),
    }
}
