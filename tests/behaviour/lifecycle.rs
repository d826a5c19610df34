use std::sync::atomic::Ordering;
use std::time::Duration;

use dockline::signals::CloseReason;
use dockline::{Error, ErrorKind, Fact, Liveness, params};
use dockline_tests::scripted::{Act, Script};
use dockline_tests::{Database, Story, connections, memory, wait_until};

fn operational() -> Error {
    Error::new(ErrorKind::Operational, "something went wrong")
}

fn disconnect() -> Error {
    Error::new(ErrorKind::Operational, "server has gone away").with_code("2006").with_fact(Fact::Disconnect)
}

/// Loses the connection in the middle of a transaction; the answer is the error of the statement that found out.
fn lose_in_transaction(db: &dockline::Connection, script: &Script) -> Error {
    db.execute("begin", ()).unwrap();
    script.in_transaction.store(true, Ordering::SeqCst);
    script.next(Act::Fail(disconnect()));
    let error = db.execute("x", ()).unwrap_err();
    script.in_transaction.store(false, Ordering::SeqCst);
    error
}

#[test]
fn a_connection_is_kept_until_it_is_too_old() {
    let connections = connections(memory().conn_max_age(Some(Duration::from_secs(3600))));
    let story = Story::of(&connections);
    let db = connections.get("default").unwrap();
    for _ in 0..3 {
        db.query("SELECT 1", ()).unwrap();
        connections.close_old_connections();
    }
    assert_eq!((story.opened(), story.closed()), (1, 0));
}

/// A boundary that has found nothing due says so for those that follow; what happens meanwhile without a statement takes that back.
#[test]
fn what_makes_a_connection_due_without_a_statement_is_seen_at_the_next_boundary() {
    type Happens = fn(&dockline::Connections, &dockline::Connection);
    let cases: [(&str, Happens, CloseReason); 5] = [
        ("replaced", |all, _| all.replace("default", memory()).unwrap(), CloseReason::Replaced),
        (
            "replaced and noticed",
            |all, _| {
                all.replace("default", memory()).unwrap();
                drop(all.get("default").unwrap());
            },
            CloseReason::Replaced,
        ),
        (
            "replaced while it is held",
            |all, db| {
                let hold = db.hold();
                all.replace("default", memory()).unwrap();
                all.close_old_connections();
                assert!(db.serial().is_some(), "it is held");
                drop(hold);
            },
            CloseReason::Replaced,
        ),
        (
            "removed",
            |all, _| {
                all.add("other", memory()).unwrap();
                all.get("other").unwrap().query("SELECT 1", ()).unwrap();
                all.close_old_connections();
                all.remove("other").unwrap();
            },
            CloseReason::Removed,
        ),
        ("autocommit", |_, db| db.set_autocommit(false).unwrap(), CloseReason::Autocommit),
    ];
    for (case, happens, reason) in cases {
        for with_requests in [false, true] {
            let connections = connections(memory().conn_max_age(Some(Duration::from_secs(3600))));
            let story = Story::of(&connections);
            let db = connections.get("default").unwrap();
            db.query("SELECT 1", ()).unwrap();
            let boundary =
                || if with_requests { drop(connections.request()) } else { connections.close_old_connections() };
            (0..3).for_each(|_| boundary());
            assert_eq!(story.closed(), 0, "{case}");
            happens(&connections, &db);
            boundary();
            assert_eq!(story.reasons(), [reason], "{case}, with requests: {with_requests}");
        }
    }
}

#[test]
fn max_age_zero_closes_at_every_boundary_and_none_at_no_one() {
    for (max_age, closed) in [(Some(Duration::ZERO), 2), (None, 0)] {
        let connections = connections(memory().conn_max_age(max_age));
        let story = Story::of(&connections);
        for _ in 0..2 {
            connections.get("default").unwrap().query("SELECT 1", ()).unwrap();
            connections.close_old_connections();
        }
        assert_eq!(story.reasons(), vec![CloseReason::MaxAge; closed]);
    }
}

