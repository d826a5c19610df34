//! The types of parameters: the server finds them out by itself, and is told those that it cannot tell.
//!
//! `? IS NULL`, `jsonb_build_object('a', ?)` and `generate_series(?, ?)` have no type of their own, and a server that is not told one
//! refuses the statement, or takes the parameter of `SELECT ?` for text. So the statement is prepared without types first, as
//! most are right so, and again with the types that the values have where that failed. In a transaction, a refusal would
//! end it: there a savepoint goes out in front of the first try.

use dockline_core::{Error, Result, Value};
use postgres::types::{Kind, Type};

use super::PostgresSession;
use super::prepared::{OnServer, Prepared};
use crate::error::Phase;
use crate::param::has_fraction_for;
use crate::prefix;
use crate::protocol::Status;

const SAVEPOINT: &str = "SAVEPOINT dockline_types";
const BACK_TO_SAVEPOINT: &str = "ROLLBACK TO SAVEPOINT dockline_types";
const RELEASE: &str = "RELEASE SAVEPOINT dockline_types";

impl PostgresSession {
    /// Prepares a statement, and finds out which types the server has to be told.
    pub(super) fn prepare_on_server(&mut self, text: &str, params: &[Value]) -> Result<(OnServer, Vec<Type>)> {
        let mut told = Vec::new();
        let mut refusal = None;
        loop {
            let begins = self.begin_is_due();
            match self.try_to_prepare(text, &told, params) {
                Ok(statement) if told.is_empty() => return self.or_as_they_are(text, statement, params),
                Ok(statement) => return Ok((statement, told)),
                Err(error) if self.broken => return Err(error),
                Err(error) => {
                    let Some(next) = more_told(&error, &told, params) else {
                        // What was said of the text as it is written says most.
                        return Err(numbered(refusal.unwrap_or(error), params.len()));
                    };
                    refusal.get_or_insert(error);
                    self.undo(begins)?;
                    told = next;
                }
            }
        }
    }

    /// What the server has taken for text, for want of better knowledge, and is none: with the types of the values, where that
    /// means something.
    fn or_as_they_are(&mut self, text: &str, statement: OnServer, params: &[Value]) -> Result<(OnServer, Vec<Type>)> {
        let guessed = |of: &Type, value: &Value| *of == Type::TEXT && !is_textual(value);
        let types = statement.params();
        if types.len() != params.len() || !types.iter().zip(params).any(|(of, value)| guessed(of, value)) {
            return Ok((statement, Vec::new()));
        }
        let own = |(of, value): (&Type, &Value)| if guessed(of, value) { own_type(value) } else { Type::UNKNOWN };
        let told: Vec<Type> = types.iter().zip(params).map(own).collect();
        match self.try_to_prepare(text, &told, params) {
            Ok(better) => Ok((better, told)),
            Err(error) if self.broken => Err(error),
            Err(_) => {
                self.undo(false)?;
                Ok((statement, Vec::new()))
            }
        }
    }

    /// Prepares it with these types of parameters.
    pub(super) fn try_to_prepare(&mut self, text: &str, told: &[Type], params: &[Value]) -> Result<OnServer> {
        let before = if self.owes_release {
            // The savepoint stays for what comes after this.
            self.begin_call(self.plan.read_timeout)
        } else if params.is_empty() || self.status() != Status::InTransaction {
            self.begin_step()
        } else {
            self.begin_guarded()
        };
        let result = self.client()?.prepare_typed(text, told);
        let result = result.map(|statement| OnServer::new(statement, &self.watch));
        result.map_err(|error| self.failed(error, Phase::Before, before))
    }

    /// A savepoint goes out with what follows.
    fn begin_guarded(&mut self) -> u64 {
        self.owes_release = true;
        self.watch.begin_call_with(self.plan.read_timeout, prefix::messages(SAVEPOINT));
        self.watch.written()
    }

    /// A try that was refused is undone, so that the transaction goes on.
    pub(super) fn undo(&mut self, begins: bool) -> Result<()> {
        if self.owes_release {
            let limit = self.short();
            self.run_without_rows(BACK_TO_SAVEPOINT, Phase::Before, limit)
        } else if begins {
            // What this statement began holds nothing else.
            self.roll_back_open()
        } else {
            Ok(())
        }
    }

    /// The messages that take the savepoint away, for the next statement to take along.
    pub(super) fn release(&self) -> prefix::Prefix {
        prefix::messages(RELEASE)
    }

