//! Counts the words of a directory tree, with a database as the job queue and a few threads as its workers.
//!
//! ```sh
//! cargo run --example quickstart             # this repository, on an SQLite file of its own
//! cargo run --example quickstart -- /some/folder
//! DATABASE_URL=sqlite:words.db cargo run --example quickstart
//! DATABASE_URL=postgres://app:secret@localhost/app cargo run --example quickstart
//! DATABASE_URL=mysql://app:secret@127.0.0.1/app cargo run --example quickstart
//! WORKERS=64 cargo run --example quickstart  # as many threads, instead of 4
//! ```
//!
//! The summary is the same on each: only the URL says which database it is.
//!
//! Each worker claims a job, reads the file and writes what it found back, and each job is a task: what is due is
//! closed when it ends. No connection is handed around, given back or closed by hand. At the end stands what became of
//! the connections.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::fmt::Write as _;
use std::io::{ErrorKind, IsTerminal, Read, Write as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use dockline::{DEFAULT_ALIAS, Databases, params};
use dockline_examples::databases;
use indicatif::{ProgressBar, ProgressStyle};
use walkdir::WalkDir;

const WORKERS: u16 = 4;
/// How many of its most frequent words each file contributes.
const TOP: usize = 20;

type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("quickstart: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Fallible<()> {
    let root = root()?;
    // Until this is dropped: the database of a run without DATABASE_URL.
    let folder = tempfile::tempdir()?;
    let databases = databases(&folder.path().join("quickstart.db"))?;
    let own = own_file(&databases);
    dockline::init(databases)?;
    let story = Story::begin();

    let number = number_of_workers()?;
    let started = Instant::now();
    let jobs = fill_queue(&root, own.as_deref())?;
    let progress = progress_bar(jobs);
    let workers: Vec<_> = (1..=number)
        .map(|n| {
            let (progress, story) = (progress.clone(), Arc::clone(&story));
            thread::Builder::new().name(format!("worker {n}")).spawn(move || work(&progress, &story))
        })
        .collect::<Result<_, _>>()?;
    let results: Vec<Fallible<()>> =
        workers.into_iter().map(|worker| worker.join().unwrap_or_else(|_| Err("a worker panicked".into()))).collect();
    progress.finish_and_clear();
    results.into_iter().collect::<Fallible<()>>()?;

    let mut text = summary(&root, started.elapsed())?;
    // The workers' connections went with their threads; this thread's goes now.
    dockline::connections().shutdown(Duration::from_secs(5));
    story.write(&mut text)?;
    match std::io::stdout().write_all(text.as_bytes()) {
        // Whoever reads has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result?),
    }
}

/// The folder to count: the argument, or this repository.
fn root() -> Fallible<PathBuf> {
    let mut arguments = std::env::args_os().skip(1);
    let root = arguments.next().map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(".."), PathBuf::from);
    if arguments.next().is_some() {
        return Err("usage: quickstart [FOLDER]".into());
    }
    root.canonicalize().map_err(|error| format!("{}: {error}", root.display()).into())
}

/// As many as `WORKERS` in the environment says.
fn number_of_workers() -> Fallible<u16> {
    let Ok(text) = std::env::var("WORKERS") else { return Ok(WORKERS) };
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(format!("WORKERS is {text:?}, and has to be a number from 1 on").into()),
    }
}

/// The file of the database, where it is in one.
fn own_file(databases: &Databases) -> Option<PathBuf> {
    let settings = databases.settings(DEFAULT_ALIAS)?;
    settings.get_name().filter(|_| settings.get_engine() == Some("sqlite")).map(PathBuf::from)
}

