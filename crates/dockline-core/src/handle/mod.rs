//! What a program holds: connections, and the guards that they give out.
//!
//! Each is a thin word for something that a slot does. This layer may not know the registry that a slot belongs to, nor the
//! thread's other slots.

pub(crate) mod atomic;
pub(crate) mod canceller;
pub(crate) mod connection;
pub(crate) mod execute_wrapper;
pub(crate) mod hold;
pub(crate) mod manual;
pub(crate) mod on_commit;
pub(crate) mod own_thread;
pub(crate) mod retry;
pub(crate) mod savepoint;
pub(crate) mod script;
pub(crate) mod statements;