    /// After a statement: the savepoint goes, if it has not gone with it. `prefixes` is how many had gone out before it.
    pub(super) fn release_what_is_left(&mut self, prefixes: u64) -> Result<()> {
        if !std::mem::take(&mut self.owes_release)
            || self.watch.prefixes() > prefixes
            || self.status() != Status::InTransaction
        {
            return Ok(());
        }
        let limit = self.short();
        self.run_without_rows(RELEASE, Phase::Before, limit)
    }
}

impl Prepared {
    /// Whether these values can be sent to it: there are as many as it wants, and each fits the type that it has there.
    pub(super) fn takes(&self, params: &[Value]) -> bool {
        let room = self.room();
        self.statement.as_ref().is_none_or(|statement| fit(&self.told, statement.params(), params, room))
    }

    /// How numbers are looked at. What would be stored as an integer must not be told as something else: the server would round it.
    pub(super) fn room(&self) -> Room {
        if self.outline.reads_only() { Room::Exact } else { Room::Whole }
    }
}

/// The types to tell after a refusal, if there is something left to try.
fn more_told(error: &Error, told: &[Type], params: &[Value]) -> Option<Vec<Type>> {
    let code = error.code()?;
    let known = |at: usize| told.get(at).is_some_and(|of| *of != Type::UNKNOWN);
    let tell = |which: &dyn Fn(usize, &Value) -> bool| -> Option<Vec<Type>> {
        let is_new = params.iter().enumerate().any(|(at, value)| !known(at) && which(at, value));
        let of = |(at, value): (usize, &Value)| {
            if known(at) {
                told[at].clone()
            } else if which(at, value) {
                own_type(value)
            } else {
                Type::UNKNOWN
            }
        };
        is_new.then(|| params.iter().enumerate().map(of).collect())
    };
    match code.as_str() {
        // Which one it is stands in the message, in every language.
        "42P18" | "42P08" => {
            let number = parameter_in(error.message());
            tell(&|at, _| Some(at + 1) == number)
        }
        // An ambiguous function, one that is not there, and a polymorphic one.
        "42725" | "42883" | "42804" => tell(&|_, value| !is_textual(value)).or_else(|| tell(&|_, _| true)),
        _ => None,
    }
}

/// The number in `$1`.
fn parameter_in(message: &str) -> Option<usize> {
    let (_, behind) = message.split_once('$')?;
    let digits = behind.bytes().take_while(u8::is_ascii_digit).count();
    behind[..digits].parse().ok()
}

/// Says which parameter it is, and what to do.
fn numbered(error: Error, count: usize) -> Error {
    match (error.code().as_deref(), parameter_in(error.message())) {
        (Some("42P18" | "42P08"), Some(number)) if (1..=count).contains(&number) => {
            error.with_context(format_args!("parameter {number}: write its type, as in CAST(? AS integer)"))
        }
        _ => error,
    }
}

/// Values that the server reads as it reads a literal in quotes, so that it decides what they are.
fn is_textual(value: &Value) -> bool {
    match value {
        Value::Null | Value::Text(_) => true,
        Value::Other(other) => !other.is_number(),
        _ => false,
    }
}

/// The type that a value has by itself, as a literal in the text of a statement has one.
pub(super) fn own_type(value: &Value) -> Type {
    match value {
        Value::Bool(_) => Type::BOOL,
        Value::Int(n) => whole(i128::from(*n)),
        Value::UInt(n) => whole(i128::from(*n)),
        Value::Float(_) => Type::FLOAT4,
        Value::Double(_) => Type::FLOAT8,
        Value::Bytes(_) => Type::BYTEA,
        #[cfg(feature = "decimal")]
        Value::Decimal(_) => Type::NUMERIC,
        #[cfg(feature = "chrono")]
        Value::Date(_) => Type::DATE,
        #[cfg(feature = "chrono")]
        Value::Time(_) => Type::TIME,
        #[cfg(feature = "chrono")]
        Value::DateTime(_) | Value::DateTimeUtc(_) => Type::TIMESTAMP,
        #[cfg(feature = "chrono")]
        Value::DateTimeTz(_) => Type::TIMESTAMPTZ,
        Value::Interval(_) => Type::INTERVAL,
        #[cfg(feature = "uuid")]
        Value::Uuid(_) => Type::UUID,
        Value::Json(_) => Type::JSONB,
        Value::Array(items) | Value::List(items) => array_type(items),
        Value::Named(named) => own_type(&named.value),
        Value::Other(other) if other.is_number() => Type::NUMERIC,
        _ => Type::TEXT,
    }
}