#[test]
fn age_counts_from_opening_and_not_from_the_last_use() {
    let age = Duration::from_millis(30);
    let connections = connections(memory().conn_max_age(Some(age)).max_age_jitter(0));
    let story = Story::of(&connections);
    let db = connections.get("default").unwrap();
    db.ensure_connection().unwrap();
    wait_until("the connection is too old", || {
        db.query("SELECT 1", ()).unwrap();
        connections.close_old_connections();
        story.closed() == 1
    });
    assert_eq!(story.reasons(), [CloseReason::MaxAge]);
}

#[test]
fn a_statement_is_no_boundary_for_age() {
    let connections = connections(memory().conn_max_age(Some(Duration::ZERO)));
    let db = connections.get("default").unwrap();
    db.query("SELECT 1", ()).unwrap();
    let serial = db.serial();
    db.query("SELECT 1", ()).unwrap();
    assert_eq!(db.serial(), serial);
}

#[test]
fn an_idle_connection_is_replaced_before_the_next_statement() {
    let connections = connections(memory().conn_max_idle(Some(Duration::from_millis(1))));
    let story = Story::of(&connections);
    let db = connections.get("default").unwrap();
    wait_until("a pause was long enough", || {
        db.query("SELECT 1", ()).unwrap();
        story.closed() > 0
    });
    assert_eq!(story.reasons()[0], CloseReason::MaxIdle);
    assert!(db.is_connected());
}

#[test]
fn an_idle_connection_is_closed_at_a_boundary() {
    let connections = connections(memory().conn_max_idle(Some(Duration::from_millis(5))));
    let story = Story::of(&connections);
    connections.get("default").unwrap().ensure_connection().unwrap();
    wait_until("the connection was idle for long enough", || {
        connections.close_old_connections();
        story.closed() == 1
    });
    assert_eq!(story.reasons(), [CloseReason::MaxIdle]);
}

#[test]
fn an_idle_connection_with_a_transaction_or_a_temporary_table_is_not_replaced() {
    let connections = connections(memory().conn_max_idle(Some(Duration::from_nanos(1))));
    let db = connections.get("default").unwrap();
    db.execute("BEGIN", ()).unwrap();
    let serial = db.serial();
    db.query("SELECT 1", ()).unwrap();
    db.execute("COMMIT", ()).unwrap();
    assert_eq!(db.serial(), serial);
    db.execute("CREATE TEMPORARY TABLE t (a)", ()).unwrap();
    let serial = db.serial();
    db.execute("INSERT INTO t VALUES (1)", ()).unwrap();
    assert_eq!(db.serial(), serial);
    db.execute("DROP TABLE t", ()).unwrap();
    db.query("SELECT 1", ()).unwrap();
    assert_ne!(db.serial(), serial);
}

#[test]
fn jitter_only_shortens_the_age() {
    let connections = connections(memory().conn_max_age(Some(Duration::MAX)).max_age_jitter(100));
    let story = Story::of(&connections);
    for _ in 0..20 {
        connections.get("default").unwrap().query("SELECT 1", ()).unwrap();
        connections.close_old_connections();
        connections.close_all();
    }
    assert_eq!(story.reasons(), [CloseReason::Asked; 20]);
}

#[test]
fn errors_occurred_is_set_by_all_errors_but_data_and_integrity() {
    let (connections, script) = Script::connections(|settings| settings);
    let db = connections.get("default").unwrap();
    for (kind, sets) in [
        (ErrorKind::Data, false),
        (ErrorKind::Integrity, false),
        (ErrorKind::Operational, true),
        (ErrorKind::Programming, true),
        (ErrorKind::NotSupported, true),
        (ErrorKind::Internal, true),
    ] {
        db.close();
        db.ensure_connection().unwrap();
        assert!(!db.errors_occurred(), "a new connection has no errors");
        script.next(Act::Fail(Error::new(kind, "as the script says")));
        assert_eq!(db.execute("x", ()).unwrap_err().kind(), kind);
        assert_eq!(db.errors_occurred(), sets, "{kind:?}");
    }
}

