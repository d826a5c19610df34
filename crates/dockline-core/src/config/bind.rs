//! Parameters with names, and lists: what a statement with them is to a server.

use std::borrow::Cow;
use std::fmt::Write;

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::value::{NamedValue, Value};
use crate::config::backend::ParamRows;
use crate::config::statement::{Dialect, Token, TokenKind, Tokens};

/// A statement and its parameters, as a session takes them: `?` for each, and a value for each `?`.
pub(crate) struct Bound<'a> {
    pub(crate) sql: Cow<'a, str>,
    pub(crate) params: Cow<'a, [Value]>,
}

/// Replaces names by placeholders, and lists by what the database has for them. Statements without either stay as they are.
pub(crate) fn bind<'a>(sql: &'a str, params: &'a [Value], dialect: impl FnOnce() -> Dialect) -> Result<Bound<'a>> {
    let is_special = |value: &Value| matches!(value, Value::Named(_) | Value::List(_));
    if !params.iter().any(is_special) {
        return Ok(Bound { sql: Cow::Borrowed(sql), params: Cow::Borrowed(params) });
    }
    let given = Given::of(params)?;
    let mut writer = Writer::new(sql, dialect());
    let mut next = 0;
    let mut used = vec![false; params.len()];
    let tokens: Vec<Token<'_>> = Tokens::new(sql, writer.dialect).collect();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let value = match given {
            Given::InOrder(params) if token.kind == TokenKind::Placeholder => {
                next += 1;
                params.get(next - 1)
            }
            Given::ByName(ref named) => match name_at(&tokens, at) {
                Some(name) => {
                    let found = named.iter().position(|one| one.name == name);
                    let found = found.ok_or_else(|| no_such_name(name, named))?;
                    used[found] = true;
                    at += usize::from(token.kind == TokenKind::Colon);
                    Some(&named[found].value)
                }
                None if token.kind == TokenKind::Placeholder => return Err(mixed()),
                None => None,
            },
            Given::InOrder(_) => None,
        };
        at += 1;
        match value {
            Some(Value::List(items)) => at = writer.list(items, &tokens, at)?,
            Some(value) => writer.value(value),
            None => writer.token(token),
        }
    }
    match given {
        // The session says what is wrong with their number.
        Given::InOrder(params) => writer.params.extend(params.iter().skip(next).cloned()),
        Given::ByName(named) => refuse_unused(&named, &used)?,
    }
    Ok(Bound { sql: Cow::Owned(writer.out), params: Cow::Owned(writer.params) })
}

enum Given<'a> {
    InOrder(&'a [Value]),
    ByName(Vec<&'a NamedValue>),
}

impl<'a> Given<'a> {
    fn of(params: &'a [Value]) -> Result<Self> {
        let named = params.iter().filter_map(|value| match value {
            Value::Named(named) => Some(&**named),
            _ => None,
        });
        let named: Vec<_> = named.collect();
        match named.len() {
            0 => Ok(Self::InOrder(params)),
            count if count == params.len() => Ok(Self::ByName(named)),
            _ => Err(mixed()),
        }
    }
}

fn mixed() -> Error {
    let message = "the statement has parameters with names and parameters without; write :name for all, or ? for all";
    Error::new(ErrorKind::Programming, message)
}

/// The name of the parameter that begins with this token.
fn name_at<'sql>(tokens: &[Token<'sql>], at: usize) -> Option<&'sql str> {
    let token = tokens.get(at)?;
    match token.kind {
        // As SQLite reads it.
        TokenKind::OwnPlaceholder => token.text.strip_prefix(':'),
        TokenKind::Colon => tokens.get(at + 1).filter(|word| word.kind == TokenKind::Word).map(|word| word.text),
        _ => None,
    }
}

fn no_such_name(name: &str, named: &[&NamedValue]) -> Error {
    let names: Vec<String> = named.iter().map(|one| format!(":{}", one.name)).collect();
    let message = format!("the statement has :{name}, and the parameters are {}", names.join(", "));
    Error::new(ErrorKind::Programming, message)
}

