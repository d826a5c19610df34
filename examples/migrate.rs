//! Runs the migrations in `examples/migrations` with [refinery](https://docs.rs/refinery), on the driver's own connection
//! that [`Connection::native`] lends.
//!
//! ```sh
//! cargo run --example migrate             # on an SQLite file of its own
//! DATABASE_URL=postgres://app:secret@localhost/app cargo run --example migrate
//! DATABASE_URL=mysql://app:secret@127.0.0.1/app cargo run --example migrate
//! ```
//!
//! It leaves the tables `migrate_note` and `refinery_schema_history`. The second run finds nothing to do.

use std::error::Error;
use std::process::ExitCode;

use dockline::{Connection, DEFAULT_ALIAS, Databases, Settings, mysql, params, postgres, rusqlite};
use refinery::{Migration, Report};

use lent::Lent;

mod embedded {
    refinery::embed_migrations!("migrations");
}

type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("migrate: {}", with_causes(&*error));
            ExitCode::from(2)
        }
    }
}

fn run() -> Fallible<()> {
    // Until this is dropped: the database of a run without DATABASE_URL.
    let folder = tempfile::tempdir()?;
    let mut databases = Databases::from_env()?;
    if databases.settings(DEFAULT_ALIAS).is_none() {
        let path = folder.path().join("migrate.db");
        let path = path.to_str().ok_or("the temporary folder has a name that is not UTF-8")?;
        databases = databases.with(DEFAULT_ALIAS, Settings::new().engine("sqlite").name(path));
    }
    dockline::init(databases)?;

    let db = dockline::connection()?;
    let report = migrate(&db)?;
    let applied: Vec<String> = report.applied_migrations().iter().map(Migration::to_string).collect();
    match applied.is_empty() {
        true => println!("{}: nothing to do", db.vendor()),
        false => println!("{}: applied {}", db.vendor(), applied.join(", ")),
    }

    // The same connection again, by Dockline.
    db.execute("DELETE FROM migrate_note", ())?;
    db.execute("INSERT INTO migrate_note (id, title) VALUES (?, ?)", params![1, "water the plants"])?;
    let (title, done): (String, bool) =
        db.query_one("SELECT title, done FROM migrate_note WHERE id = ?", params![1])?.decode()?;
    println!("note 1: {title}{}", if done { ", done" } else { "" });
    Ok(())
}

/// Only here does it matter which driver it is.
fn migrate(db: &Connection) -> Fallible<Report> {
    let runner = embedded::migrations::runner();
    let report = match db.vendor() {
        "postgresql" => db.native(|client: &mut postgres::Client| runner.run(client))?,
        "mysql" => db.native(|conn: &mut mysql::Conn| runner.run(&mut Lent(conn)))?,
        _ => db.native(|conn: &mut rusqlite::Connection| runner.run(&mut Lent(conn)))?,
    };
    Ok(report?)
}

/// refinery's own message is only the first half.
fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// refinery's traits for drivers that it does not know in the version that is used here. They are for foreign types, so
/// they stand on one of our own.
mod lent {
    use dockline::{mysql, rusqlite};
    use mysql::prelude::Queryable;
    use refinery::{Migration, SchemaVersion};
    use refinery_core::traits::sync::{Migrate, Query, Transaction};
    use time::OffsetDateTime;
    use time::format_description::well_known::Rfc3339;

    /// A connection that was lent.
    pub(crate) struct Lent<'c, D>(pub(crate) &'c mut D);

    /// Version, name, when, checksum.
    type Applied = (SchemaVersion, String, String, String);

    /// What refinery needs of a driver.
    pub(crate) trait Driver {
        type Error: std::error::Error + Send + Sync + 'static;
        /// What begins a transaction.
        const BEGIN: &'static str;

        /// Runs what may be several statements.
        fn run(&mut self, sql: &str) -> Result<(), Self::Error>;
        fn applied(&mut self, sql: &str) -> Result<Vec<Applied>, Self::Error>;
    }

    impl Driver for mysql::Conn {
        type Error = mysql::Error;
        const BEGIN: &'static str = "START TRANSACTION";

        fn run(&mut self, sql: &str) -> mysql::Result<()> {
            self.query_drop(sql)
        }

        fn applied(&mut self, sql: &str) -> mysql::Result<Vec<Applied>> {
            self.query(sql)
        }
    }

    impl Driver for rusqlite::Connection {
        type Error = rusqlite::Error;
        const BEGIN: &'static str = "BEGIN IMMEDIATE";

        fn run(&mut self, sql: &str) -> rusqlite::Result<()> {
            self.execute_batch(sql)
        }

        fn applied(&mut self, sql: &str) -> rusqlite::Result<Vec<Applied>> {
            let mut statement = self.prepare(sql)?;
            let rows = statement.query_map((), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
            rows.collect()
        }
    }

    impl<D: Driver> Transaction for Lent<'_, D> {
        type Error = D::Error;

        fn execute<'a, T: Iterator<Item = &'a str>>(&mut self, queries: T) -> Result<usize, D::Error> {
            self.0.run(D::BEGIN)?;
            let mut count = 0;
            let ran = queries.into_iter().try_for_each(|sql| {
                count += 1;
                self.0.run(sql)
            });
            match ran.and_then(|()| self.0.run("COMMIT")) {
                Ok(()) => Ok(count),
                Err(error) => {
                    // What went wrong first is what is told. MySQL commits a CREATE or ALTER all the same.
                    let _ = self.0.run("ROLLBACK");
                    Err(error)
                }
            }
        }
    }

    impl<D: Driver> Query<Vec<Migration>> for Lent<'_, D> {
        fn query(&mut self, sql: &str) -> Result<Vec<Migration>, D::Error> {
            let migration = |(version, name, on, checksum): Applied| {
                let on = OffsetDateTime::parse(&on, &Rfc3339).expect("refinery wrote it");
                Migration::applied(version, name, on, checksum.parse().expect("refinery wrote it"))
            };
            Ok(self.0.applied(sql)?.into_iter().map(migration).collect())
        }
    }

    impl<D: Driver> Migrate for Lent<'_, D> {}
}
