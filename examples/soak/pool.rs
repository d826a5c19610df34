//! A pool of threads, as small as one can be.

use std::io;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

type Work = Box<dyn FnOnce() + Send>;

/// Threads that take closures from a queue. An idle one waits for the next, with all that is its own, until the pool ends: so
/// do those of any pool, and nobody tells them that a batch of jobs is over.
pub struct Pool {
    queue: Sender<Work>,
    threads: Vec<JoinHandle<()>>,
}

impl Pool {
    pub fn new(name: &str, size: u64) -> io::Result<Self> {
        let (queue, work) = mpsc::channel::<Work>();
        let work = Arc::new(Mutex::new(work));
        let threads = (1..=size).map(|number| {
            let work = Arc::clone(&work);
            thread::Builder::new().name(format!("{name}, worker {number}")).spawn(move || {
                loop {
                    // The lock is released before the work begins.
                    let next = work.lock().expect("no panic").recv();
                    let Ok(next) = next else { return };
                    next();
                }
            })
        });
        Ok(Self { threads: threads.collect::<io::Result<_>>()?, queue })
    }

    /// Puts a closure into the queue.
    pub fn execute(&self, work: impl FnOnce() + Send + 'static) {
        // Only where every thread has panicked; then the results are missing.
        let _ = self.queue.send(Box::new(work));
    }

    /// Ends the threads, when the queue is empty.
    pub fn end(self) {
        drop(self.queue);
        for thread in self.threads {
            let _ = thread.join();
        }
    }
}