#[test]
fn after_an_error_the_boundary_checks_and_keeps_what_answers() {
    let (connections, script) = Script::connections(|settings| settings);
    let story = Story::of(&connections);
    let db = connections.get("default").unwrap();
    script.next(Act::Fail(operational()));
    db.execute("x", ()).unwrap_err();
    connections.close_old_connections();
    assert_eq!((script.checks.load(Ordering::SeqCst), story.closed()), (1, 0));
    assert!(!db.errors_occurred());
    connections.close_old_connections();
    assert_eq!(script.checks.load(Ordering::SeqCst), 1, "without an error nothing is asked");

    script.next(Act::Fail(operational()));
    db.execute("x", ()).unwrap_err();
    script.usable.store(false, Ordering::SeqCst);
    connections.close_old_connections();
    assert_eq!(story.reasons(), [CloseReason::Unusable]);
    assert!(db.errors_occurred(), "closing clears no flag, as Django");
}

#[test]
fn a_connection_that_answers_after_an_error_is_still_closed_when_too_old() {
    let (connections, script) = Script::connections(|settings| settings.conn_max_age(Some(Duration::ZERO)));
    let story = Story::of(&connections);
    script.next(Act::Fail(operational()));
    connections.get("default").unwrap().execute("x", ()).unwrap_err();
    connections.close_old_connections();
    assert_eq!(story.reasons(), [CloseReason::MaxAge]);
}

#[test]
fn a_failed_connect_is_an_error_that_occurred() {
    let (connections, script) = Script::connections(|settings| settings);
    script.connects.store(false, Ordering::SeqCst);
    let db = connections.get("default").unwrap();
    let error = db.execute("x", ()).unwrap_err();
    assert_eq!((error.code().as_deref(), error.alias()), (Some("2003"), Some("default")));
    assert!(!error.may_have_executed());
    assert!(db.errors_occurred() && !db.is_connected());
    script.connects.store(true, Ordering::SeqCst);
    db.execute("x", ()).unwrap();
    assert!(!db.errors_occurred());
}

#[test]
fn health_checks_ask_once_a_request() {
    let (connections, script) = Script::connections(|settings| settings.conn_health_checks(true));
    let story = Story::of(&connections);
    let db = connections.get("default").unwrap();
    let checks = || script.checks.load(Ordering::SeqCst);
    db.execute("x", ()).unwrap();
    assert_eq!(checks(), 0, "a new connection counts as checked");
    connections.close_old_connections();
    db.execute("x", ()).unwrap();
    db.execute("x", ()).unwrap();
    assert_eq!(checks(), 1);
    connections.close_old_connections();
    assert!(db.autocommit().unwrap() && db.ensure_connection().is_ok());
    assert_eq!(checks(), 1, "reading the flag and ensure_connection do not check");

    script.usable.store(false, Ordering::SeqCst);
    db.execute("x", ()).unwrap();
    assert_eq!((checks(), story.reasons()), (2, vec![CloseReason::Unusable]));
}

#[test]
fn without_health_checks_nothing_is_asked() {
    let (connections, script) = Script::connections(|settings| settings);
    let db = connections.get("default").unwrap();
    for _ in 0..3 {
        db.execute("x", ()).unwrap();
        connections.close_old_connections();
    }
    assert_eq!(script.checks.load(Ordering::SeqCst), 0);
}

#[test]
fn autocommit_that_was_not_restored_closes_at_the_boundary() {
    let database = Database::new();
    let connections = database.connections();
    let story = Story::of(&connections);
    let db = connections.get("default").unwrap();
    db.execute("CREATE TABLE t (a)", ()).unwrap();
    db.set_autocommit(false).unwrap();
    db.execute("INSERT INTO t VALUES (1)", ()).unwrap();
    connections.close_old_connections();
    assert_eq!(story.reasons(), [CloseReason::Autocommit]);
    assert_eq!(db.query_value::<i64>("SELECT count(*) FROM t", ()).unwrap(), 0, "what was open is rolled back");

    db.set_autocommit(false).unwrap();
    db.set_autocommit(true).unwrap();
    connections.close_old_connections();
    assert_eq!(story.closed(), 1);
}

