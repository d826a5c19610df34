//! How something failed, without the words of the error: they may quote a value.

use std::fmt;

use crate::base::error::{Error, ErrorKind};

/// How something failed: the kind and the code of the [`Error`](crate::Error), without its message, which may quote a value.
#[derive(Clone, Copy)]
pub struct Failure<'a> {
    error: &'a Error,
}

impl<'a> Failure<'a> {
    pub(crate) fn new(error: &'a Error) -> Self {
        Self { error }
    }

    /// Returns the kind.
    pub fn kind(&self) -> ErrorKind {
        self.error.kind()
    }

    /// Returns the database's code: a SQLSTATE, or a number of MySQL or SQLite.
    pub fn code(&self) -> Option<String> {
        self.error.code()
    }

    /// Returns whether the connection was lost.
    pub fn is_disconnect(&self) -> bool {
        self.error.is_disconnect()
    }

    /// Returns whether the same may succeed if it is tried again: a deadlock, say.
    pub fn is_retryable(&self) -> bool {
        self.error.is_retryable()
    }

    /// Returns whether there was no connection to be had.
    pub fn is_exhausted(&self) -> bool {
        self.error.is_exhausted()
    }

    /// Returns whether the statement may have run all the same.
    pub fn may_have_executed(&self) -> bool {
        self.error.may_have_executed()
    }
}

impl fmt::Debug for Failure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failure").field("kind", &self.kind()).field("code", &self.code()).finish_non_exhaustive()
    }
}