fn refuse_unused(named: &[&NamedValue], used: &[bool]) -> Result<()> {
    match named.iter().zip(used).find(|(one, used)| !**used && !one.is_optional) {
        None => Ok(()),
        Some((one, _)) => {
            let is_twice = named.iter().filter(|other| other.name == one.name).count() > 1;
            let why =
                if is_twice { " more than once; give it one value" } else { ", and the statement does not have it" };
            let message = format!("the parameter :{} is given{why}", one.name);
            Err(Error::new(ErrorKind::Programming, message))
        }
    }
}

/// How many placeholders a list takes on SQLite before it goes as one document.
const MOST_IN_A_ROW: usize = 4_096;

/// Gives no row, on every database that has no arrays.
const NO_ROW: &str = "SELECT NULL FROM (SELECT 1) AS dockline_none WHERE 1 = 0";

/// Writes the statement anew.
struct Writer {
    dialect: Dialect,
    out: String,
    params: Vec<Value>,
    /// The last tokens that say something, and where they stand in what is written.
    last: [Option<(TokenKind, usize, bool, bool)>; 3],
}

impl Writer {
    fn new(sql: &str, dialect: Dialect) -> Self {
        Self { dialect, out: String::with_capacity(sql.len() + 32), params: Vec::new(), last: [None; 3] }
    }

    fn token(&mut self, token: &Token<'_>) {
        if !token.is_gap() {
            let [_, before, last] = self.last;
            let now = (token.kind, self.out.len(), token.is_word("in"), token.is_word("not"));
            self.last = [before, last, Some(now)];
        }
        self.out.push_str(token.text);
    }

    fn value(&mut self, value: &Value) {
        let now = (TokenKind::Placeholder, self.out.len(), false, false);
        let [_, before, last] = self.last;
        self.last = [before, last, Some(now)];
        self.out.push('?');
        self.params.push(value.clone());
    }

    /// A list, which stands alone in the parentheses behind IN. The answer is the index of the token behind it.
    fn list(&mut self, items: &[Value], tokens: &[Token<'_>], at: usize) -> Result<usize> {
        let behind = tokens[at..].iter().position(|token| !token.is_gap()).map(|gaps| at + gaps);
        let closes = behind.filter(|behind| tokens[*behind].kind == TokenKind::Close);
        let [not, Some((_, in_at, true, _)), Some((TokenKind::Open, ..))] = self.last else {
            return Err(no_list_here());
        };
        let Some(close) = closes else { return Err(no_list_here()) };
        if self.dialect.is_postgres() {
            let not = not.filter(|(.., is_not)| *is_not);
            self.out.truncate(not.map_or(in_at, |(_, at, ..)| at));
            self.out.push_str(if not.is_some() { "<> ALL (?)" } else { "= ANY (?)" });
            self.params.push(Value::Array(items.to_vec()));
            self.last = [None; 3];
            return Ok(close + 1);
        }
        match as_document(items).filter(|_| self.dialect.is_sqlite() && items.len() > MOST_IN_A_ROW) {
            Some(document) => {
                self.out.push_str("SELECT value FROM json_each(?)");
                self.params.push(Value::Text(document));
            }
            None => self.row(items),
        }
        Ok(close)
    }

    /// As many placeholders as the next power of two; the last value fills it up.
    fn row(&mut self, items: &[Value]) {
        let Some(last) = items.last() else { return self.out.push_str(NO_ROW) };
        let count = items.len().next_power_of_two();
        self.params.extend_from_slice(items);
        self.params.extend(std::iter::repeat_n(last, count - items.len()).cloned());
        self.out.push('?');
        for _ in 1..count {
            self.out.push_str(", ?");
        }
    }
}

fn no_list_here() -> Error {
    let message = "a list can stand for IN (?) alone: write it as the only thing in the parentheses";
    Error::new(ErrorKind::Programming, message)
}

/// A list as an array of JSON, if each of its values is the same one there.
fn as_document(items: &[Value]) -> Option<String> {
    let mut text = String::from("[");
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        match item {
            Value::Null => text.push_str("null"),
            Value::Bool(flag) => text.push(if *flag { '1' } else { '0' }),
            Value::Int(n) => write!(text, "{n}").ok()?,
            Value::UInt(n) => write!(text, "{}", i64::try_from(*n).ok()?).ok()?,
            Value::Text(item) => quoted(item, &mut text)?,
            Value::Bytes(_) | Value::Float(_) | Value::Double(_) => return None,
            other => quoted(&other.portable_text()?, &mut text)?,
        }
    }
    text.push(']');
    Some(text)
}

