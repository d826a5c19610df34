//! diesel with r2d2, on SQLite: the servers' backends need C libraries that are not everywhere.

use std::sync::Arc;

use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, CustomizeConnection, Error, Pool};
use parking_lot::FairMutex;

use super::super::{Contestant, Worker, text};
use crate::place::Place;
use crate::rounds::Outcome;

diesel::table! {
    item (id) {
        id -> Integer,
        name -> Nullable<Text>,
    }
}

diesel::table! {
    counter (id) {
        id -> Integer,
        n -> Integer,
    }
}

pub(in super::super) fn make(place: &Place, threads: usize) -> Option<Box<dyn Contestant>> {
    if !place.database.is_sqlite() {
        return None;
    }
    let size = u32::try_from(threads).expect("a number of threads");
    let builder = Pool::builder().max_size(size).connection_customizer(Box::new(SetUp));
    let pool = builder.build(ConnectionManager::new(place.path())).expect("a pool");
    Some(Box::new(Pooled { pool, writers: Arc::default() }))
}

/// The settings that the others have.
#[derive(Debug)]
struct SetUp;

impl CustomizeConnection<SqliteConnection, Error> for SetUp {
    fn on_acquire(&self, connection: &mut SqliteConnection) -> Result<(), Error> {
        let set = "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = wal; PRAGMA foreign_keys = on";
        diesel::connection::SimpleConnection::batch_execute(connection, set).map_err(Error::QueryError)
    }
}

struct Pooled {
    pool: Pool<ConnectionManager<SqliteConnection>>,
    /// As with the bare driver, threads that write take turns.
    writers: Arc<FairMutex<()>>,
}

impl Contestant for Pooled {
    fn name(&self) -> &'static str {
        "diesel with r2d2"
    }

    fn on_thread(&self) -> Box<dyn Worker + '_> {
        Box::new(Requests(self))
    }
}

struct Requests<'a>(&'a Pooled);

impl Worker for Requests<'_> {
    fn look_ups(&mut self, ids: &[u32]) -> Outcome {
        let mut connection = self.0.pool.get().map_err(text)?;
        for id in ids {
            let key = i32::try_from(*id).expect("a small number");
            let name: Option<String> = item::table.find(key).select(item::name).first(&mut connection).map_err(text)?;
            std::hint::black_box(name);
        }
        Ok(())
    }

    fn read_and_write(&mut self, id: u32) -> Outcome {
        let key = i32::try_from(id).expect("a small number");
        let mut connection = self.0.pool.get().map_err(text)?;
        let _turn = self.0.writers.lock();
        let ran = connection.immediate_transaction(|connection| {
            let n: i32 = counter::table.find(key).select(counter::n).first(connection)?;
            diesel::update(counter::table.find(key)).set(counter::n.eq(n + 1)).execute(connection).map(drop)
        });
        ran.map_err(|error: diesel::result::Error| text(error))
    }
}
