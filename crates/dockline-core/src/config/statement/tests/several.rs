use super::*;

#[test]
fn nothing_is_no_statement() {
    each(
        &[
            (ALL, ""),
            (ALL, " ;\n;"),
            (ALL, "-- x"),
            (ALL, "/* x */ -- y\n"),
            (ALL, "/* not closed"),
            (BOTH, "/* x */ # y"),
            (PG, "/* a /* b */ c */"),
            (MY, "/*M! SELECT 1 */"),
            (PG, "/*! SELECT 1 */"),
        ],
        |outline| outline.statements() == Statements::None,
    );
}

#[test]
fn one_statement_a_text() {
    each(
        &[
            (ALL, "SELECT 1;"),
            (ALL, "SELECT ';'; -- and a comment"),
            (ALL, "SELECT 1 ;;"),
            (PG, "; SELECT 1"),
            (BOTH, "/*!50000 SELECT 1 */"),
            (BOTH, "CREATE PROCEDURE p() BEGIN SELECT 1; SELECT 2; END"),
            (BOTH, "CREATE PROCEDURE p() BEGIN SELECT 1; SELECT 2; END;"),
            (BOTH, "create definer=`a`@`b` trigger x before insert on t for each row begin set @a=1; end"),
            (BOTH, "CREATE DEFINER = 'a'@'%' PROCEDURE p(IN a INT) COMMENT 'x;y' BEGIN END"),
            (BOTH, "CREATE DEFINER=CURRENT_USER() PROCEDURE p() BEGIN SELECT 1; END"),
            (
                BOTH,
                "CREATE OR REPLACE FUNCTION f(a INT) RETURNS INT DETERMINISTIC BEGIN IF a THEN RETURN 1; ELSEIF a > 1 THEN RETURN 2; ELSE RETURN 3; END IF; END",
            ),
            (BOTH, "CREATE FUNCTION f(a INT) RETURNS INT RETURN IF(a, 1, 2)"),
            (
                BOTH,
                "CREATE PROCEDURE p() BEGIN DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN ROLLBACK; END; SELECT CASE WHEN 1 THEN 2 END; END",
            ),
            (BOTH, "CREATE PROCEDURE p() BEGIN CASE a WHEN 1 THEN SELECT 1; ELSE SELECT 2; END CASE; SELECT 3; END"),
            (BOTH, "CREATE PROCEDURE p() l: LOOP SELECT 1; LEAVE l; END LOOP"),
            (
                BOTH,
                "CREATE PROCEDURE p() BEGIN l: WHILE a DO SELECT 1; END WHILE l; REPEAT SELECT 2; UNTIL b END REPEAT; END",
            ),
            (BOTH, "CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW FOLLOWS y BEGIN SET NEW.a = 1; END"),
            (
                BOTH,
                "CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW IF NEW.a THEN SET NEW.b = 1; SET NEW.c = 2; END IF",
            ),
            (BOTH, "CREATE EVENT IF NOT EXISTS e ON SCHEDULE EVERY 1 DAY DO BEGIN DELETE FROM t; DELETE FROM u; END"),
            (BOTH, "CREATE PROCEDURE p() BEGIN BEGIN SELECT 1; END; BEGIN END; END"),
            (MARIA, "BEGIN NOT ATOMIC SELECT 1; SELECT 2; END"),
            (MARIA, "/* x */ begin not atomic DECLARE a INT; SET a = 1; END;"),
            (MARIA, "IF 1 THEN SELECT 1; SELECT 2; END IF"),
            (MARIA, "FOR i IN 1..3 DO SELECT i; SELECT 2; END FOR"),
            (MARIA, "CREATE PROCEDURE p AS a INT; b INT; BEGIN SELECT 1; END"),
            (
                MARIA,
                "CREATE OR REPLACE PACKAGE BODY x AS a INT; PROCEDURE p AS b INT; BEGIN SELECT 1; END; BEGIN SELECT 2; END",
            ),
            (MARIA, "CREATE PACKAGE x AS PROCEDURE p(); FUNCTION f() RETURN INT; END"),
            (
                PG,
                "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT CASE WHEN a THEN 1 END; END",
            ),
            (PG, "CREATE FUNCTION f() RETURNS int AS $$ BEGIN SELECT 1; SELECT 2; END $$ LANGUAGE plpgsql"),
            (PG, "CREATE FUNCTION f() RETURNS int AS $a$ BEGIN $b$;$b$; END $a$ LANGUAGE plpgsql;"),
            (PG, "DO $$ BEGIN PERFORM 1; COMMIT; END $$"),
            (PG, "CREATE RULE r AS ON INSERT TO t DO ALSO (DELETE FROM u; DELETE FROM v)"),
            (PG, r"SELECT '\'"),
            (
                LITE,
                "CREATE TRIGGER x AFTER INSERT ON t BEGIN DELETE FROM u; UPDATE v SET a = CASE b WHEN 1 THEN 2 END; END",
            ),
            (
                LITE,
                "CREATE TEMP TRIGGER IF NOT EXISTS x AFTER UPDATE OF a ON t WHEN CASE NEW.a WHEN 1 THEN 0 END BEGIN SELECT 1; END",
            ),
        ],
        |outline| outline.statements() == Statements::One,
    );
}

