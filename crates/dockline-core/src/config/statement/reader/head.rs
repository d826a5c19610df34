//! What a statement is by its first words, and what follows from that.

use super::bounds::{BLOCKS, begins_block, skip_label, skip_set_statement};
use super::cursor::Cursor;
use super::expressions::{Seen, walk};
use super::{objects, session, settings, transactions};
use crate::config::session_state::StateKind;
use crate::config::statement::meaning::Meaning;
use crate::config::statement::outline::{Explained, Facts, Outline};
use crate::config::statement::state::StateChange;
use crate::config::statement::token::TokenKind;
use crate::config::statement::verb::Verb;

/// Reads one statement, to the end of what the cursor goes over.
pub(super) fn statement(mut cursor: Cursor<'_>) -> Outline {
    let dialect = cursor.dialect;
    skip_set_statement(&mut cursor);
    skip_label(&mut cursor);
    let mut parentheses = 0;
    while cursor.eat_kind(TokenKind::Open) {
        parentheses += 1;
    }
    let Some(first) = cursor.peek().filter(|token| token.kind == TokenKind::Word) else { return Outline::unknown() };
    let word = first.text.to_ascii_lowercase();
    let mysql = dialect.is_mysql_or_mariadb();
    if parentheses > 0 && !["select", "with", "values", "table"].contains(&&*word) {
        return Outline::unknown();
    }
    if mysql && BLOCKS.contains(&&*word) {
        return block(cursor);
    }
    let at_first = cursor;
    cursor.bump();
    match &*word {
        "with" => with(at_first),
        "select" => query(cursor, Verb::Select),
        "values" => query(cursor, Verb::Values),
        "table" => query(cursor, Verb::Table),
        "insert" => change(cursor, Verb::Insert),
        "replace" if !dialect.is_postgres() => change(cursor, Verb::Replace),
        "update" => change(cursor, Verb::Update),
        "delete" => change(cursor, Verb::Delete),
        "merge" => change(cursor, Verb::Merge),
        "begin" if begins_block(&cursor) => block(cursor),
        "explain" => explain(cursor),
        "describe" | "desc" if mysql => explain(cursor),
        "analyze" if dialect.is_mariadb() && !cursor.is_one_of(&["table", "local", "no_write_to_binlog"]) => {
            cursor.eat("format").then(|| (cursor.eat_symbol("="), cursor.bump()));
            explained(cursor, Explained::Run)
        }
        _ => transactions::read(&word, cursor)
            .or_else(|| definition(&word, cursor))
            .or_else(|| session::read(&word, cursor))
            .unwrap_or_else(Outline::unknown),
    }
}

/// `WITH a AS (…), b AS (…) SELECT`
fn with(at_with: Cursor<'_>) -> Outline {
    let mut cursor = at_with;
    cursor.bump();
    cursor.eat("recursive");
    loop {
        if cursor.name().is_none() {
            return Outline::unknown();
        }
        if cursor.is_kind(TokenKind::Open) {
            cursor.skip_parenthesis();
        }
        if !cursor.eat("as") {
            return Outline::unknown();
        }
        cursor.eat("not");
        cursor.eat("materialized");
        if !cursor.is_kind(TokenKind::Open) {
            return Outline::unknown();
        }
        cursor.skip_parenthesis();
        // SEARCH and CYCLE of PostgreSQL, CYCLE … RESTRICT of MariaDB.
        while cursor.is_one_of(&["search", "cycle"]) {
            while !cursor.is_kind(TokenKind::Comma) && !cursor.is_one_of(&MAIN) && cursor.bump().is_some() {}
        }
        if !cursor.eat_kind(TokenKind::Comma) {
            break;
        }
    }
    while cursor.eat_kind(TokenKind::Open) {}
    let verb = match cursor.peek() {
        Some(token) if token.is_one_of(&["select", "with"]) => Verb::Select,
        Some(token) if token.is_word("values") => Verb::Values,
        Some(token) if token.is_word("table") => Verb::Table,
        Some(token) if token.is_word("insert") => Verb::Insert,
        Some(token) if token.is_word("replace") => Verb::Replace,
        Some(token) if token.is_word("update") => Verb::Update,
        Some(token) if token.is_word("delete") => Verb::Delete,
        Some(token) if token.is_word("merge") => Verb::Merge,
        _ => return Outline::unknown(),
    };
    // The whole is walked over, the parts of the WITH as well.
    match verb {
        Verb::Select | Verb::Values | Verb::Table => query(at_with, verb),
        _ => change(at_with, verb),
    }
}

