//! How statements reach the server: prepared once, several rows at a time, cancelled, and left early.

use std::ops::ControlFlow;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use dockline::{Connection, ErrorKind, Value, params};
use dockline_tests::servers::{Kind, PgBouncer, Server};

use crate::case::{Case, case};
use crate::opened::{Opened, settings};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case!(a_statement_is_prepared_once),
        case!(the_cache_closes_what_it_forgets),
        case!(without_preparing_nothing_is_prepared),
        case!(a_table_changes_under_a_statement),
        case!(a_session_that_was_reset_prepares_again),
        case!(many_rows_are_few_statements),
        case!(a_row_that_fails_is_found_among_the_others),
        case!(a_row_of_another_length),
        case!(several_results_of_a_procedure).only(Kind::MYSQLS),
        case!(an_error_in_a_later_result).only(Kind::MYSQLS),
        case!(a_running_statement_is_cancelled),
        case!(a_cancel_never_hits_the_next_statement),
        case!(a_statement_runs_no_longer_than_its_limit),
        case!(results_are_left_early),
        case!(a_pooler_in_transaction_mode).only(&[Kind::Postgres]).private().needs(PgBouncer::available),
    ]
}

/// What the server counts for this session; the question itself is not prepared.
fn counted(db: &Connection, postgres: &str, mysql: &str) -> u64 {
    if db.vendor() == "postgresql" {
        db.native(|client: &mut postgres::Client| {
            let messages = client.simple_query(postgres).unwrap();
            let row = messages.iter().find_map(|message| match message {
                postgres::SimpleQueryMessage::Row(row) => row.get(0),
                _ => None,
            });
            row.expect("a row").parse().unwrap()
        })
    } else {
        use mysql::prelude::Queryable;
        db.native(|conn: &mut mysql::Conn| {
            let row: Option<(String, u64)> = conn.query_first(format!("SHOW SESSION STATUS LIKE '{mysql}'")).unwrap();
            row.expect("a row").1
        })
    }
    .unwrap()
}

fn prepared(db: &Connection) -> u64 {
    counted(db, "SELECT count(*) FROM pg_prepared_statements", "Com_stmt_prepare")
}

/// How often prepared statements have run.
fn runs(db: &Connection) -> u64 {
    let of_plans = "SELECT coalesce(sum(generic_plans + custom_plans), 0) FROM pg_prepared_statements";
    counted(db, of_plans, "Com_stmt_execute")
}

fn a_statement_is_prepared_once(server: &Server) {
    let Opened { db, .. } = &Opened::new(server);
    db.execute("CREATE TABLE t (a INTEGER)", ()).unwrap();
    // The look itself is a use of the driver, after which statements are prepared anew.
    for (counts, wanted) in [(prepared as fn(&Connection) -> u64, 2), (runs, 40)] {
        let before = counts(db);
        for n in 0..20 {
            db.execute("INSERT INTO t VALUES (?)", params![n]).unwrap();
            db.query("SELECT a FROM t WHERE a = ?", params![n]).unwrap();
        }
        assert_eq!(counts(db) - before, wanted);
    }
}

fn the_cache_closes_what_it_forgets(server: &Server) {
    for kept in [0, 2_u32] {
        let Opened { db, .. } = &Opened::with(server, |settings| settings.statement_cache(kept));
        for _ in 0..3 {
            for n in 0..5 {
                assert_eq!(db.query_value::<i64>(&format!("SELECT {n} + 0"), ()).unwrap(), n);
            }
        }
        let left =
            if server.kind().is_postgres() { prepared(db) } else { prepared(db) - counted(db, "", "Com_stmt_close") };
        assert_eq!(left, u64::from(kept));
        // What is kept is used again.
        let before = runs(db);
        db.query("SELECT 4 + 0", ()).unwrap();
        let after = runs(db);
        assert!(after > before || kept == 0);
    }
}

