//! The code of `docs/recipes.md` and `docs/porting.md`, each function with a check that runs it on every database that the page
//! names. A test of the repository compares the pages with these files.

mod locks;
mod other_libraries;
mod porting;
mod queue;
mod rows;

use dockline::Connections;

/// A check, and its name. It makes tables of its own.
pub type Check = (&'static str, fn(&Connections));

/// Those for every database.
pub const CHECKS: &[Check] = &[
    ("an_upsert_inserts_or_adds", rows::an_upsert_inserts_or_adds),
    ("an_insert_that_is_there_already_is_no_error", rows::an_insert_that_is_there_already_is_no_error),
    ("ids_in_a_list", rows::ids_in_a_list),
    ("an_insert_tells_its_id", rows::an_insert_tells_its_id),
    ("pages_follow_each_other", rows::pages_follow_each_other),
    ("many_rows_in_one_transaction", rows::many_rows_in_one_transaction),
    ("the_second_of_two_editors_is_told", rows::the_second_of_two_editors_is_told),
    ("jobs_are_worked_once_each", queue::jobs_are_worked_once_each),
    ("one_at_a_time_behind_a_lock", locks::one_at_a_time_behind_a_lock),
    ("functions_of_a_thread_share_a_transaction", porting::functions_of_a_thread_share_a_transaction),
    ("rows_are_read_as_structs", porting::rows_are_read_as_structs),
    ("a_row_is_locked_and_changed", porting::a_row_is_locked_and_changed),
    ("a_part_fails_alone", porting::a_part_fails_alone),
    ("sea_query_builds_statements", other_libraries::sea_query_builds_statements),
];

/// Those for servers, which take more than one writer at a time.
pub const SERVERS: &[Check] = &[("a_job_at_work_is_skipped", queue::a_job_at_work_is_skipped)];

/// Those for PostgreSQL.
pub const POSTGRES: &[Check] = &[
    ("rows_are_copied_in", rows::rows_are_copied_in),
    ("a_notification_arrives", queue::a_notification_arrives),
    ("types_of_the_driver_by_native", other_libraries::types_of_the_driver_by_native),
];
