//! sqlx's pools with a place for each thread, as they are and without the ping before a connection is handed out.

use sqlx::mysql::{MySqlPool, MySqlPoolOptions};
use sqlx::postgres::{PgPool, PgPoolOptions};

use super::super::{Contestant, LOOK_UP, READ, WRITE, Worker, text};
use super::wait;
use crate::place::{Database, Place};
use crate::rounds::Outcome;

pub(in super::super) fn make(place: &Place, threads: usize) -> Option<Box<dyn Contestant>> {
    open(place, threads, true)
}

pub(in super::super) fn make_unchecked(place: &Place, threads: usize) -> Option<Box<dyn Contestant>> {
    open(place, threads, false)
}

fn open(place: &Place, threads: usize, checked: bool) -> Option<Box<dyn Contestant>> {
    let size = u32::try_from(threads).expect("a number of threads");
    let name = if checked { "sqlx" } else { "sqlx, checks off" };
    let Database::Server(_) = place.database else { return None };
    if place.database.is_postgres() {
        let options = PgPoolOptions::new().max_connections(size).test_before_acquire(checked);
        let pool = wait(options.connect(&place.url)).expect("a pool");
        let sql = [LOOK_UP, READ, WRITE].map(|sql| &*String::leak(place.database.sql(sql)));
        return Some(Box::new(Postgres { name, pool, sql }));
    }
    let options = MySqlPoolOptions::new().max_connections(size).test_before_acquire(checked);
    // It knows MariaDB by MySQL's scheme too.
    let url = place.url.replacen("mariadb:", "mysql:", 1);
    let pool = wait(options.connect(&url)).expect("a pool");
    Some(Box::new(Mysql { name, pool }))
}

struct Postgres {
    name: &'static str,
    pool: PgPool,
    sql: [&'static str; 3],
}

struct Mysql {
    name: &'static str,
    pool: MySqlPool,
}

impl Contestant for Postgres {
    fn name(&self) -> &'static str {
        self.name
    }

    fn on_thread(&self) -> Box<dyn Worker + '_> {
        Box::new(PostgresRequests(self))
    }
}

impl Contestant for Mysql {
    fn name(&self) -> &'static str {
        self.name
    }

    fn on_thread(&self) -> Box<dyn Worker + '_> {
        Box::new(MysqlRequests(self))
    }
}

struct PostgresRequests<'a>(&'a Postgres);
struct MysqlRequests<'a>(&'a Mysql);

impl Worker for PostgresRequests<'_> {
    fn look_ups(&mut self, ids: &[u32]) -> Outcome {
        wait(async {
            let mut connection = self.0.pool.acquire().await.map_err(text)?;
            for id in ids {
                let key = i32::try_from(*id).expect("a small number");
                let (name,): (String,) =
                    sqlx::query_as(self.0.sql[0]).bind(key).fetch_one(&mut *connection).await.map_err(text)?;
                std::hint::black_box(name);
            }
            Ok(())
        })
    }

    fn read_and_write(&mut self, id: u32) -> Outcome {
        let key = i32::try_from(id).expect("a small number");
        wait(async {
            let mut transaction = self.0.pool.begin().await.map_err(text)?;
            let (n,): (i32,) =
                sqlx::query_as(self.0.sql[1]).bind(key).fetch_one(&mut *transaction).await.map_err(text)?;
            sqlx::query(self.0.sql[2]).bind(n + 1).bind(key).execute(&mut *transaction).await.map_err(text)?;
            transaction.commit().await.map_err(text)
        })
    }
}

impl Worker for MysqlRequests<'_> {
    fn look_ups(&mut self, ids: &[u32]) -> Outcome {
        wait(async {
            let mut connection = self.0.pool.acquire().await.map_err(text)?;
            for id in ids {
                let (name,): (String,) =
                    sqlx::query_as(LOOK_UP).bind(*id).fetch_one(&mut *connection).await.map_err(text)?;
                std::hint::black_box(name);
            }
            Ok(())
        })
    }

    fn read_and_write(&mut self, id: u32) -> Outcome {
        wait(async {
            let mut transaction = self.0.pool.begin().await.map_err(text)?;
            let (n,): (i32,) = sqlx::query_as(READ).bind(id).fetch_one(&mut *transaction).await.map_err(text)?;
            sqlx::query(WRITE).bind(n + 1).bind(id).execute(&mut *transaction).await.map_err(text)?;
            transaction.commit().await.map_err(text)
        })
    }
}
