//! Statements of Dockline's own that an administrator interrupts, or that end with their session: a proxy puts `KILL QUERY`,
//! `pg_cancel_backend` and their like in their place. Whatever becomes of a block, its caller knows it.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dockline::{Atomic, Connection, Error, ErrorKind, IsolationLevel, Result, params};
use dockline_tests::proxy::Proxy;
use dockline_tests::servers::{Kind, Server};

use crate::case::{Case, case};
use crate::opened::{Opened, settings};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!(a_statement_of_our_own_is_interrupted),
        case!(a_statement_of_our_own_ends_the_session),
        case!(an_inner_block_that_cannot_be_undone_is_work_lost),
    ]
}

/// The beginnings of those statements.
const OWN: &[&str] = &[
    "SAVEPOINT",
    "RELEASE",
    "ROLLBACK TO",
    "ROLLBACK",
    "COMMIT",
    "SET autocommit=0",
    "SET autocommit=1",
    "SET TRANSACTION",
    "SET SESSION session_track",
    "SET @@transaction_isolation",
    "SELECT @@",
];

#[derive(Debug, Clone, Copy)]
enum Strike {
    Interrupt,
    End,
}

impl Strike {
    fn sql(self, kind: Kind) -> &'static str {
        match (self, kind.is_postgres()) {
            (Self::Interrupt, true) => "SELECT pg_cancel_backend(pg_backend_pid()), pg_sleep(60)",
            (Self::End, true) => "SELECT pg_terminate_backend(pg_backend_pid()), pg_sleep(60)",
            (Self::Interrupt, false) => "KILL QUERY CONNECTION_ID()",
            (Self::End, false) => "KILL CONNECTION_ID()",
        }
    }
}

/// A connection through a proxy, and one beside it that sees what is stored.
struct Stage<'server> {
    kind: Kind,
    db: Connection,
    witness: Connection,
    proxy: Proxy,
    opened: Opened<'server>,
}

impl<'server> Stage<'server> {
    fn new(server: &'server Server) -> Self {
        let opened = Opened::new(server);
        let proxy = Proxy::start(server.address());
        opened.connections.add("struck", settings(&opened.database.url_via(proxy.port()))).unwrap();
        let db = opened.connections.get("struck").unwrap();
        opened.db.execute("CREATE TABLE t (n INTEGER, what VARCHAR(9))", ()).unwrap();
        Self { kind: server.kind(), db, witness: opened.db.clone(), proxy, opened }
    }

    /// The statement of that beginning which is sent next is struck, after so many others. The answer is whether it was.
    fn strike(&self, own: &'static str, strike: Strike, mut others: usize) -> Arc<AtomicBool> {
        let struck = Arc::new(AtomicBool::new(false));
        let (was_struck, kind) = (Arc::clone(&struck), self.kind);
        self.proxy.change_from_client(move |message| {
            // A head of five bytes stands before the text of a simple query, with either protocol.
            let is_query = message.get(if kind.is_postgres() { 0 } else { 4 })
                == Some(if kind.is_postgres() { &b'Q' } else { &3 });
            if !is_query || !message[5..].starts_with(own.as_bytes()) || was_struck.load(Ordering::SeqCst) {
                return;
            }
            if others > 0 {
                others -= 1;
                return;
            }
            was_struck.store(true, Ordering::SeqCst);
            let sql = strike.sql(kind).as_bytes();
            *message = if kind.is_postgres() {
                let length = u32::try_from(sql.len() + 5).unwrap().to_be_bytes();
                [b"Q", &length[..], sql, b"\0"].concat()
            } else {
                let [a, b, c, _] = u32::try_from(sql.len() + 1).unwrap().to_le_bytes();
                [&[a, b, c, 0, 3], sql].concat()
            };
        });
        struck
    }

    fn rows(&self, n: i64) -> Vec<String> {
        let rows = self.witness.query_as::<(String,)>("SELECT what FROM t WHERE n = ? ORDER BY what", params![n]);
        rows.unwrap().into_iter().map(|(what,)| what).collect()
    }

    /// A block with an inner one, whose error is swallowed. The answer is what became of each.
    fn work(&self, n: i64, shape: Shape, hook: &Rc<Cell<bool>>) -> (Result<()>, Option<bool>) {
        let db = &self.db;
        let put = |what: &str| db.execute("INSERT INTO t VALUES (?, ?)", params![n, what]);
        let mut inner = None;
        let mut options = Atomic::new();
        if shape.isolated {
            options = options.isolation_level(IsolationLevel::RepeatableRead);
        }
        let ended = db.atomic_with(options, || {
            let ran = Rc::clone(hook);
            db.on_commit(move || ran.set(true))?;
            put("1 outer")?;
            let ended = db.atomic(|| {
                put("2 inner")?;
                if shape.inner_fails { Err(Error::new(ErrorKind::Data, "on purpose")) } else { Ok(()) }
            });
            inner = Some(ended.is_ok());
            // Who swallows one error may swallow another.
            let _ = put("3 behind");
            if shape.outer_fails { Err(Error::new(ErrorKind::Data, "on purpose")) } else { Ok(()) }
        });
        (ended, inner)
    }

