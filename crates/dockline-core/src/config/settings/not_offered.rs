//! Settings that pools have, and that there is no need for here.

use crate::base::error::Error;

/// Returns the error for one of them; `None` if the name is another.
pub(super) fn not_offered(name: &str) -> Option<Error> {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    let why = match plain.to_ascii_lowercase().as_str() {
        "minidle" | "minimumidle" | "minconnections" => {
            "no connections are kept in reserve: a thread opens its own, and keeps it; for one that is open before the first request call \
             ensure_connection where the thread starts"
        }
        _ => return None,
    };
    Some(Error::config(format!("setting {name}: {why}; leave it out")))
}
