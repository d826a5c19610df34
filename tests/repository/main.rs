//! What holds of the repository itself: of its files, and of its documents.

mod documents;
mod examples;
mod files;
mod guide;
mod markdown;
mod tree;
