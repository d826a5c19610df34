//! Switching autocommit, at the ends of a block, and when the program asks for it.

use mysql::Statement;
use mysql::prelude::Queryable;

use super::MysqlSession;
use super::switches::{BLOCKS, SWITCHES, Switches};

const UNKNOWN_STATEMENT: u16 = 1243;
const INTERRUPTED: u16 = 1317;

impl MysqlSession {
    pub(super) fn send_switch(&mut self, on: bool) -> mysql::Result<()> {
        // What SET TRANSACTION has said is for the next statement that begins a transaction.
        if !on && self.options.is_none() {
            self.count_block()?;
        }
        if let Switches::Tried(prepared) | Switches::Prepared(prepared) = &self.switches {
            let result = self.conn.exec_drop(&prepared[usize::from(on)], ());
            let is_forgotten =
                matches!(&result, Err(mysql::Error::MySqlError(error)) if error.code == UNKNOWN_STATEMENT);
            if !is_forgotten {
                return result.map(|()| self.confirm_switch(on));
            }
            self.switches.forget();
        }
        self.conn.query_drop(SWITCHES[usize::from(on)])
    }

    fn count_block(&mut self) -> mysql::Result<()> {
        let Switches::Counted(blocks) = &mut self.switches else { return Ok(()) };
        *blocks += 1;
        if *blocks <= BLOCKS {
            return Ok(());
        }
        self.switches = match self.prepare_switches() {
            Ok(prepared) => Switches::Tried(Box::new(prepared)),
            // There is no room for more, or it prepares no such statement.
            Err(mysql::Error::MySqlError(error)) if error.code != INTERRUPTED => Switches::Texts,
            Err(error) => return Err(error),
        };
        Ok(())
    }

    fn prepare_switches(&mut self) -> mysql::Result<[Statement; 2]> {
        let off = self.conn.prep(SWITCHES[0])?;
        match self.conn.prep(SWITCHES[1]) {
            Ok(on) => Ok([off, on]),
            Err(error) => {
                self.conn.close(off)?;
                Err(error)
            }
        }
    }

    /// The server's own word is asked for once: that of the first that is run.
    fn confirm_switch(&mut self, on: bool) {
        if !matches!(self.switches, Switches::Tried(_)) {
            return;
        }
        self.tracking.autocommit = !on;
        let _ = self.tracking.read(&self.conn);
        let has_switched = self.tracking.autocommit == on;
        self.switches = match std::mem::replace(&mut self.switches, Switches::Texts) {
            Switches::Tried(prepared) if has_switched => Switches::Prepared(prepared),
            Switches::Tried(prepared) => {
                self.close_statements(*prepared);
                Switches::Texts
            }
            other => other,
        };
    }

    /// Before the driver's own object is lent: what is done with it may leave the numbers of these to other statements.
    pub(super) fn close_switches(&mut self) {
        if matches!(self.switches, Switches::Texts | Switches::Counted(_)) {
            return;
        }
        if let Switches::Tried(prepared) | Switches::Prepared(prepared) =
            std::mem::replace(&mut self.switches, Switches::Counted(0))
        {
            self.close_statements(*prepared);
        }
    }

    /// The server does not answer to it.
    fn close_statements(&mut self, statements: [Statement; 2]) {
        for statement in statements {
            self.broken |= self.conn.close(statement).is_err();
        }
    }
}
