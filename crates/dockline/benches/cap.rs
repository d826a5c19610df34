//! The cap on connections, in numbers: what it costs while it is not reached, what threads get when it is, and how that grows.
//!
//! `cargo bench -p dockline --all-features --bench cap`. Rounds of one and the other alternate, and a ratio is the median of those
//! of the pairs. Nothing here is judged; the numbers are in `docs/cap.md`.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dockline::mysql::prelude::Queryable;
use dockline::{Connection, Connections, Databases, Settings, mysql, params, postgres};
use dockline_tests::servers::{Kind, LimitedUser, Server, end_shared};
use r2d2::{ManageConnection, Pool};

const PAIRS: usize = 9;
const ROUND: Duration = Duration::from_millis(1_000);
/// The threads at the cap, and the cap.
const CROWD: usize = 64;
const CAP: u32 = 20;
const ROWS: i32 = 1_000;

fn main() {
    if std::env::args().any(|argument| argument == "--test") {
        // `cargo test --benches` compiles it, and that is all that it is asked for.
        return;
    }
    let parts: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let is_asked_for = |part: &str| parts.is_empty() || parts.iter().any(|asked| asked == part);
    if is_asked_for("below") {
        below_the_cap();
    }
    for (kind, part) in [(Kind::Postgres, "postgres"), (Kind::Mysql, "mysql")] {
        match kind.available() {
            Ok(()) if is_asked_for(part) => at_the_cap(Server::shared(kind)),
            Ok(()) => {}
            Err(reason) => println!("{}: skipped: {reason}", kind.name()),
        }
    }
    if is_asked_for("growth") {
        growth(Server::shared(Kind::Postgres));
    }
    if is_asked_for("worker") {
        worker(Server::shared(Kind::Postgres));
    }
    if is_asked_for("status") {
        status_of_a_thousand();
    }
    end_shared();
}

fn registry(settings: Settings) -> Connections {
    Connections::new(Databases::new().with("default", settings)).unwrap()
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// A request of one statement on SQLite in memory, with a cap that is never reached and without one.
fn below_the_cap() {
    println!("\nA request of one statement, SQLite in memory: ns without a cap, with one, more");
    for threads in [1, 2, 64] {
        let memory = || Settings::from_url("sqlite::memory:").unwrap();
        let (plain, capped) = (registry(memory()), registry(memory().max_connections(Some(1_000))));
        let (mut without, mut with) = (Vec::new(), Vec::new());
        for _ in 0..PAIRS * 2 {
            without.push(cost_of_requests(&plain, threads));
            with.push(cost_of_requests(&capped, threads));
        }
        let more = median(with.iter().zip(&without).map(|(with, without)| with - without).collect());
        println!("{threads:>3} threads: {:>8.0} {:>8.0} {more:>+8.0}", median(without), median(with));
    }
}

/// Nanoseconds of a core for each.
fn cost_of_requests(registry: &Connections, threads: usize) -> f64 {
    let each = 60_000 / threads;
    let ready = Barrier::new(threads + 1);
    let started = thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let db = registry.get("default").unwrap();
                registry.in_request(|| db.execute("SELECT 1", ())).unwrap();
                ready.wait();
                for _ in 0..each {
                    registry.in_request(|| db.execute("SELECT 1", ())).unwrap();
                }
            });
        }
        ready.wait();
        Instant::now()
    });
    let cores = thread::available_parallelism().map_or(1, usize::from).min(threads);
    started.elapsed().as_secs_f64() * 1e9 * cores as f64 / (each * threads) as f64
}

/// A user who may have so many connections, on a database with the table of the look-ups.
fn limited(server: &'static Server, connections: u32) -> LimitedUser<'static> {
    let limited = LimitedUser::new(server, connections);
    let owner = registry(Settings::from_url(&limited.database().url()).unwrap());
    let db = owner.get("default").unwrap();
    db.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, name VARCHAR(40) NOT NULL)", ()).unwrap();
    db.execute_many("INSERT INTO item VALUES (?, ?)", (0..ROWS).map(|n| params![n, format!("item {n}")])).unwrap();
    if server.kind().is_postgres() {
        db.execute(&format!("GRANT SELECT ON item TO {}", limited.name()), ()).unwrap();
    }
    limited
}

