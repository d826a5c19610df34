//! Requests that are a block, for the aliases that ask for it.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use dockline::{Connections, Databases, Error, ErrorKind, Result};
use dockline_tests::{Database, log_capture, memory};
use log::Level;

use crate::stage::{Mine, insert};

/// Three aliases, each with a database of its own; the first two have the setting.
struct Shop {
    connections: Connections,
    // Another registry, which sees what is committed.
    others: Connections,
    _databases: [Database; 3],
}

const ALIASES: [&str; 3] = ["default", "orders", "plain"];

impl Shop {
    fn new() -> Self {
        let databases = [Database::new(), Database::new(), Database::new()];
        let [mut configured, mut others] = [Databases::new(), Databases::new()];
        for (alias, database) in ALIASES.into_iter().zip(&databases) {
            configured = configured.with(alias, database.settings().atomic_requests(alias != "plain"));
            others = others.with(alias, database.settings());
        }
        let (connections, others) = (Connections::new(configured).unwrap(), Connections::new(others).unwrap());
        for alias in ALIASES {
            others.get(alias).unwrap().execute("CREATE TABLE t (n INTEGER PRIMARY KEY)", ()).unwrap();
        }
        Self { connections, others, _databases: databases }
    }

    fn insert_everywhere(&self, number: i64) -> Result<()> {
        ALIASES.iter().try_for_each(|alias| insert(&self.connections.get(alias)?, number))
    }

    /// How many rows of each are committed.
    fn stored(&self) -> [i64; 3] {
        ALIASES.map(|alias| self.others.get(alias).unwrap().query_value("SELECT count(*) FROM t", ()).unwrap())
    }
}

#[test]
fn a_request_is_committed_for_every_alias_with_the_setting() {
    let shop = Shop::new();
    let answer: Result<&str> = shop.connections.in_request(|| {
        let [default, orders, plain] = ALIASES.map(|alias| shop.connections.get(alias).unwrap());
        assert!(default.in_atomic_block() && orders.in_atomic_block() && !plain.in_atomic_block());
        shop.insert_everywhere(1)?;
        assert_eq!(shop.stored(), [0, 0, 1]);
        Ok("done")
    });
    assert_eq!(answer.unwrap(), "done");
    assert_eq!(shop.stored(), [1, 1, 1]);
    assert!(!shop.connections.get("default").unwrap().in_atomic_block());
}

#[test]
fn a_request_that_fails_is_rolled_back_for_every_alias_with_the_setting() {
    let shop = Shop::new();
    let failed: Result<(), Mine> = shop.connections.in_request(|| {
        shop.insert_everywhere(1)?;
        Err(Mine::Refused)
    });
    assert!(matches!(failed, Err(Mine::Refused)));
    assert_eq!(shop.stored(), [0, 0, 1]);
    let panic = catch_unwind(AssertUnwindSafe(|| {
        shop.connections.in_request(|| -> Result<()> {
            shop.insert_everywhere(2)?;
            resume_unwind(Box::new("on purpose"));
        })
    }));
    assert_eq!(panic.unwrap_err().downcast_ref(), Some(&"on purpose"));
    assert_eq!(shop.stored(), [0, 0, 2]);
    shop.connections.in_request(|| shop.insert_everywhere(3)).unwrap();
    assert_eq!(shop.stored(), [1, 1, 3]);
}

#[test]
fn a_request_inside_another_is_a_savepoint() {
    let shop = Shop::new();
    let outer: Result<()> = shop.connections.in_request(|| {
        shop.insert_everywhere(1)?;
        let inner: Result<(), Mine> = shop.connections.in_request(|| {
            shop.insert_everywhere(2)?;
            Err(Mine::Refused)
        });
        assert!(inner.is_err());
        shop.connections.in_request(|| shop.insert_everywhere(3))?;
        assert_eq!(shop.stored(), [0, 0, 3]);
        Ok(())
    });
    outer.unwrap();
    assert_eq!(shop.stored(), [2, 2, 3]);
}

#[test]
fn where_one_commit_fails_those_before_it_stand_and_those_after_it_do_not() {
    for (fails, stored) in [("default", [0, 0, 1]), ("orders", [1, 0, 1])] {
        let shop = Shop::new();
        let child = "CREATE TABLE child (n INTEGER REFERENCES t DEFERRABLE INITIALLY DEFERRED)";
        shop.others.get(fails).unwrap().execute(child, ()).unwrap();
        let failed: Result<()> = shop.connections.in_request(|| {
            shop.insert_everywhere(1)?;
            shop.connections.get(fails)?.execute("INSERT INTO child VALUES (2)", ()).map(drop)
        });
        let error = failed.unwrap_err();
        assert_eq!((error.kind(), error.alias()), (ErrorKind::Integrity, Some(fails)));
        // The first of the aliases is committed first.
        assert_eq!(shop.stored(), stored, "{fails}");
        for alias in ALIASES {
            assert!(!shop.connections.get(alias).unwrap().in_atomic_block());
        }
    }
}

#[test]
fn a_request_does_not_begin_where_a_block_cannot() {
    let folder = Database::new();
    let missing = folder.settings().name(folder.path().join("missing/app.db").to_str().unwrap()).atomic_requests(true);
    let databases = Databases::new().with("default", memory().atomic_requests(true)).with("missing", missing);
    let connections = Connections::new(databases).unwrap();
    let mut runs = false;
    let failed: Result<()> = connections.in_request(|| {
        runs = true;
        Ok(())
    });
    assert_eq!(failed.unwrap_err().alias(), Some("missing"));
    assert!(!runs && !connections.get("default").unwrap().in_atomic_block());
}

#[test]
fn hooks_of_a_request_run_when_it_is_committed() {
    let shop = Shop::new();
    let (first, second) = (crate::stage::Record::default(), crate::stage::Record::default());
    let request = |record: &crate::stage::Record, fails: bool| -> Result<(), Mine> {
        shop.connections.in_request(|| {
            shop.connections.get("default")?.on_commit(record.hook("committed"))?;
            if fails { Err(Mine::Refused) } else { Ok(()) }
        })
    };
    request(&first, false).unwrap();
    request(&second, true).unwrap_err();
    assert_eq!((first.all().len(), second.all().len()), (1, 0));
}

/// The only test that has a guard with this setting, for the line names no alias.
#[test]
fn a_guard_cannot_commit_and_the_log_says_so_once() {
    log_capture::start();
    let shop = Shop::new();
    for number in 0..3 {
        let _request = shop.connections.request();
        shop.insert_everywhere(number).unwrap();
        assert_eq!(shop.stored(), [number + 1; 3], "in no block");
    }
    let told =
        log_capture::lines("dockline::connection", "atomic_requests is set, and a request was begun by request()");
    assert!(told.len() == 1 && told[0].0 == Level::Warn && told[0].1.contains("in_request"), "{told:?}");
    let _: Result<(), Error> = shop.connections.in_request(|| Ok(()));
}
