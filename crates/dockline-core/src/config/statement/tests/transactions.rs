use super::*;
use TransactionChange::{Autocommit, Begin, Commit, Prepare, Release, Rollback, RollbackTo, Savepoint, Xa};

const COMMIT: TransactionChange = Commit { chain: false, release: false };
const ROLLBACK: TransactionChange = Rollback { chain: false, release: false };

#[test]
fn a_transaction_is_begun_and_ended() {
    let rows: Vec<(&[Dialect], &str, TransactionChange)> = vec![
        (ALL, "BEGIN", Begin),
        (ALL, " begin;", Begin),
        (BOTH, "BEGIN WORK", Begin),
        (PG, "/* a */ BEGIN ISOLATION LEVEL SERIALIZABLE", Begin),
        (LITE, "BEGIN IMMEDIATE TRANSACTION", Begin),
        (SERVERS, "-- x\nStart Transaction READ ONLY", Begin),
        (BOTH, "START TRANSACTION WITH CONSISTENT SNAPSHOT", Begin),
        (ALL, "COMMIT", COMMIT),
        (SERVERS, "COMMIT WORK", COMMIT),
        (SERVERS, "COMMIT AND NO CHAIN", COMMIT),
        (SERVERS, "COMMIT AND CHAIN", Commit { chain: true, release: false }),
        (BOTH, "COMMIT RELEASE", Commit { chain: false, release: true }),
        (BOTH, "COMMIT AND NO CHAIN NO RELEASE", COMMIT),
        (PG, "END", COMMIT),
        (LITE, "END TRANSACTION", COMMIT),
        (PG, "end work and chain", Commit { chain: true, release: false }),
        (PG, "abort", ROLLBACK),
        (ALL, "ROLLBACK", ROLLBACK),
        (SERVERS, "rollback work", ROLLBACK),
        (BOTH, "  rollback ;", ROLLBACK),
        (BOTH, "ROLLBACK RELEASE", Rollback { chain: false, release: true }),
        (BOTH, "/*! ROLLBACK */", ROLLBACK),
        (SERVERS, "ROLLBACK AND CHAIN", Rollback { chain: true, release: false }),
        (ALL, "SAVEPOINT a", Savepoint("a".into())),
        (PG, "savepoint \"A b\"", Savepoint("A b".into())),
        (LITE, "savepoint \"A b\"", Savepoint("a b".into())),
        (BOTH, "savepoint `A b`", Savepoint("a b".into())),
        (ALL, "RELEASE SAVEPOINT a", Release("a".into())),
        (PG, "RELEASE A", Release("a".into())),
        (ALL, "ROLLBACK TO a", RollbackTo("a".into())),
        (ALL, "ROLLBACK TO SAVEPOINT a", RollbackTo("a".into())),
        (SERVERS, "ROLLBACK WORK TO a", RollbackTo("a".into())),
        (LITE, "ROLLBACK TRANSACTION TO SAVEPOINT a", RollbackTo("a".into())),
        (PG, "PREPARE TRANSACTION 'a'", Prepare),
        (BOTH, "XA START 'a'", Xa(XaStep::Begin)),
        (BOTH, "XA END 'a'", Xa(XaStep::End)),
        (BOTH, "XA PREPARE 'a'", Xa(XaStep::Prepare)),
        (BOTH, "XA COMMIT 'a' ONE PHASE", Xa(XaStep::Commit)),
        (BOTH, "XA ROLLBACK 'a'", Xa(XaStep::Rollback)),
        (BOTH, "SET autocommit = 0", Autocommit(Some(false))),
        (BOTH, "SET @@session.autocommit = ON", Autocommit(Some(true))),
        (BOTH, "SET SESSION autocommit := 1, NAMES utf8mb4", Autocommit(Some(true))),
        (BOTH, "SET autocommit = @a", Autocommit(None)),
        (BOTH, "SET autocommit = 1 - 1", Autocommit(None)),
    ];
    let rows: Vec<_> = rows.into_iter().map(|(on, sql, change)| (on, sql, Some(change))).collect();
    equal(&rows, |outline| outline.transaction().cloned());
}

#[test]
fn other_statements_leave_the_transaction_alone() {
    each(
        &[
            (ALL, "SELECT 'commit'"),
            (ALL, "SELECT 1"),
            (PG, "COMMIT PREPARED 'a'"),
            (PG, "ROLLBACK PREPARED 'a'"),
            (PG, "PREPARE a AS SELECT 1"),
            (PG, "SET LOCAL a = 1"),
            (BOTH, "SET GLOBAL autocommit = 0"),
            (BOTH, "XA RECOVER"),
            (BOTH, "START REPLICA"),
            (MARIA, "BEGIN NOT ATOMIC SELECT 1; END"),
        ],
        |outline| outline.transaction().is_none(),
    );
    each(&[(ALL, "COMMIT FOO AND"), (ALL, "SELECT 1")], |outline| !matches!(outline.transaction(), Some(Begin)));
    each(&[(PG, "START x"), (BOTH, "END"), (ALL, "SAVEPOINT")], |outline| !outline.is_known());
}

