//! A connection as one of those that write: it takes its turns before it asks SQLite, and passes them on when its transaction is over.

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, sleep};
use std::time::Duration;

use dockline_core::{Error, ErrorKind, Fact, Result};
use rusqlite::ffi;

use crate::database::{Database, Turns, Wait};
use crate::identity::Identity;
use crate::locked;
use crate::queue::{Joined, Turn, Waiting, Who};
use crate::watch::Watch;

/// What a connection has to do with the queues of writers.
pub(crate) struct Writer {
    /// What it can write to, in the order in which turns are taken. Empty where it only reads.
    databases: RefCell<Vec<Arc<Database>>>,
    turns: RefCell<Turns>,
    /// The database that it was opened on, where it can write to it.
    main: Option<Arc<Database>>,
    /// The file that it was opened on, by its whole path, and which file that was.
    file: Option<(PathBuf, Identity)>,
    /// Whether SQLite, too, is asked by writers alone, so that who has the turn can only be in another process's way.
    readers_are_apart: bool,
    /// From when on somebody who has the turn is named in a warning.
    slow_writer: Option<Duration>,
    /// Whether those who wait know the statement that the transaction began with.
    is_described: Cell<bool>,
    /// The thread that uses it, by its number and its name.
    thread: RefCell<(u64, Arc<str>)>,
}

impl Writer {
    /// Of a connection to a file, or of one in memory.
    pub(crate) fn new(
        main: Option<Arc<Database>>,
        file: Option<(PathBuf, Identity)>,
        readers_are_apart: bool,
        slow_writer: Option<Duration>,
    ) -> Self {
        Self {
            databases: RefCell::new(main.iter().cloned().collect()),
            turns: RefCell::default(),
            main,
            file,
            readers_are_apart,
            slow_writer,
            is_described: Cell::new(false),
            thread: RefCell::new((0, "".into())),
        }
    }

    pub(crate) fn has_turn(&self) -> bool {
        !self.turns.borrow().is_empty()
    }