fn without_preparing_nothing_is_prepared(server: &Server) {
    let Opened { db, .. } = &Opened::with(server, |settings| settings.prepared_statements(false));
    db.execute("CREATE TABLE t (a INTEGER, b VARCHAR(20))", ()).unwrap();
    let rows = (0..100).map(|n| params![n, format!("it's \\ {n} ?")]);
    assert_eq!(db.execute_many("INSERT INTO t VALUES (?, ?)", rows).unwrap(), 100);
    let text: String = db.query_value("SELECT b FROM t WHERE a = ? AND b LIKE ?", params![7, "it%"]).unwrap();
    assert_eq!(text, "it's \\ 7 ?");
    assert_eq!(prepared(db), 0);
}

fn a_table_changes_under_a_statement(server: &Server) {
    let Opened { db, database, .. } = &Opened::new(server);
    let mut admin = database.admin();
    db.execute("CREATE TABLE t (a INTEGER, b INTEGER)", ()).unwrap();
    db.execute("INSERT INTO t VALUES (1, 2)", ()).unwrap();
    let all = "SELECT * FROM t WHERE a = ?";
    assert_eq!(db.query_one(all, params![1]).unwrap().columns(), ["a", "b"]);
    let serial = db.serial();

    admin.execute("ALTER TABLE t ADD COLUMN c INTEGER DEFAULT 3");
    assert_eq!(db.query_one(all, params![1]).unwrap().decode::<(i64, i64, i64)>().unwrap(), (1, 2, 3));
    admin.execute("ALTER TABLE t DROP COLUMN b");
    assert_eq!(db.query_one(all, params![1]).unwrap().columns(), ["a", "c"]);
    admin.execute("DROP TABLE t");
    assert_eq!(db.query(all, params![1]).unwrap_err().kind(), ErrorKind::Programming);
    admin.execute("CREATE TABLE t (a VARCHAR(10))");
    if server.kind().is_postgres() {
        admin.execute("GRANT ALL ON t TO public");
    }
    db.execute("INSERT INTO t VALUES ('1')", ()).unwrap();
    assert_eq!(db.query("SELECT * FROM t", ()).unwrap()[0].get::<String, _>("a").unwrap(), "1");
    assert_eq!(db.serial(), serial, "the connection is as good as before");
}

fn a_session_that_was_reset_prepares_again(server: &Server) {
    let Opened { db, .. } = &Opened::new(server);
    db.execute("CREATE TABLE t (a INTEGER)", ()).unwrap();
    let insert = "INSERT INTO t VALUES (?)";
    db.execute(insert, params![1]).unwrap();
    let serial = db.serial();
    if server.kind().is_postgres() {
        db.execute("DISCARD ALL", ()).unwrap();
        db.execute(insert, params![2]).unwrap();
        db.native(|client: &mut postgres::Client| client.batch_execute("DISCARD ALL").unwrap()).unwrap();
    } else {
        db.native(|conn: &mut mysql::Conn| conn.reset().unwrap()).unwrap();
        db.execute(insert, params![2]).unwrap();
        db.native(|conn: &mut mysql::Conn| conn.reset().unwrap()).unwrap();
    }
    db.execute_many(insert, (3..100).map(|n| params![n])).unwrap();
    assert_eq!(db.query_value::<i64>("SELECT count(*) FROM t", ()).unwrap(), 99);
    assert_eq!(db.serial(), serial);
}

fn key(server: &Server) -> &'static str {
    if server.kind().is_postgres() { "SERIAL PRIMARY KEY" } else { "INTEGER AUTO_INCREMENT PRIMARY KEY" }
}

fn many_rows_are_few_statements(server: &Server) {
    let Opened { db, .. } = &Opened::new(server);
    db.execute(&format!("CREATE TABLE t (id {}, a INTEGER)", key(server)), ()).unwrap();
    let before = runs(db);
    let rows = (0..1000).map(|n| params![n]);
    assert_eq!(db.execute_many("INSERT INTO t (a) VALUES (?)", rows).unwrap(), 1000);
    let sent = runs(db) - before;
    assert!((1..=20).contains(&sent), "{sent} statements for 1000 rows");
    let in_order: Vec<(i64,)> = db.query_as("SELECT a FROM t ORDER BY id", ()).unwrap();
    assert!(in_order.into_iter().map(|(a,)| a).eq(0..1000));

    // What cannot be put together runs row by row, with the same answer.
    let rows = (0..70).map(|n| params![n]);
    assert_eq!(db.execute_many("UPDATE t SET a = a WHERE a = ?", rows).unwrap(), 70);
    assert_eq!(db.execute_many("DELETE FROM t WHERE a < ?", [params![10], params![20]]).unwrap(), 20);
    assert_eq!(db.execute_many("DELETE FROM t WHERE a = ?", Vec::<Vec<Value>>::new()).unwrap(), 0);
}