#[test]
fn where_the_setting_says_off_autocommit_on_is_what_was_changed() {
    let database = Database::new();
    let connections = database.connections_with(|settings| settings.autocommit(false));
    let story = Story::of(&connections);
    let db = connections.get("default").unwrap();
    assert!(!db.autocommit().unwrap());
    db.query("SELECT 1", ()).unwrap();
    connections.close_old_connections();
    assert_eq!(story.closed(), 0, "a transaction may go on over a boundary there");
    db.commit().unwrap();
    db.set_autocommit(true).unwrap();
    connections.close_old_connections();
    assert_eq!(story.reasons(), [CloseReason::Autocommit]);
    assert!(!db.autocommit().unwrap());
}

#[test]
fn a_begin_sent_as_text_and_not_ended_is_rolled_back_at_the_end_of_the_request_or_task() {
    let database = Database::new();
    let connections = database.connections();
    let db = connections.get("default").unwrap();
    db.execute("CREATE TABLE t (a)", ()).unwrap();
    let serial = db.serial();
    let count = || db.query_value::<i64>("SELECT count(*) FROM t", ()).unwrap();
    let leave_open = || {
        db.execute("BEGIN", ()).unwrap();
        db.execute("INSERT INTO t VALUES (1)", ()).unwrap();
        // Inside, neither the call nor a request or task of its own ends it.
        connections.close_old_connections();
        drop(connections.request());
        connections.in_request(|| Ok::<_, Error>(())).unwrap();
        assert_eq!(count(), 1);
    };
    let request = connections.request();
    leave_open();
    drop(request);
    assert_eq!(count(), 0);
    dockline_tests::on_thread({
        let connections = connections.clone();
        connections.clone().task(move || connections.get("default").unwrap().execute("BEGIN", ()).map(drop))
    })
    .unwrap();
    assert_eq!(db.serial(), serial, "the connection is kept");
}

#[test]
fn an_idle_connection_with_autocommit_off_stays_in_manual_mode() {
    let database = Database::new();
    let connections = database.connections_with(|settings| settings.conn_max_idle(Some(Duration::from_nanos(1))));
    let db = connections.get("default").unwrap();
    db.execute("CREATE TABLE t (a)", ()).unwrap();
    db.set_autocommit(false).unwrap();
    db.execute("INSERT INTO t VALUES (1)", ()).unwrap();
    db.rollback().unwrap();
    assert_eq!(db.query_value::<i64>("SELECT count(*) FROM t", ()).unwrap(), 0, "the insert was in a transaction");
    assert!(!db.autocommit().unwrap());
}

#[test]
fn what_replaces_a_connection_has_its_autocommit() {
    let (connections, script) = Script::connections(|settings| settings);
    let db = connections.get("default").unwrap();
    db.set_autocommit(false).unwrap();
    script.next(Act::Fail(disconnect()));
    db.execute("x", ()).unwrap_err();
    let before = script.statements.load(Ordering::SeqCst);
    db.execute("x", ()).unwrap();
    assert!(!db.autocommit().unwrap());
    assert_eq!(
        script.statements.load(Ordering::SeqCst),
        before + 2,
        "autocommit is switched off, and the statement run"
    );
    db.close();
    assert!(db.autocommit().unwrap(), "after close it is as the setting says");
}

#[test]
fn a_receiver_that_opens_what_was_closed_leaves_one_connection() {
    let (connections, script) = Script::connections(|settings| settings);
    let story = Story::of(&connections);
    let inside = connections.clone();
    let receiver = connections.signals().connection_closed.connect(move |_| {
        inside.get("default").unwrap().execute("audit", ()).unwrap();
    });
    let db = connections.get("default").unwrap();
    script.next(Act::Fail(disconnect()));
    db.execute("x", ()).unwrap_err();
    db.execute("x", ()).unwrap();
    assert_eq!((story.opened(), story.open()), (2, 1));
    connections.signals().connection_closed.disconnect(receiver);
}

