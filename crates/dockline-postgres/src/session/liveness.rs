//! Whether the connection is as good as it was.

use std::time::Duration;

use dockline_core::backend::Health;
use dockline_core::{Error, ErrorKind, Result};
use dockline_net::{Deadline, Look, Role, SHORT};
use postgres::SimpleQueryMessage;

use super::PostgresSession;
use crate::error::{self, Phase};
use crate::protocol::{Fatal, Status};

impl PostgresSession {
    /// A round trip.
    pub(super) fn answers(&mut self) -> bool {
        if self.broken {
            return false;
        }
        if !self.autocommit {
            return self.asks_in_transaction();
        }
        let limit = self.short();
        let usable = self.call(Phase::Before, limit, |client| client.is_valid(limit.unwrap_or(SHORT))).is_ok();
        if !usable {
            // An answer that comes later belongs to nobody.
            self.broken = true;
        }
        usable
    }

    /// Asks what the server is, by a round trip, for the choice among several.
    pub(crate) fn role(&mut self, deadline: Deadline) -> Result<Role> {
        const QUESTION: &str =
            "SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('transaction_read_only')";
        self.watch.begin_whole_call(deadline.remaining().unwrap_or(Duration::from_millis(1)));
        let before = self.watch.written();
        let answer = self.client()?.simple_query(QUESTION);
        let messages = answer.map_err(|error| {
            self.failed(error, Phase::Before, before).with_context("asking whether it takes writes")
        })?;
        let role = messages.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                let standby = row.get(0) == Some("t");
                Some(Role { standby, read_only: standby || row.get(1) == Some("on") })
            }
            _ => None,
        });
        role.ok_or_else(|| Error::new(ErrorKind::Internal, "the server does not say whether it takes writes"))
    }

    /// A round trip in the transaction that autocommit being off has begun, as Django's `is_usable` makes it: it says whether
    /// the transaction is well, too.
    fn asks_in_transaction(&mut self) -> bool {
        let limit = self.short();
        self.begin_now().is_ok() && self.call(Phase::Before, limit, |client| client.simple_query("SELECT 1")).is_ok()
    }

    /// What can be said without a round trip.
    pub(super) fn looks_usable(&mut self) -> bool {
        let failed = !self.autocommit && self.status() == Status::Failed;
        !failed && !self.broken && !matches!(self.look(), Health::Gone(_))
    }

    /// A look, without a round trip.
    pub(super) fn look(&mut self) -> Health {
        if !self.plan.server.is_current(self.stamp) {
            let message = "the server was demoted, and takes no writes any more";
            return Health::Gone(Error::new(ErrorKind::Operational, message).with_code("25006"));
        }
        self.notice_end();
        if self.broken {
            return Health::Gone(match self.fatal() {
                Some(fatal) => error::of_fatal(&fatal, Phase::Before),
                None => error::lost(Phase::Before, "the connection was lost before"),
            });
        }
        if let Some(reason) = self.outdated {
            return Health::Gone(Error::new(ErrorKind::Operational, reason).with_code("25006"));
        }
        if self.canceller.is_in_doubt() {
            return Health::Gone(error::lost(
                Phase::Before,
                "a cancellation may still come, and hit the next statement",
            ));
        }
        let Some(wire) = &self.wire else { return Health::Alive };
        let gone = match wire.look() {
            Look::Quiet => return Health::Alive,
            Look::Closed => error::lost(Phase::Before, "the server closed the connection"),
            Look::Failed(error) => {
                error::lost(Phase::Before, &format!("the connection failed: {error}")).with_source(error)
            }
            Look::Data if self.is_encrypted() => return Health::Ask,
            Look::Data => {
                let mut waiting = [0; 1024];
                match Fatal::waiting(wire.peek(&mut waiting)) {
                    Some(fatal) => error::of_fatal(&fatal, Phase::Before),
                    // A notification, or a setting that has changed.
                    None => return Health::Ask,
                }
            }
        };
        self.broken = true;
        Health::Gone(match self.fatal() {
            Some(fatal) if gone.code().is_none() => error::of_fatal(&fatal, Phase::Before),
            _ => gone,
        })
    }
}
