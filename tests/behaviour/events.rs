//! The stream of events: what is told, to whom, and that telling changes nothing.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dockline::events::{Event, Failure, ListenerId};
use dockline::{Atomic, Connections, Databases, Error, ErrorKind, Fact, Registry, Retry, Settings, params};
use dockline_tests::scripted::{Act, Script};
use dockline_tests::{connections, in_memory, log_capture, memory, on_thread, wait_until};

/// What a listener heard, a line an event, with the thread that it ran on.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<String>>>);

impl Heard {
    fn of(registry: &Registry) -> Self {
        Self::with_id(registry).0
    }

    fn with_id(registry: &Registry) -> (Self, ListenerId) {
        let heard = Self::default();
        let lines = Arc::clone(&heard.0);
        let id = registry.events().listen(move |event| lines.lock().unwrap().push(line(event)));
        (heard, id)
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

fn line(event: &Event<'_>) -> String {
    let failed = |failure: &Failure<'_>| format!("{:?} {}", failure.kind(), failure.code().unwrap_or("-".to_owned()));
    match event {
        Event::Connecting { .. } => "connecting".to_owned(),
        Event::Connected { .. } => "connected".to_owned(),
        Event::ConnectFailed { failure, .. } => format!("connect failed: {}", failed(failure)),
        Event::Probed { seen, .. } => format!("probed: {seen:?}"),
        Event::StatementBegun { sql, .. } => format!("begun: {sql}"),
        Event::StatementDone { sql, rows, failure, .. } => match failure {
            Some(failure) => format!("failed: {sql}: {}", failed(failure)),
            None => format!("done: {sql}: {rows:?}"),
        },
        Event::TransactionBegun { .. } => "transaction".to_owned(),
        Event::TransactionEnded { outcome, .. } => outcome.as_str().to_owned(),
        Event::Returned { .. } => "returned".to_owned(),
        Event::Waited { outcome, .. } => format!("waited: {outcome:?}"),
        Event::Parked { .. } => "parked".to_owned(),
        Event::HandedOver { from_thread, .. } => format!("handed over from {from_thread}"),
        Event::Retried { attempt, .. } => format!("retried after attempt {attempt}"),
        Event::Closed { reason, statements, .. } => format!("closed: {reason}, {statements} statements"),
        other => format!("{other:?}"),
    }
}

/// Without looks at the connection, which say the same at each statement, and without ends of holds.
fn without_probes(lines: Vec<String>) -> Vec<String> {
    lines.into_iter().filter(|line| !line.starts_with("probed") && line != "returned").collect()
}

#[test]
fn a_connection_and_its_statements_are_told_in_order() {
    let registry = in_memory();
    let heard = Heard::of(&registry);
    let db = registry.get("default").unwrap();
    db.execute("CREATE TABLE t (n INTEGER)", ()).unwrap();
    db.execute_many("INSERT INTO t VALUES (?)", [(1,), (2,), (3,)]).unwrap();
    assert_eq!(db.query("SELECT n FROM t", ()).unwrap().len(), 3);
    db.execute("UPDATE t SET n = 7 WHERE n > ?", params![1]).unwrap();
    db.execute("SELECT wrong", ()).unwrap_err();
    db.close();
    assert_eq!(
        without_probes(heard.take()),
        [
            "begun: CREATE TABLE t (n INTEGER)",
            "connecting",
            "connected",
            "done: CREATE TABLE t (n INTEGER): Some(0)",
            "begun: INSERT INTO t VALUES (?)",
            "done: INSERT INTO t VALUES (?): Some(3)",
            "begun: SELECT n FROM t",
            "done: SELECT n FROM t: Some(3)",
            "begun: UPDATE t SET n = 7 WHERE n > ?",
            "done: UPDATE t SET n = 7 WHERE n > ?: Some(2)",
            "begun: SELECT wrong",
            "failed: SELECT wrong: Operational 1",
            "closed: asked by close, 5 statements",
        ]
    );
}

#[test]
fn transactions_are_told_with_their_outcome() {
    let registry = in_memory();
    let db = registry.get("default").unwrap();
    db.execute("CREATE TABLE t (n INTEGER)", ()).unwrap();
    let heard = Heard::of(&registry);
    let insert = || db.execute("INSERT INTO t VALUES (1)", ()).map(drop);
    let told = || {
        let lines = without_probes(heard.take());
        lines.into_iter().filter(|line| !line.contains(": ")).collect::<Vec<_>>()
    };

    db.atomic(insert).unwrap();
    assert_eq!(told(), ["transaction", "committed"], "a block");
    db.atomic(|| insert().and(Err::<(), _>(Error::new(ErrorKind::Data, "no")))).unwrap_err();
    assert_eq!(told(), ["transaction", "rolled_back"], "a block that fails");
    db.atomic(|| db.atomic(insert)).unwrap();
    assert_eq!(told(), ["transaction", "committed"], "a savepoint is no transaction");
    db.execute("BEGIN", ()).unwrap();
    insert().unwrap();
    db.execute("COMMIT", ()).unwrap();
    assert_eq!(told(), ["transaction", "committed"], "texts");
    db.execute("BEGIN", ()).unwrap();
    db.execute("ROLLBACK", ()).unwrap();
    assert_eq!(told(), ["transaction", "rolled_back"], "texts");
    db.set_autocommit(false).unwrap();
    insert().unwrap();
    db.commit().unwrap();
    insert().unwrap();
    db.rollback().unwrap();
    db.set_autocommit(true).unwrap();
    let by_hand = told();
    assert_eq!(by_hand[..3], ["transaction", "committed", "transaction"], "by hand");
    let outcomes = by_hand.iter().filter(|line| *line != "transaction").count();
    assert_eq!(outcomes * 2, by_hand.len(), "each beginning has an end: {by_hand:?}");
    {
        let request = registry.request();
        db.execute("BEGIN", ()).unwrap();
        drop(request);
    }
    assert_eq!(told(), ["transaction", "rolled_back"], "left open");
    db.atomic(|| {
        db.close();
        Ok::<_, Error>(())
    })
    .unwrap_err();
    assert_eq!(told(), ["transaction", "rolled_back"], "closed inside");
}

#[test]
fn a_transaction_that_a_failure_takes_is_lost_or_unknown() {
    let (registry, script) = Script::connections(|settings| settings);
    let heard = Heard::of(&registry);
    let db = registry.get("default").unwrap();
    let gone = || Error::new(ErrorKind::Operational, "gone").with_fact(Fact::Disconnect);
    let outcomes = || {
        let words = ["committed", "rolled_back", "lost", "unknown"];
        heard.take().into_iter().filter(|line| words.contains(&line.as_str())).collect::<Vec<_>>()
    };

    script.next(Act::Succeed);
    script.next(Act::Fail(gone().with_fact(Fact::MayHaveExecuted)));
    db.atomic(|| db.execute("work", ()).map(drop)).unwrap_err();
    assert_eq!(outcomes(), ["lost"], "in a statement");
    script.next(Act::Succeed);
    script.next(Act::Succeed);
    script.next(Act::Fail(gone().with_fact(Fact::MayHaveExecuted)));
    db.atomic(|| db.execute("work", ()).map(drop)).unwrap_err();
    assert_eq!(outcomes(), ["unknown"], "in the commit");
    script.next(Act::Succeed);
    script.next(Act::FailAndEnd(Error::new(ErrorKind::Operational, "deadlock").with_fact(Fact::Retryable)));
    db.atomic(|| db.execute("work", ()).map(drop)).unwrap_err();
    assert_eq!(outcomes(), ["lost"], "by the database");
}

#[test]
fn failures_to_connect_and_attempts_that_are_repeated_are_told() {
    let (registry, script) = Script::connections(|settings| settings);
    let heard = Heard::of(&registry);
    let db = registry.get("default").unwrap();
    script.connects.store(false, std::sync::atomic::Ordering::SeqCst);
    db.execute("work", ()).unwrap_err();
    assert_eq!(
        heard.take(),
        ["begun: work", "connecting", "connect failed: Operational 2003", "failed: work: Operational 2003"]
    );
    script.connects.store(true, std::sync::atomic::Ordering::SeqCst);
    script.next(Act::Succeed);
    script.next(Act::FailAndEnd(Error::new(ErrorKind::Operational, "deadlock").with_fact(Fact::Retryable)));
    Retry::new().pauses(Duration::ZERO, Duration::ZERO).run(&db, || db.execute("work", ()).map(drop)).unwrap();
    let lines = heard.take();
    assert_eq!(
        lines.iter().filter(|line| line.starts_with("retried")).collect::<Vec<_>>(),
        ["retried after attempt 1"]
    );
}

#[test]
fn a_statement_that_panics_is_told_as_failed() {
    let (registry, script) = Script::connections(|settings| settings);
    let heard = Heard::of(&registry);
    let db = registry.get("default").unwrap();
    db.ensure_connection().unwrap();
    heard.take();
    script.next(Act::Panic);
    assert!(catch_unwind(AssertUnwindSafe(|| db.execute("work", ()))).is_err());
    assert_eq!(without_probes(heard.take()), ["begun: work", "failed: work: Interface -"]);
}

#[test]
fn each_threads_first_statement_is_heard_and_its_end() {
    let registry = in_memory();
    let heard = Heard::of(&registry);
    let other = registry.clone();
    on_thread(move || {
        let db = other.get("default").unwrap();
        db.query("SELECT 1", ()).unwrap();
        std::mem::forget(db.begin_atomic(Atomic::new()).unwrap());
    });
    let lines = without_probes(heard.take());
    assert_eq!(lines[..3], ["begun: SELECT 1", "connecting", "connected"]);
    assert_eq!(lines[lines.len() - 3..], ["transaction", "rolled_back", "closed: thread exit, 2 statements"]);
}

#[test]
fn a_listener_that_panics_keeps_nothing_from_happening() {
    log_capture::start();
    let registry = in_memory();
    registry.events().listen(|event| assert!(event.source().alias().is_empty(), "the listener of this test panics"));
    let heard = Heard::of(&registry);
    let db = registry.get("default").unwrap();
    db.atomic(|| db.query_value::<i64>("SELECT 7", ())).unwrap();
    assert!(heard.take().contains(&"committed".to_owned()));
    assert!(!log_capture::lines("dockline::events", "the listener of this test panics").is_empty());
}

#[test]
fn a_listener_may_use_the_registry_and_what_it_does_is_not_told() {
    let registry = in_memory();
    let used = registry.clone();
    let id = registry.events().listen(move |event| {
        if matches!(event, Event::StatementDone { .. } | Event::Connected { .. }) {
            let db = used.get("default").unwrap();
            assert_eq!(db.query_value::<i64>("SELECT 1 + 1", ()).unwrap(), 2);
        }
    });
    let heard = Heard::of(&registry);
    let db = registry.get("default").unwrap();
    assert_eq!(db.query_value::<i64>("SELECT 7", ()).unwrap(), 7);
    db.close();
    let lines = without_probes(heard.take());
    assert_eq!(
        lines,
        [
            "begun: SELECT 7",
            "connecting",
            "connected",
            "done: SELECT 7: Some(1)",
            "closed: asked by close, 3 statements"
        ]
    );
    assert!(registry.events().remove(id));
}

#[test]
fn a_listener_that_is_removed_hears_nothing_more() {
    let registry = in_memory();
    let (heard, id) = Heard::with_id(&registry);
    let db = registry.get("default").unwrap();
    db.query("SELECT 1", ()).unwrap();
    assert!(!heard.take().is_empty());
    assert!(registry.events().remove(id));
    assert!(!registry.events().remove(id));
    db.query("SELECT 1", ()).unwrap();
    assert_eq!(heard.take(), [""; 0]);
}

#[test]
fn what_is_sent_in_wrappers_is_told_as_it_is_sent() {
    let registry = in_memory();
    let heard = Heard::of(&registry);
    let db = registry.get("default").unwrap();
    db.ensure_connection().unwrap();
    heard.take();
    let _wrapper = db.execute_wrapper(|execution| execution.run());
    db.query("SELECT 1", ()).unwrap();
    assert_eq!(without_probes(heard.take()), ["begun: SELECT 1", "done: SELECT 1: Some(1)"]);
}

#[test]
fn no_event_carries_a_value_or_a_password() {
    let (registry, _script) = Script::connections(|settings| settings.password("hunter2"));
    registry.add("sqlite", memory()).unwrap();
    let all = Arc::new(Mutex::new(String::new()));
    let lines = Arc::clone(&all);
    registry.events().listen(move |event| lines.lock().unwrap().push_str(&format!("{event:?}\n")));
    registry.get("default").unwrap().execute("work", params!["s3cr3t"]).unwrap();
    let db = registry.get("sqlite").unwrap();
    db.execute("CREATE TABLE t (n TEXT UNIQUE)", ()).unwrap();
    db.execute("INSERT INTO t VALUES (?)", params!["s3cr3t"]).unwrap();
    db.execute("INSERT INTO t VALUES (?)", params!["s3cr3t"]).unwrap_err();
    let all = all.lock().unwrap();
    assert!(all.contains("INSERT INTO t VALUES (?)") && all.contains("Integrity"), "{all}");
    assert!(!all.contains("s3cr3t") && !all.contains("hunter2"), "{all}");
}

#[test]
fn a_source_says_which_database_it_is() {
    let registry = Connections::new(
        Databases::new().with("default", memory()).with("shop", Settings::from_url("sqlite:shop.db").unwrap()),
    )
    .unwrap();
    let sources = Arc::new(Mutex::new(Vec::new()));
    let found = Arc::clone(&sources);
    registry.events().listen(move |event| {
        let source = event.source();
        let told = (source.alias().to_owned(), source.system(), source.database().map(str::to_owned), source.serial());
        found.lock().unwrap().push(told);
    });
    let db = registry.get("default").unwrap();
    db.ensure_connection().unwrap();
    let serial = db.serial();
    let sources = sources.lock().unwrap();
    let told = |serial| ("default".to_owned(), "sqlite", Some(":memory:".to_owned()), serial);
    assert_eq!(*sources, [told(None), told(serial)]);
}

#[test]
fn the_end_of_a_hold_is_told_once() {
    let registry = in_memory();
    let heard = Heard::of(&registry);
    let db = registry.get("default").unwrap();
    let returned = || heard.take().iter().filter(|line| *line == "returned").count();
    db.query("SELECT 1", ()).unwrap();
    assert_eq!(returned(), 0, "a statement alone is no hold");
    db.atomic(|| db.query("SELECT 1", ()).map(drop)).unwrap();
    assert_eq!(returned(), 1, "a block");
    let request = registry.request();
    db.query("SELECT 1", ()).unwrap();
    db.atomic(|| db.query("SELECT 1", ()).map(drop)).unwrap();
    assert_eq!(returned(), 0, "a block inside a request");
    drop(request);
    assert_eq!(returned(), 1, "the request");
    let hold = db.hold();
    db.query("SELECT 1", ()).unwrap();
    drop(hold);
    assert_eq!(returned(), 1, "a hold");
}

#[test]
fn waiting_parking_and_handing_over_are_told() {
    let registry = connections(memory().max_connections(Some(1)));
    let heard = Heard::of(&registry);
    let (name, other) = (std::thread::current().name().unwrap().to_owned(), registry.clone());
    let request = registry.request();
    registry.get("default").unwrap().query("SELECT 1", ()).unwrap();
    let thread = std::thread::spawn(move || other.get("default").unwrap().query("SELECT 2", ()).map(drop));
    wait_until("it waits", || registry.status().aliases[0].counts.waiting == 1);
    assert!(registry.status().aliases[0].longest_wait.is_some());
    drop(request);
    thread.join().unwrap().unwrap();
    let lines = heard.take();
    for line in ["parked".to_owned(), "waited: GotParked".to_owned(), format!("handed over from {name}")] {
        assert!(lines.contains(&line), "{line} is missing in {lines:?}");
    }
    assert_eq!(lines.iter().filter(|line| *line == "connected").count(), 1, "{lines:?}");
    assert_eq!(registry.status().aliases[0].totals.handed_over, 1);
}
