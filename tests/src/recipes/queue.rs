//! Recipes for work that is handed from one thread or process to another.

use std::error::Error as StdError;
use std::time::Duration;

use dockline::postgres::{self, fallible_iterator::FallibleIterator};
use dockline::{Connection, Connections, Result};

use super::rows::jobs;

/// Works on the next job that nobody else works on, and says whether there was one. If `work` fails, the job stays.
fn work_on_next(db: &Connection, work: impl FnOnce(i64, &str) -> Result<()>) -> Result<bool> {
    // On SQLite a transaction that may write has the file to itself.
    let lock = if db.vendor() == "sqlite" { "" } else { "FOR UPDATE SKIP LOCKED" };
    db.transaction(|| {
        let sql = format!("SELECT id, name FROM job WHERE NOT done ORDER BY id LIMIT 1 {lock}");
        let Some(row) = db.query_opt(&sql, ())? else { return Ok(false) };
        let (id, name): (i64, String) = row.decode()?;
        work(id, &name)?;
        db.execute("UPDATE job SET done = TRUE WHERE id = ?", (id,))?;
        Ok(true)
    })
}

/// Tells those who listen that there is work, once the transaction around it has committed.
fn announce(db: &Connection, id: i64) -> Result<()> {
    db.query("SELECT pg_notify('jobs', ?)", (id.to_string(),))?;
    Ok(())
}

/// Waits for the next notification, up to a limit. It begins to listen with its first call.
fn next_announced(
    db: &Connection,
    limit: Duration,
) -> std::result::Result<Option<String>, Box<dyn StdError + Send + Sync>> {
    db.execute("LISTEN jobs", ())?;
    let notification =
        db.native(|client: &mut postgres::Client| client.notifications().timeout_iter(limit).next())??;
    Ok(notification.map(|notification| notification.payload().to_owned()))
}

pub(super) fn jobs_are_worked_once_each(connections: &Connections) {
    let db = connections.get("default").unwrap();
    jobs(&db);
    db.execute_many("INSERT INTO job (id, name) VALUES (?, ?)", [(1, "a"), (2, "b")]).unwrap();
    let failed = work_on_next(&db, |_, _| db.execute("INSERT INTO job (id, name) VALUES (1, 'twice')", ()).map(drop));
    assert!(failed.unwrap_err().constraint().is_some());
    let mut worked = Vec::new();
    while work_on_next(&db, |_, name| {
        worked.push(name.to_owned());
        Ok(())
    })
    .unwrap()
    {}
    assert_eq!(worked, ["a", "b"]);
}

pub(super) fn a_job_at_work_is_skipped(connections: &Connections) {
    let db = connections.get("default").unwrap();
    jobs(&db);
    db.execute_many("INSERT INTO job (id, name) VALUES (?, ?)", [(1, "a"), (2, "b")]).unwrap();
    let other = connections.clone();
    let worked = work_on_next(&db, |id, _| {
        let taken = std::thread::spawn(move || {
            let mut taken = None;
            let db = other.get("default").unwrap();
            let worked = work_on_next(&db, |id, _| {
                taken = Some(id);
                Ok(())
            });
            (worked.unwrap(), taken)
        });
        assert_eq!(id, 1);
        assert_eq!(taken.join().unwrap(), (true, Some(2)));
        Ok(())
    });
    assert!(worked.unwrap());
    assert!(!work_on_next(&db, |_, _| Ok(())).unwrap());
}

pub(super) fn a_notification_arrives(connections: &Connections) {
    let db = connections.get("default").unwrap();
    assert_eq!(next_announced(&db, Duration::from_millis(1)).unwrap(), None);
    let other = connections.clone();
    std::thread::spawn(move || announce(&other.get("default").unwrap(), 7).unwrap()).join().unwrap();
    assert_eq!(next_announced(&db, Duration::from_secs(120)).unwrap().as_deref(), Some("7"));
}
