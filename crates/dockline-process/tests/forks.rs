//! Processes that fork tell themselves from all that they were forked from. It forks, so it is a program without a harness, which
//! has one thread unless a test makes more.

#[cfg(unix)]
mod stories {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use dockline_process::Process;
    use nix::sched::{CloneFlags, unshare};
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::{ForkResult, fork};

    /// Runs the closure in a child, and fails if it does.
    fn in_child(call: impl FnOnce()) {
        // SAFETY: the child allocates, which the allocators of glibc and musl allow, and prints; it takes no other lock.
        match unsafe { fork() }.expect("a process") {
            ForkResult::Parent { child } => {
                assert_eq!(waitpid(child, None).expect("its end"), WaitStatus::Exited(child, 0));
            }
            ForkResult::Child => {
                let ended = catch_unwind(AssertUnwindSafe(call));
                std::process::exit(i32::from(ended.is_err()));
            }
        }
    }

    pub(crate) fn it_stays_the_same_in_one_process() {
        let first = Process::current();
        assert_eq!(Process::current(), first);
        in_child(|| ());
        assert_eq!(Process::current(), first, "after a fork, in the parent");
    }

    /// Of threads that ask for the first time at the same moment, too: the child has asked for nothing yet.
    pub(crate) fn all_threads_have_the_same() {
        in_child(|| {
            let barrier = std::sync::Barrier::new(8);
            let ask = || {
                barrier.wait();
                Process::current()
            };
            std::thread::scope(|scope| {
                let threads: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
                for thread in threads {
                    assert_eq!(thread.join().expect("a thread"), Process::current());
                }
            });
        });
    }

    pub(crate) fn a_child_is_another() {
        let parent = Process::current();
        in_child(|| {
            assert_ne!(Process::current(), parent);
            assert_eq!(Process::current(), Process::current());
        });
    }

    pub(crate) fn each_of_a_line_is_another() {
        let first = Process::current();
        in_child(|| {
            let second = Process::current();
            in_child(|| {
                let third = Process::current();
                in_child(|| {
                    let fourth = Process::current();
                    let all = [first, second, third, fourth];
                    for (at, one) in all.iter().enumerate() {
                        assert!(!all[..at].contains(one), "{all:?}");
                    }
                });
                assert_eq!(Process::current(), third);
            });
            assert_eq!(Process::current(), second);
        });
    }

    pub(crate) fn a_grandchild_is_another_though_the_child_never_asked() {
        let first = Process::current();
        in_child(|| in_child(|| assert_ne!(Process::current(), first)));
    }

    /// A process without an ancestor that asked has nothing to differ from, and what it is stays as it is.
    pub(crate) fn the_first_call_may_be_in_a_child() {
        in_child(|| {
            let here = Process::current();
            in_child(|| assert_ne!(Process::current(), here));
            assert_eq!(Process::current(), here);
        });
    }

    /// The first process of a namespace has the id 1, and so has a child of it that is the first one of its own.
    pub(crate) fn a_child_with_its_parents_id_is_another() {
        in_child(|| {
            // Where this is not allowed as it is, it may be with users of one's own.
            let own_ids = || unshare(CloneFlags::CLONE_NEWPID);
            if let Err(error) = own_ids().or_else(|_| unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWPID)) {
                return eprintln!("skipped: no namespace of process ids can be made here: {error}");
            }
            in_child(|| {
                let (parent, id) = (Process::current(), std::process::id());
                own_ids().expect("a namespace within the namespace");
                in_child(|| {
                    assert_eq!(std::process::id(), id);
                    assert_ne!(Process::current(), parent);
                });
            });
        });
    }
}

#[cfg(unix)]
fn main() {
    let stories: [(&str, fn()); 7] = [
        // Nobody has asked before it.
        ("the_first_call_may_be_in_a_child", stories::the_first_call_may_be_in_a_child),
        ("all_threads_have_the_same", stories::all_threads_have_the_same),
        ("it_stays_the_same_in_one_process", stories::it_stays_the_same_in_one_process),
        ("a_child_is_another", stories::a_child_is_another),
        ("each_of_a_line_is_another", stories::each_of_a_line_is_another),
        ("a_grandchild_is_another", stories::a_grandchild_is_another_though_the_child_never_asked),
        ("a_child_with_its_parents_id_is_another", stories::a_child_with_its_parents_id_is_another),
    ];
    for (name, story) in stories {
        story();
        println!("test {name} ... ok");
    }
    println!("\ntest result: ok. {} passed; 0 failed; 0 ignored; 0 measured; 0 filtered out", stories.len());
}

#[cfg(not(unix))]
fn main() {
    eprintln!("the tests of forks are skipped: this system has none");
}
