//! What stands inside a statement: the functions that it calls, the variables that it sets, the rows that it locks.

use super::cursor::{Cursor, unquoted};
use super::functions::{is_harmless, is_keyword};
use super::settings::{Variable, any_setting, meaning, state_of, variable};
use crate::config::session_state::StateKind;
use crate::config::statement::dialect::Dialect;
use crate::config::statement::outline::Outline;
use crate::config::statement::state::StateChange;
use crate::config::statement::token::{Token, TokenKind};

/// What a walk over a statement has found, beside what it has written into the outline.
#[derive(Default)]
pub(super) struct Seen {
    /// `INSERT`, `UPDATE`, `DELETE` or `MERGE` inside another statement.
    pub(super) changes: bool,
    /// `SELECT … INTO`
    pub(super) into: bool,
    pub(super) returning: bool,
    /// A function is called that has an effect, known or not.
    pub(super) has_effect: bool,
}

/// Goes on to the end of the statement, from behind its verb.
pub(super) fn walk(cursor: &mut Cursor<'_>, outline: &mut Outline) -> Seen {
    let ends = outline.state.len();
    let mut walk = Walk {
        outline,
        seen: Seen::default(),
        depth: 0,
        lists: Vec::new(),
        before: None,
        in_table_name: false,
        in_catalog: false,
        conditional: false,
    };
    while let Some(token) = cursor.bump() {
        walk.token(token, cursor);
        walk.before = Some(token);
    }
    let Walk { seen, conditional, .. } = walk;
    if conditional {
        // What may not have happened is not unlearned.
        let mut at = 0;
        outline.state.retain(|change| {
            at += 1;
            at <= ends || matches!(change, StateChange::Makes(..) | StateChange::MakesLocal(..))
        });
    }
    seen
}

struct Walk<'a, 'sql> {
    outline: &'a mut Outline,
    seen: Seen,
    depth: usize,
    /// The depths at which the parts of a WITH are named.
    lists: Vec<usize>,
    before: Option<Token<'sql>>,
    /// A parenthesis behind it holds names of columns.
    in_table_name: bool,
    /// What was read last is `pg_catalog.`, the schema of the server's own.
    in_catalog: bool,
    /// Whether a call happens depends on more than that the statement runs.
    conditional: bool,
}

