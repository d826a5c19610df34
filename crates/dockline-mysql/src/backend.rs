//! The engine, and the database of one alias.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dockline_core::backend::{Backend, Engine, Session, SqlOfDatabases, TestDatabases};
use dockline_core::{ChannelBinding, Error, ErrorKind, Result, Settings};
use dockline_net::{Deadline, Hosts};

use crate::open;
use crate::plan::Plan;
use crate::session::MysqlSession;

/// The engine of the schemes `mysql` and `mariadb`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mysql;

const OPTIONS: &[&str] =
    &["socket", "read_default_file", "read_default_group", "sql_mode", "charset", "collation", "uuid"];

impl Engine for Mysql {
    fn schemes(&self) -> &'static [&'static str] {
        &["mysql", "mariadb", "mysql2"]
    }

    fn options(&self) -> &'static [&'static str] {
        OPTIONS
    }

    fn open(&self, alias: &str, settings: &Settings) -> Result<Box<dyn Backend>> {
        if settings.get_channel_binding() == ChannelBinding::Require {
            return Err(Error::config(
                "setting channel_binding: it is PostgreSQL's, and cannot be required here; leave it out",
            ));
        }
        let hosts = Hosts::of(settings, |settings| {
            let plan = Plan::read(alias, settings)?;
            Ok((plan.name(), Arc::new(plan)))
        })?;
        Ok(Box::new(MysqlBackend { hosts, connect_timeout: settings.get_connect_timeout() }))
    }
}

struct MysqlBackend {
    hosts: Hosts<Arc<Plan>>,
    connect_timeout: Duration,
}

impl MysqlBackend {
    fn connect_within(&self, deadline: Deadline) -> Result<Box<dyn Session>> {
        let connect = |plan: &Arc<Plan>, deadline| MysqlSession::set_up(open::open_within(plan, deadline, None)?, plan);
        let session = self.hosts.connect(
            deadline,
            connect,
            |session, _| Ok(session.role()),
            |session| {
                let _ = session.close();
            },
        )?;
        Ok(session)
    }
}

impl Backend for MysqlBackend {
    fn vendor(&self) -> &'static str {
        "mysql"
    }

    fn test_databases(&self) -> Option<TestDatabases> {
        Some(TestDatabases::BySql(SqlOfDatabases {
            maintenance: "",
            // Somebody may be in the middle of a transaction there, and the server would wait for a year.
            session: "SET SESSION lock_wait_timeout = 20",
            create: |name| format!("CREATE DATABASE `{name}` CHARACTER SET utf8mb4"),
            copy: None,
            drop: |name| format!("DROP DATABASE IF EXISTS `{name}`"),
            names: "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA",
        }))
    }

    fn connect(&self) -> Result<Box<dyn Session>> {
        self.connect_within(Deadline::after(self.connect_timeout))
    }

    fn connect_by(&self, deadline: Instant) -> Result<Box<dyn Session>> {
        self.connect_within(Deadline::after(self.connect_timeout).under_cap(deadline))
    }

    fn notices_loss_by_sending(&self) -> bool {
        true
    }

    fn closed(&self) -> Error {
        Error::new(ErrorKind::Operational, "the connection is closed").with_code("2006")
    }
}
