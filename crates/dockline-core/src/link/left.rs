//! What stands for a connection that was left to the parent.

use std::any::Any;
use std::sync::Arc;

use crate::base::error::{Error, ErrorKind, Fact, Result};
use crate::base::value::Value;
use crate::config::backend::{
    Cancel, Health, Outcome, ParamRows, Rest, RowSink, Session, SessionState, TransactionOptions,
};
use crate::config::engines::AliasConfig;
use crate::config::statement::Dialect;
use crate::link::ages::Birth;
use crate::link::seat::Link;

impl Link {
    /// Stands for one that was left to the parent, until that has been told.
    pub(crate) fn left_to_parent(state: SessionState, config: Arc<AliasConfig>, birth: Birth) -> Self {
        let mut link = Self::new(Box::new(LeftSession { state }), config, birth);
        link.is_left = true;
        link
    }

    /// Whether it stands for one that was left to the parent.
    pub(crate) fn is_left(&self) -> bool {
        self.is_left
    }
}

/// The session of such a link. It is poisoned from the beginning, so nothing comes here.
struct LeftSession {
    state: SessionState,
}

fn left() -> Error {
    Error::new(ErrorKind::Operational, "the process was forked: its connection is the parent's")
        .with_fact(Fact::Disconnect)
}

impl Session for LeftSession {
    fn execute(&mut self, _: &str, _: &[Value]) -> Result<u64> {
        Err(left())
    }

    fn query(&mut self, _: &str, _: &[Value], _: &mut dyn RowSink) -> Result<Rest> {
        Err(left())
    }

    fn execute_many(&mut self, _: &str, _: &mut dyn ParamRows) -> Result<u64> {
        Err(left())
    }

    fn dialect(&self) -> Dialect {
        Dialect::SQLITE
    }

    fn run_own(&mut self, _: &str) -> Result<()> {
        Err(left())
    }

    fn set_autocommit(&mut self, _: bool) -> Result<()> {
        Err(left())
    }

    fn begin(&mut self, _: TransactionOptions) -> Result<()> {
        Err(left())
    }

    fn end(&mut self, _: bool) -> Result<()> {
        Err(left())
    }

    fn commit(&mut self) -> Result<()> {
        Err(left())
    }

    fn rollback(&mut self) -> Result<()> {
        Err(left())
    }

    fn begins_lazily(&self) -> bool {
        false
    }

    fn outcome(&self) -> Outcome {
        Outcome::IDLE
    }

    fn is_usable(&mut self) -> bool {
        false
    }

    fn probe(&mut self) -> Health {
        Health::Gone(left())
    }

    fn can_probe(&self) -> bool {
        true
    }

    fn state(&mut self) -> SessionState {
        self.state.clone()
    }

    fn server_connection_id(&self) -> Option<u64> {
        None
    }

    fn forget_cancel(&mut self) {}

    fn canceller(&self) -> Option<Arc<dyn Cancel>> {
        None
    }

    fn native(&mut self) -> Result<&mut dyn Any> {
        Err(left())
    }

    fn after_native(&mut self) {}

    fn native_type(&self) -> &'static str {
        "left to the parent"
    }

    fn abandon(self: Box<Self>) {}

    fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