fn a_row_that_fails_is_found_among_the_others(server: &Server) {
    let Opened { db, .. } = &Opened::new(server);
    db.execute("CREATE TABLE t (a INTEGER PRIMARY KEY)", ()).unwrap();
    let insert = "INSERT INTO t VALUES (?)";
    // Several statements come before it, however many rows a server gets in one.
    let taken_at_2500 = || (1..=3_000).map(|n| params![if n == 2_500 { 1 } else { n }]);
    let error = db.execute_many(insert, taken_at_2500()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Integrity);
    assert!(error.may_have_executed(), "rows before it stand");
    let (from, to) = rows_named(error.message());
    assert!((from..=to).contains(&2_500), "{error}");
    let stand: i64 = db.query_value("SELECT count(*) FROM t", ()).unwrap();
    assert_eq!(stand, from - 1, "all rows before those that it names stand, and none of them");

    let error = db.execute_many(insert, [params![1]]).unwrap_err();
    assert!(error.message().starts_with("row 1: ") && !error.may_have_executed(), "{error:?}");

    db.execute("DELETE FROM t", ()).unwrap();
    db.set_autocommit(false).unwrap();
    let error = db.execute_many(insert, taken_at_2500()).unwrap_err();
    assert!(!error.may_have_executed(), "in a transaction nothing stands before COMMIT: {error:?}");
    db.rollback().unwrap();
    db.set_autocommit(true).unwrap();
    assert_eq!(db.query_value::<i64>("SELECT count(*) FROM t", ()).unwrap(), 0);
}

/// The first and the last row of `row 7: …` and `rows 7 to 9: …`.
fn rows_named(message: &str) -> (i64, i64) {
    let (head, _) = message.split_once(": ").expect("a colon");
    let numbers: Vec<i64> = head.split(' ').filter_map(|word| word.parse().ok()).collect();
    (numbers[0], *numbers.last().unwrap())
}

fn a_row_of_another_length(server: &Server) {
    let Opened { db, .. } = &Opened::new(server);
    db.execute("CREATE TABLE t (a INTEGER, b INTEGER)", ()).unwrap();
    let uneven = |at: i64| (1..=100).map(move |n| if n == at { params![n].to_vec() } else { params![n, n].to_vec() });
    let error = db.execute_many("INSERT INTO t VALUES (?, ?)", uneven(90)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Programming);
    assert!(error.message().starts_with("row 90: ") && error.may_have_executed(), "{error:?}");
    assert_eq!(db.query_value::<i64>("SELECT count(*) FROM t", ()).unwrap(), 89, "those before it stand");
    let error = db.execute_many("INSERT INTO t VALUES (?, ?)", uneven(1)).unwrap_err();
    assert!(error.message().starts_with("row 1: ") && !error.may_have_executed(), "{error:?}");
}