    /// The path of its file; nothing is in memory.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.file.as_ref().map(|(path, _)| &**path)
    }

    /// Takes the turn of each database that it can write to, unless it has it already. `statement` is what those are told who wait.
    pub(crate) fn take_turns(&self, watch: &Arc<Watch>, statement: &Arc<str>) -> Result<()> {
        let databases = self.databases.borrow();
        let mut turns = self.turns.borrow_mut();
        let is_first = turns.is_empty();
        let mut has_all = true;
        for database in databases.iter() {
            if turns.has(database) {
                continue;
            }
            has_all = false;
            match self.take_turn(database, watch, statement) {
                Ok(turn) => turns.add(turn),
                Err(error) => {
                    if is_first {
                        turns.pass_on();
                    }
                    return Err(error);
                }
            }
        }
        drop(turns);
        if has_all {
            self.describe(statement);
            return Ok(());
        }
        self.is_described.set(true);
        watch.meets_others(self.readers_are_apart);
        if is_first {
            self.refuse_moved_file().inspect_err(|_| self.pass_on(watch))?;
        }
        if let Some(gap) = databases.iter().filter_map(|database| database.courtesy()).max() {
            sleep(gap.min(watch.patience_left()));
        }
        Ok(())
    }

    /// Says with which statement the transaction began, where it began with none of its own.
    pub(crate) fn describe(&self, statement: &Arc<str>) {
        if !self.is_described.replace(true) {
            self.turns.borrow().began_with(statement);
        }
    }

    /// The transaction has begun, and its next statement says more of it than its BEGIN.
    pub(crate) fn describe_by_next(&self) {
        self.is_described.set(self.turns.borrow().is_empty());
    }

    pub(crate) fn pass_on(&self, watch: &Watch) {
        watch.meets_others(false);
        self.turns.borrow_mut().pass_on();
    }

    /// Other files were attached, or are no more.
    pub(crate) fn set_attached(&self, attached: &[(Identity, String)]) {
        let Some(main) = &self.main else { return };
        let mut databases = self.databases.borrow_mut();
        databases.clear();
        databases.push(Arc::clone(main));
        databases.extend(attached.iter().map(|(identity, name)| Database::of(identity.clone(), name)));
        databases.sort_by(|a, b| a.identity().cmp(b.identity()));
        databases.dedup_by(|a, b| Arc::ptr_eq(a, b));
    }

    /// The database that the connection was opened on, where it writes to it.
    pub(crate) fn main(&self) -> Option<&Arc<Database>> {
        self.main.as_ref()
    }

    fn take_turn(&self, database: &Arc<Database>, watch: &Arc<Watch>, statement: &Arc<str>) -> Result<Turn> {
        let (thread, name) = self.this_thread();
        let who = Who { thread, name, statement: Arc::clone(statement) };
        let waiting = match database.queue.join(who) {
            Joined::Turn(turn) => return Ok(turn),
            Joined::Waiting(waiting) => waiting,
        };
        let shown = database.to_string();
        if let Some(holder) = database.queue.holder().filter(|_| waiting.is_behind_itself()) {
            return Err(locked::own_turn(&shown, &holder));
        }
        if watch.patience_left().is_zero() {
            return Err(locked::timed_out(&shown, database.queue.holder().as_ref(), watch.waiting_limit()));
        }
        let Some(wait) = Wait::begin(thread, &database.queue) else {
            return Err(locked::deadlock(&shown, database.queue.holder().as_ref()));
        };
        watch.set_waker(waiting.waker());
        let turn = self.wait(database, waiting, watch);
        watch.set_waker(None);
        drop(wait);
        turn
    }

    fn wait(&self, database: &Database, mut waiting: Waiting, watch: &Watch) -> Result<Turn> {
        loop {
            watch.check()?;
            let left = watch.patience_left();
            if left.is_zero() {
                let holder = database.queue.holder();
                return Err(locked::timed_out(&database.to_string(), holder.as_ref(), watch.waiting_limit()));
            }
            let slice = self.slow_writer.map_or(left, |slow| slow.max(Duration::from_millis(1)).min(left));
            waiting = match waiting.wait(slice, &|| watch.is_cancelled()) {
                Joined::Turn(turn) => return Ok(turn),
                Joined::Waiting(waiting) => waiting,
            };
            let overdue = self.slow_writer.and_then(|slow| database.queue.overdue(slow));
            if let Some(holder) = overdue {
                ::log::warn!(target: "dockline::connection", "{}", locked::overdue(&database.to_string(), &holder));
            }
        }
    }

    /// SQLite goes on writing to a file that was removed or replaced, where nobody will find it.
    fn refuse_moved_file(&self) -> Result<()> {
        match self.file_is_moved() {
            Some(what) => Err(what),
            None => Ok(()),
        }
    }

    /// What became of the file, where it is no more what it was when the connection was opened.
    pub(crate) fn file_is_moved(&self) -> Option<Error> {
        let (path, own) = self.file.as_ref()?;
        let what = match Identity::of_file(path) {
            Ok(now) if now == *own => return None,
            Ok(_) => "was replaced by another file",
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => "was removed or renamed",
            // It cannot be asked, which says nothing of the file.
            Err(_) => return None,
        };
        let message = format!(
            "{} {what} while it was open, and nothing is written to it any more; close the connections before the file is moved",
            path.display()
        );
        let error = Error::new(ErrorKind::Operational, message).with_code(ffi::SQLITE_READONLY_DBMOVED.to_string());
        Some(error.with_fact(Fact::Disconnect))
    }

    fn this_thread(&self) -> (u64, Arc<str>) {
        let number = thread_number();
        let mut thread = self.thread.borrow_mut();
        if thread.0 != number {
            let current = thread::current();
            *thread = (number, current.name().map_or_else(|| format!("{:?}", current.id()).into(), Arc::from));
        }
        thread.clone()
    }
}

/// A number that no other thread of the process has.
fn thread_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    thread_local! {
        static NUMBER: u64 = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    NUMBER.with(|number| *number)
}
