//! Tests that need a server. Each runs once for each kind of server that it is for, under a name such as
//! `postgres::harness::kill_and_wait`.
//!
//! A missing PostgreSQL or MariaDB is a failure. MySQL is harder to come by: without it its tests are skipped, and the
//! reason is on the screen.

#[cfg(unix)]
mod case;
#[cfg(unix)]
mod faults;
#[cfg(unix)]
mod harness;
#[cfg(unix)]
mod opened;
#[cfg(unix)]
mod swap;

#[cfg(unix)]
fn main() {
    let cases = [("harness", harness::cases()), ("faults", faults::cases()), ("swap", swap::cases())];

    let mut arguments = libtest_mimic::Arguments::from_args();
    // The servers that tests share have limits of their own.
    arguments.test_threads.get_or_insert(4);
    let conclusion = libtest_mimic::run(&arguments, case::trials(cases));
    dockline_tests::servers::end_shared();
    conclusion.exit();
}

#[cfg(not(unix))]
fn main() {
    eprintln!("the tests with servers are skipped: they start them as Unix processes");
}