const MAIN: [&str; 8] = ["select", "values", "table", "insert", "replace", "update", "delete", "merge"];

/// What reads, unless something in it does more.
fn query(mut cursor: Cursor<'_>, verb: Verb) -> Outline {
    let mut outline = Outline::new(verb, Facts { gives_rows: true, ..Facts::NOTHING });
    let target = into_target(cursor);
    let seen = walk(&mut cursor, &mut outline);
    settle_reading(&mut outline, &seen);
    if seen.into {
        outline.facts.gives_rows = cursor.dialect.is_sqlite();
        // A table on PostgreSQL, a file or variables on MySQL.
        if let Some((is_temporary, name)) = target.filter(|_| cursor.dialect.is_postgres()) {
            outline.facts.changes_schema = true;
            if is_temporary {
                outline.state.push(StateChange::Makes(StateKind::TemporaryTable, name.unwrap_or_default()));
                outline.meaning.insert(Meaning::TemporaryTables);
            }
        }
    }
    outline
}

fn settle_reading(outline: &mut Outline, seen: &Seen) {
    let facts = &mut outline.facts;
    facts.writes = seen.changes || seen.has_effect || facts.calls_functions || seen.into;
    facts.reads_only = !facts.writes && !facts.locks_rows;
}

/// `INTO [TEMP] [TABLE] name` of PostgreSQL's SELECT, outside parentheses.
fn into_target(mut cursor: Cursor<'_>) -> Option<(bool, Option<Box<str>>)> {
    if !cursor.dialect.is_postgres() || !cursor.skip_to("into") {
        return None;
    }
    cursor.bump();
    let mut is_temporary = cursor.eat_one_of(&["temporary", "temp"]);
    cursor.eat("unlogged");
    cursor.eat("table");
    let path = cursor.path();
    is_temporary |= path.as_ref().is_some_and(|path| path.schema.as_deref() == Some("pg_temp"));
    Some((is_temporary, path.map(|path| path.name)))
}

fn change(mut cursor: Cursor<'_>, verb: Verb) -> Outline {
    let mut outline = Outline::new(verb, Facts { writes: true, locks_rows: true, ..Facts::NOTHING });
    outline.facts.gives_rows = walk(&mut cursor, &mut outline).returning;
    outline
}

/// Code that the text brings along.
fn block(mut cursor: Cursor<'_>) -> Outline {
    let mut outline = Outline::new(Verb::Block, Facts { known: true, ..Facts::UNKNOWN });
    walk(&mut cursor, &mut outline);
    outline.state.retain(|change| matches!(change, StateChange::Makes(..)));
    outline
}

/// Behind EXPLAIN, DESCRIBE or DESC.
fn explain(mut cursor: Cursor<'_>) -> Outline {
    let dialect = cursor.dialect;
    let mut runs = false;
    if dialect.is_sqlite() {
        cursor.eat_all(&["query", "plan"]);
        return explained(cursor, Explained::Planned);
    }
    if dialect.is_postgres() {
        if cursor.is_kind(TokenKind::Open)
            && !cursor.second().is_some_and(|second| second.is_one_of(&["select", "with", "values", "table"]))
        {
            runs = analyze_option(&mut cursor);
        } else {
            runs |= cursor.eat_one_of(&["analyze", "analyse"]);
            cursor.eat("verbose");
        }
        return explained(cursor, if runs { Explained::Run } else { Explained::Planned });
    }
    let mut into = None;
    loop {
        if cursor.eat("analyze") {
            runs = true;
        } else if cursor.is("format") && cursor.second().is_some_and(|second| second.text == "=") {
            cursor.bump();
            cursor.bump();
            cursor.bump();
        } else if cursor.eat("into") {
            into = cursor.bump();
        } else if cursor.eat("for") {
            if cursor.eat("connection") {
                return Outline::new(Verb::Explain, READS);
            }
            cursor.eat_one_of(&["schema", "database"]);
            cursor.bump();
        } else if !cursor.eat_one_of(&["extended", "partitions"]) {
            break;
        }
    }
    let mut outline = explained(cursor, if runs { Explained::Run } else { Explained::Planned });
    if let Some(settings::Variable::User(name)) =
        into.filter(|token| token.kind == TokenKind::Variable).map(settings::variable)
    {
        outline.facts.reads_only = false;
        outline.state.push(StateChange::Makes(StateKind::Variable, name));
    }
    outline
}