#[test]
fn several_statements_are_told_from_one() {
    each(
        &[
            (ALL, "SELECT 1; SELECT 2"),
            (ALL, "SELECT 1;; SELECT 2;"),
            (ALL, "CREATE TABLE t (a int); DROP TABLE u"),
            (ALL, "CREATE TABLE event (a INT); DELETE FROM t"),
            (ALL, "CREATE TABLE t (a INT) /* procedure begin */; DELETE FROM t"),
            (ALL, "CREATE VIEW function AS SELECT 1; DELETE FROM t"),
            (ALL, "BEGIN; COMMIT"),
            (BOTH, ";x"),
            (BOTH, "CREATE PROCEDURE p() SELECT 1; DELETE FROM t"),
            (BOTH, "CREATE PROCEDURE p() SELECT 1 AS x; DELETE FROM t"),
            (BOTH, "CREATE PROCEDURE p() BEGIN SELECT 1; END; DELETE FROM t"),
            (BOTH, "CREATE FUNCTION f(a INT) RETURNS INT RETURN a IS NULL; DELETE FROM t"),
            (BOTH, "CREATE FUNCTION f(a INT) RETURNS INT RETURN IF(a, 1, 2); DELETE FROM t"),
            (BOTH, "CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW SET NEW.a = 1; DELETE FROM t"),
            (BOTH, "CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO DELETE FROM t; DELETE FROM u"),
            (BOTH, "CREATE DEFINER=`a`@`procedure` VIEW v AS SELECT 1; DELETE FROM t"),
            (BOTH, "CREATE PROCEDURE p() BEGIN SELECT end FROM t; END; DELETE FROM u"),
            (BOTH, "SELECT 1 -- x\n; SELECT 2"),
            (BOTH, "SELECT 1/*! ; DELETE FROM t */"),
            (BOTH, "SELECT 1--1; DELETE FROM t"),
            (BOTH, "DROP PROCEDURE p; DELETE FROM t"),
            (MARIA, "BEGIN NOT ATOMIC SELECT 1; END; DELETE FROM t"),
            (MARIA, "CREATE PROCEDURE p AS BEGIN SELECT 1; END; DELETE FROM t"),
            (PG, "SELECT 1 --x\rDELETE FROM t; DELETE FROM u"),
            (PG, "CREATE FUNCTION f() RETURNS int AS 'SELECT 1' LANGUAGE sql; DELETE FROM t"),
            (PG, "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; END; DELETE FROM t"),
            (PG, "SELECT '\\'; DELETE FROM t"),
            (PG, "SELECT `; DELETE FROM t"),
            (PG, "SELECT $1; DELETE FROM t WHERE a = $1"),
            (LITE, "CREATE TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; END; DELETE FROM t"),
            (LITE, "SELECT [a; b]; DELETE FROM t"),
        ],
        |outline| outline.statements() == Statements::Several && outline.may_stop_half_way(),
    );
}

#[test]
fn several_do_what_each_of_them_does() {
    let outline = Outline::of("SELECT 1; LISTEN a; CALL p(); LOCK TABLE t", Dialect::POSTGRES);
    assert_eq!(outline.verb(), Verb::Select);
    assert!(outline.runs_code() && outline.locks_rows() && outline.gives_rows() && !outline.reads_only());
    assert_eq!(outline.state(), [StateChange::Makes(crate::backend::StateKind::Listener, "a".into())]);
    let outline = Outline::of("SELECT 1; SELECT 2", Dialect::POSTGRES);
    assert!(outline.reads_only() && outline.transaction().is_none());
    let outline = Outline::of("BEGIN; INSERT INTO t VALUES (1); COMMIT", Dialect::POSTGRES);
    assert_eq!(outline.transaction(), Some(&TransactionChange::Unknown));
}