/// `None` for a text with a NUL, at which SQLite would stop.
fn quoted(item: &str, text: &mut String) -> Option<()> {
    text.push('"');
    for c in item.chars() {
        match c {
            '\0' => return None,
            '"' | '\\' => text.extend(['\\', c]),
            '\u{1}'..='\u{1f}' => write!(text, "\\u{:04x}", u32::from(c)).ok()?,
            c => text.push(c),
        }
    }
    text.push('"');
    Some(())
}

/// Rows of parameters with names, as rows in the order that the statement has them.
pub(crate) struct BoundRows<'a> {
    sql: &'a str,
    dialect: Dialect,
    rows: &'a mut dyn ParamRows,
    /// The first row has been read, and not handed on.
    first: Option<Vec<Value>>,
    current: Vec<Value>,
    /// What the first row has made of the statement.
    text: String,
    is_special: bool,
    /// Why no further row comes.
    pub(crate) failed: Option<Error>,
}

impl<'a> BoundRows<'a> {
    /// Reads the first row, which says what the statement is.
    pub(crate) fn new(sql: &'a str, dialect: Dialect, rows: &'a mut dyn ParamRows) -> Result<Self> {
        let first = rows.next_row().map(<[Value]>::to_vec);
        let mut text = sql.to_owned();
        let mut is_special = false;
        let mut bound_first = None;
        if let Some(first) = first {
            let bound = bind(sql, &first, || dialect)?;
            is_special = matches!(bound.sql, Cow::Owned(_));
            text = bound.sql.into_owned();
            bound_first = Some(bound.params.into_owned());
        }
        Ok(Self { sql, dialect, rows, first: bound_first, current: Vec::new(), text, is_special, failed: None })
    }

    /// The statement for all rows.
    pub(crate) fn text(&self) -> String {
        self.text.clone()
    }
}

impl ParamRows for BoundRows<'_> {
    fn next_row(&mut self) -> Option<&[Value]> {
        if let Some(first) = self.first.take() {
            self.current = first;
            return Some(&self.current);
        }
        let row = self.rows.next_row()?;
        if !self.is_special {
            return Some(row);
        }
        let bound = bind(self.sql, row, || self.dialect)
            .and_then(|bound| if bound.sql == self.text { Ok(bound.params.into_owned()) } else { Err(other_text()) });
        match bound {
            Ok(params) => {
                self.current = params;
                Some(&self.current)
            }
            Err(error) => {
                self.failed = Some(error);
                None
            }
        }
    }
}

