//! Where a statement ends: at a semicolon that does not belong to the body of a routine or block.

use super::cursor::Cursor;
use super::objects::{Object, object};
use crate::config::statement::token::{Token, TokenKind};

/// Goes on to behind the statement that starts here: before its semicolon, or to the end of the text.
pub(super) fn skip_statement(cursor: &mut Cursor<'_>) {
    match shape(cursor) {
        Shape::Plain => {
            while !cursor.is_at_end() {
                cursor.bump();
            }
        }
        Shape::Rule => {
            while !cursor.is_at_end() {
                cursor.skip_one();
            }
        }
        Shape::Body(kind) => Body::new(kind).skip(cursor),
    }
}

enum Shape {
    Plain,
    /// PostgreSQL's rules have statements in parentheses.
    Rule,
    Body(Kind),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A routine of MySQL or MariaDB, before its body.
    Routine,
    /// A trigger or event of theirs.
    Trigger,
    Package,
    /// A block outside a routine: it starts at once.
    Block,
    /// A trigger of SQLite.
    SqliteTrigger,
    /// A routine of PostgreSQL, whose body is a text unless it says `BEGIN ATOMIC`.
    Atomic,
}

/// What starts a block of MariaDB's outside a routine.
pub(super) const BLOCKS: [&str; 7] = ["if", "while", "loop", "repeat", "case", "for", "declare"];

/// Whether a `BEGIN` that was read opens a block, and not a transaction.
pub(super) fn begins_block(behind_begin: &Cursor<'_>) -> bool {
    behind_begin.dialect.is_mysql_or_mariadb() && !behind_begin.is_at_end() && !behind_begin.is("work")
}

/// How a statement has to be read. The cursor goes on to behind the words that say so.
fn shape(cursor: &mut Cursor<'_>) -> Shape {
    let dialect = cursor.dialect;
    if dialect.is_mysql_or_mariadb() {
        skip_set_statement(cursor);
        skip_label(cursor);
        if cursor.is_one_of(&BLOCKS) {
            return Shape::Body(Kind::Block);
        }
    }
    if cursor.is("begin") {
        let mut behind = *cursor;
        behind.bump();
        return if begins_block(&behind) { Shape::Body(Kind::Block) } else { Shape::Plain };
    }
    if !cursor.eat_one_of(&["create", "alter"]) {
        return Shape::Plain;
    }
    match object(cursor).0 {
        Object::Rule => Shape::Rule,
        Object::Routine if dialect.is_postgres() => Shape::Body(Kind::Atomic),
        Object::Routine => Shape::Body(Kind::Routine),
        Object::Trigger if dialect.is_sqlite() => Shape::Body(Kind::SqliteTrigger),
        Object::Trigger | Object::Event if dialect.is_mysql_or_mariadb() => Shape::Body(Kind::Trigger),
        Object::Package if dialect.is_mariadb() => Shape::Body(Kind::Package),
        _ => Shape::Plain,
    }
}

/// MariaDB's `SET STATEMENT a = 1 FOR`
pub(super) fn skip_set_statement(cursor: &mut Cursor<'_>) {
    let mut ahead = *cursor;
    if cursor.dialect.is_mariadb() && ahead.eat_all(&["set", "statement"]) && ahead.skip_to("for") {
        ahead.bump();
        *cursor = ahead;
    }
}

