//! The session is ended, or the server shut down, while it commits: it commits first, and what it has answered is believed.

use std::cell::Cell;
use std::rc::Rc;

use dockline::{Connection, Error, Result, params};
use dockline_tests::servers::{Builder, Kind, Server};

use crate::case::{Case, case};
use crate::opened::Opened;

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

/// Runs `work`, and strikes as soon as the session runs a statement that begins like that.
fn during<R>(server: &Server, db: &Connection, statement: &str, strike: Strike, work: impl FnOnce() -> R) -> R {
    db.ensure_connection().unwrap();
    let id = db.server_connection_id().expect("a connection");
    let runs = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE pid = {id} AND state = 'active' AND query LIKE '{statement}%'"
    );
    let result = std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut admin = server.admin();
            admin.wait_until_value(&runs, "1");
            match strike {
                Strike::Terminate => admin.execute(&format!("SELECT pg_terminate_backend({id})")),
                Strike::Cancel => admin.execute(&format!("SELECT pg_cancel_backend({id})")),
                Strike::ShutDown => {
                    drop(admin);
                    server.stop();
                }
            }
        });
        work()
    });
    if strike == Strike::ShutDown {
        server.start_again();
    }
    result
}

fn count(db: &Connection, n: i64) -> i64 {
    db.query_value("SELECT count(*) FROM t WHERE n = ?", params![n]).unwrap()
}

fn a_commit_is_struck_while_it_is_written(server: &Server) {
    let Opened { db, .. } = &Opened::new(server);
    db.execute("CREATE TABLE t (n INTEGER)", ()).unwrap();
    for (n, strike) in (0..).zip(STRIKES) {
        let hook = Rc::new(Cell::new(false));
        let ended: Result<()> = during(server, db, "COMMIT", strike, || {
            db.atomic(|| {
                let ran = Rc::clone(&hook);
                db.on_commit(move || ran.set(true))?;
                db.execute("INSERT INTO t VALUES (?)", params![n])?;
                Ok::<_, Error>(())
            })
        });
        // The answer comes in one piece with the end of the session.
        ended.unwrap_or_else(|error| panic!("{strike:?}: {error:?}"));
        assert!(hook.get(), "{strike:?}");
        assert_eq!(count(db, n), 1, "{strike:?}");
    }
}

/// What a statement by itself has changed is committed behind its answer: if the session ends there, nobody was told.
fn a_statement_is_struck_while_it_commits(server: &Server) {
    let Opened { db, .. } = &Opened::new(server);
    db.execute("CREATE TABLE t (n INTEGER)", ()).unwrap();
    for (n, strike) in (0..).zip(STRIKES) {
        match during(server, db, "INSERT", strike, || db.execute("INSERT INTO t VALUES (?)", params![n])) {
            Ok(rows) => assert_eq!((rows, count(db, n)), (1, 1), "{strike:?}"),
            Err(error) => {
                assert!(error.is_disconnect() && error.may_have_executed(), "{strike:?}: {error:?}");
                assert!(strike != Strike::Cancel && count(db, n) <= 1, "{strike:?}: {error:?}");
            }
        }
    }
}
