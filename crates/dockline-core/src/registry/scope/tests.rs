//! A boundary looks at what was touched since the last one, and what has become due is still found.

mod programs;

use std::any::{Any, type_name};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::value::Value;
use crate::config::backend::{
    Backend, Cancel, Engine, Health, Outcome, ParamRows, Rest, RowSink, Session, SessionState, TransactionOptions,
    TransactionState,
};
use crate::config::settings::{Databases, Settings};
use crate::config::statement::Dialect;
use crate::registry::Registry;
use crate::slot::reason::CloseReason;
use crate::thread::local;

/// A backend that is always well, unless it is told to fail.
#[derive(Clone, Default)]
struct Plain {
    fails: Arc<AtomicBool>,
    is_usable: Arc<AtomicBool>,
    /// Those of one session.
    is_manual: bool,
    in_transaction: bool,
}

impl Plain {
    fn act(&self) -> Result<()> {
        if self.fails.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Operational, "it fails, as the test says"));
        }
        Ok(())
    }
}

impl Engine for Plain {
    fn schemes(&self) -> &'static [&'static str] {
        &["plain"]
    }

    fn open(&self, _: &str, _: &Settings) -> Result<Box<dyn Backend>> {
        Ok(Box::new(self.clone()))
    }
}

impl Backend for Plain {
    fn vendor(&self) -> &'static str {
        "plain"
    }

    fn connect(&self) -> Result<Box<dyn Session>> {
        Ok(Box::new(self.clone()))
    }
}

impl Session for Plain {
    fn execute(&mut self, sql: &str, _: &[Value]) -> Result<u64> {
        self.act()?;
        match sql {
            "BEGIN" => self.in_transaction = true,
            "COMMIT" => self.in_transaction = false,
            _ => self.in_transaction |= self.is_manual,
        }
        Ok(1)
    }

    fn query(&mut self, _: &str, _: &[Value], _: &mut dyn RowSink) -> Result<Rest> {
        self.act().map(|()| Rest::Drained)
    }

    fn execute_many(&mut self, _: &str, _: &mut dyn ParamRows) -> Result<u64> {
        self.act().map(|()| 0)
    }

    fn dialect(&self) -> Dialect {
        Dialect::SQLITE
    }

    fn run_own(&mut self, _: &str) -> Result<()> {
        self.act()
    }

    fn set_autocommit(&mut self, on: bool) -> Result<()> {
        self.act()?;
        self.is_manual = !on;
        self.in_transaction &= self.is_manual;
        Ok(())
    }

    fn begin(&mut self, _: TransactionOptions) -> Result<()> {
        self.act()?;
        self.in_transaction = true;
        Ok(())
    }

    fn begins_lazily(&self) -> bool {
        false
    }

    fn end(&mut self, _: bool) -> Result<()> {
        self.act()?;
        self.in_transaction = false;
        Ok(())
    }

    fn commit(&mut self) -> Result<()> {
        self.end(true)
    }

    fn rollback(&mut self) -> Result<()> {
        self.end(false)
    }

    fn outcome(&self) -> Outcome {
        let transaction = if self.in_transaction { TransactionState::Open } else { TransactionState::None };
        Outcome { transaction, rolled_back: false, committed: false }
    }

    fn is_usable(&mut self) -> bool {
        self.is_usable.load(Ordering::SeqCst)
    }

    fn probe(&mut self) -> Health {
        Health::Alive
    }

    fn can_probe(&self) -> bool {
        true
    }

    fn state(&mut self) -> SessionState {
        SessionState::default()
    }

    fn server_connection_id(&self) -> Option<u64> {
        None
    }

    fn forget_cancel(&mut self) {}

    fn canceller(&self) -> Option<Arc<dyn Cancel>> {
        None
    }

    fn native(&mut self) -> Result<&mut dyn Any> {
        Ok(self)
    }

    fn after_native(&mut self) {}

