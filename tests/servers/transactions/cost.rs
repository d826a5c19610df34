//! What a block costs on the wire, as the server counts it.

use dockline::{Atomic, Connection, Error, IsolationLevel, Result};
use dockline_tests::servers::{Builder, Kind, Server};
use dockline_tests::wait_until;

use super::{Numbers, assert_refused, refused};
use crate::case::{Case, case};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!(a_block_costs_two_statements_and_a_savepoint_two).own_server_with(with_log),
        case!(a_block_begins_with_its_first_statement).only(&[Kind::Postgres]),
    ]
}

fn with_log(builder: Builder) -> Builder {
    if builder.kind().is_postgres() {
        builder.setting("log_statement", "all").setting("log_line_prefix", "%p ")
    } else {
        builder
    }
}

/// How many statements the server gets of the connection while `call` runs.
fn cost(server: &Server, db: &Connection, call: impl FnOnce()) -> usize {
    if server.kind().is_postgres() {
        let before = logged(server, db);
        call();
        // The first of the two marks is in the log, too.
        logged(server, db) - before - 1
    } else {
        let before = asked(db);
        call();
        asked(db) - before - 1
    }
}

/// How many statements of this session are in PostgreSQL's log, with one that is sent for this.
fn logged(server: &Server, db: &Connection) -> usize {
    let process = db.server_connection_id().expect("a process");
    let mark = format!("SELECT 'mark {}'", fastrand::u64(..));
    db.query(&mark, ()).expect("a statement");
    let of_ours = |line: &&str| {
        let head = format!("{process} LOG:  ");
        line.strip_prefix(&head).is_some_and(|text| text.starts_with("statement: ") || text.starts_with("execute "))
    };
    wait_until("the mark is in the log", || server.log().contains(&mark));
    server.log().lines().filter(of_ours).count()
}

/// How many statements MySQL or MariaDB has run for this session, with this one.
fn asked(db: &Connection) -> usize {
    let (_, questions): (String, String) =
        db.query_one("SHOW SESSION STATUS LIKE 'Questions'", ()).expect("a count").decode().expect("texts");
    questions.parse().expect("a number")
}

fn a_block_costs_two_statements_and_a_savepoint_two(server: &Server) {
    let numbers = Numbers::new(server);
    let (db, postgres) = (numbers.db(), server.kind().is_postgres());
    let number = std::cell::Cell::new(0);
    let insert = || -> Result<()> {
        number.set(number.get() + 1);
        numbers.insert(number.get())
    };
    insert().unwrap();
    let cost = |call: &dyn Fn() -> Result<()>| cost(server, db, || call().unwrap());

    assert_eq!(cost(&|| Ok(())), 0);
    assert_eq!(cost(&insert), 1);
    assert_eq!(cost(&|| db.atomic(insert)), 3, "BEGIN and COMMIT");
    assert_eq!(
        cost(&|| db.atomic(|| {
            insert()?;
            insert()
        })),
        4
    );
    let serializable = Atomic::new().isolation_level(IsolationLevel::Serializable).read_only(false);
    // MySQL is told before, and told again after.
    let options = if postgres { 0 } else { 2 };
    assert!(cost(&|| db.atomic_with(serializable, insert)) <= 3 + options);

    let empty = if postgres { 0 } else { 2 };
    assert_eq!(cost(&|| db.atomic(|| Ok::<_, Error>(()))), empty, "nothing is sent for nothing");
    assert_eq!(cost(&|| db.atomic(|| db.on_commit(|| ()))), empty);
    let rolled_back = if postgres { 0 } else { 3 };
    assert_eq!(
        cost(&|| {
            drop(db.begin_atomic(Atomic::new())?);
            Ok(())
        }),
        rolled_back
    );

    assert_eq!(
        cost(&|| db.atomic(|| {
            insert()?;
            db.atomic(insert)
        })),
        6,
        "SAVEPOINT and RELEASE"
    );
    // PostgreSQL gets BEGIN and SAVEPOINT in one text.
    assert_eq!(cost(&|| db.atomic(|| db.atomic(insert))), if postgres { 4 } else { 5 });
    assert_eq!(
        cost(&|| db.atomic(|| {
            insert()?;
            assert_refused(&db.atomic(|| Err(refused())));
            Ok(())
        })),
        6,
        "SAVEPOINT, ROLLBACK TO and RELEASE"
    );
    assert_eq!(
        cost(&|| db.atomic(|| {
            insert()?;
            db.atomic_with(Atomic::new().savepoint(false), insert)
        })),
        4,
        "without a savepoint it costs nothing"
    );
    assert_eq!(
        cost(&|| db.atomic(|| {
            insert()?;
            db.savepoint_commit(db.savepoint()?)
        })),
        5
    );
}

fn a_block_begins_with_its_first_statement(server: &Server) {
    let numbers = Numbers::new(server);
    let db = numbers.db();
    let state = format!(
        "SELECT state || ', ' || query FROM pg_stat_activity WHERE pid = {}",
        db.server_connection_id().unwrap()
    );
    let mut admin = numbers.admin();
    db.query("SELECT 'before'", ()).unwrap();
    db.atomic(|| {
        admin.wait_until_value(&state, "idle, SELECT 'before'");
        db.query("SELECT 'inside'", ())?;
        admin.wait_until_value(&state, "idle in transaction, SELECT 'inside'");
        Ok::<_, Error>(())
    })
    .unwrap();
    admin.wait_until_value(&state, "idle, COMMIT");
}
