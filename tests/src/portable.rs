//! What holds for values on every backend: checks that take a connection, for the tests with SQLite and those with servers.

mod derived;
mod lists;
mod matrix;
mod moments;
mod texts;

use dockline::Connection;

/// A check, and its name.
pub type Check = (&'static str, fn(&Connection));

/// All of them. Each makes tables of its own.
pub const CHECKS: &[Check] = &[
    ("json_keeps_its_text", texts::json_keeps_its_text),
    ("text_reads_every_value_that_has_one", texts::text_reads_every_value_that_has_one),
    ("averages_are_doubles_and_exact", texts::averages_are_doubles_and_exact),
    ("text_and_bytes_are_borrowed", texts::text_and_bytes_are_borrowed),
    ("two_columns_of_a_name_are_an_error", texts::two_columns_of_a_name_are_an_error),
    ("addresses_and_uuids_survive", texts::addresses_and_uuids_survive),
    ("scripts_run_and_say_which_statement_failed", texts::scripts_run_and_say_which_statement_failed),
    ("placeholders_of_other_libraries_are_named", texts::placeholders_of_other_libraries_are_named),
    ("lists_have_any_length", lists::lists_have_any_length),
    ("lists_are_lists_alone", lists::lists_are_lists_alone),
    ("names_stand_as_often_as_they_are_needed", lists::names_stand_as_often_as_they_are_needed),
    ("tuples_are_parameters", lists::tuples_are_parameters),
    ("generated_ids_come_with_the_insert", lists::generated_ids_come_with_the_insert),
    ("instants_are_what_they_were", moments::instants_are_what_they_were),
    (
        "what_the_database_writes_sorts_with_what_is_written",
        moments::what_the_database_writes_sorts_with_what_is_written,
    ),
    ("dates_stay_dates_in_text", moments::dates_stay_dates_in_text),
    ("lengths_of_time_survive", moments::lengths_of_time_survive),
    ("jiff_and_time_survive", moments::jiff_and_time_survive),
    ("nulls_are_options_of_every_type", moments::nulls_are_options_of_every_type),
    ("numbers_are_kept_by_every_way", matrix::numbers_are_kept_by_every_way),
    ("texts_and_bytes_are_kept_by_every_way", matrix::texts_and_bytes_are_kept_by_every_way),
    ("moments_are_kept_by_every_way", matrix::moments_are_kept_by_every_way),
    ("rows_become_structs", derived::rows_become_structs),
    ("joins_become_structs_in_structs", derived::joins_become_structs_in_structs),
    ("enums_and_newtypes_are_values", derived::enums_and_newtypes_are_values),
    ("structs_are_parameters_by_name", derived::structs_are_parameters_by_name),
];

/// The type of a column on this database: PostgreSQL's, MySQL's and MariaDB's, SQLite's.
pub fn of<'a>(db: &Connection, postgres: &'a str, mysql: &'a str, sqlite: &'a str) -> &'a str {
    match db.vendor() {
        "postgresql" => postgres,
        "mysql" => mysql,
        _ => sqlite,
    }
}

/// Makes a table with a column `v` of this type.
fn table(db: &Connection, name: &str, of: &str) {
    db.execute(&format!("CREATE TABLE {name} (id INTEGER, v {of})"), ()).unwrap();
}

/// Writes a value into the table, and reads it back.
fn through<T: dockline::ToValue, R: dockline::FromValue>(db: &Connection, name: &str, value: &T) -> R {
    db.execute(&format!("DELETE FROM {name}"), ()).unwrap();
    db.execute(&format!("INSERT INTO {name} VALUES (?, ?)"), (1, value))
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    db.query_value(&format!("SELECT v FROM {name}"), ()).unwrap_or_else(|error| panic!("{name}: {error}"))
}
