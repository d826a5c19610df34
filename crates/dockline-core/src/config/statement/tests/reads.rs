use super::*;

#[test]
fn what_only_reads_is_known_to() {
    each(
        &[
            (ALL, "SELECT 1"),
            (
                ALL,
                "select a, lower(b), count(*) from t where c in (1, 2) and (d or not (e)) group by a having max(b) > 1",
            ),
            (ALL, "/* app */ -- x\n ( (SELECT 1) )"),
            (ALL, "(SELECT 1) UNION ALL (SELECT 2) ORDER BY 1"),
            (ALL, "WITH a (b, c) AS (SELECT 1, 2), d AS (SELECT 3) SELECT * FROM a JOIN d USING (b)"),
            (ALL, "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 9) SELECT sum(n) FROM r"),
            (ALL, "WITH \"insert\" AS (SELECT 1), delete_later AS (SELECT 2) SELECT * FROM delete_later"),
            (ALL, "VALUES (1), (2)"),
            (&[Dialect::POSTGRES, Dialect::MYSQL], "TABLE t"),
            (ALL, "SELECT a AS update_it, t.update, t.\"delete\" FROM t AS u(x)"),
            (ALL, "SELECT 'nextval(1); DELETE FROM t', \"a;b\" FROM t"),
            (ALL, "SELECT CAST(a AS decimal(10, 2)), CASE WHEN (a) THEN (b) ELSE (c) END FROM t"),
            (ALL, "SELECT row_number() OVER (PARTITION BY a ORDER BY b), sum(a) FILTER (WHERE (b)) FROM t"),
            (ALL, "SELECT * FROM t WHERE a = ? AND b LIKE ? LIMIT ?"),
            (SERVERS, "SHOW server_version"),
            (ALL, "EXPLAIN SELECT * FROM t"),
            (ALL, "EXPLAIN UPDATE t SET a = 1"),
            (ALL, "EXPLAIN WITH a AS (SELECT 1) SELECT * FROM a"),
            (PG, "EXPLAIN (FORMAT json, ANALYZE off) DELETE FROM t"),
            (PG, "EXPLAIN (ANALYZE) SELECT 1"),
            (PG, "EXPLAIN ANALYZE VERBOSE SELECT 1"),
            (PG, "SELECT a::numeric(10, 2), b->>'c', d ?? 'e', f @> g, h[1:2] FROM t WHERE i = ANY (ARRAY[1, 2])"),
            (PG, "SELECT pg_catalog.lower('A') || pg_catalog . upper (a) FROM t"),
            (PG, "SELECT DISTINCT ON (a) * FROM t TABLESAMPLE system (10), LATERAL (SELECT 1) AS l"),
            (PG, "SELECT * FROM generate_series(1, 10) WITH ORDINALITY AS g(a, b)"),
            (PG, "WITH a AS NOT MATERIALIZED (SELECT 1), b AS MATERIALIZED (SELECT 2) TABLE b"),
            (PG, "WITH RECURSIVE a(n) AS (SELECT 1) SEARCH DEPTH FIRST BY n SET o SELECT * FROM a"),
            (PG, "SELECT count(*) FROM t GROUP BY GROUPING SETS ((a), (b)), ROLLUP (c)"),
            (PG, "SELECT now() AT TIME ZONE 'UTC', timestamp with time zone 'now'"),
            (PG, "SELECT $$ DELETE FROM t; $$, $a$ nextval('s') $a$"),
            (PG, r"SELECT '\', 'DELETE'"),
            (PG, r"SELECT E'\'; DELETE FROM t; --'"),
            (BOTH, r"SELECT 'a\'; DELETE FROM t; -- '"),
            (BOTH, "SELECT @a, @@version, @@session.sql_mode, 'a'@'b'"),
            (BOTH, "SELECT * FROM t USE INDEX (a) WHERE MATCH (b) AGAINST ('c' WITH QUERY EXPANSION)"),
            (BOTH, "SELECT a FROM t PARTITION (p0) GROUP BY a WITH ROLLUP"),
            (
                BOTH,
                "SELECT DATE_ADD(a, INTERVAL (b) DAY), CONVERT(c, CHAR(10)), INSERT(d, 1, 2, 'x'), IF(a, b, c) FROM t",
            ),
            (BOTH, "SELECT /*! STRAIGHT_JOIN */ * FROM a, b"),
            (BOTH, "SELECT /*+ MAX_EXECUTION_TIME(1000) */ * FROM t # ; DELETE FROM t"),
            (BOTH, "DESCRIBE t"),
            (BOTH, "DESC t a"),
            (BOTH, "EXPLAIN t"),
            (BOTH, "EXPLAIN FORMAT=JSON SELECT * FROM t"),
            (BOTH, "EXPLAIN FOR CONNECTION 5"),
            (BOTH, "SHOW CREATE TABLE t"),
            (BOTH, "DO 0"),
            (BOTH, "DO SLEEP(1)"),
            (BOTH, "CHECKSUM TABLE t"),
            (MARIA, "SET STATEMENT max_statement_time = 60, sort_buffer_size = (1 + 2) FOR SELECT * FROM t"),
            (MARIA, "ANALYZE FORMAT=JSON SELECT * FROM t"),
            (MARIA, "ANALYZE SELECT * FROM t"),
            (LITE, "SELECT [a;b], `c;d`, changes(), json_extract(e, '$.x') FROM t, json_each(t.f)"),
            (LITE, "PRAGMA table_info(t)"),
            (LITE, "PRAGMA user_version"),
            (LITE, "EXPLAIN QUERY PLAN SELECT 1"),
        ],
        |outline| outline.reads_only() && !outline.writes() && outline.is_known() && !outline.may_stop_half_way(),
    );
}

