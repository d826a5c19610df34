//! Recipes for locks that belong to no row.

use dockline::{Connection, Connections, Error, ErrorKind, Result};

/// Runs a closure while no other process runs one behind the same lock.
fn one_at_a_time<T>(db: &Connection, work: impl FnOnce() -> Result<T>) -> Result<T> {
    match db.vendor() {
        // Let go of at the end of the transaction, whatever happens.
        "postgresql" => db.transaction(|| {
            db.query("SELECT pg_advisory_xact_lock(hashtext('report'))", ())?;
            work()
        }),
        // Of the session. Dockline knows that it is held, and does not replace the connection meanwhile.
        "mysql" => {
            let got: Option<i64> = db.query_value("SELECT GET_LOCK('report', 10)", ())?;
            if got != Some(1) {
                return Err(Error::new(ErrorKind::Operational, "the lock for the report was not free for 10 s"));
            }
            let result = work();
            db.query("SELECT RELEASE_LOCK('report')", ())?;
            result
        }
        // A transaction that may write has the file to itself.
        _ => db.transaction(work),
    }
}

pub(super) fn one_at_a_time_behind_a_lock(connections: &Connections) {
    let db = connections.get("default").unwrap();
    db.execute("CREATE TABLE counter (n BIGINT NOT NULL)", ()).unwrap();
    db.execute("INSERT INTO counter VALUES (0)", ()).unwrap();
    let threads = [(); 3].map(|()| {
        let connections = connections.clone();
        std::thread::spawn(move || {
            let db = connections.get("default").unwrap();
            for _ in 0..10 {
                // Lost updates, if two were here at once.
                let count = || {
                    let n: i64 = db.query_value("SELECT n FROM counter", ())?;
                    db.execute("UPDATE counter SET n = ?", (n + 1,))
                };
                one_at_a_time(&db, count).unwrap();
            }
        })
    });
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(db.query_value::<i64>("SELECT n FROM counter", ()).unwrap(), 30);
    let failed = one_at_a_time(&db, || db.execute("INSERT INTO counter VALUES (NULL)", ()));
    assert!(failed.unwrap_err().constraint().is_some());
    assert!(db.state().held.is_empty(), "{:?}", db.state().held);
}
