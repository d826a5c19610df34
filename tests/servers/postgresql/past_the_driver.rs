//! A prepared statement goes past the driver. What is not as it should be in its answer is the driver's to read, wherever it stands.

use std::ops::ControlFlow;
use std::time::Duration;

use dockline::{Connection, Error, ErrorKind, Result, params, postgres};
use dockline_tests::certificates::Certificates;
use dockline_tests::proxy::Proxy;
use dockline_tests::servers::{Kind, Server};
use postgres::fallible_iterator::FallibleIterator;

use crate::case::{Case, case};
use crate::opened::{Opened, settings};

pub(super) fn cases() -> Vec<Case> {
    let only = |case: Case| case.only(&[Kind::Postgres]);
    vec![
        only(case!(a_notice_among_rows_takes_none_away)),
        only(case!(an_error_among_rows_ends_them)),
        only(case!(who_wants_no_more_rows_is_given_none)),
        only(case!(one_row_is_one_in_a_transaction_and_outside)),
        only(case!(what_the_server_reports_and_tells_on_the_way_arrives)),
        only(case!(errors_between_statements_that_are_dropped)),
        only(case!(what_the_program_prepared_itself_is_no_hindrance)),
        only(case!(long_parameters_arrive_whole)),
        only(case!(a_row_larger_than_every_buffer)),
        only(case!(answers_in_pieces_of_every_size)),
        only(case!(a_value_that_does_not_fit_is_the_same_error_each_time)),
        only(case!(all_of_it_under_encryption)).private(),
    ]
}

fn all_of_it_under_encryption(kind_of: &Server) {
    let certificates = Certificates::new();
    let server = Server::builder(kind_of.kind()).tls(&certificates).start();
    let is_encrypted = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    assert!(Opened::new(&server).db.query_value::<bool>(is_encrypted, ()).unwrap());
    for test in [
        a_notice_among_rows_takes_none_away,
        an_error_among_rows_ends_them,
        who_wants_no_more_rows_is_given_none,
        one_row_is_one_in_a_transaction_and_outside,
        what_the_server_reports_and_tells_on_the_way_arrives,
        errors_between_statements_that_are_dropped,
        long_parameters_arrive_whole,
        a_row_larger_than_every_buffer,
        answers_in_pieces_of_every_size,
    ] {
        test(&server);
    }
}

/// `odd(n, at, what)` is n; at that number it raises a notice (1) or an error (2).
fn with_odd(server: &Server) -> Opened<'_> {
    let opened = Opened::new(server);
    let odd = "CREATE FUNCTION odd(n integer, at integer, what integer) RETURNS integer LANGUAGE plpgsql AS $$ BEGIN
        IF n = at AND what = 1 THEN RAISE NOTICE 'look'; END IF;
        IF n = at AND what = 2 THEN RAISE EXCEPTION 'no more'; END IF;
        RETURN n; END $$";
    opened.db.execute(odd, ()).unwrap();
    opened
}

const ODD: &str = "SELECT odd(g, ?, ?), repeat('x', 40) FROM generate_series(1, ?) g";
/// So many rows come in many pieces.
const MANY: i32 = 20_000;

fn first_columns(rows: Vec<(i32, String)>) -> Vec<i32> {
    rows.into_iter().map(|(number, _)| number).collect()
}

fn a_notice_among_rows_takes_none_away(server: &Server) {
    let opened = with_odd(server);
    let db = &opened.db;
    let serial = db.serial();
    for count in [1, 10, MANY] {
        let wanted: Vec<i32> = (1..=count).collect();
        for at in [1, 2, count / 2, count] {
            let all = db.query_as(ODD, params![at, 1, count]).unwrap();
            assert_eq!(first_columns(all), wanted, "a notice at {at} of {count}");
            let mut each = Vec::new();
            let left = db.query_each(ODD, params![at, 1, count], |row| {
                each.push(row.get::<i32, _>(0)?);
                Ok(ControlFlow::<()>::Continue(()))
            });
            assert_eq!((left.unwrap(), each), (None, wanted.clone()), "a notice at {at} of {count}");
            assert_eq!(db.execute(ODD, params![at, 1, count]).unwrap(), 0, "nothing was changed");
        }
    }
    assert_eq!(db.query_value::<i32>("SELECT odd(?, 7, 1)", params![7]).unwrap(), 7);
    assert_eq!(db.serial(), serial);
}

