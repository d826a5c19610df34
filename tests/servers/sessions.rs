//! What a new connection is told, in how many statements, and where its password comes from.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use dockline::{Connection, Error, ErrorKind, IsolationLevel, SecretString, Settings, params};
use dockline_tests::log_capture;
use dockline_tests::servers::{Builder, DATABASE, Kind, PASSWORD, Server, USER};

use crate::case::{Case, case};
use crate::opened::{Opened, settings};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case!(a_session_speaks_all_of_unicode),
        case!(autocommit_is_as_it_is_set),
        case!(each_isolation_level),
        case!(time_zones),
        case!(the_server_lists_the_name).own_server_with(with_attributes),
        case!(init_sql_runs_on_every_connection),
        case!(init_sql_that_fails_is_not_shown),
        case!(set_up_is_few_statements).own_server_with(with_log),
        case!(a_provider_is_asked_at_every_connect).own_server(),
        case!(a_provider_that_fails),
        case!(a_password_file).private(),
        case!(files_of_the_home_folder).private(),
        case!(an_option_file_of_mysql).only(Kind::MYSQLS).private(),
        case!(passwords_are_not_shown),
        case!(values_are_not_logged),
    ]
}

/// MySQL keeps what clients say of themselves in a part that the tests switch off, because it takes room.
fn with_attributes(builder: Builder) -> Builder {
    if builder.kind().is_postgres() { builder } else { builder.setting("performance-schema", "ON") }
}

fn with_log(builder: Builder) -> Builder {
    if builder.kind().is_postgres() {
        builder.setting("log_statement", "all").setting("log_line_prefix", "%p ")
    } else {
        builder
    }
}

fn a_session_speaks_all_of_unicode(server: &Server) {
    let Opened { db, .. } = &Opened::new(server);
    db.execute("CREATE TABLE t (a VARCHAR(20))", ()).unwrap();
    db.execute("INSERT INTO t VALUES (?), ('🦀 literal')", params!["🦀 parameter"]).unwrap();
    let words: Vec<(String,)> = db.query_as("SELECT a FROM t ORDER BY a", ()).unwrap();
    assert_eq!(words, [("🦀 literal".to_owned(),), ("🦀 parameter".to_owned(),)]);
    if !server.kind().is_postgres() {
        let sql = "SELECT @@character_set_client, @@character_set_connection, @@character_set_results";
        let (client, connection, results): (String, String, String) = db.query_one(sql, ()).unwrap().decode().unwrap();
        assert!([client, connection, results].iter().all(|charset| charset == "utf8mb4"));
    }
}

fn autocommit_is_as_it_is_set(server: &Server) {
    let on = Opened::new(server);
    on.db.execute("CREATE TABLE t (a INTEGER)", ()).unwrap();
    assert!(on.db.autocommit().unwrap());
    let off = dockline_tests::connections(settings(&on.database.url()).autocommit(false));
    let off = off.get("default").unwrap();
    assert!(!off.autocommit().unwrap());
    let seen = || on.db.query_value::<i64>("SELECT count(*) FROM t", ()).unwrap();
    off.execute("INSERT INTO t VALUES (1)", ()).unwrap();
    assert_eq!(seen(), 0, "it is in a transaction");
    off.rollback().unwrap();
    off.execute("INSERT INTO t VALUES (2)", ()).unwrap();
    off.commit().unwrap();
    assert_eq!(seen(), 1);
}

/// In the words of the setting.
fn isolation(db: &Connection, kind: Kind) -> String {
    let sql = match kind {
        Kind::Postgres => "SHOW transaction_isolation",
        Kind::MariaDb => "SELECT @@session.tx_isolation",
        Kind::Mysql => "SELECT @@session.transaction_isolation",
    };
    db.query_value::<String>(sql, ()).unwrap().to_lowercase().replace('-', " ")
}

fn each_isolation_level(server: &Server) {
    assert_eq!(isolation(&Opened::new(server).db, server.kind()), "read committed");
    for level in [
        IsolationLevel::ReadUncommitted,
        IsolationLevel::ReadCommitted,
        IsolationLevel::RepeatableRead,
        IsolationLevel::Serializable,
    ] {
        let Opened { db, .. } = &Opened::with(server, |settings| settings.isolation_level(Some(level)));
        assert_eq!(isolation(db, server.kind()), level.to_string());
        // Every transaction has it, and every connection.
        db.set_autocommit(false).unwrap();
        assert_eq!(isolation(db, server.kind()), level.to_string());
        db.commit().unwrap();
        db.set_autocommit(true).unwrap();
        db.close();
        assert_eq!(isolation(db, server.kind()), level.to_string());
    }
}