/// Puts one job for each text file into the table, and answers how many.
fn fill_queue(root: &Path, own: Option<&Path>) -> Fallible<u64> {
    let db = dockline::connection()?;
    for table in ["quickstart_word", "quickstart_job"] {
        db.execute(&format!("DROP TABLE IF EXISTS {table}"), ())?;
    }
    db.execute(
        "CREATE TABLE quickstart_job (id INTEGER PRIMARY KEY, path TEXT NOT NULL, state VARCHAR(10) NOT NULL, \
         worker VARCHAR(40), line_count INTEGER, word_count INTEGER)",
        (),
    )?;
    db.execute(
        "CREATE TABLE quickstart_word (job INTEGER NOT NULL, word VARCHAR(100) NOT NULL, times INTEGER NOT NULL)",
        (),
    )?;

    // One transaction for all of them, by hand.
    db.set_autocommit(false)?;
    let rows = text_files(root, own).enumerate().map(|(id, path)| params![id, path, "todo"]);
    let jobs = db.execute_many("INSERT INTO quickstart_job (id, path, state) VALUES (?, ?, ?)", rows)?;
    db.commit()?;
    db.set_autocommit(true)?;
    Ok(jobs)
}

/// The text files below a folder, without hidden ones and what cargo built; and without the database's own: a process
/// that opens and closes those itself drops the locks that SQLite holds on them.
fn text_files(root: &Path, own: Option<&Path>) -> impl Iterator<Item = String> {
    let own = own.and_then(|own| own.canonicalize().ok()).map(|own| own.display().to_string());
    let wanted = move |entry: &walkdir::DirEntry| {
        let name = entry.file_name().to_string_lossy();
        let hidden = entry.depth() > 0 && (name.starts_with('.') || name == "target");
        // The log and its index have the file's name with something behind it.
        let database = own.as_ref().is_some_and(|own| entry.path().to_string_lossy().starts_with(own));
        !hidden && !database
    };
    let entries = WalkDir::new(root).sort_by_file_name().into_iter().filter_entry(wanted).filter_map(Result::ok);
    let files = entries.filter(|entry| entry.file_type().is_file() && is_text(entry.path()));
    files.filter_map(|entry| entry.path().to_str().map(str::to_owned))
}

/// Whether the beginning of a file is UTF-8 without NUL.
fn is_text(path: &Path) -> bool {
    let mut head = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(8192).read_to_end(&mut head));
    // The last character may be cut.
    let is_utf8 = std::str::from_utf8(&head).map_or_else(|error| error.error_len().is_none(), |_| true);
    read.is_ok() && is_utf8 && !head.contains(&0)
}

/// Works until no job is left. Each job is a task of its own.
fn work(progress: &ProgressBar, story: &Arc<Story>) -> Fallible<()> {
    while dockline::task(next_job)()? {
        progress.inc(1);
        story.count_task();
    }
    Ok(())
}

/// Does one job; false where there was none.
fn next_job() -> Fallible<bool> {
    let Some((id, path)) = claim()? else { return Ok(false) };
    let bytes = std::fs::read(&path).map_err(|error| format!("{path}: {error}"))?;
    let text = String::from_utf8_lossy(&bytes);
    let mut times = HashMap::<String, i64>::new();
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| (3..=40).contains(&word.chars().count())) {
        *times.entry(word.to_lowercase()).or_default() += 1;
    }
    let most = most_frequent(times, TOP);

    let db = dockline::connection()?;
    let rows = most.iter().map(|(word, times)| params![id, word, times]);
    db.execute_many("INSERT INTO quickstart_word (job, word, times) VALUES (?, ?, ?)", rows)?;
    db.execute(
        "UPDATE quickstart_job SET state = 'done', line_count = ?, word_count = ? WHERE id = ?",
        params![text.lines().count(), text.split_whitespace().count(), id],
    )?;
    Ok(true)
}

fn most_frequent(times: HashMap<String, i64>, count: usize) -> Vec<(String, i64)> {
    let mut most: Vec<(String, i64)> = times.into_iter().collect();
    most.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    most.truncate(count);
    most
}

/// Takes a job that nobody has. Two workers may see the same one; the database lets one of them take it.
fn claim() -> Fallible<Option<(i64, String)>> {
    let db = dockline::connection()?;
    let worker = thread::current().name().unwrap_or_default().to_owned();
    loop {
        let todo = db.query_opt("SELECT id, path FROM quickstart_job WHERE state = 'todo' ORDER BY id LIMIT 1", ())?;
        let Some(todo) = todo else { return Ok(None) };
        let (id, path): (i64, String) = todo.decode()?;
        let take = "UPDATE quickstart_job SET state = 'busy', worker = ? WHERE id = ? AND state = 'todo'";
        if db.execute(take, params![worker, id])? == 1 {
            return Ok(Some((id, path)));
        }
    }
}

