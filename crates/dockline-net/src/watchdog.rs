//! Ends a connection that is being made when its time is over, however often something comes.
//!
//! A socket limits each read, and not all of them together: a server that sends a byte now and then is never late. So a thread ends
//! the socket at the deadline, and whoever reads there comes back.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dockline_core::backend::{OfProcess, PerProcess};

use crate::deadline::Deadline;
use crate::wire::Wire;
pub(crate) use target::Target;

/// While it lives, the connection is ended at the deadline.
pub struct Watchdog {
    watched: Option<Arc<OfProcess<Watched>>>,
    id: u64,
    mark: Duration,
}

#[derive(Default)]
struct Watched {
    entries: Mutex<Entries>,
    changed: Condvar,
}

#[derive(Default)]
struct Entries {
    next: u64,
    has_thread: bool,
    list: Vec<Entry>,
}

struct Entry {
    id: u64,
    at: Instant,
    target: Target,
    has_ended: bool,
}

/// How long it waits where the socket was not to be found: it is not connected yet, or has just been closed.
const AGAIN: Duration = Duration::from_millis(5);

static WATCHED: PerProcess<Watched> = PerProcess::new();

impl Watchdog {
    /// Watches a socket that is known.
    pub fn of(wire: &Wire, deadline: Deadline) -> Self {
        Self::watch(deadline, |_| Target::of(wire))
    }

    /// Watches a socket that a driver is about to make, and keeps to itself until it is connected and set up. It is recognised by its
    /// [`mark`](Self::mark), which the driver has to give it as its limit for writes.
    pub fn of_marked(deadline: Deadline) -> Self {
        Self::watch(deadline, |mark| Some(Target::marked(mark)))
    }

    /// The limit for writes that the driver's socket gets: each watchdog has another one. It is long, for the watchdog keeps the
    /// deadline.
    pub fn mark(&self) -> Duration {
        self.mark
    }

    /// Stops watching. The answer is whether the connection has been ended.
    pub fn stop(mut self) -> bool {
        self.take()
    }

    fn watch(deadline: Deadline, target: impl FnOnce(Duration) -> Option<Target>) -> Self {
        let watched = WATCHED.get();
        let mut entries = lock(&watched.value.entries);
        entries.next += 1;
        let id = entries.next;
        let mark = mark(id);
        let entry = deadline.at().zip(target(mark));
        let is_watched = entry.is_some() && entries.start(&watched);
        if let Some((at, target)) = entry.filter(|_| is_watched) {
            let is_first = entries.list.iter().all(|other| at < other.at);
            entries.list.push(Entry { id, at, target, has_ended: false });
            if is_first {
                watched.value.changed.notify_all();
            }
        }
        drop(entries);
        Self { watched: is_watched.then_some(watched), id, mark }
    }

    fn take(&mut self) -> bool {
        let Some(watched) = self.watched.take() else { return false };
        let mut entries = lock(&watched.value.entries);
        let at = entries.list.iter().position(|entry| entry.id == self.id);
        at.is_some_and(|at| entries.list.swap_remove(at).has_ended)
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.take();
    }
}

impl Entries {
    /// Whether there is a thread that watches.
    fn start(&mut self, watched: &Arc<OfProcess<Watched>>) -> bool {
        if !self.has_thread {
            let watched = Arc::clone(watched);
            let thread = std::thread::Builder::new().name("dockline-watchdog".to_owned());
            self.has_thread = thread.spawn(move || watched.value.work()).is_ok();
        }
        self.has_thread
    }
}

