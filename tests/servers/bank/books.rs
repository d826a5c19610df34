//! What the clients know, and what is written.

use std::collections::HashMap;

use dockline_tests::servers::FreshDatabase;

use crate::opened::Opened;

/// One operation, as its client knows it.
pub(super) struct Entry {
    pub(super) operation: i64,
    pub(super) kind: &'static str,
    pub(super) known: Known,
    /// How many rows of the ledger it has, if it is stored.
    pub(super) rows: i64,
    /// If nobody knows, some of them may be there: outside a block, each row stands by itself.
    pub(super) partly: bool,
    /// What its hooks said: whether they have run.
    pub(super) hook_ran: Option<bool>,
    /// What the client was told.
    pub(super) told: String,
}

/// What a client knows of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    Stored,
    NotStored,
    Unknown,
}

impl Entry {
    pub(super) fn is_stored(&self) -> bool {
        self.known == Known::Stored
    }
}

/// The accounts, and the ledger of what was moved between them.
pub(super) struct Books<'a> {
    opened: Opened<'a>,
}

pub(super) const ACCOUNTS: i64 = 4;

impl<'a> Books<'a> {
    pub(super) fn open(database: &'a FreshDatabase<'a>) -> Self {
        let opened = Opened::on(database.server().database(), |settings| settings);
        let mut admin = database.admin();
        admin.execute("CREATE TABLE ledger (operation BIGINT, account INTEGER, amount INTEGER)");
        admin.execute("CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER)");
        for id in 0..ACCOUNTS {
            admin.execute(&format!("INSERT INTO account VALUES ({id}, 0)"));
        }
        if database.server().kind().is_postgres() {
            admin.execute("GRANT ALL ON ledger, account TO PUBLIC");
        }
        let settings = crate::opened::settings(&database.url());
        opened.connections.add("books", settings).expect("an alias");
        Self { opened }
    }

    /// Holds what clients know against what is written.
    pub(super) fn audit(&self, entries: &[Entry]) -> Vec<String> {
        let db = self.opened.connections.get("books").expect("an alias");
        let rows: Vec<(i64, i64)> =
            db.query_as("SELECT operation, count(*) FROM ledger GROUP BY operation", ()).expect("the ledger");
        let written: HashMap<i64, i64> = rows.into_iter().collect();
        let mut faults = Vec::new();
        for entry in entries {
            let rows = written.get(&entry.operation).copied().unwrap_or_default();
            let is_right = match entry.known {
                Known::Stored => rows == entry.rows,
                Known::NotStored => rows == 0,
                Known::Unknown => rows == 0 || rows == entry.rows || (entry.partly && rows < entry.rows),
            };
            let hooks_are_right = entry.hook_ran.is_none_or(|ran| ran == entry.is_stored());
            if !is_right || !hooks_are_right {
                let Entry { operation, kind, known, hook_ran, told, .. } = entry;
                faults.push(format!("{operation} {kind}: {known:?}, {rows} rows, hook {hook_ran:?}; {told}"));
            }
        }
        let sums: Vec<(i64, i64, i64)> = db
            .query_as(
                "SELECT id, balance, (SELECT coalesce(sum(amount), 0) FROM ledger WHERE account = id) FROM account",
                (),
            )
            .expect("the accounts");
        let wrong = sums.into_iter().filter(|(_, balance, moved)| balance != moved);
        faults.extend(wrong.map(|(id, balance, moved)| format!("account {id} has {balance}, and {moved} was moved")));
        faults
    }
}
