//! Threads and processes that share one SQLite file, beside what one would use else: bare connections behind one fair mutex, and r2d2
//! with immediate transactions and the same settings.
//!
//! `cargo bench -p dockline --bench sqlite_threads`, with `SYNCHRONOUS=normal` for commits that do not wait for the disk. `TMPDIR` says
//! on which disk. A figure is of the wall clock, on all threads together, unless it says otherwise.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dockline::{Connections, Databases, Settings, params, rusqlite};
use parking_lot::FairMutex;

const THREADS: [usize; 4] = [1, 8, 32, 64];
const FOR: Duration = Duration::from_millis(1500);
const ROWS: u32 = 1000;
const READ: &str = "SELECT name FROM item WHERE id = ?";
const WRITE: &str = "INSERT INTO entry (item, name) VALUES (?, ?)";
const CHILD: &str = "DOCKLINE_BENCH_CHILD";

fn main() {
    if let Some(file) = std::env::var_os(CHILD) {
        return be_child(Path::new(&file));
    }
    // cargo bench and cargo test say so.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    println!("synchronous={}, {} processors\n", synchronous(), thread::available_parallelism().unwrap());
    loads();
    processes();
    look_ups();
    many_rows();
}

fn synchronous() -> String {
    std::env::var("SYNCHRONOUS").unwrap_or_else(|_| "full".to_owned())
}

/// A file of its own, gone when this is dropped.
struct File {
    folder: PathBuf,
}

impl File {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("dockline-threads-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = Self { folder };
        let sqlite = open(&file.path());
        sqlite.execute_batch("CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT)").unwrap();
        sqlite.execute_batch("CREATE TABLE entry (id INTEGER PRIMARY KEY, item INTEGER, name TEXT)").unwrap();
        sqlite.execute_batch("BEGIN").unwrap();
        for id in 0..ROWS {
            sqlite.execute("INSERT INTO item VALUES (?, ?)", (id, format!("name {id}"))).unwrap();
        }
        sqlite.execute_batch("COMMIT").unwrap();
        file
    }

    fn path(&self) -> PathBuf {
        self.folder.join("app.db")
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A bare connection with the settings that Dockline's has.
fn open(path: &Path) -> rusqlite::Connection {
    let sqlite = rusqlite::Connection::open(path).unwrap();
    sqlite.busy_timeout(Duration::from_secs(5)).unwrap();
    sqlite.set_prepared_statement_cache_capacity(100);
    let set = format!("PRAGMA journal_mode = wal; PRAGMA foreign_keys = on; PRAGMA synchronous = {}", synchronous());
    sqlite.execute_batch(&set).unwrap();
    sqlite
}

fn registry(path: &Path) -> Connections {
    let settings = Settings::new().engine("sqlite").name(path.to_str().unwrap()).option("synchronous", synchronous());
    Connections::new(Databases::new().with("default", settings)).unwrap()
}

/// What a request does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Load {
    ReadThenWrite,
    Write,
    /// Nine of ten look something up, without a transaction.
    Reads,
}

/// Something that runs requests; true where it went well.
trait Peer: Sync {
    /// Makes what one thread has, and answers what runs its n-th request.
    fn on_thread(&self) -> Box<dyn FnMut(Load, u32) -> bool + '_>;
}

struct Dockline(Connections);

impl Peer for Dockline {
    fn on_thread(&self) -> Box<dyn FnMut(Load, u32) -> bool + '_> {
        let db = self.0.get("default").unwrap();
        Box::new(move |load, n| {
            let id = n % ROWS;
            let read = || db.query_value::<String>(READ, params![id]);
            let write = || db.execute(WRITE, params![id, "name"]).map(drop);
            let ran: dockline::Result<()> = self.0.in_request(|| match load {
                Load::Reads if n % 10 != 0 => read().map(drop),
                Load::Write => db.atomic(write),
                _ => db.atomic(|| read().and_then(|_| write())),
            });
            ran.is_ok()
        })
    }
}

fn bare_read(sqlite: &rusqlite::Connection, id: u32) -> rusqlite::Result<String> {
    sqlite.prepare_cached(READ)?.query_row([id], |row| row.get(0))
}

fn bare_write(sqlite: &rusqlite::Connection, load: Load, id: u32) -> rusqlite::Result<()> {
    sqlite.prepare_cached("BEGIN IMMEDIATE")?.execute(())?;
    let work = || {
        if load != Load::Write {
            bare_read(sqlite, id)?;
        }
        sqlite.prepare_cached(WRITE)?.execute((id, "name"))
    };
    let done = work();
    sqlite.prepare_cached(if done.is_ok() { "COMMIT" } else { "ROLLBACK" })?.execute(())?;
    done.map(drop)
}

/// A connection for each thread; who writes holds a mutex that is handed from one to the next.
struct Mutexed(PathBuf, FairMutex<()>);

impl Peer for Mutexed {
    fn on_thread(&self) -> Box<dyn FnMut(Load, u32) -> bool + '_> {
        let sqlite = open(&self.0);
        Box::new(move |load, n| {
            if load == Load::Reads && n % 10 != 0 {
                return bare_read(&sqlite, n % ROWS).is_ok();
            }
            let _turn = self.1.lock();
            bare_write(&sqlite, load, n % ROWS).is_ok()
        })
    }
}

