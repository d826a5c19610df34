//! Dockline with its defaults.

use dockline::{Connection, Connections, Result, params};

use super::{Contestant, LOOK_UP, READ, WRITE, Worker, text};
use crate::place::Place;
use crate::rounds::Outcome;

pub(super) fn make(place: &Place, _: usize) -> Option<Box<dyn Contestant>> {
    Some(Box::new(Dockline(place.connections())))
}

struct Dockline(Connections);

impl Contestant for Dockline {
    fn name(&self) -> &'static str {
        "Dockline"
    }

    fn on_thread(&self) -> Box<dyn Worker + '_> {
        Box::new(Requests(&self.0))
    }
}

/// Requests of a thread: each begins, looks its connection up by its alias, and ends.
struct Requests<'a>(&'a Connections);

impl Requests<'_> {
    fn request<R>(&self, work: impl FnOnce(&Connection) -> Result<R>) -> std::result::Result<R, String> {
        let _request = self.0.request();
        self.0.get("default").and_then(|db| work(&db)).map_err(text)
    }
}

impl Worker for Requests<'_> {
    fn look_ups(&mut self, ids: &[u32]) -> Outcome {
        self.request(|db| {
            for id in ids {
                std::hint::black_box(db.query_value::<String>(LOOK_UP, params![*id])?);
            }
            Ok(())
        })
    }

    fn read_and_write(&mut self, id: u32) -> Outcome {
        self.request(|db| {
            db.atomic(|| {
                let n: i32 = db.query_value(READ, params![id])?;
                db.execute(WRITE, params![n + 1, id]).map(drop)
            })
        })
    }
}