#[test]
fn a_connection_lost_with_its_state_is_not_replaced_in_silence() {
    let (connections, script) = Script::connections(|settings| settings.conn_health_checks(true));
    let db = connections.get("default").unwrap();
    db.execute("x", ()).unwrap();
    script.has_state.store(true, Ordering::SeqCst);
    script.next(Act::Fail(disconnect()));
    db.execute("x", ()).unwrap_err();
    let error = db.execute("x", ()).unwrap_err();
    assert!(
        error.is_disconnect() && !error.is_work_lost() && error.message().contains("the temporary table \"scratch\""),
        "{error}"
    );
    assert!(error.message().contains("call close()"), "it says how to go on: {error}");
    connections.close_old_connections();
    db.execute("x", ()).unwrap();

    connections.close_old_connections();
    script.usable.store(false, Ordering::SeqCst);
    assert!(db.execute("x", ()).unwrap_err().is_disconnect(), "nor where the health check finds it out");
}

#[test]
fn a_disconnect_poisons_and_the_next_statement_gets_a_new_connection() {
    let (connections, script) = Script::connections(|settings| settings);
    let story = Story::of(&connections);
    let db = connections.get("default").unwrap();
    script.next(Act::Fail(disconnect()));
    let error = db.execute("x", ()).unwrap_err();
    assert!(error.is_disconnect() && !error.is_work_lost());
    assert!(db.is_connected() && !db.is_usable(), "poisoned, whatever a check says");
    assert_eq!(script.checks.load(Ordering::SeqCst), 0);
    db.execute("x", ()).unwrap();
    assert_eq!(story.reasons(), [CloseReason::Unusable]);
}

#[test]
fn with_liveness_off_a_poisoned_connection_answers_with_its_error_until_it_is_closed() {
    let (connections, script) = Script::connections(|settings| settings.liveness(Liveness::Off));
    let db = connections.get("default").unwrap();
    script.next(Act::Fail(disconnect()));
    db.execute("x", ()).unwrap_err();
    for _ in 0..2 {
        let error = db.execute("x", ()).unwrap_err();
        assert!(error.is_disconnect(), "{error}");
        assert_eq!(error.code().as_deref(), Some("2006"));
        assert!(!error.may_have_executed());
    }
    assert_eq!(script.statements.load(Ordering::SeqCst), 1, "the driver was not asked again");
    connections.close_old_connections();
    db.execute("x", ()).unwrap();
}

#[test]
fn a_connection_lost_in_a_transaction_is_not_replaced_in_silence() {
    let (connections, script) = Script::connections(|settings| settings);
    let db = connections.get("default").unwrap();
    assert!(lose_in_transaction(&db, &script).is_work_lost());
    let error = db.execute("x", ()).unwrap_err();
    assert!(error.is_work_lost() && error.is_disconnect(), "{error:?}");
    db.close();
    db.execute("x", ()).unwrap();
}

#[test]
fn a_commit_that_loses_the_connection_is_unknown_or_lost_and_the_connection_recovers() {
    let ends: [fn(&dockline::Connection) -> dockline::Result<()>; 2] =
        [dockline::Connection::commit, |db| db.set_autocommit(true)];
    for end in ends {
        for (sent, unknown) in [(true, true), (false, false)] {
            let (connections, script) = Script::connections(|settings| settings);
            let db = connections.get("default").unwrap();
            db.execute("begin", ()).unwrap();
            script.in_transaction.store(true, Ordering::SeqCst);
            script.next(Act::Fail(if sent { disconnect().with_fact(Fact::MayHaveExecuted) } else { disconnect() }));
            let error = end(&db).unwrap_err();
            assert_eq!((error.is_commit_unknown(), error.is_work_lost()), (unknown, !unknown), "{error:?}");
            script.in_transaction.store(false, Ordering::SeqCst);
            db.execute("x", ()).expect("the transaction has been ended, so the next statement has a new connection");
        }
    }
}

#[test]
fn who_rolls_back_a_lost_transaction_has_a_new_connection_afterwards() {
    let (connections, script) = Script::connections(|settings| settings);
    let db = connections.get("default").unwrap();
    assert!(lose_in_transaction(&db, &script).is_work_lost());
    assert!(db.rollback().unwrap_err().is_disconnect());
    db.execute("x", ()).unwrap();
}

