//! Makes one fault at one moment, and holds what the program gets against the table.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use dockline::{Connection, Connections, Error, Request, Settings, params};
use dockline_tests::proxy::Proxy;
use dockline_tests::servers::{Admin, FreshDatabase, Server};
use dockline_tests::{connections, wait_until};

use super::matrix::{CONNECT_TIMEOUT, Cell, Fault, Moment, Outcome, READ_TIMEOUT, Ran};

pub(super) fn play(server: &Server, fault: Fault, moment: Moment, expected: &Cell) {
    let database = server.database();
    let stage = Stage::new(server, &database, fault, moment);
    stage.play(expected);
}

struct Stage<'a> {
    server: &'a Server,
    database: &'a FreshDatabase<'a>,
    proxy: Proxy,
    registry: Connections,
    /// Tells those who hold the server's connections to let go.
    hoard: Mutex<Option<Arc<AtomicBool>>>,
    fault: Fault,
    moment: Moment,
}

/// A statement that takes a while, and leaves a row.
const SLOW: (&str, &str) =
    ("INSERT INTO t (n) SELECT 1 FROM pg_sleep(8)", "INSERT INTO t (n) SELECT 1 FROM (SELECT SLEEP(8)) s");

impl<'a> Stage<'a> {
    fn new(server: &'a Server, database: &'a FreshDatabase<'a>, fault: Fault, moment: Moment) -> Self {
        let proxy = Proxy::start(server.address());
        let mut settings = Settings::from_url(&database.url_via(proxy.port()))
            .expect("a URL")
            .connect_timeout(CONNECT_TIMEOUT)
            .conn_max_age(None);
        if fault == Fault::Silence {
            settings = settings.read_timeout(Some(READ_TIMEOUT));
        }
        if moment == Moment::AtCap {
            settings = settings.max_connections(Some(1)).acquire_timeout(Duration::from_secs(100));
        }
        if fault == Fault::IdleLimit {
            settings = settings.init_sql(if server.kind().is_postgres() {
                "SET idle_session_timeout = 2000; SET idle_in_transaction_session_timeout = 2000"
            } else {
                "SET SESSION wait_timeout = 2"
            });
        }
        let registry = connections(settings);
        let mut admin = database.admin();
        admin.execute("CREATE TABLE t (n INTEGER)");
        if server.kind().is_postgres() {
            admin.execute("GRANT ALL ON t TO PUBLIC");
        }
        Self { server, database, proxy, registry, hoard: Mutex::new(None), fault, moment }
    }

    /// The statement that will be struck has run before: what is cut is its answer, and not that to its preparing.
    fn warm_up(&self, db: &Connection) {
        self.write(db).expect("a write");
        self.database.admin().execute("DELETE FROM t");
        if self.moment == Moment::Connecting {
            db.close();
            self.proxy.wait_until_connections(0);
        }
    }

