//! SET and RESET.

use super::cursor::{Cursor, unquoted};
use crate::config::session_state::StateKind;
use crate::config::statement::meaning::{Meaning, Meanings};
use crate::config::statement::outline::Outline;
use crate::config::statement::state::StateChange;
use crate::config::statement::token::{Token, TokenKind};
use crate::config::statement::transaction::TransactionChange;
use crate::config::statement::verb::Verb;

/// How long a setting holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    Session,
    Transaction,
    /// It is the server's, or for the next transaction only.
    Elsewhere,
}

/// What a setting changes of the meaning of texts, by its name in lower case.
pub(super) fn meaning(name: &str) -> Option<Meaning> {
    Some(match name {
        "search_path" => Meaning::SearchPath,
        "sql_mode" | "sql_auto_is_null" | "sql_quote_show_create" => Meaning::SqlMode,
        "role" | "row_security" => Meaning::Role,
        "session_authorization" => Meaning::Authorization,
        "client_encoding"
        | "character_set_client"
        | "character_set_connection"
        | "character_set_results"
        | "collation_connection"
        | "names" => Meaning::CharacterSet,
        "standard_conforming_strings" | "backslash_quote" => Meaning::Strings,
        _ => return None,
    })
}

/// All that a setting can change whose name the text does not say.
pub(super) fn any_setting() -> Meanings {
    use Meaning::{Authorization, CharacterSet, Role, SearchPath, SqlMode, Strings};
    [SearchPath, SqlMode, Role, Authorization, CharacterSet, Strings].into_iter().collect()
}

/// What the session holds once a setting of this name was set.
pub(super) fn state_of(name: Box<str>) -> (StateKind, Box<str>) {
    match meaning(&name) {
        Some(Meaning::CharacterSet) => (StateKind::CharacterSet, Box::default()),
        Some(Meaning::Authorization) => (StateKind::Role, "session authorization".into()),
        Some(Meaning::Role) if &*name == "role" => (StateKind::Role, Box::default()),
        _ => (StateKind::Setting, name),
    }
}

fn set_one(name: Box<str>, scope: Scope, to_default: bool, outline: &mut Outline) {
    if scope == Scope::Elsewhere {
        return;
    }
    if let Some(meaning) = meaning(&name) {
        outline.meaning.insert(meaning);
    }
    let (kind, name) = state_of(name);
    outline.state.push(match scope {
        Scope::Transaction => StateChange::MakesLocal(kind, name),
        _ if to_default => StateChange::Ends(kind, name),
        _ => StateChange::Makes(kind, name),
    });
}

/// Behind RESET.
pub(super) fn reset(mut cursor: Cursor<'_>, outline: &mut Outline) {
    if !cursor.dialect.is_postgres() {
        // RESET MASTER and its like; RESET PERSIST alone does not commit.
        outline.facts.commits = !cursor.is("persist");
        outline.facts.writes = true;
        return;
    }
    if cursor.eat("all") {
        outline.meaning.extend(any_setting());
        outline.state.push(StateChange::EndsAll(StateKind::Setting));
        outline.state.push(StateChange::ends(StateKind::CharacterSet));
        return;
    }
    let name = special_name(&mut cursor).or_else(|| setting_name(&mut cursor));
    match name {
        Some(name) => set_one(name, Scope::Session, true, outline),
        None => *outline = Outline::unknown(),
    }
}

/// PostgreSQL's settings that have a name of words.
fn special_name(cursor: &mut Cursor<'_>) -> Option<Box<str>> {
    let names = [
        (&["time", "zone"][..], "timezone"),
        (&["session", "authorization"], "session_authorization"),
        (&["transaction", "isolation", "level"], "transaction_isolation"),
        (&["xml", "option"], "xmloption"),
        (&["names"], "client_encoding"),
        (&["schema"], "search_path"),
    ];
    names.into_iter().find(|(words, _)| cursor.eat_all(words)).map(|(_, name)| name.into())
}

/// `name`, `schema.name`
fn setting_name(cursor: &mut Cursor<'_>) -> Option<Box<str>> {
    let mut name = cursor.name()?.to_lowercase();
    while cursor.eat_kind(TokenKind::Dot) {
        name.push('.');
        name.push_str(&cursor.name()?.to_lowercase());
    }
    Some(name.into())
}

/// Behind SET on PostgreSQL.
pub(super) fn set_postgres(mut cursor: Cursor<'_>, outline: &mut Outline) {
    // They are over with the transaction.
    if cursor.is("constraints") || cursor.is("transaction") {
        return;
    }
    let characteristics = ["session", "characteristics", "as", "transaction"];
    if cursor.eat_all(&characteristics) {
        outline.state.push(StateChange::Makes(StateKind::Setting, "default_transaction".into()));
        return;
    }
    let is_local = cursor.eat("local");
    let authorization = ["session", "authorization"];
    if !is_local && !cursor.clone_eats(&authorization) {
        cursor.eat("session");
    }
    let scope = if is_local { Scope::Transaction } else { Scope::Session };
    let Some(name) = special_name(&mut cursor).or_else(|| setting_name(&mut cursor)) else {
        *outline = Outline::unknown();
        return;
    };
    if !cursor.eat_symbol("=") {
        cursor.eat("to");
    }
    let is_none = &*name == "role" && cursor.is("none");
    let to_default = is_none || cursor.is("default");
    set_one(name, scope, to_default, outline);
}

