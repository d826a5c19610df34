//! The session is ended, or the server shut down, while it commits: it commits first, and what it has answered is believed.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};

use dockline::{Connection, Error, Result, params};
use dockline_tests::servers::{Builder, Kind, Server};

use crate::case::{Case, case};
use crate::opened::{Opened, settings};

pub(super) fn cases() -> Vec<Case> {
    let only = |case: Case| case.only(&[Kind::Postgres]).own_server_with(slow_to_commit);
    vec![only(case!(a_commit_is_struck_while_it_is_written)), only(case!(a_statement_is_struck_while_it_commits))]
}

/// A commit takes a tenth of a second, and nothing interrupts it.
fn slow_to_commit(builder: Builder) -> Builder {
    builder.setting("fsync", "on").setting("commit_delay", "100000").setting("commit_siblings", "0")
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strike {
    Terminate,
    Cancel,
    ShutDown,
}

const STRIKES: [Strike; 4] = [Strike::Terminate, Strike::Cancel, Strike::Terminate, Strike::ShutDown];

/// Runs `work`, and strikes as soon as the session runs a statement that begins like that. `None`: it was over before anybody saw it.
fn try_during<R>(
    server: &Server,
    db: &Connection,
    statement: &str,
    strike: Strike,
    work: impl FnOnce() -> R,
) -> Option<R> {
    db.ensure_connection().unwrap();
    let id = db.server_connection_id().expect("a connection");
    let runs = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE pid = {id} AND state = 'active' AND query LIKE '{statement}%'"
    );
    let mut admin = server.admin();
    let (over, struck) = (AtomicBool::new(false), AtomicBool::new(false));
    let result = std::thread::scope(|scope| {
        let (over, struck) = (&over, &struck);
        scope.spawn(move || {
            while admin.value(&runs).as_deref() != Some("1") {
                if over.load(Ordering::SeqCst) {
                    return;
                }
            }
            struck.store(true, Ordering::SeqCst);
            match strike {
                Strike::Terminate => admin.execute(&format!("SELECT pg_terminate_backend({id})")),
                Strike::Cancel => admin.execute(&format!("SELECT pg_cancel_backend({id})")),
                Strike::ShutDown => {
                    drop(admin);
                    server.stop();
                }
            }
        });
        let result = work();
        over.store(true, Ordering::SeqCst);
        result
    });
    let was_struck = struck.load(Ordering::SeqCst);
    if was_struck && strike == Strike::ShutDown {
        server.start_again();
    }
    was_struck.then_some(result)
}

/// A busy machine looks too late at times: then the work is done once more, with what `again` makes ready.
fn during<R>(
    server: &Server,
    db: &Connection,
    statement: &str,
    strike: Strike,
    mut work: impl FnMut() -> R,
    mut again: impl FnMut(),
) -> R {
    for _ in 0..50 {
        if let Some(result) = try_during(server, db, statement, strike, &mut work) {
            return result;
        }
        again();
    }
    panic!("nobody saw {statement} in 50 tries");
}

/// It sees what is stored, and nobody strikes it.
fn witness(opened: &Opened<'_>) -> Connection {
    opened.connections.add("witness", settings(&opened.database.url())).unwrap();
    opened.connections.get("witness").unwrap()
}

fn clear(db: &Connection) {
    db.execute("DELETE FROM t", ()).unwrap();
}

fn count(db: &Connection, n: i64) -> i64 {
    db.query_value("SELECT count(*) FROM t WHERE n = ?", params![n]).unwrap()
}

fn a_commit_is_struck_while_it_is_written(server: &Server) {
    let opened = Opened::new(server);
    let (db, witness) = (&opened.db, &witness(&opened));
    db.execute("CREATE TABLE t (n INTEGER)", ()).unwrap();
    let mut written = 0;
    for (n, strike) in (0..).zip(STRIKES) {
        // What strikes too late strikes a session that is not used any more.
        db.close();
        let hook = Rc::new(Cell::new(false));
        let block = || {
            hook.set(false);
            db.atomic(|| {
                let ran = Rc::clone(&hook);
                db.on_commit(move || ran.set(true))?;
                db.execute("INSERT INTO t VALUES (?)", params![n])?;
                Ok::<_, Error>(())
            })
        };
        let ended: Result<()> = during(server, db, "COMMIT", strike, block, || clear(witness));
        let stored = count(witness, n);
        // The answer comes in one piece with the end of the session. Only what strikes before the commit is written undoes it.
        assert_eq!((ended.is_ok(), hook.get()), (stored == 1, stored == 1), "{strike:?}: {ended:?}, {stored} rows");
        written += usize::from(ended.is_ok());
    }
    assert!(written >= 2, "{written} commits were written when they were struck");
}

/// What a statement by itself has changed is committed behind its answer: if the session ends there, nobody was told.
fn a_statement_is_struck_while_it_commits(server: &Server) {
    let opened = Opened::new(server);
    let (db, witness) = (&opened.db, &witness(&opened));
    db.execute("CREATE TABLE t (n INTEGER)", ()).unwrap();
    for (n, strike) in (0..).zip(STRIKES) {
        // What strikes too late strikes a session that is not used any more.
        db.close();
        let insert = || db.execute("INSERT INTO t VALUES (?)", params![n]);
        match during(server, db, "INSERT", strike, insert, || clear(witness)) {
            Ok(rows) => assert_eq!((rows, count(witness, n)), (1, 1), "{strike:?}"),
            Err(error) if strike == Strike::Cancel => {
                assert!(error.is_cancelled() && count(witness, n) == 0, "{error:?}");
            }
            Err(error) => {
                assert!(error.is_disconnect() && error.may_have_executed(), "{strike:?}: {error:?}");
                assert!(count(witness, n) <= 1, "{strike:?}: {error:?}");
            }
        }
    }
}
