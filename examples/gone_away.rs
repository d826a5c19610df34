//! Replays the incident that everyone knows as "MySQL server has gone away": a connection is unused for longer than the
//! server allows, the server hangs up, and the next statement finds out. PostgreSQL does the same with
//! `idle_session_timeout` (version 14 or newer).
//!
//! ```sh
//! DATABASE_URL=mysql://app:secret@127.0.0.1/app cargo run --example gone_away
//! DATABASE_URL=postgres://app:secret@localhost/app cargo run --example gone_away
//! ```
//!
//! It sets the limit to 2 s for its own two connections, and writes nothing to the database. It takes about 6 s.

use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

use dockline::{Connection, Connections, DEFAULT_ALIAS, Databases, Liveness, Settings};

const LIMIT: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_secs(3);

type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    // What Dockline would warn of at the first connection is part of the story below.
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("error")).init();
    match settings().and_then(|settings| run(&settings)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gone_away: {error}");
            ExitCode::from(2)
        }
    }
}

/// The settings of a server, with a short limit for idle sessions.
fn settings() -> Fallible<Settings> {
    let databases = Databases::from_env()?;
    let settings = databases.settings(DEFAULT_ALIAS);
    let limit = match settings.and_then(Settings::get_engine) {
        Some("mysql" | "mariadb") => format!("SET SESSION wait_timeout = {}", LIMIT.as_secs()),
        Some("postgres" | "postgresql") => format!("SET idle_session_timeout = '{}s'", LIMIT.as_secs()),
        _ => {
            return Err(
                "this needs a server that hangs up: set DATABASE_URL to the mysql://, mariadb:// or postgres:// \
                        URL of one"
                    .into(),
            );
        }
    };
    Ok(settings.cloned().unwrap_or_default().init_sql(limit))
}

fn run(settings: &Settings) -> Fallible<()> {
    let engine = settings.get_engine().unwrap_or_default();
    say(&format!("On {engine}, whose sessions here end when they are idle for {LIMIT:?}\n"));
    with_liveness_off(&registry(settings.clone().liveness(Liveness::Off))?)?;
    with_liveness_on(&registry(settings.clone())?)
}

/// A registry that says what it opens and closes.
fn registry(settings: Settings) -> Fallible<Connections> {
    let connections = Connections::new(Databases::new().with(DEFAULT_ALIAS, settings))?;
    let signals = connections.signals();
    signals.connection_created.connect(|event| say(&format!("   connection {} is opened", event.serial())));
    signals
        .connection_closed
        .connect(|event| say(&format!("   connection {} is closed: {}", event.serial(), event.reason())));
    Ok(connections)
}

fn with_liveness_off(connections: &Connections) -> Fallible<()> {
    let db = connections.get(DEFAULT_ALIAS)?;
    say("With liveness=off, as in Django:");
    say("1. a query");
    query(&db);
    say(&format!("2. a pause of {PAUSE:?}"));
    sleep(PAUSE);
    say("3. a query, on a connection that is gone");
    query(&db);
    say("4. another: every statement fails from now on");
    query(&db);
    say("5. close_old_connections(), as at the end of every request");
    connections.close_old_connections();
    say("6. a query");
    query(&db);
    db.close();
    Ok(())
}

fn with_liveness_on(connections: &Connections) -> Fallible<()> {
    let db = connections.get(DEFAULT_ALIAS)?;
    say("\nWith liveness=probe, the default:");
    say("1. a query");
    query(&db);
    say(&format!("2. a pause of {PAUSE:?}"));
    sleep(PAUSE);
    say("3. a query: the loss is noticed before it is sent, and it runs on a new connection");
    query(&db);
    say("4. check() says what to set, so that it does not come to this");
    for finding in connections.check()? {
        say(&format!("   {finding}"));
    }
    db.close();
    Ok(())
}

fn query(db: &Connection) {
    match db.query_value::<i64>("SELECT 1", ()) {
        Ok(_) => say(&format!("   an answer, on connection {}", db.serial().unwrap_or_default())),
        Err(error) => {
            let executed = if error.may_have_executed() { "may have been executed" } else { "was not executed" };
            let lost = if error.is_disconnect() { "is_disconnect" } else { "no disconnect" };
            say(&format!("   {error}\n   {lost}; the statement {executed}"));
        }
    }
}

/// Whoever reads may have seen enough: that is no error.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
