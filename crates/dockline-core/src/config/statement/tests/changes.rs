use super::*;

#[test]
fn the_verb_stands_behind_what_comes_first() {
    let rows: Vec<(&[Dialect], &str, Verb)> = vec![
        (ALL, "/* a */ -- b\n SELECT 1", Verb::Select),
        (ALL, "((SELECT 1))", Verb::Select),
        (ALL, "WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x", Verb::Insert),
        (ALL, "with a as (select 1), b (update_it) as (values (1)) Delete from t", Verb::Delete),
        (ALL, "WITH a AS (SELECT ')') UPDATE t SET a = 1", Verb::Update),
        (
            PG,
            "WITH update AS (SELECT 1), values AS (SELECT 2) MERGE INTO t USING a ON b WHEN MATCHED THEN DELETE",
            Verb::Merge,
        ),
        (PG, "WITH d AS (DELETE FROM t RETURNING *) SELECT * FROM d", Verb::Select),
        (PG, "WITH \"insert\" AS (SELECT 1), delete_later AS (SELECT 2) TABLE delete_later", Verb::Table),
        (BOTH, "/* app */ CALL p()", Verb::Call),
        (BOTH, "/*! CALL */ p()", Verb::Call),
        (BOTH, "# x\nREPLACE INTO t VALUES (1)", Verb::Replace),
        (MARIA, "SET STATEMENT max_statement_time = 1 FOR DELETE FROM t", Verb::Delete),
        (MARIA, "lbl: BEGIN NOT ATOMIC SELECT 1; END", Verb::Block),
        (MARIA, "BEGIN NOT ATOMIC SELECT 1; END", Verb::Block),
        (ALL, "EXPLAIN DELETE FROM t", Verb::Explain),
        (PG, "EXPLAIN ANALYZE DELETE FROM t", Verb::Explain),
        (MARIA, "ANALYZE SELECT 1", Verb::Explain),
        (BOTH, "ANALYZE TABLE t", Verb::Maintain),
        (BOTH, "DESC t", Verb::Describe),
        (BOTH, "DESC SELECT 1", Verb::Explain),
        (PG, "COPY t FROM '/tmp/t'", Verb::Copy),
        (LITE, "\u{feff}SELECT 1", Verb::Select),
    ];
    equal(&rows, Outline::verb);
}

#[test]
fn a_count_is_of_rows_that_were_changed_where_the_verb_changes_rows() {
    each(
        &[
            (ALL, "INSERT INTO t VALUES (1)"),
            (ALL, "WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x"),
            (PG, "COPY t FROM '/tmp/t'"),
            (BOTH, "/*! DELETE */ FROM t"),
        ],
        |outline| outline.verb().changes_rows(),
    );
    each(
        &[
            (PG, "WITH d AS (DELETE FROM t RETURNING *) SELECT * FROM d"),
            (PG, "EXPLAIN ANALYZE DELETE FROM t"),
            (ALL, "SELECT 1"),
        ],
        |outline| !outline.verb().changes_rows(),
    );
}

#[test]
fn what_explain_does_with_its_statement() {
    let how = |sql, dialect| Outline::of(sql, dialect).explained();
    for sql in
        ["EXPLAIN ANALYZE SELECT 1", "EXPLAIN (ANALYZE, BUFFERS) SELECT 1", "EXPLAIN (BUFFERS, ANALYZE on) SELECT 1"]
    {
        assert_eq!(how(sql, Dialect::POSTGRES), Some(Explained::Run), "{sql}");
    }
    for sql in [
        "EXPLAIN SELECT 1",
        "EXPLAIN (ANALYZE 0) SELECT 1",
        "EXPLAIN (ANALYZE false) SELECT 1",
        "EXPLAIN VERBOSE SELECT 1",
    ] {
        assert_eq!(how(sql, Dialect::POSTGRES), Some(Explained::Planned), "{sql}");
    }
    assert_eq!(how("EXPLAIN ANALYZE FORMAT=TREE SELECT 1", Dialect::MYSQL), Some(Explained::Run));
    assert_eq!(how("EXPLAIN FORMAT=TREE SELECT 1", Dialect::MYSQL), Some(Explained::Planned));
    assert_eq!(how("ANALYZE SELECT 1", Dialect::MARIADB), Some(Explained::Run));
    assert_eq!(how("SELECT 1", Dialect::MARIADB), None);
}

