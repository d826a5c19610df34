//! Blocks of a connection that has run several: by then their beginnings and ends are prepared.

use dockline::{Atomic, Connection, Error, IsolationLevel, params};
use dockline_tests::servers::Server;
use mysql::prelude::Queryable;

use crate::case::{Case, case};
use crate::opened::Opened;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case!(the_switches_of_blocks_are_prepared_where_statements_are),
        case!(every_block_is_one_transaction_whatever_commits_inside),
        case!(options_hold_for_one_block),
        case!(a_reset_of_the_driver_s_leaves_no_number_behind),
        case!(without_room_for_prepared_statements_blocks_run_as_text)
            .own_server_with(|builder| builder.setting("max_prepared_stmt_count", "1")),
    ]
}

/// More than it takes until they are prepared.
const BLOCKS: i64 = 6;

fn counted(db: &Connection, name: &str) -> i64 {
    let rows = db.query(&format!("SHOW SESSION STATUS LIKE '{name}'"), ()).unwrap();
    rows[0].get::<String, _>(1).unwrap().parse().unwrap()
}

fn empty_blocks(db: &Connection) {
    for _ in 0..BLOCKS {
        db.atomic(|| Ok::<_, Error>(())).unwrap();
    }
}

fn the_switches_of_blocks_are_prepared_where_statements_are(server: &Server) {
    for prepares in [true, false] {
        let Opened { db, .. } = &Opened::with(server, |settings| settings.prepared_statements(prepares));
        empty_blocks(db);
        let before = counted(db, "Com_stmt_execute");
        empty_blocks(db);
        let executed = counted(db, "Com_stmt_execute") - before;
        let wanted = if prepares { 2 * BLOCKS..2 * BLOCKS + 2 } else { 0..1 };
        assert!(wanted.contains(&executed), "prepares: {prepares}: {executed}");
    }
}

fn every_block_is_one_transaction_whatever_commits_inside(server: &Server) {
    let Opened { db, .. } = &Opened::new(server);
    db.execute("CREATE TABLE t (n INTEGER PRIMARY KEY)", ()).unwrap();
    let insert = |n: i64| db.execute("INSERT INTO t VALUES (?)", params![n]);
    for block in 0..BLOCKS {
        let failed = db.atomic(|| {
            insert(3 * block)?;
            assert_eq!(db.query_value::<i64>("SELECT @@autocommit", ())?, 0);
            db.execute(&format!("CREATE TABLE other_{block} (n INTEGER)"), ())?;
            insert(3 * block + 1)?;
            Err::<(), _>(Error::new(dockline::ErrorKind::Data, "undo it"))
        });
        assert_eq!(failed.unwrap_err().message(), "undo it");
        db.atomic(|| insert(3 * block + 2)).unwrap();
        assert!(db.autocommit().unwrap() && db.query_value::<i64>("SELECT @@autocommit", ()).unwrap() == 1);
        db.rollback().unwrap();
    }
    let there: Vec<(i64,)> = db.query_as("SELECT n FROM t ORDER BY n", ()).unwrap();
    let wanted = (0..3 * BLOCKS).filter(|n| n % 3 != 1);
    assert!(there.into_iter().map(|(n,)| n).eq(wanted), "what stood before the CREATE TABLE, and what was committed");
}

fn options_hold_for_one_block(server: &Server) {
    let opened = Opened::new(server);
    let (db, mut other) = (&opened.db, opened.database.admin());
    db.execute("CREATE TABLE t (v INTEGER)", ()).unwrap();
    db.execute("INSERT INTO t VALUES (0)", ()).unwrap();
    let v = || db.query_value::<i64>("SELECT sum(v) FROM t", ());
    for block in 0..BLOCKS {
        let options = Atomic::new().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
        db.atomic_with(options, || {
            assert_eq!(v()?, 2 * block);
            other.execute("UPDATE t SET v = v + 1");
            assert_eq!(v()?, 2 * block, "the block reads one snapshot");
            Ok::<_, Error>(())
        })
        .unwrap();
        db.atomic(|| {
            assert_eq!(v()?, 2 * block + 1);
            other.execute("UPDATE t SET v = v + 1");
            assert_eq!(v()?, 2 * block + 2, "this one reads what is committed");
            Ok::<_, Error>(())
        })
        .unwrap();
    }
}

fn a_reset_of_the_driver_s_leaves_no_number_behind(server: &Server) {
    let Opened { db, .. } = &Opened::new(server);
    db.execute("CREATE TABLE t (n INTEGER PRIMARY KEY)", ()).unwrap();
    let there = || db.query_value::<i64>("SELECT count(*) FROM t", ()).unwrap();
    for round in 0..3 {
        empty_blocks(db);
        db.native(|conn: &mut mysql::Conn| conn.reset()).unwrap().unwrap();
        // The numbers begin anew: one of these statements has that of a switch.
        for n in 0..10 {
            db.execute(&format!("INSERT INTO t VALUES (? + {n})"), params![round * 10]).unwrap();
        }
        let before = there();
        empty_blocks(db);
        assert_eq!(there(), before, "no block ran another statement");
    }
    assert_eq!(there(), 30);
}

fn without_room_for_prepared_statements_blocks_run_as_text(server: &Server) {
    let opened = Opened::new(server);
    let (db, mut other) = (&opened.db, opened.database.admin());
    db.execute("CREATE TABLE t (n INTEGER PRIMARY KEY)", ()).unwrap();
    for n in 0..BLOCKS {
        db.atomic(|| db.execute("INSERT INTO t VALUES (?)", params![n])).unwrap();
    }
    db.native(|conn: &mut mysql::Conn| conn.query_drop("DO 0")).unwrap().unwrap();
    for n in BLOCKS..2 * BLOCKS {
        db.atomic(|| db.execute("INSERT INTO t VALUES (?)", params![n])).unwrap();
    }
    assert_eq!(other.value("SELECT count(*) FROM t").as_deref(), Some("12"));
}
