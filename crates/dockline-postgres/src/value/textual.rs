//! Simple types that have no value of their own, as the text that the server writes.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use dockline_core::Value;
use postgres::types::Type;

use super::bytes::{Bytes, array};
use super::moment;

/// Whether [`text`] has the type.
pub(super) fn knows(of: &Type) -> bool {
    const BUILT_IN: &[Type] = &[
        Type::INET,
        Type::CIDR,
        Type::MACADDR,
        Type::MACADDR8,
        Type::TIMETZ,
        Type::BIT,
        Type::VARBIT,
        Type::PG_LSN,
        Type::TID,
        Type::XID8,
        Type::POINT,
        Type::LSEG,
        Type::BOX,
        Type::PATH,
        Type::POLYGON,
        Type::LINE,
        Type::CIRCLE,
        Type::JSONPATH,
    ];
    BUILT_IN.contains(of) || matches!(of.name(), "ltree" | "lquery" | "ltxtquery" | "hstore" | "vector")
}

/// The text of a value; `None` for types that are not known, and for bytes that are none.
pub(super) fn text(of: &Type, raw: &[u8]) -> Option<String> {
    let mut bytes = Bytes(raw);
    Some(match *of {
        Type::INET | Type::CIDR => address(raw)?,
        Type::MACADDR | Type::MACADDR8 => {
            let parts: Vec<String> = raw.iter().map(|byte| format!("{byte:02x}")).collect();
            parts.join(":")
        }
        Type::TIMETZ => {
            let time = moment::clock(bytes.fixed().map(i64::from_be_bytes)?);
            let time = time.map_or("24:00:00".to_owned(), |time| time.to_string());
            format!("{time}{}", offset(bytes.i32()?))
        }
        Type::BIT | Type::VARBIT => bits(&mut bytes)?,
        Type::PG_LSN => {
            format!("{:X}/{:X}", bytes.fixed().map(u32::from_be_bytes)?, bytes.fixed().map(u32::from_be_bytes)?)
        }
        Type::TID => format!("({},{})", bytes.fixed().map(u32::from_be_bytes)?, bytes.fixed().map(u16::from_be_bytes)?),
        Type::XID8 => u64::from_be_bytes(array(raw)?).to_string(),
        Type::POINT => point(&mut bytes)?,
        Type::LSEG => format!("[{},{}]", point(&mut bytes)?, point(&mut bytes)?),
        Type::BOX => format!("{},{}", point(&mut bytes)?, point(&mut bytes)?),
        Type::PATH => {
            let [is_closed] = bytes.fixed()?;
            let points = points(&mut bytes)?;
            if is_closed != 0 { format!("({points})") } else { format!("[{points}]") }
        }
        Type::POLYGON => format!("({})", points(&mut bytes)?),
        Type::LINE => format!("{{{},{},{}}}", double(&mut bytes)?, double(&mut bytes)?, double(&mut bytes)?),
        Type::CIRCLE => format!("<{},{}>", point(&mut bytes)?, double(&mut bytes)?),
        Type::JSONPATH => versioned(raw)?,
        _ => match of.name() {
            "ltree" | "lquery" | "ltxtquery" => versioned(raw)?,
            "hstore" => hstore(&mut bytes)?,
            "vector" => vector(&mut bytes)?,
            _ => return None,
        },
    })
}

/// Without the netmask that says nothing.
fn address(raw: &[u8]) -> Option<String> {
    let [_family, mask, is_network, _length, octets @ ..] = raw else { return None };
    let address: IpAddr = match octets.len() {
        4 => Ipv4Addr::from(<[u8; 4]>::try_from(octets).ok()?).into(),
        16 => Ipv6Addr::from(<[u8; 16]>::try_from(octets).ok()?).into(),
        _ => return None,
    };
    let whole = if address.is_ipv4() { 32 } else { 128 };
    Some(if *mask == whole && *is_network == 0 { address.to_string() } else { format!("{address}/{mask}") })
}