enum Bare {
    Postgres(Box<postgres::Client>, postgres::Statement),
    Mysql(Box<mysql::Conn>, mysql::Statement),
}

impl Bare {
    fn open(limited: &LimitedUser<'_>) -> Self {
        let (settings, database) = (limited.settings(), limited.database());
        let (host, port) = (settings.get_host().unwrap().to_owned(), settings.get_port().unwrap());
        let (user, password) = (limited.name(), limited.password());
        if database.server().kind().is_postgres() {
            let mut config = postgres::Config::new();
            config.host(&host).port(port).user(user).password(password).dbname(database.name());
            let mut client = config.connect(postgres::NoTls).unwrap();
            let statement = client.prepare("SELECT name FROM item WHERE id = $1").unwrap();
            Self::Postgres(Box::new(client), statement)
        } else {
            let options = mysql::OptsBuilder::new()
                .ip_or_hostname(Some(host))
                .tcp_port(port)
                .user(Some(user))
                .pass(Some(password))
                .db_name(Some(database.name()))
                .prefer_socket(false);
            let mut conn = mysql::Conn::new(options).unwrap();
            let statement = conn.prep("SELECT name FROM item WHERE id = ?").unwrap();
            Self::Mysql(Box::new(conn), statement)
        }
    }

    fn look_up(&mut self, id: i32) -> String {
        match self {
            Self::Postgres(client, statement) => client.query_one(&*statement, &[&id]).unwrap().get(0),
            Self::Mysql(conn, statement) => conn.exec_first(&*statement, (id,)).unwrap().unwrap(),
        }
    }
}

#[derive(Debug)]
struct Never;

impl std::fmt::Display for Never {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("never")
    }
}

impl std::error::Error for Never {}

/// r2d2 with its checks off: the fastest that it can be. It wants `'static`, so the benchmark keeps what it borrows for as long as
/// the process lives.
struct Leaked(&'static LimitedUser<'static>);

impl ManageConnection for Leaked {
    type Connection = Bare;
    type Error = Never;

    fn connect(&self) -> Result<Bare, Never> {
        Ok(Bare::open(self.0))
    }

    fn is_valid(&self, _: &mut Bare) -> Result<(), Never> {
        Ok(())
    }

    fn has_broken(&self, _: &mut Bare) -> bool {
        false
    }
}

/// What threads got in one round.
struct Round {
    per_second: f64,
    /// The slowest thread's share of the median's.
    slowest: f64,
    p99: Duration,
    /// How often a thread of the client's went to sleep, for each request.
    sleeps: f64,
}

/// How often this thread went to sleep so far; 0 if the system does not say.
fn sleeps() -> u64 {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}

/// So many threads, each with requests for as long as a round lasts. `prepare` runs on each thread.
fn round<S>(threads: usize, prepare: impl Fn() -> S + Sync, call: impl Fn(&mut S, i32) + Sync) -> Round {
    let (ready, over) = (Barrier::new(threads + 1), AtomicBool::new(false));
    let slept = AtomicUsize::new(0);
    let mut of_threads: Vec<Vec<Duration>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads)
            .map(|n| {
                let (ready, over, prepare, call, slept) = (&ready, &over, &prepare, &call, &slept);
                scope.spawn(move || {
                    let mut state = prepare();
                    ready.wait();
                    let (mut times, mut id, before) = (Vec::new(), i32::try_from(n).unwrap(), sleeps());
                    while !over.load(Ordering::Relaxed) {
                        id = (id + 37) % ROWS;
                        let began = Instant::now();
                        call(&mut state, id);
                        times.push(began.elapsed());
                    }
                    slept.fetch_add(usize::try_from(sleeps() - before).unwrap(), Ordering::Relaxed);
                    times
                })
            })
            .collect();
        ready.wait();
        thread::sleep(ROUND);
        over.store(true, Ordering::Relaxed);
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    of_threads.sort_by_key(Vec::len);
    let (slowest, middle) = (of_threads[0].len(), of_threads[of_threads.len() / 2].len());
    let mut all: Vec<Duration> = of_threads.concat();
    all.sort_unstable();
    Round {
        per_second: all.len() as f64 / ROUND.as_secs_f64(),
        slowest: slowest as f64 / middle.max(1) as f64,
        p99: all[all.len() * 99 / 100],
        sleeps: slept.into_inner() as f64 / all.len() as f64,
    }
}

