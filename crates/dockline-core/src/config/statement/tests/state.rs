use super::*;
use crate::config::session_state::StateKind::{self, *};
use StateChange::{EndsAll, EndsEverything};

fn makes(kind: StateKind, name: &str) -> StateChange {
    StateChange::Makes(kind, name.into())
}

fn local(kind: StateKind, name: &str) -> StateChange {
    StateChange::MakesLocal(kind, name.into())
}

fn ends(kind: StateKind, name: &str) -> StateChange {
    StateChange::Ends(kind, name.into())
}

#[test]
fn state_is_made_and_ended() {
    let rows: Vec<(&[Dialect], &str, Vec<StateChange>)> = vec![
        (ALL, "SELECT 1", vec![]),
        // Locks.
        (BOTH, "SELECT GET_LOCK('a', 1)", vec![makes(Lock, "a")]),
        (BOTH, "SELECT get_lock ( 'it''s', 10 ) AS got", vec![makes(Lock, "it's")]),
        (BOTH, "SELECT GET_LOCK(?, 1)", vec![makes(Lock, "")]),
        (BOTH, "SELECT GET_LOCK(CONCAT('a', 'b'), 1)", vec![makes(Lock, "")]),
        (BOTH, "SELECT RELEASE_LOCK('a')", vec![ends(Lock, "a")]),
        (BOTH, "DO RELEASE_LOCK('a')", vec![ends(Lock, "a")]),
        (BOTH, "DO GET_LOCK('a', 1), RELEASE_LOCK('b')", vec![makes(Lock, "a"), ends(Lock, "b")]),
        (BOTH, "SELECT RELEASE_LOCK('a') FROM dual", vec![ends(Lock, "a")]),
        (BOTH, "SELECT RELEASE_LOCK('a') FROM t", vec![]),
        (BOTH, "SELECT IF(?, RELEASE_LOCK('a'), 0)", vec![]),
        (BOTH, "SELECT 0 AND RELEASE_LOCK('a')", vec![]),
        (BOTH, "SELECT RELEASE_LOCK(?)", vec![]),
        (BOTH, "SELECT RELEASE_ALL_LOCKS()", vec![EndsAll(Lock)]),
        (BOTH, "UPDATE t SET a = 1 WHERE GET_LOCK('x', 1)", vec![makes(Lock, "x")]),
        (PG, "SELECT pg_advisory_lock(1)", vec![makes(Lock, "1")]),
        (PG, "SELECT pg_catalog.pg_advisory_lock(1)", vec![makes(Lock, "1")]),
        (PG, "SELECT pg_try_advisory_lock(1, -2)", vec![makes(Lock, "1, -2")]),
        (PG, "SELECT pg_try_advisory_lock_shared(1)", vec![makes(Lock, "1 (shared)")]),
        (PG, "SELECT pg_advisory_lock(hashtext('a'))", vec![makes(Lock, "")]),
        (PG, "SELECT pg_advisory_xact_lock(1)", vec![local(Lock, "1")]),
        (PG, "SELECT pg_try_advisory_xact_lock_shared(?)", vec![local(Lock, "")]),
        (PG, "SELECT pg_advisory_unlock(1)", vec![ends(Lock, "1")]),
        (PG, "SELECT pg_advisory_unlock_shared(1)", vec![ends(Lock, "1 (shared)")]),
        (PG, "SELECT pg_advisory_unlock_all()", vec![EndsAll(Lock)]),
        (PG, "SELECT pg_advisory_unlock(id) FROM t", vec![]),
        (BOTH, "LOCK TABLES t READ", vec![makes(TableLock, "")]),
        (BOTH, "UNLOCK TABLES", vec![ends(TableLock, ""), ends(TableLock, "FLUSH TABLES WITH READ LOCK")]),
        (
            BOTH,
            "FLUSH TABLES WITH READ LOCK",
            vec![makes(TableLock, "FLUSH TABLES WITH READ LOCK"), makes(TableLock, "")],
        ),
        (
            BOTH,
            "FLUSH LOCAL TABLES t FOR EXPORT",
            vec![makes(TableLock, "FLUSH TABLES WITH READ LOCK"), makes(TableLock, "")],
        ),
        (BOTH, "FLUSH PRIVILEGES", vec![]),
        (MY, "LOCK INSTANCE FOR BACKUP", vec![makes(TableLock, "backup")]),
        (MY, "UNLOCK INSTANCE", vec![ends(TableLock, "backup")]),
        (MARIA, "BACKUP STAGE START", vec![makes(TableLock, "backup")]),
        (MARIA, "BACKUP STAGE END", vec![ends(TableLock, "backup")]),
        (MARIA, "BACKUP LOCK t", vec![makes(TableLock, "backup")]),
        (MARIA, "BACKUP UNLOCK", vec![ends(TableLock, "backup")]),
        (PG, "LOCK TABLE t", vec![]),
        // Roles and users.
        (SERVERS, "SET ROLE r", vec![makes(Role, "")]),
        (BOTH, "SET ROLE NONE", vec![makes(Role, "")]),
        (BOTH, "SET ROLE DEFAULT", vec![ends(Role, "")]),
        (PG, "SET ROLE NONE", vec![ends(Role, "")]),
        (PG, "SET LOCAL ROLE r", vec![local(Role, "")]),
        (PG, "SET SESSION ROLE r", vec![makes(Role, "")]),
        (PG, "RESET ROLE", vec![ends(Role, "")]),
        (PG, "SET SESSION AUTHORIZATION u", vec![makes(Role, "session authorization")]),
        (PG, "SET SESSION SESSION AUTHORIZATION u", vec![makes(Role, "session authorization")]),
        (PG, "SET LOCAL SESSION AUTHORIZATION u", vec![local(Role, "session authorization")]),
        (PG, "RESET SESSION AUTHORIZATION", vec![ends(Role, "session authorization")]),
        // Settings.
        (PG, "SET TIME ZONE 'UTC'", vec![makes(Setting, "timezone")]),
        (PG, "set session search_path = a", vec![makes(Setting, "search_path")]),
        (PG, "SET app.tenant TO '7'", vec![makes(Setting, "app.tenant")]),
        (PG, "SET SCHEMA 'a'", vec![makes(Setting, "search_path")]),
        (PG, "SET a TO DEFAULT", vec![ends(Setting, "a")]),
        (PG, "RESET search_path", vec![ends(Setting, "search_path")]),
        (PG, "RESET ALL", vec![EndsAll(Setting), ends(CharacterSet, "")]),
        (PG, "SET LOCAL a = 1", vec![local(Setting, "a")]),
        (PG, "SET TRANSACTION READ ONLY", vec![]),
        (PG, "SET CONSTRAINTS ALL DEFERRED", vec![]),
        (PG, "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", vec![makes(Setting, "default_transaction")]),
        (PG, "SELECT set_config('a.b', 'c', false)", vec![makes(Setting, "a.b")]),
        (PG, "SELECT set_config('app.tenant', '7', true)", vec![local(Setting, "app.tenant")]),
        (PG, "SELECT set_config('role', f(1, 2), true)", vec![local(Role, "")]),
        (PG, "SELECT set_config('a', 'b', NOT true)", vec![makes(Setting, "a")]),
        (PG, "SELECT set_config('a', 'b', true AND false)", vec![makes(Setting, "a")]),
        (PG, "SELECT set_config(?, ?, ?)", vec![makes(Setting, "")]),
        (PG, "SET client_encoding = 'latin1'", vec![makes(CharacterSet, "")]),
        (PG, "SET NAMES 'latin1'", vec![makes(CharacterSet, "")]),
        (BOTH, "SET NAMES latin1 COLLATE latin1_bin, a = 1", vec![makes(CharacterSet, ""), makes(Setting, "a")]),
        (BOTH, "SET CHARACTER SET DEFAULT", vec![ends(CharacterSet, "")]),
        (BOTH, "SET character_set_results = NULL", vec![makes(CharacterSet, "")]),
        (
            BOTH,
            "SET SESSION a = (SELECT 1, 2), @@local.b = 2, @@c := 3",
            vec![makes(Setting, "a"), makes(Setting, "b"), makes(Setting, "c")],
        ),
        (BOTH, "SET GLOBAL a = 1, PERSIST b = 2, @@global.c = 3", vec![]),
        (BOTH, "SET @x = 1, @`Y` := 2", vec![makes(Variable, "@x"), makes(Variable, "@y"), makes(Variable, "@y")]),
        (BOTH, "SET TRANSACTION READ ONLY", vec![local(Setting, "transaction")]),
        (BOTH, "SET SESSION TRANSACTION READ ONLY", vec![makes(Setting, "transaction")]),
        (BOTH, "SET GLOBAL TRANSACTION READ ONLY", vec![]),
        (BOTH, "SET autocommit = 0", vec![]),
        (BOTH, "SET a = DEFAULT", vec![ends(Setting, "a")]),
        (BOTH, "SET RESOURCE GROUP rg", vec![makes(ResourceGroup, "")]),
        (MARIA, "SET STATEMENT max_statement_time = 1 FOR SELECT 1", vec![]),
        (BOTH, "USE b", vec![makes(Database, "")]),
        (LITE, "PRAGMA foreign_keys = ON", vec![makes(Setting, "foreign_keys")]),
        (LITE, "PRAGMA main.cache_size(100)", vec![makes(Setting, "cache_size")]),
        (LITE, "PRAGMA foreign_keys", vec![]),
        // Variables of the user's.
        (BOTH, "SELECT @a := 1", vec![makes(Variable, "@a")]),
        (BOTH, "SELECT 1, 2 INTO @a, @b", vec![makes(Variable, "@a"), makes(Variable, "@b")]),
        (BOTH, "CALL p(1, @out)", vec![makes(Variable, "@out")]),
        (BOTH, "LOAD DATA INFILE 'x' INTO TABLE t (a, @b)", vec![makes(Variable, "@b")]),
        (BOTH, "GET DIAGNOSTICS @n = NUMBER", vec![makes(Variable, "@n")]),
        (BOTH, "SELECT @@version, @a", vec![]),
        (BOTH, "INSERT INTO t VALUES ('a@example.org')", vec![]),
        (BOTH, "SELECT LAST_INSERT_ID(7)", vec![makes(LastInsertId, "")]),
        // Temporary tables.
        (ALL, "create Temporary table t as select 1", vec![makes(TemporaryTable, "t")]),
        (BOTH, "CREATE OR REPLACE TEMPORARY TABLE IF NOT EXISTS `T` (a int)", vec![makes(TemporaryTable, "t")]),
        (PG, "CREATE TEMP TABLE a (b int)", vec![makes(TemporaryTable, "a")]),
        (PG, "CREATE TEMP TABLE a (b int) ON COMMIT DROP", vec![local(TemporaryTable, "a")]),
        (PG, "create temporary view v as select 1", vec![makes(TemporaryTable, "v")]),
        (PG, "CREATE OR REPLACE TEMP VIEW v AS SELECT 1", vec![makes(TemporaryTable, "v")]),
        (PG, "CREATE LOCAL TEMP SEQUENCE s", vec![makes(TemporaryTable, "s")]),
        (PG, "CREATE TABLE pg_temp.a (b int)", vec![makes(TemporaryTable, "a")]),
        (PG, "WITH r AS (SELECT 1) SELECT * INTO TEMP t FROM r", vec![makes(TemporaryTable, "t")]),
        (PG, "SELECT 1 INTO TEMPORARY TABLE t", vec![makes(TemporaryTable, "t")]),
        (PG, "SELECT 1 INTO t", vec![]),
        (LITE, "CREATE TABLE temp.a (b)", vec![makes(TemporaryTable, "a")]),
        (BOTH, "DROP TEMPORARY TABLE IF EXISTS a, b", vec![ends(TemporaryTable, "a"), ends(TemporaryTable, "b")]),
        (ALL, "DROP TABLE a", vec![ends(TemporaryTable, "a")]),
        (PG, "DROP TABLE public.a", vec![]),
        (ALL, "CREATE TABLE kept (temp int, b int)", vec![]),
        (ALL, "CREATE TABLE temporary_things (a int)", vec![]),
        (ALL, "UPDATE job SET state = 'temporary'", vec![]),
        // Prepared statements, cursors, channels, libraries.
        (PG, "PREPARE a AS SELECT 1", vec![makes(PreparedStatement, "a")]),
        (BOTH, "PREPARE a FROM 'SELECT 1'", vec![makes(PreparedStatement, "a")]),
        (SERVERS, "DEALLOCATE PREPARE a", vec![ends(PreparedStatement, "a")]),
        (PG, "DEALLOCATE ALL", vec![EndsAll(PreparedStatement)]),
        (BOTH, "DROP PREPARE a", vec![ends(PreparedStatement, "a")]),
        (PG, "DECLARE c CURSOR WITH HOLD FOR SELECT 1", vec![makes(Cursor, "c")]),
        (PG, "DECLARE c CURSOR WITHOUT HOLD FOR SELECT 1", vec![local(Cursor, "c")]),
        (PG, "DECLARE c BINARY CURSOR FOR SELECT 'WITH HOLD'", vec![local(Cursor, "c")]),
        (PG, "CLOSE c", vec![ends(Cursor, "c")]),
        (PG, "CLOSE ALL", vec![EndsAll(Cursor)]),
        (PG, "LISTEN Jobs", vec![makes(Listener, "jobs")]),
        (PG, "LISTEN \"Jobs\"", vec![makes(Listener, "Jobs")]),
        (PG, "UNLISTEN jobs", vec![ends(Listener, "jobs")]),
        (PG, "UNLISTEN *", vec![EndsAll(Listener)]),
        (PG, "LOAD 'auto_explain'", vec![makes(Library, "")]),
        (PG, "DISCARD ALL", vec![EndsEverything]),
        (PG, "DISCARD TEMP", vec![EndsAll(TemporaryTable)]),
        (PG, "DISCARD PLANS", vec![]),
        (PG, "DISCARD SEQUENCES", vec![]),
        (BOTH, "HANDLER t OPEN", vec![makes(Handler, "t")]),
        (BOTH, "HANDLER t OPEN AS h", vec![makes(Handler, "h")]),
        (BOTH, "HANDLER h CLOSE", vec![ends(Handler, "h")]),
        (LITE, "ATTACH DATABASE 'x.db' AS x", vec![makes(AttachedDatabase, "x")]),
        (LITE, "DETACH x", vec![ends(AttachedDatabase, "x")]),
        // What is only planned ends nothing.
        (BOTH, "EXPLAIN SELECT RELEASE_LOCK('a')", vec![]),
    ];
    equal(&rows, |outline| outline.state().to_vec());
}

#[test]
fn what_outlives_the_transaction_may_be_held() {
    each(&[(PG, "SET a = 1"), (PG, "SELECT pg_advisory_lock(1)"), (SERVERS, "CALL p()")], Outline::may_hold_state);
    each(
        &[
            (PG, "SET LOCAL a = 1"),
            (PG, "SELECT set_config('a', '7', true)"),
            (PG, "SELECT pg_advisory_xact_lock(1)"),
            (ALL, "INSERT INTO t SELECT 1"),
        ],
        |outline| !outline.may_hold_state(),
    );
}
