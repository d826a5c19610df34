//! What PostgreSQL says besides its message, as psql shows it.

use dockline::{Error, params};
use dockline_tests::servers::{Kind, Server};

use crate::case::{Case, case};
use crate::opened::Opened;

pub(super) fn cases() -> Vec<Case> {
    let only = |case: Case| case.only(&[Kind::Postgres]);
    vec![
        only(case!(errors_show_the_line_and_the_place)),
        only(case!(details_are_shown_and_are_not_part_of_the_message)),
    ]
}

fn errors_show_the_line_and_the_place(server: &Server) {
    let opened = Opened::new(server);
    let db = &opened.db;
    db.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT NOT NULL)", ()).unwrap();
    // Placeholders are rewritten on the way; the place is that of the caller's text.
    let sql = "SELECT id\nFROM job WHERE id > ? AND nam = ?";
    let error = db.query(sql, params![1, "x"]).unwrap_err();
    assert_eq!(error.code().as_deref(), Some("42703"));
    assert_eq!(error.position(), Some(sql.find("nam").unwrap() + 1));
    assert_eq!(error.hint(), Some("Perhaps you meant to reference the column \"job.name\"."));
    let shown = error.to_string();
    let wanted =
        "(42703)\nLINE 2: FROM job WHERE id > ? AND nam = ?\n                                  ^\nHINT:  Perhaps";
    assert!(shown.contains(wanted), "{shown}");

    let error = db.execute("SELEC 1", ()).unwrap_err();
    assert!(error.to_string().ends_with("LINE 1: SELEC 1\n        ^"), "{error}");

    // Inside a function, its own statement.
    db.execute("CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT x FROM job); END'", ())
        .unwrap();
    let error = db.query("SELECT f()", ()).unwrap_err();
    assert!(error.to_string().contains("LINE 1: (SELECT x FROM job)\n                ^"), "{error}");
}

fn details_are_shown_and_are_not_part_of_the_message(server: &Server) {
    let opened = Opened::new(server);
    let db = &opened.db;
    db.execute("CREATE TABLE card (number TEXT PRIMARY KEY)", ()).unwrap();
    db.execute("INSERT INTO card VALUES (?)", params!["4111"]).unwrap();
    let error = db.execute("INSERT INTO card VALUES (?)", params!["4111"]).unwrap_err();
    assert_eq!(error.detail(), Some("Key (number)=(4111) already exists."));
    assert!(error.to_string().ends_with("\nDETAIL:  Key (number)=(4111) already exists."), "{error}");
    assert!(!error.message().contains("4111"), "what is made of the message, as that the work is lost, has no value");
    // What a block that was lost tells later is the message alone.
    let lost = db.atomic(|| {
        let _ = db.execute("INSERT INTO card VALUES (?)", params!["4111"]);
        Ok::<_, Error>(())
    });
    assert!(!lost.unwrap_err().to_string().contains("4111"));
}
