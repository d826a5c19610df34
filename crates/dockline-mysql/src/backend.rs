//! The engine, and the database of one alias.

use std::sync::Arc;

use dockline_core::backend::{Backend, Engine, Session};
use dockline_core::{Error, ErrorKind, Result, Settings};

use crate::open;
use crate::plan::Plan;
use crate::session::MysqlSession;

/// The engine of the schemes `mysql` and `mariadb`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mysql;

const OPTIONS: &[&str] = &["socket", "read_default_file", "read_default_group", "sql_mode", "charset", "collation"];

impl Engine for Mysql {
    fn schemes(&self) -> &'static [&'static str] {
        &["mysql", "mariadb", "mysql2"]
    }

    fn options(&self) -> &'static [&'static str] {
        OPTIONS
    }

    fn open(&self, alias: &str, settings: &Settings) -> Result<Box<dyn Backend>> {
        Ok(Box::new(MysqlBackend { plan: Arc::new(Plan::read(alias, settings)?) }))
    }
}

struct MysqlBackend {
    plan: Arc<Plan>,
}

impl Backend for MysqlBackend {
    fn vendor(&self) -> &'static str {
        "mysql"
    }

    fn connect(&self) -> Result<Box<dyn Session>> {
        let opened = open::open(&self.plan)?;
        Ok(Box::new(MysqlSession::set_up(opened, &self.plan)?))
    }

    fn notices_loss_by_sending(&self) -> bool {
        true
    }

    fn closed(&self) -> Error {
        Error::new(ErrorKind::Operational, "the connection is closed").with_code("2006")
    }
}
