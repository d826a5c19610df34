//! What a slot asks of its registry and tells it, and what a registry does when it sends: the pointers that the layers below are given.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::base::error::Result;
use crate::base::ids::RegistryId;
use crate::config::engines::AliasConfig;
use crate::handle::connection::Connection;
use crate::link::vitals::Tally;
use crate::shared::signals::{ConnectionCreated, OwnReceivers};
use crate::shared::{Shared, housekeeper};
use crate::slot::events::{Event, Source};
use crate::slot::reason::ConnectionClosed;
use crate::slot::{Desk, Slot};
use crate::thread::local::{ThreadRegistry, find};

/// What a registry's own receivers do on this thread. One that has never used the registry has nothing to clean up.
pub(crate) const RECEIVERS: OwnReceivers = OwnReceivers {
    reset_queries: |id| with(id, ThreadRegistry::reset_queries),
    close_before_request: |id| with(id, ThreadRegistry::close_before_request),
    close_after_request: |id| with(id, ThreadRegistry::close_after_request),
    close_after_task: |id| with(id, ThreadRegistry::close_after_task),
};

/// The same, for the thread's own requests and tasks, which have at hand what they work on: those of each signal, in their order.
pub(crate) const OF_REQUEST_STARTED: [fn(&ThreadRegistry); 2] =
    [ThreadRegistry::reset_queries, ThreadRegistry::close_before_request];
pub(crate) const OF_REQUEST_FINISHED: [fn(&ThreadRegistry); 1] = [ThreadRegistry::close_after_request];
pub(crate) const OF_TASK_DONE: [fn(&ThreadRegistry); 1] = [ThreadRegistry::close_after_task];

fn with(id: RegistryId, call: impl FnOnce(&ThreadRegistry)) {
    if let Some(registry) = find(id) {
        call(&registry);
    }
}

impl Desk for Shared {
    fn newest(&self, alias: &str) -> Result<Arc<AliasConfig>> {
        self.config(alias)
    }

    fn threads_of(&self, alias: &str) -> usize {
        Self::threads_of(self, alias)
    }

    fn tally(&self, alias: &str) -> Arc<Tally> {
        Self::tally(self, alias)
    }

    fn opened(&self, slot: &Rc<Slot>, serial: u64, elapsed: Duration) {
        if housekeeper::is_asked_for(&slot.current_config().settings) {
            housekeeper::start();
        }
        let event = ConnectionCreated { connection: Connection::new(Rc::clone(slot)), serial, elapsed };
        self.signals.connection_created.send(&event);
    }

    fn closed(&self, event: &ConnectionClosed) {
        self.signals.connection_closed.send(event);
        if self.hot.events.are_heard() {
            let source = Source::new(&event.config, Some(event.serial), Some(event.dialect));
            let &ConnectionClosed { reason, age, statements, ref thread, .. } = event;
            self.hot.events.tell(&Event::Closed { source, reason, age, statements, thread });
        }
    }

    fn is_told_of_closing(&self) -> bool {
        self.signals.connection_closed.has_receivers() || self.hot.events.are_heard()
    }

    #[cold]
    fn leave_to_parent(&self, slot: &Slot) {
        if let Some(registry) = find(self.hot.id) {
            registry.leave_to_parent();
        }
        // One that its registry does not have any more, or a thread that is ending.
        if slot.is_inherited() {
            drop(self.state());
            slot.leave_to_parent();
        }
    }
}
