//! What compile errors call a thread's own: the compiler names the innermost type that may not leave its thread, so that type's name says
//! what to do.

use std::marker::PhantomData;
use std::rc::Rc;

/// A connection is its thread's own: send the registry to the other thread, and call `get` there.
pub(crate) enum SendTheRegistryAndCallGetThere {}

/// Keeps a connection on its thread.
pub(crate) type OfThisThread = PhantomData<Rc<SendTheRegistryAndCallGetThere>>;

/// A block, a savepoint and a hold end on the thread that began them.
pub(crate) enum EndItOnTheThreadThatBeganIt {}

/// Keeps a guard on its thread.
pub(crate) type EndsHere = PhantomData<Rc<EndItOnTheThreadThatBeganIt>>;
