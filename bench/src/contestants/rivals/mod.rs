//! Contestants whose crates take long to compile.

pub(super) mod deadpool;
pub(super) mod diesel;
pub(super) mod sqlx;

use std::future::Future;
use std::sync::{Arc, LazyLock};

use tokio::runtime::{Builder, Runtime};

/// The runtime that the async pools share, as in one program. Threads wait on it for their own futures.
static RUNTIME: LazyLock<Arc<Runtime>> =
    LazyLock::new(|| Arc::new(Builder::new_multi_thread().enable_all().build().expect("a runtime")));

fn wait<F: Future>(future: F) -> F::Output {
    RUNTIME.block_on(future)
}