/// A request of one look-up: 64 threads on a user who may have 20 connections.
fn at_the_cap(server: &'static Server) {
    let limited: &'static LimitedUser<'static> = Box::leak(Box::new(limited(server, CAP)));
    println!("\n{}: {CROWD} threads on a user with {CAP} connections, a request of one look-up", server.kind().name());
    let settings = || limited.settings().max_connections(Some(CAP)).acquire_timeout(Duration::from_secs(60));
    let failures = AtomicUsize::new(0);
    let (mut bare, mut pooled, mut ours, mut alone) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let failures = &failures;
    let look_up = |registry: &Connections, db: &Connection, id: i32| {
        let name = registry.in_request(|| db.query_value::<String>("SELECT name FROM item WHERE id = ?", params![id]));
        if name.is_err() {
            failures.fetch_add(1, Ordering::Relaxed);
        }
    };
    // As the pool, each begins with its connections open.
    let open = |registry: &Connections| {
        let db = registry.get("default").unwrap();
        registry.in_request(|| db.query_value::<i64>("SELECT 1", ())).unwrap();
        db
    };
    for _ in 0..PAIRS {
        bare.push(round(usize::try_from(CAP).unwrap(), || Bare::open(limited), |bare, id| drop(bare.look_up(id))));
        wait_until_gone(limited);
        let pool = Pool::builder().max_size(CAP).test_on_check_out(false).build(Leaked(limited)).unwrap();
        pooled.push(round(CROWD, || pool.clone(), |pool, id| drop(pool.get().unwrap().look_up(id))));
        drop(pool);
        wait_until_gone(limited);
        let plain = registry(limited.settings());
        alone.push(round(usize::try_from(CAP).unwrap(), || open(&plain), |db, id| look_up(&plain, db, id)));
        plain.shutdown(Duration::from_secs(10));
        wait_until_gone(limited);
        let capped = registry(settings());
        ours.push(round(CROWD, || open(&capped), |db, id| look_up(&capped, db, id)));
        capped.shutdown(Duration::from_secs(10));
        wait_until_gone(limited);
    }
    let line = |name: &str, rounds: &[Round]| {
        let ratio = |of: &dyn Fn(&Round) -> f64| median(rounds.iter().map(of).collect());
        let beside: Vec<f64> =
            rounds.iter().zip(&bare).map(|(round, bare)| round.per_second / bare.per_second).collect();
        let p99: Vec<f64> =
            rounds.iter().zip(&bare).map(|(round, bare)| round.p99.as_secs_f64() / bare.p99.as_secs_f64()).collect();
        println!(
            "{name:<22} {:>8.0} a second, {:.2} of bare; slowest thread {:.2} of the median; p99 {:>6.2} ms, {:.2} of bare; \
             {:.2} sleeps a request",
            ratio(&|round| round.per_second),
            median(beside),
            ratio(&|round| round.slowest),
            ratio(&|round| round.p99.as_secs_f64() * 1e3),
            median(p99),
            ratio(&|round| round.sleeps),
        );
    };
    line("bare, 20 threads", &bare);
    line("r2d2(20), no checks", &pooled);
    line("Dockline, 20 threads", &alone);
    line("Dockline, cap 20", &ours);
    println!("failures: {}", failures.load(Ordering::Relaxed));
}

fn wait_until_gone(limited: &LimitedUser<'_>) {
    limited.admin().wait_until_connections(0);
}

