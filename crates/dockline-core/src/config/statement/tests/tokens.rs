use super::*;
use TokenKind::*;

fn kinds(sql: &str, dialect: Dialect) -> Vec<(TokenKind, &str)> {
    Tokens::new(sql, dialect).filter(|token| !token.is_gap()).map(|token| (token.kind, token.text)).collect()
}

#[test]
fn each_server_quotes_in_its_own_way() {
    for (dialect, sql, kind) in [
        (Dialect::SQLITE, "[a b]", QuotedName),
        (Dialect::SQLITE, "`a``b`", QuotedName),
        (Dialect::SQLITE, "\"a\"\"b\"", QuotedName),
        (Dialect::SQLITE, "'it''s'", Text),
        (Dialect::SQLITE, "x'00'", Text),
        (Dialect::SQLITE, "?1", OwnPlaceholder),
        (Dialect::SQLITE, ":name", OwnPlaceholder),
        (Dialect::SQLITE, "@name", OwnPlaceholder),
        (Dialect::SQLITE, "$name", OwnPlaceholder),
        (Dialect::POSTGRES, "$1", OwnPlaceholder),
        (Dialect::POSTGRES, "$$ ' $$", Text),
        (Dialect::POSTGRES, "$a$ $$ $b$ $a$", Text),
        (Dialect::POSTGRES, r"E'\''", Text),
        (Dialect::POSTGRES, "e'a'\n  -- x\n '\\''", Text),
        (Dialect::POSTGRES, r"'\'", Text),
        (Dialect::POSTGRES, r"U&'\'", Text),
        (Dialect::POSTGRES, "U&\"a b\"", QuotedName),
        (Dialect::POSTGRES, "N'a'", Text),
        (Dialect::POSTGRES, "B'01'", Text),
        (Dialect::POSTGRES, "\"a b\"", QuotedName),
        (Dialect::POSTGRES.with_backslash_escapes(true), r"'\''", Text),
        (Dialect::MYSQL, r"'\''", Text),
        (Dialect::MYSQL, r#""\"""#, Text),
        (Dialect::MYSQL, r"N'\''", Text),
        (Dialect::MYSQL, "`a\\`", QuotedName),
        (Dialect::MYSQL, "@a", Variable),
        (Dialect::MYSQL, "@'a b'", Variable),
        (Dialect::MYSQL, "@`a b`", Variable),
        (Dialect::MYSQL, "@@global.a", Variable),
        (Dialect::MYSQL, "1abc", Word),
        (Dialect::MYSQL, "$abc", Word),
        (Dialect::MYSQL.with_version(90_000), "$$ ; $$", Text),
        (Dialect::MYSQL.with_backslash_escapes(false), r"'\'", Text),
        (Dialect::MYSQL.with_ansi_quotes(true), r#""\""#, QuotedName),
        (Dialect::MARIADB, "0x1F", Number),
    ] {
        assert_eq!(kinds(sql, dialect), [(kind, sql)], "{dialect:?}");
    }
}

#[test]
fn comments_end_where_the_server_ends_them() {
    for (dialect, sql, count) in [
        (Dialect::SQLITE, "a -- b\rc\nd", 2),
        (Dialect::POSTGRES, "a -- b\rc\nd", 3),
        (Dialect::POSTGRES, "a /* /* */ b */ c", 2),
        (Dialect::SQLITE, "/* /* */ a", 1),
        (Dialect::POSTGRES, "1 # 2", 3),
        (Dialect::MYSQL, "1 # 2", 1),
        (Dialect::MYSQL, "1--1", 4),
        (Dialect::MYSQL, "1--\t1", 1),
        (Dialect::MYSQL, "1--", 1),
        (Dialect::POSTGRES, "1--1", 1),
        (Dialect::MYSQL, "a /*+ b */ c", 2),
        (Dialect::MYSQL, "a /*! b */ c", 3),
        (Dialect::MYSQL.with_version(80_000), "a /*!90000 b /* x */ c */ d", 2),
        (Dialect::MYSQL.with_version(80_000), "a /*!50000 b /* x */ c */ d", 4),
        (Dialect::MYSQL, "a /*M! b */ c", 2),
        (Dialect::MARIADB, "a /*M! b */ c", 3),
    ] {
        assert_eq!(kinds(sql, dialect).len(), count, "{dialect:?}: {sql}");
    }
}

#[test]
fn signs_are_told_apart() {
    assert_eq!(
        kinds("a.b:=c::d ?? ?", Dialect::POSTGRES).iter().map(|(kind, _)| *kind).collect::<Vec<_>>(),
        [Word, Dot, Word, Assign, Word, Cast, Word, QuestionMark, Placeholder]
    );
    assert_eq!(kinds("u@h", Dialect::MYSQL), [(Word, "u"), (Symbol, "@"), (Word, "h")]);
    assert_eq!(kinds("'u'@'h'", Dialect::MYSQL), [(Text, "'u'"), (Symbol, "@"), (Text, "'h'")]);
    assert_eq!(kinds("1.5e-3+.5", Dialect::POSTGRES), [(Number, "1.5e-3"), (Symbol, "+"), (Number, ".5")]);
    assert_eq!(kinds("some'\\' ?", Dialect::POSTGRES)[0], (Word, "some"));
}