impl<'sql> Walk<'_, 'sql> {
    fn token(&mut self, token: Token<'sql>, cursor: &Cursor<'sql>) {
        let opens = cursor.is_kind(TokenKind::Open);
        match token.kind {
            TokenKind::Open => self.depth += 1,
            TokenKind::Close => self.depth = self.depth.saturating_sub(1),
            TokenKind::Variable => self.variable(token, cursor),
            TokenKind::Word | TokenKind::QuotedName if opens && self.is_call(token, cursor.dialect) => {
                self.call(token, *cursor);
            }
            TokenKind::Word if !self.follows(TokenKind::Dot) => self.word(token, cursor),
            TokenKind::Word if !opens && token.is_one_of(&["nextval", "currval"]) && cursor.dialect.is_mariadb() => {
                self.effect();
            }
            _ => {}
        }
        self.in_catalog =
            token.kind == TokenKind::Dot && self.follows_word("pg_catalog") && cursor.dialect.is_postgres();
        let begins = token.is_one_of(&["into", "table", "references"]);
        self.in_table_name = begins || (self.in_table_name && self.goes_on_as_path(token));
    }

    fn follows(&self, kind: TokenKind) -> bool {
        self.before.is_some_and(|before| before.kind == kind)
    }

    fn follows_word(&self, word: &str) -> bool {
        self.before.is_some_and(|before| before.is_word(word))
    }

    /// A name without a dot before it ends the path: `INSERT INTO t SELECT f(1)`.
    fn goes_on_as_path(&self, token: Token<'sql>) -> bool {
        let begins = self.follows(TokenKind::Dot) || self.before.is_some_and(is_before_table_name);
        token.kind == TokenKind::Dot || (token.is_name() && begins)
    }

    fn effect(&mut self) {
        self.seen.has_effect = true;
    }

    fn word(&mut self, token: Token<'sql>, cursor: &Cursor<'sql>) {
        let is = |word| token.is_word(word);
        let next = |words: &[&str]| cursor.is_one_of(words);
        if self.lists.last() == Some(&self.depth)
            && token.is_one_of(&["select", "insert", "update", "delete", "merge", "replace", "values", "table"])
            && !self.follows_word("with")
            && !self.follows_word("recursive")
            && !self.follows(TokenKind::Comma)
        {
            self.lists.pop();
        }
        match () {
            () if is("with") && names_parts(cursor) => self.lists.push(self.depth),
            () if is("for") && next(&["update", "share", "no", "key"]) => self.outline.facts.locks_rows = true,
            () if is("lock") && next(&["in"]) => self.outline.facts.locks_rows = true,
            () if is("into") => self.into(cursor),
            () if is("returning") => self.seen.returning = true,
            () if token.is_one_of(&["insert", "update", "delete", "merge"]) => {
                let locks = self.before.is_some_and(|before| before.is_one_of(&["for", "key", "on"]));
                self.seen.changes |= !locks && !cursor.is_kind(TokenKind::Dot);
            }
            () if (is("next") || is("previous")) && next(&["value"]) => {
                self.effect();
                self.outline.facts.uses_last = true;
            }
            () if token.is_one_of(&["where", "having", "limit", "offset", "fetch", "union", "except", "intersect"]) => {
                self.conditional = true;
            }
            () if is("from") && !next(&["dual"]) => self.conditional = true,
            () => {}
        }
    }

    /// Behind INTO: what a SELECT writes its result to. What an INSERT writes to is not new to its outline.
    fn into(&mut self, cursor: &Cursor<'sql>) {
        self.seen.into = true;
        let mut ahead = *cursor;
        while let Some(target) = ahead.peek().filter(|token| token.kind == TokenKind::Variable) {
            self.set_variable(target);
            ahead.bump();
            if !ahead.eat_kind(TokenKind::Comma) {
                return;
            }
        }
    }

    fn variable(&mut self, token: Token<'sql>, cursor: &Cursor<'sql>) {
        if cursor.is_kind(TokenKind::Assign) {
            self.set_variable(token);
            self.effect();
        }
        if let Variable::Setting(_, name) = variable(token) {
            let of_last = ["identity", "last_insert_id", "insert_id", "warning_count", "error_count"];
            self.outline.facts.uses_last |= of_last.contains(&&*name);
            self.outline.facts.uses_last_id |= ["identity", "last_insert_id", "insert_id"].contains(&&*name);
        }
    }

    fn set_variable(&mut self, token: Token<'_>) {
        if let Variable::User(name) = variable(token) {
            self.outline.state.push(StateChange::Makes(StateKind::Variable, name));
        }
    }

    /// Whether the name before a parenthesis is that of a function.
    fn is_call(&self, token: Token<'sql>, dialect: Dialect) -> bool {
        let in_list = self.lists.last() == Some(&self.depth);
        let names_other = self.follows_word("as") || self.follows(TokenKind::Cast) || in_list || self.in_table_name;
        let is_clause = (self.follows(TokenKind::Close) && token.is_one_of(&["over", "filter"]))
            || (self.follows_word("on") && token.is_word("conflict"))
            || (self.follows_word("grouping") && token.is_word("sets"))
            || self.follows_word("tablesample");
        let may_be_name = self.follows(TokenKind::Dot) || token.kind == TokenKind::QuotedName;
        !names_other && (may_be_name || !(is_clause || is_keyword(token.text, dialect)))
    }

    fn call(&mut self, token: Token<'sql>, at: Cursor<'sql>) {
        let dialect = at.dialect;
        let mut arguments = at;
        arguments.bump();
        let has_schema = self.follows(TokenKind::Dot) && !self.in_catalog;
        if token.kind == TokenKind::QuotedName || has_schema {
            self.known_effects(&unquoted(token.text).to_lowercase(), arguments);
            self.outline.facts.calls_functions = true;
            return;
        }
        let name = token.text.to_ascii_lowercase();
        if self.known_effects(&name, arguments) {
            return;
        }
        if token.is_one_of(&[
            "last_insert_id",
            "row_count",
            "found_rows",
            "lastval",
            "currval",
            "last_insert_rowid",
            "changes",
        ]) {
            self.outline.facts.uses_last = true;
            self.outline.facts.uses_last_id |= !token.is_one_of(&["row_count", "found_rows", "changes"]);
        }
        if !is_harmless(&name, dialect) {
            self.outline.facts.calls_functions = true;
        }
    }

    /// Functions whose effect on the session is known.
    fn known_effects(&mut self, name: &str, arguments: Cursor<'sql>) -> bool {
        let is_known = if arguments.dialect.is_postgres() {
            self.known_on_postgres(name, arguments)
        } else {
            arguments.dialect.is_mysql_or_mariadb() && self.known_on_mysql(name, arguments)
        };
        if is_known {
            // In an argument, or behind an operator, it may be left out.
            let certain = self.follows(TokenKind::Comma)
                || self.before.is_none_or(|before| before.is_one_of(&["select", "do", "perform"]));
            self.conditional |= !certain || self.depth > 0;
            self.effect();
        }
        is_known
    }

    fn known_on_mysql(&mut self, name: &str, arguments: Cursor<'sql>) -> bool {
        let state = match name {
            "get_lock" => StateChange::Makes(StateKind::Lock, text(arguments).unwrap_or_default()),
            "release_lock" => match text(arguments) {
                Some(name) => StateChange::Ends(StateKind::Lock, name),
                None => return true,
            },
            "release_all_locks" => StateChange::EndsAll(StateKind::Lock),
            "last_insert_id" if !arguments.is_kind(TokenKind::Close) => StateChange::makes(StateKind::LastInsertId),
            _ => return false,
        };
        self.outline.state.push(state);
        true
    }

    fn known_on_postgres(&mut self, name: &str, arguments: Cursor<'sql>) -> bool {
        if name == "set_config" {
            self.set_config(arguments);
            return true;
        }
        if name == "setseed" {
            self.outline.state.push(StateChange::Makes(StateKind::Setting, "seed".into()));
            return true;
        }
        if name == "nextval" || name == "setval" || name == "pg_notify" {
            return true;
        }
        let Some(rest) = name.strip_prefix("pg_") else { return false };
        let rest = rest.strip_prefix("try_").unwrap_or(rest);
        let Some(rest) = rest.strip_prefix("advisory_") else { return false };
        let (rest, shared) = rest.strip_suffix("_shared").map_or((rest, false), |rest| (rest, true));
        let key = key(arguments);
        let name: Box<str> = match &key {
            Some(key) if shared => format!("{key} (shared)").into(),
            _ => key.clone().unwrap_or_default(),
        };
        let state = match rest {
            "lock" => StateChange::Makes(StateKind::Lock, name),
            "xact_lock" => StateChange::MakesLocal(StateKind::Lock, name),
            "unlock" if key.is_none() => return true,
            "unlock" => StateChange::Ends(StateKind::Lock, name),
            "unlock_all" => StateChange::EndsAll(StateKind::Lock),
            _ => return false,
        };
        self.outline.state.push(state);
        true
    }

    /// `set_config(name, value, is_local)`
    fn set_config(&mut self, mut arguments: Cursor<'sql>) {
        let name = text(arguments).map(|name| name.to_lowercase().into_boxed_str());
        let mut depth = 0_usize;
        let mut commas = 0;
        // A value that is longer than this is not gone over again for each call inside it.
        for _ in 0..MOST_TOKENS {
            let Some(token) = arguments.bump() else { break };
            match token.kind {
                TokenKind::Open => depth += 1,
                TokenKind::Close if depth == 0 => break,
                TokenKind::Close => depth -= 1,
                TokenKind::Comma if depth == 0 => {
                    commas += 1;
                    if commas == 2 {
                        break;
                    }
                }
                _ => {}
            }
        }
        let is_local =
            commas == 2 && arguments.is("true") && arguments.second().is_some_and(|next| next.kind == TokenKind::Close);
        match name.as_deref().map(meaning) {
            Some(meaning) => self.outline.meaning.extend(meaning.into_iter().collect()),
            None => self.outline.meaning.extend(any_setting()),
        }
        let (kind, name) = name.map_or((StateKind::Setting, Box::default()), state_of);
        self.outline.state.push(if is_local {
            StateChange::MakesLocal(kind, name)
        } else {
            StateChange::Makes(kind, name)
        });
    }
}