fn other_text() -> Error {
    let message = "lists of different lengths make different statements of a row; run such rows one by one";
    Error::new(ErrorKind::Programming, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::value::list;
    use crate::named;

    fn bound(sql: &str, params: &[Value], dialect: Dialect) -> (String, Vec<Value>) {
        let bound = bind(sql, params, || dialect).unwrap_or_else(|error| panic!("{sql}: {error}"));
        (bound.sql.into_owned(), bound.params.into_owned())
    }

    fn refused(sql: &str, params: &[Value]) -> String {
        bind(sql, params, || Dialect::POSTGRES).err().unwrap_or_else(|| panic!("{sql}")).message().to_owned()
    }

    const ALL: [Dialect; 4] = [Dialect::SQLITE, Dialect::POSTGRES, Dialect::MYSQL, Dialect::MARIADB];

    #[test]
    fn names_become_placeholders_as_often_as_they_stand() {
        let params = named! { id: 7, name: "x" };
        for dialect in ALL {
            let sql = "SELECT ':id', \":id\" /* :id */ FROM t WHERE a=:id OR b LIKE:name OR c = :id -- :id";
            let (text, values) = bound(sql, &params, dialect);
            assert_eq!(text, "SELECT ':id', \":id\" /* :id */ FROM t WHERE a=? OR b LIKE? OR c = ? -- :id");
            assert_eq!(values, [Value::Int(7), Value::Text("x".into()), Value::Int(7)]);
        }
        assert_eq!(bound("SELECT :id::text, a ?? b, :name", &params, Dialect::POSTGRES).0, "SELECT ?::text, a ?? b, ?");
        assert_eq!(bound("SET @a := :id, @b = :name", &params, Dialect::MYSQL).0, "SET @a := ?, @b = ?");
    }

    #[test]
    fn names_are_all_there_and_all_used() {
        let id = named! { id: 7 };
        assert_eq!(refused("SELECT :id, :size", &id), "the statement has :size, and the parameters are :id");
        assert!(refused("SELECT 1", &id).contains(":id is given"));
        assert!(refused("SELECT :id, ?", &id).contains("write :name for all, or ? for all"));
        assert!(refused("SELECT ?, ?", &[Value::Int(1), id[0].clone()]).contains("for all"));
        let optional = [Value::named_optional("id", Value::Int(1)), Value::named_optional("b", Value::Int(2))];
        assert_eq!(bound("SELECT :b", &optional, Dialect::SQLITE).1, [Value::Int(2)]);
    }

    #[test]
    fn a_list_is_what_the_database_has_for_it() {
        let ids = [list([1, 2, 3]), Value::Int(9)];
        let sql = "SELECT * FROM t WHERE id IN (?) AND a = ?";
        let (text, values) = bound(sql, &ids, Dialect::MYSQL);
        assert_eq!(text, "SELECT * FROM t WHERE id IN (?, ?, ?, ?) AND a = ?");
        assert_eq!(values, [1, 2, 3, 3, 9].map(Value::Int));
        let (text, values) = bound(sql, &ids, Dialect::POSTGRES);
        assert_eq!(text, "SELECT * FROM t WHERE id = ANY (?) AND a = ?");
        assert_eq!(values, [Value::Array([1, 2, 3].map(Value::Int).to_vec()), Value::Int(9)]);
        let not = bound("id NOT  IN ( ? )", &ids[..1], Dialect::POSTGRES).0;
        assert_eq!(not, "id <> ALL (?)");
        let named = bound("id IN (:ids) OR b IN (:ids)", &named! { ids: list([1]) }, Dialect::SQLITE);
        assert_eq!(named, ("id IN (?) OR b IN (?)".to_owned(), vec![Value::Int(1), Value::Int(1)]));
    }

    #[test]
    fn few_texts_stand_for_lists_of_any_length() {
        let texts: std::collections::BTreeSet<String> =
            (0..1_000).map(|count| bound("a IN (?)", &[list(0..count)], Dialect::MARIADB).0).collect();
        assert_eq!(texts.len(), 12, "none, and a power of two up to 1,024");
        let long = [list(0..100_000_i64)];
        let (text, values) = bound("a IN (?)", &long, Dialect::SQLITE);
        assert_eq!((text.as_str(), values.len()), ("a IN (SELECT value FROM json_each(?))", 1));
        assert_eq!(bound("a IN (?)", &[list::<[i64; 0]>([])], Dialect::SQLITE).0, format!("a IN ({NO_ROW})"));
    }

    #[test]
    fn a_list_stands_alone_behind_in() {
        for sql in ["SELECT ?", "a = ?", "a IN (1, ?)", "a IN (?, 1)", "a IN (f(?))", "INSERT INTO t VALUES (?)"] {
            assert!(refused(sql, &[list([1])]).contains("IN (?) alone"), "{sql}");
        }
    }

    #[test]
    fn what_a_document_would_change_stays_out_of_it() {
        let text = |text: &str| Value::Text(text.into());
        assert_eq!(
            as_document(&[text("a\"\\\n"), Value::Null, Value::Bool(true)]).unwrap(),
            r#"["a\"\\\u000a",null,1]"#
        );
        assert_eq!(as_document(&[text("a\0")]), None);
        assert_eq!(as_document(&[Value::Double(0.1)]), None);
        assert_eq!(as_document(&[Value::Bytes(vec![])]), None);
    }
}
