//! A client of the bank: each operation is of another kind, and its outcome is written down as the client knows it.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use dockline::{Atomic, Connection, Connections, Error, IsolationLevel, Result, Retry, params};
use dockline_tests::proxy::Proxy;
use dockline_tests::servers::{FreshDatabase, Server};

use super::books::{ACCOUNTS, Entry, Known};
use crate::opened::settings;

pub(super) struct Client {
    pub(super) db: Connection,
    _connections: Connections,
    pub(super) proxy: Arc<Proxy>,
    pub(super) random: fastrand::Rng,
    next: i64,
    entries: Vec<Entry>,
}

/// The kinds of operations.
pub(super) const KINDS: [&str; 9] =
    ["block", "isolated", "inner", "undone", "swallowed", "row", "rows", "retried", "manual"];

impl Client {
    pub(super) fn new(server: &Server, database: &FreshDatabase<'_>, number: u64, seed: u64) -> Self {
        let proxy = Arc::new(Proxy::start(server.address()));
        let settings = settings(&database.url_via(proxy.port()))
            .connect_timeout(Duration::from_secs(5))
            .read_timeout(Some(Duration::from_secs(5)))
            .conn_max_age(None);
        let connections = dockline_tests::connections(settings);
        let db = connections.get("default").expect("the alias");
        Self {
            db,
            _connections: connections,
            proxy,
            random: fastrand::Rng::with_seed(seed.wrapping_add(number)),
            next: i64::try_from(number).expect("a number") * 1_000_000,
            entries: Vec::new(),
        }
    }

    pub(super) fn into_entries(self) -> Vec<Entry> {
        self.db.close();
        self.entries
    }

    /// Runs one operation, and writes down what is known of it.
    pub(super) fn operate(&mut self, kind: &'static str) {
        self.next += 1;
        let operation = self.next;
        let from = self.random.i64(0..ACCOUNTS);
        let to = (from + self.random.i64(1..ACCOUNTS)) % ACCOUNTS;
        let transfer = Transfer { db: &self.db, operation, from, to, amount: self.random.i64(1..100) };
        let hook = Rc::new(Cell::new(false));
        let ended = transfer.run(kind, &hook);
        let has_hook = !matches!(kind, "row" | "rows" | "manual");
        let known = match &ended {
            Ok(()) => Known::Stored,
            Err(error) if error.is_commit_unknown() => Known::Unknown,
            // Outside a transaction a statement that may have run may stand.
            Err(error) if matches!(kind, "row" | "rows") && error.may_have_executed() => Known::Unknown,
            Err(_) => Known::NotStored,
        };
        // Of an unknown outcome hooks say nothing.
        let hook_ran = (has_hook && known != Known::Unknown).then(|| hook.get());
        let told = ended.err().map_or_else(|| "ok".to_owned(), |error| format!("{error:?}"));
        let partly = kind == "rows";
        self.entries.push(Entry { operation, kind, known, rows: 2, partly, hook_ran, told });
        if !self.db.state().autocommit {
            let _ = self.db.rollback();
            self.db.close();
        }
    }
}

struct Transfer<'a> {
    db: &'a Connection,
    operation: i64,
    from: i64,
    to: i64,
    amount: i64,
}

impl Transfer<'_> {
    fn run(&self, kind: &str, hook: &Rc<Cell<bool>>) -> Result<()> {
        let db = self.db;
        let hooked = || {
            let ran = Rc::clone(hook);
            db.on_commit(move || ran.set(true))
        };
        match kind {
            "block" => db.atomic(|| {
                hooked()?;
                self.transfer()
            }),
            "isolated" => db.atomic_with(Atomic::new().isolation_level(IsolationLevel::Serializable), || {
                hooked()?;
                self.transfer()
            }),
            "inner" => db.atomic(|| {
                hooked()?;
                self.entry(self.from, -self.amount)?;
                db.atomic(|| self.entry(self.to, self.amount))
            }),
            // What the inner block wrote is not there, and who asked for that has no error.
            "undone" => db.atomic(|| {
                hooked()?;
                self.transfer()?;
                let undone = db.atomic(|| {
                    self.entry(self.to, self.amount)?;
                    Err::<(), _>(Error::new(dockline::ErrorKind::Data, "on purpose"))
                });
                match undone {
                    Err(error) if error.message() == "on purpose" => Ok(()),
                    other => other,
                }
            }),
            // Whatever became of the inner block: if this one ends well, what it wrote itself is there, and nothing else.
            "swallowed" => db.atomic(|| {
                hooked()?;
                self.transfer()?;
                let _ = db.atomic(|| {
                    self.entry(self.to, self.amount)?;
                    Err::<(), _>(Error::new(dockline::ErrorKind::Data, "on purpose"))
                });
                Ok(())
            }),
            // These move nothing.
            "row" => self.rows(db.execute(
                "INSERT INTO ledger (operation, account, amount) VALUES (?, 0, 0), (?, 1, 0)",
                params![self.operation, self.operation],
            )),
            "rows" => self.rows(db.execute_many(
                "INSERT INTO ledger (operation, account, amount) VALUES (?, ?, 0)",
                [0, 1].map(|account| params![self.operation, account]),
            )),
            "retried" => Retry::new().attempts(4).run(db, || {
                hooked()?;
                self.transfer()
            }),
            _ => {
                db.set_autocommit(false)?;
                self.transfer()?;
                db.commit()?;
                // The commit was answered: what comes now is about the connection.
                let _ = db.set_autocommit(true);
                Ok(())
            }
        }
    }

    fn rows(&self, written: Result<u64>) -> Result<()> {
        written.map(|rows| assert_eq!(rows, 2))
    }

    fn transfer(&self) -> Result<()> {
        self.entry(self.from, -self.amount)?;
        self.entry(self.to, self.amount)
    }

    fn entry(&self, account: i64, amount: i64) -> Result<()> {
        self.db.execute("UPDATE account SET balance = balance + ? WHERE id = ?", params![amount, account])?;
        let row = params![self.operation, account, amount];
        self.db.execute("INSERT INTO ledger (operation, account, amount) VALUES (?, ?, ?)", row)?;
        Ok(())
    }
}