fn an_error_among_rows_ends_them(server: &Server) {
    let opened = with_odd(server);
    let db = &opened.db;
    let serial = db.serial();
    let is_it = |error: &Error| error.message().contains("no more") && error.code().as_deref() == Some("P0001");
    for count in [1, 10, MANY] {
        for at in [1, 2.min(count), count / 2 + 1, count] {
            let error = db.query(ODD, params![at, 2, count]).unwrap_err();
            assert!(is_it(&error), "{error:?}");
            let error = db.execute(ODD, params![at, 2, count]).unwrap_err();
            assert!(is_it(&error), "{error:?}");
            let mut each = Vec::new();
            let error = db
                .query_each(ODD, params![at, 2, count], |row| {
                    each.push(row.get::<i32, _>(0)?);
                    Ok(ControlFlow::<()>::Continue(()))
                })
                .unwrap_err();
            assert!(is_it(&error), "{error:?}");
            assert_eq!(each, (1..at).collect::<Vec<_>>(), "an error at {at} of {count}");
        }
    }
    // In a transaction it is the transaction's, too.
    let error = db.atomic(|| db.query_value::<i32>("SELECT odd(?, 7, 2)", params![7])).unwrap_err();
    assert!(is_it(&error), "{error:?}");
    assert_eq!(db.query_value::<i32>("SELECT odd(?, 7, 2)", params![8]).unwrap(), 8);
    assert_eq!(db.serial(), serial);
}

fn who_wants_no_more_rows_is_given_none(server: &Server) {
    let opened = with_odd(server);
    let db = &opened.db;
    // A function may do anything, so its result is drained and never left.
    for (what, at) in [(0, 1), (1, 15), (1, MANY - 1), (2, 15), (2, MANY - 1)] {
        let mut given = 0;
        let result: Result<Option<i32>> = db.query_each(ODD, params![at, what, MANY], |row| {
            given += 1;
            let number = row.get::<i32, _>(0)?;
            Ok(if number == 10 { ControlFlow::Break(number) } else { ControlFlow::Continue(()) })
        });
        assert_eq!(given, 10, "{what} at {at}");
        match result {
            Ok(number) => assert_eq!((number, what == 2), (Some(10), false)),
            Err(error) => assert!(what == 2 && error.message().contains("no more"), "{error:?}"),
        }
        assert_eq!(db.query_value::<i32>("SELECT ?::integer", params![at]).unwrap(), at);
    }
}

fn one_row_is_one_in_a_transaction_and_outside(server: &Server) {
    let opened = Opened::new(server);
    let db = &opened.db;
    const SQL: &str = "SELECT g FROM generate_series(1, ?) g";
    let serial = {
        db.ensure_connection().unwrap();
        db.serial()
    };
    let check = || -> Result<()> {
        for count in [0, 1, 2, 3, 100, 101, 5_000] {
            match (count, db.query_opt(SQL, params![count])) {
                (0, Ok(None)) => {}
                (1, Ok(Some(row))) => assert_eq!(row.get::<i32, _>(0)?, 1),
                (2.., Err(error)) => assert_eq!(error.kind(), ErrorKind::Data, "{error:?}"),
                (_, other) => panic!("{count} rows: {other:?}"),
            }
            assert_eq!(db.query_value::<i32>("SELECT ?::integer", params![count])?, count);
        }
        Ok(())
    };
    check().unwrap();
    db.atomic(check).unwrap();
    db.atomic(|| db.query_opt(SQL, params![1]).map(drop)).unwrap();
    assert_eq!(db.serial(), serial, "nothing was lost");
}