/// `label:`
pub(super) fn skip_label(cursor: &mut Cursor<'_>) {
    let mut ahead = *cursor;
    let has_name = ahead.peek().is_some_and(|token| token.is_name());
    if cursor.dialect.is_mysql_or_mariadb() && has_name {
        ahead.bump();
        if ahead.eat_kind(TokenKind::Colon) {
            *cursor = ahead;
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Opener {
    Block,
    /// `IF`, `LOOP` and `CASE`, with statements in them.
    Statement,
    /// `WHILE` and `FOR`, whose statements stand behind `DO`.
    Do,
    /// Its `END` stands behind an expression.
    Repeat,
    /// `CASE` in an expression.
    Expression,
}

/// Follows the body of a routine or block, as far as finding its end needs it.
struct Body {
    kind: Kind,
    open: Vec<Opener>,
    /// Parentheses that are open.
    depth: usize,
    /// The next token starts a statement.
    starts: bool,
    /// What was read stands before the body, or the body is one statement.
    header: bool,
    /// A statement of the body has begun that is no block.
    has_verb: bool,
    /// Declarations stand here, up to `BEGIN` (`sql_mode=ORACLE`).
    declares: bool,
    /// A `DECLARE … HANDLER`, which has a statement at its end.
    handler: bool,
    /// A routine in a package, whose own `BEGIN` is to come.
    inner: bool,
    before: Option<Before>,
}

#[derive(Clone, Copy)]
struct Before {
    kind: TokenKind,
    /// A body can start behind it.
    opens_body: bool,
    /// The name of another trigger follows.
    names_trigger: bool,
}

/// Words behind which the body of a routine, trigger or event can stand.
const BEFORE_BODY: [&str; 8] = ["deterministic", "sql", "data", "invoker", "definer", "row", "do", "atomic"];

/// Words that start a statement in a body, so that no declarations can follow.
const VERBS: [&str; 16] = [
    "select", "insert", "update", "delete", "replace", "set", "call", "with", "values", "drop", "create", "alter",
    "do", "truncate", "return", "execute",
];

impl Body {
    fn new(kind: Kind) -> Self {
        let is_block = kind == Kind::Block;
        Self {
            kind,
            open: Vec::new(),
            depth: 0,
            starts: is_block,
            header: !is_block,
            has_verb: false,
            declares: false,
            handler: false,
            inner: false,
            before: None,
        }
    }

    fn skip(mut self, cursor: &mut Cursor<'_>) {
        while let Some(token) = cursor.peek() {
            if token.kind == TokenKind::Semicolon && self.open.is_empty() && !self.declares {
                return;
            }
            cursor.bump();
            let starts = std::mem::take(&mut self.starts);
            match token.kind {
                TokenKind::Semicolon => {
                    self.starts = true;
                    self.handler = false;
                    self.depth = 0;
                }
                TokenKind::Open => self.depth += 1,
                TokenKind::Close => self.depth = self.depth.saturating_sub(1),
                TokenKind::Word if starts && cursor.is_kind(TokenKind::Colon) => {
                    cursor.bump();
                    self.starts = true;
                }
                TokenKind::Word if !self.follows_dot() => self.word(token, starts, cursor),
                _ => {}
            }
            let is_other_trigger = self.before.is_some_and(|before| before.names_trigger);
            let opens_body = matches!(token.kind, TokenKind::Close | TokenKind::Text | TokenKind::Colon)
                || token.is_one_of(&BEFORE_BODY)
                || is_other_trigger;
            let names_trigger = self.kind == Kind::Trigger && token.is_one_of(&["follows", "precedes"]);
            self.before = Some(Before { kind: token.kind, opens_body, names_trigger });
        }
    }

    fn follows_dot(&self) -> bool {
        self.before.is_some_and(|before| before.kind == TokenKind::Dot)
    }

    /// Before the body: what opens one stands where a body can start.
    fn may_open(&self, starts: bool) -> bool {
        starts || (self.header && self.depth == 0 && self.before.is_some_and(|before| before.opens_body))
    }

    fn word(&mut self, token: Token<'_>, starts: bool, cursor: &mut Cursor<'_>) {
        let top = self.open.last().copied();
        let is = |word| token.is_word(word);
        match () {
            () if is("end") && (starts || matches!(top, Some(Opener::Expression | Opener::Repeat))) => {
                self.open.pop();
                if top != Some(Opener::Expression) {
                    cursor.eat_one_of(&["if", "loop", "while", "repeat", "case", "for"]);
                    self.header &= !self.open.is_empty();
                }
            }
            () if is("begin") && self.begins(starts, cursor) => {
                self.push(Opener::Block);
                self.starts = !cursor.is("not");
                if cursor.eat_all(&["not", "atomic"]) || cursor.eat("atomic") {
                    self.starts = true;
                }
            }
            () if is("case") => {
                let is_statement = self.is_mysql() && self.may_open(starts);
                self.push(if is_statement { Opener::Statement } else { Opener::Expression });
            }
            () if !self.is_mysql() => {}
            () if is("if") && self.may_open(starts) => self.push(Opener::Statement),
            () if is("loop") && self.may_open(starts) => {
                self.push(Opener::Statement);
                self.starts = true;
            }
            () if is("repeat") && self.may_open(starts) => {
                self.push(Opener::Repeat);
                self.starts = true;
            }
            () if is("while") && self.may_open(starts) => self.push(Opener::Do),
            () if is("for") && self.may_open(starts) && !cursor.is("each") => self.push(Opener::Do),
            () if (is("then") || is("else")) && top == Some(Opener::Statement) => self.starts = true,
            () if is("do") && top == Some(Opener::Do) => self.starts = true,
            () if is("handler") => self.handler = true,
            () if (is("as") || is("is")) && self.opens_declarations(cursor) => {
                if self.kind == Kind::Package && self.open.is_empty() {
                    self.push(Opener::Block);
                } else {
                    self.declares = true;
                }
                self.starts = true;
            }
            () if (is("procedure") || is("function")) && starts && self.kind == Kind::Package => self.inner = true,
            () if is("declare") && starts && self.kind == Kind::Block && self.open.is_empty() => self.declares = true,
            () => self.has_verb |= self.header && self.depth == 0 && token.is_one_of(&VERBS),
        }
    }

    fn is_mysql(&self) -> bool {
        !matches!(self.kind, Kind::SqliteTrigger | Kind::Atomic)
    }

    fn push(&mut self, opener: Opener) {
        self.header &= opener == Opener::Expression;
        self.declares &= opener == Opener::Expression;
        self.open.push(opener);
    }

    fn begins(&mut self, starts: bool, cursor: &Cursor<'_>) -> bool {
        match self.kind {
            Kind::Atomic => cursor.is("atomic"),
            Kind::SqliteTrigger => {
                self.open.is_empty()
                    && cursor.is_one_of(&["select", "insert", "update", "delete", "replace", "with", "values"])
            }
            // What a package does when it is first used has no end of its own.
            Kind::Package if starts && self.open.len() == 1 => std::mem::take(&mut self.inner),
            Kind::Trigger => self.handler || self.may_open(starts),
            _ => starts || self.handler || (self.header && self.depth == 0 && !self.has_verb),
        }
    }

    /// `AS` and `IS` before declarations, with `sql_mode=ORACLE`.
    fn opens_declarations(&self, cursor: &Cursor<'_>) -> bool {
        let may = self.header && !self.has_verb && matches!(self.kind, Kind::Routine | Kind::Package);
        let in_package = self.kind == Kind::Package && self.inner;
        cursor.dialect.is_mariadb() && self.depth == 0 && (may || in_package) && !cursor.is_one_of(&["null", "not"])
    }
}