/// The cost of a request with a cap of 20 as the number of threads grows.
fn growth(server: &'static Server) {
    let limited = limited(server, CAP);
    println!("\nA cap of {CAP} on {}, µs a request by the number of threads", server.kind().name());
    let cost = |threads: usize| {
        let registry =
            registry(limited.settings().max_connections(Some(CAP)).acquire_timeout(Duration::from_secs(120)));
        let each = 100_000 / threads;
        let ready = Barrier::new(threads + 1);
        let started = thread::scope(|scope| {
            for _ in 0..threads {
                let work = || {
                    let db = registry.get("default").unwrap();
                    registry.in_request(|| db.query_value::<i64>("SELECT 1", ())).unwrap();
                    ready.wait();
                    for id in 0..each {
                        let id = i32::try_from(id).unwrap() % ROWS;
                        let look_up = || db.query_value::<String>("SELECT name FROM item WHERE id = ?", params![id]);
                        registry.in_request(look_up).unwrap();
                    }
                };
                thread::Builder::new().stack_size(128 * 1024).spawn_scoped(scope, work).unwrap();
            }
            ready.wait();
            Instant::now()
        });
        let elapsed = started.elapsed();
        registry.shutdown(Duration::from_secs(10));
        wait_until_gone(&limited);
        elapsed.as_secs_f64() * 1e6 / (each * threads) as f64
    };
    let (mut few, mut many, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..3 {
        let (one, other) = (cost(500), cost(5_000));
        ratios.push(other / one);
        few.push(one);
        many.push(other);
    }
    println!("500: {:.1}, 5,000: {:.1}, ratio {:.2}", median(few), median(many), median(ratios));
}

/// 2,000 jobs of five look-ups each: 200 threads on 100 places, beside 50 threads with one connection each.
fn worker(server: &'static Server) {
    let places = 90;
    let limited = limited(server, places);
    println!("\nA worker's 2,000 jobs on {}: 200 threads on {places} places beside 50 threads", server.kind().name());
    let run = |threads: usize| {
        let registry =
            registry(limited.settings().max_connections(Some(places)).acquire_timeout(Duration::from_secs(60)));
        let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let started = Instant::now();
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while next.fetch_add(1, Ordering::Relaxed) < 2_000 {
                        let job = registry.task(|| {
                            let db = registry.get("default")?;
                            (0..5).try_for_each(|id| {
                                db.query_value::<String>("SELECT name FROM item WHERE id = ?", params![id]).map(drop)
                            })
                        });
                        done.fetch_add(usize::from(job().is_ok()), Ordering::Relaxed);
                    }
                });
            }
        });
        let elapsed = started.elapsed();
        registry.shutdown(Duration::from_secs(10));
        wait_until_gone(&limited);
        (elapsed.as_secs_f64(), done.into_inner())
    };
    let mut ratios = Vec::new();
    let mut least = usize::MAX;
    for _ in 0..5 {
        let ((few, one), (many, other)) = (run(50), run(200));
        ratios.push(many / few);
        least = least.min(one).min(other);
    }
    println!("jobs done: {least} of 2,000 at the least; time of 200 threads {:.2} of that of 50", median(ratios));
}

/// What a look at all threads costs.
fn status_of_a_thousand() {
    let registry = registry(Settings::from_url("sqlite::memory:").unwrap());
    let (ready, over) = (Barrier::new(1_001), Barrier::new(1_001));
    thread::scope(|scope| {
        for _ in 0..1_000 {
            let work = || {
                registry.get("default").unwrap().ensure_connection().unwrap();
                ready.wait();
                over.wait();
            };
            thread::Builder::new().stack_size(128 * 1024).spawn_scoped(scope, work).unwrap();
        }
        ready.wait();
        let times: Vec<f64> = (0..101)
            .map(|_| {
                let began = Instant::now();
                let open = registry.status().alias("default").map(|status| status.counts.open);
                assert_eq!(open, Some(1_000));
                began.elapsed().as_secs_f64() * 1e3
            })
            .collect();
        println!("\nstatus() of 1,000 threads: {:.2} ms", median(times));
        over.wait();
    });
}