fn what_the_server_reports_and_tells_on_the_way_arrives(server: &Server) {
    let opened = Opened::new(server);
    let db = &opened.db;
    db.execute("LISTEN here", ()).unwrap();
    for n in 0..3 {
        let name = format!("name {n}");
        let set: String =
            db.query_value("SELECT set_config('application_name', ?, false)", params![name.as_str()]).unwrap();
        assert_eq!(set, name);
        db.query("SELECT pg_notify('here', ?)", params![name.as_str()]).unwrap();
        assert_eq!(db.query_value::<String>("SHOW application_name", ()).unwrap(), name);
    }
    let heard = db.native::<postgres::Client, _>(|client| {
        let mut heard = Vec::new();
        while let Some(notification) = client.notifications().iter().next()? {
            heard.push(notification.payload().to_owned());
        }
        Ok::<_, postgres::Error>(heard)
    });
    assert_eq!(heard.unwrap().unwrap(), ["name 0", "name 1", "name 2"]);
}

fn errors_between_statements_that_are_dropped(server: &Server) {
    let opened = Opened::with(server, |settings| settings.statement_cache(2));
    let db = &opened.db;
    db.execute("CREATE TABLE t (a integer PRIMARY KEY)", ()).unwrap();
    db.execute("INSERT INTO t VALUES (?)", params![0]).unwrap();
    let serial = db.serial();
    for round in 0..20 {
        for text in 0..5 {
            let sql = format!("SELECT ?::integer + {text}");
            assert_eq!(db.query_value::<i32>(&sql, params![round]).unwrap(), round + text);
            let error = db.execute("INSERT INTO t VALUES (?)", params![0]).unwrap_err();
            assert_eq!((error.kind(), error.may_have_executed()), (ErrorKind::Integrity, false), "{error:?}");
        }
        assert_eq!(db.execute("INSERT INTO t VALUES (?)", params![round + 1]).unwrap(), 1);
    }
    assert_eq!(db.query_value::<i64>("SELECT count(*) FROM t", ()).unwrap(), 21);
    assert!(db.query_value::<i64>("SELECT count(*) FROM pg_prepared_statements", ()).unwrap() <= 4);
    assert_eq!(db.serial(), serial);
}

fn what_the_program_prepared_itself_is_no_hindrance(server: &Server) {
    let opened = Opened::new(server);
    let db: &Connection = &opened.db;
    db.execute("CREATE TABLE t (a integer PRIMARY KEY)", ()).unwrap();
    let insert = |number: i32| db.execute("INSERT INTO t VALUES (?)", params![number]);
    insert(1).unwrap();
    let prepared =
        db.native::<postgres::Client, _>(|client| ["SELECT 1", "SELECT 2"].map(|sql| client.prepare(sql).unwrap()));
    let mut kept = prepared.unwrap().to_vec();
    let serial = db.serial();
    while kept.pop().is_some() {
        // The driver tells the server of it with what it sends next.
        assert_eq!(insert(1).unwrap_err().kind(), ErrorKind::Integrity);
        assert_eq!(db.query_value::<i64>("SELECT count(*) FROM t", ()).unwrap(), 1);
    }
    assert_eq!(db.serial(), serial);
}

fn long_parameters_arrive_whole(server: &Server) {
    let opened = Opened::new(server);
    let db = &opened.db;
    for length in [0, 1, 15 << 10, 16 << 10, 17 << 10, 1 << 20, 0] {
        let text = "ü".repeat(length / 2);
        assert_eq!(db.query_value::<String>("SELECT ?::text", params![text.as_str()]).unwrap(), text, "{length} bytes");
    }
}

fn a_value_that_does_not_fit_is_the_same_error_each_time(server: &Server) {
    let opened = Opened::new(server);
    let db = &opened.db;
    db.execute("CREATE TABLE t (a smallint)", ()).unwrap();
    let insert = |number: i64| db.execute("INSERT INTO t VALUES (?)", params![number]);
    assert_eq!(insert(1).unwrap(), 1);
    let errors: Vec<String> = (0..3).map(|_| insert(70_000).unwrap_err().to_string()).collect();
    assert!(errors.iter().all(|error| *error == errors[0]), "{errors:?}");
    assert_eq!(insert(2).unwrap(), 1);
    assert_eq!(db.query_value::<i64>("SELECT sum(a) FROM t", ()).unwrap(), 3);
}

