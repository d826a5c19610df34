//! Statements about the session: settings, locks, cursors, channels.

use super::cursor::Cursor;
use super::expressions::walk;
use super::settings::{self, Variable};
use crate::config::session_state::StateKind;
use crate::config::statement::meaning::Meaning;
use crate::config::statement::outline::{Facts, Outline};
use crate::config::statement::state::StateChange;
use crate::config::statement::token::TokenKind;
use crate::config::statement::verb::Verb;

const READS: Facts = Facts { reads_only: true, gives_rows: true, ..Facts::NOTHING };

/// The names of locks that are no table's.
const GLOBAL: &str = "FLUSH TABLES WITH READ LOCK";
const BACKUP: &str = "backup";

fn makes(verb: Verb, kind: StateKind, name: Box<str>) -> Outline {
    Outline { state: vec![StateChange::Makes(kind, name)], ..Outline::new(verb, Facts::NOTHING) }
}

fn ends(verb: Verb, change: StateChange) -> Outline {
    Outline { state: vec![change], ..Outline::new(verb, Facts::NOTHING) }
}

/// Reads what stands behind this word, if it is about the session, or shows something.
pub(super) fn read(word: &str, cursor: Cursor<'_>) -> Option<Outline> {
    let dialect = cursor.dialect;
    match word {
        "set" if dialect.is_postgres() => {
            let mut outline = Outline::new(Verb::Set, Facts::NOTHING);
            settings::set_postgres(cursor, &mut outline);
            Some(outline)
        }
        "set" if dialect.is_mysql_or_mariadb() => Some(set_mysql(cursor)),
        "reset" if !dialect.is_sqlite() => {
            let mut outline = Outline::new(Verb::Reset, Facts::NOTHING);
            settings::reset(cursor, &mut outline);
            Some(outline)
        }
        "show" if !dialect.is_sqlite() => {
            let mut outline = Outline::new(Verb::Show, READS);
            outline.facts.uses_last = cursor.is_one_of(&["warnings", "errors", "count"]);
            Some(outline)
        }
        "prepare" if !dialect.is_sqlite() => Some(prepare(cursor)),
        "deallocate" if !dialect.is_sqlite() => Some(deallocate(cursor)),
        _ if dialect.is_postgres() => postgres(word, cursor),
        _ if dialect.is_sqlite() => sqlite(word, cursor),
        _ => mysql(word, cursor),
    }
}

fn set_mysql(mut cursor: Cursor<'_>) -> Outline {
    let mut outline = Outline::new(Verb::Set, Facts::NOTHING);
    settings::set_mysql(cursor, &mut outline);
    if outline.verb == Verb::Set {
        let seen = walk(&mut cursor, &mut outline);
        outline.facts.writes |= outline.facts.calls_functions || seen.has_effect;
    }
    outline
}

fn prepare(mut cursor: Cursor<'_>) -> Outline {
    match cursor.name() {
        Some(name) => makes(Verb::Prepare, StateKind::PreparedStatement, name),
        None => Outline::unknown(),
    }
}

fn deallocate(mut cursor: Cursor<'_>) -> Outline {
    cursor.eat("prepare");
    if cursor.dialect.is_postgres() && cursor.is("all") {
        return ends(Verb::Deallocate, StateChange::EndsAll(StateKind::PreparedStatement));
    }
    match cursor.name() {
        Some(name) => ends(Verb::Deallocate, StateChange::Ends(StateKind::PreparedStatement, name)),
        None => Outline::unknown(),
    }
}

