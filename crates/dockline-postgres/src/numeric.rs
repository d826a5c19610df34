//! PostgreSQL's `numeric` in its binary form.

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

#[cfg(test)]
mod tests {
    use super::text;

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
