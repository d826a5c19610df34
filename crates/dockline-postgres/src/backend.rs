//! The engine, and the database of one alias.

use std::sync::Arc;

use dockline_core::backend::{Backend, Engine, Session};
use dockline_core::{Error, Result, Settings};
use dockline_net::check_tls_files;

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

    fn open(&self, alias: &str, settings: &Settings) -> Result<Box<dyn Backend>> {
        if settings.get_transaction_mode() != Settings::new().get_transaction_mode() {
            return Err(Error::config("setting transaction_mode: it is SQLite's; for PostgreSQL set isolation_level"));
        }
        check_tls_files(settings)?;
        Ok(Box::new(PostgresBackend { plan: Arc::new(Plan::new(alias, settings)?) }))
    }
}

struct PostgresBackend {
    plan: Arc<Plan>,
}

impl Backend for PostgresBackend {
    fn vendor(&self) -> &'static str {
        "postgresql"
    }

    fn connect(&self) -> Result<Box<dyn Session>> {
        runtime::blocking(|| {
            let opened = open::open(&self.plan)?;
            Ok(Box::new(PostgresSession::set_up(opened, Arc::clone(&self.plan))?) as Box<dyn Session>)
        })
    }
}