fn time_zones(server: &Server) {
    let postgres = server.kind().is_postgres();
    let shown = |zone: &str| {
        let Opened { db, .. } = &Opened::with(server, |settings| settings.time_zone(zone));
        let sql = if postgres {
            "SELECT (timestamptz '2000-01-01 00:00:00+00')::timestamp::text"
        } else {
            "SELECT CAST(from_unixtime(946684800) AS CHAR(19))"
        };
        db.query_value::<String>(sql, ()).unwrap()
    };
    assert_eq!(shown("+00:00"), "2000-01-01 00:00:00");
    // East of Greenwich, for every server.
    assert_eq!(shown("+05:30"), "2000-01-01 05:30:00");
    assert_eq!(shown("-03:00"), "1999-12-31 21:00:00");
    if postgres {
        assert_eq!(shown("Asia/Kolkata"), "2000-01-01 05:30:00");
    }
    let Opened { db, .. } = &Opened::with(server, |settings| settings.time_zone("Nowhere/Town"));
    let error = db.ensure_connection().unwrap_err();
    assert!(error.to_string().contains("Nowhere/Town") && !error.is_disconnect(), "{error:?}");
}

fn the_server_lists_the_name(server: &Server) {
    let listed = |db: &Connection| -> String {
        let sql = if server.kind().is_postgres() {
            "SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()"
        } else {
            "SELECT attr_value FROM performance_schema.session_connect_attrs \
             WHERE processlist_id = connection_id() AND attr_name = 'program_name'"
        };
        db.query_value(sql, ()).unwrap()
    };
    let name = listed(&Opened::new(server).db);
    assert!(name.ends_with(":default") && name.len() > ":default".len(), "{name}");
    assert_eq!(listed(&Opened::with(server, |settings| settings.application_name("billing")).db), "billing");
}

/// Sets two things, and asks for both.
fn init_sql(kind: Kind) -> (&'static str, &'static str) {
    if kind.is_postgres() {
        ("SET work_mem = '5MB'; CREATE TEMPORARY TABLE mine AS SELECT 7 AS a;", "SELECT a FROM mine")
    } else {
        ("SET @first = 3; SET @second = @first + 4;", "SELECT @second")
    }
}

fn init_sql_runs_on_every_connection(server: &Server) {
    let (sql, question) = init_sql(server.kind());
    let Opened { db, .. } = &Opened::with(server, |settings| settings.init_sql(sql));
    for _ in 0..2 {
        assert_eq!(db.query_value::<i64>(question, ()).unwrap(), 7);
        db.close();
    }
}

fn init_sql_that_fails_is_not_shown(server: &Server) {
    log_capture::start();
    for sql in ["SELEC 'hunter2'", "SELECT 1; SELEC 'hunter2'", "SELECT 1; SELECT * FROM hunter2"] {
        let Opened { db, .. } = &Opened::with(server, |settings| settings.init_sql(sql));
        let error = db.query("SELECT 1", ()).expect_err(sql);
        assert!(error.message().contains("init_sql") && error.code().is_some(), "{error:?}");
        assert_eq!(error.kind(), ErrorKind::Programming);
        assert!(!format!("{error:?} {error}").contains("hunter2"), "{error:?}");
        assert!(!db.is_connected());
    }
    nothing_logged("hunter2");
}

fn nothing_logged(secret: &str) {
    for target in ["dockline", "dockline::connection", "dockline::query", "dockline::check"] {
        assert_eq!(log_capture::lines(target, secret), []);
    }
}