/// In the parentheses behind EXPLAIN: whether the statement runs.
fn analyze_option(cursor: &mut Cursor<'_>) -> bool {
    let mut runs = false;
    let mut ahead = *cursor;
    cursor.skip_parenthesis();
    while let Some(token) = ahead.bump() {
        if token.kind == TokenKind::Close {
            break;
        }
        if token.is_one_of(&["analyze", "analyse"]) {
            runs = !ahead.peek().is_some_and(|value| {
                value.is_one_of(&["false", "off"])
                    || value.text == "0"
                    || value.text == "'false'"
                    || value.text == "'off'"
            });
        }
    }
    runs
}

const READS: Facts = Facts { reads_only: true, gives_rows: true, ..Facts::NOTHING };

fn explained(cursor: Cursor<'_>, how: Explained) -> Outline {
    let mut ahead = cursor;
    while ahead.eat_kind(TokenKind::Open) {}
    let is_statement = ahead.is_one_of(&[
        "select", "with", "values", "table", "insert", "replace", "update", "delete", "merge", "create", "execute",
        "declare", "refresh", "alter", "drop", "call",
    ]);
    if !is_statement {
        let describes = cursor.dialect.is_mysql_or_mariadb() && how == Explained::Planned;
        return if describes { Outline::new(Verb::Describe, READS) } else { Outline::unknown() };
    }
    let mut outline = statement(cursor);
    if outline.verb == Verb::Unknown {
        return outline;
    }
    outline.verb = Verb::Explain;
    outline.explained = Some(how);
    outline.facts.gives_rows = true;
    if how == Explained::Planned {
        // Planning may run a function, and a subquery, but nothing else.
        let calls_functions = outline.facts.calls_functions || !outline.state.is_empty();
        outline.facts = Facts { calls_functions, writes: calls_functions, reads_only: !calls_functions, ..READS };
        outline.state.retain(|change| matches!(change, StateChange::Makes(..)));
        outline.meaning = outline.meaning.iter().filter(|_| calls_functions).collect();
        outline.transaction = None;
    }
    outline
}

/// Statements that change what is there, or run what is there.
fn definition(word: &str, mut cursor: Cursor<'_>) -> Option<Outline> {
    let dialect = cursor.dialect;
    let mysql = dialect.is_mysql_or_mariadb();
    let defines = Facts { writes: true, locks_rows: true, changes_schema: true, ..Facts::NOTHING };
    let mut outline = match word {
        "create" if mysql && cursor.is("temporary") => {
            Outline::new(Verb::Create, Facts { locks_rows: false, ..defines })
        }
        "create" => Outline::new(Verb::Create, defines),
        "alter" => Outline::new(Verb::Alter, defines),
        "drop" if mysql && cursor.is("prepare") => return session::read("deallocate", cursor),
        "drop" => Outline::new(Verb::Drop, defines),
        "truncate" => Outline::new(Verb::Truncate, Facts { changes_schema: false, commits: mysql, ..defines }),
        "rename" if mysql => Outline::new(Verb::Define, Facts { commits: true, ..defines }),
        "grant" | "revoke" if !dialect.is_sqlite() => Outline::new(Verb::Define, Facts { commits: mysql, ..defines }),
        "comment" | "security" | "reassign" | "refresh" | "import" if dialect.is_postgres() => {
            Outline::new(Verb::Define, defines)
        }
        "install" | "uninstall" if mysql => Outline::new(Verb::Define, Facts { commits: true, ..defines }),
        _ => return maintenance(word, cursor).or_else(|| code(word, cursor)),
    };
    match word {
        "create" => {
            objects::create(cursor, &mut outline);
            // CREATE TABLE … AS SELECT runs the query.
            if cursor.is_one_of(&["table", "temporary", "temp", "unlogged", "global", "local", "materialized", "or"])
                && !matches!(
                    objects::object(&mut { cursor }).0,
                    objects::Object::Routine
                        | objects::Object::Trigger
                        | objects::Object::Event
                        | objects::Object::Package
                        | objects::Object::Rule
                )
                && cursor.skip_to_one_of(&["select", "with", "execute"])
            {
                outline.facts.half_way |= cursor.is("execute");
                walk(&mut cursor, &mut outline);
            }
        }
        "alter" => objects::alter(cursor, &mut outline),
        "drop" => objects::drop_objects(cursor, &mut outline),
        "grant" | "revoke" => outline.meaning.insert(Meaning::Role),
        "reassign" => outline.meaning.insert(Meaning::Types),
        "refresh" => outline.facts.calls_functions = true,
        _ => {}
    }
    Some(outline)
}

