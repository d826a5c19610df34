//! What holds for values on every backend, on SQLite.

use dockline_tests::in_memory;
use dockline_tests::portable::CHECKS;

#[test]
fn what_holds_on_every_backend_holds_on_sqlite() {
    for (name, check) in CHECKS {
        println!("{name}");
        check(&in_memory().get("default").unwrap());
    }
}
