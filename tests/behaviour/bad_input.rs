//! Each wrong input is one clear error of the right kind, with nothing in it that is secret.

use std::time::Duration;

use dockline::{Connections, Databases, Error, ErrorKind, Settings, Value, params};
use dockline_tests::{Database, connections, in_memory, memory};

/// What a configuration of one alias default answers.
fn refused(settings: Settings) -> Error {
    Connections::new(Databases::new().with("default", settings)).expect_err("an error")
}

fn assert_config(error: &Error, words: &[&str]) {
    assert_eq!(error.kind(), ErrorKind::ImproperlyConfigured, "{error}");
    assert!(error.is_config());
    for word in words {
        assert!(error.to_string().contains(word), "{error} lacks {word:?}");
    }
}

#[test]
fn an_unknown_alias_names_those_that_exist() {
    let error = in_memory().get("replica").unwrap_err();
    assert_eq!((error.kind(), error.alias()), (ErrorKind::ConnectionDoesNotExist, Some("replica")));
    assert!(error.to_string().contains("configured are: default"), "{error}");
    let connections = in_memory();
    for error in [connections.replace("replica", memory()).unwrap_err(), connections.remove("replica").unwrap_err()] {
        assert_eq!((error.kind(), error.alias()), (ErrorKind::ConnectionDoesNotExist, Some("replica")));
    }
}

#[test]
fn an_alias_that_exists_is_not_added() {
    let error = in_memory().add("default", memory()).unwrap_err();
    assert_config(&error, &["default", "replace"]);
}

#[test]
fn a_replacement_that_is_wrong_changes_nothing() {
    let connections = in_memory();
    let error = connections.replace("default", Settings::new().engine("sqlite")).unwrap_err();
    assert_config(&error, &["default", "setting name"]);
    connections.get("default").unwrap().query("SELECT 1", ()).unwrap();
}

#[test]
fn an_unknown_scheme_suggests_the_nearest() {
    assert_config(&refused(Settings::from_url("sqlit:app.db").unwrap()), &["default", "did you mean \"sqlite\""]);
    assert_config(&refused(Settings::from_url("oracle://u:hunter2@h/d").unwrap()), &["\"oracle\"", "sqlite"]);
}

#[test]
fn a_url_that_lacks_its_slashes_or_colons_is_refused_with_what_was_meant() {
    for url in ["postgres:localhost/x", "postgresql:localhost/x"] {
        assert_config(&refused(Settings::from_url(url).unwrap()), &["setting name", "is // missing"]);
    }
    assert_config(&refused(Settings::from_url("mysql:localhost/x").unwrap()), &["setting name", "is // missing"]);
    let schemes = ["postgresql+psycopg2://u:secret@h/d", "jdbc:postgresql://h/d"];
    for (url, meant) in schemes.into_iter().zip(["write postgresql:", "leave jdbc: out"]) {
        assert_config(&refused(Settings::from_url(url).unwrap()), &["scheme", meant]);
    }
    for quoted in ["\"postgres://u:secret@h/d\"", " postgres://u:secret@h/d", "'sqlite:x'"] {
        assert_config(&Settings::from_url(quoted).unwrap_err(), &["a space or a quotation mark"]);
    }
    for memory in ["sqlite://:memory:", "sqlite:///:memory:", "sqlite:///:memory:?options.foreign_keys=false"] {
        let settings = Settings::from_url(memory).unwrap();
        assert_eq!(settings.get_name(), Some(":memory:"), "{memory}");
    }
    assert_config(&refused(Settings::from_url("sqlite::memory").unwrap()), &["setting name", "sqlite::memory:"]);
}

#[test]
fn a_variable_of_the_environment_that_is_meant_for_another_library_stops_nothing() {
    let variables = [("DATABASE_URL", "sqlite::memory:"), ("DATABASE_URL_CACHE", "sqlish://cache")];
    let connections = Connections::new(Databases::from_vars(variables).unwrap()).unwrap();
    assert_eq!(connections.aliases().unwrap(), ["default"]);
    let error = Connections::new(Databases::from_vars([("DATABASE_URL", "sqlish://cache")]).unwrap()).unwrap_err();
    assert_config(&error, &["default", "sqlish"]);
}

#[test]
fn a_missing_default_alias_is_named_with_what_there_is() {
    let error = Connections::new(Databases::new().with("other", memory())).unwrap_err();
    assert_config(&error, &["\"default\" is missing", "other"]);
    let lazy = Connections::lazy(|| Ok(Databases::new().with("other", memory())));
    for error in [lazy.get("other").unwrap_err(), lazy.get("default").unwrap_err(), lazy.aliases().unwrap_err()] {
        assert_config(&error, &["\"default\" is missing"]);
    }
}

#[test]
fn settings_of_servers_are_refused_for_sqlite() {
    assert_config(&refused(Settings::from_url("sqlite://app.db").unwrap()), &["sqlite:app.db"]);
    assert_config(&refused(memory().user("me")), &["user", "sqlite:path"]);
    assert_config(&refused(Settings::from_url("sqlite:").unwrap()), &["setting name", "sqlite:path"]);
    assert_config(&refused(Settings::new().name("app.db")), &["setting engine", "missing"]);
}

#[test]
fn unknown_options_suggest_the_nearest() {
    assert_config(&refused(memory().option("busy_timout", "1s")), &["did you mean \"busy_timeout\""]);
    assert_config(&refused(memory().option("busy_timeout", "1")), &["options.busy_timeout", "\"1s\""]);
    assert_config(&refused(memory().option("journal_mode", "wall")), &["options.journal_mode", "wal, delete"]);
    assert_config(&refused(memory().option("foreign_keys", "yes")), &["options.foreign_keys", "true or false"]);
}