#[test]
fn a_panic_of_the_driver_costs_the_connection_and_nothing_else() {
    let (connections, script) = Script::connections(|settings| settings);
    let story = Story::of(&connections);
    let db = connections.get("default").unwrap();
    script.next(Act::Panic);
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| db.execute("x", ()))).unwrap_err();
    assert!(!db.is_usable());
    db.execute("x", ()).unwrap();
    assert_eq!(story.reasons(), [CloseReason::Unusable]);
}

#[test]
fn a_result_with_too_much_left_closes_the_connection() {
    let (connections, script) = Script::connections(|settings| settings);
    let story = Story::of(&connections);
    let db = connections.get("default").unwrap();
    script.next(Act::Unread);
    let found = db.query_each("x", (), |_| Ok(std::ops::ControlFlow::Break(7))).unwrap();
    assert_eq!(found, Some(7));
    assert_eq!(story.reasons(), [CloseReason::Unread]);
}

#[test]
fn a_session_that_leaves_a_result_unread_and_loses_something_by_it_is_an_error() {
    let leave = |db: &dockline::Connection| db.query_each("x", (), |_| Ok(std::ops::ControlFlow::Break(7)));
    let (connections, script) = Script::connections(|settings| settings);
    let db = connections.get("default").unwrap();

    script.has_state.store(true, Ordering::SeqCst);
    script.next(Act::Unread);
    let error = leave(&db).unwrap_err();
    assert!(error.is_disconnect() && error.may_have_executed(), "{error:?}");
    assert!(error.message().contains("the temporary table \"scratch\""), "{error}");
    script.has_state.store(false, Ordering::SeqCst);
    db.close();

    let hold = db.hold();
    script.next(Act::Unread);
    assert!(leave(&db).unwrap_err().is_disconnect(), "the connection is held");
    drop(hold);
    db.close();

    let error = db
        .atomic(|| {
            script.next(Act::Unread);
            leave(&db)
        })
        .unwrap_err();
    assert!(error.is_work_lost(), "{error:?}");
}

#[test]
fn what_is_held_is_neither_aged_nor_replaced() {
    let (connections, script) = Script::connections(|settings| {
        settings.conn_max_age(Some(Duration::ZERO)).conn_max_idle(Some(Duration::from_nanos(1)))
    });
    let story = Story::of(&connections);
    let db = connections.get("default").unwrap();
    let hold = db.hold();
    db.execute("x", ()).unwrap();
    db.execute("x", ()).unwrap();
    connections.close_old_connections();
    assert_eq!(story.closed(), 0);

    script.next(Act::Fail(disconnect()));
    db.execute("x", ()).unwrap_err();
    assert!(db.execute("x", ()).unwrap_err().is_disconnect());
    connections.close_old_connections();
    assert_eq!(story.reasons(), [CloseReason::Unusable]);
    let error = db.execute("x", ()).unwrap_err();
    assert!(error.is_disconnect() && error.message().contains("held"), "{error}");
    assert_eq!(story.opened(), 1);

    drop(hold);
    db.execute("x", ()).unwrap();
    assert_eq!(story.opened(), 2);
}

#[test]
fn close_inside_a_row_callback_closes_after_the_statement() {
    let connections = connections(memory());
    let story = Story::of(&connections);
    let db = connections.get("default").unwrap();
    let mut rows = 0;
    db.query_each("SELECT 1 UNION SELECT 2", (), |_| {
        db.close();
        connections.close_old_connections();
        assert!(db.is_connected());
        rows += 1;
        Ok(std::ops::ControlFlow::<()>::Continue(()))
    })
    .unwrap();
    assert_eq!((rows, story.reasons()), (2, vec![CloseReason::Asked]));
}

#[test]
fn ensure_connection_and_close_do_what_their_names_say() {
    let connections = connections(memory());
    let story = Story::of(&connections);
    let db = connections.get("default").unwrap();
    assert!(db.is_usable(), "a database that is part of the program always is, as in Django");
    db.close();
    db.commit().unwrap();
    db.rollback().unwrap();
    assert_eq!(story.opened(), 0, "close, commit and rollback open nothing");
    db.ensure_connection().unwrap();
    db.ensure_connection().unwrap();
    assert!(db.is_usable() && db.server_connection_id().is_none());
    assert_eq!(story.opened(), 1);
    db.close();
    db.close();
    assert_eq!(story.reasons(), [CloseReason::Asked]);
}