fn whole(n: i128) -> Type {
    match n {
        _ if i32::try_from(n).is_ok() => Type::INT4,
        _ if i64::try_from(n).is_ok() => Type::INT8,
        _ => Type::NUMERIC,
    }
}

/// That of the first element which says something, and of the widest number.
fn array_type(items: &[Value]) -> Type {
    let rank = |of: &Type| [Type::INT4, Type::INT8, Type::NUMERIC].iter().position(|other| other == of);
    let mut element: Option<Type> = None;
    for item in items.iter().filter(|item| !item.is_null()) {
        let of = own_type(item);
        match &element {
            Some(known) if rank(&of) <= rank(known) => {}
            Some(known) if rank(known).is_none() => {}
            _ => element = Some(of),
        }
    }
    let element = element.unwrap_or(Type::TEXT);
    if matches!(element.kind(), Kind::Array(_)) {
        return element;
    }
    ARRAYS.iter().find(|array| *array.kind() == Kind::Array(element.clone())).cloned().unwrap_or(Type::TEXT_ARRAY)
}

const ARRAYS: &[Type] = &[
    Type::BOOL_ARRAY,
    Type::INT4_ARRAY,
    Type::INT8_ARRAY,
    Type::FLOAT4_ARRAY,
    Type::FLOAT8_ARRAY,
    Type::NUMERIC_ARRAY,
    Type::BYTEA_ARRAY,
    Type::DATE_ARRAY,
    Type::TIME_ARRAY,
    Type::TIMESTAMP_ARRAY,
    Type::TIMESTAMPTZ_ARRAY,
    Type::INTERVAL_ARRAY,
    Type::UUID_ARRAY,
    Type::JSONB_ARRAY,
];

/// Which numbers are looked at, whether they fit the type that the server has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// Integers, by their size.
    Whole,
    /// Those with a fraction as well, which fit no integer.
    Exact,
}

/// Whether values of these kinds can be sent to a statement that was prepared with the types that were told.
pub(super) fn fit(told: &[Type], types: &[Type], params: &[Value], room: Room) -> bool {
    let is_meant = |(of, value): (&Type, &Value)| *of == Type::UNKNOWN || value.is_null() || holds(of, value);
    told.iter().zip(params).all(is_meant) && types.iter().zip(params).all(|(of, value)| has_room(of, value, room))
}

/// Whether a type that was told for another value is right for this one as well.
fn holds(told: &Type, value: &Value) -> bool {
    let own = own_type(value);
    *told == own
        || match *told {
            Type::INT8 => own == Type::INT4,
            Type::NUMERIC => own == Type::INT4 || own == Type::INT8,
            Type::FLOAT8 => own == Type::FLOAT4,
            Type::INT8_ARRAY => own == Type::INT4_ARRAY,
            _ => false,
        }
}

/// Whether a number fits the type that the server has chosen for it.
fn has_room(of: &Type, value: &Value, room: Room) -> bool {
    match (value, of.kind()) {
        _ if room == Room::Exact && has_fraction_for(of, value) => false,
        (Value::Int(n), _) => match *of {
            Type::INT4 => i32::try_from(*n).is_ok(),
            Type::INT2 => i16::try_from(*n).is_ok(),
            _ => true,
        },
        (Value::UInt(n), _) => match *of {
            Type::INT8 => i64::try_from(*n).is_ok(),
            Type::INT4 => i32::try_from(*n).is_ok(),
            Type::INT2 => i16::try_from(*n).is_ok(),
            _ => true,
        },
        (Value::Array(items) | Value::List(items), Kind::Array(element)) => {
            items.iter().all(|item| matches!(item, Value::Array(_)) || has_room(element, item, room))
        }
        _ => true,
    }
}

/// The types to tell for values that do not fit: their own.
pub(super) fn wider(told: &[Type], types: &[Type], params: &[Value], room: Room) -> Vec<Type> {
    let of = |(at, value): (usize, &Value)| {
        let before = told.get(at).unwrap_or(&Type::UNKNOWN);
        let has_room = types.get(at).is_none_or(|of| has_room(of, value, room));
        if *before == Type::UNKNOWN && has_room { Type::UNKNOWN } else { own_type(value) }
    };
    params.iter().enumerate().map(of).collect()
}

