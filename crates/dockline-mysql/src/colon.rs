//! What the driver takes for parameters of its own.
//!
//! It replaces `:name` in every text that it prepares, and reads quotes and comments in a way of its own. A text in which it
//! would find a name runs as text instead. This follows `mysql_common::named_params`, which the driver does not export.

/// Whether the driver would take something in the text for a parameter with a name.
pub(crate) fn has_colon_name(sql: &str) -> bool {
    let is_start = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    sql.as_bytes().windows(2).any(|pair| pair[0] == b':' && is_start(pair[1])) && reads_a_name(sql.as_bytes())
}

#[derive(Clone, Copy)]
enum At {
    Top,
    /// In quotes, after a backslash or not.
    Quoted {
        quote: u8,
        escaped: bool,
    },
    Colon,
    HashComment,
    Dash,
    TwoDashes,
    DashComment,
    Slash,
    SlashStar,
    Comment,
    CommentStar,
    Name,
}

fn reads_a_name(sql: &[u8]) -> bool {
    let mut at = At::Top;
    for &byte in sql {
        at = match at {
            At::Colon if byte.is_ascii_lowercase() || byte == b'_' => return true,
            // What ends it may begin another or a text, and nothing else.
            At::Colon => match byte {
                b':' => At::Colon,
                b'\'' | b'"' => At::Quoted { quote: byte, escaped: false },
                _ => At::Top,
            },
            At::Top => match byte {
                b':' => At::Colon,
                b'/' => At::Slash,
                b'-' => At::Dash,
                b'#' => At::HashComment,
                b'\'' | b'"' => At::Quoted { quote: byte, escaped: false },
                b'`' => At::Name,
                _ => At::Top,
            },
            At::Quoted { quote, escaped: true } => At::Quoted { quote, escaped: false },
            At::Quoted { quote, .. } if byte == quote => At::Top,
            At::Quoted { quote, .. } => At::Quoted { quote, escaped: byte == b'\\' },
            At::HashComment | At::DashComment if byte == b'\n' => At::Top,
            At::HashComment | At::DashComment => at,
            At::Dash if byte == b'-' => At::TwoDashes,
            At::TwoDashes if byte.is_ascii_whitespace() && byte != b'\n' => At::DashComment,
            At::Dash | At::TwoDashes => At::Top,
            At::Slash if byte == b'*' => At::SlashStar,
            At::Slash => At::Top,
            At::SlashStar if matches!(byte, b'!' | b'+') => At::Top,
            At::SlashStar => At::Comment,
            At::Comment if byte == b'*' => At::CommentStar,
            At::CommentStar if byte == b'/' => At::Top,
            At::Comment | At::CommentStar => At::Comment,
            At::Name if byte == b'`' => At::Top,
            At::Name => At::Name,
        };
    }
    false
}

#[cfg(test)]
mod tests {
    use super::has_colon_name;

    #[test]
    fn what_the_driver_takes_for_a_name_is_seen() {
        for sql in ["SELECT :id", "SELECT -'a:b'", "SELECT 1 --'a:b'", "SELECT '\\', ':b'", "SELECT /**/ '*/ :b'"] {
            assert!(has_colon_name(sql), "{sql}");
        }
    }

    #[test]
    fn a_colon_that_it_reads_past_is_none() {
        for sql in
            ["SELECT @a:=1, '12:30', 'http://x', 'C:'", "SELECT 'a:b', \"c:d\", `e:f` /* g:h */ # i:j", "a -- b:c"]
        {
            assert!(!has_colon_name(sql), "{sql}");
        }
    }
}
