//! A service of axum whose jobs are in the database: async handlers, and sections of blocking code, each a request of Dockline.
//!
//! ```sh
//! cargo run --example axum                          # asks itself some things, and ends
//! cargo run --example axum -- --serve               # serves on 127.0.0.1:8080 until Ctrl-C
//! cargo run --example axum -- --serve 0.0.0.0:3000
//! curl -X POST localhost:8080/jobs/resize; curl localhost:8080/jobs; curl -X POST localhost:8080/take
//! DATABASE_URL=postgres://app:secret@localhost/app cargo run --example axum
//! DATABASE_URL=mysql://app:secret@127.0.0.1/app cargo run --example axum
//! ```
//!
//! Without `DATABASE_URL` it is an SQLite file of its own. At the end it says how many connections there were, and what shutting
//! down has closed.

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use dockline::{Connections, DEFAULT_ALIAS, params};
use dockline_examples::{Tally, databases};
use dockline_tokio::Blocking;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// So many requests at a time use the database, and more of them wait: that is how many connections there are.
const THREADS: usize = 8;
/// How long requests may take to come to their end after Ctrl-C.
const PATIENCE: Duration = Duration::from_secs(5);
/// What it asks itself: so many clients at a time, each puts so many jobs.
const CLIENTS: usize = 16;
const JOBS: usize = 25;

type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("axum: {error}");
            ExitCode::from(2)
        }
    }
}

async fn run() -> Fallible<()> {
    let mut arguments = std::env::args().skip(1);
    let address = match arguments.next().as_deref() {
        None => None,
        Some("--serve") => Some(arguments.next().unwrap_or_else(|| "127.0.0.1:8080".to_owned())),
        Some(other) => return Err(format!("{other}: it takes nothing, or --serve and perhaps an address").into()),
    };

    // Until this is dropped: the database of a run without DATABASE_URL.
    let folder = tempfile::tempdir()?;
    let connections = Connections::new(databases(&folder.path().join("jobs.db"))?)?;
    let tally = Tally::of(&connections);
    let blocking = Blocking::new(&connections).limit(THREADS);
    blocking.request(create_table(&connections)).await?;

    let router = Router::new()
        .route("/jobs", get(list))
        .route("/jobs/{name}", post(put))
        .route("/take", post(take))
        .layer(blocking.clone());
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:0")).await?;
    match address {
        Some(_) => {
            println!("serving on http://{}, until Ctrl-C", listener.local_addr()?);
            let (tell, told) = oneshot::channel::<()>();
            let served = axum::serve(listener, router).with_graceful_shutdown(async move {
                told_to_end().await;
                drop(tell);
            });
            // A client that keeps its connection open must not keep the program.
            let patience = async {
                let _ = told.await;
                tokio::time::sleep(PATIENCE).await;
            };
            tokio::select! {
                served = served.into_future() => served?,
                () = patience => eprintln!("some clients were still connected after {PATIENCE:?}"),
            }
        }
        None => ask_itself(listener, router).await?,
    }

    // No request begins any more.
    let report = blocking.shutdown(Duration::from_secs(5)).await?;
    println!("at most {} connections were open at a time, on {THREADS} threads", tally.most());
    println!("shutting down has closed {}, and left {}", report.closed, report.left.len());
    Ok(())
}

fn create_table(connections: &Connections) -> impl FnOnce() -> dockline::Result<()> + Send + 'static {
    let connections = connections.clone();
    move || {
        let db = connections.get(DEFAULT_ALIAS)?;
        db.execute("DROP TABLE IF EXISTS dockline_axum_job", ())?;
        db.execute("CREATE TABLE dockline_axum_job (name VARCHAR(80) PRIMARY KEY, taken INTEGER NOT NULL)", ())?;
        Ok(())
    }
}

/// `GET /jobs`: those that nobody has taken.
async fn list(blocking: Blocking) -> Result<String, Failure> {
    let registry = blocking.registry().clone();
    let names = blocking.request(move || {
        let db = registry.get(DEFAULT_ALIAS)?;
        db.query_as::<(String,)>("SELECT name FROM dockline_axum_job WHERE taken = 0 ORDER BY name", ())
    });
    // Rows leave the thread, connections do not.
    Ok(names.await?.into_iter().map(|(name,)| name + "\n").collect())
}