impl Watched {
    fn work(&self) {
        let mut entries = lock(&self.entries);
        loop {
            let now = Instant::now();
            // Under the lock: who has stopped watching is not surprised by an end that comes after that.
            for entry in entries.list.iter_mut().filter(|entry| !entry.has_ended && entry.at <= now) {
                entry.has_ended = entry.target.end();
                entry.at = now + AGAIN;
            }
            let next = entries.list.iter().filter(|entry| !entry.has_ended).map(|entry| entry.at).min();
            entries = match next {
                Some(at) => {
                    let wait = at.saturating_duration_since(Instant::now());
                    self.changed.wait_timeout(entries, wait).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.changed.wait(entries).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

/// A time that nobody sets by chance. Kernels count the limits of sockets in steps of up to 10 ms, and round up.
fn mark(id: u64) -> Duration {
    Duration::from_secs(3_600) + Duration::from_millis(20) * u32::try_from(id % 1_000_000).unwrap_or_default()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(unix)]
mod target {
    use std::net::Shutdown;
    use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
    use std::time::Duration;

    use socket2::SockRef;

    use crate::wire::Wire;

    /// The socket to end.
    pub(crate) enum Target {
        Known(OwnedFd),
        Marked(Duration),
    }

    impl Target {
        pub(crate) fn of(wire: &Wire) -> Option<Self> {
            wire.duplicate().map(Self::Known)
        }

        pub(crate) fn marked(mark: Duration) -> Self {
            Self::Marked(mark)
        }

        /// Ends it. The answer is whether it was found.
        pub(crate) fn end(&self) -> bool {
            match self {
                Self::Known(socket) => {
                    let _ = SockRef::from(socket).shutdown(Shutdown::Both);
                    true
                }
                Self::Marked(mark) => descriptors().any(|descriptor| end_if_marked(descriptor, *mark)),
            }
        }
    }

    /// The descriptors of this process.
    fn descriptors() -> impl Iterator<Item = RawFd> {
        // The list is complete before anything is done with it.
        let names = std::fs::read_dir("/dev/fd").into_iter().flatten().flatten().map(|entry| entry.file_name());
        let numbers: Vec<RawFd> = names.filter_map(|name| name.to_str()?.parse().ok()).collect();
        numbers.into_iter().filter(|number| *number >= 0)
    }

    fn end_if_marked(descriptor: RawFd, mark: Duration) -> bool {
        // SAFETY: it is not -1. Every descriptor of the process is asked for an option that only sockets have, which changes nothing,
        // also if it has been closed by now. The one that answers with the mark was made by the driver that the mark was given to,
        // which waits for it: nobody else gives a socket this limit.
        let socket = unsafe { BorrowedFd::borrow_raw(descriptor) };
        let socket = SockRef::from(&socket);
        let is_marked = socket
            .write_timeout()
            .is_ok_and(|limit| limit.is_some_and(|limit| limit.abs_diff(mark) < Duration::from_millis(10)));
        is_marked && socket.shutdown(Shutdown::Both).is_ok()
    }
}

#[cfg(not(unix))]
mod target {
    use std::time::Duration;

    use crate::wire::Wire;

    /// On this system sockets are out of reach.
    pub(crate) struct Target;

    impl Target {
        pub(crate) fn of(wire: &Wire) -> Option<Self> {
            match *wire {}
        }

        pub(crate) fn marked(_: Duration) -> Self {
            Self
        }

        pub(crate) fn end(&self) -> bool {
            false
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;

    use super::*;

    /// A peer that sends a byte now and then, until the stream is ended.
    fn dripping() -> (TcpStream, std::thread::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        let drip = std::thread::spawn(move || {
            while far.write_all(b".").is_ok() {
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        (near, drip)
    }

    fn read_to_the_end(mut stream: TcpStream, drip: std::thread::JoinHandle<()>) {
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all);
        drop(stream);
        drip.join().unwrap();
    }

    #[test]
    fn a_socket_that_is_known_is_ended_at_the_deadline() {
        let (stream, drip) = dripping();
        // SAFETY: the stream is open.
        let wire = unsafe { Wire::of(stream.as_raw_fd()) }.unwrap();
        let watchdog = Watchdog::of(&wire, Deadline::after(Duration::from_millis(50)));
        read_to_the_end(stream, drip);
        assert!(watchdog.stop());
    }

    #[test]
    fn a_socket_with_the_mark_is_found_and_no_other_is_ended() {
        let (other, other_drip) = dripping();
        let later = Watchdog::of_marked(Deadline::after(Duration::from_secs(600)));
        other.set_write_timeout(Some(later.mark())).unwrap();

        let (stream, drip) = dripping();
        let watchdog = Watchdog::of_marked(Deadline::after(Duration::from_millis(50)));
        stream.set_write_timeout(Some(watchdog.mark())).unwrap();
        read_to_the_end(stream, drip);
        assert!(watchdog.stop());
        assert!(!later.stop());
        (&other).read_exact(&mut [0]).unwrap();
        drop(other);
        other_drip.join().unwrap();
    }

    #[test]
    fn who_has_stopped_watching_is_not_ended() {
        let (stream, drip) = dripping();
        let watchdog = Watchdog::of_marked(Deadline::after(Duration::from_millis(1)));
        let mark = watchdog.mark();
        // Nothing has the mark yet.
        std::thread::sleep(Duration::from_millis(20));
        assert!(!watchdog.stop());
        stream.set_write_timeout(Some(mark)).unwrap();
        let after = Watchdog::of_marked(Deadline::after(Duration::from_millis(1)));
        std::thread::sleep(Duration::from_millis(20));
        drop(after);
        (&stream).read_exact(&mut [0]).unwrap();
        drop(stream);
        drip.join().unwrap();
    }
}
