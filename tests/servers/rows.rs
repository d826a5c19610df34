//! Rows that are read one after the other.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use dockline::Value;
use dockline_tests::servers::Server;

use crate::case::{Case, case};
use crate::opened::Opened;

pub(crate) fn cases() -> Vec<Case> {
    vec![case!(a_row_has_nothing_of_the_row_before)]
}

/// Rows that are read one by one share their memory.
fn a_row_has_nothing_of_the_row_before(server: &Server) {
    let long = "x".repeat(5_000);
    let rows =
        [(1, Some("first, and rather long")), (2, None), (3, Some("")), (4, Some(long.as_str())), (5, Some("é"))];
    for prepares in [true, false] {
        let Opened { db, .. } = &Opened::with(server, |settings| settings.prepared_statements(prepares));
        db.execute("CREATE TABLE one_by_one (id INTEGER, v TEXT)", ()).unwrap();
        db.execute_many("INSERT INTO one_by_one VALUES (?, ?)", rows).unwrap();
        let select = "SELECT id, v, NULL, 'a' FROM one_by_one ORDER BY id";
        for takes in [false, true] {
            let mut left = rows.iter();
            let ended = db.query_each(select, (), |mut row| {
                let (id, text) = left.next().expect("a row");
                let found = (row.get::<i32, _>(0)?, row.get::<Option<&str>, _>(1)?, row.get::<Option<&str>, _>(2)?);
                assert_eq!(found, (*id, *text, None));
                if takes {
                    assert_eq!(row.take::<Option<String>, _>(1)?.as_deref(), *text);
                    assert_eq!(row.values()[1], Value::Null);
                }
                assert_eq!(row.get::<&str, _>(3)?, "a");
                Ok(ControlFlow::<()>::Continue(()))
            });
            assert_eq!((ended.unwrap(), left.len()), (None, 0));
        }
        let panicked =
            catch_unwind(AssertUnwindSafe(|| db.query_each::<()>(select, (), |_| panic!("in the callback"))));
        assert!(panicked.is_err());
        assert_eq!(db.query_value::<Option<String>>("SELECT v FROM one_by_one WHERE id = ?", (2,)).unwrap(), None);
        let all: Vec<(i32, Option<String>)> = db.query_as("SELECT id, v FROM one_by_one ORDER BY id", ()).unwrap();
        assert_eq!(all, rows.map(|(id, text)| (id, text.map(str::to_owned))));
        db.execute("DROP TABLE one_by_one", ()).unwrap();
    }
}