#[test]
fn commit_and_rollback_clear_errors_occurred() {
    let connections = connections(memory());
    let db = connections.get("default").unwrap();
    for end in [dockline::Connection::commit, dockline::Connection::rollback] {
        db.execute("no such statement", ()).unwrap_err();
        assert!(db.errors_occurred());
        end(&db).unwrap();
        assert!(!db.errors_occurred());
    }
}

#[test]
fn manual_transactions_commit_and_roll_back() {
    let database = Database::new();
    let connections = database.connections();
    let db = connections.get("default").unwrap();
    let count = || db.query_value::<i64>("SELECT count(*) FROM t", ()).unwrap();
    db.execute("CREATE TABLE t (a)", ()).unwrap();
    db.set_autocommit(false).unwrap();
    db.execute("INSERT INTO t VALUES (?)", params![1]).unwrap();
    db.rollback().unwrap();
    assert_eq!(count(), 0);
    db.execute("INSERT INTO t VALUES (?)", params![2]).unwrap();
    db.commit().unwrap();
    db.execute("INSERT INTO t VALUES (?)", params![3]).unwrap();
    db.set_autocommit(true).unwrap();
    assert_eq!(count(), 2, "switching autocommit on commits");
    db.close();
    assert_eq!(count(), 2);
}

#[test]
fn the_query_log_is_off_kept_and_emptied() {
    let connections = connections(memory());
    let db = connections.get("default").unwrap();
    db.query("SELECT 1", ()).unwrap();
    assert!(db.queries().is_empty());
    db.force_query_log(true);
    db.query("SELECT 2", ()).unwrap();
    db.execute("no such statement", ()).unwrap_err();
    db.close();
    db.query("SELECT 3", ()).unwrap();
    db.commit().unwrap();
    let sql: Vec<String> = db.queries().into_iter().map(|query| query.sql).collect();
    assert_eq!(sql, ["SELECT 2", "no such statement", "SELECT 3", "COMMIT"]);
    connections.reset_queries();
    assert!(db.queries().is_empty());
    db.query("SELECT 4", ()).unwrap();
    let request = connections.request();
    assert!(db.queries().is_empty(), "a request starts with an empty log");
    db.query("SELECT 5", ()).unwrap();
    drop(request);
    assert_eq!(db.queries().len(), 1, "and leaves it");
}

#[test]
fn what_is_held_survives_a_replaced_alias() {
    let (old, new) = (Database::new(), Database::new());
    let connections = old.connections();
    let story = Story::of(&connections);
    let db = connections.get("default").unwrap();
    db.query("SELECT 1", ()).unwrap();
    let hold = db.hold();
    connections.replace("default", new.settings()).unwrap();
    connections.close_old_connections();
    assert_eq!(story.closed(), 0);
    drop(hold);
    connections.close_old_connections();
    assert_eq!(story.reasons(), [CloseReason::Replaced]);
}

#[test]
fn a_panic_of_the_iterator_of_parameters_goes_on_and_costs_no_connection() {
    let connections = connections(memory());
    let story = Story::of(&connections);
    let db = connections.get("default").unwrap();
    db.execute("CREATE TABLE t (a)", ()).unwrap();
    let rows = (0..3).map(|n| if n == 2 { panic!("the iterator panics") } else { params![n] });
    let panic =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| db.execute_many("INSERT INTO t VALUES (?)", rows)));
    assert_eq!(panic.unwrap_err().downcast_ref::<&str>(), Some(&"the iterator panics"));
    assert_eq!(db.query_value::<i64>("SELECT count(*) FROM t", ()).unwrap(), 2);
    assert_eq!(story.closed(), 0);
}