fn a_row_larger_than_every_buffer(server: &Server) {
    const LENGTH: usize = 24 << 20;
    let opened = Opened::new(server);
    let db = &opened.db;
    const SQL: &str = "SELECT g, convert_to(repeat('x', ?::integer), 'UTF8') FROM generate_series(1, ?) g";
    let length = i32::try_from(LENGTH).unwrap();
    db.execute(SQL, params![1, 1]).unwrap();
    let is_whole = |bytes: &[u8]| bytes.len() == LENGTH && bytes.iter().all(|byte| *byte == b'x');
    let one: (i32, Vec<u8>) = db.query_as(SQL, params![length, 1]).unwrap().remove(0);
    assert!(is_whole(&one.1));
    let row = db.query_one(SQL, params![length, 1]).unwrap();
    assert!(is_whole(row.get::<&[u8], _>(1).unwrap()));
    assert_eq!(db.execute(SQL, params![length, 2]).unwrap(), 0);
    assert_eq!(db.query_value::<i32>("SELECT ?::integer", params![3]).unwrap(), 3);
}

/// Through a proxy that hands the server's bytes on one by one.
fn answers_in_pieces_of_every_size(server: &Server) {
    let opened = with_odd(server);
    let witness = &opened.db;
    witness.execute("CREATE TYPE mood AS ENUM ('sad', 'happy')", ()).unwrap();
    witness
        .execute("CREATE TABLE t (a INTEGER PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, m mood DEFAULT 'sad')", ())
        .unwrap();
    let proxy = Proxy::start(server.address());
    let url = opened.database.url().replace(&format!(":{}/", server.port()), &format!(":{}/", proxy.port()));
    for (prepares, micros) in [(true, 0), (true, 50), (false, 0), (false, 50)] {
        witness.execute("DELETE FROM t", ()).unwrap();
        let connections = dockline_tests::connections(settings(&url).prepared_statements(prepares));
        let db = connections.get("default").unwrap();
        db.ensure_connection().unwrap();
        let serial = db.serial();
        proxy.drip_after(0, Duration::from_micros(micros));
        for round in 0..3_i32 {
            for (what, at) in [(0, 1), (1, 1), (1, 4), (2, 4), (2, 6)] {
                match (what, db.query_as::<(i32, String)>(ODD, params![at, what, 6])) {
                    (0 | 1, Ok(rows)) => assert_eq!(first_columns(rows), [1, 2, 3, 4, 5, 6]),
                    (2, Err(error)) => assert_eq!(error.code().as_deref(), Some("P0001"), "{error:?}"),
                    (_, other) => panic!("{what} at {at}: {other:?}"),
                }
                let result = db.atomic(|| {
                    let n: i32 = db.query_value("SELECT odd(?, ?, ?)", params![at, 4, what])?;
                    assert_eq!(n, at);
                    db.query_value::<String>(
                        "SELECT set_config('application_name', ?, false)",
                        params![format!("r {round}")],
                    )?;
                    db.execute("INSERT INTO t VALUES (?)", params![round])?;
                    let of_t = db.query_as::<(i32, String)>("SELECT a, m FROM t WHERE a = ?", params![round])?;
                    assert!(of_t.iter().all(|row| *row == (round, "sad".to_owned())), "{of_t:?}");
                    db.atomic(|| db.execute("INSERT INTO t VALUES (?)", params![round]))
                });
                let error = result.unwrap_err();
                let wanted = if what == 2 && at == 4 { "P0001" } else { "23505" };
                assert_eq!(error.code().as_deref(), Some(wanted), "{error:?}");
                assert!(!db.in_atomic_block());
                let of_t = db.query_as::<(i32, String)>("SELECT 1, m FROM t WHERE a = ?", params![round]).unwrap();
                assert!(of_t.is_empty());
            }
            // One row too many leaves the rest of its chunk on the way.
            match (round, db.atomic(|| db.query_opt("SELECT g FROM generate_series(1, ?) g", params![round]))) {
                (0, Ok(None)) | (1, Ok(Some(_))) => {}
                (2, Err(error)) => assert_eq!(error.kind(), ErrorKind::Data, "{error:?}"),
                (_, other) => panic!("{round} rows: {other:?}"),
            }
        }
        assert_eq!(db.serial(), serial, "{prepares}, {micros} µs");
        assert_eq!(witness.query_value::<i64>("SELECT count(*) FROM t", ()).unwrap(), 0);
        proxy.pass();
    }
}