/// The types to tell for a statement that is not prepared: those of arrays with numbers that the usual type of a number does not hold, so
/// that one of them does not make the whole list wrong.
pub(super) fn long_arrays(params: &[Value]) -> Vec<Type> {
    let is_long = |of: &Type| *of == Type::INT8_ARRAY || *of == Type::NUMERIC_ARRAY;
    let of = |value: &Value| match value {
        Value::Array(_) => Some(own_type(value)).filter(is_long),
        _ => None,
    };
    if !params.iter().any(|value| of(value).is_some()) {
        return Vec::new();
    }
    params.iter().map(|value| of(value).unwrap_or(Type::UNKNOWN)).collect()
}

/// The text under which a statement is kept that was prepared with these types.
pub(super) fn key(sql: &str, told: &[Type]) -> String {
    let types: Vec<String> = told.iter().map(|of| of.oid().to_string()).collect();
    format!("{sql}\0{}", types.join(","))
}

#[cfg(test)]
mod tests {
    use dockline_core::ErrorKind;

    use super::*;

    fn refused(code: &str, message: &str) -> Error {
        Error::new(ErrorKind::Programming, message.to_owned()).with_code(code.to_owned())
    }

    #[test]
    fn what_the_server_cannot_tell_is_told_and_no_more() {
        let params = [Value::Int(1), Value::Text("a".into()), Value::Null];
        let unknown = Type::UNKNOWN;
        let second = refused("42P18", "could not determine data type of parameter $2");
        let told = more_told(&second, &[], &params).unwrap();
        assert_eq!(told, [unknown.clone(), Type::TEXT, unknown.clone()]);
        assert_eq!(more_told(&second, &told, &params), None, "the same again would be refused again");

        let ambiguous = refused("42725", "function f(unknown, unknown) is not unique");
        let told = more_told(&ambiguous, &[], &params).unwrap();
        assert_eq!(told, [Type::INT4, unknown.clone(), unknown]);
        assert_eq!(more_told(&ambiguous, &told, &params).unwrap(), [Type::INT4, Type::TEXT, Type::TEXT]);
        assert_eq!(more_told(&refused("42601", "syntax error at $1"), &[], &params), None);
    }

    #[test]
    fn a_value_has_the_type_of_a_literal() {
        assert_eq!(own_type(&Value::Int(5)), Type::INT4);
        assert_eq!(own_type(&Value::Int(3_000_000_000)), Type::INT8);
        assert_eq!(own_type(&Value::UInt(u64::MAX)), Type::NUMERIC);
        let array = |items: &[i64]| Value::Array(items.iter().map(|n| Value::Int(*n)).collect());
        assert_eq!(own_type(&array(&[1, 3_000_000_000, 2])), Type::INT8_ARRAY);
        assert_eq!(own_type(&Value::Array(vec![Value::Null, Value::Text("a".into())])), Type::TEXT_ARRAY);
        assert_eq!(own_type(&Value::Array(vec![array(&[1])])), Type::INT4_ARRAY);
        assert_eq!(own_type(&Value::Array(vec![])), Type::TEXT_ARRAY);
    }

    #[test]
    fn a_number_that_does_not_fit_is_told_as_what_it_is() {
        let (small, large) = ([Value::Int(1)], [Value::Int(3_000_000_000)]);
        assert!(fit(&[], &[Type::INT4], &small, Room::Whole) && !fit(&[], &[Type::INT4], &large, Room::Whole));
        assert_eq!(wider(&[], &[Type::INT4], &large, Room::Whole), [Type::INT8]);
        assert!(fit(&[Type::INT8], &[Type::INT8], &small, Room::Whole));
        assert!(
            !fit(&[Type::INT4], &[Type::INT4], &[Value::Text("x".into())], Room::Whole),
            "another kind than was told"
        );
        assert!(fit(&[Type::INT4], &[Type::INT4], &[Value::Null], Room::Whole));
        assert_ne!(key("a", &[Type::INT4]), key("a", &[Type::INT8]));
    }

    #[test]
    fn a_message_says_which_parameter_it_is_about() {
        let error = numbered(refused("42P18", "could not determine data type of parameter $2"), 2);
        assert!(error.message().starts_with("parameter 2: write its type"), "{error}");
    }
}