fn postgres(word: &str, mut cursor: Cursor<'_>) -> Option<Outline> {
    Some(match word {
        "listen" => makes(Verb::Listen, StateKind::Listener, cursor.name()?),
        "unlisten" if cursor.is_symbol("*") => ends(Verb::Unlisten, StateChange::EndsAll(StateKind::Listener)),
        "unlisten" => ends(Verb::Unlisten, StateChange::Ends(StateKind::Listener, cursor.name()?)),
        "notify" => Outline::new(Verb::Notify, Facts { writes: true, ..Facts::NOTHING }),
        "load" => Outline { meaning: settings::any_setting(), ..makes(Verb::Load, StateKind::Library, Box::default()) },
        "lock" => Outline::new(Verb::Lock, Facts { locks_rows: true, ..Facts::NOTHING }),
        "declare" => declare(cursor)?,
        "fetch" | "move" => {
            Outline::new(Verb::Fetch, Facts { writes: true, calls_functions: true, gives_rows: true, ..Facts::NOTHING })
        }
        "close" if cursor.is("all") => ends(Verb::Close, StateChange::EndsAll(StateKind::Cursor)),
        "close" => ends(Verb::Close, StateChange::Ends(StateKind::Cursor, cursor.name()?)),
        "discard" => discard(&cursor)?,
        _ => return None,
    })
}

/// `DECLARE name … CURSOR [WITH HOLD] FOR query`
fn declare(mut cursor: Cursor<'_>) -> Option<Outline> {
    let name = cursor.name()?;
    let mut holds = false;
    while !cursor.is("for") {
        let token = cursor.bump()?;
        holds |= token.is_word("with") && cursor.is("hold");
    }
    cursor.bump();
    let mut outline = Outline::new(Verb::Declare, Facts::NOTHING);
    let seen = walk(&mut cursor, &mut outline);
    outline.facts.writes = outline.facts.calls_functions || seen.has_effect || seen.changes;
    let kind = StateKind::Cursor;
    outline.state.push(if holds { StateChange::Makes(kind, name) } else { StateChange::MakesLocal(kind, name) });
    Some(outline)
}

fn discard(cursor: &Cursor<'_>) -> Option<Outline> {
    let word = cursor.peek()?;
    let mut outline = Outline::new(Verb::Discard, Facts::NOTHING);
    match () {
        () if word.is_word("all") => {
            outline.facts.stands_alone = true;
            outline.meaning = settings::any_setting();
            outline.meaning.insert(Meaning::TemporaryTables);
            outline.state.push(StateChange::EndsEverything);
        }
        () if word.is_one_of(&["temp", "temporary"]) => {
            outline.meaning.insert(Meaning::TemporaryTables);
            outline.state.push(StateChange::EndsAll(StateKind::TemporaryTable));
        }
        () if word.is_one_of(&["plans", "sequences"]) => {}
        () => return None,
    }
    Some(outline)
}

fn sqlite(word: &str, mut cursor: Cursor<'_>) -> Option<Outline> {
    Some(match word {
        "pragma" => pragma(cursor)?,
        "attach" => {
            cursor.skip_to("as");
            cursor.bump();
            let name = cursor.name().unwrap_or_default();
            let outline = makes(Verb::Attach, StateKind::AttachedDatabase, name);
            Outline { meaning: [Meaning::Attached].into_iter().collect(), ..outline }
        }
        "detach" => {
            cursor.eat("database");
            let outline = ends(Verb::Detach, StateChange::Ends(StateKind::AttachedDatabase, cursor.name()?));
            Outline { meaning: [Meaning::Attached].into_iter().collect(), ..outline }
        }
        _ => return None,
    })
}

/// `PRAGMA name`, `PRAGMA name(argument)`, `PRAGMA name = value`
fn pragma(mut cursor: Cursor<'_>) -> Option<Outline> {
    const LISTS: [&str; 12] = [
        "table_info",
        "table_xinfo",
        "table_list",
        "index_list",
        "index_info",
        "index_xinfo",
        "foreign_key_list",
        "foreign_key_check",
        "integrity_check",
        "quick_check",
        "database_list",
        "collation_list",
    ];
    const ACTS: [&str; 5] =
        ["optimize", "wal_checkpoint", "incremental_vacuum", "shrink_memory", "case_sensitive_like"];
    let name = cursor.path()?.name;
    if LISTS.contains(&&*name) {
        return Some(Outline::new(Verb::Pragma, READS));
    }
    if cursor.is_at_end() && !ACTS.contains(&&*name) {
        return Some(Outline::new(Verb::Pragma, READS));
    }
    let facts = Facts { writes: true, gives_rows: true, ..Facts::NOTHING };
    let state = vec![StateChange::Makes(StateKind::Setting, name)];
    Some(Outline { state, ..Outline::new(Verb::Pragma, facts) })
}

