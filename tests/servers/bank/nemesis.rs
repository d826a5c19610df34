//! What happens to the clients.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use dockline_tests::servers::FreshDatabase;

use super::client::{Client, KINDS};

#[derive(Debug, Clone, Copy)]
pub(super) enum Nemesis {
    /// The connection ends at each byte of each kind of operation, one after the other, also at those of the set-up.
    Cuts,
    /// What runs is interrupted, at some moment.
    Interrupts,
    /// The session is ended, at some moment.
    Kills,
}

/// Further than that no operation goes, in bytes.
const FARTHEST: u64 = 4_000;

impl Nemesis {
    pub(super) fn haunt(self, client: &mut Client, database: &FreshDatabase<'_>, over: &AtomicBool) {
        match self {
            Self::Cuts => cuts(client, over),
            Self::Interrupts => strikes(client, database, over, false),
            Self::Kills => strikes(client, database, over, true),
        }
    }
}

/// How many bytes an operation is long, each way, is measured first; each cut is then at one of them.
fn cuts(client: &mut Client, over: &AtomicBool) {
    while !over.load(Ordering::SeqCst) {
        let kind = KINDS[client.random.usize(..KINDS.len())];
        let sets_up = client.random.u8(..) < 40;
        if sets_up {
            client.db.close();
        }
        let from_client = client.random.bool();
        let passed = |client: &Client| {
            if from_client { client.proxy.bytes_from_client() } else { client.proxy.bytes_from_server() }
        };
        let before = passed(client);
        client.operate(kind);
        let length = (passed(client) - before).clamp(1, FARTHEST);
        if sets_up {
            client.db.close();
        }
        // Most of what matters is near the end: COMMIT, and what comes after it.
        let at = if client.random.bool() {
            client.random.u64(..length)
        } else {
            length - client.random.u64(..length.min(60))
        };
        if from_client {
            client.proxy.cut_after_from_client(at);
        } else {
            client.proxy.cut_after(at);
        }
        client.operate(kind);
        client.proxy.pass();
    }
}

/// Strikes from another thread while the client works.
fn strikes(client: &mut Client, database: &FreshDatabase<'_>, over: &AtomicBool, kills: bool) {
    let target = AtomicU64::new(0);
    let mut random = client.random.fork();
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut admin = database.admin();
            while !ended.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_micros(random.u64(..if kills { 20_000 } else { 3_000 })));
                let id = target.load(Ordering::SeqCst);
                if id == 0 {
                    continue;
                }
                // It may be gone by now.
                let postgres = database.server().kind().is_postgres();
                let _ = admin.try_execute(&match (postgres, kills) {
                    (true, true) => format!("SELECT pg_terminate_backend({id})"),
                    (true, false) => format!("SELECT pg_cancel_backend({id})"),
                    (false, true) => format!("KILL {id}"),
                    (false, false) => format!("KILL QUERY {id}"),
                });
            }
        });
        while !over.load(Ordering::SeqCst) {
            target.store(client.db.server_connection_id().unwrap_or(0), Ordering::SeqCst);
            let kind = KINDS[client.random.usize(..KINDS.len())];
            client.operate(kind);
        }
        ended.store(true, Ordering::SeqCst);
    });
}
