//! Programs such as users write, in small: a shop with a JSON API, a worker pool, one that was written for a pool of connections, one over
//! three databases. And random programs of transactions, which do on each server what the model says, however statements travel.
//!
//! Metrics and traces are in `observe`, suites of tests in `test_databases`, and wrong programs in `compile_errors`.

use dockline::Settings;
use dockline_tests::programs;
use dockline_tests::servers::{Kind, PgBouncer, Server};

use crate::case::{Case, case};
use crate::opened::settings;

mod shop;
mod three_databases;
mod workers;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("a_shop_sells_what_it_has", shop::a_shop_sells_what_it_has),
        Case::new("each_job_is_done_once", workers::each_job_is_done_once),
        Case::new("a_program_for_a_pool_runs_on_a_cap", workers::a_program_for_a_pool_runs_on_a_cap),
        Case::new("each_alias_is_a_database_of_its_own", three_databases::each_alias_is_a_database_of_its_own)
            .only(&[Kind::Postgres]),
        case!(random_programs),
        case!(random_programs_without_prepared_statements),
        case!(random_programs_over_a_unix_socket).private(),
        case!(random_programs_through_a_pooler).only(&[Kind::Postgres]).private().needs(PgBouncer::available),
    ]
}

const CASES: u32 = 400;

fn check(server: &Server, change: impl FnOnce(Settings) -> Settings) {
    let database = server.database();
    programs::check(&change(settings(&database.url())), CASES);
}

fn random_programs(server: &Server) {
    check(server, |settings| settings);
}

fn random_programs_without_prepared_statements(server: &Server) {
    check(server, |settings| settings.prepared_statements(false));
}

/// There nobody watches what the server says of transactions.
fn random_programs_over_a_unix_socket(server: &Server) {
    let socket = server.socket();
    check(server, |settings| settings.host(socket.to_str().expect("a path in UTF-8")));
}

/// It gives a session of the server away at the end of each transaction.
fn random_programs_through_a_pooler(server: &Server) {
    let pooler = PgBouncer::with_sessions(server, 2);
    let database = server.database();
    programs::check(&settings(&database.url_via(pooler.port())).prepared_statements(false), CASES);
}