/// What a session has been told when the first statement comes.
fn set_up_is_few_statements(server: &Server) {
    let told = |change: fn(Settings) -> Settings| {
        let Opened { db, .. } = &Opened::with(server, change);
        // The first connection of an alias may be asked for more, to warn of it.
        db.ensure_connection().unwrap();
        db.close();
        if server.kind().is_postgres() {
            db.ensure_connection().unwrap();
            let process = db.server_connection_id().unwrap();
            db.query("SELECT 'the first'", ()).unwrap();
            let head = format!("{process} LOG:  ");
            let of_ours = |line: &&str| line.starts_with(&head) && !line.contains("the first");
            dockline_tests::wait_until("the statement is logged", || server.log().contains(&format!("{head}execute")));
            let log = server.log();
            let lines: Vec<&str> = log.lines().filter(of_ours).collect();
            u64::try_from(lines.len()).unwrap()
        } else {
            let (_, questions): (String, String) =
                db.query_one("SHOW SESSION STATUS LIKE 'Questions'", ()).unwrap().decode().unwrap();
            // It counts itself.
            questions.parse::<u64>().unwrap() - 1
        }
    };
    // PostgreSQL has nothing to be told. MySQL has two: a SET of all that is set, and what it is.
    let bare = told(|settings| settings);
    let full = |settings: Settings| {
        settings
            .isolation_level(Some(IsolationLevel::Serializable))
            .time_zone("+00:00")
            .statement_timeout(Some(std::time::Duration::from_secs(60)))
            .application_name("billing")
            .autocommit(true)
    };
    let with_all = told(full);
    let with_init = told(|settings| settings.init_sql("SELECT 1; SELECT 2"));
    if server.kind().is_postgres() {
        // Each is one text in one round trip.
        assert_eq!((bare, with_all, with_init), (0, 1, 1));
    } else {
        assert_eq!((bare, with_all, with_init), (2, 2, 4));
    }
}

fn change_password(server: &Server, to: &str) {
    let sql = if server.kind().is_postgres() {
        format!("ALTER ROLE {USER} PASSWORD '{to}'")
    } else {
        format!("ALTER USER '{USER}'@'%' IDENTIFIED BY '{to}'")
    };
    server.admin().execute(&sql);
}

fn a_provider_is_asked_at_every_connect(server: &Server) {
    let asked = Arc::new(AtomicU32::new(0));
    let token = Arc::new(Mutex::new(String::from("first token")));
    change_password(server, "first token");
    let provider = {
        let (asked, token) = (Arc::clone(&asked), Arc::clone(&token));
        move || {
            asked.fetch_add(1, Ordering::Relaxed);
            Ok(SecretString::from(token.lock().unwrap().as_str()))
        }
    };
    let connections = dockline_tests::connections(settings(&server.url()).password_provider(provider));
    let db = connections.get("default").unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), 0, "it is not asked before it is needed");
    db.query("SELECT 1", ()).unwrap();
    db.query("SELECT 1", ()).unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), 1);

    change_password(server, "second token");
    db.query("SELECT 1", ()).unwrap();
    db.close();
    let error = db.query("SELECT 1", ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Operational);
    assert!(matches!(error.code().as_deref(), Some("28P01" | "1045")), "{error:?}");
    assert!(!format!("{error:?}").contains("token"), "{error:?}");
    *token.lock().unwrap() = "second token".to_owned();
    db.query("SELECT 1", ()).unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), 3);

    // A connection that was killed is replaced with a new token as well.
    server.admin().kill_and_wait(db.server_connection_id().unwrap());
    db.query("SELECT 1", ()).unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), 4);
}

fn a_provider_that_fails(server: &Server) {
    let fails = settings(&server.url()).password_provider(|| Err("the vault is sealed".into()));
    let connections = dockline_tests::connections(fails);
    let error = connections.get("default").unwrap().query("SELECT 1", ()).unwrap_err();
    assert_eq!((error.kind(), error.alias()), (ErrorKind::Operational, Some("default")));
    assert!(error.message().contains("password provider failed"), "{error}");
    let source = std::error::Error::source(&error).expect("why").to_string();
    assert_eq!(source, "the vault is sealed");
    assert!(!error.may_have_executed() && !error.is_exhausted());
}

fn write(path: &Path, text: &str, mode: u32) {
    std::fs::write(path, text).unwrap();
    write_mode(path, mode);
}

fn write_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// A URL without a password, and where asked for without a user.
fn url_without(server: &Server, user: bool) -> String {
    let user = if user { format!("{USER}@") } else { String::new() };
    format!("{}://{user}127.0.0.1:{}/{DATABASE}", server.kind().scheme(), server.port())
}

fn a_password_file(server: &Server) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    let path = file.to_str().unwrap();
    let connections = dockline_tests::connections(settings(&url_without(server, true)).password_file(path));
    let db = connections.get("default").unwrap();
    let error = db.query("SELECT 1", ()).unwrap_err();
    assert!(error.kind() == ErrorKind::Operational && error.message().contains(path), "{error:?}");
    write(&file, "wrong", 0o600);
    let error = db.query("SELECT 1", ()).unwrap_err();
    assert!(matches!(error.code().as_deref(), Some("28P01" | "1045")), "{error:?}");
    write(&file, &format!("{PASSWORD}\n"), 0o600);
    db.query("SELECT 1", ()).unwrap();
}