fn several_results_of_a_procedure(server: &Server) {
    for prepares in [true, false] {
        let Opened { db, .. } = &Opened::with(server, |settings| settings.prepared_statements(prepares));
        db.execute("CREATE TABLE t (a INTEGER)", ()).unwrap();
        let sql = "CREATE PROCEDURE p(IN x INTEGER) BEGIN SELECT x AS first; INSERT INTO t VALUES (x), (x + 1); \
                   SELECT a AS second FROM t ORDER BY a; END";
        db.execute(sql, ()).unwrap();
        let rows = db.query("CALL p(?)", params![7]).unwrap();
        let seen: Vec<(String, i64)> = rows.iter().map(|row| (row.columns()[0].clone(), row.get(0).unwrap())).collect();
        let wanted = [("first", 7), ("second", 7), ("second", 8)].map(|(name, n)| (name.to_owned(), n));
        assert_eq!(seen, wanted, "prepares: {prepares}");
        let first =
            db.query_each("CALL p(?)", params![7], |row| Ok(ControlFlow::Break(row.get::<i64, _>(0)?))).unwrap();
        assert_eq!(first, Some(7));
        assert_eq!(db.query_value::<i64>("SELECT count(*) FROM t", ()).unwrap(), 4, "it ran to its end");
        db.execute("CALL p(?)", params![7]).unwrap();
        assert_eq!(db.query_value::<i64>("SELECT 5", ()).unwrap(), 5, "and nothing of it is left to read");
    }
}

fn an_error_in_a_later_result(server: &Server) {
    for prepares in [true, false] {
        let Opened { db, .. } = &Opened::with(server, |settings| settings.prepared_statements(prepares));
        db.execute("CREATE TABLE t (a INTEGER)", ()).unwrap();
        let sql = "CREATE PROCEDURE p() BEGIN SELECT 1; INSERT INTO t VALUES (1); SELECT * FROM missing; END";
        db.execute(sql, ()).unwrap();
        let serial = db.serial();
        for _ in 0..3 {
            let mut seen = 0;
            let error = db
                .query_each::<()>("CALL p()", (), |_| {
                    seen += 1;
                    Ok(ControlFlow::Continue(()))
                })
                .unwrap_err();
            assert_eq!((error.kind(), error.code().as_deref()), (ErrorKind::Programming, Some("1146")), "{error:?}");
            assert!(error.may_have_executed() && !error.is_disconnect(), "{error:?}");
            assert_eq!(seen, 1);
            assert_eq!(db.execute("CALL p()", ()).unwrap_err().code().as_deref(), Some("1146"));
            assert_eq!(db.query_value::<i64>("SELECT 5", ()).unwrap(), 5);
        }
        assert_eq!(db.query_value::<i64>("SELECT count(*) FROM t", ()).unwrap(), 6);
        assert_eq!(db.serial(), serial, "the connection is in step");
    }
}

/// Ten rows, which joined with themselves are as many as are needed, on every server.
fn digits(db: &Connection) {
    db.execute("CREATE TABLE digit (n BIGINT)", ()).unwrap();
    db.execute_many("INSERT INTO digit VALUES (?)", (0..10).map(|n| params![n])).unwrap();
}

/// A SELECT of 10 to that power of rows.
fn rows_of(power: u32) -> String {
    let (mut sum, mut from) = (String::from("0"), String::new());
    for n in 0..power {
        sum += &format!(" + t{n}.n * {}", 10_u64.pow(n));
        from += &format!("{}digit t{n}", if n > 0 { ", " } else { "" });
    }
    format!("SELECT {sum} AS number FROM {from}")
}

/// It takes longer than anybody waits, and gives one row.
fn endless() -> String {
    format!("SELECT count(*) FROM ({}) AS x WHERE number < 0", rows_of(12))
}

/// Whether the server runs something for this session.
fn running(kind: Kind, id: u64) -> String {
    if kind.is_postgres() {
        format!(
            "SELECT count(*) FROM pg_stat_activity WHERE pid = {id} AND state = 'active' AND query LIKE '%digit t11%'"
        )
    } else {
        format!(
            "SELECT COUNT(*) FROM information_schema.processlist WHERE id = {id} AND info LIKE '%digit t11%' AND command IN ('Query', 'Execute')"
        )
    }
}

