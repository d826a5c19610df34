//! PostgreSQL's `numeric` in its binary form.

use std::fmt::{self, Write as _};

use bytes::{BufMut, BytesMut};

/// The digits of a number in text: `-12.50`, `NaN`, `Infinity`. `None` where the bytes are none.
pub(crate) fn text(raw: &[u8]) -> Option<String> {
    let mut words = raw.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    let (count, weight, sign, scale) = (words.next()?, words.next()? as i16, words.next()?, words.next()?);
    match sign {
        0xC000 => return Some("NaN".to_owned()),
        0xD000 => return Some("Infinity".to_owned()),
        0xF000 => return Some("-Infinity".to_owned()),
        _ => {}
    }
    // Groups of four decimal digits, the first of which is worth 10000 to the power of the weight.
    let groups: Vec<u16> = words.take(count.into()).collect();
    let group = |at: i32| usize::try_from(at).ok().and_then(|at| groups.get(at)).copied().unwrap_or(0);
    let mut text = String::new();
    if sign == 0x4000 {
        text.push('-');
    }
    let weight = i32::from(weight);
    if weight < 0 {
        text.push('0');
    }
    for at in 0..=weight {
        text.push_str(&if at == 0 { group(at).to_string() } else { format!("{:04}", group(at)) });
    }
    if scale > 0 {
        let mut fraction = String::new();
        let mut at = weight + 1;
        while fraction.len() < usize::from(scale) {
            fraction.push_str(&format!("{:04}", group(at)));
            at += 1;
        }
        fraction.truncate(scale.into());
        text.push('.');
        text.push_str(&fraction);
    }
    Some(text)
}

/// Writes a number of digits alone, such as `-12.50`. `None` if the text is something else.
pub(crate) fn write(number: impl fmt::Display, out: &mut BytesMut) -> Option<()> {
    let mut text = Text::default();
    write!(text, "{number}").ok()?;
    let bytes = &text.bytes[..text.length];
    let (sign, digits) = bytes.strip_prefix(b"-").map_or((POSITIVE, bytes), |digits| (NEGATIVE, digits));
    let point = digits.iter().position(|byte| *byte == b'.').unwrap_or(digits.len());
    let (whole, fraction) = (&digits[..point], digits.get(point + 1..).unwrap_or_default());
    if whole.is_empty() || !whole.iter().chain(fraction).all(u8::is_ascii_digit) {
        return None;
    }
    let (before, behind) = (whole.len().div_ceil(GROUP), fraction.len().div_ceil(GROUP));
    for word in [before + behind, before - 1, sign, fraction.len()] {
        out.put_u16(word.try_into().ok()?);
    }
    let value = |digits: &[u8]| digits.iter().fold(0, |value, digit| value * 10 + u16::from(digit - b'0'));
    let (first, rest) = whole.split_at(whole.len() - (before - 1) * GROUP);
    out.put_u16(value(first));
    rest.chunks(GROUP).for_each(|group| out.put_u16(value(group)));
    for group in fraction.chunks(GROUP) {
        let missing = u32::try_from(GROUP - group.len()).ok()?;
        out.put_u16(value(group) * 10_u16.pow(missing));
    }
    Some(())
}

const GROUP: usize = 4;
const POSITIVE: usize = 0;
const NEGATIVE: usize = 0x4000;

/// A text of a number that needs no memory.
struct Text {
    bytes: [u8; 64],
    length: usize,
}

impl Default for Text {
    fn default() -> Self {
        Self { bytes: [0; 64], length: 0 }
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let room = self.bytes.get_mut(self.length..self.length + part.len()).ok_or(fmt::Error)?;
        room.copy_from_slice(part.as_bytes());
        self.length += part.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::{text, write};

    #[test]
    fn what_is_written_is_read_again() {
        for number in
            ["0", "-1", "7", "9999", "10000", "-12.50", "0.0007", "0.00", "123456789.000012345", "100000000", "1.5"]
        {
            let mut out = BytesMut::new();
            write(number, &mut out).unwrap();
            assert_eq!(text(&out).as_deref(), Some(number));
        }
        let mut out = BytesMut::new();
        write(u64::MAX, &mut out).unwrap();
        assert_eq!(text(&out).unwrap(), u64::MAX.to_string());
        for other in ["", "-", ".5", "NaN", "1e5", "+1", "1.2.3", " 1", &"1".repeat(65)] {
            assert_eq!(write(other, &mut out), None, "{other}");
        }
    }

    fn numeric(weight: i16, sign: u16, scale: u16, groups: &[u16]) -> Option<String> {
        let count = u16::try_from(groups.len()).unwrap();
        let words = [count, weight as u16, sign, scale];
        let bytes: Vec<u8> = words.iter().chain(groups).flat_map(|word| word.to_be_bytes()).collect();
        text(&bytes)
    }

    #[test]
    fn digits_come_out_as_the_server_writes_them() {
        for (weight, sign, scale, groups, wanted) in [
            (0, 0, 0, &[][..], "0"),
            (0, 0, 2, &[], "0.00"),
            (0, 0, 0, &[5], "5"),
            (1, 0, 0, &[1, 2345], "12345"),
            (1, 0, 0, &[1], "10000"),
            (0, 0x4000, 2, &[12, 5000], "-12.50"),
            (-1, 0, 4, &[7], "0.0007"),
            (-2, 0, 6, &[1200], "0.000012"),
            (0, 0, 1, &[1, 5000], "1.5"),
            (0, 0xC000, 0, &[], "NaN"),
        ] {
            assert_eq!(numeric(weight, sign, scale, groups).as_deref(), Some(wanted));
        }
        assert_eq!(text(&[0, 1]), None);
    }
}
