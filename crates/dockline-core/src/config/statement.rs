//! What a statement's text does, read once by one tokenizer for all servers.
//!
//! A backend makes an [`Outline`] of each text, in the [`Dialect`] that its session speaks, and keeps it with the prepared
//! statement. From it comes whether a statement may be sent again, left early, or run on another connection, and what the
//! session holds afterwards. Nothing else in Dockline looks at words of a text.
//!
//! | type | what it says |
//! |---|---|
//! | [`Dialect`] | whose SQL it is, and the settings that change how it is read |
//! | [`Tokens`], [`Token`] | the pieces of a text, without copying |
//! | [`Outline`] | what a statement does; unknown is the worst |
//! | [`Verb`] | its kind |
//! | [`TransactionChange`] | what it does to the transaction |
//! | [`Meaning`] | what it changes of the meaning of other texts |
//! | [`StateChange`] | what it makes or ends of the session's state |
//! | [`split`], [`Piece`] | the statements of a script |
//!
//! ```
//! use dockline::backend::StateKind;
//! use dockline::statement::{Dialect, Outline, StateChange, TransactionChange};
//!
//! let begin = Outline::of("-- pay\nBEGIN", Dialect::POSTGRES);
//! assert_eq!(begin.transaction(), Some(&TransactionChange::Begin));
//!
//! let listen = Outline::of("LISTEN jobs", Dialect::POSTGRES);
//! assert_eq!(listen.state(), [StateChange::Makes(StateKind::Listener, "jobs".into())]);
//! ```

mod dialect;
mod meaning;
mod outline;
mod reader;
mod script;
mod state;
mod token;
mod tokenizer;
mod transaction;
mod verb;

#[cfg(test)]
mod tests;

pub use dialect::Dialect;
pub use meaning::{Meaning, Meanings};
pub use outline::{Explained, Outline, Statements};
pub use script::{Piece, split};
pub use state::StateChange;
pub use token::{Token, TokenKind};
pub use tokenizer::Tokens;
pub(crate) use tokenizer::is_name_byte;
pub use transaction::{TransactionChange, XaStep};
pub use verb::Verb;