/// What r2d2_sqlite has; its versions each want one version of rusqlite.
struct Manager(PathBuf);

impl r2d2::ManageConnection for Manager {
    type Connection = rusqlite::Connection;
    type Error = rusqlite::Error;

    fn connect(&self) -> rusqlite::Result<rusqlite::Connection> {
        Ok(open(&self.0))
    }

    fn is_valid(&self, sqlite: &mut rusqlite::Connection) -> rusqlite::Result<()> {
        sqlite.execute_batch("")
    }

    fn has_broken(&self, _: &mut rusqlite::Connection) -> bool {
        false
    }
}

struct Pooled(r2d2::Pool<Manager>);

impl Pooled {
    fn new(path: &Path, threads: usize) -> Self {
        Self(r2d2::Pool::builder().max_size(u32::try_from(threads).unwrap()).build(Manager(path.to_owned())).unwrap())
    }
}

impl Peer for Pooled {
    fn on_thread(&self) -> Box<dyn FnMut(Load, u32) -> bool + '_> {
        Box::new(move |load, n| {
            let sqlite = self.0.get().unwrap();
            if load == Load::Reads && n % 10 != 0 {
                return bare_read(&sqlite, n % ROWS).is_ok();
            }
            bare_write(&sqlite, load, n % ROWS).is_ok()
        })
    }
}

/// What one run has measured.
struct Measured {
    per_second: f64,
    reads_per_second: f64,
    errors: u64,
    /// The slowest thread's share of the median one's.
    slowest: f64,
    longest: Duration,
    median: Duration,
}

fn measure(peer: &dyn Peer, load: Load, threads: usize) -> Measured {
    let (ready, is_over) = (Barrier::new(threads + 1), AtomicBool::new(false));
    let run = |seed: usize| {
        let mut request = peer.on_thread();
        let (mut errors, mut reads, mut times) = (0, 0, Vec::with_capacity(1 << 16));
        request(load, 0);
        ready.wait();
        let mut n = u32::try_from(seed).unwrap();
        while !is_over.load(Ordering::Relaxed) {
            n += 1;
            let began = Instant::now();
            errors += u64::from(!request(load, n));
            reads += u64::from(load == Load::Reads && n % 10 != 0);
            times.push(began.elapsed());
        }
        (errors, reads, times)
    };
    thread::scope(|scope| {
        let run = &run;
        let workers: Vec<_> = (0..threads).map(|n| scope.spawn(move || run(n * 7))).collect();
        ready.wait();
        let began = Instant::now();
        thread::sleep(FOR);
        is_over.store(true, Ordering::Relaxed);
        let results: Vec<_> = workers.into_iter().map(|worker| worker.join().unwrap()).collect();
        let seconds = began.elapsed().as_secs_f64();
        let mut counts: Vec<usize> = results.iter().map(|(_, _, times)| times.len()).collect();
        counts.sort_unstable();
        let mut times: Vec<Duration> = results.iter().flat_map(|(_, _, times)| times.iter().copied()).collect();
        times.sort_unstable();
        Measured {
            per_second: times.len() as f64 / seconds,
            reads_per_second: results.iter().map(|(_, reads, _)| reads).sum::<u64>() as f64 / seconds,
            errors: results.iter().map(|(errors, _, _)| errors).sum(),
            slowest: counts[0] as f64 / counts[counts.len() / 2].max(1) as f64,
            longest: times.last().copied().unwrap_or_default(),
            median: times.get(times.len() / 2).copied().unwrap_or_default(),
        }
    })
}

fn loads() {
    for (load, title) in [
        (Load::ReadThenWrite, "a block that reads and then writes"),
        (Load::Write, "a block that writes"),
        (Load::Reads, "90 % look-ups, 10 % blocks that read and then write"),
    ] {
        println!("{title}");
        println!(
            "{:>8} {:<12} {:>10} {:>10} {:>7} {:>15} {:>12} {:>22}",
            "threads", "", "requests/s", "reads/s", "errors", "slowest/median", "longest", "longest/(threads × tx)"
        );
        // A transaction without any waiting: the median of one thread.
        let mut transaction = Duration::ZERO;
        for threads in THREADS {
            for name in ["dockline", "fair mutex", "r2d2"] {
                let file = File::new("loads");
                let path = file.path();
                let peer: Box<dyn Peer> = match name {
                    "dockline" => Box::new(Dockline(registry(&path))),
                    "fair mutex" => Box::new(Mutexed(path, FairMutex::new(()))),
                    _ => Box::new(Pooled::new(&path, threads)),
                };
                if transaction.is_zero() && load != Load::Reads {
                    transaction = measure(&*peer, load, 1).median;
                }
                let found = measure(&*peer, load, threads);
                let share = found.longest.as_secs_f64() / (threads as f64 * transaction.as_secs_f64());
                println!(
                    "{threads:>8} {name:<12} {:>10.0} {:>10.0} {:>7} {:>15.2} {:>12.1?} {:>22}",
                    found.per_second,
                    found.reads_per_second,
                    found.errors,
                    found.slowest,
                    found.longest,
                    if transaction.is_zero() { "-".to_owned() } else { format!("{share:.2}") },
                );
            }
        }
        println!();
    }
}

