//! Derive macros of [Dockline](https://docs.rs/dockline). Use them by the feature `derive` of that crate.
//!
//! | macro | on | what it makes |
//! |---|---|---|
//! | [`FromRow`](macro@FromRow) | structs | a row of a result, read by the names of its columns |
//! | [`ToValue`](macro@ToValue), [`FromValue`](macro@FromValue) | enums, structs of one field | a value: a word or a number, or that of the field |
//! | [`NamedParams`](macro@NamedParams) | structs | parameters by name: `:field` in a statement |

#![forbid(unsafe_code)]

mod attributes;
mod case;
mod named;
mod row;
mod value;

use proc_macro::TokenStream;
use proc_macro2::TokenStream as Tokens;
use syn::{DeriveInput, parse_macro_input};

/// Reads a row as a struct, a column a field, by name; a tuple struct by position.
///
/// | attribute of a field | meaning |
/// |---|---|
/// | `#[dockline(rename = "name")]` | the column has another name |
/// | `#[dockline(skip)]` | it is no column: it is `Default::default()` |
/// | `#[dockline(default)]` | a column that the result does not have is `Default::default()` |
/// | `#[dockline(flatten)]` | the field is a struct that derives `FromRow` too, and reads its own columns; as an `Option` it is `None` if all of them are null, as after a LEFT JOIN |
/// | `#[dockline(flatten, prefix = "author_")]` | the same, and its columns have names that begin so |
#[proc_macro_derive(FromRow, attributes(dockline))]
pub fn derive_from_row(input: TokenStream) -> TokenStream {
    expand(&parse_macro_input!(input as DeriveInput), row::from_row)
}

/// Makes a value of an enum without fields, or of a struct of one field.
///
/// An enum is a word, its variant's name, or with `#[dockline(integer)]` its number. A struct of one field is the value of that.
///
/// | attribute | meaning |
/// |---|---|
/// | `#[dockline(rename_all = "snake_case")]` of an enum | how the words are written: also `lowercase`, `UPPERCASE`, `camelCase`, `SCREAMING_SNAKE_CASE`, `kebab-case` |
/// | `#[dockline(rename = "word")]` of a variant | its word |
/// | `#[dockline(integer)]` of an enum | it is a number |
#[proc_macro_derive(ToValue, attributes(dockline))]
pub fn derive_to_value(input: TokenStream) -> TokenStream {
    expand(&parse_macro_input!(input as DeriveInput), value::to_value)
}

/// Reads a value as an enum without fields, or as a struct of one field: the other way round of
/// [`ToValue`](macro@ToValue), with the same attributes.
#[proc_macro_derive(FromValue, attributes(dockline))]
pub fn derive_from_value(input: TokenStream) -> TokenStream {
    expand(&parse_macro_input!(input as DeriveInput), value::from_value)
}

/// Makes parameters by name of a struct: `:field` in a statement is the value of the field. A statement need not have all of them.
///
/// | attribute of a field | meaning |
/// |---|---|
/// | `#[dockline(rename = "name")]` | it has another name in statements |
/// | `#[dockline(skip)]` | it is no parameter |
/// | `#[dockline(flatten, prefix = "author_")]` | the field derives `NamedParams` too; its names begin so |
#[proc_macro_derive(NamedParams, attributes(dockline))]
pub fn derive_named_params(input: TokenStream) -> TokenStream {
    expand(&parse_macro_input!(input as DeriveInput), named::named_params)
}

fn expand(input: &DeriveInput, derive: fn(&DeriveInput) -> syn::Result<Tokens>) -> TokenStream {
    derive(input).unwrap_or_else(|error| error.to_compile_error()).into()
}
