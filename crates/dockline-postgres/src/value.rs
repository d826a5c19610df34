//! Columns of PostgreSQL as values.

mod bytes;
mod container;
mod moment;
mod money;
mod textual;

use std::error::Error as StdError;

use dockline_core::backend::RowValues;
use dockline_core::{Error, ErrorKind, Interval, Other, RawJson, Value};
use postgres::types::{FromSql, Kind, Type};

use crate::numeric;
use bytes::array;

#[cfg(feature = "chrono")]
pub(crate) use moment::EPOCH;
pub(crate) use money::Money;

/// A column as it came, on its way out of the driver.
pub(crate) struct Raw<'a>(pub(crate) Option<&'a [u8]>);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Send + Sync>> {
        Ok(Self(Some(raw)))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn StdError + Send + Sync>> {
        Ok(Self(None))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// What reading values needs to know of the session.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Reader {
    /// How the server writes amounts of money; `None` where nobody has asked it.
    pub(crate) money: Option<Money>,
}

impl Reader {
    /// The value of a column. One that cannot be read comes as a value that can be read as nothing: the others of its row are
    /// good all the same.
    pub(crate) fn value(self, of: &Type, raw: Option<&[u8]>) -> Value {
        match raw {
            Some(raw) => self.read(of, raw).unwrap_or_else(|| Value::Other(Box::new(Other::opaque(of.to_string())))),
            None => Value::Null,
        }
    }

    /// Writes the value of a column into its row. The kinds that most columns are of need no value in between.
    #[inline]
    pub(crate) fn value_into(self, row: &mut RowValues, of: &Type, raw: Option<&[u8]>) {
        let Some(raw) = raw else { return row.null() };
        match *of {
            Type::INT8 => match array(raw) {
                Some(bytes) => row.int(i64::from_be_bytes(bytes)),
                None => row.value(self.value(of, Some(raw))),
            },
            Type::INT4 => match array(raw) {
                Some(bytes) => row.int(i32::from_be_bytes(bytes).into()),
                None => row.value(self.value(of, Some(raw))),
            },
            Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME => match std::str::from_utf8(raw) {
                Ok(text) => row.text(text),
                Err(_) => row.bytes(raw),
            },
            Type::BYTEA => row.bytes(raw),
            _ => row.value(self.value(of, Some(raw))),
        }
    }

    fn read(self, of: &Type, raw: &[u8]) -> Option<Value> {
        Some(match *of {
            Type::BOOL => Value::Bool(*raw.first()? != 0),
            Type::INT8 => Value::Int(i64::from_be_bytes(array(raw)?)),
            Type::INT4 => Value::Int(i32::from_be_bytes(array(raw)?).into()),
            Type::INT2 => Value::Int(i16::from_be_bytes(array(raw)?).into()),
            Type::OID | Type::XID | Type::CID => Value::Int(u32::from_be_bytes(array(raw)?).into()),
            Type::FLOAT8 => Value::Double(f64::from_be_bytes(array(raw)?)),
            Type::FLOAT4 => Value::Float(f32::from_be_bytes(array(raw)?)),
            Type::TEXT
            | Type::VARCHAR
            | Type::BPCHAR
            | Type::NAME
            | Type::UNKNOWN
            | Type::XML
            | Type::CHAR
            | Type::REFCURSOR
            | Type::VOID => text(raw),
            Type::BYTEA => Value::Bytes(raw.to_vec()),
            Type::NUMERIC => number(numeric::text(raw)?),
            Type::DATE => moment::date(i32::from_be_bytes(array(raw)?)),
            Type::TIME => moment::time(i64::from_be_bytes(array(raw)?)),
            Type::TIMESTAMP => moment::timestamp(i64::from_be_bytes(array(raw)?), false),
            Type::TIMESTAMPTZ => moment::timestamp(i64::from_be_bytes(array(raw)?), true),
            Type::INTERVAL => Value::Interval(interval(raw)?),
            Type::UUID => uuid(array(raw)?),
            Type::JSON => Value::Json(RawJson::new(std::str::from_utf8(raw).ok()?)),
            // A byte with the version stands before the text.
            Type::JSONB => Value::Json(RawJson::new(std::str::from_utf8(raw.get(1..)?).ok()?)),
            Type::MONEY => self.money?.value(i64::from_be_bytes(array(raw)?)),
            _ => return self.read_rare(of, raw),
        })
    }

    fn read_rare(self, of: &Type, raw: &[u8]) -> Option<Value> {
        Some(match of.kind() {
            Kind::Enum(_) => text(raw),
            Kind::Domain(inner) => self.read(inner, raw)?,
            Kind::Array(element) => Value::Array(self.array(element, raw)?),
            Kind::Range(inner) => other(of, self.range(inner, raw)?),
            Kind::Multirange(range) => other(of, self.multirange(range, raw)?),
            Kind::Composite(fields) => {
                let types: Vec<&Type> = fields.iter().map(postgres::types::Field::type_).collect();
                other(of, self.composite(Some(&types), raw)?)
            }
            _ if *of == Type::RECORD => other(of, self.composite(None, raw)?),
            _ if of.name() == "citext" => text(raw),
            _ => other(of, textual::text(of, raw)?),
        })
    }