/// The variable that makes this program connect to a URL and say how that went.
const CONNECT: &str = "DOCKLINE_TEST_CONNECT";

/// The environment of a process is its own: what depends on it runs in another.
pub(crate) fn child() -> Option<ExitCode> {
    let url = std::env::var(CONNECT).ok()?;
    let connections = dockline_tests::connections(settings(&url));
    let asked = connections.get("default").and_then(|db| db.query_value::<i64>("SELECT 1", ()));
    if let Err(error) = &asked {
        eprintln!("{error:?}");
    }
    Some(if asked.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether a process with that home folder gets in.
fn gets_in(url: &str, home: &Path, passfile: Option<&Path>) -> Result<(), String> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env(CONNECT, url).env("HOME", home).env_remove("PGPASSFILE").env_remove("PGPASSWORD").env_remove("USER");
    command.envs(passfile.map(|path| ("PGPASSFILE", path)));
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!said.contains("s3cret") && !said.contains("panicked"), "{said}");
    if output.status.success() { Ok(()) } else { Err(said) }
}

fn files_of_the_home_folder(server: &Server) {
    let home = tempfile::tempdir().unwrap();
    let (home, postgres) = (home.path(), server.kind().is_postgres());
    let url = url_without(server, true);
    gets_in(&url, home, None).unwrap_err();
    if postgres {
        let line = format!("127.0.0.1:{}:*:{USER}:{}\n", server.port(), PASSWORD.replace(':', "\\:"));
        let file = home.join(".pgpass");
        write(&file, &line, 0o600);
        gets_in(&url, home, None).unwrap();
        write(&file, &line, 0o644);
        gets_in(&url, home, None).unwrap_err();
        // One line that is not UTF-8 hides no other.
        std::fs::write(&file, [b"# \xe9t\xe9\n", line.as_bytes()].concat()).unwrap();
        write_mode(&file, 0o600);
        gets_in(&url, home, None).unwrap();
        let other = home.join("other");
        write(&other, &format!("# a comment\n*:1:*:*:no\n{line}"), 0o600);
        gets_in(&url, home, Some(&other)).unwrap();
        write(&file, &line, 0o600);
        gets_in(&url, home, Some(&home.join("missing"))).unwrap_err();
    } else {
        let file = home.join(".my.cnf");
        write(&file, &format!("[mysqld]\nuser=nobody\n[client]\npassword=\"{PASSWORD}\"\n"), 0o600);
        gets_in(&url, home, None).unwrap();
        write(&file, &format!("[client]\nuser = {USER}\npassword = {PASSWORD}\n"), 0o600);
        gets_in(&url_without(server, false), home, None).unwrap();
        gets_in(&url_without(server, true).replace("app@", "other@"), home, None).unwrap_err();
        // What others can read does not count, as with .pgpass; nor does what cannot be read as text.
        write_mode(&file, 0o644);
        gets_in(&url_without(server, false), home, None).unwrap_err();
        std::fs::write(&file, [b"# \xe9t\xe9\n", format!("[client]\npassword={PASSWORD}\n").as_bytes()].concat())
            .unwrap();
        write_mode(&file, 0o600);
        gets_in(&url, home, None).unwrap();
    }
    // The settings go before every file.
    gets_in(&url.replace("app@", "app:wrong@"), home, None).unwrap_err();
    gets_in(&server.url(), home, None).unwrap();
}

