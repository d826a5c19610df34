//! The housekeeper: a thread that looks after connections whose own threads sleep.
//!
//! - There is one for the process, as long as a registry has an alias that asks for it (the settings `housekeeper` and `leak_threshold`). It
//!   starts when a connection of such an alias is opened, also in a process that was forked, and ends with the last of these registries.
//! - It never touches a connection that is at work: it only tries locks, and takes what is in no transaction, holds nothing, has the
//!   autocommit of its settings, and belongs to a thread that is in no request and no task.
//! - It sends nothing to a server but a goodbye. What it closes is told of on its own thread.

mod clock;
mod rounds;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use self::clock::Clock;
use crate::base::logging::say;
use crate::base::per_process::PerProcess;
use crate::config::settings::Settings;
use crate::shared::inherit;

/// The housekeeper of this process. A child that was forked has one of its own.
static HOUSEKEEPER: PerProcess<Housekeeper> = PerProcess::new();

#[derive(Default)]
struct Housekeeper(Arc<Bell>);

#[derive(Default)]
struct Bell {
    state: Mutex<State>,
    rung: Condvar,
}

#[derive(Default)]
struct State {
    is_running: bool,
    /// A registry has come or gone since the last round.
    has_rung: bool,
}

/// Returns whether an alias asks for the thread.
pub(crate) fn is_asked_for(settings: &Settings) -> bool {
    settings.get_housekeeper() || settings.get_leak_threshold().is_some()
}

/// Has the thread started, if it is not there, and look at once what it has to do.
pub(crate) fn start() {
    let bell = Arc::clone(&HOUSEKEEPER.get().value.0);
    let mut state = bell.lock();
    state.has_rung = true;
    if state.is_running {
        bell.rung.notify_all();
        return;
    }
    let worker = Arc::clone(&bell);
    match std::thread::Builder::new().name("dockline-housekeeper".to_owned()).spawn(move || worker.work()) {
        Ok(_) => state.is_running = true,
        Err(error) => {
            drop(state);
            say!(warn, "the housekeeper cannot be started, and nobody looks after idle connections: {error}");
        }
    }
}

/// A registry has ended: the thread ends if that was the last.
pub(crate) fn registry_ended() {
    let bell = Arc::clone(&HOUSEKEEPER.get().value.0);
    let mut state = bell.lock();
    state.has_rung = true;
    bell.rung.notify_all();
}

impl Bell {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut clock = Clock::new();
        loop {
            let Some(pause) = rounds::pause(&inherit::registries()) else {
                let mut state = self.lock();
                // Who rings after this starts another one.
                if !std::mem::take(&mut state.has_rung) {
                    state.is_running = false;
                    return;
                }
                continue;
            };
            let mut state = self.lock();
            let rung = if state.has_rung {
                true
            } else {
                state = self.rung.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner).0;
                state.has_rung
            };
            state.has_rung = false;
            drop(state);
            let late = clock.lap(pause);
            if let Some(late) = late {
                say!(
                    warn,
                    "the housekeeper is {late:.0?} late: the machine was suspended, its clock was set, or it has too much to do. \
                     What was held meanwhile is not reported as a leak in this round"
                );
            }
            // It looks for new work at once, and at connections in its own time.
            if !rung {
                rounds::look_after(&inherit::registries(), Instant::now(), late.is_some());
            }
        }
    }
}
