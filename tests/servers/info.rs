//! What servers say of themselves, and what speaks against the settings of an alias, each provoked for real.

use std::cell::RefCell;
use std::os::unix::fs::PermissionsExt;
use std::sync::Barrier;
use std::time::Duration;

use dockline::{Connections, Databases, ErrorKind, Finding, Settings, Severity};
use dockline_tests::servers::{Kind, Server};
use dockline_tests::{Database, log_capture, wait_until};
use log::Level;

use crate::case::{Case, case};
use crate::opened::{Opened, settings};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case!(a_server_says_what_it_is),
        case!(limits_are_those_of_the_session).own_server_with(|builder| builder.setting("max_connections", "12")),
        case!(a_user_has_a_limit_of_its_own).own_server(),
        case!(a_server_that_takes_no_writes).own_server(),
        case!(a_healthy_alias_has_no_findings),
        case!(an_idle_limit_below_the_age),
        case!(an_idle_limit_inside_transactions).only(&[Kind::Postgres]),
        case!(few_connections_left).own_server_with(|builder| builder.setting("max_connections", "12")),
        case!(more_threads_than_connections).own_server_with(|builder| builder.setting("max_connections", "12")),
        case!(values_that_do_not_fit_are_cut).only(Kind::MYSQLS),
        case!(a_character_set_with_gaps),
        case!(a_password_file_for_everybody),
        case!(nobody_is_there),
        case!(the_first_connection_logs_the_warnings_once),
        case!(an_embedded_database_has_no_findings).only(&[Kind::Postgres]),
    ]
}

fn a_server_says_what_it_is(server: &Server) {
    let Opened { db, .. } = &Opened::new(server);
    let info = db.server_info().unwrap();
    assert_eq!(info.product, server.kind().name());
    let version: String = db
        .query_value(if server.kind().is_postgres() { "SHOW server_version" } else { "SELECT version()" }, ())
        .unwrap();
    assert_eq!(info.version, version);
    assert_eq!((info.older_than, info.read_only, info.over_network), (None, Some(false), false));
    assert_eq!(info.encrypted, Some(false));
    assert!(info.connections_in_use >= Some(1) && info.connections_left >= Some(1));
    if server.kind().is_postgres() {
        assert_eq!(info.charset.as_deref(), Some("UTF8"));
        assert_eq!((info.wait_timeout, info.idle_session_timeout, info.strict), (None, None, None));
        assert_eq!(info.idle_limit(), None);
    } else {
        assert_eq!(info.charset.as_deref(), Some("utf8mb4"));
        assert_eq!(info.strict, Some(true));
        assert_eq!(info.idle_limit(), Some(Duration::from_secs(28_800)));
        assert_eq!(info.interactive_timeout, Some(Duration::from_secs(28_800)));
    }
    assert_eq!(db.query_one("SELECT 1", ()).unwrap().len(), 1, "the connection is in step");
}

/// Sets the limit of this session for pauses.
fn idle_limit(kind: Kind, seconds: u64) -> String {
    if kind.is_postgres() {
        format!("SET idle_session_timeout = '{seconds}s'; SET idle_in_transaction_session_timeout = '{seconds}s'")
    } else {
        format!("SET SESSION wait_timeout = {seconds}")
    }
}

fn limits_are_those_of_the_session(server: &Server) {
    let init_sql = idle_limit(server.kind(), 77);
    let Opened { db, .. } = &Opened::with(server, |settings| settings.init_sql(init_sql));
    let info = db.server_info().unwrap();
    assert_eq!(info.idle_limit(), Some(Duration::from_secs(77)));
    assert_eq!(info.max_connections, Some(12));
    let in_use = info.connections_in_use.unwrap();
    // PostgreSQL keeps some for its superusers.
    let kept = if server.kind().is_postgres() { 3 } else { 0 };
    assert_eq!(info.connections_left, Some(12 - kept - in_use));
    if server.kind().is_postgres() {
        assert_eq!(info.idle_in_transaction_session_timeout, Some(Duration::from_secs(77)));
    }
}

