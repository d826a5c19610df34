//! The reset of a session that goes to another thread.

use std::time::Instant;

use dockline_core::Result;
use dockline_core::backend::TransactionOptions;
use dockline_net::Deadline;

use super::PostgresSession;
use super::held::Held;

/// `DISCARD ALL` without what ends prepared statements and their plans: those are kept.
const RESET: &str = "CLOSE ALL;SET SESSION AUTHORIZATION DEFAULT;RESET ALL;UNLISTEN *;SELECT pg_advisory_unlock_all();\
                     DISCARD TEMP;DISCARD SEQUENCES;";

impl PostgresSession {
    /// The server resets the session, and it is set up as a new one, in one round trip; `init_sql` takes another.
    pub(super) fn reset_by(&mut self, deadline: Instant) -> Result<()> {
        let left = deadline.saturating_duration_since(Instant::now());
        let result = self.tell_settings(RESET, Deadline::after(left));
        // Half reset, it is nobody's any more.
        self.broken |= result.is_err();
        result?;
        self.held = Held::default();
        self.autocommit = self.plan.autocommit;
        self.options = TransactionOptions::default();
        (self.committed, self.rolled_back) = (false, false);
        // What the server reports is how each session begins, as before.
        self.reported = self.parameters();
        Ok(())
    }
}
