//! What CREATE, ALTER and DROP are about.

use super::cursor::{Cursor, Path};
use crate::config::session_state::StateKind;
use crate::config::statement::meaning::Meaning;
use crate::config::statement::outline::Outline;
use crate::config::statement::state::StateChange;
use crate::config::statement::token::TokenKind;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Object {
    Table,
    View,
    Sequence,
    Index,
    Routine,
    Trigger,
    Event,
    Package,
    Rule,
    /// A type, and what holds types.
    Type,
    Schema,
    Database,
    Prepared,
    Other,
}

/// Reads what stands between CREATE and a name: its kind, and whether it is temporary.
pub(super) fn object(cursor: &mut Cursor<'_>) -> (Object, bool) {
    let mut temporary = false;
    loop {
        if cursor.eat_one_of(&["temporary", "temp"]) {
            temporary = true;
        } else if cursor.eat_all(&["or", "replace"]) || cursor.eat_all(&["sql", "security"]) {
            cursor.eat_one_of(&["definer", "invoker"]);
        } else if cursor.eat("definer") {
            cursor.eat_symbol("=");
            skip_account(cursor);
        } else if cursor.eat("algorithm") {
            cursor.eat_symbol("=");
            cursor.bump();
        } else if !cursor.eat_one_of(&MODIFIERS) {
            break;
        }
    }
    let words: [(&str, Object); 24] = [
        ("table", Object::Table),
        ("view", Object::View),
        ("sequence", Object::Sequence),
        ("index", Object::Index),
        ("procedure", Object::Routine),
        ("function", Object::Routine),
        ("routine", Object::Routine),
        ("aggregate", Object::Other),
        ("trigger", Object::Trigger),
        ("event", Object::Event),
        ("package", Object::Package),
        ("rule", Object::Rule),
        ("type", Object::Type),
        ("domain", Object::Type),
        ("extension", Object::Type),
        ("owned", Object::Type),
        ("schema", Object::Schema),
        ("database", Object::Database),
        ("tablespace", Object::Database),
        ("subscription", Object::Database),
        ("system", Object::Database),
        ("prepare", Object::Prepared),
        ("user", Object::Other),
        ("role", Object::Other),
    ];
    let found = words.into_iter().find(|(word, _)| cursor.is(word)).map(|(_, object)| object);
    // An aggregate function of MySQL is a routine; PostgreSQL's CREATE AGGREGATE has no body.
    if cursor.eat("aggregate") {
        return if cursor.eat("function") { (Object::Routine, temporary) } else { (Object::Other, temporary) };
    }
    if found.is_some() {
        cursor.bump();
    }
    (found.unwrap_or(Object::Other), temporary)
}

const MODIFIERS: [&str; 16] = [
    "global",
    "local",
    "unlogged",
    "recursive",
    "materialized",
    "unique",
    "fulltext",
    "spatial",
    "foreign",
    "virtual",
    "constraint",
    "event_",
    "online",
    "offline",
    "ignore",
    "trusted",
];

/// `'name'@'host'`, `CURRENT_USER()`
fn skip_account(cursor: &mut Cursor<'_>) {
    cursor.bump();
    if cursor.eat_symbol("@") {
        cursor.bump();
        while cursor.eat_kind(TokenKind::Dot) {
            cursor.bump();
        }
    } else if cursor.is_kind(TokenKind::Open) {
        cursor.skip_parenthesis();
    }
}

/// Behind CREATE.
pub(super) fn create(mut cursor: Cursor<'_>, outline: &mut Outline) {
    let dialect = cursor.dialect;
    let (object, mut temporary) = object(&mut cursor);
    let concurrently = cursor.eat("concurrently");
    cursor.skip_if_exists();
    if object == Object::Type {
        outline.meaning.insert(Meaning::Types);
    }
    let facts = &mut outline.facts;
    facts.stands_alone |= dialect.is_postgres() && (concurrently || object == Object::Database);
    let is_relation = matches!(object, Object::Table | Object::View | Object::Sequence);
    // Other objects in the schema of temporary ones are as temporary.
    let path = if object == Object::Other { None } else { cursor.path() };
    temporary |= path.as_ref().is_some_and(|path| is_temporary(path, &cursor));
    if temporary && (is_relation || !dialect.is_mysql_or_mariadb()) {
        let on_commit = cursor.skip_to("on") && cursor.eat_all(&["on", "commit", "drop"]);
        let (kind, name) = (StateKind::TemporaryTable, path.map(|path| path.name).unwrap_or_default());
        outline.state.push(if on_commit {
            StateChange::MakesLocal(kind, name)
        } else {
            StateChange::Makes(kind, name)
        });
        outline.meaning.insert(Meaning::TemporaryTables);
    } else {
        outline.facts.commits |= dialect.is_mysql_or_mariadb();
    }
}

fn is_temporary(path: &Path, cursor: &Cursor<'_>) -> bool {
    let schema = path.schema.as_deref().unwrap_or_default();
    match () {
        () if cursor.dialect.is_postgres() => schema == "pg_temp",
        () if cursor.dialect.is_sqlite() => schema == "temp",
        () => false,
    }
}

/// Behind ALTER.
pub(super) fn alter(mut cursor: Cursor<'_>, outline: &mut Outline) {
    let (object, _) = object(&mut cursor);
    let dialect = cursor.dialect;
    if object == Object::Type || object == Object::Table {
        outline.meaning.insert(Meaning::Types);
    }
    if object == Object::Schema || object == Object::Database {
        outline.meaning.extend([Meaning::Types, Meaning::SearchPath].into_iter().collect());
    }
    if dialect.is_postgres() {
        let detaches = object == Object::Table && cursor.skip_to("concurrently");
        outline.facts.stands_alone |= object == Object::Database || detaches;
    }
    outline.facts.commits |= dialect.is_mysql_or_mariadb();
}

/// Behind DROP.
pub(super) fn drop_objects(mut cursor: Cursor<'_>, outline: &mut Outline) {
    let dialect = cursor.dialect;
    let (object, temporary) = object(&mut cursor);
    let concurrently = cursor.eat("concurrently");
    cursor.skip_if_exists();
    if matches!(object, Object::Type | Object::Schema | Object::Table | Object::View) {
        outline.meaning.insert(Meaning::Types);
    }
    if object == Object::Database {
        outline.meaning.insert(Meaning::Database);
    }
    outline.facts.stands_alone |= dialect.is_postgres() && (concurrently || object == Object::Database);
    outline.facts.commits |= dialect.is_mysql_or_mariadb() && !(temporary && object == Object::Table);
    if !matches!(object, Object::Table | Object::View | Object::Sequence) {
        return;
    }
    // What is dropped is the temporary one, if there is one of that name.
    outline.meaning.insert(Meaning::TemporaryTables);
    while let Some(path) = cursor.path() {
        if path.schema.is_none() || is_temporary(&path, &cursor) {
            outline.state.push(StateChange::Ends(StateKind::TemporaryTable, path.name));
        }
        if !cursor.eat_kind(TokenKind::Comma) {
            break;
        }
    }
}
