//! What happens to the clients.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use dockline_tests::servers::{Admin, FreshDatabase};

use super::client::{Client, KINDS};

#[derive(Debug, Clone, Copy)]
pub(super) enum Nemesis {
    /// The connection ends at each byte of each kind of operation, one after the other, also at those of the set-up.
    Cuts,
    /// What runs is interrupted, at some moment.
    Interrupts,
    /// The session is ended, at some moment.
    Kills,
    /// The same two, while what goes one way is held at a byte: the server has had a part of a statement, or the client none of the
    /// answer.
    Held,
}

/// Further than that no operation goes, in bytes.
const FARTHEST: u64 = 4_000;

impl Nemesis {
    pub(super) fn haunt(self, client: &mut Client, database: &FreshDatabase<'_>, over: &AtomicBool) {
        match self {
            Self::Cuts => cuts(client, over),
            Self::Interrupts => strikes(client, database, over, false),
            Self::Kills => strikes(client, database, over, true),
            Self::Held => held(client, database, over),
        }
    }
}

fn strike(admin: &mut Admin, database: &FreshDatabase<'_>, id: u64, kills: bool) {
    let postgres = database.server().kind().is_postgres();
    // It may be gone by now.
    let _ = admin.try_execute(&match (postgres, kills) {
        (true, true) => format!("SELECT pg_terminate_backend({id})"),
        (true, false) => format!("SELECT pg_cancel_backend({id})"),
        (false, true) => format!("KILL {id}"),
        (false, false) => format!("KILL QUERY {id}"),
    });
}

/// How many bytes an operation is long, each way, is measured first; each cut is then at one of them.
fn cuts(client: &mut Client, over: &AtomicBool) {
    while !over.load(Ordering::SeqCst) {
        let Place { kind, from_client, at } = place(client);
        if from_client {
            client.proxy.cut_after_from_client(at);
        } else {
            client.proxy.cut_after(at);
        }
        client.operate(kind);
        client.proxy.pass();
    }
}

/// A byte of an operation.
struct Place {
    kind: &'static str,
    from_client: bool,
    at: u64,
}

/// One at random; the operation has run once to measure it, and goes on as it did then.
fn place(client: &mut Client) -> Place {
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
    let at =
        if client.random.bool() { client.random.u64(..length) } else { length - client.random.u64(..length.min(60)) };
    Place { kind, from_client, at }
}

/// Holds an operation at a byte, strikes, and lets it go on; sometimes the other way round, so that the two meet on the server.
fn held(client: &mut Client, database: &FreshDatabase<'_>, over: &AtomicBool) {
    let mut admin = database.admin();
    while !over.load(Ordering::SeqCst) {
        let Place { kind, from_client, at } = place(client);
        let id = client.db.server_connection_id();
        let (kills, first) = (client.random.bool(), client.random.bool());
        if from_client {
            client.proxy.hold_after_from_client(at);
        } else {
            client.proxy.hold_after(at);
        }
        let ended = AtomicBool::new(false);
        let proxy = Arc::clone(&client.proxy);
        std::thread::scope(|scope| {
            let (admin, ended) = (&mut admin, &ended);
            scope.spawn(move || {
                while !proxy.is_holding() && !ended.load(Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_micros(200));
                }
                if !first {
                    proxy.pass();
                }
                if let Some(id) = id {
                    strike(admin, database, id, kills);
                }
                proxy.pass();
            });
            client.operate(kind);
            ended.store(true, Ordering::SeqCst);
        });
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
                strike(&mut admin, database, id, kills);
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