fn a_user_has_a_limit_of_its_own(server: &Server) {
    server.admin().execute(if server.kind().is_postgres() {
        "ALTER ROLE app CONNECTION LIMIT 5"
    } else {
        "ALTER USER 'app'@'%' WITH MAX_USER_CONNECTIONS 5"
    });
    let opened: Vec<_> = (0..3).map(|_| Opened::new(server)).collect();
    for opened in &opened {
        opened.db.ensure_connection().unwrap();
    }
    assert_eq!(opened[0].db.server_info().unwrap().connections_left, Some(2));
}

fn a_server_that_takes_no_writes(server: &Server) {
    let mut admin = server.admin();
    if server.kind().is_postgres() {
        admin.execute("ALTER DATABASE app SET default_transaction_read_only = on");
    } else {
        admin.execute("SET GLOBAL read_only = 1");
    }
    let connections = dockline_tests::connections(settings(&server.url()));
    assert_eq!(connections.get("default").unwrap().server_info().unwrap().read_only, Some(true));
}

/// What is found with these settings, on an empty database.
fn found(server: &Server, change: impl FnOnce(Settings) -> Settings) -> Vec<Finding> {
    Opened::with(server, change).connections.check().unwrap()
}

/// The finding of this name, which is there once.
fn the(findings: &[Finding], id: &str) -> Finding {
    let mut of_name = findings.iter().filter(|finding| finding.id == id);
    let finding = of_name.next().unwrap_or_else(|| panic!("no {id} in {findings:?}")).clone();
    assert!(of_name.next().is_none(), "{findings:?}");
    assert_eq!(finding.alias, "default");
    finding
}

fn assert_without(findings: &[Finding], id: &str) {
    assert!(findings.iter().all(|finding| finding.id != id), "{findings:?}");
}

fn a_healthy_alias_has_no_findings(server: &Server) {
    let findings = found(server, |settings| settings);
    assert!(findings.iter().all(|finding| finding.severity < Severity::Warning), "{findings:?}");
}

fn an_idle_limit_below_the_age(server: &Server) {
    let limited = |change: fn(Settings) -> Settings| {
        let init_sql = idle_limit(server.kind(), 60);
        found(server, |settings| change(settings.init_sql(init_sql)))
    };
    let id = "conn_max_age_too_long";
    let finding = the(&limited(|settings| settings), id);
    assert_eq!(finding.severity, Severity::Warning);
    assert!(finding.message.contains("60s") && finding.message.contains("600s"), "{finding}");
    the(&limited(|settings| settings.conn_max_age(None)), id);
    assert_without(&limited(|settings| settings.conn_max_age(Some(Duration::from_secs(30)))), id);
    assert_without(&limited(|settings| settings.conn_max_idle(Some(Duration::from_secs(30)))), id);
}

fn an_idle_limit_inside_transactions(server: &Server) {
    let init_sql = idle_limit(server.kind(), 60);
    let finding = the(&found(server, |settings| settings.init_sql(init_sql)), "idle_in_transaction_limit");
    assert_eq!(finding.severity, Severity::Info);
    assert!(finding.message.contains("60s"), "{finding}");
}

fn few_connections_left(server: &Server) {
    let opened = Opened::new(server);
    let id = "few_connections_left";
    assert_without(&opened.connections.check().unwrap(), id);
    let others = RefCell::new(Vec::new());
    wait_until("no connection is left", || {
        let other = dockline_tests::connections(settings(&opened.database.url()));
        // A session that is about to end still takes a place, and may be counted no more.
        match other.get("default").unwrap().ensure_connection() {
            Ok(()) => others.borrow_mut().push(other),
            Err(error) => assert!(error.is_exhausted(), "{error:?}"),
        }
        // One that was just refused may be counted for a moment, too: asked twice.
        let none_left = || opened.db.server_info().unwrap().connections_left == Some(0);
        none_left() && opened.connections.check().unwrap().iter().any(|finding| finding.id == id) && none_left()
    });
    let finding = the(&opened.connections.check().unwrap(), id);
    assert_eq!(finding.severity, Severity::Warning);
    assert!(finding.message.contains("12") && finding.message.contains("0 are left"), "{finding}");
    drop(others);
}

fn more_threads_than_connections(server: &Server) {
    const THREADS: usize = 13;
    let connections = dockline_tests::connections(settings(&server.url()));
    let id = "more_threads_than_connections";
    assert_without(&connections.check().unwrap(), id);
    let (all_there, looked) = (Barrier::new(THREADS + 1), Barrier::new(THREADS + 1));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let _db = connections.get("default").unwrap();
                all_there.wait();
                looked.wait();
            });
        }
        all_there.wait();
        let findings = connections.check();
        looked.wait();
        let finding = the(&findings.unwrap(), id);
        assert!(finding.message.contains("14 threads") && finding.message.contains("12 connections"), "{finding}");
    });
}

