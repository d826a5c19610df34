//! `tiny_http`: a server whose threads take one request after the other, and clients that keep their connections.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use dockline::{Connections, TaskPolicy};
use dockline_tests::servers::Server;
use tiny_http::{Response, Server as Http};

use super::load::{Expected, Job, Load, WORKERS, hundred_connections, tasks};
use crate::case::{Case, case};

pub(super) fn cases() -> Vec<Case> {
    vec![case!(load_on_tiny_http).own_server_with(hundred_connections)]
}

fn load_on_tiny_http(server: &Server) {
    let load = Load::new(server, &["default"], TaskPolicy::CloseDue);
    let (started, finished) = (counter(), counter());
    let count = Arc::clone(&started);
    load.connections.signals().request_started.connect(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
    });
    let count = Arc::clone(&finished);
    load.connections.signals().request_finished.connect(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
    });

    let http = Arc::new(Http::http("127.0.0.1:0").expect("a port"));
    let address = http.server_addr().to_ip().expect("an address");
    let workers: Vec<_> = (0..WORKERS).map(|_| serve(&http, &load.connections, load.job())).collect();
    let clients: Vec<_> = (0..WORKERS).map(|_| thread::spawn(move || ask(address, tasks() / WORKERS))).collect();
    for client in clients {
        client.join().unwrap();
    }
    // Which of the workers have had a request is by chance; each has one connection.
    let left = load.story.opened();
    assert!((1..=WORKERS).contains(&left), "{left}");
    load.check(&Expected { jobs: tasks(), at_most: WORKERS, left });

    for _ in &workers {
        http.unblock();
    }
    for worker in workers {
        worker.join().unwrap();
    }
    assert_eq!((started.load(Ordering::SeqCst), finished.load(Ordering::SeqCst)), (tasks(), tasks()));
}

fn counter() -> Arc<AtomicUsize> {
    Arc::default()
}

/// A worker of the server: each request that it gets is a request of the registry.
fn serve(http: &Arc<Http>, connections: &Connections, job: Job) -> JoinHandle<()> {
    let (http, connections) = (Arc::clone(http), connections.clone());
    thread::spawn(move || {
        while let Ok(request) = http.recv() {
            connections
                .in_request(|| {
                    job.run();
                    Ok::<_, dockline::Error>(())
                })
                .unwrap();
            request.respond(Response::from_string("done")).unwrap();
        }
    })
}

/// A client that sends one request after the other, over one connection.
fn ask(address: SocketAddr, requests: usize) {
    let mut writer = TcpStream::connect(address).unwrap();
    writer.set_nodelay(true).unwrap();
    let mut reader = BufReader::new(writer.try_clone().unwrap());
    let (mut line, mut body) = (String::new(), [0; 4]);
    for _ in 0..requests {
        writer.write_all(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
        line.clear();
        reader.read_line(&mut line).unwrap();
        assert!(line.starts_with("HTTP/1.1 200 "), "{line:?}");
        while line != "\r\n" {
            line.clear();
            assert_ne!(reader.read_line(&mut line).unwrap(), 0, "the server has hung up");
        }
        reader.read_exact(&mut body).unwrap();
        assert_eq!(&body, b"done");
    }
}
