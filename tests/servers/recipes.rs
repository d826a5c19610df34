//! The code of `docs/recipes.md` and of the other pages that is the same on every backend, on servers.

use dockline_tests::differences;
use dockline_tests::recipes::{CHECKS, Check, POSTGRES, SERVERS};
use dockline_tests::servers::{Kind, Server};

use crate::case::{Case, case};
use crate::opened::Opened;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case!(recipes_work),
        case!(databases_differ_as_the_page_says),
        case!(recipes_for_postgresql_work).only(&[Kind::Postgres]),
    ]
}

fn run(server: &Server, checks: &[Check]) {
    for (name, check) in checks {
        println!("{name}");
        check(&Opened::new(server).connections);
    }
}

fn recipes_work(server: &Server) {
    run(server, CHECKS);
    run(server, SERVERS);
}

fn recipes_for_postgresql_work(server: &Server) {
    run(server, POSTGRES);
}

fn databases_differ_as_the_page_says(server: &Server) {
    run(server, differences::CHECKS);
}