#[test]
fn impossible_values_are_refused_when_they_are_read() {
    assert_config(
        &refused(memory().statement_timeout(Some(Duration::ZERO))),
        &["default", "statement_timeout", "zero"],
    );
    for (url, words) in [
        ("sqlite:a?conn_max_age=soon", ["conn_max_age", "600s"]),
        ("sqlite:a?conn_max_age=600", ["conn_max_age", "600s"]),
        ("sqlite:a?statement_cache=many", ["statement_cache", "100"]),
        ("sqlite:a?autocommit=1", ["autocommit", "true or false"]),
        ("sqlite:a?max_age_jitter=200%25", ["max_age_jitter", "100%"]),
        ("sqlite:a?liveness=on", ["liveness", "probe, off"]),
        ("sqlite:a?conn_max_idle=0", ["conn_max_idle", "zero"]),
        ("sqlite:a?conn_maxage=1s", ["conn_maxage", "conn_max_age"]),
    ] {
        assert_config(&Settings::from_url(url).unwrap_err(), &words);
    }
}

#[test]
fn a_toml_file_that_is_missing_or_broken_is_named() {
    let database = Database::new();
    let file = database.path();
    let shown = file.to_str().unwrap();
    assert_config(&Databases::from_toml_file(&file).unwrap_err(), &[shown, "cannot be read"]);
    std::fs::write(&file, "[default]\nurl = \"sqlite::memory:\"\npassword = \"hunter2").unwrap();
    let error = Databases::from_toml_file(&file).unwrap_err();
    assert_config(&error, &[shown, "line 3"]);
    assert!(!format!("{error:?}").contains("hunter2"));
    std::fs::write(&file, "[default]\nurl = \"sqlite::memory:\"\nconn_max_age = \"soon\"\n").unwrap();
    assert_config(
        &Databases::from_toml_file(&file).unwrap_err(),
        &["alias \"default\"", shown, "line 3", "conn_max_age"],
    );
}

#[test]
fn a_wrong_number_of_parameters_is_programming() {
    let connections = in_memory();
    let db = connections.get("default").unwrap();
    for error in [
        db.query("SELECT ?, ?", params![1]).unwrap_err(),
        db.query("SELECT ?", params![1, 2]).unwrap_err(),
        db.query("SELECT ?", ()).unwrap_err(),
        db.query("SELECT 1 -- ?", params![1]).unwrap_err(),
        db.query("SELECT 1 /* ? */", params![1]).unwrap_err(),
        db.query("SELECT '?'", params![1]).unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.alias()), (ErrorKind::Programming, Some("default")), "{error}");
        assert!(error.message().contains("placeholder") && !error.may_have_executed(), "{error}");
    }
}

#[test]
fn sqlites_own_placeholders_are_refused() {
    let connections = in_memory();
    let db = connections.get("default").unwrap();
    for (sql, params) in
        [("SELECT :name", vec![]), ("SELECT ?2", vec![Value::Int(1)]), ("SELECT ?, ?1", vec![Value::Int(1); 2])]
    {
        let error = db.query(sql, params).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Programming, "{sql}: {error}");
    }
}

#[test]
fn two_statements_in_one_text_are_programming_and_neither_runs() {
    let connections = in_memory();
    let db = connections.get("default").unwrap();
    let error = db.execute("CREATE TABLE a (x); CREATE TABLE b (x)", ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Programming);
    assert!(error.message().contains("more than one statement"), "{error}");
    assert!(db.query("SELECT * FROM a", ()).is_err());
    db.execute("CREATE TABLE a (x); -- and a comment", ()).unwrap();
}

#[test]
fn a_text_without_a_statement_is_one_clear_error() {
    let connections = in_memory();
    let db = connections.get("default").unwrap();
    for sql in ["", "  ", "-- nothing", ";"] {
        for error in [db.execute(sql, ()).unwrap_err(), db.query(sql, ()).unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::Programming, "{sql:?}: {error}");
        }
    }
    assert_eq!(db.execute("SELECT 1\0", ()).unwrap_err().kind(), ErrorKind::Programming);
}

#[test]
fn a_key_in_init_sql_is_in_no_error() {
    for sql in ["PRAGMA key = 'hunter2' SELEC", "PRAGMA key = 'hunter2", "PRAGMA hexkey = a hunter2", "SELECT hunter2"]
    {
        let connections = connections(memory().init_sql(sql));
        let error = connections.get("default").unwrap().query("SELECT 1", ()).unwrap_err();
        assert!(error.message().starts_with("init_sql: "), "{error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}

#[test]
fn names_that_sqlite_would_take_for_something_else_are_refused() {
    for name in ["", "file:app.db?mode=memory"] {
        assert_config(&refused(Settings::new().engine("sqlite").name(name)), &["setting name"]);
    }
}

#[test]
fn an_alias_that_is_nearly_one_suggests_it() {
    let databases = Databases::new().with("default", memory()).with("replica", memory());
    let connections = Connections::new(databases).unwrap();
    let error = connections.get("repilca").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionDoesNotExist);
    assert!(error.message().contains("did you mean \"replica\"?"), "{error}");
    assert!(!connections.get("warehouse").unwrap_err().message().contains("did you mean"));
}

#[test]
fn a_wrong_text_is_shown_with_its_place() {
    let connections = dockline_tests::in_memory();
    let db = connections.get("default").unwrap();
    let error = db.query("SELECT 'ä',\n  nam\nFROM sqlite_master WHERE 1 = ?", (1,)).unwrap_err();
    assert!(error.to_string().contains("\nLINE 2:   nam\n          ^"), "{error}");
    assert_eq!(error.position(), Some(15));
}
