//! What an error says of the session.

use dockline_core::{Error, Fact};

use super::MysqlSession;
use crate::ask::{ask, is_on};
use crate::error::{Phase, ends_transaction, keeps_step, map, spares_transaction};

impl MysqlSession {
    /// What an error of the driver means for the session, and as an error of ours. `half_way`: the statement may have done
    /// anything before.
    pub(super) fn failed_by(&mut self, error: mysql::Error, phase: Phase, half_way: bool) -> Error {
        self.broken |= !keeps_step(&error);
        let mapped = map(error, phase, self.limit());
        if self.broken {
            return mapped;
        }
        let code = mapped.code().unwrap_or_default();
        let was_told = self.tracking.is_open();
        let was_in = self.tracking.in_transaction();
        if ends_transaction(&code) && !half_way {
            self.tracking.set_open(false);
            self.rolled_back = true;
            if was_told {
                self.tell_anew();
            }
        } else if spares_transaction(&code) && !half_way {
            // It may have begun a transaction all the same.
            self.tracking.doubts();
        } else if half_way || self.tracking.may_have_transaction() {
            self.ask_for_transaction();
            self.rolled_back = was_in && !self.tracking.in_transaction();
        }
        // Where its transaction stands could not be had.
        let mapped = if self.broken { mapped.with_fact(Fact::Disconnect) } else { mapped };
        match (code.as_str(), self.plan.settings.get_statement_timeout()) {
            ("1290" | "1836", _) if !self.broken => self.confirm_read_only(mapped),
            ("1969" | "3024", Some(limit)) => {
                mapped.with_context(format_args!("the statement ran longer than statement_timeout ({limit:?})"))
            }
            _ => mapped,
        }
    }

    /// 1290 is said of several options. If the server took writes when this connection was opened, it was demoted.
    fn confirm_read_only(&mut self, error: Error) -> Error {
        match ask(&mut self.conn, "SELECT @@global.read_only") {
            Ok(told) if told.first().and_then(Option::as_deref).is_some_and(is_on) => {
                if !self.was_read_only {
                    self.server.demoted(self.stamp);
                }
                error.with_fact(Fact::ReadOnly)
            }
            Ok(_) => error,
            Err(failed) => {
                self.broken |= !keeps_step(&failed);
                error
            }
        }
    }
}
