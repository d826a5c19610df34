//! A server that takes no more connections: the error says what the server cannot know.

use std::sync::atomic::Ordering;

use crate::base::error::Error;
use crate::base::logging::say;
use crate::config::engines::AliasConfig;

/// Adds to the error of a full server how many threads of this process use the alias, and what can be done; the first time, the log says
/// it too. Other errors stay as they are.
pub(crate) fn explain(config: &AliasConfig, error: Error, threads: usize) -> Error {
    if !error.is_server_full() {
        return error;
    }
    let hint = hint(threads, config.max_connections.load(Ordering::Relaxed));
    if !config.warned_of_full.swap(true, Ordering::Relaxed) {
        say!(
            warn,
            "alias {:?}: the server refuses a connection ({}): {hint}",
            config.alias,
            error.code().unwrap_or_default()
        );
    }
    let hint = match error.hint() {
        Some(theirs) => format!("{theirs} {hint}"),
        None => hint,
    };
    error.with_hint(hint)
}

/// `limit`: what the server takes; 0 if it has not been asked.
fn hint(threads: usize, limit: u64) -> String {
    let threads = if threads == 1 {
        "1 thread of this process uses".to_owned()
    } else {
        format!("{threads} threads of this process use")
    };
    let limit = if limit == 0 {
        String::new()
    } else {
        format!(", and the server takes {limit} connections (max_connections)")
    };
    format!(
        "{threads} this alias{limit}; use fewer threads, set max_connections so that they take turns, close connections sooner \
         (TaskPolicy::CloseAll, a lower conn_max_age), raise \
         the limit, or put a pooler before the server"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hint_has_the_numbers_that_are_known() {
        let known = hint(201, 100);
        assert!(
            known.starts_with("201 threads of this process use this alias, and the server takes 100 connections"),
            "{known}"
        );
        assert!(hint(1, 0).starts_with("1 thread of this process uses this alias; use fewer"), "{}", hint(1, 0));
    }
}
