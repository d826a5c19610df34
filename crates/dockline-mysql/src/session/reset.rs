//! The reset of a session that goes to another thread.

use std::time::Instant;

use dockline_core::Result;
use dockline_net::Deadline;

use super::MysqlSession;
use super::ran::Ran;
use crate::error::Phase;
use crate::open::SettingUp;
use crate::tracking::Tracking;

impl MysqlSession {
    /// The server resets the session (COM_RESET_CONNECTION), and it is set up as a new one. The server forgets every prepared
    /// statement with the rest.
    pub(super) fn reset_by(&mut self, deadline: Instant) -> Result<()> {
        let result = self.begin().and_then(|()| self.reset_and_set_up(deadline));
        // Half reset, it is nobody's any more.
        self.broken |= result.is_err();
        result
    }

    fn reset_and_set_up(&mut self, deadline: Instant) -> Result<()> {
        let left = deadline.saturating_duration_since(Instant::now());
        let reset = self.within(left.min(self.plan.short()), |session| session.conn.reset());
        reset.map_err(|error| self.failed(error, Phase::Before))?;
        self.cache.clear();
        self.switches.forget();
        self.tracking = Tracking::new(self.plan.settings.get_autocommit());
        let setting_up = SettingUp {
            conn: &mut self.conn,
            wire: self.wire.as_ref(),
            deadline: Deadline::after(deadline.saturating_duration_since(Instant::now())),
        };
        setting_up.run(&self.plan, &mut self.tracking)?;
        self.ran = Ran::default();
        if self.plan.settings.get_init_sql().is_some() {
            self.ran.note_all();
        }
        self.options = None;
        self.rolled_back = false;
        self.learn_dialect();
        Ok(())
    }
}