/// `POST /jobs/{name}`
async fn put(blocking: Blocking, Path(name): Path<String>) -> Result<StatusCode, Failure> {
    let registry = blocking.registry().clone();
    let put = blocking.request(move || {
        let db = registry.get(DEFAULT_ALIAS)?;
        db.execute("INSERT INTO dockline_axum_job (name, taken) VALUES (?, 0)", params![name])
    });
    match put.await {
        Ok(_) => Ok(StatusCode::CREATED),
        Err(error) if error.kind() == dockline::ErrorKind::Integrity => Ok(StatusCode::CONFLICT),
        Err(error) => Err(error.into()),
    }
}

/// `POST /take`: a job for whoever asks, and nobody else. What belongs together is in one section.
async fn take(blocking: Blocking) -> Result<Response, Failure> {
    let registry = blocking.registry().clone();
    let taken = blocking.request(move || {
        let db = registry.get(DEFAULT_ALIAS)?;
        let sql = "SELECT name FROM dockline_axum_job WHERE taken = 0 ORDER BY name LIMIT 1";
        while let Some(row) = db.query_opt(sql, ())? {
            let (name,): (String,) = row.decode()?;
            let sql = "UPDATE dockline_axum_job SET taken = 1 WHERE name = ? AND taken = 0";
            // Where somebody else was faster, there may be another.
            if db.execute(sql, params![&*name])? == 1 {
                return Ok(Some(name));
            }
        }
        Ok::<_, dockline::Error>(None)
    });
    Ok(match taken.await? {
        Some(name) => name.into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

/// What a handler has for an error of the database: the client learns that, and the log which.
struct Failure(dockline::Error);

impl From<dockline::Error> for Failure {
    fn from(error: dockline::Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        log::error!("{}", self.0);
        // The database is down or full: trying again may help.
        let again = self.0.is_disconnect() || self.0.is_exhausted();
        let status = if again { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::INTERNAL_SERVER_ERROR };
        (status, "the database has failed\n").into_response()
    }
}

/// Ctrl-C, or what the system sends to end it.
async fn told_to_end() {
    let interrupted = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminated) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = interrupted => {}
                _ = terminated.recv() => {}
            }
            return;
        }
    }
    let _ = interrupted.await;
}

async fn ask_itself(listener: TcpListener, router: Router) -> Fallible<()> {
    let address = listener.local_addr()?;
    let (ends, end) = oneshot::channel::<()>();
    let server = axum::serve(listener, router).with_graceful_shutdown(async { end.await.unwrap_or_default() });
    let server = tokio::spawn(server.into_future());

    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            tokio::spawn(async move {
                for job in 0..JOBS {
                    ask(&address, "POST", &format!("/jobs/job-{client}-{job}"), "201").await?;
                }
                // The second one of that name.
                ask(&address, "POST", &format!("/jobs/job-{client}-0"), "409").await?;
                let mut taken = 0;
                for _ in 0..JOBS - 1 {
                    taken += usize::from(!ask(&address, "POST", "/take", "200").await?.is_empty());
                }
                Fallible::Ok(taken)
            })
        })
        .collect();
    let mut taken = 0;
    for client in clients {
        taken += client.await??;
    }
    let left = ask(&address, "GET", "/jobs", "200").await?.lines().count();
    println!("{} jobs were put, {taken} taken, and {left} are left", CLIENTS * JOBS);
    let _ = ends.send(());
    server.await??;
    if taken + left != CLIENTS * JOBS {
        return Err("the jobs do not add up".into());
    }
    Ok(())
}

/// One HTTP request, and the body of its answer.
async fn ask(address: &std::net::SocketAddr, method: &str, path: &str, status: &str) -> Fallible<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("an answer without an end of its head")?;
    if head.split(' ').nth(1) != Some(status) {
        return Err(format!("{method} {path}: {status} was expected: {answer}").into());
    }
    Ok(body.to_owned())
}
