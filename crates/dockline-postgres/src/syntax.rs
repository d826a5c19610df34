//! What counts as text, comment and placeholder in PostgreSQL's SQL.

use dockline_core::placeholder::Syntax;

pub(crate) const SYNTAX: Syntax = Syntax {
    numbered: true,
    backslash_escapes: false,
    escape_strings: true,
    dollar_quotes: true,
    nested_comments: true,
    hash_comments: false,
    bracket_names: false,
};
