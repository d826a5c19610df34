//! The system calls of a child, which this process traces.

use nix::libc;
use nix::sys::ptrace;
use nix::sys::signal::{Signal, raise};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, getppid};

/// A system call: its number, and whether it looks at a socket without taking anything from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SystemCall {
    pub(super) number: u64,
    pub(super) is_look: bool,
}

/// Runs `walk` in a child, and answers the system calls between each two of its calls of [`mark`].
///
/// # Errors
///
/// Why nothing can be counted here.
pub(super) fn traced(walk: impl FnOnce()) -> Result<Vec<Vec<SystemCall>>, String> {
    // SAFETY: this process has one thread here, but for one that Dockline may have for logging, which holds no lock that the child
    // needs: it makes a registry of its own.
    match unsafe { fork() }.map_err(|error| format!("fork: {error}"))? {
        ForkResult::Child => {
            if ptrace::traceme().is_err() || raise(Signal::SIGSTOP).is_err() {
                std::process::exit(1);
            }
            walk();
            std::process::exit(0);
        }
        ForkResult::Parent { child } => trace(child),
    }
}

/// Stands before and after each path: a call that nothing else makes.
pub(super) fn mark() {
    getppid();
}

fn trace(child: Pid) -> Result<Vec<Vec<SystemCall>>, String> {
    let wait = || waitpid(child, None).map_err(|error| format!("waitpid: {error}"));
    match wait()? {
        WaitStatus::Stopped(_, Signal::SIGSTOP) => {}
        other => return Err(format!("ptrace is refused: {other:?}")),
    }
    ptrace::setoptions(child, ptrace::Options::PTRACE_O_TRACESYSGOOD | ptrace::Options::PTRACE_O_EXITKILL)
        .map_err(|error| format!("ptrace: {error}"))?;
    let mut paths: Vec<Vec<SystemCall>> = Vec::new();
    let mut in_path = false;
    let mut signal = None;
    loop {
        ptrace::syscall(child, signal.take()).map_err(|error| format!("ptrace: {error}"))?;
        match wait()? {
            WaitStatus::PtraceSyscall(_) => {
                let info = ptrace::syscall_info(child).map_err(|error| format!("ptrace: {error}"))?;
                if info.op != libc::PTRACE_SYSCALL_INFO_ENTRY {
                    continue;
                }
                // SAFETY: the kernel fills this part for the entry of a system call.
                let (number, arguments) = unsafe { (info.u.entry.nr, info.u.entry.args) };
                if number == libc::SYS_getppid as u64 {
                    in_path = !in_path;
                    if in_path {
                        paths.push(Vec::new());
                    }
                } else if in_path && number != libc::SYS_clock_gettime as u64 {
                    // The time is a system call on some machines, and a read of memory on others.
                    let is_look = number == libc::SYS_recvfrom as u64 && arguments[3] & libc::MSG_PEEK as u64 != 0;
                    paths.last_mut().expect("a path").push(SystemCall { number, is_look });
                }
            }
            WaitStatus::Stopped(_, other) => signal = Some(other),
            WaitStatus::Exited(_, 0) => return Ok(paths),
            other => panic!("the traced child ended: {other:?}"),
        }
    }
}