fn a_running_statement_is_cancelled(server: &Server) {
    let Opened { db, database, .. } = &Opened::new(server);
    digits(db);
    let canceller = db.canceller();
    assert!(!canceller.cancel().unwrap(), "nothing runs");
    assert_eq!(db.query_value::<i64>("SELECT 1", ()).unwrap(), 1, "and it hits nothing that runs later");
    let (serial, running) = (db.serial(), running(server.kind(), db.server_connection_id().unwrap()));
    for _ in 0..3 {
        let canceller = canceller.clone();
        std::thread::scope(|scope| {
            let mut admin = database.admin();
            let running = &running;
            scope.spawn(move || {
                admin.wait_until_value(running, "1");
                assert!(canceller.cancel().unwrap());
            });
            let error = db.query(&endless(), ()).unwrap_err();
            assert!(error.is_cancelled() && !error.is_disconnect(), "{error:?}");
            assert_eq!(error.kind(), ErrorKind::Operational);
        });
        assert_eq!(db.query_value::<i64>("SELECT 2", ()).unwrap(), 2);
    }
    assert_eq!(db.serial(), serial, "it is the same connection");
}

/// Cancels and statements end in every order; what begins when both are over is never hit.
fn a_cancel_never_hits_the_next_statement(server: &Server) {
    const ROUNDS: usize = 50;
    let Opened { db, .. } = &Opened::new(server);
    digits(db);
    let canceller = db.canceller();
    let short = format!("SELECT count(*) FROM ({}) AS x WHERE number < 0", rows_of(4));
    let (begins, ends) = (Barrier::new(2), Barrier::new(2));
    let (asked, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let serial = db.serial();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0.. {
                begins.wait();
                if over.load(Ordering::SeqCst) {
                    return;
                }
                // From before the statement has been sent until after it has ended.
                std::thread::sleep(Duration::from_micros(u64::try_from(round % ROUNDS).unwrap() * 150));
                if canceller.cancel().unwrap() {
                    asked.fetch_add(1, Ordering::SeqCst);
                }
                ends.wait();
            }
        });
        for round in 0.. {
            // On a busy machine it may take a while until a cancel finds a statement that still runs.
            let met = asked.load(Ordering::SeqCst) > 0;
            over.store(round >= ROUNDS && (met || round >= 20 * ROUNDS), Ordering::SeqCst);
            begins.wait();
            if over.load(Ordering::SeqCst) {
                return;
            }
            let raced = db.query_value::<i64>(&short, ());
            ends.wait();
            if let Err(error) = raced {
                assert!(error.is_cancelled() && !error.is_disconnect(), "round {round}: {error:?}");
            }
            for n in 0..3 {
                assert_eq!(db.query_value::<i64>("SELECT ? + 0", params![n]).unwrap(), n, "round {round}");
            }
        }
    });
    assert!(asked.load(Ordering::SeqCst) > 0, "no cancel met a statement");
    assert_eq!(db.serial(), serial);
}

fn a_statement_runs_no_longer_than_its_limit(server: &Server) {
    let limit = Duration::from_millis(150);
    let Opened { db, .. } = &Opened::with(server, |settings| settings.statement_timeout(Some(limit)));
    digits(db);
    let serial = db.serial();
    for _ in 0..2 {
        let error = db.query(&endless(), ()).unwrap_err();
        assert!(error.is_cancelled() && !error.is_disconnect(), "{error:?}");
        assert!(error.message().contains("statement_timeout (150ms)"), "{error}");
        assert_eq!(db.query_value::<i64>("SELECT 3", ()).unwrap(), 3);
    }
    // MySQL's own limit is for SELECT alone.
    if server.kind() != Kind::Mysql {
        db.execute("CREATE TABLE t (a BIGINT)", ()).unwrap();
        let error = db.execute(&format!("INSERT INTO t {}", endless()), ()).unwrap_err();
        assert!(error.is_cancelled(), "{error:?}");
        assert_eq!(db.query_value::<i64>("SELECT count(*) FROM t", ()).unwrap(), 0);
    }
    assert_eq!(db.serial(), serial);
}