    fn play(&self, expected: &Cell) {
        let what = format!("{:?} {:?}", self.fault, self.moment);
        let db = self.registry.get("default").expect("the alias");
        self.warm_up(&db);
        let started;
        let result = match self.moment {
            Moment::Between => {
                drop(self.registry.request());
                self.read(&db);
                drop(self.registry.request());
                self.strike(&db);
                started = Instant::now();
                self.registry.in_request(|| self.write(&db))
            }
            Moment::Inside => {
                let _request = self.registry.request();
                self.read(&db);
                self.strike(&db);
                started = Instant::now();
                self.write(&db)
            }
            Moment::Transaction => {
                db.set_autocommit(false).expect("autocommit off");
                self.read(&db);
                self.strike(&db);
                started = Instant::now();
                self.write(&db).and_then(|()| db.commit())
            }
            Moment::Running => {
                self.read(&db);
                started = Instant::now();
                self.during(&db, || self.slow(&db))
            }
            Moment::LeftEarly => {
                self.fill_big();
                // What it reads is prepared.
                self.leave(&db, || {}).expect("a large result");
                // That may have closed the connection.
                self.read(&db);
                let id = db.server_connection_id();
                started = Instant::now();
                self.leave(&db, || self.strike_on(id))
            }
            Moment::Committing => {
                db.set_autocommit(false).expect("autocommit off");
                self.write(&db).expect("a write");
                self.hold_back();
                started = Instant::now();
                self.during(&db, || db.commit())
            }
            Moment::Connecting => {
                self.hold_back();
                started = Instant::now();
                self.during(&db, || self.write(&db))
            }
            Moment::AtCap => {
                let request = self.registry.request();
                self.read(&db);
                let result;
                (started, result) = self.hand_over(&db, request);
                result
            }
        };
        let took = started.elapsed();
        assert!(took <= expected.within, "{what}: it took {took:?}; {result:?}");
        let outcome = outcome(&result);
        let fits = match expected.outcome {
            Outcome::Left => matches!(outcome, Some(Outcome::Success | Outcome::Lost)),
            wanted => outcome == Some(wanted),
        };
        assert!(fits, "{what}: {result:?} is not {:?}", expected.outcome);
        if let Err(error) = &result {
            assert_eq!(error.may_have_executed(), expected.ran == Ran::Perhaps, "{what}: {error:?}");
            assert!(!format!("{error:?}").contains("s3cret"), "{what}: the password is in {error:?}");
        }
        self.heal();
        if db.state().autocommit {
            // The next statement, without any ado.
            self.read(&db);
        } else {
            let _ = db.rollback();
            db.close();
            self.read(&db);
        }
        let rows = self.rows();
        let fits = match expected.ran {
            // What is left early only reads.
            _ if self.moment == Moment::LeftEarly => rows == 0,
            Ran::Once => rows == 1,
            Ran::No => rows == 0,
            Ran::Perhaps => rows <= 1,
        };
        assert!(fits, "{what}: {rows} rows, and it ran {:?}", expected.ran);
    }

    /// Strikes while another thread waits for the connection, and then ends the request that has it. Answers when it did, and what the
    /// other got.
    fn hand_over(&self, db: &Connection, request: Request) -> (Instant, Result<(), Error>) {
        std::thread::scope(|scope| {
            let other = scope.spawn(|| self.registry.in_request(|| self.write(&self.registry.get("default")?)));
            let waiting = || self.registry.cap_status("default").expect("the alias").expect("a cap").waiting;
            wait_until("another thread waits", || waiting() == 1);
            self.strike(db);
            let started = Instant::now();
            drop(request);
            (started, other.join().expect("no panic"))
        })
    }

    fn read(&self, db: &Connection) {
        let one: i64 = db
            .query_value("SELECT 1", ())
            .unwrap_or_else(|error| panic!("{:?} {:?}: a plain statement: {error:?}", self.fault, self.moment));
        assert_eq!(one, 1);
    }

    fn write(&self, db: &Connection) -> Result<(), Error> {
        db.execute("INSERT INTO t (n) VALUES (?)", params![1]).map(drop)
    }

    /// Some megabytes of rows.
    fn fill_big(&self) {
        let mut admin = self.database.admin();
        admin.execute("CREATE TABLE big (n INTEGER, text VARCHAR(1000))");
        admin.execute("INSERT INTO big VALUES (1, repeat('x', 1000))");
        for _ in 0..12 {
            admin.execute("INSERT INTO big SELECT * FROM big");
        }
        if self.server.kind().is_postgres() {
            admin.execute("GRANT ALL ON big TO PUBLIC");
        }
    }

    /// Takes one row of that, and then no more.
    fn leave(&self, db: &Connection, among: impl FnOnce()) -> Result<(), Error> {
        let mut among = Some(among);
        let left = db.query_each("SELECT n, text FROM big", (), |row| {
            if let Some(among) = among.take() {
                among();
            }
            Ok(ControlFlow::Break(row.get::<i64, _>(0)?))
        });
        left.map(|left| assert_eq!(left, Some(1)))
    }

    fn slow(&self, db: &Connection) -> Result<(), Error> {
        db.execute(if self.server.kind().is_postgres() { SLOW.0 } else { SLOW.1 }, ()).map(drop)
    }