    /// Holds what the caller knows against what is stored.
    fn judge(&self, what: &str, n: i64, ended: &Result<()>, inner: Option<bool>, hook: bool) {
        let rows = self.rows(n);
        let what = format!("{what}: {ended:?}, inner {inner:?}, stored {rows:?}");
        match ended {
            Ok(()) => {
                assert!(rows.iter().any(|row| row == "1 outer"), "{what}");
                assert_eq!(Some(rows.iter().any(|row| row == "2 inner")), inner, "{what}");
            }
            Err(error) => {
                assert!(rows.is_empty(), "{what}");
                let is_known = error.message() == "on purpose"
                    || error.is_work_lost()
                    || error.is_commit_unknown()
                    || error.is_cancelled()
                    || error.is_disconnect();
                assert!(is_known, "{what}");
            }
        }
        if !ended.as_ref().is_err_and(Error::is_commit_unknown) {
            assert_eq!(hook, ended.is_ok(), "{what}");
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Shape {
    isolated: bool,
    inner_fails: bool,
    outer_fails: bool,
    /// On a new connection, whose set-up is met too.
    anew: bool,
}

const SHAPES: [Shape; 6] = {
    let plain = Shape { isolated: false, inner_fails: false, outer_fails: false, anew: false };
    [
        plain,
        Shape { inner_fails: true, ..plain },
        Shape { outer_fails: true, ..plain },
        Shape { isolated: true, ..plain },
        Shape { isolated: true, inner_fails: true, anew: true, ..plain },
        Shape { anew: true, ..plain },
    ]
};

fn all_of_them(server: &Server, strike: Strike) {
    let stage = Stage::new(server);
    let (mut n, mut strikes) = (0, 0);
    let sent = |own: &&&str| !server.kind().is_postgres() || !own.starts_with("SE");
    for own in OWN.iter().filter(sent) {
        for shape in SHAPES {
            for others in 0..3 {
                n += 1;
                if shape.anew && stage.db.is_connected() {
                    let before = stage.proxy.ended_by_server();
                    stage.db.close();
                    // Its end is not to be taken for that of the one that is struck.
                    stage.proxy.wait_until_ended_by_server(before + 1);
                }
                let struck = stage.strike(own, strike, others);
                let hook = Rc::new(Cell::new(false));
                let before = stage.proxy.ended_by_server();
                let (ended, inner) = stage.work(n, shape, &hook);
                stage.proxy.pass();
                if let (Strike::End, true) = (strike, struck.load(Ordering::SeqCst)) {
                    // MySQL answers first, and hangs up then.
                    stage.proxy.wait_until_ended_by_server(before + 1);
                }
                let what = format!("{own} {strike:?} after {others}, {shape:?}");
                stage.judge(&what, n, &ended, inner, hook.get());
                // What comes next is not in what was: the next statement is stored at once.
                assert!(!stage.db.in_atomic_block(), "{what}");
                let next = stage.db.execute("INSERT INTO t VALUES (?, 'next')", params![n]);
                next.unwrap_or_else(|error| panic!("{what}: {error:?}"));
                assert!(stage.rows(n).iter().any(|row| row == "next"), "{what}: the next statement is not stored");
                if !struck.load(Ordering::SeqCst) {
                    break;
                }
                strikes += 1;
            }
        }
    }
    assert!(strikes >= 20, "{strikes} statements were struck");
    drop(stage.opened);
}

fn a_statement_of_our_own_is_interrupted(server: &Server) {
    all_of_them(server, Strike::Interrupt);
}

fn a_statement_of_our_own_ends_the_session(server: &Server) {
    all_of_them(server, Strike::End);
}

/// The error of the inner block was swallowed, and nobody asked for the end of the block around: that is not `Ok`.
fn an_inner_block_that_cannot_be_undone_is_work_lost(server: &Server) {
    let stage = Stage::new(server);
    let db = &stage.db;
    for strike in [Strike::Interrupt, Strike::End] {
        let struck = stage.strike("ROLLBACK TO", strike, 0);
        let error = db
            .atomic(|| {
                db.execute("INSERT INTO t VALUES (1, 'outer')", ())?;
                let inner = db.atomic(|| {
                    db.execute("INSERT INTO t VALUES (1, 'inner')", ())?;
                    Err::<(), _>(Error::new(ErrorKind::Data, "on purpose"))
                });
                assert_eq!(inner.unwrap_err().message(), "on purpose");
                let behind = db.execute("INSERT INTO t VALUES (1, 'behind')", ()).unwrap_err();
                assert!(behind.is_work_lost() && !behind.may_have_executed(), "{strike:?}: {behind:?}");
                Ok::<_, Error>(())
            })
            .unwrap_err();
        assert!(struck.load(Ordering::SeqCst));
        assert!(error.is_work_lost() && !error.is_commit_unknown(), "{strike:?}: {error:?}");
        assert!(stage.rows(1).is_empty());
        stage.proxy.pass();
    }
}