#[test]
fn what_ends_a_transaction_is_told_from_what_goes_on_with_another() {
    let ends = |sql, dialect| Outline::of(sql, dialect).transaction().is_some_and(TransactionChange::ends);
    for sql in ["COMMIT", "  rollback ;", "COMMIT WORK", "ROLLBACK RELEASE", "/* x */ COMMIT"] {
        assert!(ends(sql, Dialect::MYSQL), "{sql}");
    }
    for sql in ["", "ROLLBACK TO a", "rollback to savepoint a", "COMMIT AND CHAIN", "SELECT 'commit'"] {
        assert!(!ends(sql, Dialect::MYSQL), "{sql}");
    }
}

#[test]
fn what_commits_by_itself() {
    each(
        &[
            (BOTH, "CREATE TABLE t (n int)"),
            (BOTH, " drop table t"),
            (BOTH, "/* a */ TRUNCATE t"),
            (BOTH, "-- b\nlock tables t read"),
            (BOTH, "UNLOCK TABLES"),
            (SERVERS, "CALL p()"),
            (BOTH, "/*!50000 CREATE */ TABLE t (n int)"),
            (BOTH, "ALTER TABLE t ADD a int"),
            (BOTH, "GRANT SELECT ON t TO u"),
            (BOTH, "SET PASSWORD = 'x'"),
            (BOTH, "RENAME TABLE a TO b"),
            (BOTH, "ANALYZE TABLE t"),
            (BOTH, "OPTIMIZE TABLE t"),
            (BOTH, "FLUSH TABLES"),
            (BOTH, "RESET MASTER"),
            (BOTH, "CREATE PROCEDURE p() SELECT 1"),
            (BOTH, "BEGIN"),
            (BOTH, "START TRANSACTION"),
            (BOTH, "DROP DATABASE d"),
            (BOTH, "CREATE TABLE temporary_things (a int)"),
            (MARIA, "SET STATEMENT max_statement_time = 1 FOR ALTER TABLE t ADD b int"),
            (MARIA, "BEGIN NOT ATOMIC COMMIT; END"),
            (PG, "DO $$ BEGIN COMMIT; END $$"),
        ],
        Outline::commits_by_itself,
    );
    each(
        &[
            (ALL, "INSERT INTO t VALUES (1)"),
            (BOTH, "CREATE TEMPORARY TABLE t (n int)"),
            (BOTH, "DROP TEMPORARY TABLE t"),
            (ALL, "SAVEPOINT s1"),
            (ALL, "SELECT 'drop'"),
            (ALL, "(SELECT 1)"),
            (PG, "CREATE TABLE t (n int)"),
            (LITE, "DROP TABLE t"),
            (BOTH, "SET NAMES utf8mb4"),
            (BOTH, "CHECKSUM TABLE t"),
        ],
        |outline| !outline.commits_by_itself() && !outline.may_commit(),
    );
    each(&[(ALL, "COMMIT"), (PG, "END"), (BOTH, "SET autocommit = 1"), (BOTH, "XA COMMIT 'a'")], Outline::may_commit);
}

#[test]
fn what_stands_alone() {
    each(
        &[
            (PG, "VACUUM"),
            (PG, "VACUUM ANALYZE t"),
            (PG, "CREATE DATABASE d"),
            (PG, "DROP DATABASE d"),
            (PG, "CREATE INDEX CONCURRENTLY i ON t (a)"),
            (PG, "CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)"),
            (PG, "DROP INDEX CONCURRENTLY i"),
            (PG, "REINDEX TABLE CONCURRENTLY t"),
            (PG, "REINDEX DATABASE d"),
            (PG, "ALTER SYSTEM SET a = 1"),
            (PG, "CLUSTER"),
            (PG, "DISCARD ALL"),
            (PG, "COMMIT PREPARED 'a'"),
            (PG, "ALTER TABLE t DETACH PARTITION p CONCURRENTLY"),
            (LITE, "VACUUM"),
        ],
        Outline::stands_alone,
    );
    each(
        &[
            (PG, "CREATE INDEX i ON t (a)"),
            (PG, "REINDEX TABLE t"),
            (PG, "CLUSTER t USING i"),
            (BOTH, "DROP DATABASE d"),
        ],
        |outline| !outline.stands_alone(),
    );
}

#[test]
fn what_may_stop_half_way() {
    each(
        &[
            (SERVERS, "CALL p()"),
            (SERVERS, "/* app */ CALL p()"),
            (BOTH, "/*! CALL p() */"),
            (BOTH, "CALL db.p(@a, ?)"),
            (PG, "DO $$ BEGIN END $$"),
            (SERVERS, "EXECUTE a"),
            (MARIA, "EXECUTE IMMEDIATE 'DROP TABLE t'"),
            (MARIA, "BEGIN NOT ATOMIC SELECT 1; END"),
            (MARIA, "l: LOOP SELECT 1; END LOOP"),
            (MARIA, "SET STATEMENT max_statement_time = 1 FOR CALL p()"),
        ],
        |outline| outline.may_stop_half_way() && outline.runs_code() && outline.may_hold_state() && outline.is_known(),
    );
    each(&[(ALL, "SELECT f(1)"), (ALL, "INSERT INTO t VALUES (f(1))"), (BOTH, "DO f(1)")], |outline| {
        outline.runs_code() && !outline.may_stop_half_way()
    });
    each(&[(ALL, "INSERT INTO t (a, b) VALUES (1, lower('A'))"), (ALL, "INSERT INTO s.t(a) SELECT 1")], |outline| {
        !outline.runs_code()
    });
}
