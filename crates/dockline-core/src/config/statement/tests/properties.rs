use proptest::prelude::*;

use super::*;

/// Texts whose tokens are taken apart and put together again.
const TEXTS: &[(Dialect, &str)] = &[
    (Dialect::SQLITE, "SELECT lower ( a ) FROM t WHERE b = ?"),
    (Dialect::SQLITE, "PRAGMA foreign_keys = ON"),
    (Dialect::SQLITE, "CREATE TRIGGER x AFTER INSERT ON t BEGIN DELETE FROM u ; SELECT CASE a WHEN 1 THEN 2 END ; END"),
    (Dialect::POSTGRES, "WITH d AS ( DELETE FROM t RETURNING * ) SELECT * FROM d"),
    (Dialect::POSTGRES, "SELECT set_config ( 'app.tenant' , '7' , true )"),
    (Dialect::POSTGRES, "SELECT pg_advisory_lock ( 1 , 2 )"),
    (Dialect::POSTGRES, "ROLLBACK WORK TO SAVEPOINT a"),
    (Dialect::POSTGRES, "EXPLAIN ( ANALYZE , BUFFERS ) UPDATE t SET a = f ( 1 )"),
    (Dialect::POSTGRES, "CREATE TEMP TABLE a ( b int ) ON COMMIT DROP"),
    (Dialect::POSTGRES, "SET SESSION AUTHORIZATION u"),
    (Dialect::POSTGRES, "CREATE FUNCTION f ( ) RETURNS int BEGIN ATOMIC SELECT 1 ; SELECT 2 ; END"),
    (Dialect::MYSQL, "SELECT @a := GET_LOCK ( 'x' , 1 )"),
    (Dialect::MYSQL, "LOAD DATA LOCAL INFILE 'x' INTO TABLE t"),
    (Dialect::MYSQL, "CALL db . p ( @out , ? )"),
    (Dialect::MYSQL, "SET SESSION sql_mode = '' , NAMES latin1 , autocommit = 0"),
    (Dialect::MYSQL, "CREATE TABLE event ( a INT ) ; DELETE FROM t"),
    (Dialect::MYSQL, "CREATE DEFINER = a@b PROCEDURE p ( ) BEGIN IF a THEN SELECT 1 ; END IF ; END"),
    (Dialect::MARIADB, "SET STATEMENT max_statement_time = 1 FOR ALTER TABLE t ADD a int"),
    (Dialect::MARIADB, "BEGIN NOT ATOMIC SELECT 1 ; SELECT 2 ; END"),
    (Dialect::MARIADB, "SELECT NEXT VALUE FOR s"),
];

/// The case of letters, where it says nothing.
fn cased(word: &str, upper: bool) -> String {
    if word.starts_with('\'') {
        word.to_owned()
    } else if upper {
        word.to_uppercase()
    } else {
        word.to_lowercase()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn comments_space_and_case_change_no_outline(
        at in 0..TEXTS.len(),
        gaps in prop::collection::vec((prop::sample::select(vec![" ", "\n\t", " /* ; ( ' */ ", " -- ) ; \" x\n", "/**/"]), any::<bool>()), 40),
        front in prop::sample::select(vec!["", " ", "/* CALL p() */", "-- DROP\n", "\n/* a */ -- b\n"]),
    ) {
        let (dialect, sql) = TEXTS[at];
        let mut varied = String::from(front);
        for (word, (gap, upper)) in sql.split(' ').zip(gaps.iter().cycle()) {
            varied.push_str(&cased(word, *upper));
            varied.push_str(gap);
        }
        prop_assert_eq!(Outline::of(&varied, dialect), Outline::of(sql, dialect), "{}", varied);
    }

    #[test]
    fn parentheses_around_a_query_change_no_outline(depth in 1..5_usize, at in 0..4_usize) {
        let sql = ["SELECT claim(a), lower(b) FROM t WHERE c = ?", "VALUES (1)", "SELECT 1", "WITH a AS (SELECT 1) SELECT * FROM a"][at];
        for dialect in ALL {
            let wrapped = format!("{}{sql}{}", "( ".repeat(depth), ")".repeat(depth));
            prop_assert_eq!(Outline::of(&wrapped, *dialect), Outline::of(sql, *dialect), "{}", wrapped);
        }
    }

    #[test]
    fn tokens_are_the_whole_text(sql in r#"[?'"`$eEuU&xN@:/*!M0-9#a\\\[\]é;().,\r\n -]{0,60}"#) {
        for dialect in ALL {
            for dialect in [*dialect, dialect.with_backslash_escapes(true), dialect.with_ansi_quotes(true), dialect.with_version(80_000)] {
                let mut end = 0;
                for token in Tokens::new(&sql, dialect) {
                    prop_assert_eq!(token.start, end);
                    prop_assert!(!token.text.is_empty());
                    end = token.end();
                }
                prop_assert_eq!(end, sql.len());
            }
        }
    }

    #[test]
    fn any_text_has_an_outline(words in prop::collection::vec(prop::sample::select(vec![
        "SELECT", "WITH", "AS", "(", ")", ",", ";", "BEGIN", "END", "IF", "CASE", "LOOP", "NOT", "ATOMIC", "CREATE", "PROCEDURE", "PACKAGE",
        "TRIGGER", "FUNCTION", "DEFINER", "=", "@", "@a", ":=", ".", "a", "'x'", "\"y\"", "SET", "STATEMENT", "FOR", "EXPLAIN", "ANALYZE", "INTO",
        "TEMP", "TABLE", "DROP", "EXISTS", "GET_LOCK", "set_config", "1", "-", "/*!", "*/", "/*!99999", "--", "\n", "XA", "COMMIT", "AND", "CHAIN",
        "ROLLBACK", "TO", "SAVEPOINT", "RESET", "ROLE", "DECLARE", "CURSOR", "HANDLER", "COPY", "FROM", "STDIN", "PRAGMA", "$$", "é",
    ]), 0..24)) {
        let sql = words.join(" ");
        for dialect in ALL {
            let outline = Outline::of(&sql, *dialect);
            prop_assert!(!(outline.reads_only() && outline.writes()), "{}", sql);
            prop_assert!(outline.is_known() || (outline.writes() && !outline.reads_only()), "{}", sql);
        }
    }
}

#[test]
fn a_long_text_is_read_in_one_go() {
    // Each of these would take very long if reading went over the rest of the text for every token.
    for piece in [
        "(",
        "$a$",
        "'",
        "/*",
        "/*!",
        "e'a' ",
        "WITH a AS (",
        "CASE ",
        "a.",
        "@",
        "; ",
        "[",
        "--",
        "f(",
        "/*!99999 ",
        "set_config(",
        "EXPLAIN ",
        "SET STATEMENT a = 1 FOR ",
        "a: ",
    ] {
        let sql = format!("SELECT {}", piece.repeat(4_000));
        for dialect in ALL {
            assert_eq!(Tokens::new(&sql, *dialect).map(|token| token.text.len()).sum::<usize>(), sql.len());
            let _ = Outline::of(&sql, *dialect);
            let _ = Outline::of(&piece.repeat(4_000), *dialect);
        }
    }
}