#[test]
fn a_file_of_the_client_is_asked_for() {
    each(
        &[
            (BOTH, "LOAD DATA LOCAL INFILE 'x' INTO TABLE t"),
            (BOTH, "/* app */ LOAD DATA LOCAL INFILE 'x' INTO TABLE t"),
            (BOTH, "load data low_priority local infile 'x' into table t"),
            (BOTH, "LOAD XML CONCURRENT LOCAL INFILE 'x' INTO TABLE t"),
            (BOTH, "LOAD DATA /*!50000 LOCAL */ INFILE 'x' INTO TABLE t"),
            (BOTH, "/*!40000 LOAD */ DATA LOCAL INFILE 'x' INTO TABLE t"),
            (BOTH, "SELECT 1; LOAD DATA LOCAL INFILE 'x' INTO TABLE t"),
            (MARIA, "SET STATEMENT a = 1 FOR LOAD DATA LOCAL INFILE 'x' INTO TABLE t"),
            (PG, "COPY t FROM STDIN"),
            (PG, "COPY (SELECT ')') TO STDOUT WITH (FORMAT csv)"),
            (PG, "COPY t (a, b) FROM stdin"),
        ],
        Outline::asks_for_file,
    );
    each(
        &[
            (BOTH, "LOAD DATA INFILE 'x' INTO TABLE local"),
            (ALL, "SELECT 1"),
            (PG, "COPY t FROM '/tmp/stdin'"),
            (PG, "COPY stdin FROM '/tmp/t'"),
            (BOTH, "LOAD INDEX INTO CACHE t"),
        ],
        |outline| !outline.asks_for_file(),
    );
}

#[test]
fn what_changes_the_meaning_of_other_texts() {
    use Meaning::*;
    let rows: Vec<(&[Dialect], &str, Vec<Meaning>)> = vec![
        (BOTH, "USE b", vec![Database]),
        (PG, "SET search_path = a", vec![SearchPath]),
        (PG, "SET LOCAL search_path = a", vec![SearchPath]),
        (PG, "SET SCHEMA 'a'", vec![SearchPath]),
        (PG, "SELECT set_config('search_path', 'a', true)", vec![SearchPath]),
        (PG, "SELECT set_config('app.tenant', 'a', true)", vec![]),
        (PG, "SELECT set_config(?, 'a', true)", vec![SearchPath, SqlMode, Role, Authorization, CharacterSet, Strings]),
        (BOTH, "SET sql_mode = 'ANSI'", vec![SqlMode]),
        (BOTH, "SET @@session.sql_mode = '', NAMES latin1", vec![SqlMode, CharacterSet]),
        (BOTH, "SET GLOBAL sql_mode = ''", vec![]),
        (SERVERS, "SET ROLE r", vec![Role]),
        (PG, "RESET ROLE", vec![Role]),
        (PG, "SET SESSION AUTHORIZATION DEFAULT", vec![Authorization]),
        (PG, "SET standard_conforming_strings = off", vec![Strings]),
        (PG, "SET client_encoding TO latin1", vec![CharacterSet]),
        (PG, "CREATE TEMP TABLE sh (a int)", vec![TemporaryTables]),
        (PG, "SELECT 1 INTO TEMP t", vec![TemporaryTables]),
        (ALL, "DROP TABLE t", vec![TemporaryTables, Types]),
        (PG, "DISCARD TEMP", vec![TemporaryTables]),
        (PG, "CREATE TYPE c AS ENUM ('a')", vec![Types]),
        (PG, "DROP DOMAIN d", vec![Types]),
        (PG, "ALTER TYPE c ADD VALUE 'b'", vec![Types]),
        (LITE, "ATTACH 'x' AS x", vec![Attached]),
        (LITE, "DETACH DATABASE x", vec![Attached]),
        (ALL, "SELECT 'SET ROLE r'", vec![]),
        (ALL, "INSERT INTO t VALUES (1)", vec![]),
        (PG, "SET TIME ZONE 'UTC'", vec![]),
    ];
    let rows: Vec<_> = rows.into_iter().map(|(on, sql, set)| (on, sql, set.into_iter().collect())).collect();
    equal(&rows, Outline::meaning);
    assert_eq!(Outline::of("FROBNICATE", Dialect::POSTGRES).meaning(), Meanings::all());
}

#[test]
fn what_changes_a_schema() {
    each(
        &[
            (ALL, "CREATE TABLE t (a int)"),
            (ALL, "/* x */ ALTER TABLE t ADD b int"),
            (ALL, "DROP VIEW v"),
            (BOTH, "RENAME TABLE a TO b"),
            (PG, "SELECT 1 AS a INTO t"),
            (PG, "REFRESH MATERIALIZED VIEW v"),
        ],
        Outline::changes_schema,
    );
    each(&[(ALL, "SELECT 1"), (ALL, "INSERT INTO t VALUES (1)"), (PG, "SET a = 1")], |outline| {
        !outline.changes_schema()
    });
}

#[test]
fn what_locks() {
    each(
        &[
            (SERVERS, "SELECT * FROM t FOR UPDATE"),
            (PG, "LOCK TABLE t IN SHARE MODE"),
            (BOTH, "LOCK TABLES t READ"),
            (ALL, "UPDATE t SET a = 1"),
        ],
        Outline::locks_rows,
    );
    each(&[(ALL, "SELECT substring(a, 1) FROM t"), (PG, "SELECT substring(a for 2)")], |outline| !outline.locks_rows());
}