fn values_that_do_not_fit_are_cut(server: &Server) {
    let id = "not_strict";
    let by_option = found(server, |settings| settings.option("sql_mode", "ANSI_QUOTES"));
    assert!(the(&by_option, id).message.contains("STRICT_TRANS_TABLES"));
    the(&found(server, |settings| settings.init_sql("SET sql_mode = ''")), id);
    assert_without(&found(server, |settings| settings.option("sql_mode", "STRICT_ALL_TABLES")), id);
}

fn a_character_set_with_gaps(server: &Server) {
    let database = server.database();
    let name = format!("{}_latin", database.name());
    let mut admin = server.admin();
    if server.kind().is_postgres() {
        admin.execute(&format!("CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0"));
    } else {
        admin.execute(&format!("CREATE DATABASE {name} CHARACTER SET latin1"));
    }
    let connections = dockline_tests::connections(settings(&server.url_for(&name)));
    let finding = the(&connections.check().unwrap(), "charset");
    assert!(finding.message.to_lowercase().contains("latin1"), "{finding}");
    connections.close_all();
    drop(connections);
    admin.execute(&if server.kind().is_postgres() {
        format!("DROP DATABASE {name} WITH (FORCE)")
    } else {
        format!("DROP DATABASE {name}")
    });
}

fn a_password_file_for_everybody(server: &Server) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let url: url::Url = server.url().parse().unwrap();
    let password = percent_encoding::percent_decode_str(url.password().unwrap()).decode_utf8().unwrap();
    std::fs::write(file.path(), password.as_bytes()).unwrap();
    let path = file.path().to_str().unwrap();
    let with_mode = |mode| {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        found(server, |settings| settings.password_file(path))
    };
    let finding = the(&with_mode(0o644), "password_file_readable");
    assert!(finding.message.contains(path) && finding.message.contains("644"), "{finding}");
    assert_without(&with_mode(0o600), "password_file_readable");
}

fn nobody_is_there(server: &Server) {
    let port = dockline_tests::servers::free_port();
    let findings = found(server, |settings| settings.port(Some(port)));
    let finding = the(&findings, "cannot_connect");
    assert_eq!((finding.severity, findings.len()), (Severity::Error, 1));
    assert!(finding.message.contains(&port.to_string()), "{finding}");
    let findings = found(server, |settings| settings.password("wrong"));
    let finding = the(&findings, "cannot_connect");
    assert!(finding.message.contains("28P01") || finding.message.contains("1045"), "{finding}");
}

/// Two registries of one configuration are two aliases; two connections of one are not.
fn the_first_connection_logs_the_warnings_once(server: &Server) {
    log_capture::start();
    let database = server.database();
    let alias = format!("warned-{}", database.name());
    let limited = settings(&database.url()).init_sql(idle_limit(server.kind(), 60)).max_age_jitter(0);
    let of_age = |said: &str| log_capture::lines("dockline::check", &format!("alias {alias:?}: {said}"));
    let databases = Databases::new().with("default", dockline_tests::memory()).with(&alias, limited);
    let connections = Connections::new(databases).unwrap();
    assert_eq!(of_age(""), [], "nothing is asked before there is a connection");
    for _ in 0..2 {
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let (connections, alias) = (connections.clone(), alias.clone());
                std::thread::spawn(move || {
                    let db = connections.get(&alias).unwrap();
                    for _ in 0..2 {
                        db.query("SELECT 1", ()).unwrap();
                        db.close();
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
    let lines = of_age("warning (conn_max_age_too_long)");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0].0, Level::Warn);
    let all = of_age("");
    assert_eq!(all.len(), 1, "what is only good to know is not logged: {all:?}");
}

fn an_embedded_database_has_no_findings(_: &Server) {
    let file = Database::new();
    let connections = file.connections();
    assert_eq!(connections.check().unwrap(), []);
    let error = connections.get("default").unwrap().server_info().map(|info| info.product);
    match error {
        Ok(product) => assert_eq!(product, "SQLite"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::NotSupported),
    }
}