fn results_are_left_early(server: &Server) {
    for prepares in [true, false] {
        let Opened { db, .. } = &Opened::with(server, |settings| settings.prepared_statements(prepares));
        digits(db);
        let many = rows_of(5);
        let leave = |db: &Connection| {
            let mut seen = 0;
            let left = db.query_each(&many, (), |row| {
                row.get::<i64, _>("number")?;
                seen += 1;
                Ok(if seen == 5 { ControlFlow::Break(seen) } else { ControlFlow::Continue(()) })
            });
            assert_eq!(left.unwrap(), Some(5));
        };
        for _ in 0..3 {
            leave(db);
            assert_eq!(db.query_value::<i64>("SELECT 5", ()).unwrap(), 5);
        }
        let error = db.query_each::<()>(&many, (), |row| row.get::<Vec<u8>, _>(0).map(|_| ControlFlow::Continue(())));
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Data);
        assert_eq!(db.query_value::<i64>("SELECT 6", ()).unwrap(), 6);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            db.query_each::<()>(&many, (), |_| std::panic::resume_unwind(Box::new("on purpose")))
        }));
        assert_eq!(panicked.unwrap_err().downcast_ref::<&str>(), Some(&"on purpose"));
        assert_eq!(db.query_value::<i64>("SELECT 7", ()).unwrap(), 7);

        // Inside a transaction the connection is kept, and the work with it.
        db.execute("CREATE TABLE t (a INTEGER)", ()).unwrap();
        db.set_autocommit(false).unwrap();
        db.execute("INSERT INTO t VALUES (1)", ()).unwrap();
        let serial = db.serial();
        leave(db);
        db.execute("INSERT INTO t VALUES (2)", ()).unwrap();
        assert_eq!(db.serial(), serial, "prepares: {prepares}");
        db.commit().unwrap();
        db.set_autocommit(true).unwrap();
        assert_eq!(db.query_value::<i64>("SELECT count(*) FROM t", ()).unwrap(), 2);
    }
}

/// Four threads on two sessions of the server: what one prepares would not be there for its next statement.
fn a_pooler_in_transaction_mode(server: &Server) {
    const THREADS: i64 = 4;
    const STATEMENTS: i64 = 200;
    let pooler = PgBouncer::with_sessions(server, 2);
    let database = server.database();
    let pooled = settings(&database.url_via(pooler.port())).prepared_statements(false);
    let connections = dockline_tests::connections(pooled);
    let db = connections.get("default").unwrap();
    db.execute("CREATE TABLE pooled (thread INTEGER, n BIGINT, word TEXT)", ()).unwrap();
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let connections = connections.clone();
            std::thread::spawn(move || {
                let db = connections.get("default").unwrap();
                for n in 0..STATEMENTS {
                    db.execute("INSERT INTO pooled VALUES (?, ?, ?)", params![thread, n, format!("it's {n}")]).unwrap();
                    let word: String = db
                        .query_value("SELECT word FROM pooled WHERE thread = ? AND n = ?", params![thread, n])
                        .unwrap();
                    assert_eq!(word, format!("it's {n}"));
                    if n % 20 == 0 {
                        db.set_autocommit(false).unwrap();
                        db.execute("UPDATE pooled SET n = n + 1000 WHERE thread = ?", params![thread]).unwrap();
                        db.execute("UPDATE pooled SET n = n - 1000 WHERE thread = ?", params![thread]).unwrap();
                        if n % 40 == 0 {
                            db.commit().unwrap()
                        } else {
                            db.rollback().unwrap()
                        }
                        db.set_autocommit(true).unwrap();
                    }
                }
                let rows = (0..150).map(|n| params![thread, n + 10_000, "many"]);
                assert_eq!(db.execute_many("INSERT INTO pooled VALUES (?, ?, ?)", rows).unwrap(), 150);
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let (rows, sum): (i64, i64) =
        db.query_one("SELECT count(*), sum(n)::bigint FROM pooled WHERE n < 10000", ()).unwrap().decode().unwrap();
    assert_eq!((rows, sum), (THREADS * STATEMENTS, THREADS * STATEMENTS * (STATEMENTS - 1) / 2));
    assert_eq!(db.query_value::<i64>("SELECT count(*) FROM pooled WHERE word = 'many'", ()).unwrap(), THREADS * 150);
    assert!(database.admin().connections().len() <= 2, "the pooler holds more sessions than it was told");
}
