//! What Dockline promises, by theme. The tests are named after what must hold.

mod atomic;
mod atomic_requests;
mod bad_input;
mod boundaries;
mod cap;
mod events;
mod housekeeper;
mod interface;
mod leaks;
mod left_open;
mod lifecycle;
mod logs;
mod lost_work;
mod misused_blocks;
mod on_commit;
mod programs;
mod query_log;
mod recipes;
mod registry;
mod retry;
mod savepoints;
mod scopes;
mod shutdown;
mod signals;
mod sqlite;
#[cfg(unix)]
mod sqlite_files;
mod sqlite_statements;
#[cfg(unix)]
mod sqlite_writers;
mod stage;
mod statements;
mod status;
mod tasks;
mod testing_support;
mod threads;
mod unrestored;
mod values;
mod values_portable;
mod wrappers;
