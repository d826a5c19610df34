//! Each place where threads run code, under load, with an eye on the server's own list of connections.

mod axum;
mod load;
mod rayon;
mod std_threads;
mod threadpool;
mod thrift;
mod tiny_http;

use crate::case::Case;

pub(crate) fn cases() -> Vec<Case> {
    let modules = [
        load::cases(),
        std_threads::cases(),
        threadpool::cases(),
        rayon::cases(),
        tiny_http::cases(),
        axum::cases(),
        thrift::cases(),
    ];
    modules.into_iter().flatten().collect()
}
