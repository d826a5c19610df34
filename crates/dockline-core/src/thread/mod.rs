//! What one thread has of every registry, and what becomes of it when the thread ends.
//!
//! It knows the slots of its thread and what registries share. It may not know the registry's own interface: requests, tasks,
//! checks, shutdown.

pub(crate) mod boundary;
pub(crate) mod desk;
pub(crate) mod local;
pub(crate) mod names;
pub(crate) mod slots;
