//! Requests and transactions of one look-up by primary key on PostgreSQL, MariaDB and MySQL, beside the bare drivers with one
//! connection for each thread; the probe beside a ping; and the memory of an idle connection.
//!
//! `cargo bench -p dockline --all-features --bench servers`. Rounds of one and the other alternate, and a ratio is the median
//! of those of the pairs, for the machine is not the same from one second to the next.

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use criterion::Criterion;
use dockline::backend::Engine;
use dockline::mysql::prelude::Queryable;
use dockline::{Connections, Databases, Settings, mysql, params, postgres};
use dockline_tests::servers::{Kind, Server, end_shared};

const ROWS: u32 = 1_000;
const THREADS: [usize; 3] = [1, 2, 8];
const PAIRS: usize = 15;
const ROUND: Duration = Duration::from_millis(400);
const IDLE: usize = 60;

fn main() {
    let mut criterion =
        Criterion::default().sample_size(30).measurement_time(Duration::from_secs(2)).configure_from_args();
    for kind in Kind::ALL {
        if let Err(reason) = kind.available() {
            println!("{}: skipped: {reason}", kind.name());
            continue;
        }
        let server = Server::shared(*kind);
        let database = server.database();
        let bench = Bench { kind: *kind, url: database.url(), server };
        bench.fill();
        bench.probe(&mut criterion);
        bench.look_ups();
        bench.blocks();
        bench.memory();
    }
    criterion.final_summary();
    end_shared();
}

struct Bench {
    kind: Kind,
    url: String,
    server: &'static Server,
}

enum Bare {
    Postgres(Box<postgres::Client>, postgres::Statement),
    Mysql(Box<mysql::Conn>, mysql::Statement),
}

impl Bare {
    fn look_up(&mut self, id: u32) -> String {
        match self {
            Self::Postgres(client, statement) => {
                client.query_one(&*statement, &[&i32::try_from(id).unwrap()]).unwrap().get(0)
            }
            Self::Mysql(conn, statement) => conn.exec_first(&*statement, (id,)).unwrap().unwrap(),
        }
    }
}

impl Bare {
    fn look_up_in_transaction(&mut self, id: u32) -> String {
        match self {
            Self::Postgres(client, statement) => {
                let mut transaction = client.transaction().unwrap();
                let row = transaction.query_one(&*statement, &[&i32::try_from(id).unwrap()]).unwrap();
                transaction.commit().unwrap();
                row.get(0)
            }
            Self::Mysql(conn, statement) => {
                let mut transaction = conn.start_transaction(mysql::TxOpts::default()).unwrap();
                let name = transaction.exec_first(&*statement, (id,)).unwrap().unwrap();
                transaction.commit().unwrap();
                name
            }
        }
    }
}

fn look_up(connections: &Connections, id: u32) -> dockline::Result<String> {
    connections.get("default")?.query_value("SELECT name FROM item WHERE id = ?", params![id])
}

impl Bench {
    fn settings(&self) -> Settings {
        let plain = Settings::from_url(&self.url).unwrap();
        plain.tls(dockline::Tls::Disable).conn_max_age(None)
    }

    fn connections(&self) -> Connections {
        Connections::new(Databases::new().with("default", self.settings())).unwrap()
    }

