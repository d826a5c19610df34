//! The threads that sections run on.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use dockline_core::{Error, ErrorKind, Result};
use dockline_process::Process;
use once_cell::sync::OnceCell;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Whose blocking threads they are.
#[derive(Clone)]
pub(crate) enum Threads {
    /// Those of the runtime that waits.
    Here,
    Of(Handle),
    Own(Arc<Own>),
}

/// A place for a section, while this lives.
pub(crate) type Place = Option<OwnedSemaphorePermit>;

impl Threads {
    pub(crate) fn own(limit: usize) -> Self {
        let limit = limit.min(Semaphore::MAX_PERMITS);
        let free = Arc::new(Semaphore::new(limit));
        Self::Own(Arc::new(Own { limit, free, process: Process::current(), runtime: OnceCell::new() }))
    }

    /// Waits for a place, and answers whose threads the section is for.
    pub(crate) async fn take(&self) -> Result<(Handle, Place)> {
        match self {
            Self::Of(runtime) => Ok((runtime.clone(), None)),
            Self::Own(own) => own.take().await,
            Self::Here => match Handle::try_current() {
                Ok(runtime) => Ok((runtime, None)),
                Err(error) => {
                    let message = "there is no tokio runtime here whose blocking threads could run this; name one by \
                                   Blocking::on, or set a limit";
                    Err(Error::new(ErrorKind::Interface, message).with_source(error))
                }
            },
        }
    }

    #[cfg(test)]
    pub(crate) fn free(&self) -> Option<usize> {
        match self {
            Self::Own(own) => Some(own.free.available_permits()),
            _ => None,
        }
    }
}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here => f.write_str("Here"),
            Self::Of(runtime) => f.debug_tuple("Of").field(&runtime.id()).finish(),
            Self::Own(own) => f.debug_struct("Own").field("limit", &own.limit).finish(),
        }
    }
}

/// Threads that run sections only.
///
/// Places alone would not bound the threads of a runtime: one that has given its place back is not free yet, and where the
/// next section finds no free one, tokio starts another. On a busy machine 16 sections at a time came round to more than 90.
pub(crate) struct Own {
    limit: usize,
    /// Sections wait for a place before they are given to the runtime, so that one whose caller is gone never runs.
    free: Arc<Semaphore>,
    /// A process that was forked has none of the threads.
    process: Process,
    runtime: OnceCell<Runtime>,
}

/// How long a thread that has nothing to do keeps its connections.
const KEEP: Duration = Duration::from_secs(60);

impl Own {
    async fn take(&self) -> Result<(Handle, Place)> {
        if self.process != Process::current() {
            let message =
                "the process was forked, and these threads are its parent's; make a Blocking of its own in the child";
            return Err(Error::new(ErrorKind::Interface, message));
        }
        // Nobody closes the semaphore.
        let place = Arc::clone(&self.free).acquire_owned().await.ok();
        Ok((self.runtime()?.handle().clone(), place))
    }

    fn runtime(&self) -> Result<&Runtime> {
        self.runtime.get_or_try_init(|| {
            // Not one of a single thread: PostgreSQL's backend asks longer there whether it may block. The worker never wakes.
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(1).max_blocking_threads(self.limit);
            let built = builder.thread_keep_alive(KEEP).thread_name("dockline-blocking").build();
            built.map_err(|error| {
                Error::new(ErrorKind::Operational, format!("no threads can be had: {error}")).with_source(error)
            })
        })
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            if self.process != Process::current() {
                return std::mem::forget(runtime);
            }
            // Without waiting for what runs: this may be an async task, or one of the threads.
            runtime.shutdown_background();
        }
    }
}
