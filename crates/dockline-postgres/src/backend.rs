//! The engine, and the database of one alias.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dockline_core::backend::{Backend, Engine, Session, SqlOfDatabases, TestDatabases};
use dockline_core::{Error, Result, Settings};
use dockline_net::{Deadline, Hosts, check_tls_files};

use crate::open;
use crate::plan::Plan;
use crate::runtime;
use crate::session::PostgresSession;

/// The engine of the schemes `postgres` and `postgresql`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Postgres;

impl Engine for Postgres {
    fn schemes(&self) -> &'static [&'static str] {
        &["postgres", "postgresql", "pgsql", "psql"]
    }

    fn options(&self) -> &'static [&'static str] {
        &["options"]
    }

    fn open(&self, alias: &str, settings: &Settings) -> Result<Box<dyn Backend>> {
        if settings.get_transaction_mode() != Settings::new().get_transaction_mode() {
            return Err(Error::config("setting transaction_mode: it is SQLite's; for PostgreSQL set isolation_level"));
        }
        check_tls_files(settings)?;
        let hosts = Hosts::of(settings, |settings| {
            let plan = Plan::new(alias, settings)?;
            Ok((plan.address().to_owned(), Arc::new(plan)))
        })?;
        Ok(Box::new(PostgresBackend { hosts, connect_timeout: settings.get_connect_timeout() }))
    }
}

struct PostgresBackend {
    hosts: Hosts<Arc<Plan>>,
    connect_timeout: Duration,
}

impl PostgresBackend {
    fn connect_within(&self, deadline: Deadline) -> Result<Box<dyn Session>> {
        runtime::blocking(|| {
            let connect =
                |plan: &Arc<Plan>, deadline| PostgresSession::set_up(open::open(plan, deadline)?, Arc::clone(plan));
            let session = self.hosts.connect(deadline, connect, |session, deadline| session.role(deadline), drop)?;
            Ok(session as Box<dyn Session>)
        })
    }
}

impl Backend for PostgresBackend {
    fn vendor(&self) -> &'static str {
        "postgresql"
    }

    fn test_databases(&self) -> Option<TestDatabases> {
        Some(TestDatabases::BySql(SqlOfDatabases {
            maintenance: "postgres",
            session: "SET lock_timeout = '20s'",
            create: |name| format!("CREATE DATABASE \"{name}\""),
            copy: Some(|name, of| format!("CREATE DATABASE \"{name}\" TEMPLATE \"{of}\"")),
            drop: |name| format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)"),
            names: "SELECT datname FROM pg_catalog.pg_database",
        }))
    }

    fn connect(&self) -> Result<Box<dyn Session>> {
        self.connect_within(Deadline::after(self.connect_timeout))
    }

    fn connect_by(&self, deadline: Instant) -> Result<Box<dyn Session>> {
        self.connect_within(Deadline::after(self.connect_timeout).under_cap(deadline))
    }
}
