//! The fault matrix: what a program gets for each fault at each moment, on each server. What is expected stands in
//! `matrix`, `docs/faults.md` is written from it, and each cell is tried here.

mod kinds;
mod matrix;
mod play;

use dockline_tests::servers::{Kind, Server};

use crate::case::{Case, case};
use matrix::{Fault, Moment};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case!(kill).own_server(),
        case!(idle_limit).own_server(),
        case!(restart).own_server(),
        case!(crash).own_server(),
        case!(reset).own_server(),
        case!(fin).own_server(),
        case!(silence).own_server(),
        case!(deaf).own_server(),
        case!(cut).own_server(),
        case!(too_many_connections).own_server_with(|builder| builder.setting("max_connections", "12")),
        case!(demoted).own_server(),
        case!(password_changed).own_server(),
        case!(each_kind_of_statement).own_server(),
        case!(document_is_the_matrix).only(&[Kind::Postgres]),
    ]
}

macro_rules! rows {
    ($($name:ident = $fault:ident;)*) => {$(
        fn $name(server: &Server) {
            row(server, Fault::$fault);
        }
    )*};
}

rows! {
    kill = Kill;
    idle_limit = IdleLimit;
    restart = Restart;
    crash = Crash;
    reset = Reset;
    fin = Fin;
    silence = Silence;
    deaf = Deaf;
    cut = Cut;
    too_many_connections = TooMany;
    demoted = Demoted;
    password_changed = Password;
}

/// Each kind of statement in each situation; the first that is not as expected ends it.
fn each_kind_of_statement(server: &Server) {
    kinds::play(server);
}

/// All moments of a fault; the first that is not as expected ends it.
fn row(server: &Server, fault: Fault) {
    for moment in Moment::ALL {
        if let Some(cell) = matrix::expected(fault, moment) {
            play::play(server, fault, moment, &cell);
        }
    }
}

/// `DOCKLINE_WRITE_DOCS=1` writes it.
fn document_is_the_matrix(_: &Server) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/faults.md");
    let text = matrix::document();
    if std::env::var_os("DOCKLINE_WRITE_DOCS").is_some() {
        std::fs::write(path, &text).expect("docs/faults.md");
    }
    let found = std::fs::read_to_string(path).expect("docs/faults.md");
    assert!(found == text, "docs/faults.md is not what the matrix says; write it anew with DOCKLINE_WRITE_DOCS=1");
}