    fn native_type(&self) -> &'static str {
        type_name::<Self>()
    }

    fn abandon(self: Box<Self>) {}

    fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

/// A registry with open connections, and what was closed.
struct Stage {
    registry: Registry,
    backend: Plain,
    aliases: Vec<String>,
    closed: Arc<Mutex<Vec<(String, CloseReason)>>>,
}

impl Stage {
    fn new(aliases: usize, change: impl Fn(Settings) -> Settings) -> Self {
        let backend = Plain { is_usable: Arc::new(AtomicBool::new(true)), ..Plain::default() };
        let aliases: Vec<String> = (0..aliases).map(|n| format!("tenant_{n}")).collect();
        let settings = || change(Settings::new().engine("plain"));
        let databases = Databases::new().with("default", settings());
        let databases = aliases.iter().fold(databases, |databases, alias| databases.with(alias.as_str(), settings()));
        let registry = Registry::builder().engine(backend.clone()).build(databases).unwrap();
        let closed = Arc::<Mutex<Vec<_>>>::default();
        let told = Arc::clone(&closed);
        registry.signals().connection_closed.connect(move |event| {
            told.lock().unwrap().push((event.alias.to_string(), event.reason));
        });
        let stage = Self { registry, backend, aliases, closed };
        stage.aliases.iter().for_each(|alias| stage.get(alias).ensure_connection().unwrap());
        stage
    }

    fn get(&self, alias: &str) -> crate::handle::connection::Connection {
        self.registry.get(alias).unwrap()
    }

    fn request(&self) {
        drop(self.registry.request());
    }

    /// At how many slots boundaries have looked meanwhile.
    fn visits(&self, call: impl FnOnce()) -> u32 {
        let visits = || local::find(self.registry.shared().hot.id).unwrap().visits();
        let before = visits();
        call();
        visits() - before
    }

    fn closed(&self) -> Vec<(String, CloseReason)> {
        std::mem::take(&mut *self.closed.lock().unwrap())
    }

