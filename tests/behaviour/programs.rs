//! Random programs of transactions do on SQLite what the model says.

use dockline_tests::{Database, programs};

#[test]
fn random_programs_of_transactions_do_what_the_model_says() {
    let database = Database::new();
    // Nothing here outlives the machine.
    programs::check(&database.settings().option("synchronous", "off"), 2_000);
}
