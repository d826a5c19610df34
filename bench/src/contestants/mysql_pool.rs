//! The pool that the mysql crate brings: it asks and resets by default, and need not.

use mysql::prelude::Queryable;
use mysql::{PoolConstraints, PoolOpts};

use super::bare::mysql_options;
use super::{Contestant, LOOK_UP, READ, WRITE, Worker, text};
use crate::place::Place;
use crate::rounds::Outcome;

pub(super) fn make(place: &Place, threads: usize) -> Option<Box<dyn Contestant>> {
    open(place, threads, "mysql::Pool", PoolOpts::new())
}

pub(super) fn make_unchecked(place: &Place, threads: usize) -> Option<Box<dyn Contestant>> {
    let unchecked = PoolOpts::new().with_reset_connection(false).with_check_health(false);
    open(place, threads, "mysql::Pool, checks off", unchecked)
}

fn open(place: &Place, threads: usize, name: &'static str, options: PoolOpts) -> Option<Box<dyn Contestant>> {
    if !place.database.is_mysql() {
        return None;
    }
    let options = options.with_constraints(PoolConstraints::new(1, threads)?);
    let pool = mysql::Pool::new(mysql_options(place).pool_opts(options)).expect("a pool");
    Some(Box::new(Pooled { name, pool }))
}

struct Pooled {
    name: &'static str,
    pool: mysql::Pool,
}

impl Contestant for Pooled {
    fn name(&self) -> &'static str {
        self.name
    }

    fn on_thread(&self) -> Box<dyn Worker + '_> {
        Box::new(Requests(self.pool.clone()))
    }
}

struct Requests(mysql::Pool);

impl Worker for Requests {
    fn look_ups(&mut self, ids: &[u32]) -> Outcome {
        let mut conn = self.0.get_conn().map_err(text)?;
        for id in ids {
            let name: Option<String> = conn.exec_first(LOOK_UP, (*id,)).map_err(text)?;
            std::hint::black_box(name.ok_or("no row")?);
        }
        Ok(())
    }

    fn read_and_write(&mut self, id: u32) -> Outcome {
        let run = || {
            let mut conn = self.0.get_conn()?;
            let mut transaction = conn.start_transaction(mysql::TxOpts::default())?;
            let n: i32 = transaction.exec_first(READ, (id,))?.unwrap_or_default();
            transaction.exec_drop(WRITE, (n + 1, id))?;
            transaction.commit()
        };
        run().map_err(text)
    }
}
