//! The examples of the adapters that are crates of their own.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use dockline_tests::servers::Server;

use super::threads::{Running, on_both};
use crate::case::{Case, case};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!(axum_asks_itself),
        case!(axum_serves_until_it_is_interrupted),
        case!(thrift_needs_one_for_each_worker),
        case!(metrics_are_scraped),
    ]
}

/// The number before these words.
fn number(text: &str, words: &str) -> usize {
    let before = text.split(words).next().filter(|before| before.len() < text.len());
    let number = before.and_then(|before| before.rsplit(' ').next()?.parse().ok());
    number.unwrap_or_else(|| panic!("no number before {words:?} in\n{text}"))
}

fn axum_asks_itself(server: &Server) {
    on_both("axum", server, |text| {
        assert!(text.starts_with("400 jobs were put, 384 taken, and 16 are left\n"), "{text}");
        let most = number(text, " connections were open at a time, on 8 threads");
        assert!((1..=8).contains(&most), "{text}");
        assert!(text.ends_with(&format!("shutting down has closed {most}, and left 0\n")), "{text}");
    });
}

fn axum_serves_until_it_is_interrupted(server: &Server) {
    let database = server.database();
    let mut running = Running::start("axum", &["--serve", "127.0.0.1:0"], &database);
    let line = running.line("serving on http://");
    let address = line.trim_start_matches("serving on http://").split(',').next().expect("an address");

    // A client that keeps its connection, and one that says nothing.
    let mut stream = TcpStream::connect(address).unwrap();
    let _silent = TcpStream::connect(address).unwrap();
    let mut answers = BufReader::new(stream.try_clone().unwrap());
    let mut ask = |request: &str| {
        write!(stream, "{request} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\n\r\n").unwrap();
        let (mut line, mut status, mut length) = (String::new(), None, 0);
        while line != "\r\n" {
            line.clear();
            assert_ne!(answers.read_line(&mut line).unwrap(), 0, "it has hung up");
            status = status.or_else(|| line.split(' ').nth(1).map(str::to_owned));
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        answers.read_exact(&mut body).unwrap();
        (status.unwrap(), String::from_utf8(body).unwrap())
    };
    let answer = |status: &str, body: &str| (status.to_owned(), body.to_owned());
    assert_eq!(ask("POST /jobs/resize"), answer("201", ""));
    assert_eq!(ask("POST /jobs/resize"), answer("409", ""));
    assert_eq!(ask("GET /jobs"), answer("200", "resize\n"));
    assert_eq!(ask("POST /take"), answer("200", "resize"));
    assert_eq!(ask("POST /take"), answer("204", ""));
    let mut admin = database.admin();
    assert!((1..=8).contains(&admin.connections().len()), "one for each thread that has served");

    let rest = running.interrupt();
    assert!(rest.ends_with(", and left 0\n"), "{rest}");
    admin.wait_until_connections(0);
}

fn thrift_needs_one_for_each_worker(server: &Server) {
    on_both("thrift", server, |text| {
        assert!(text.starts_with("8 clients have put and taken 200 jobs, by 4 workers\n"), "{text}");
        let most = number(text, " connections were open at a time");
        assert!((1..=4).contains(&most), "{text}");
        assert!(text.ends_with(&format!("shutting down has closed {most}, and left 0\n")), "{text}");
    });
}

fn metrics_are_scraped(server: &Server) {
    on_both("metrics", server, |text| {
        for metric in [
            "db_client_operation_duration_count",
            "db_client_connection_create_time_count",
            "db_client_connection_count",
            "dockline_connections_opened",
            "dockline_transactions",
        ] {
            assert!(text.lines().any(|line| line.starts_with(metric)), "{metric} is missing in\n{text}");
        }
        let statements = text.lines().find(|line| line.contains("db_operation_name=\"SELECT\"")).unwrap();
        assert!(statements.contains("duration") && !statements.ends_with(" 0"), "{text}");
        // What a dashboard asks for is exported under that name, if it has happened.
        let dashboard = include_str!("../../../examples/grafana.json");
        for line in text.lines().filter(|line| line.starts_with("db_client") || line.starts_with("dockline")) {
            let name = line.split(['{', ' ']).next().unwrap().trim_end_matches("_count").trim_end_matches("_sum");
            let is_shown = dashboard.contains(name)
                || ["dockline_connections_probes", "dockline_connections_leaks"].contains(&name);
            assert!(is_shown, "{name} is on no panel");
        }
    });
}