/// The server counts seconds west of Greenwich.
fn offset(west: i32) -> String {
    let (sign, size) = (if west > 0 { '-' } else { '+' }, west.unsigned_abs());
    let mut text = format!("{sign}{:02}", size / 3_600);
    for part in [size / 60 % 60, size % 60].iter().take(if size % 60 > 0 { 2 } else { usize::from(size % 3_600 > 0) }) {
        let _ = write!(text, ":{part:02}");
    }
    text
}

fn bits(bytes: &mut Bytes<'_>) -> Option<String> {
    let count = usize::try_from(bytes.i32()?).ok().filter(|count| count.div_ceil(8) == bytes.0.len())?;
    let is_set = |at: usize| bytes.0[at / 8] & (0x80 >> (at % 8)) != 0;
    Some((0..count).map(|at| if is_set(at) { '1' } else { '0' }).collect())
}

fn double(bytes: &mut Bytes<'_>) -> Option<String> {
    Value::Double(bytes.double()?).text().map(String::from)
}

fn point(bytes: &mut Bytes<'_>) -> Option<String> {
    Some(format!("({},{})", double(bytes)?, double(bytes)?))
}

fn points(bytes: &mut Bytes<'_>) -> Option<String> {
    let count = bytes.i32()?;
    let points: Vec<String> = (0..count).map(|_| point(bytes)).collect::<Option<_>>()?;
    Some(points.join(","))
}

fn versioned(raw: &[u8]) -> Option<String> {
    std::str::from_utf8(raw.get(1..)?).ok().map(str::to_owned)
}

fn hstore(bytes: &mut Bytes<'_>) -> Option<String> {
    let quoted = |text: &[u8]| {
        let text = std::str::from_utf8(text).ok()?;
        Some(format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")))
    };
    let count = bytes.i32()?;
    let mut pairs = Vec::new();
    for _ in 0..count {
        let key = quoted(bytes.field()??)?;
        let value = match bytes.field()? {
            Some(value) => quoted(value)?,
            None => "NULL".to_owned(),
        };
        pairs.push(format!("{key}=>{value}"));
    }
    Some(pairs.join(", "))
}

/// Of the extension pgvector.
fn vector(bytes: &mut Bytes<'_>) -> Option<String> {
    let count = bytes.fixed().map(u16::from_be_bytes)?;
    bytes.take(2)?;
    let number = |bytes: &mut Bytes<'_>| Value::Float(bytes.fixed().map(f32::from_be_bytes)?).text().map(String::from);
    let numbers: Vec<String> = (0..count).map(|_| number(bytes)).collect::<Option<_>>()?;
    Some(format!("[{}]", numbers.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_netmask_is_written_where_it_says_something() {
        assert_eq!(text(&Type::INET, &[2, 32, 0, 4, 10, 0, 0, 1]).unwrap(), "10.0.0.1");
        assert_eq!(text(&Type::INET, &[2, 8, 0, 4, 10, 0, 0, 1]).unwrap(), "10.0.0.1/8");
        assert_eq!(text(&Type::CIDR, &[2, 32, 1, 4, 10, 0, 0, 1]).unwrap(), "10.0.0.1/32");
        assert_eq!(text(&Type::INET, &[2, 32, 0, 4, 10]), None);
    }

    #[test]
    fn offsets_are_as_long_as_they_have_to_be() {
        assert_eq!(offset(0), "+00");
        assert_eq!(offset(-7_200), "+02");
        assert_eq!(offset(19_800), "-05:30");
        assert_eq!(offset(-1), "+00:00:01");
    }

    #[test]
    fn bits_are_as_many_as_there_are() {
        assert_eq!(text(&Type::VARBIT, &[0, 0, 0, 3, 0b1010_0000]).unwrap(), "101");
        assert_eq!(text(&Type::VARBIT, &[0, 0, 0, 9, 0]), None);
    }
}