    /// Whether values of this type can be read as something.
    pub(crate) fn knows(self, of: &Type) -> bool {
        match of.kind() {
            Kind::Enum(_) => true,
            Kind::Domain(inner) | Kind::Array(inner) | Kind::Range(inner) | Kind::Multirange(inner) => {
                self.knows(inner)
            }
            Kind::Composite(fields) => fields.iter().all(|field| self.knows(field.type_())),
            _ if *of == Type::MONEY => self.money.is_some(),
            _ => textual::knows(of) || KNOWN.contains(of) || of.name() == "citext",
        }
    }

    /// Refuses a column of a statement that writes, if its values could not be read after that.
    pub(crate) fn accepts(self, name: &str, of: &Type) -> Result<(), Error> {
        if self.knows(of) {
            return Ok(());
        }
        let message = format!(
            "column {name:?} has the type {of}, which has no value here, so the statement was not run; cast it, as in \
             {name}::text"
        );
        Err(Error::new(ErrorKind::NotSupported, message))
    }

    /// Whether the type is that of money, or holds it.
    pub(crate) fn is_of_money(of: &Type) -> bool {
        match of.kind() {
            Kind::Domain(inner) | Kind::Array(inner) | Kind::Range(inner) | Kind::Multirange(inner) => {
                Self::is_of_money(inner)
            }
            Kind::Composite(fields) => fields.iter().any(|field| Self::is_of_money(field.type_())),
            _ => *of == Type::MONEY,
        }
    }
}

/// The simple types that [`Reader::read`] has by itself.
const KNOWN: &[Type] = &[
    Type::BOOL,
    Type::INT8,
    Type::INT4,
    Type::INT2,
    Type::OID,
    Type::XID,
    Type::CID,
    Type::FLOAT8,
    Type::FLOAT4,
    Type::TEXT,
    Type::VARCHAR,
    Type::BPCHAR,
    Type::NAME,
    Type::UNKNOWN,
    Type::XML,
    Type::CHAR,
    Type::REFCURSOR,
    Type::VOID,
    Type::BYTEA,
    Type::NUMERIC,
    Type::DATE,
    Type::TIME,
    Type::TIMESTAMP,
    Type::TIMESTAMPTZ,
    Type::INTERVAL,
    Type::UUID,
    Type::JSON,
    Type::JSONB,
    Type::RECORD,
];

fn other(of: &Type, text: String) -> Value {
    Value::Other(Box::new(Other::new(of.name(), text)))
}

/// Text that is not UTF-8 comes out as bytes: nothing is lost, and reading it as text is an error that says so.
fn text(raw: &[u8]) -> Value {
    match std::str::from_utf8(raw) {
        Ok(text) => Value::Text(text.to_owned()),
        Err(_) => Value::Bytes(raw.to_vec()),
    }
}

fn number(digits: String) -> Value {
    #[cfg(feature = "decimal")]
    if let Ok(decimal) = rust_decimal::Decimal::from_str_exact(&digits) {
        return Value::Decimal(decimal);
    }
    Value::Other(Box::new(Other::number("numeric", digits)))
}

fn interval(raw: &[u8]) -> Option<Interval> {
    let raw: [u8; 16] = array(raw)?;
    let (micros, rest) = raw.split_at(8);
    let (days, months) = rest.split_at(4);
    Some(Interval {
        micros: i64::from_be_bytes(array(micros)?),
        days: i32::from_be_bytes(array(days)?),
        months: i32::from_be_bytes(array(months)?),
    })
}

fn uuid(bytes: [u8; 16]) -> Value {
    let uuid = uuid::Uuid::from_bytes(bytes);
    #[cfg(feature = "uuid")]
    return Value::Uuid(uuid);
    #[cfg(not(feature = "uuid"))]
    return Value::Text(uuid.to_string());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_broken_can_be_read_as_nothing() {
        let reader = Reader::default();
        for of in [Type::INT4, Type::INTERVAL, Type::NUMERIC, Type::INT4_ARRAY, Type::INET, Type::RECORD, Type::UUID] {
            let value = reader.value(&of, Some(&[1, 2, 3]));
            assert!(matches!(&value, Value::Other(other) if other.text().is_none()), "{of}: {value:?}");
        }
    }

    #[test]
    fn a_type_that_is_known_is_one_that_is_read() {
        let reader = Reader::default();
        assert!(reader.knows(&Type::INT4_ARRAY) && reader.knows(&Type::INT8_RANGE) && reader.knows(&Type::INET));
        assert!(!reader.knows(&Type::TS_VECTOR) && !reader.knows(&Type::MONEY) && !reader.knows(&Type::MONEY_ARRAY));
        assert!(Reader::is_of_money(&Type::MONEY_ARRAY));
    }
}