/// Each has four threads that read and then write.
fn processes() {
    println!("processes at once, each with 4 threads that read and then write");
    println!("{:>10} {:>12} {:>8} {:>15}", "processes", "requests/s", "errors", "slowest/median");
    for number in [1, 2, 4] {
        let file = File::new("processes");
        let spawn = || {
            let mut child = Command::new(std::env::current_exe().unwrap());
            child.env(CHILD, file.path()).stdout(Stdio::piped()).spawn().unwrap()
        };
        let children: Vec<_> = (0..number).map(|_| spawn()).collect();
        let mut counts = Vec::new();
        let mut errors = 0_u64;
        for child in children {
            let said = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
            let mut numbers = said.split_whitespace().map(|number| number.parse::<u64>().unwrap());
            counts.push(numbers.next().unwrap());
            errors += numbers.next().unwrap();
        }
        counts.sort_unstable();
        let seconds = (FOR * 2).as_secs_f64();
        let share = counts[0] as f64 / counts[counts.len() / 2].max(1) as f64;
        println!("{number:>10} {:>12.0} {errors:>8} {share:>15.2}", counts.iter().sum::<u64>() as f64 / seconds);
    }
    println!();
}

fn be_child(file: &Path) {
    let peer = Dockline(registry(file));
    let began = Instant::now();
    let run = || {
        let mut request = peer.on_thread();
        let (mut done, mut errors) = (0_u64, 0_u64);
        while began.elapsed() < FOR * 2 {
            errors += u64::from(!request(Load::ReadThenWrite, 1));
            done += 1;
        }
        (done, errors)
    };
    let results: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    let done: u64 = results.iter().map(|(done, _)| done).sum();
    let errors: u64 = results.iter().map(|(_, errors)| errors).sum();
    println!("{done} {errors}");
}

struct Bare(PathBuf);

impl Peer for Bare {
    fn on_thread(&self) -> Box<dyn FnMut(Load, u32) -> bool + '_> {
        let sqlite = open(&self.0);
        Box::new(move |_, n| bare_read(&sqlite, n % ROWS).is_ok())
    }
}

/// Look-ups alone: each request is one.
struct Requests(Connections);

impl Peer for Requests {
    fn on_thread(&self) -> Box<dyn FnMut(Load, u32) -> bool + '_> {
        Box::new(move |_, n| {
            let _request = self.0.request();
            let db = self.0.get("default").unwrap();
            db.query_value::<String>(READ, params![n % ROWS]).is_ok()
        })
    }
}

fn look_ups() {
    println!("requests of one look-up by primary key, a second");
    println!("{:>8} {:>12} {:>12} {:>8}", "threads", "dockline", "bare", "ratio");
    let file = File::new("lookups");
    for threads in [1, 2, 8] {
        // In turns, so that what else the machine does meets both.
        let (mut ours, mut bare) = (Vec::new(), Vec::new());
        for _ in 0..5 {
            ours.push(calls_per_second(&Requests(registry(&file.path())), threads));
            bare.push(calls_per_second(&Bare(file.path()), threads));
        }
        let (ours, bare) = (median(ours), median(bare));
        println!("{threads:>8} {ours:>12.0} {bare:>12.0} {:>8.2}", ours / bare);
    }
    println!();
}

/// Without a look at the clock for each.
fn calls_per_second(peer: &dyn Peer, threads: usize) -> f64 {
    const CALLS: u32 = 200_000;
    let ready = Barrier::new(threads);
    let run = || {
        let mut request = peer.on_thread();
        request(Load::Reads, 1);
        ready.wait();
        let began = Instant::now();
        for n in 0..CALLS {
            assert!(request(Load::Reads, n));
        }
        f64::from(CALLS) / began.elapsed().as_secs_f64()
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    })
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn many_rows() {
    const MANY: u32 = 100_000;
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let file = File::new("many");
        let connections = registry(&file.path());
        let db = connections.get("default").unwrap();
        db.ensure_connection().unwrap();
        let began = Instant::now();
        db.execute_many(WRITE, (0..MANY).map(|n| params![n, "name"])).unwrap();
        ours.push(f64::from(MANY) / began.elapsed().as_secs_f64());

        let file = File::new("many-bare");
        let sqlite = open(&file.path());
        let began = Instant::now();
        sqlite.execute_batch("BEGIN").unwrap();
        let mut statement = sqlite.prepare(WRITE).unwrap();
        for n in 0..MANY {
            statement.execute((n, "name")).unwrap();
        }
        drop(statement);
        sqlite.execute_batch("COMMIT").unwrap();
        bare.push(f64::from(MANY) / began.elapsed().as_secs_f64());
    }
    let (ours, bare) = (median(ours), median(bare));
    println!(
        "execute_many of {MANY} rows in autocommit: {ours:.0} rows/s; a bare loop in one transaction: {bare:.0}; {:.2}",
        ours / bare
    );
}
