//! What `docs/differences.md` says, tried: its table of texts is read and run, and each of its other claims has a check.

use dockline::{Atomic, Connection, Connections, Error, ErrorKind, Row, params};

use crate::portable::of;
use crate::recipes::Check;

/// Read when a test runs: the page is no part of the package.
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/differences.md");

/// All of them.
pub const CHECKS: &[Check] = &[
    ("texts_give_what_the_page_says", texts_give_what_the_page_says),
    ("what_follows_an_error_in_a_block", what_follows_an_error_in_a_block),
    ("a_schema_is_changed_in_a_block", a_schema_is_changed_in_a_block),
    ("a_read_only_block_takes_no_writes", a_read_only_block_takes_no_writes),
    ("columns_keep_or_refuse_what_does_not_fit", columns_keep_or_refuse_what_does_not_fit),
    ("rows_that_stay_as_they_are_count", rows_that_stay_as_they_are_count),
    ("errors_have_the_same_kinds", errors_have_the_same_kinds),
    ("statements_are_known_or_not", statements_are_known_or_not),
    ("strict_tables_refuse_texts_for_integers", strict_tables_refuse_texts_for_integers),
];

/// Which column of the page's table is this database's.
fn column(db: &Connection) -> usize {
    match db.vendor() {
        "postgresql" => 1,
        "mysql" if db.server_info().unwrap().product == "MySQL" => 2,
        "mysql" => 3,
        _ => 4,
    }
}

/// The rows of the table whose first cell is a statement.
fn texts() -> Vec<Vec<String>> {
    let is_text = |line: &&str| line.starts_with("| `SELECT");
    let cells = |line: &str| {
        let line = line.replace("\\|", "\u{1}");
        line.trim().trim_matches('|').split('|').map(|cell| cell.trim().replace('\u{1}', "|")).collect()
    };
    let page = std::fs::read_to_string(PAGE).expect(PAGE);
    page.lines().filter(is_text).map(cells).collect()
}

fn texts_give_what_the_page_says(connections: &Connections) {
    let db = connections.get("default").unwrap();
    let (column, texts) = (column(&db), texts());
    assert!(texts.len() > 10, "{} texts", texts.len());
    let mut wrong = Vec::new();
    for cells in texts {
        let sql = cells[0].trim_matches('`');
        let found = match db.query(sql, ()) {
            Ok(rows) => format!("`{}`", rows.iter().map(shown).collect::<Vec<_>>().join(", ")),
            Err(error) => format!("error, `{:?}`", error.kind()),
        };
        if cells.get(column) != Some(&found) {
            wrong.push(format!("{sql}: {found}, and the page says {:?}", cells.get(column)));
        }
    }
    assert!(wrong.is_empty(), "docs/differences.md, column {column}:\n{}", wrong.join("\n"));
}

fn shown(row: &Row) -> String {
    row.get::<Option<String>, _>(0).unwrap().unwrap_or_else(|| "null".into())
}

fn count(db: &Connection) -> i64 {
    db.query_value("SELECT count(*) FROM t", ()).unwrap()
}

fn what_follows_an_error_in_a_block(connections: &Connections) {
    let db = connections.get("default").unwrap();
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)", ()).unwrap();
    let block = || {
        db.execute("INSERT INTO t VALUES (1)", ())?;
        db.execute("INSERT INTO t VALUES (1)", ()).unwrap_err();
        db.execute("INSERT INTO t VALUES (2)", ())
    };
    let result = db.transaction(block);
    assert_eq!((result.is_ok(), count(&db)), if db.vendor() == "postgresql" { (false, 0) } else { (true, 2) });
    // The portable form: a block around what may fail.
    let block = || {
        db.execute("INSERT INTO t VALUES (11)", ())?;
        db.transaction(|| db.execute("INSERT INTO t VALUES (11)", ())).unwrap_err();
        db.execute("INSERT INTO t VALUES (12)", ())
    };
    let before = count(&db);
    db.transaction(block).unwrap();
    assert_eq!(count(&db), before + 2);
}

