//! The table of jobs: filled in batches, claimed by one worker each, and looked at when a batch is done.

use std::thread::sleep;
use std::time::Duration;

use dockline::{Connection, Connections, DEFAULT_ALIAS, Result, Row, params};

/// What a job does besides the database: another service is asked, say.
const WORK: Duration = Duration::from_millis(20);

pub fn create_table(db: &Connection) -> Result<()> {
    drop_table(db)?;
    let columns = "id BIGINT PRIMARY KEY, state VARCHAR(4) NOT NULL, input BIGINT NOT NULL, output BIGINT";
    db.execute(&format!("CREATE TABLE dockline_soak_job ({columns})"), ()).map(drop)
}

pub fn drop_table(db: &Connection) -> Result<()> {
    db.execute("DROP TABLE IF EXISTS dockline_soak_job", ()).map(drop)
}

/// Puts jobs into the table.
pub fn fill(db: &Connection, count: u64) -> Result<()> {
    let rows = (1..=count).map(|id| params![id, "todo", id * 3]);
    db.execute_many("INSERT INTO dockline_soak_job (id, state, input) VALUES (?, ?, ?)", rows).map(drop)
}

/// Empties the table, and answers how many of its jobs were done, and done right.
pub fn collect(db: &Connection) -> Result<u64> {
    let done = "SELECT count(*) FROM dockline_soak_job WHERE state = 'done' AND output = input * input";
    let done = db.query_value(done, ())?;
    db.execute("DELETE FROM dockline_soak_job", ())?;
    Ok(done)
}

/// Fetches a job from the database, does it, and writes the result back.
pub fn work(connections: &Connections) -> std::result::Result<(), String> {
    let db = connections.get(DEFAULT_ALIAS).map_err(|error| error.to_string())?;
    let job = claim(&db).map_err(|error| error.to_string())?;
    let (id, input) = job.ok_or("there was no job left for this worker")?;
    sleep(WORK);
    let done = "UPDATE dockline_soak_job SET state = 'done', output = ? WHERE id = ?";
    db.execute(done, params![input * input, id]).map_err(|error| error.to_string())?;
    Ok(())
}

/// Takes a job that nobody has, so that nobody else gets it and nobody waits for anybody.
fn claim(db: &Connection) -> Result<Option<(i64, i64)>> {
    let todo = "SELECT id, input FROM dockline_soak_job WHERE state = 'todo' ORDER BY id LIMIT 1";
    let take = "UPDATE dockline_soak_job SET state = 'busy' WHERE id =";
    let decode = |row: Option<Row>| row.map(|row| row.decode()).transpose();
    match db.vendor() {
        "postgresql" => {
            let todo = todo.replace("id, input", "id");
            decode(db.query_opt(&format!("{take} ({todo} FOR UPDATE SKIP LOCKED) RETURNING id, input"), ())?)
        }
        // One writes at a time: the statement is the lock.
        "sqlite" => {
            let todo = todo.replace("id, input", "id");
            decode(db.query_opt(&format!("{take} ({todo}) RETURNING id, input"), ())?)
        }
        // Their UPDATE returns nothing.
        _ => db.atomic(|| {
            let job: Option<(i64, i64)> = decode(db.query_opt(&format!("{todo} FOR UPDATE SKIP LOCKED"), ())?)?;
            if let Some((id, _)) = job {
                db.execute(&format!("{take} ?"), params![id])?;
            }
            Ok(job)
        }),
    }
}