fn an_option_file_of_mysql(server: &Server) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("options.cnf");
    let path = file.to_str().unwrap();
    let connect = |group: Option<&str>| -> Result<i64, Error> {
        let scheme = server.kind().scheme();
        let mut from_file = settings(&format!("{scheme}:///{DATABASE}")).option("read_default_file", path);
        if let Some(group) = group {
            from_file = from_file.option("read_default_group", group);
        }
        dockline_tests::connections(from_file).get("default")?.query_value("SELECT 1", ())
    };
    let error = connect(None).unwrap_err();
    assert!(error.message().contains("read_default_file") && error.message().contains(path), "{error:?}");
    let port = server.port();
    write(
        &file,
        &format!("[client]\nuser={USER}\npassword={PASSWORD}\nhost=127.0.0.1\nport={port}\n[bad]\npassword=wrong\n"),
        0o600,
    );
    assert_eq!(connect(None).unwrap(), 1);
    let error = connect(Some("bad")).unwrap_err();
    assert_eq!(error.code().as_deref(), Some("1045"), "{error:?}");
    let socket = server.socket();
    write(&file, &format!("[client]\nuser={USER}\npassword={PASSWORD}\nsocket={}\n", socket.display()), 0o600);
    assert_eq!(connect(None).unwrap(), 1);
    // A host goes before a socket, as with the vendor's programs, unless it is this machine by that name.
    let with_host = |host: &str| {
        let socket = socket.display();
        format!("[client]\nuser={USER}\npassword={PASSWORD}\nhost={host}\nport={port}\nsocket={socket}\n")
    };
    write(&file, &with_host("name.invalid"), 0o600);
    assert!(connect(None).unwrap_err().message().contains("name.invalid"));
    write(&file, &with_host("localhost").replace(&format!("port={port}"), "port=1"), 0o600);
    assert_eq!(connect(None).unwrap(), 1);
    // What others can read, and what is no text, is said.
    write_mode(&file, 0o640);
    let error = connect(None).unwrap_err();
    assert!(error.message().contains("chmod 600") && error.message().contains(path), "{error:?}");
    std::fs::write(&file, b"[client]\nuser=app\npassword=s3cret\xe9\n").unwrap();
    write_mode(&file, 0o600);
    let error = connect(None).unwrap_err();
    assert!(error.message().contains("UTF-8") && !error.message().contains("s3cret"), "{error:?}");
}

/// The server's text quotes the value, for the caller; a log is read by others.
fn values_are_not_logged(server: &Server) {
    log_capture::start();
    let card = "4111-1111-2222-3333";
    let alias = format!("hooks_{}", server.kind().scheme());
    let database = server.database();
    let databases = dockline::Databases::new().with("default", dockline_tests::memory());
    let databases = databases.with(alias.as_str(), settings(&database.url()));
    let connections = dockline::Connections::new(databases).unwrap();
    let db = connections.get(&alias).unwrap();
    db.execute("CREATE TABLE t (card VARCHAR(40) PRIMARY KEY)", ()).unwrap();
    db.execute("INSERT INTO t VALUES (?)", params![card]).unwrap();
    let failing = |robust: bool| {
        let (db, handle) = (db.clone(), db.clone());
        db.atomic(|| {
            let hook = move || handle.execute("INSERT INTO t VALUES (?)", params![card]);
            if robust { db.on_commit_robust(hook) } else { db.on_commit(hook) }
        })
    };
    let error = failing(false).unwrap_err();
    assert!(error.is_after_commit() && format!("{error:?}").contains(card), "{error:?}");
    failing(true).unwrap();
    if server.kind().is_postgres() {
        db.execute("DO $$ BEGIN RAISE WARNING 'card %', (SELECT max(card) FROM t); END $$", ()).unwrap();
        assert!(!log_capture::lines("dockline::connection", "a notice: WARNING (01000)").is_empty());
    }
    let code = if server.kind().is_postgres() { "23505" } else { "1062" };
    let warned = log_capture::lines("dockline::connection", &alias);
    assert_eq!(warned.iter().filter(|(_, line)| line.contains(code)).count(), 2, "{warned:?}");
    nothing_logged(card);
}

fn passwords_are_not_shown(server: &Server) {
    log_capture::start();
    let wrong = settings(&server.url()).password("hunter2-wrong");
    let shown = format!("{wrong:?}");
    let connections = dockline_tests::connections(wrong);
    let error = connections.get("default").unwrap().query("SELECT 1", ()).unwrap_err();
    let mut said = format!("{shown} {error} {error:?} {connections:?}");
    let mut source = std::error::Error::source(&error);
    while let Some(error) = source {
        said += &format!(" {error} {error:?}");
        source = error.source();
    }
    for finding in connections.check().unwrap() {
        said += &format!(" {finding} {finding:?}");
    }
    assert!(!said.contains("hunter2"), "{said}");
    assert!(matches!(error.code().as_deref(), Some("28P01" | "1045")), "{error:?}");
    nothing_logged("hunter2-wrong");
    let right = dockline_tests::connections(settings(&server.url()));
    right.get("default").unwrap().query("SELECT 1", ()).unwrap();
    nothing_logged("s3cret");
}
