//! The process that keeps a server, and ends it when the test's process is gone.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use tempfile::TempDir;

use super::user::User;

/// A shell between the test and its server. Its input is a pipe from the test's process: when that process ends, be it by
/// SIGKILL, the pipe closes, and the shell ends the server and removes the folder.
#[derive(Debug)]
pub(super) struct Keeper {
    shell: Mutex<Child>,
    talk: Mutex<Option<(ChildStdin, BufReader<ChildStdout>)>>,
}

/// What a keeper runs, and how.
pub(super) struct Errand<'a> {
    pub(super) command: &'a [OsString],
    pub(super) log: &'a Path,
    /// The signal that ends the server for good, without the leading SIG.
    pub(super) last: &'a str,
    pub(super) user: Option<&'a User>,
}

impl Keeper {
    /// The folder is the keeper's from here on.
    pub(super) fn new(folder: TempDir, errand: &Errand<'_>) -> Self {
        let mut command = Command::new("sh");
        command.arg("-c").arg(include_str!("keeper.sh")).arg("keeper").arg(folder.path()).arg(errand.log);
        command.arg(errand.last).args(errand.command).current_dir("/").env("LC_ALL", "C");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        // A group of its own: an interrupt from the terminal is for the test, and the end of the test is the sign to end.
        command.process_group(0);
        if let Some(user) = errand.user {
            command.uid(user.id).gid(user.group);
        }
        let mut shell = command.spawn().expect("a shell that keeps the server");
        let (input, output) = (shell.stdin.take().expect("its input"), shell.stdout.take().expect("its output"));
        let _ = folder.keep();
        Self { shell: Mutex::new(shell), talk: Mutex::new(Some((input, BufReader::new(output)))) }
    }

    /// Keeps a folder alone: it is removed when this is dropped, and when the test's process ends before that.
    pub(super) fn of_folder(folder: TempDir) -> Self {
        let log = folder.path().join("log");
        Self::new(folder, &Errand { command: &[], log: &log, last: "KILL", user: None })
    }

    /// Starts the server, and returns its process id.
    pub(super) fn start(&self) -> u32 {
        self.ask("start").parse().expect("a process id")
    }

    /// Sends a signal to the server's main process.
    pub(super) fn signal(&self, name: &str) {
        self.ask(&format!("signal {name}"));
    }

    /// Sends a signal to the server's main process and to its children.
    pub(super) fn signal_all(&self, name: &str) {
        self.ask(&format!("signal-all {name}"));
    }

    /// Waits until the server's main process has ended.
    pub(super) fn wait(&self) {
        self.ask("wait");
    }

    /// Ends the server for good, and removes its folder.
    pub(super) fn end(&self) {
        self.talk.lock().unwrap_or_else(PoisonError::into_inner).take();
        let _ = self.shell.lock().unwrap_or_else(PoisonError::into_inner).wait();
    }

    fn ask(&self, command: &str) -> String {
        let mut talk = self.talk.lock().unwrap();
        let (input, output) = talk.as_mut().expect("a keeper that has not ended");
        writeln!(input, "{command}").and_then(|()| input.flush()).expect("the keeper is there");
        let mut answer = String::new();
        output.read_line(&mut answer).expect("the keeper answers");
        answer.trim().to_owned()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.end();
    }
}