/// Behind SET on MySQL and MariaDB: several, with commas between.
pub(super) fn set_mysql(mut cursor: Cursor<'_>, outline: &mut Outline) {
    if cursor.eat("password") {
        outline.facts.commits = true;
        outline.facts.writes = true;
        return;
    }
    if cursor.eat_all(&["resource", "group"]) {
        outline.facts.commits = true;
        outline.state.push(StateChange::makes(StateKind::ResourceGroup));
        return;
    }
    if cursor.eat_all(&["default", "role"]) {
        outline.facts.commits = true;
        outline.facts.writes = true;
        return;
    }
    if cursor.eat("role") {
        let role = StateKind::Role;
        outline.meaning.insert(Meaning::Role);
        outline.state.push(if cursor.is("default") { StateChange::ends(role) } else { StateChange::makes(role) });
        return;
    }
    loop {
        assignment(&mut cursor, outline);
        if outline.verb == Verb::Unknown || !cursor.skip_to_comma() {
            return;
        }
    }
}

fn assignment(cursor: &mut Cursor<'_>, outline: &mut Outline) {
    let mut scope = Scope::Session;
    if cursor.eat_one_of(&["global", "persist", "persist_only"]) {
        scope = Scope::Elsewhere;
        outline.facts.writes = true;
    } else if cursor.eat_all(&["session", "transaction"]) || cursor.eat_all(&["local", "transaction"]) {
        outline.state.push(StateChange::Makes(StateKind::Setting, "transaction".into()));
        return;
    } else if cursor.eat("transaction") {
        // Of the next one.
        outline.state.push(StateChange::MakesLocal(StateKind::Setting, "transaction".into()));
        return;
    } else if !cursor.second().is_some_and(|next| next.kind == TokenKind::Assign || next.text == "=") {
        cursor.eat_one_of(&["session", "local"]);
    }
    if cursor.eat("transaction") {
        return;
    }
    if cursor.eat("names")
        || cursor.eat("charset")
        || cursor.eat_all(&["character", "set"])
        || cursor.eat_all(&["char", "set"])
    {
        outline.meaning.insert(Meaning::CharacterSet);
        let set = StateKind::CharacterSet;
        outline.state.push(if cursor.is("default") { StateChange::ends(set) } else { StateChange::makes(set) });
        return;
    }
    let name = match cursor.peek() {
        Some(token) if token.kind == TokenKind::Variable => {
            cursor.bump();
            match variable(token) {
                Variable::User(name) => {
                    outline.state.push(StateChange::Makes(StateKind::Variable, name));
                    return;
                }
                Variable::Setting(of, name) => {
                    scope = of;
                    outline.facts.writes |= of == Scope::Elsewhere;
                    Some(name)
                }
            }
        }
        _ => setting_name(cursor),
    };
    let Some(name) = name else {
        *outline = Outline::unknown();
        return;
    };
    if !cursor.eat_symbol("=") && !cursor.eat_kind(TokenKind::Assign) {
        *outline = Outline::unknown();
        return;
    }
    if &*name == "autocommit" && scope == Scope::Session {
        let value = cursor.peek().map(|token| token.text.trim_matches(['\'', '"']).to_ascii_lowercase());
        let value = match value.as_deref() {
            Some("1" | "on" | "true" | "default") => Some(true),
            Some("0" | "off" | "false") => Some(false),
            _ => None,
        };
        let ends = cursor.second().is_none_or(|next| matches!(next.kind, TokenKind::Comma | TokenKind::Semicolon));
        outline.transaction = Some(TransactionChange::Autocommit(value.filter(|_| ends)));
        return;
    }
    set_one(name, scope, cursor.is("default"), outline);
}

pub(super) enum Variable {
    User(Box<str>),
    Setting(Scope, Box<str>),
}

/// What a token is that starts with an `@`.
pub(super) fn variable(token: Token<'_>) -> Variable {
    let Some(setting) = token.text.strip_prefix("@@") else {
        return Variable::User(format!("@{}", unquoted(&token.text[1..]).to_lowercase()).into());
    };
    let (scope, name) = match setting.split_once('.') {
        Some((scope, name)) if scope.eq_ignore_ascii_case("session") || scope.eq_ignore_ascii_case("local") => {
            (Scope::Session, name)
        }
        Some((scope, name))
            if ["global", "persist", "persist_only"].iter().any(|word| scope.eq_ignore_ascii_case(word)) =>
        {
            (Scope::Elsewhere, name)
        }
        _ => (Scope::Session, setting),
    };
    Variable::Setting(scope, unquoted(name).to_lowercase().into())
}

impl Cursor<'_> {
    fn clone_eats(self, words: &[&str]) -> bool {
        let mut copy = self;
        copy.eat_all(words)
    }

    /// Behind the comma that comes next outside parentheses.
    fn skip_to_comma(&mut self) -> bool {
        while let Some(next) = self.peek() {
            match next.kind {
                TokenKind::Open => {
                    self.skip_parenthesis();
                    continue;
                }
                TokenKind::Comma => {
                    self.bump();
                    return true;
                }
                _ => {}
            }
            self.bump();
        }
        false
    }
}