fn mysql(word: &str, mut cursor: Cursor<'_>) -> Option<Outline> {
    let commits = Facts { commits: true, ..Facts::NOTHING };
    let writes = Facts { writes: true, ..commits };
    Some(match word {
        "use" => {
            let outline = makes(Verb::Use, StateKind::Database, Box::default());
            Outline { meaning: [Meaning::Database].into_iter().collect(), ..outline }
        }
        "help" => Outline::new(Verb::Describe, READS),
        "lock" if cursor.is_one_of(&["tables", "table"]) => {
            let outline = makes(Verb::Lock, StateKind::TableLock, Box::default());
            Outline { facts: Facts { locks_rows: true, ..commits }, ..outline }
        }
        "lock" if cursor.is("instance") => {
            Outline { facts: commits, ..makes(Verb::Lock, StateKind::TableLock, BACKUP.into()) }
        }
        "unlock" if cursor.is_one_of(&["tables", "table"]) => {
            let mut outline = ends(Verb::Unlock, StateChange::ends(StateKind::TableLock));
            outline.state.push(StateChange::Ends(StateKind::TableLock, GLOBAL.into()));
            Outline { facts: commits, ..outline }
        }
        "unlock" if cursor.is("instance") => {
            Outline { facts: commits, ..ends(Verb::Unlock, StateChange::Ends(StateKind::TableLock, BACKUP.into())) }
        }
        "flush" => {
            let mut locks = false;
            while let Some(token) = cursor.bump() {
                locks |= token.is_word("export") || (token.is_word("with") && cursor.is("read"));
            }
            let mut outline = Outline::new(Verb::Flush, writes);
            if locks {
                outline.facts.locks_rows = true;
                outline.state.push(StateChange::Makes(StateKind::TableLock, GLOBAL.into()));
                outline.state.push(StateChange::makes(StateKind::TableLock));
            }
            outline
        }
        "backup" => {
            let is_over = cursor.eat("unlock") || (cursor.eat("stage") && cursor.is("end"));
            let lock = (StateKind::TableLock, BACKUP.into());
            let change = if is_over { StateChange::Ends(lock.0, lock.1) } else { StateChange::Makes(lock.0, lock.1) };
            Outline { facts: commits, ..ends(Verb::Backup, change) }
        }
        "handler" => {
            let name = cursor.path()?.name;
            match () {
                () if cursor.eat("open") => {
                    let alias = if cursor.eat("as") || !cursor.is_at_end() { cursor.name() } else { None };
                    makes(Verb::Handler, StateKind::Handler, alias.unwrap_or(name))
                }
                () if cursor.is("close") => ends(Verb::Handler, StateChange::Ends(StateKind::Handler, name)),
                () if cursor.is("read") => Outline::new(Verb::Handler, READS),
                () => return None,
            }
        }
        "kill" => Outline::new(Verb::Kill, Facts { writes: true, ..Facts::NOTHING }),
        "signal" | "resignal" => Outline::new(Verb::Signal, Facts { uses_last: true, ..Facts::NOTHING }),
        "get" => {
            let mut outline = Outline::new(Verb::Signal, Facts { uses_last: true, ..Facts::NOTHING });
            sets_every_variable(&mut cursor, &mut outline);
            outline
        }
        "change" | "purge" | "clone" | "shutdown" | "restart" | "binlog" | "start" | "stop" => {
            Outline::new(Verb::Define, writes)
        }
        _ => return None,
    })
}

/// Each variable of the user's that is named may be set: by a parameter that goes out, or a column of a file.
pub(super) fn sets_every_variable(cursor: &mut Cursor<'_>, outline: &mut Outline) {
    while let Some(token) = cursor.bump() {
        if token.kind == TokenKind::Variable
            && let Variable::User(name) = settings::variable(token)
        {
            outline.state.push(StateChange::Makes(StateKind::Variable, name));
        }
    }
}
