//! The addresses of a host, within a time limit.
//!
//! The resolver of the system takes no limit: a name server that is silent costs ten seconds and more. So a thread asks it, and whoever
//! wants to know waits for that thread as long as it may. Those who ask for the same host meanwhile wait for the same thread, and
//! there are never more than a few of them. An answer that comes too late is discarded.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use dockline_core::backend::PerProcess;

use crate::deadline::Deadline;

/// How many hosts may be asked for at a time. Who asks for another one waits for one of them.
const MOST: usize = 16;

/// Every address of a host, in the order of the resolver, each once.
///
/// # Errors
///
/// [`TimedOut`](io::ErrorKind::TimedOut) if the resolver does not answer before the deadline; otherwise the resolver's error, or that
/// the host has no address.
pub fn addresses(host: &str, port: u16, deadline: Deadline) -> io::Result<Vec<SocketAddr>> {
    static RESOLVER: PerProcess<Resolver> = PerProcess::new();
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let resolver = RESOLVER.get();
    let found = resolver.value.ask(host, deadline, |host| Ok((host, 0).to_socket_addrs()?.collect()))?;
    Ok(found.into_iter().map(|address| SocketAddr::new(address, port)).collect())
}

/// The questions that are being asked.
#[derive(Default)]
struct Resolver {
    questions: Arc<Questions>,
}

#[derive(Default)]
struct Questions {
    asked: Mutex<HashMap<String, Arc<Question>>>,
    /// One of them has been answered.
    answered: Condvar,
}

/// One host that somebody asks for. The answer is written once, under the lock of [`Questions`].
#[derive(Default)]
struct Question {
    answer: Mutex<Option<Answer>>,
}

type Answer = Result<Vec<IpAddr>, Failure>;

/// An error of the system that can be given to several who ask.
#[derive(Clone)]
enum Failure {
    Numbered(i32),
    Other(io::ErrorKind, String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        error.raw_os_error().map_or_else(|| Self::Other(error.kind(), error.to_string()), Self::Numbered)
    }
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Numbered(number) => Self::from_raw_os_error(number),
            Failure::Other(kind, text) => Self::new(kind, text),
        }
    }
}

impl Resolver {
    fn ask(
        &self,
        host: &str,
        deadline: Deadline,
        look_up: impl FnOnce(&str) -> io::Result<Vec<SocketAddr>> + Send + 'static,
    ) -> io::Result<Vec<IpAddr>> {
        let mut look_up = Some(look_up);
        let mut asked = lock(&self.questions.asked);
        loop {
            if let Some(question) = asked.get(host) {
                let question = Arc::clone(question);
                return self.wait(asked, &question, deadline);
            }
            if asked.len() < MOST
                && let Some(look_up) = look_up.take()
            {
                let question = Arc::new(Question::default());
                self.start(host, Arc::clone(&question), look_up)?;
                asked.insert(host.to_owned(), Arc::clone(&question));
                return self.wait(asked, &question, deadline);
            }
            asked = self.sleep(asked, deadline)?;
        }
    }

    /// A thread asks. It cannot answer before the lock, which the caller holds, is free.
    fn start(
        &self,
        host: &str,
        question: Arc<Question>,
        look_up: impl FnOnce(&str) -> io::Result<Vec<SocketAddr>> + Send + 'static,
    ) -> io::Result<()> {
        let (questions, host) = (Arc::clone(&self.questions), host.to_owned());
        let run = move || {
            let answer = look_up(&host).and_then(|found| {
                let mut each: Vec<IpAddr> = Vec::with_capacity(found.len());
                for address in found {
                    if !each.contains(&address.ip()) {
                        each.push(address.ip());
                    }
                }
                if each.is_empty() { Err(io::Error::other("the host has no address")) } else { Ok(each) }
            });
            let mut asked = lock(&questions.asked);
            *lock(&question.answer) = Some(answer.map_err(Failure::from));
            asked.remove(&host);
            drop(asked);
            questions.answered.notify_all();
        };
        std::thread::Builder::new().name("dockline-resolve".to_owned()).spawn(run).map(drop)
    }

    fn wait(
        &self,
        mut asked: MutexGuard<'_, HashMap<String, Arc<Question>>>,
        question: &Question,
        deadline: Deadline,
    ) -> io::Result<Vec<IpAddr>> {
        loop {
            if let Some(answer) = &*lock(&question.answer) {
                return answer.clone().map_err(io::Error::from);
            }
            asked = self.sleep(asked, deadline)?;
        }
    }