#[test]
fn what_is_not_known_to_only_read_is_not_said_to() {
    each(
        &[
            (ALL, "SELECT claim(id) FROM job"),
            (ALL, "SELECT lower(claim(id)) FROM job"),
            (ALL, "SELECT app.lower(id) FROM job"),
            (LITE, "SELECT * FROM t WHERE a = \"claim\"(b)"),
            (PG, "SELECT * FROM t WHERE a = \"claim\"(b)"),
            (BOTH, "SELECT * FROM t WHERE a = `claim`(b)"),
            (ALL, "SELECT * FROM t JOIN u ON claim(t.id)"),
            (ALL, "WITH x AS (SELECT claim(1)) SELECT * FROM x"),
            (ALL, "WITH x AS (SELECT 1) SELECT claim(1)"),
            (ALL, "SELECT max(a) OVER (ORDER BY claim(b)) FROM t"),
            (ALL, "EXPLAIN SELECT claim(1)"),
            (SERVERS, "SELECT * FROM t FOR UPDATE"),
            (SERVERS, "SELECT * FROM (SELECT * FROM t FOR SHARE) AS u"),
            (SERVERS, "SELECT * FROM t FOR UPDATE SKIP LOCKED"),
            (PG, "SELECT * FROM t FOR NO KEY UPDATE"),
            (PG, "SELECT * FROM t FOR KEY SHARE OF t NOWAIT"),
            (BOTH, "SELECT * FROM t LOCK IN SHARE MODE"),
            (PG, "SELECT * INTO u FROM t"),
            (PG, "SELECT nextval('s')"),
            (PG, "SELECT pg_advisory_xact_lock(1)"),
            (PG, "SELECT pg_notify('a', 'b')"),
            (PG, "SELECT set_config('a.b', 'c', true)"),
            (PG, "SELECT setseed(0.5)"),
            (PG, "SELECT date_format(a, '%Y') FROM t"),
            (PG, "WITH d AS (DELETE FROM t RETURNING *) SELECT * FROM d"),
            (PG, "WITH a AS (SELECT 1), d AS MATERIALIZED (UPDATE t SET a = 1 RETURNING *) TABLE d"),
            (PG, "WITH a AS (WITH b AS (SELECT 1) INSERT INTO t SELECT * FROM b RETURNING *) SELECT * FROM a"),
            (PG, "EXPLAIN ANALYZE DELETE FROM t"),
            (PG, "EXPLAIN (COSTS off, ANALYZE) INSERT INTO t VALUES (1)"),
            (PG, "EXPLAIN (ANALYZE true) UPDATE t SET a = 1"),
            (PG, "FETCH 10 FROM c"),
            (MY, "EXPLAIN ANALYZE DELETE FROM t"),
            (MARIA, "ANALYZE DELETE FROM t"),
            (MARIA, "SELECT NEXT VALUE FOR s"),
            (MARIA, "SELECT s.nextval"),
            (BOTH, "SELECT GET_LOCK('a', 1)"),
            (BOTH, "SELECT @a := 1"),
            (BOTH, "SELECT 1 INTO @a"),
            (BOTH, "SELECT * FROM t INTO OUTFILE '/tmp/x'"),
            (BOTH, "SELECT LAST_INSERT_ID(5)"),
            (BOTH, "DO GET_LOCK('a', 1)"),
            (BOTH, "DO my_function()"),
            (BOTH, "SELECT db.f(1)"),
            (BOTH, "SELECT /*! claim(1), */ 2"),
            (MY, "SELECT /*!99999 1, */ 2"),
            (MARIA, "SELECT /*!100100 1, */ 2"),
            (LITE, "PRAGMA journal_mode = WAL"),
            (LITE, "PRAGMA wal_checkpoint(TRUNCATE)"),
            (LITE, "SELECT load_extension('x')"),
            (ALL, "SELECT 1; SELECT claim(2)"),
            (ALL, "SAVEPOINT a"),
            (ALL, "BEGIN"),
            (ALL, "FROBNICATE t"),
            (ALL, "42"),
            (ALL, ""),
        ],
        |outline| !outline.reads_only(),
    );
}

