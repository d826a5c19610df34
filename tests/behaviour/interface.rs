//! The shape of the public interface, as programs use it. It only has to compile.

#![allow(dead_code)]

use std::time::Duration;

use dockline::{Connection, ConnectionState, Connections, Databases, Error, ErrorKind, Row, Settings, Value, params};

fn configure() -> dockline::Result<Connections> {
    let settings = Settings::from_url("postgres://app:secret@localhost/app?conn_max_age=5m")?
        .conn_max_age(Some(Duration::from_secs(300)))
        .conn_health_checks(true)
        .autocommit(true);
    Connections::new(Databases::new().with("default", settings).with("scratch", Settings::from_url("sqlite::memory:")?))
}

/// `connections` and `request` never fail: the configuration is read by the first `get`, which returns its error, and tries
/// again the next time.
fn process_wide() -> dockline::Result<()> {
    dockline::init(Databases::from_env()?)?;
    let registry: &'static Connections = dockline::connections();
    let _request = dockline::request();
    let _: Connection = dockline::connection()?;
    let _: Connection = registry.get("replica")?;
    dockline::close_old_connections();
    dockline::reset_queries();
    Ok(())
}

/// `Connections` is Clone, Send and Sync. `Connection` is Clone, owned (no lifetime), and neither Send nor Sync.
fn statements(registry: &Connections) -> dockline::Result<()> {
    let db = registry.get("default")?;
    let _: u64 = db.execute("INSERT INTO t (a, b) VALUES (?, ?)", params![1, "x"])?;
    let _: Vec<Row> = db.query("SELECT a, b FROM t", ())?;
    let row: Row = db.query_one("SELECT a, b FROM t WHERE a = ?", params![1])?;
    let _: i64 = row.get("a")?;
    let _: Option<String> = row.get(1)?;
    let _: Option<Row> = db.query_opt("SELECT a FROM t WHERE a = ?", params![2])?;
    let _: i64 = db.query_value("SELECT count(*) FROM t", ())?;
    db.query_each("SELECT a FROM t", (), |row| {
        let _: Value = row.get(0)?;
        Ok(std::ops::ControlFlow::<()>::Continue(()))
    })?;
    db.execute_many("INSERT INTO t (a) VALUES (?)", (0..10).map(|n| params![n]))?;
    let _ = db.native::<dockline::rusqlite::Connection, _>(|sqlite| sqlite.is_autocommit());
    let _: &str = db.alias();
    let _: &str = db.vendor();
    Ok(())
}

fn transactions(db: &Connection) -> dockline::Result<()> {
    let _: i64 = db.atomic(|| {
        db.execute("UPDATE t SET a = 2", ())?;
        db.on_commit(|| println!("kept"))?;
        db.atomic_with(dockline::Atomic::new().savepoint(false), || db.execute("DELETE FROM t", ()))?;
        Ok::<_, Error>(1)
    })?;
    let block = db.begin_atomic(dockline::Atomic::new().durable(true))?;
    block.rollback()?;
    let block = db.begin_atomic(dockline::Atomic::new())?;
    block.commit()?;
    let savepoint = db.savepoint()?;
    db.savepoint_rollback(&savepoint)?;
    db.savepoint_commit(savepoint)?;
    db.set_autocommit(false)?;
    db.commit()?;
    db.rollback()?;
    Ok(())
}

/// `state` reads flags and opens nothing. `serial` numbers the physical connections of a process and is None where none is open;
/// `server_connection_id` is what the server lists, known since connecting.
fn lifecycle(db: &Connection) -> dockline::Result<()> {
    let ConnectionState {
        connected: _, in_atomic_block: _, needs_rollback: _, errors_occurred: _, autocommit: _, ..
    } = db.state();
    let _: Option<u64> = db.serial();
    let _: Option<u64> = db.server_connection_id();
    let _: bool = db.is_usable();
    db.ensure_connection()?;
    db.close();
    let _held = db.hold(); // while it lives, a lost connection is an error and never replaced
    let _ = db.canceller(); // Send: cancels the running statement from another thread
    Ok(())
}

fn hooks(registry: &Connections) {
    let receiver = registry.signals().request_started.connect(|_event| {});
    registry.signals().request_started.disconnect(receiver);
    registry.signals().connection_created.connect(|event| println!("{}", event.alias()));
    registry.signals().task_done.connect(|report| println!("{:?} {}", report.elapsed(), report.panicked()));
}

fn tasks(registry: &Connections) -> dockline::Result<()> {
    let job = registry.task(|| 40 + 2); // FnOnce() -> T + Send + 'static: captures no reference to the registry
    let _: i32 = std::thread::spawn(job).join().unwrap();
    let _: dockline::Result<u64> = registry.in_request(|| registry.get("default")?.execute("DELETE FROM t", ()));
    registry.add("tenant", Settings::from_url("sqlite:tenant.db")?)?;
    registry.replace("tenant", Settings::from_url("mysql://localhost/tenant")?)?;
    registry.remove("tenant")?;
    registry.close_old_connections();
    registry.close_all();
    Ok(())
}

fn errors(error: &Error) -> bool {
    let _: ErrorKind = error.kind();
    let _: Option<&str> = error.alias();
    let _: Option<String> = error.code(); // "2006", "57P01"
    let _: bool = error.may_have_executed();
    matches!(
        error.kind(),
        ErrorKind::Interface
            | ErrorKind::Database
            | ErrorKind::Data
            | ErrorKind::Operational
            | ErrorKind::Integrity
            | ErrorKind::Internal
            | ErrorKind::Programming
            | ErrorKind::NotSupported
            | ErrorKind::ConnectionDoesNotExist
            | ErrorKind::ImproperlyConfigured
            | ErrorKind::TransactionManagement
    ) && (error.is_disconnect()
        || error.is_retryable()
        || error.is_exhausted()
        || error.is_work_lost()
        || error.is_commit_unknown())
}
