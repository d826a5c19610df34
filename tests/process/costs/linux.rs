//! The paths, and how they are counted.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use dockline::{Connection, Connections, params};
use nix::sys::ptrace;
use nix::sys::signal::{Signal, raise};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, getppid};

struct Counting;

thread_local! {
    // Without a destructor, so that it can be used whenever memory is.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: the system's allocator does the work; counting touches nothing of it. What grows is counted as well, by the default of
// `realloc`, which calls `alloc`.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's layout, as it came.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's block and layout, as they came.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often each path runs while it is counted.
const ROUNDS: u64 = 100;

struct Path {
    name: &'static str,
    call: fn(&Connections, &Connection),
    /// How often one call asks for memory.
    allocations: u64,
}

/// Parameters are a vector, and rows another one each.
///
/// If a number goes down, write the lower one here. If it goes up, the path has become more expensive for everybody.
const PATHS: &[Path] = &[
    Path { name: "get", call: |registry, _| drop(registry.get("default").unwrap()), allocations: 0 },
    Path { name: "a request with nothing due", call: |registry, _| drop(registry.request()), allocations: 0 },
    Path { name: "an atomic block", call: |_, db| db.atomic(|| Ok::<_, dockline::Error>(())).unwrap(), allocations: 3 },
    Path {
        name: "execute",
        call: |_, db| assert_eq!(db.execute("UPDATE item SET n = ? WHERE id = 1", params![7]).unwrap(), 1),
        allocations: 2,
    },
    Path {
        name: "query_value",
        call: |_, db| assert_eq!(db.query_value::<i64>("SELECT id FROM item WHERE id = ?", params![1]).unwrap(), 1),
        allocations: 2,
    },
    Path {
        name: "query_each of 10 rows",
        call: |_, db| {
            let mut rows = 0;
            db.query_each("SELECT id FROM item", (), |_| {
                rows += 1;
                Ok(std::ops::ControlFlow::<()>::Continue(()))
            })
            .unwrap();
            assert_eq!(rows, 10);
        },
        allocations: 11,
    },
];

pub(crate) fn run() {
    let registry = dockline_tests::in_memory();
    let db = registry.get("default").expect("an alias");
    db.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, n INTEGER)", ()).expect("a table");
    for id in 1..=10 {
        db.execute("INSERT INTO item VALUES (?, 0)", params![id]).expect("a row");
    }
    let mut failures = Vec::new();
    for path in PATHS {
        let counted = allocations(path, &registry, &db);
        println!("{}: {} allocations a call", path.name, counted as f64 / ROUNDS as f64);
        if counted != path.allocations * ROUNDS {
            failures.push(format!("{}: {counted} allocations in {ROUNDS} calls", path.name));
        }
    }
    let allocations_held = failures.is_empty();
    match system_calls() {
        Err(reason) => println!("skipped: system calls cannot be counted here: {reason}"),
        Ok(mut counted) => {
            assert_eq!(counted.pop(), Some(vec![nix::libc::SYS_getpid as u64]), "a call that is known to be made");
            assert_eq!(counted.len(), PATHS.len(), "{counted:?}");
            for (path, calls) in PATHS.iter().zip(counted) {
                println!("{}: {} system calls in {ROUNDS} calls", path.name, calls.len());
                if !calls.is_empty() {
                    failures.push(format!("{}: system calls {calls:?} in {ROUNDS} calls", path.name));
                }
            }
        }
    }
    println!("allocations: {}", if allocations_held { "ok" } else { "FAILED" });
    assert!(failures.is_empty(), "a hot path costs something else than before:\n{}", failures.join("\n"));
    println!("\ntest result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out");
}

fn allocations(path: &Path, registry: &Connections, db: &Connection) -> u64 {
    // What is kept is filled first.
    for _ in 0..3 {
        (path.call)(registry, db);
    }
    let before = ALLOCATIONS.get();
    for _ in 0..ROUNDS {
        (path.call)(registry, db);
    }
    ALLOCATIONS.get() - before
}

/// Returns the numbers of the system calls that each path makes in a child, which this process traces.
fn system_calls() -> Result<Vec<Vec<u64>>, String> {
    // SAFETY: this process has one thread here, but for one that Dockline may have for logging, which holds no lock that the child
    // needs: it makes a registry of its own.
    match unsafe { fork() }.map_err(|error| format!("fork: {error}"))? {
        ForkResult::Child => {
            if ptrace::traceme().is_err() || raise(Signal::SIGSTOP).is_err() {
                std::process::exit(1);
            }
            walk_paths();
            std::process::exit(0);
        }
        ForkResult::Parent { child } => trace(child),
    }
}

/// Walks all paths in the traced child. A call of `getppid`, which nothing else makes, stands before and after each.
fn walk_paths() {
    let registry = dockline_tests::in_memory();
    let db = registry.get("default").expect("an alias");
    db.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, n INTEGER)", ()).expect("a table");
    for id in 1..=10 {
        db.execute("INSERT INTO item VALUES (?, 0)", params![id]).expect("a row");
    }
    for path in PATHS {
        for _ in 0..3 {
            (path.call)(&registry, &db);
        }
        getppid();
        for _ in 0..ROUNDS {
            (path.call)(&registry, &db);
        }
        getppid();
    }
    // One that is known, so that it is seen whether calls are counted at all.
    getppid();
    let _ = std::process::id();
    getppid();
}

fn trace(child: Pid) -> Result<Vec<Vec<u64>>, String> {
    let wait = || waitpid(child, None).map_err(|error| format!("waitpid: {error}"));
    match wait()? {
        WaitStatus::Stopped(_, Signal::SIGSTOP) => {}
        other => return Err(format!("ptrace is refused: {other:?}")),
    }
    ptrace::setoptions(child, ptrace::Options::PTRACE_O_TRACESYSGOOD | ptrace::Options::PTRACE_O_EXITKILL)
        .map_err(|error| format!("ptrace: {error}"))?;
    let mut paths: Vec<Vec<u64>> = Vec::new();
    let mut in_path = false;
    let mut signal = None;
    loop {
        ptrace::syscall(child, signal.take()).map_err(|error| format!("ptrace: {error}"))?;
        match wait()? {
            WaitStatus::PtraceSyscall(_) => {
                let info = ptrace::syscall_info(child).map_err(|error| format!("ptrace: {error}"))?;
                if info.op != nix::libc::PTRACE_SYSCALL_INFO_ENTRY {
                    continue;
                }
                // SAFETY: the kernel fills this part for the entry of a system call.
                let number = unsafe { info.u.entry.nr };
                if number == nix::libc::SYS_getppid as u64 {
                    in_path = !in_path;
                    if in_path {
                        paths.push(Vec::new());
                    }
                } else if in_path && number != nix::libc::SYS_clock_gettime as u64 {
                    // The time is a system call on some machines, and a read of memory on others.
                    paths.last_mut().expect("a path").push(number);
                }
            }
            WaitStatus::Stopped(_, other) => signal = Some(other),
            WaitStatus::Exited(_, 0) => return Ok(paths),
            other => panic!("the traced child ended: {other:?}"),
        }
    }
}
