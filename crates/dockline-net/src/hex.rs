//! Bytes as text.

/// The hexadecimal digits of bytes, two for each, in lower case: ASCII.
///
/// ```
/// let digits: Vec<u8> = dockline_net::hex(&[0, 0xab]).collect();
/// assert_eq!(digits, b"00ab");
/// ```
pub fn hex(bytes: &[u8]) -> impl Iterator<Item = u8> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]])
}