    /// Makes requests in which nothing runs until something was closed.
    fn closed_by_requests(&self) -> Vec<(String, CloseReason)> {
        let began = Instant::now();
        loop {
            self.request();
            let closed = self.closed();
            if !closed.is_empty() || began.elapsed() > Duration::from_secs(120) {
                return closed;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

#[test]
fn a_boundary_looks_at_what_was_touched_and_at_nothing_else() {
    let visits = |aliases: usize| {
        let stage = Stage::new(aliases, |settings| settings);
        let first = stage.visits(|| stage.request());
        assert!(first as usize >= aliases, "each was opened: {first}");
        let idle = stage.visits(|| (0..10).for_each(|_| stage.request()));
        let one = stage.visits(|| {
            let _request = stage.registry.request();
            stage.get("tenant_0").execute("SELECT 1", ()).unwrap();
        });
        let after = stage.visits(|| stage.request());
        let task = stage.visits(|| {
            stage.registry.task(|| stage.get("tenant_0").execute("SELECT 1", ()).unwrap())();
        });
        (idle, one, after, task)
    };
    let few = visits(1);
    assert_eq!(few, visits(1_000));
    assert_eq!((few.0, few.2), (0, 0));
    assert!(few.1 > 0 && few.3 > 0, "{few:?}");
}

#[test]
fn health_checks_make_no_boundary_look_at_what_was_not_used() {
    let stage = Stage::new(10, |settings| settings.conn_health_checks(true));
    stage.request();
    assert_eq!(stage.visits(|| stage.request()), 0);
    // The next request has its check.
    stage.get("tenant_3").execute("SELECT 1", ()).unwrap();
    assert!(stage.visits(|| stage.request()) > 0);
    stage.backend.is_usable.store(false, Ordering::SeqCst);
    stage.get("tenant_3").execute("SELECT 1", ()).unwrap();
    assert_eq!(stage.closed(), [("tenant_3".to_owned(), CloseReason::Unusable)]);
}

#[test]
fn what_grows_too_old_while_nothing_runs_on_it_is_closed() {
    let stage = Stage::new(3, |settings| settings.conn_max_age(Some(Duration::from_millis(150))).max_age_jitter(0));
    stage.request();
    let mut closed = stage.closed_by_requests();
    while closed.len() < 3 {
        let more = stage.closed_by_requests();
        assert!(!more.is_empty(), "some are still open: {closed:?}");
        closed.extend(more);
    }
    assert!(closed.iter().all(|(_, reason)| *reason == CloseReason::MaxAge), "{closed:?}");
    assert_eq!(stage.visits(|| stage.request()), 0, "nothing is open");
}

#[test]
fn what_is_unused_for_too_long_is_closed_and_what_is_used_stays() {
    let idle = Duration::from_millis(300);
    let stage = Stage::new(20, |settings| settings.conn_max_age(None).conn_max_idle(Some(idle)));
    stage.request();
    assert_eq!(stage.visits(|| stage.request()), 0, "their time has not come");
    let closed = stage.closed_by_requests();
    assert!(closed.iter().all(|(_, reason)| *reason == CloseReason::MaxIdle), "{closed:?}");
    assert!(!closed.is_empty());
}

#[test]
fn a_request_counts_once_for_a_connection_that_a_receiver_of_its_end_uses_too() {
    let stage = Stage::new(0, |settings| settings);
    let registry = stage.registry.clone();
    let receiver = stage.registry.signals().request_finished.connect(move |_| {
        registry.get("default").unwrap().execute("SELECT 1", ()).unwrap();
    });
    for before in 0..3 {
        let request = stage.registry.request();
        stage.get("default").execute("SELECT 1", ()).unwrap();
        drop(request);
        assert_eq!(stage.registry.status().aliases[0].totals.reused, before);
    }
    stage.registry.signals().request_finished.disconnect(receiver);
}

#[test]
fn what_others_do_to_an_alias_is_found_though_nothing_ran_on_it() {
    let stage = Stage::new(3, |settings| settings);
    stage.request();
    thread::scope(|scope| {
        scope.spawn(|| {
            stage.registry.remove("tenant_0").unwrap();
            stage.registry.replace("tenant_1", Settings::new().engine("plain").conn_max_age(None)).unwrap();
        });
    });
    stage.request();
    let expected = [("tenant_0", CloseReason::Removed), ("tenant_1", CloseReason::Replaced)];
    let mut closed = stage.closed();
    closed.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(closed, expected.map(|(alias, reason)| (alias.to_owned(), reason)));
    assert_eq!(stage.registry.initialized(), ["tenant_1", "tenant_2"], "the slot of the one that was removed has gone");
}

#[test]
fn what_another_thread_does_to_a_settled_connection_is_found() {
    let stage = Stage::new(3, |settings| settings);
    stage.request();
    let seat = |alias: &str| Arc::clone(stage.get(alias).slot().seat());
    let (taken, poisoned) = (seat("tenant_0"), seat("tenant_1"));
    thread::scope(|scope| {
        scope.spawn(move || {
            // As the housekeeper, and shutdown.
            drop(taken.visit().unwrap().take());
            poisoned.visit().unwrap().get().unwrap().poison("it is gone, as the test says", None, false);
        });
    });
    assert_eq!(stage.visits(|| stage.request()), 0);
    for alias in ["tenant_0", "tenant_1"] {
        stage.get(alias).execute("SELECT 1", ()).unwrap();
    }
    assert_eq!(stage.closed(), [("tenant_1".to_owned(), CloseReason::Unusable)]);
    // What was opened in their place is looked at as any other.
    stage.registry.replace("tenant_0", Settings::new().engine("plain")).unwrap();
    stage.request();
    assert_eq!(stage.closed(), [("tenant_0".to_owned(), CloseReason::Replaced)]);
}

#[test]
fn an_error_long_before_the_boundary_has_the_connection_checked_there() {
    let stage = Stage::new(100, |settings| settings);
    stage.request();
    stage.backend.fails.store(true, Ordering::SeqCst);
    let db = stage.get("tenant_7");
    db.execute("SELECT 1", ()).unwrap_err();
    stage.backend.fails.store(false, Ordering::SeqCst);
    stage.backend.is_usable.store(false, Ordering::SeqCst);
    for alias in &stage.aliases[20..] {
        stage.get(alias).execute("SELECT 1", ()).unwrap();
    }
    assert!(db.errors_occurred());
    stage.request();
    assert_eq!(stage.closed(), [("tenant_7".to_owned(), CloseReason::Unusable)]);
}

#[test]
fn what_is_held_past_its_time_is_closed_when_it_is_held_no_more() {
    let stage = Stage::new(2, |settings| settings.conn_max_age(Some(Duration::from_millis(50))).max_age_jitter(0));
    let db = stage.get("tenant_0");
    let hold = db.hold();
    let mut others = stage.closed_by_requests();
    assert_eq!(others.pop().map(|(alias, _)| alias).as_deref(), Some("tenant_1"));
    (0..10).for_each(|_| stage.request());
    assert!(stage.closed().is_empty(), "it is held");
    drop(hold);
    assert_eq!(stage.closed_by_requests(), [("tenant_0".to_owned(), CloseReason::MaxAge)]);
}

#[test]
fn the_query_log_of_a_settled_connection_is_emptied() {
    let stage = Stage::new(10, |settings| settings);
    stage.request();
    let db = stage.get("tenant_4");
    db.force_query_log(true);
    db.execute("SELECT 1", ()).unwrap();
    stage.registry.close_old_connections();
    stage.registry.close_old_connections();
    assert_eq!(db.queries().len(), 1);
    stage.request();
    assert!(db.queries().is_empty());
}

#[test]
fn a_boundary_in_a_receiver_keeps_what_the_one_around_it_has_to_do() {
    let stage = Stage::new(5, |settings| settings.conn_max_age(Some(Duration::ZERO)));
    stage.closed();
    let (registry, opened) = (stage.registry.clone(), Arc::new(AtomicU64::new(0)));
    let again = Arc::clone(&opened);
    stage.registry.signals().connection_closed.connect(move |event| {
        if again.fetch_add(1, Ordering::SeqCst) < 3 {
            registry.get(&event.alias).unwrap().execute("SELECT 1", ()).unwrap();
            registry.close_old_connections();
        }
    });
    stage.aliases.iter().for_each(|alias| drop(stage.get(alias).execute("SELECT 1", ())));
    stage.request();
    stage.request();
    assert!(opened.load(Ordering::SeqCst) > 5);
    let open: Vec<&String> = stage.aliases.iter().filter(|alias| stage.get(alias).is_connected()).collect();
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn each_of_many_aliases_is_found_by_its_name() {
    let aliases: Vec<String> = (0..300)
        .map(|n| format!("{n}"))
        .chain((0..300).map(|n| format!("tenant_{n}")))
        .chain((0..300).map(|n| format!("customers-of-the-year-{n:06}-in-the-archive")))
        .collect();
    let databases = aliases
        .iter()
        .fold(Databases::new(), |databases, alias| databases.with(alias.as_str(), Settings::new().engine("plain")));
    let registry = Registry::builder()
        .engine(Plain::default())
        .build(databases.with("default", Settings::new().engine("plain")))
        .unwrap();
    for round in 0..3 {
        for alias in &aliases {
            assert_eq!(registry.get(alias).unwrap().alias(), alias, "round {round}");
        }
        registry.get("tenant_").unwrap_err();
        // The names are learned anew.
        registry.add(&format!("another {round}"), Settings::new().engine("plain")).unwrap();
    }
}
