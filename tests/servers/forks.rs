//! Forks of processes that use a server: the stories are those of `tests/src/forks.rs`.

use dockline_tests::certificates::Certificates;
use dockline_tests::forks;
use dockline_tests::servers::Server;

use crate::case::{Case, case};

/// A case of each story, under its name.
macro_rules! stories {
    ($($name:ident),* $(,)?) => {
        $(fn $name(server: &Server) {
            let database = server.database();
            forks::run(stringify!($name), &database.url(), None);
            database.admin().wait_until_connections(0);
        })*

        const NAMES: &[&str] = &[$(stringify!($name)),*];

        pub(crate) fn cases() -> Vec<Case> {
            vec![$(case!($name),)* case!(over_tls).private(), case!(over_a_socket).private(), case!(each_story_is_told)]
        }
    };
}

stories!(
    a_child_opens_its_own,
    a_child_that_does_nothing_says_nothing,
    a_transaction_stays_with_the_parent,
    a_transaction_by_hand_stays_with_the_parent,
    state_is_missed_and_not_in_silence,
    many_children_beside_busy_threads,
    a_fork_among_rows,
    a_fork_inside_native,
    a_boundary_of_the_connections_own_comes_first,
    a_fork_in_a_receiver_that_closes,
    a_retry_goes_on_in_the_parent_alone,
    a_fork_among_rows_of_parameters,
    hooks_after_one_that_forks_are_the_parents,
    several_registries_are_left_at_once,
    children_of_children,
    the_parent_closes_while_the_child_writes,
    a_child_shuts_down_what_is_its_own,
    a_child_cancels_nothing_of_its_parents,
    handles_and_guards_outlive_the_fork,
    aliases_change_in_the_child_alone,
    a_child_with_its_parents_process_id,
    a_child_has_a_housekeeper_and_counts_of_its_own,
    a_child_has_a_cap_of_its_own,
);

fn each_story_is_told(_: &Server) {
    let stories: Vec<&str> = forks::STORIES.iter().map(|(name, _)| *name).collect();
    assert_eq!(stories, NAMES);
}

fn over_tls(kind_of: &Server) {
    let certificates = Certificates::new();
    let server = Server::builder(kind_of.kind()).tls(&certificates).start();
    let url = format!("{}?tls=verify-full&tls_ca_file={}", server.url(), certificates.ca().display());
    for story in ["a_child_opens_its_own", "children_of_children", "handles_and_guards_outlive_the_fork"] {
        forks::run(story, &url, None);
    }
}

fn over_a_socket(server: &Server) {
    let database = server.database();
    let (url, socket) = (database.url(), server.socket().display().to_string());
    let (url, option) = if server.kind().is_postgres() {
        (url.replace("127.0.0.1", &socket.replace('/', "%2F")), None)
    } else {
        (url, Some(format!("socket={socket}")))
    };
    for story in ["a_child_opens_its_own", "a_child_that_does_nothing_says_nothing"] {
        forks::run(story, &url, option.as_deref());
    }
    database.admin().wait_until_connections(0);
}
