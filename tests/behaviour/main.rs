//! What Dockline promises, by theme. The tests are named after what must hold.

mod bad_input;
mod interface;
mod lifecycle;
mod logs;
mod registry;
mod scopes;
mod shutdown;
mod signals;
mod sqlite;
mod statements;
mod tasks;
mod threads;
mod values;
