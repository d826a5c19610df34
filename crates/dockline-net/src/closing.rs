//! The thread that waits for servers to let go of connections.
//!
//! A server frees the slot of a connection some time after the client has closed it. Who opens the next one meanwhile can run into
//! the limit of the server by his own closes. So a socket that was closed is kept, and watched until the other side
//! has closed it too, or its time is up.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use dockline_core::backend::PerProcess;

use crate::room::Place;

pub(crate) use socket::Socket;

type Goodbye = Box<dyn FnOnce() + Send>;

struct Job {
    goodbye: Option<Goodbye>,
    end: End,
    place: Place,
}

/// By what the watcher knows that a connection is gone.
enum End {
    Socket(Socket),
    /// The thread that says the goodbye holds the other half.
    Thread(Weak<()>),
}

impl End {
    fn has_come(&self) -> bool {
        match self {
            Self::Socket(socket) => socket.is_closed(),
            Self::Thread(thread) => thread.strong_count() == 0,
        }
    }
}

/// Watches a socket until the other side has closed it.
pub(crate) fn watch(socket: Socket, place: Place) {
    socket.finish();
    hand_over(Job { goodbye: None, end: End::Socket(socket), place });
}

/// Runs what lets the driver say goodbye, and then watches the socket. Where there is none, the goodbye may wait for the
/// server: it gets a thread of its own, so that it holds up nobody else.
pub(crate) fn run(socket: Option<Socket>, place: Place, goodbye: Goodbye) {
    if let Some(socket) = socket {
        return hand_over(Job { goodbye: Some(goodbye), end: End::Socket(socket), place });
    }
    let token = Arc::new(());
    let end = End::Thread(Arc::downgrade(&token));
    let say = move || {
        let _token = token;
        quietly(goodbye);
    };
    // Where no thread can be started, the closure is dropped, and the driver's connection with it.
    let _ = std::thread::Builder::new().name("dockline-goodbye".to_owned()).spawn(say);
    hand_over(Job { goodbye: None, end, place });
}

static WATCHER: PerProcess<Mutex<Option<Sender<Job>>>> = PerProcess::new();

/// Where no thread can be started, the job is done here, as far as it does not wait.
fn hand_over(job: Job) {
    let watcher = WATCHER.get();
    let mut sender = watcher.value.lock().unwrap_or_else(PoisonError::into_inner);
    if sender.is_none() {
        let (send, receive) = channel();
        let started = std::thread::Builder::new().name("dockline-closing".to_owned()).spawn(move || work(&receive));
        *sender = started.is_ok().then_some(send);
    }
    let left = match &*sender {
        Some(sender) => sender.send(job).err().map(|error| error.0),
        None => Some(job),
    };
    drop(sender);
    if let Some(Job { goodbye: Some(goodbye), .. }) = left {
        quietly(goodbye);
    }
}

/// A driver that panics must not take the thread with it.
fn quietly(goodbye: Goodbye) {
    let _ = catch_unwind(AssertUnwindSafe(goodbye));
}

/// How long it sleeps where a socket is watched: new ones come by another way than their ends.
const TICK: Duration = Duration::from_millis(2);

fn work(jobs: &Receiver<Job>) {
    let mut watched: Vec<(End, Place)> = Vec::new();
    loop {
        let next = if watched.is_empty() {
            jobs.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            jobs.recv_timeout(Duration::ZERO)
        };
        match next {
            Ok(Job { goodbye, end, place }) => {
                if let Some(goodbye) = goodbye {
                    quietly(goodbye);
                }
                if let End::Socket(socket) = &end {
                    socket.finish();
                }
                watched.push((end, place));
            }
            Err(RecvTimeoutError::Timeout) => {
                let sockets = watched.iter().filter_map(|(end, _)| match end {
                    End::Socket(socket) => Some(socket),
                    End::Thread(_) => None,
                });
                socket::wait(sockets, TICK);
                let now = Instant::now();
                watched.retain(|(end, place)| !end.has_come() && !place.is_overdue(now));
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

#[cfg(unix)]
mod socket {
    use std::os::fd::OwnedFd;
    use std::time::Duration;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::io::Errno;
    use rustix::net::{RecvFlags, Shutdown, recv, shutdown};

    use crate::wire::Wire;

    /// A socket that stays when the driver has closed its own.
    pub(crate) struct Socket(OwnedFd);

    impl Socket {
        pub(crate) fn of(wire: &Wire) -> Option<Self> {
            wire.duplicate().map(Self)
        }

        /// Tells the other side that nothing more comes.
        pub(crate) fn finish(&self) {
            let _ = shutdown(&self.0, Shutdown::Write);
        }

        /// Whether the other side has closed it. What it still sends is thrown away.
        pub(crate) fn is_closed(&self) -> bool {
            let mut buffer = [0u8; 4096];
            loop {
                match recv(&self.0, &mut buffer, RecvFlags::DONTWAIT) {
                    Ok((0, _)) => return true,
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(Errno::AGAIN) => return false,
                    Err(_) => return true,
                }
            }
        }
    }

    /// Waits until something happens on one of them, or the time is over.
    pub(crate) fn wait<'a>(watched: impl Iterator<Item = &'a Socket>, limit: Duration) {
        let mut polled: Vec<PollFd<'_>> = watched.map(|socket| PollFd::new(&socket.0, PollFlags::IN)).collect();
        let limit = Timespec { tv_sec: 0, tv_nsec: limit.subsec_nanos().into() };
        if poll(&mut polled, Some(&limit)).is_err() {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

#[cfg(not(unix))]
mod socket {
    use std::time::Duration;

    use crate::wire::Wire;

    /// On this system a socket is out of reach.
    pub(crate) enum Socket {}

    impl Socket {
        pub(crate) fn of(wire: &Wire) -> Option<Self> {
            match *wire {}
        }

        pub(crate) fn finish(&self) {
            match *self {}
        }

        pub(crate) fn is_closed(&self) -> bool {
            match *self {}
        }
    }

    pub(crate) fn wait<'a>(_: impl Iterator<Item = &'a Socket>, limit: Duration) {
        std::thread::sleep(limit);
    }
}
