//! The registry of the process: `init` once, then the functions of the crate.

use std::time::Duration;

use dockline::signals::CloseReason;
use dockline::{Databases, ErrorKind, params};
use dockline_tests::{Story, memory, on_thread};

#[test]
fn one_configuration_for_the_whole_process() {
    // A configuration that is wrong leaves the registry without one.
    let error = dockline::init(Databases::new().with("other", memory())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ImproperlyConfigured);

    // A request needs none.
    drop(dockline::request());

    let settings = memory().conn_max_age(Some(Duration::ZERO));
    dockline::init(Databases::new().with("default", settings)).unwrap();
    let error = dockline::init(Databases::new()).unwrap_err();
    assert!(error.message().contains("configured already"), "{error}");

    let story = Story::of(dockline::connections());
    let db = dockline::connection().unwrap();
    assert_eq!((db.alias(), story.opened()), (dockline::DEFAULT_ALIAS, 0));
    db.execute("CREATE TABLE job (name TEXT)", ()).unwrap();
    dockline::close_old_connections();
    assert_eq!(story.reasons(), [CloseReason::MaxAge]);

    let written: dockline::Result<u64> =
        dockline::in_request(|| dockline::connection()?.execute("INSERT INTO job VALUES (?)", params!["resize"]));
    assert_eq!(written.unwrap(), 1);
    assert_eq!(story.open(), 0);

    let count = dockline::task(|| dockline::connection()?.query_value::<i64>("SELECT count(*) FROM job", ()));
    assert_eq!(on_thread(count).unwrap(), 1);
    assert_eq!(story.open(), 0);

    db.force_query_log(true);
    db.query("SELECT 1", ()).unwrap();
    dockline::reset_queries();
    assert!(db.queries().is_empty());
    assert_eq!(dockline::connections().aliases().unwrap(), ["default"]);
}