    /// Waits until one of the questions has been answered.
    fn sleep<'a, T>(&self, asked: MutexGuard<'a, T>, deadline: Deadline) -> io::Result<MutexGuard<'a, T>> {
        let late = || io::Error::new(io::ErrorKind::TimedOut, "the resolver of the system does not answer");
        let left = deadline.remaining().ok_or_else(late)?;
        let (asked, _) = self.questions.answered.wait_timeout(asked, left).unwrap_or_else(PoisonError::into_inner);
        Ok(asked)
    }
}

/// Nothing here is left half-done by a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;

    const SOON: Duration = Duration::from_millis(20);
    const LATE: Duration = Duration::from_secs(30);

    #[test]
    fn a_host_has_each_address_once() {
        let deadline = Deadline::after(LATE);
        assert_eq!(addresses("127.0.0.1", 1, deadline).unwrap(), [SocketAddr::from(([127, 0, 0, 1], 1))]);
        assert!(addresses("name.invalid", 1, deadline).is_err());
        let twice = |_: &str| Ok(vec![SocketAddr::from(([10, 0, 0, 1], 1)), SocketAddr::from(([10, 0, 0, 1], 2))]);
        assert_eq!(Resolver::default().ask("h", deadline, twice).unwrap(), [IpAddr::from([10, 0, 0, 1])]);
        let none = |_: &str| Ok(Vec::new());
        assert!(Resolver::default().ask("h", deadline, none).is_err());
    }

    #[test]
    fn a_silent_resolver_costs_the_limit_and_its_late_answer_is_discarded() {
        let resolver = Resolver::default();
        let (answer, wait) = channel::<()>();
        let slow = move |_: &str| {
            let _ = wait.recv();
            Ok(vec![SocketAddr::from(([10, 0, 0, 1], 0))])
        };
        let error = resolver.ask("slow", Deadline::after(SOON), slow).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(lock(&resolver.questions.asked).len(), 1, "its thread still asks");
        drop(answer);
        // The next one is asked anew.
        let mut asked = lock(&resolver.questions.asked);
        while !asked.is_empty() {
            asked = resolver.sleep(asked, Deadline::after(LATE)).unwrap();
        }
        drop(asked);
        let other = |_: &str| Ok(vec![SocketAddr::from(([10, 0, 0, 2], 0))]);
        assert_eq!(resolver.ask("slow", Deadline::after(LATE), other).unwrap(), [IpAddr::from([10, 0, 0, 2])]);
    }

    #[test]
    fn those_who_ask_for_the_same_host_share_a_thread_and_its_error() {
        let resolver = Resolver::default();
        let asked = AtomicUsize::new(0);
        let asked: &'static AtomicUsize = Box::leak(Box::new(asked));
        let (answer, wait) = channel::<()>();
        let first = move |_: &str| {
            asked.fetch_add(1, Ordering::Relaxed);
            let _ = wait.recv();
            Err(io::Error::from_raw_os_error(24))
        };
        assert!(resolver.ask("shared", Deadline::after(SOON), first).is_err());
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                let second = |_: &str| {
                    asked.fetch_add(1, Ordering::Relaxed);
                    Ok(Vec::new())
                };
                resolver.ask("shared", Deadline::after(LATE), second)
            });
            // It has the lock only while it does not wait.
            while Arc::strong_count(&lock(&resolver.questions.asked)["shared"]) < 3 {
                std::thread::yield_now();
            }
            drop(answer);
            assert_eq!(waiting.join().unwrap().unwrap_err().raw_os_error(), Some(24));
        });
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn only_so_many_hosts_are_asked_for_at_a_time() {
        let resolver = Resolver::default();
        let mut answers = Vec::new();
        let stuck = |wait: std::sync::mpsc::Receiver<()>| {
            move |_: &str| {
                let _ = wait.recv();
                Ok(Vec::new())
            }
        };
        for n in 0..MOST + 1 {
            let (answer, wait) = channel();
            answers.push(answer);
            let error = resolver.ask(&format!("host{n}"), Deadline::after(Duration::from_millis(1)), stuck(wait));
            assert!(error.is_err());
        }
        assert_eq!(lock(&resolver.questions.asked).len(), MOST);
        // When one is done there is room.
        answers.remove(0);
        let found = |_: &str| Ok(vec![SocketAddr::from(([10, 0, 0, 3], 0))]);
        assert!(resolver.ask("another", Deadline::after(LATE), found).is_ok());
    }
}