fn progress_bar(jobs: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style =
        ProgressStyle::with_template("{bar:40} {pos}/{len} files").unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(jobs).with_style(style)
}

fn summary(root: &Path, elapsed: Duration) -> Fallible<String> {
    let db = dockline::connection()?;
    let totals = "SELECT count(*), coalesce(sum(line_count), 0), coalesce(sum(word_count), 0) FROM quickstart_job \
                  WHERE state = 'done'";
    let (files, lines, words): (i64, i64, i64) = db.query_one(totals, ())?.decode()?;
    // Added up and sorted here, for a server does both by its collation, where "Straße" may be "strasse".
    let mut times = HashMap::<String, i64>::new();
    db.query_each("SELECT word, times FROM quickstart_word", (), |row| {
        let (word, count): (String, i64) = row.decode()?;
        *times.entry(word).or_default() += count;
        Ok(ControlFlow::<()>::Continue(()))
    })?;
    let frequent: Vec<String> =
        most_frequent(times, 10).iter().map(|(word, times)| format!("{word} {times}")).collect();

    let mut text = String::new();
    writeln!(text, "{}, on {}, in {elapsed:.1?}", root.display(), db.vendor())?;
    writeln!(text, "{files} files, {lines} lines, {words} words")?;
    writeln!(text, "most frequent, by each file's first {TOP}: {}\n", frequent.join(", "))?;
    Ok(text)
}

/// What became of the connections, by the registry's signals.
#[derive(Default)]
struct Story {
    threads: Mutex<BTreeMap<String, Counts>>,
    /// Which thread a connection was opened on: at its end a thread no longer knows its name.
    opened_on: Mutex<HashMap<u64, String>>,
}

#[derive(Default)]
struct Counts {
    tasks: u64,
    opened: u64,
    closed: u64,
    statements: u64,
    reasons: Vec<String>,
}

impl Story {
    fn begin() -> Arc<Self> {
        let story = Arc::new(Self::default());
        let signals = dockline::connections().signals();
        let created = Arc::clone(&story);
        signals.connection_created.connect(move |event| {
            let thread = thread_name();
            created.count(&thread, |counts| counts.opened += 1);
            created.opened_on.lock().expect("no panic").insert(event.serial(), thread);
        });
        let closed = Arc::clone(&story);
        signals.connection_closed.connect(move |event| {
            let thread = closed.opened_on.lock().expect("no panic").remove(&event.serial()).unwrap_or_default();
            closed.count(&thread, |counts| {
                counts.closed += 1;
                counts.statements += event.statements();
                counts.reasons.push(event.reason().to_string());
            });
        });
        story
    }

    fn count_task(&self) {
        self.count(&thread_name(), |counts| counts.tasks += 1);
    }

    fn count(&self, thread: &str, change: impl FnOnce(&mut Counts)) {
        change(self.threads.lock().expect("no panic").entry(thread.to_owned()).or_default());
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        let threads = self.threads.lock().expect("no panic");
        writeln!(
            text,
            "{:<10} {:>6} {:>7} {:>7} {:>11} {:>7}  why",
            "thread", "tasks", "opened", "reused", "statements", "closed"
        )?;
        for (thread, counts) in threads.iter() {
            let Counts { tasks, opened, closed, statements, reasons } = counts;
            let reused = tasks.saturating_sub(*opened);
            let reasons = reasons.join(", ");
            writeln!(text, "{thread:<10} {tasks:>6} {opened:>7} {reused:>7} {statements:>11} {closed:>7}  {reasons}")?;
        }
        let opened: u64 = threads.values().map(|counts| counts.opened).sum();
        let closed: u64 = threads.values().map(|counts| counts.closed).sum();
        writeln!(text, "{opened} connections opened, {closed} closed, {} open at the end", opened - closed)
    }
}

fn thread_name() -> String {
    thread::current().name().unwrap_or("?").to_owned()
}