#[test]
fn what_is_unknown_is_treated_as_the_worst() {
    each(
        &[
            (ALL, ""),
            (ALL, "FROBNICATE t"),
            (ALL, "(FROBNICATE)"),
            (ALL, "42"),
            (ALL, "WITH"),
            (ALL, "WITH a AS (SELECT 1)"),
            (ALL, "\"SELECT\" 1"),
            (MY, "/*!99999 SELECT */ 1"),
            (MARIA, "/*M!100100 SELECT */ 1"),
            (PG, "SET"),
            (PG, "REPLACE INTO t VALUES (1)"),
            (LITE, "SET a = 1"),
            (MY, "ABORT"),
        ],
        |outline| {
            !outline.is_known()
                && !outline.reads_only()
                && outline.writes()
                && outline.runs_code()
                && outline.may_stop_half_way()
                && outline.may_commit()
                && outline.may_hold_state()
        },
    );
}

#[test]
fn the_version_of_the_server_decides_about_comments_that_run() {
    let reads = |sql, dialect: Dialect| Outline::of(sql, dialect).reads_only();
    assert!(reads("SELECT /*!50000 1, */ 2", Dialect::MYSQL.with_version(80_036)));
    assert!(!reads("SELECT /*!50000 claim(1), */ 2", Dialect::MYSQL.with_version(80_036)));
    assert!(reads("SELECT /*!90000 claim(1), */ 2", Dialect::MYSQL.with_version(80_036)));
    assert!(!reads("SELECT /*!100100 claim(1), */ 2", Dialect::MARIADB.with_version(101_106)));
    assert!(reads("SELECT /*!80000 claim(1), */ 2", Dialect::MARIADB.with_version(101_106)));
    assert!(!reads("SELECT /*M!100100 claim(1), */ 2", Dialect::MARIADB.with_version(101_106)));
    assert!(reads("SELECT /*M!100100 claim(1), */ 2", Dialect::MYSQL.with_version(90_700)));
    assert!(reads("SELECT /*! claim(1) */ 2", Dialect::POSTGRES));
}

#[test]
fn rows_are_given() {
    each(
        &[
            (ALL, "SELECT 1"),
            (ALL, "INSERT INTO t VALUES (1) RETURNING id"),
            (ALL, "WITH a AS (SELECT 1) DELETE FROM t RETURNING *"),
            (SERVERS, "SHOW a"),
            (ALL, "EXPLAIN DELETE FROM t"),
            (SERVERS, "CALL p()"),
            (BOTH, "OPTIMIZE TABLE t"),
            (PG, "FETCH c"),
        ],
        Outline::gives_rows,
    );
    each(
        &[
            (ALL, "INSERT INTO t VALUES ('RETURNING')"),
            (ALL, "UPDATE t SET a = 1"),
            (ALL, "COMMIT"),
            (BOTH, "SELECT 1 INTO @a"),
            (PG, "SELECT 1 AS a INTO t"),
        ],
        |outline| !outline.gives_rows(),
    );
}

#[test]
fn the_statement_before_is_used() {
    each(
        &[
            (BOTH, "INSERT INTO child VALUES (LAST_INSERT_ID(), 1)"),
            (BOTH, "insert into child select last_insert_id(), 1"),
            (BOTH, "INSERT INTO a.child (n) SELECT LAST_INSERT_ID()"),
            (BOTH, "SELECT ROW_COUNT()"),
            (BOTH, "SELECT FOUND_ROWS ( )"),
            (BOTH, "SELECT @@identity"),
            (BOTH, "SELECT @@session.last_insert_id"),
            (BOTH, "SHOW WARNINGS"),
            (BOTH, "GET DIAGNOSTICS @n = NUMBER"),
            (PG, "SELECT lastval()"),
            (PG, "INSERT INTO child VALUES (currval('s'))"),
            (LITE, "SELECT last_insert_rowid(), changes()"),
        ],
        Outline::uses_last_statement,
    );
    each(&[(ALL, "SELECT 'LAST_INSERT_ID()'"), (ALL, "SELECT 1"), (BOTH, "SELECT @identity")], |outline| {
        !outline.uses_last_statement()
    });
}
