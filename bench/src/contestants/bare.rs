//! The bare driver with one connection for each thread, opened once, and its statements prepared once: the limit.

use std::sync::Arc;

use mysql::prelude::Queryable;
use parking_lot::FairMutex;
use percent_encoding::percent_decode_str;
use rusqlite::OptionalExtension;
use url::Url;

use super::{Contestant, LOOK_UP, READ, WRITE, Worker, text};
use crate::place::Place;
use crate::rounds::Outcome;

/// A connection of a driver, with its statements.
pub(crate) enum Bare {
    Postgres {
        client: Box<postgres::Client>,
        look_up: postgres::Statement,
        read: postgres::Statement,
        write: postgres::Statement,
    },
    Mysql {
        conn: Box<mysql::Conn>,
        look_up: mysql::Statement,
        read: mysql::Statement,
        write: mysql::Statement,
    },
    Sqlite(rusqlite::Connection),
}

fn plain(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn parts(place: &Place) -> (Url, String, String, String) {
    let url: Url = place.url.parse().expect("a URL");
    let (user, password) = (plain(url.username()), plain(url.password().unwrap_or_default()));
    let name = url.path().trim_start_matches('/').to_owned();
    (url, user, password, name)
}

pub(crate) fn postgres_config(place: &Place) -> postgres::Config {
    let (url, user, password, name) = parts(place);
    let mut config = postgres::Config::new();
    config.user(&user).password(&password).dbname(&name).host(url.host_str().expect("a host"));
    config.port(url.port().expect("a port"));
    config
}

pub(crate) fn mysql_options(place: &Place) -> mysql::OptsBuilder {
    let (url, user, password, name) = parts(place);
    mysql::OptsBuilder::new()
        .user(Some(user))
        .pass(Some(password))
        .db_name(Some(name))
        .ip_or_hostname(url.host_str())
        .tcp_port(url.port().expect("a port"))
        // A proxy in between would be left out otherwise.
        .prefer_socket(false)
}

impl Bare {
    pub(crate) fn open(place: &Place) -> Result<Self, String> {
        let database = place.database;
        if database.is_sqlite() {
            return open_sqlite(place.path()).map(Self::Sqlite).map_err(text);
        }
        if database.is_postgres() {
            let mut client = postgres_config(place).connect(postgres::NoTls).map_err(text)?;
            let mut prepare = |sql| client.prepare(&database.sql(sql)).map_err(text);
            let (look_up, read, write) = (prepare(LOOK_UP)?, prepare(READ)?, prepare(WRITE)?);
            return Ok(Self::Postgres { client: Box::new(client), look_up, read, write });
        }
        let mut conn = mysql::Conn::new(mysql_options(place)).map_err(text)?;
        let mut prepare = |sql| conn.prep(sql).map_err(text);
        let (look_up, read, write) = (prepare(LOOK_UP)?, prepare(READ)?, prepare(WRITE)?);
        Ok(Self::Mysql { conn: Box::new(conn), look_up, read, write })
    }

    pub(crate) fn look_up(&mut self, id: u32) -> Result<String, String> {
        let key = i32::try_from(id).expect("a small number");
        match self {
            Self::Postgres { client, look_up, .. } => {
                client.query_one(&*look_up, &[&key]).and_then(|row| row.try_get(0)).map_err(text)
            }
            Self::Mysql { conn, look_up, .. } => {
                conn.exec_first(&*look_up, (key,)).map_err(text)?.ok_or_else(|| "no row".to_owned())
            }
            Self::Sqlite(sqlite) => sqlite
                .prepare_cached(LOOK_UP)
                .and_then(|mut statement| statement.query_row([key], |row| row.get(0)).optional())
                .map_err(text)?
                .ok_or_else(|| "no row".to_owned()),
        }
    }

    /// A transaction in the driver's own way.
    pub(crate) fn read_and_write(&mut self, id: u32) -> Outcome {
        let key = i32::try_from(id).expect("a small number");
        match self {
            Self::Postgres { client, read, write, .. } => {
                let mut run = || {
                    let mut transaction = client.transaction()?;
                    let n: i32 = transaction.query_one(&*read, &[&key])?.try_get(0)?;
                    transaction.execute(&*write, &[&(n + 1), &key])?;
                    transaction.commit()
                };
                run().map_err(text)
            }
            Self::Mysql { conn, read, write, .. } => {
                let mut run = || {
                    let mut transaction = conn.start_transaction(mysql::TxOpts::default())?;
                    let n: i32 = transaction.exec_first(&*read, (key,))?.unwrap_or_default();
                    transaction.exec_drop(&*write, (n + 1, key))?;
                    transaction.commit()
                };
                run().map_err(text)
            }
            Self::Sqlite(sqlite) => {
                let run = || {
                    sqlite.prepare_cached("BEGIN IMMEDIATE")?.execute(())?;
                    let n: i32 = sqlite.prepare_cached(READ)?.query_row([key], |row| row.get(0))?;
                    sqlite.prepare_cached(WRITE)?.execute((n + 1, key))?;
                    sqlite.prepare_cached("COMMIT")?.execute(())
                };
                let ran = run().map(drop);
                if ran.is_err() && !sqlite.is_autocommit() {
                    let _ = sqlite.execute_batch("ROLLBACK");
                }
                ran.map_err(text)
            }
        }
    }

    /// Prepares a query of one parameter, whose rows are collected.
    pub(crate) fn prepare_rows(&mut self, sql: &str) -> Result<Query, String> {
        match self {
            Self::Postgres { client, .. } => client.prepare(sql).map(Query::Postgres).map_err(text),
            Self::Mysql { conn, .. } => conn.prep(sql).map(Query::Mysql).map_err(text),
            Self::Sqlite(_) => Ok(Query::Sqlite(sql.to_owned())),
        }
    }

    /// What r2d2's adapters of this driver ask to find out whether a connection lives.
    pub(crate) fn check(&mut self) -> Outcome {
        match self {
            Self::Postgres { client, .. } => client.simple_query("").map(drop).map_err(text),
            Self::Mysql { conn, .. } => conn.query::<String, _>("SELECT version()").map(drop).map_err(text),
            Self::Sqlite(sqlite) => sqlite.execute_batch("").map_err(text),
        }
    }

    /// What can be told without asking the server.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(self, Self::Postgres { client, .. } if client.is_closed())
    }

    pub(crate) fn is_mysql(&self) -> bool {
        matches!(self, Self::Mysql { .. })
    }
}

