//! What holds for values on every backend, on servers: with prepared statements and without.

use dockline_tests::portable::CHECKS;
use dockline_tests::servers::Server;

use crate::case::{Case, case};
use crate::opened::Opened;

pub(crate) fn cases() -> Vec<Case> {
    vec![case!(what_holds_on_every_backend_holds_here), case!(it_holds_without_prepared_statements)]
}

fn what_holds_on_every_backend_holds_here(server: &Server) {
    for (name, check) in CHECKS {
        println!("{name}");
        check(&Opened::new(server).db);
    }
}

fn it_holds_without_prepared_statements(server: &Server) {
    for (name, check) in CHECKS {
        println!("{name}");
        check(&Opened::with(server, |settings| settings.prepared_statements(false)).db);
    }
}
