//! The code of `docs/recipes.md` and of the other pages that is the same on every backend, on SQLite.

use dockline_tests::recipes::{self, Check};
use dockline_tests::{Database, differences};

fn run(checks: &[Check]) {
    for (name, check) in checks {
        println!("{name}");
        check(&Database::new().connections());
    }
}

#[test]
fn recipes_work_on_sqlite() {
    run(recipes::CHECKS);
}

#[test]
fn sqlite_differs_as_the_page_says() {
    run(differences::CHECKS);
}