/// A query of one parameter, prepared.
pub(crate) enum Query {
    Postgres(postgres::Statement),
    Mysql(mysql::Statement),
    /// Its connection keeps the statement, and finds it by the text.
    Sqlite(String),
}

impl Query {
    /// Runs it on the connection that it was prepared on, and keeps its rows as the driver gives them, or for SQLite, which lends
    /// them, as values.
    pub(crate) fn run(&mut self, bare: &mut Bare, parameter: u32) -> Outcome {
        let key = i32::try_from(parameter).expect("a small number");
        match (self, bare) {
            (Self::Postgres(statement), Bare::Postgres { client, .. }) => {
                std::hint::black_box(client.query(&*statement, &[&key]).map_err(text)?);
            }
            (Self::Mysql(statement), Bare::Mysql { conn, .. }) => {
                let rows: Vec<mysql::Row> = conn.exec(&*statement, (key,)).map_err(text)?;
                std::hint::black_box(rows);
            }
            (Self::Sqlite(sql), Bare::Sqlite(sqlite)) => {
                let mut statement = sqlite.prepare_cached(sql).map_err(text)?;
                let columns = statement.column_count();
                let values = |row: &rusqlite::Row<'_>| -> rusqlite::Result<Vec<rusqlite::types::Value>> {
                    (0..columns).map(|at| row.get(at)).collect()
                };
                let rows = statement.query_map([key], values).map_err(text)?;
                std::hint::black_box(rows.collect::<Result<Vec<_>, _>>().map_err(text)?);
            }
            _ => unreachable!("a query of another driver"),
        }
        Ok(())
    }
}

/// With the settings that Dockline's connections have.
pub(crate) fn open_sqlite(path: &str) -> rusqlite::Result<rusqlite::Connection> {
    let sqlite = rusqlite::Connection::open(path)?;
    sqlite.busy_timeout(std::time::Duration::from_secs(5))?;
    sqlite.set_prepared_statement_cache_capacity(100);
    sqlite.execute_batch("PRAGMA journal_mode = wal; PRAGMA foreign_keys = on")?;
    Ok(sqlite)
}

pub(super) fn make(place: &Place, _: usize) -> Option<Box<dyn Contestant>> {
    Some(Box::new(BareDriver { place: place.clone(), writers: Arc::default() }))
}

struct BareDriver {
    place: Place,
    /// Threads that write to one file of SQLite take turns: without that, most of them would fail.
    writers: Arc<FairMutex<()>>,
}

impl Contestant for BareDriver {
    fn name(&self) -> &'static str {
        "bare driver"
    }

    fn on_thread(&self) -> Box<dyn Worker + '_> {
        Box::new(BareWorker { of: self, bare: Bare::open(&self.place).expect("a connection") })
    }
}

struct BareWorker<'a> {
    of: &'a BareDriver,
    bare: Bare,
}

impl BareWorker<'_> {
    /// A program without a pool has to notice by the error that its connection is gone.
    fn replace(&mut self, reason: String) -> String {
        if let Ok(bare) = Bare::open(&self.of.place) {
            self.bare = bare;
        }
        reason
    }
}

impl Worker for BareWorker<'_> {
    fn look_ups(&mut self, ids: &[u32]) -> Outcome {
        for id in ids {
            if let Err(reason) = self.bare.look_up(*id) {
                return Err(self.replace(reason));
            }
        }
        Ok(())
    }

    fn read_and_write(&mut self, id: u32) -> Outcome {
        let _turn = matches!(self.bare, Bare::Sqlite(_)).then(|| self.of.writers.lock());
        self.bare.read_and_write(id)
    }
}
