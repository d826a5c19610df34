//! A small bank, robbed: clients move money while a nemesis cuts their connections at every byte and interrupts what they run. Each
//! outcome, as the client knows it, is held against the ledger afterwards. The ledger has no unique keys: what was done twice is
//! there twice.
//!
//! A run ends by itself. It prints its seed when it fails; `DOCKLINE_TEST_SEED` runs that one again (its threads take turns as they like).

mod books;
mod client;
mod nemesis;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dockline_tests::servers::Server;

use crate::case::{Case, case};
use books::{Books, Known};
use client::Client;
use nemesis::Nemesis;

/// So long the clients work.
const WORKS: Duration = Duration::from_secs(12);

pub(crate) fn cases() -> Vec<Case> {
    vec![case!(the_books_are_right).own_server()]
}

fn the_books_are_right(server: &Server) {
    let seed = std::env::var("DOCKLINE_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    let database = server.database();
    let books = Books::open(&database);
    let over = AtomicBool::new(false);
    let fates = [Nemesis::Cuts, Nemesis::Held, Nemesis::Interrupts, Nemesis::Kills];
    let entries: Vec<_> = std::thread::scope(|scope| {
        let clients = fates.iter().enumerate().map(|(number, nemesis)| {
            let (database, over) = (&database, &over);
            scope.spawn(move || {
                let mut client = Client::new(server, database, u64::try_from(number).expect("a number"), seed);
                nemesis.haunt(&mut client, database, over);
                client.into_entries()
            })
        });
        let clients: Vec<_> = clients.collect();
        let started = Instant::now();
        while started.elapsed() < WORKS && !clients.iter().any(|client| client.is_finished()) {
            std::thread::sleep(Duration::from_millis(50));
        }
        over.store(true, Ordering::SeqCst);
        clients.into_iter().flat_map(|client| client.join().unwrap_or_else(|_| panic!("seed {seed}"))).collect()
    });
    let faults = books.audit(&entries);
    assert!(faults.is_empty(), "seed {seed}: {} of {} operations:\n{}", faults.len(), entries.len(), faults.join("\n"));
    let known = entries.iter().filter(|entry| entry.is_stored()).count();
    // Else nothing was tried.
    assert!(known > 10 && known < entries.len(), "seed {seed}: {known} of {} are stored", entries.len());
    let unknown = entries.iter().filter(|entry| entry.known == Known::Unknown).count();
    let kind = server.kind().name();
    eprintln!("{kind}: {} operations, {known} stored, {unknown} unknown, seed {seed}", entries.len());
}
