//! What the hot paths cost beyond time: how often each asks for memory, and which system calls it makes, on each database. The numbers
//! stand in `docs/costs.md`, and are held exactly, for they do not depend on the machine. `WRITE_COSTS=1` writes them there.
//!
//! It is a program without a harness: it counts with an allocator of its own, and it runs itself under ptrace.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[path = "costs"]
mod costs {
    mod bare;
    mod page;
    mod paths;
    mod run;
    mod trace;

    pub(crate) use run::run;
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[global_allocator]
static ALLOCATOR: dockline_tests::allocations::Counting = dockline_tests::allocations::Counting;

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn main() {
    costs::run();
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn main() {
    eprintln!("the tests of costs are skipped: system calls are counted on Linux alone");
}