    fn fill(&self) {
        let connections = self.connections();
        let db = connections.get("default").unwrap();
        db.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, name VARCHAR(40))", ()).unwrap();
        let rows = (0..ROWS).map(|id| params![id, format!("name {id}")]);
        db.execute_many("INSERT INTO item VALUES (?, ?)", rows).unwrap();
    }

    fn open(&self) -> Bare {
        let url: url::Url = self.url.parse().unwrap();
        let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8().unwrap().into_owned();
        let (user, password) = (decode(url.username()), decode(url.password().unwrap()));
        let name = url.path().trim_start_matches('/');
        let address = self.server.address();
        if self.kind.is_postgres() {
            let mut config = postgres::Config::new();
            config.user(&user).password(&password).dbname(name).host("127.0.0.1").port(address.port());
            let mut client = config.connect(postgres::NoTls).unwrap();
            let statement = client.prepare("SELECT name FROM item WHERE id = $1").unwrap();
            Bare::Postgres(Box::new(client), statement)
        } else {
            let options = mysql::OptsBuilder::new()
                .user(Some(user))
                .pass(Some(password))
                .db_name(Some(name))
                .ip_or_hostname(Some("127.0.0.1"))
                .tcp_port(address.port())
                .prefer_socket(false);
            let mut conn = mysql::Conn::new(options).unwrap();
            let statement = conn.prep("SELECT name FROM item WHERE id = ?").unwrap();
            Bare::Mysql(Box::new(conn), statement)
        }
    }

    /// A look at the socket, and a round trip.
    fn probe(&self, criterion: &mut Criterion) {
        let settings = self.settings();
        let backend = if self.kind.is_postgres() {
            dockline::Postgres.open("default", &settings).unwrap()
        } else {
            dockline::Mysql.open("default", &settings).unwrap()
        };
        let mut session = backend.connect().unwrap();
        let name = self.kind.name();
        criterion.bench_function(&format!("{name}: probe"), |bencher| bencher.iter(|| black_box(session.probe())));
        criterion.bench_function(&format!("{name}: ping"), |bencher| bencher.iter(|| assert!(session.is_usable())));
        let (mut probes, mut pings) = (Vec::new(), Vec::new());
        for _ in 0..PAIRS {
            let began = Instant::now();
            for _ in 0..10_000 {
                black_box(session.probe());
            }
            probes.push(began.elapsed().as_secs_f64() / 10_000.0 * 1e6);
            let began = Instant::now();
            for _ in 0..1_000 {
                assert!(session.is_usable());
            }
            pings.push(began.elapsed().as_secs_f64() / 1_000.0 * 1e6);
        }
        let ratios = pings.iter().zip(&probes).map(|(ping, probe)| ping / probe).collect();
        println!(
            "{name}: probe {:.3} us, ping {:.1} us, ping / probe {:.0}",
            median(probes),
            median(pings),
            median(ratios)
        );
        session.close().unwrap();
    }

    fn look_ups(&self) {
        for threads in THREADS {
            let connections = self.connections();
            self.pairs(
                &format!("{threads} threads: request"),
                || on_threads(threads, || self.open(), |bare, id| drop(black_box(bare.look_up(id)))),
                || {
                    let request = |(): &mut (), id| {
                        let _request = connections.request();
                        black_box(look_up(&connections, id).unwrap());
                    };
                    on_threads(threads, || (), request)
                },
            );
        }
    }

    /// One look-up in a transaction. The driver of PostgreSQL sends BEGIN for itself.
    fn blocks(&self) {
        for threads in THREADS {
            let connections = self.connections();
            self.pairs(
                &format!("{threads} threads: block"),
                || on_threads(threads, || self.open(), |bare, id| drop(black_box(bare.look_up_in_transaction(id)))),
                || {
                    let block = |(): &mut (), id| {
                        let db = connections.get("default").unwrap();
                        black_box(db.atomic(|| look_up(&connections, id)).unwrap());
                    };
                    on_threads(threads, || (), block)
                },
            );
        }
    }

    /// Runs rounds of the bare driver's and of ours by turns, and prints calls a second and the ratio.
    fn pairs(&self, what: &str, one: impl Fn() -> f64, other: impl Fn() -> f64) {
        let (mut bare, mut ours, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for pair in 0..PAIRS {
            // Who comes first must not matter.
            let (a, b) = if pair % 2 == 0 {
                let a = one();
                (a, other())
            } else {
                let b = other();
                (one(), b)
            };
            bare.push(a);
            ours.push(b);
            ratios.push(b / a);
        }
        println!(
            "{}: {what}: bare driver {:.0}/s, ours {:.0}/s, ratio {:.3}",
            self.kind.name(),
            median(bare),
            median(ours),
            median(ratios)
        );
    }

    /// How much more memory the process has for each idle connection that has run one statement.
    fn memory(&self) {
        // Once before, so that what is made once in a process is there.
        self.hold_bare(4);
        self.hold_ours(4);
        let (bare, ours) = (self.hold_bare(IDLE), self.hold_ours(IDLE));
        let name = self.kind.name();
        println!(
            "{name}: an idle connection: bare driver {bare:.1} KiB, ours {ours:.1} KiB, {:.1} KiB more",
            ours - bare
        );
    }

    fn hold_bare(&self, count: usize) -> f64 {
        let before = resident();
        let mut held: Vec<Bare> = (0..count).map(|_| self.open()).collect();
        for bare in &mut held {
            bare.look_up(1);
        }
        (resident() - before) / count as f64
    }

    /// All of one thread, each of an alias of its own: threads have memory of theirs.
    fn hold_ours(&self, count: usize) -> f64 {
        let databases = (0..count).fold(Databases::new().with("default", self.settings()), |databases, n| {
            databases.with(format!("a{n}"), self.settings())
        });
        let connections = Connections::new(databases).unwrap();
        let before = resident();
        for n in 0..count {
            let db = connections.get(&format!("a{n}")).unwrap();
            db.query_value::<String>("SELECT name FROM item WHERE id = ?", params![1]).unwrap();
        }
        (resident() - before) / count as f64
    }
}

/// Calls a second, over all threads.
fn on_threads<S>(threads: usize, prepare: impl Fn() -> S + Sync, call: impl Fn(&mut S, u32) + Sync) -> f64 {
    let ready = Barrier::new(threads);
    let rates = thread::scope(|scope| {
        let run = || {
            let mut state = prepare();
            for id in 0..50 {
                call(&mut state, id);
            }
            ready.wait();
            let began = Instant::now();
            let mut calls = 0;
            while began.elapsed() < ROUND {
                for _ in 0..20 {
                    call(&mut state, calls % ROWS);
                    calls += 1;
                }
            }
            f64::from(calls) / began.elapsed().as_secs_f64()
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect::<Vec<f64>>()
    });
    rates.into_iter().sum()
}

/// KiB.
fn resident() -> f64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: f64 = text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or_default();
    pages * 4.0
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