    /// Before a commit or a connect: what is sent from now on does not arrive, so that the fault finds it under way.
    fn hold_back(&self) {
        match (self.fault, self.moment) {
            (Fault::TooMany | Fault::Demoted | Fault::Password | Fault::Cut | Fault::Deaf, _)
            | (Fault::Restart | Fault::Crash, Moment::Connecting) => {}
            _ => self.proxy.swallow(true),
        }
    }

    /// Strikes while `call` runs.
    fn during(&self, db: &Connection, call: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
        // What works only before it begins.
        let before = matches!(self.fault, Fault::Deaf | Fault::TooMany | Fault::Demoted | Fault::Password)
            || self.fault == Fault::Cut && self.moment != Moment::Running
            || self.moment == Moment::Connecting && matches!(self.fault, Fault::Restart | Fault::Crash);
        if before {
            if self.moment == Moment::Connecting && matches!(self.fault, Fault::Restart | Fault::Crash) {
                // It is down while the program connects.
                self.bring_down();
            } else {
                self.strike(db);
            }
            return call();
        }
        let id = db.server_connection_id();
        let (over, taken) = (AtomicBool::new(false), self.proxy.taken_from_client());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                self.wait_until_under_way(taken);
                self.strike_on(id);
                over.store(true, Ordering::SeqCst);
            });
            let result = call();
            // What was held back may go now.
            while !over.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(5));
            }
            result
        })
    }

    /// `taken`: so many bytes had come to the proxy before.
    fn wait_until_under_way(&self, taken: u64) {
        match self.moment {
            Moment::Running => {
                let list = if self.server.kind().is_postgres() {
                    "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'INSERT INTO t (n) SELECT%'"
                } else {
                    "SELECT count(*) FROM information_schema.processlist WHERE info LIKE 'INSERT INTO t (n) SELECT%'"
                };
                self.database.admin().wait_until_value(list, "1");
            }
            Moment::Connecting => self.proxy.wait_until_connections(1),
            // It is swallowed by the proxy.
            _ => self.proxy.wait_until_more_taken(taken),
        }
    }

    fn strike(&self, db: &Connection) {
        self.strike_on(db.server_connection_id());
    }

    fn strike_on(&self, id: Option<u64>) {
        let mut admin = self.server.admin();
        if self.fault == Fault::TooMany {
            // Its own would be free afterwards.
            drop(admin);
            return self.fill();
        }
        match self.fault {
            Fault::Kill => {
                admin.kill_and_wait(id.expect("a connection"));
                self.proxy.swallow(false);
                self.proxy.wait_until_ended_by_server(self.proxy.accepted());
            }
            Fault::IdleLimit => {
                admin.wait_gone(id.expect("a connection"));
                self.proxy.wait_until_ended_by_server(self.proxy.accepted());
            }
            Fault::Restart => {
                drop(admin);
                self.server.restart();
                self.proxy.swallow(false);
                self.proxy.wait_until_ended_by_server(self.proxy.accepted());
            }
            Fault::Crash => {
                drop(admin);
                self.server.kill9();
                self.server.start_again();
                self.proxy.swallow(false);
                self.proxy.wait_until_ended_by_server(self.proxy.accepted());
            }
            Fault::Reset => self.proxy.reset(),
            Fault::Fin => self.proxy.close(),
            Fault::Silence => self.proxy.swallow(true),
            Fault::Deaf => self.proxy.deaf(true),
            Fault::Cut => self.proxy.cut_after(3),
            Fault::TooMany => {}
            Fault::Demoted => self.demote(&mut admin, true),
            Fault::Password => self.change_password(&mut admin, "another"),
        }
    }

    fn bring_down(&self) {
        match self.fault {
            Fault::Crash => self.server.kill9(),
            _ => self.server.stop(),
        }
    }

    /// Opens connections as the tests' user until there is none left.
    fn fill(&self) {
        let hoard = self.registry.clone();
        hoard.add("hoard", Settings::from_url(&self.database.url()).expect("a URL")).expect("an alias");
        let (ready, is_ready) = mpsc::channel();
        let over = Arc::new(AtomicBool::new(false));
        *self.hoard.lock().expect("no poison") = Some(Arc::clone(&over));
        for _ in 0..40 {
            let (hoard, ready, over) = (hoard.clone(), ready.clone(), Arc::clone(&over));
            std::thread::spawn(move || {
                let opened = hoard.get("hoard").and_then(|db| db.ensure_connection());
                let _ = ready.send(opened.is_ok());
                while opened.is_ok() && !over.load(Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_millis(10));
                }
            });
            // One after the other, until one is refused.
            if !is_ready.recv().expect("an answer") {
                return;
            }
        }
        panic!("the server takes 40 connections");
    }

    fn demote(&self, admin: &mut Admin, on: bool) {
        if self.server.kind().is_postgres() {
            admin.execute(&format!(
                "ALTER SYSTEM SET default_transaction_read_only = {}",
                if on { "on" } else { "off" }
            ));
            admin.execute("SELECT pg_reload_conf()");
            // Sessions take it up when they notice; this one has to, too.
            let wanted = if on { "on" } else { "off" };
            admin.wait_until_value("SHOW default_transaction_read_only", wanted);
        } else {
            admin.execute(&format!("SET GLOBAL read_only = {}", u8::from(on)));
        }
    }

    fn change_password(&self, admin: &mut Admin, password: &str) {
        admin.execute(&if self.server.kind().is_postgres() {
            format!("ALTER ROLE app PASSWORD '{password}'")
        } else {
            format!("ALTER USER 'app'@'%' IDENTIFIED BY '{password}'")
        });
    }

    /// The fault is over.
    fn heal(&self) {
        self.proxy.pass();
        match (self.fault, self.moment) {
            (Fault::Restart | Fault::Crash, Moment::Connecting) => self.server.start_again(),
            (Fault::TooMany, _) => {
                if let Some(over) = self.hoard.lock().expect("no poison").take() {
                    over.store(true, Ordering::SeqCst);
                }
                // What they held is free a moment later.
                let is_open = match self.moment {
                    // The other thread has ended.
                    Moment::Connecting | Moment::AtCap => false,
                    Moment::LeftEarly => {
                        // It may be open or not.
                        self.registry.get("default").expect("the alias").close();
                        false
                    }
                    _ => true,
                };
                self.database.admin().wait_until_connections(usize::from(is_open));
            }
            (Fault::Demoted, _) => self.demote(&mut self.server.admin(), false),
            (Fault::Password, _) => self.change_password(&mut self.server.admin(), "s3cret/@:"),
            _ => {}
        }
    }

    /// How often the statement has taken effect; what may still be running on the server is waited for.
    fn rows(&self) -> i64 {
        let mut admin = self.database.admin();
        let running = if self.server.kind().is_postgres() {
            "SELECT count(*) FROM pg_stat_activity WHERE state <> 'idle' AND query LIKE 'INSERT%'"
        } else {
            "SELECT count(*) FROM information_schema.processlist WHERE info LIKE 'INSERT%'"
        };
        admin.wait_until_value(running, "0");
        admin.value("SELECT count(*) FROM t").and_then(|text| text.parse().ok()).expect("a count")
    }
}

fn outcome(result: &Result<(), Error>) -> Option<Outcome> {
    let Err(error) = result else { return Some(Outcome::Success) };
    if error.is_commit_unknown() {
        Some(Outcome::CommitUnknown)
    } else if error.is_work_lost() {
        Some(Outcome::WorkLost)
    } else if error.is_exhausted() {
        Some(Outcome::Exhausted)
    } else if error.is_read_only() {
        Some(Outcome::ReadOnly)
    } else if matches!(error.code().as_deref(), Some("1045" | "28P01")) {
        Some(Outcome::Denied)
    } else if error.message().contains("cannot connect") || error.message().contains("can't connect") {
        Some(Outcome::Unreachable)
    } else if error.is_disconnect() {
        Some(Outcome::Lost)
    } else {
        None
    }
}