fn a_schema_is_changed_in_a_block(connections: &Connections) {
    let db = connections.get("default").unwrap();
    db.execute("CREATE TABLE t (id INTEGER)", ()).unwrap();
    let block = || {
        db.execute("INSERT INTO t VALUES (1)", ())?;
        db.execute("CREATE TABLE made (id INTEGER)", ())?;
        db.execute("INSERT INTO t VALUES (2)", ())?;
        Err::<(), _>(Error::new(ErrorKind::Database, "undo it"))
    };
    db.transaction(block).unwrap_err();
    let is_made = db.query("SELECT id FROM made", ()).is_ok();
    assert_eq!((is_made, count(&db)), if db.vendor() == "mysql" { (true, 1) } else { (false, 0) });
}

fn a_read_only_block_takes_no_writes(connections: &Connections) {
    let db = connections.get("default").unwrap();
    db.execute("CREATE TABLE t (id INTEGER)", ()).unwrap();
    let refused: Result<u64, Error> =
        db.atomic_with(Atomic::new().read_only(true), || db.execute("INSERT INTO t VALUES (1)", ()));
    assert!(refused.unwrap_err().is_read_only());
    assert_eq!(count(&db), 0);
}

fn columns_keep_or_refuse_what_does_not_fit(connections: &Connections) {
    let db = connections.get("default").unwrap();
    db.execute("CREATE TABLE t (name VARCHAR(3), amount INTEGER)", ()).unwrap();
    for row in [params!["long", 1], params!["a", "x"], params!["a", 3_000_000_000_i64]] {
        let result = db.execute("INSERT INTO t VALUES (?, ?)", &row);
        assert_eq!(result.is_ok(), db.vendor() == "sqlite", "{row:?}: {result:?}");
    }
}

fn rows_that_stay_as_they_are_count(connections: &Connections) {
    let db = connections.get("default").unwrap();
    db.execute("CREATE TABLE t (id INTEGER)", ()).unwrap();
    db.execute("INSERT INTO t VALUES (1)", ()).unwrap();
    assert_eq!(db.execute("UPDATE t SET id = 1", ()).unwrap(), 1);
}

fn errors_have_the_same_kinds(connections: &Connections) {
    let db = connections.get("default").unwrap();
    let text = of(&db, "TEXT", "VARCHAR(20)", "TEXT");
    db.execute(&format!("CREATE TABLE t (id INTEGER PRIMARY KEY, name {text} NOT NULL, CHECK (id > 0))"), ()).unwrap();
    db.execute("INSERT INTO t VALUES (1, 'a')", ()).unwrap();
    for sql in ["INSERT INTO t VALUES (1, 'b')", "INSERT INTO t VALUES (2, NULL)", "INSERT INTO t VALUES (-1, 'c')"] {
        let error = db.execute(sql, ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Integrity, "{sql}: {error}");
        assert!(error.constraint().is_some(), "{sql}: {error}");
    }
    let error = db.query("SELECT 1 FROM missing", ()).unwrap_err();
    let sqlite = db.vendor() == "sqlite";
    assert_eq!(error.kind(), if sqlite { ErrorKind::Operational } else { ErrorKind::Programming });
}

/// The table of statements: which of them a database knows.
fn statements_are_known_or_not(connections: &Connections) {
    let db = connections.get("default").unwrap();
    let column = column(&db);
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)", ()).unwrap();
    let statements = [
        ("INSERT INTO t VALUES (1) ON CONFLICT (id) DO UPDATE SET id = 1", [true, false, false, true]),
        ("INSERT INTO t VALUES (1) ON DUPLICATE KEY UPDATE id = 1", [false, true, true, false]),
        ("INSERT INTO t VALUES (2) RETURNING id", [true, false, true, true]),
        ("UPDATE t SET id = 3 WHERE id = 2 RETURNING id", [true, false, false, true]),
        ("SELECT id FROM t FOR UPDATE SKIP LOCKED", [true, true, true, false]),
    ];
    for (sql, known) in statements {
        let result = db.query(sql, ());
        assert_eq!(result.is_ok(), known[column - 1], "{sql}: {result:?}");
    }
}

fn strict_tables_refuse_texts_for_integers(connections: &Connections) {
    let db = connections.get("default").unwrap();
    if db.vendor() != "sqlite" {
        return;
    }
    db.execute("CREATE TABLE t (id INTEGER, name TEXT) STRICT", ()).unwrap();
    assert!(db.execute("INSERT INTO t VALUES (?, 'a')", ("x",)).is_err());
    db.execute("INSERT INTO t VALUES (?, ?)", (1, "a text of any length")).unwrap();
}
