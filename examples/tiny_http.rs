//! An HTTP server with a few threads, `tiny_http`: each HTTP request is a request of Dockline, on the thread that serves it.
//!
//! ```sh
//! cargo run --example tiny_http              # serves itself some requests, on an SQLite file of its own, and ends
//! cargo run --example tiny_http -- 127.0.0.1:8000                         # serves until Ctrl-C
//! DATABASE_URL=postgres://app:secret@localhost/app cargo run --example tiny_http -- 127.0.0.1:8000
//!
//! curl -d 'water the plants' http://127.0.0.1:8000/notes
//! curl http://127.0.0.1:8000/notes
//! ```
//!
//! Old connections are closed when a request begins and when it ends, also by a panic; a block that it left open is rolled back.
//! Ctrl-C lets the requests that run come to their end, and closes every connection. A second one does not wait for clients.

use std::error::Error;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread;
use std::time::Duration;

use dockline::{Task, TaskPolicy, params};
use dockline_examples::databases;
use tiny_http::{Method, Request, Response, Server};

const WORKERS: usize = 4;
/// The longest note, in bytes.
const LONGEST: u64 = 200;
/// The id of the next note. The table is made anew by each run.
static NEXT: AtomicI64 = AtomicI64::new(1);

type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tiny_http: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Fallible<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next();
    if arguments.next().is_some() {
        return Err("usage: tiny_http [ADDRESS:PORT]".into());
    }
    // Until this is dropped: the database of a run without DATABASE_URL.
    let folder = tempfile::tempdir()?;
    dockline::init(databases(&folder.path().join("notes.db"))?)?;
    make_table()?;

    let server = Arc::new(Server::http(address.as_deref().unwrap_or("127.0.0.1:0"))?);
    let bound = server.server_addr().to_ip().ok_or("not an address of TCP")?;
    let workers: Vec<_> = (0..WORKERS)
        .map(|_| {
            let server = Arc::clone(&server);
            thread::spawn(move || serve(&server))
        })
        .collect();
    if address.is_some() {
        let server = Arc::clone(&server);
        let told = AtomicBool::new(false);
        ctrlc::set_handler(move || {
            if told.swap(true, Ordering::Relaxed) {
                // A client may keep a thread waiting for as long as it likes; who asks twice does not.
                std::process::exit(130);
            }
            stop(&server);
        })?;
        println!("serving http://{bound}/notes until Ctrl-C");
    } else {
        let asked = ask_some(bound);
        stop(&server);
        asked?;
    }
    for worker in workers {
        worker.join().map_err(|_| "a worker panicked")?;
    }

    dockline::connection()?.execute("DROP TABLE dockline_note", ())?;
    let report = dockline::connections().shutdown(Duration::from_secs(10));
    println!("shutdown: {} connections closed, {} left", report.closed, report.left.len());
    for left in &report.left {
        println!("left on thread {}: alias {}", left.thread, left.alias);
    }
    Ok(())
}

/// This thread has nothing open while it waits for Ctrl-C.
fn make_table() -> dockline::Result<()> {
    dockline::task_with(Task::new().policy(TaskPolicy::CloseAll), || {
        let db = dockline::connection()?;
        db.execute("DROP TABLE IF EXISTS dockline_note", ())?;
        db.execute("CREATE TABLE dockline_note (id BIGINT PRIMARY KEY, text VARCHAR(200) NOT NULL)", ())?;
        Ok(())
    })()
}

/// What one of the threads does, until `stop`.
fn serve(server: &Server) {
    while let Ok(mut request) = server.recv() {
        // What a slow client still has to send is waited for without a connection. The answer goes out when the request of
        // Dockline has ended: with what it found, or with what went wrong.
        let mut body = String::new();
        let read = request.as_reader().take(LONGEST).read_to_string(&mut body);
        let answer = read.map_err(Into::into).and_then(|_| dockline::in_request(|| handle(&request, &body)));
        let (status, body) = answer.unwrap_or_else(|error| {
            eprintln!("{} {}: {error}", request.method(), request.url());
            (500, "it failed, and the log says why\n".to_owned())
        });
        // A client that has left is no error.
        let _ = request.respond(Response::from_string(body).with_status_code(status));
    }
}

/// Wakes each of the threads once. Those that serve a request come to it afterwards.
fn stop(server: &Server) {
    for _ in 0..WORKERS {
        server.unblock();
    }
}

fn handle(request: &Request, body: &str) -> Fallible<(u16, String)> {
    let db = dockline::connection()?;
    match (request.method(), request.url()) {
        (Method::Get, "/notes") => {
            let notes: Vec<(String,)> = db.query_as("SELECT text FROM dockline_note ORDER BY id", ())?;
            Ok((200, notes.iter().map(|(text,)| format!("{text}\n")).collect()))
        }
        (Method::Post, "/notes") => {
            let id = NEXT.fetch_add(1, Ordering::Relaxed);
            db.execute("INSERT INTO dockline_note VALUES (?, ?)", params![id, body.trim()])?;
            Ok((201, "stored\n".to_owned()))
        }
        _ => Ok((404, "GET and POST /notes\n".to_owned())),
    }
}

/// What a client would do.
fn ask_some(address: SocketAddr) -> Fallible<()> {
    for text in ["water the plants", "feed the cat"] {
        print!("POST {text:?}: {}", ask(address, "POST", "/notes", text)?);
    }
    print!("GET:\n{}", ask(address, "GET", "/notes", "")?);
    print!("GET /elsewhere: {}", ask(address, "GET", "/elsewhere", "")?);
    Ok(())
}

/// The body of the answer.
fn ask(address: SocketAddr, method: &str, path: &str, body: &str) -> Fallible<String> {
    let mut stream = TcpStream::connect(address)?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: notes\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (_, body) = answer.split_once("\r\n\r\n").ok_or("not HTTP")?;
    Ok(body.to_owned())
}