/// Upkeep.
fn maintenance(word: &str, mut cursor: Cursor<'_>) -> Option<Outline> {
    let dialect = cursor.dialect;
    let mysql = dialect.is_mysql_or_mariadb();
    let writes = Facts { writes: true, locks_rows: true, gives_rows: mysql, commits: mysql, ..Facts::NOTHING };
    let facts = match word {
        "vacuum" if !mysql => Facts { stands_alone: true, ..writes },
        "analyze" | "analyse" => writes,
        "reindex" if dialect.is_postgres() => {
            let in_schema = cursor.is_one_of(&["database", "system", "schema"]);
            Facts { stands_alone: in_schema || cursor.skip_to("concurrently"), ..writes }
        }
        "reindex" if dialect.is_sqlite() => writes,
        "cluster" if dialect.is_postgres() => Facts { stands_alone: cursor.is_at_end(), ..writes },
        "checkpoint" if dialect.is_postgres() => writes,
        "optimize" | "repair" | "check" | "cache" if mysql => writes,
        "checksum" if mysql => Facts { commits: false, ..READS },
        _ => return None,
    };
    Some(Outline::new(Verb::Maintain, facts))
}

/// Code that runs on the server, and data that comes from a file.
fn code(word: &str, mut cursor: Cursor<'_>) -> Option<Outline> {
    let dialect = cursor.dialect;
    let mysql = dialect.is_mysql_or_mariadb();
    let code = Facts { known: true, ..Facts::UNKNOWN };
    let mut outline = match word {
        "call" => Outline::new(Verb::Call, code),
        "do" if dialect.is_postgres() => Outline::new(Verb::Do, code),
        "do" if mysql => Outline::new(Verb::Do, Facts::NOTHING),
        "execute" if !dialect.is_sqlite() => Outline::new(Verb::Execute, code),
        "copy" if dialect.is_postgres() => return Some(copy(cursor)),
        "load" if mysql && cursor.is_one_of(&["data", "xml"]) => {
            let writes = Facts { writes: true, locks_rows: true, ..Facts::NOTHING };
            let mut outline = Outline::new(Verb::LoadData, writes);
            cursor.bump();
            cursor.eat_one_of(&["low_priority", "concurrent"]);
            outline.facts.asks_for_file = cursor.is("local");
            let mut variables = cursor;
            walk(&mut cursor, &mut outline);
            session::sets_every_variable(&mut variables, &mut outline);
            return Some(outline);
        }
        _ => return None,
    };
    if word == "call" || word == "execute" {
        session::sets_every_variable(&mut { cursor }, &mut outline);
    }
    let seen = walk(&mut cursor, &mut outline);
    if outline.verb == Verb::Do && mysql {
        settle_reading(&mut outline, &seen);
    }
    Some(outline)
}

/// `COPY`
fn copy(mut cursor: Cursor<'_>) -> Outline {
    let mut outline = Outline::new(Verb::Copy, Facts { writes: true, locks_rows: true, ..Facts::NOTHING });
    if cursor.is_kind(TokenKind::Open) {
        let mut inner = cursor;
        let query = statement_in_parentheses(&mut inner);
        outline.facts.calls_functions |= query.runs_code();
        outline.state = query.state;
        cursor.skip_parenthesis();
    }
    outline.facts.asks_for_file = (cursor.skip_to_one_of(&["from", "to"])) && {
        cursor.bump();
        cursor.is_one_of(&["stdin", "stdout"])
    };
    outline
}

fn statement_in_parentheses(cursor: &mut Cursor<'_>) -> Outline {
    cursor.bump();
    let start = *cursor;
    let mut outline = Outline::new(Verb::Copy, Facts::NOTHING);
    walk(&mut { start }, &mut outline);
    outline
}
