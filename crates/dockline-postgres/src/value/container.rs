//! Types that hold others: arrays as values, the rest as the text that the server writes.

use dockline_core::Value;
use postgres::types::{Kind, Type};

use super::Reader;
use super::bytes::Bytes;
use crate::literal;

/// The server's own limit.
const MOST_DIMENSIONS: i32 = 6;

impl Reader {
    pub(super) fn array(self, element: &Type, raw: &[u8]) -> Option<Vec<Value>> {
        let mut bytes = Bytes(raw);
        let dimensions = bytes.i32().filter(|count| (0..=MOST_DIMENSIONS).contains(count))?;
        // Whether there are nulls, and the type, which are known.
        bytes.take(8)?;
        let mut lengths = Vec::new();
        for _ in 0..dimensions {
            lengths.push(usize::try_from(bytes.i32()?).ok()?);
            // The index of the first.
            bytes.take(4)?;
        }
        if lengths.is_empty() { Some(Vec::new()) } else { self.dimension(element, &lengths, &mut bytes) }
    }

    fn dimension(self, element: &Type, lengths: &[usize], bytes: &mut Bytes<'_>) -> Option<Vec<Value>> {
        let (length, inner) = lengths.split_first()?;
        // Each takes four bytes at the least: no length that is made up takes memory.
        let mut items = Vec::with_capacity((*length).min(bytes.0.len() / 4));
        for _ in 0..*length {
            items.push(if inner.is_empty() {
                self.value(element, bytes.field()?)
            } else {
                Value::Array(self.dimension(element, inner, bytes)?)
            });
        }
        Some(items)
    }

    /// `[1,5)`, `empty`.
    pub(super) fn range(self, inner: &Type, raw: &[u8]) -> Option<String> {
        const EMPTY: u8 = 0x01;
        const LOWER_INCLUSIVE: u8 = 0x02;
        const UPPER_INCLUSIVE: u8 = 0x04;
        const LOWER_INFINITE: u8 = 0x08;
        const UPPER_INFINITE: u8 = 0x10;
        let mut bytes = Bytes(raw);
        let [flags] = bytes.fixed()?;
        if flags & EMPTY != 0 {
            return Some("empty".to_owned());
        }
        let mut text = String::from(if flags & LOWER_INCLUSIVE != 0 { "[" } else { "(" });
        if flags & LOWER_INFINITE == 0 {
            self.bound(inner, &mut bytes, &mut text)?;
        }
        text.push(',');
        if flags & UPPER_INFINITE == 0 {
            self.bound(inner, &mut bytes, &mut text)?;
        }
        text.push(if flags & UPPER_INCLUSIVE != 0 { ']' } else { ')' });
        Some(text)
    }

    fn bound(self, inner: &Type, bytes: &mut Bytes<'_>, text: &mut String) -> Option<()> {
        let written = literal::of(&self.value(inner, bytes.field()?))?;
        doubled(&written, "()[],\"\\", text);
        Some(())
    }

    /// `{[1,5),[7,9)}`.
    pub(super) fn multirange(self, range: &Type, raw: &[u8]) -> Option<String> {
        // The driver names the type of the bounds, or that of the ranges.
        let inner = if let Kind::Range(inner) = range.kind() { inner } else { range };
        let mut bytes = Bytes(raw);
        let count = bytes.i32()?;
        let mut ranges = Vec::new();
        for _ in 0..count {
            ranges.push(self.range(inner, bytes.field()??)?);
        }
        Some(format!("{{{}}}", ranges.join(",")))
    }

    /// `(1,"two words",)`; what has no type of its own says the types of its fields.
    pub(super) fn composite(self, types: Option<&[&Type]>, raw: &[u8]) -> Option<String> {
        let mut bytes = Bytes(raw);
        let count = usize::try_from(bytes.i32()?).ok()?;
        let mut text = String::from("(");
        for at in 0..count {
            if at > 0 {
                text.push(',');
            }
            let number = bytes.fixed().map(u32::from_be_bytes)?;
            let told = Type::from_oid(number);
            // What is known of the fields may be of yesterday; what stands in front of them is of now.
            let known = types.and_then(|types| types.get(at).copied()).filter(|of| of.oid() == number);
            let of = known.or(told.as_ref())?;
            if let Some(field) = bytes.field()? {
                doubled(&literal::of(&self.value(of, Some(field)))?, "(),\"\\", &mut text);
            }
        }
        text.push(')');
        Some(text)
    }
}

/// In quotes if it has to be; quotes and backslashes in it are doubled.
fn doubled(written: &str, special: &str, text: &mut String) {
    if !written.is_empty() && !written.contains(|c: char| special.contains(c) || c.is_whitespace()) {
        return text.push_str(written);
    }
    text.push('"');
    for c in written.chars() {
        if matches!(c, '"' | '\\') {
            text.push(c);
        }
        text.push(c);
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array_of(lengths: &[i32], items: &[Option<i32>]) -> Vec<u8> {
        let mut raw = Vec::new();
        let dimensions = i32::try_from(lengths.len()).unwrap();
        raw.extend([dimensions, 1, 23].iter().flat_map(|word| word.to_be_bytes()));
        raw.extend(lengths.iter().flat_map(|length| [*length, 1]).flat_map(i32::to_be_bytes));
        for item in items {
            match item {
                Some(n) => raw.extend([4, *n].iter().flat_map(|word| word.to_be_bytes())),
                None => raw.extend((-1_i32).to_be_bytes()),
            }
        }
        raw
    }

    #[test]
    fn an_array_holds_arrays_where_it_has_more_dimensions() {
        let read = |raw: &[u8]| Reader::default().array(&Type::INT4, raw);
        assert_eq!(read(&array_of(&[], &[])), Some(vec![]));
        assert_eq!(read(&array_of(&[2], &[Some(7), None])), Some(vec![Value::Int(7), Value::Null]));
        let inner = |n| Value::Array(vec![Value::Int(n), Value::Int(n + 1)]);
        assert_eq!(read(&array_of(&[2, 2], &[Some(1), Some(2), Some(3), Some(4)])), Some(vec![inner(1), inner(3)]));
        // What says that it is longer than it is takes no memory for it.
        assert_eq!(read(&array_of(&[i32::MAX], &[Some(1)])), None);
        assert_eq!(read(&array_of(&[-1], &[])), None);
    }

    #[test]
    fn what_would_be_read_otherwise_is_in_quotes() {
        let written = |text: &str| {
            let mut out = String::new();
            doubled(text, "(),\"\\", &mut out);
            out
        };
        assert_eq!(written("a"), "a");
        assert_eq!(written(""), "\"\"");
        assert_eq!(written("a \"b\" \\"), r#""a ""b"" \\""#);
    }
}
