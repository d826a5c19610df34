//! r2d2 with a place for each thread, as its adapters of the drivers check connections, and with those checks off.

use super::bare::Bare;
use super::{Contestant, Worker};
use crate::place::Place;
use crate::rounds::Outcome;

pub(super) fn make(place: &Place, threads: usize) -> Option<Box<dyn Contestant>> {
    Some(Box::new(Pooled { name: "r2d2", pool: pool(place, threads, true)? }))
}

pub(super) fn make_unchecked(place: &Place, threads: usize) -> Option<Box<dyn Contestant>> {
    Some(Box::new(Pooled { name: "r2d2, checks off", pool: pool(place, threads, false)? }))
}

fn pool(place: &Place, threads: usize, checked: bool) -> Option<r2d2::Pool<Manager>> {
    let size = u32::try_from(threads).expect("a number of threads");
    let manager = Manager { place: place.clone(), checked };
    r2d2::Pool::builder().max_size(size).test_on_check_out(checked).build(manager).ok()
}

/// What r2d2_postgres, r2d2_mysql and r2d2_sqlite do, with the statements kept prepared.
#[derive(Debug)]
struct Manager {
    place: Place,
    checked: bool,
}

#[derive(Debug)]
struct Failed(String);

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failed {}

impl r2d2::ManageConnection for Manager {
    type Connection = Bare;
    type Error = Failed;

    fn connect(&self) -> Result<Bare, Failed> {
        Bare::open(&self.place).map_err(Failed)
    }

    fn is_valid(&self, bare: &mut Bare) -> Result<(), Failed> {
        bare.check().map_err(Failed)
    }

    fn has_broken(&self, bare: &mut Bare) -> bool {
        // r2d2_mysql asks the server whenever a connection is given back.
        if bare.is_mysql() && self.checked { bare.check().is_err() } else { bare.is_closed() }
    }
}

struct Pooled {
    name: &'static str,
    pool: r2d2::Pool<Manager>,
}

impl Contestant for Pooled {
    fn name(&self) -> &'static str {
        self.name
    }

    fn on_thread(&self) -> Box<dyn Worker + '_> {
        Box::new(Requests(self.pool.clone()))
    }
}

struct Requests(r2d2::Pool<Manager>);

impl Worker for Requests {
    fn look_ups(&mut self, ids: &[u32]) -> Outcome {
        let mut bare = self.0.get().map_err(super::text)?;
        for id in ids {
            std::hint::black_box(bare.look_up(*id)?);
        }
        Ok(())
    }

    fn read_and_write(&mut self, id: u32) -> Outcome {
        self.0.get().map_err(super::text)?.read_and_write(id)
    }
}

/// Pools of connections that are nothing, with a place for each thread and no checks: what remains is the pool.
pub(crate) fn nothing(pools: usize, threads: usize) -> Vec<r2d2::Pool<Nothing>> {
    let helpers = std::sync::Arc::new(scheduled_thread_pool::ScheduledThreadPool::new(1));
    let size = u32::try_from(threads).expect("a number of threads");
    let build = |_| {
        let builder = r2d2::Pool::builder().max_size(size).min_idle(Some(1)).test_on_check_out(false);
        builder.thread_pool(std::sync::Arc::clone(&helpers)).build(Nothing).expect("a pool")
    };
    (0..pools).map(build).collect()
}

pub(crate) struct Nothing;

impl r2d2::ManageConnection for Nothing {
    type Connection = ();
    type Error = std::convert::Infallible;

    fn connect(&self) -> Result<(), Self::Error> {
        Ok(())
    }

    fn is_valid(&self, (): &mut ()) -> Result<(), Self::Error> {
        Ok(())
    }

    fn has_broken(&self, (): &mut ()) -> bool {
        false
    }
}
