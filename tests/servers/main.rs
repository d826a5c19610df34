//! Tests that need a server. Each runs once for each kind of server that it is for, under a name such as
//! `postgres::harness::kill_and_wait`.
//!
//! A missing PostgreSQL or MariaDB is a failure. MySQL is harder to come by: without it its tests are skipped, and the
//! reason is on the screen.

#[cfg(unix)]
mod adapters;
#[cfg(unix)]
mod async_runtimes;
#[cfg(unix)]
mod bank;
#[cfg(unix)]
mod cap;
#[cfg(unix)]
mod case;
#[cfg(unix)]
mod connecting;
#[cfg(unix)]
mod errors;
#[cfg(unix)]
mod examples;
#[cfg(unix)]
mod faults;
#[cfg(unix)]
mod forks;
#[cfg(unix)]
mod handover;
#[cfg(unix)]
mod harness;
#[cfg(unix)]
mod info;
#[cfg(unix)]
mod limits;
#[cfg(unix)]
mod liveness;
#[cfg(unix)]
mod mysqls;
#[cfg(unix)]
mod observe;
#[cfg(unix)]
mod opened;
#[cfg(unix)]
mod postgresql;
#[cfg(unix)]
mod programs;
#[cfg(unix)]
mod recipes;
#[cfg(unix)]
mod rows;
#[cfg(unix)]
mod sequences;
#[cfg(unix)]
mod sessions;
#[cfg(unix)]
mod several_hosts;
#[cfg(unix)]
mod statements;
#[cfg(unix)]
mod swap;
#[cfg(unix)]
mod test_databases;
#[cfg(unix)]
mod texts;
#[cfg(unix)]
mod thread_exit;
#[cfg(unix)]
mod tls;
#[cfg(unix)]
mod transactions;
#[cfg(unix)]
mod unix_sockets;
#[cfg(unix)]
mod values;
#[cfg(unix)]
mod values_mysql;
#[cfg(unix)]
mod values_portable;
#[cfg(unix)]
mod values_postgres;

#[cfg(unix)]
fn main() -> std::process::ExitCode {
    if let Some(code) = dockline_tests::forks::play() {
        return code;
    }
    if let Some(code) = sessions::child().or_else(thread_exit::child) {
        return code;
    }
    let cases = [
        ("harness", harness::cases()),
        ("examples", examples::cases()),
        ("faults", faults::cases()),
        ("forks", forks::cases()),
        ("liveness", liveness::cases()),
        ("limits", limits::cases()),
        ("connecting", connecting::cases()),
        ("errors", errors::cases()),
        ("swap", swap::cases()),
        ("postgresql", postgresql::cases()),
        ("programs", programs::cases()),
        ("recipes", recipes::cases()),
        ("several_hosts", several_hosts::cases()),
        ("sequences", sequences::cases()),
        ("rows", rows::cases()),
        ("sessions", sessions::cases()),
        ("info", info::cases()),
        ("observe", observe::cases()),
        ("statements", statements::cases()),
        ("test_databases", test_databases::cases()),
        ("texts", texts::cases()),
        ("mysqls", mysqls::cases()),
        ("bank", bank::cases()),
        ("cap", cap::cases()),
        ("handover", handover::cases()),
        ("thread_exit", thread_exit::cases()),
        ("tls", tls::cases()),
        ("async_runtimes", async_runtimes::cases()),
        ("transactions", transactions::cases()),
        ("unix_sockets", unix_sockets::cases()),
        ("values", values::cases()),
        ("values_mysql", values_mysql::cases()),
        ("values_portable", values_portable::cases()),
        ("values_postgres", values_postgres::cases()),
        ("adapters", adapters::cases()),
    ];

    let mut arguments = libtest_mimic::Arguments::from_args();
    let with_load = |trial: &libtest_mimic::Trial| trial.name().contains("::adapters::");
    let (load, others): (Vec<_>, Vec<_>) = case::trials(cases).into_iter().partition(with_load);
    // The servers that tests share have limits of their own.
    let threads = *arguments.test_threads.get_or_insert(4);
    let others = libtest_mimic::run(&arguments, others);
    // What keeps both cores busy by itself would make the others, and each other, run into their limits.
    arguments.test_threads = Some(threads.min(2));
    let load = libtest_mimic::run(&arguments, load);
    dockline_tests::servers::end_shared();
    if others.has_failed() { others.exit_code() } else { load.exit_code() }
}

#[cfg(not(unix))]
fn main() {
    eprintln!("the tests with servers are skipped: they start them as Unix processes");
}
