//! What the hot paths cost beyond time: how often each asks for memory, and which system calls it makes. Both are held exactly, for
//! they do not depend on the machine. SQLite is in memory here, so what is counted is Dockline's own.
//!
//! It is a program without a harness: it counts with an allocator of its own, and it runs itself under ptrace.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[path = "costs/linux.rs"]
mod costs;

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn main() {
    costs::run();
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn main() {
    eprintln!("the tests of costs are skipped: system calls are counted on Linux alone");
}