/// How far the arguments of `set_config` are looked through for the last.
const MOST_TOKENS: usize = 64;

fn is_before_table_name(token: Token<'_>) -> bool {
    token.is_one_of(&["into", "table", "references", "if", "not", "exists", "ignore", "only"])
}

/// Behind WITH: whether queries are named here, and not how something else is done.
fn names_parts(cursor: &Cursor<'_>) -> bool {
    let names = |second: Token<'_>| second.is_word("as") || second.kind == TokenKind::Open;
    cursor.is("recursive") || (!cursor.is("ordinality") && cursor.second().is_some_and(names))
}

/// The first argument, if it is a text and nothing else.
fn text(mut arguments: Cursor<'_>) -> Option<Box<str>> {
    let token = arguments.bump().filter(|token| token.kind == TokenKind::Text)?;
    let ends = arguments.is_kind(TokenKind::Comma) || arguments.is_kind(TokenKind::Close);
    let is_plain = token.text.starts_with(['\'', '"']) && !token.text.contains('\\');
    (ends && is_plain).then(|| unquoted(token.text))
}

/// One number or two, and nothing else.
fn key(mut arguments: Cursor<'_>) -> Option<Box<str>> {
    let mut key = String::new();
    loop {
        if arguments.eat_symbol("-") {
            key.push('-');
        }
        key.push_str(arguments.bump().filter(|token| token.kind == TokenKind::Number)?.text);
        if arguments.eat_kind(TokenKind::Close) {
            return Some(key.into());
        }
        if !arguments.eat_kind(TokenKind::Comma) {
            return None;
        }
        key.push_str(", ");
    }
}
