//! Which task of tokio runs: what the core asks.

use std::hash::{Hash, Hasher};
use std::num::NonZeroU64;

use dockline_core::async_tasks::{Runtime, watch};

const ADVICE: &str = "keep every .await out of a transaction; put all of it into one section, as \
                      `blocking.request(move || db.get(\"default\")?.atomic(|| …)).await` with a dockline_tokio::Blocking";

/// Has transactions remember the task of tokio that began them: a statement of another task of the same thread is then an error, and
/// not part of the transaction. It is for the whole process, and can be called again.
///
/// [`Blocking::new`](crate::Blocking::new) calls it. Call it yourself at the start of a program that runs statements in async tasks,
/// without a `Blocking`, on a runtime of one thread or in a [`LocalSet`](tokio::task::LocalSet).
///
/// ```
/// dockline_tokio::watch_tasks();
/// ```
pub fn watch_tasks() {
    watch(Runtime { current, advice: ADVICE });
}

fn current() -> Option<NonZeroU64> {
    let mut number = Number(0);
    tokio::task::try_id()?.hash(&mut number);
    // Numbers of tasks begin with 1. Should they ever hash to 0, it is a task all the same.
    NonZeroU64::new(number.0).or(Some(NonZeroU64::MAX))
}

/// Takes the number out of an id, which shows it to a hasher alone.
struct Number(u64);

impl Hasher for Number {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 ^= number;
    }
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Builder;
    use tokio::task::LocalSet;

    use super::*;

    #[test]
    fn tasks_have_numbers_of_their_own_and_keep_them() {
        let runtime = Builder::new_current_thread().build().unwrap();
        assert_eq!(current(), None);
        LocalSet::new().block_on(&runtime, async {
            assert_eq!(current(), None, "the future of block_on is no task");
            let task = || {
                tokio::task::spawn_local(async {
                    let before = current();
                    tokio::task::yield_now().await;
                    assert_eq!(before, current());
                    current().expect("a task")
                })
            };
            let (a, b) = (task(), task());
            assert_ne!(a.await.unwrap(), b.await.unwrap());
        });
    }
}