#[test]
fn close_asked_in_a_statement_that_panics_is_not_asked_of_the_next_connection() {
    let connections = connections(memory());
    let story = Story::of(&connections);
    let db = connections.get("default").unwrap();
    let inside = db.clone();
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        db.native::<dockline::rusqlite::Connection, ()>(|_| {
            inside.close();
            panic!("the closure panics");
        })
    }));
    assert!(panic.is_err());
    db.query("SELECT 1", ()).unwrap();
    db.query("SELECT 1", ()).unwrap();
    assert_eq!((story.opened(), story.reasons()), (2, vec![CloseReason::Unusable]));
}

#[test]
fn manual_transactions_are_in_the_query_log_as_in_django() {
    let connections = connections(memory());
    let db = connections.get("default").unwrap();
    db.force_query_log(true);
    db.set_autocommit(false).unwrap();
    db.query("SELECT 1", ()).unwrap();
    db.rollback().unwrap();
    db.set_autocommit(true).unwrap();
    let sql: Vec<String> = db.queries().into_iter().map(|query| query.sql).collect();
    assert_eq!(sql, ["BEGIN", "SELECT 1", "ROLLBACK"]);
}

/// Work that is open when a request, a task or a boundary of its own happens inside the request that does it.
fn inside(connections: &dockline::Connections, boundary: &dyn Fn()) -> dockline::Result<()> {
    let db = connections.get("default")?;
    connections.in_request(|| {
        db.set_autocommit(false)?;
        boundary();
        db.execute("INSERT INTO t VALUES (1)", ())?;
        boundary();
        db.execute("INSERT INTO t VALUES (2)", ())?;
        db.rollback()?;
        boundary();
        db.execute("INSERT INTO t VALUES (3)", ())?;
        db.commit()?;
        db.set_autocommit(true)
    })
}

#[test]
fn a_boundary_inside_a_request_leaves_the_work_around_it_alone() {
    let database = Database::new();
    let connections = database.connections_with(|settings| settings.conn_max_age(Some(Duration::ZERO)));
    connections.get("default").unwrap().execute("CREATE TABLE t (a)", ()).unwrap();
    let boundaries: [&dyn Fn(); 4] = [
        &|| connections.task(|| ())(),
        &|| drop(connections.request()),
        &|| connections.close_old_connections(),
        &|| connections.replace("default", database.settings()).unwrap(),
    ];
    for boundary in boundaries {
        inside(&connections, boundary).unwrap();
        let db = connections.get("default").unwrap();
        let rows: Vec<(i64,)> = db.query_as("SELECT a FROM t", ()).unwrap();
        assert_eq!(rows, [(3,)], "what was rolled back is gone, and what was committed is there");
        db.execute("DELETE FROM t", ()).unwrap();
    }
}

#[test]
fn a_lost_transaction_is_not_forgotten_by_a_boundary_inside() {
    let (connections, script) = Script::connections(|settings| settings);
    let _request = connections.request();
    let db = connections.get("default").unwrap();
    lose_in_transaction(&db, &script);
    connections.task(|| ())();
    assert!(db.execute("x", ()).unwrap_err().is_work_lost());
}

#[test]
fn a_transaction_that_a_receiver_leaves_open_ends_with_the_request() {
    let database = Database::new();
    let connections = database.connections();
    let db = connections.get("default").unwrap();
    let signals = connections.signals();
    signals.request_finished.connect({
        let inside = connections.clone();
        move |_| {
            inside.get("default").unwrap().execute("BEGIN", ()).unwrap();
        }
    });
    for _ in 0..2 {
        drop(connections.request());
        let in_transaction = db.native::<dockline::rusqlite::Connection, _>(|sqlite| !sqlite.is_autocommit());
        assert!(!in_transaction.unwrap());
    }
}

#[test]
fn a_commit_on_a_held_connection_that_is_gone_is_an_error() {
    let connections = connections(memory());
    let db = connections.get("default").unwrap();
    let _hold = db.hold();
    db.set_autocommit(false).unwrap();
    db.execute("CREATE TABLE t (a)", ()).unwrap();
    connections.close_old_connections();
    db.commit().expect("a boundary keeps what is held");
    db.execute("INSERT INTO t VALUES (1)", ()).unwrap();
    db.close();
    assert!(db.commit().unwrap_err().is_disconnect());
    assert!(db.rollback().unwrap_err().is_disconnect());
}
