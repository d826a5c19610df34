//! The examples that show where threads run code: what they print, and that nothing of them is left on the server.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Stdio};

use dockline_tests::servers::{FreshDatabase, Server};
use rustix::process::{Pid, Signal, kill_process};

use super::{command, run, text};
use crate::case::{Case, case};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!(threads_close_what_they_had),
        case!(threadpool_survives_a_job_that_panics),
        case!(rayon_works_in_parallel_and_then_in_a_block),
        case!(tiny_http_serves_itself),
        case!(tiny_http_serves_until_it_is_interrupted),
        case!(prefork_keeps_the_masters_connection),
        case!(daemon_tells_both_kinds_of_loop),
        case!(daemon_ends_when_it_is_interrupted),
    ]
}

/// What an example prints on SQLite and on the server, which has no connection of it afterwards.
pub(super) fn on_both(example: &str, server: &Server, check: impl Fn(&str)) {
    let database = server.database();
    for url in [None, Some(database.url())] {
        check(&text(run(example, &[], url.as_deref())));
    }
    database.admin().wait_until_connections(0);
}

fn threads_close_what_they_had(server: &Server) {
    let expected = "\
they have ended, and 1 connection is open
long threads: the sum is 20100
they have ended, and 1 connection is open
scoped threads: the sum is 20100
a thread has panicked: 1 connection is open, and all of 200 rows are there
shutdown has closed 1, and 0 are open
";
    on_both("threads", server, |text| assert_eq!(text, expected));
}

fn threadpool_survives_a_job_that_panics(server: &Server) {
    on_both("threadpool", server, |text| {
        let lines: Vec<&str> = text.lines().collect();
        let [jobs, statements, opened, open, shutdown] = lines[..] else { panic!("{text}") };
        assert_eq!(jobs, "99 of 100 jobs are done; 1 panicked, and 0 failed");
        assert_eq!(statements, "the jobs have run 199 statements");
        // How many of the four workers got a job is by chance.
        let number = |line: &str| line.split(' ').next().and_then(|word| word.parse::<u64>().ok()).expect("a number");
        assert!((2..=6).contains(&number(opened)) && number(open) < number(opened), "{text}");
        assert_eq!(shutdown, "shutdown has left 0; 0 are open");
    });
}

fn prefork_keeps_the_masters_connection(server: &Server) {
    on_both("prefork", server, |text| {
        let after =
            |start: &str| text.lines().find_map(|line| line.strip_prefix(start)).unwrap_or_else(|| panic!("{text}"));
        assert_eq!(after("the master has "), after("the master still has "));
        // Each process has one of its own: the workers, and the one that took the place of another.
        let workers = text.lines().filter(|line| line.contains(" has connection ") && line.starts_with("worker "));
        let mut connections: Vec<&str> =
            workers.filter_map(|line| line.split_once(" has ")).map(|(_, name)| name).collect();
        connections.push(after("the master has "));
        let count = connections.len();
        connections.sort_unstable();
        connections.dedup();
        assert_eq!(connections.len(), count, "{text}");
        assert!(after("200 of 200 jobs done, ").ends_with(" worker replaced"), "{text}");
        assert!(text.ends_with("closed at the end: 1, left: 0\n"), "{text}");
    });
}

fn rayon_works_in_parallel_and_then_in_a_block(server: &Server) {
    let expected = "\
the taxes on 200 items are 381900 cents
the dearest costs 20000 cents
4 threads of the pool have ended, and closed what they had
shutdown has closed 1 and left 0
";
    on_both("rayon", server, |text| assert_eq!(text, expected));
}

fn tiny_http_serves_itself(server: &Server) {
    let expected = "\
POST \"water the plants\": stored
POST \"feed the cat\": stored
GET:
water the plants
feed the cat
GET /elsewhere: GET and POST /notes
shutdown: 1 connections closed, 0 left
";
    on_both("tiny_http", server, |text| assert_eq!(text, expected));
}

/// An example that runs until it is interrupted.
pub(super) struct Running {
    process: Child,
    lines: BufReader<ChildStdout>,
}

impl Running {
    pub(super) fn start(example: &str, arguments: &[&str], database: &FreshDatabase<'_>) -> Self {
        let mut process =
            command(example, arguments, Some(&database.url())).stdout(Stdio::piped()).spawn().expect("a process");
        let lines = BufReader::new(process.stdout.take().expect("its output"));
        Self { process, lines }
    }

    /// The next line that begins so.
    pub(super) fn line(&mut self, beginning: &str) -> String {
        let mut line = String::new();
        while !line.starts_with(beginning) {
            line.clear();
            assert_ne!(self.lines.read_line(&mut line).expect("UTF-8"), 0, "it has ended without {beginning:?}");
        }
        line.trim_end().to_owned()
    }

    /// Ctrl-C, and what it prints from there on.
    pub(super) fn interrupt(mut self) -> String {
        kill_process(Pid::from_child(&self.process), Signal::INT).expect("it runs");
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).expect("UTF-8");
        assert!(self.process.wait().expect("it ends").success(), "{rest}");
        rest
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Nothing where it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn tiny_http_serves_until_it_is_interrupted(server: &Server) {
    let database = server.database();
    let mut running = Running::start("tiny_http", &["127.0.0.1:0"], &database);
    let line = running.line("serving http://");
    let address = line.trim_start_matches("serving http://").split('/').next().expect("an address");

    // One client, which keeps its connection until the end and after it.
    let mut stream = TcpStream::connect(address).unwrap();
    let mut answers = BufReader::new(stream.try_clone().unwrap());
    let mut ask = |request: &str| {
        stream.write_all(request.as_bytes()).unwrap();
        let (mut line, mut status, mut length) = (String::new(), String::new(), 0);
        while line != "\r\n" {
            line.clear();
            assert_ne!(answers.read_line(&mut line).unwrap(), 0, "it has hung up");
            if status.is_empty() {
                status.push_str(line.split(' ').nth(1).expect("a status"));
            }
            if let Some(value) = line.strip_prefix("Content-Length: ") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        answers.read_exact(&mut body).unwrap();
        format!("{status} {}", String::from_utf8(body).unwrap())
    };
    let post = |text: &str| format!("POST /notes HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{text}", text.len());
    for _ in 0..50 {
        assert_eq!(ask(&post("läuft")), "201 stored\n");
    }
    assert_eq!(ask("GET /notes HTTP/1.1\r\nHost: x\r\n\r\n"), format!("200 {}", "läuft\n".repeat(50)));
    let mut admin = database.admin();
    assert!((1..=4).contains(&admin.connections().len()), "one for each thread that has served");

    let rest = running.interrupt();
    assert!(rest.contains("shutdown: ") && rest.ends_with("closed, 0 left\n"), "{rest}");
    admin.wait_until_connections(0);
}

fn daemon_tells_both_kinds_of_loop(server: &Server) {
    on_both("daemon", server, |text| {
        let (plain, task) = text.split_once("\nEach round a task").unwrap_or_else(|| panic!("half of it:\n{text}"));
        for story in [plain, task] {
            assert_eq!(
                story.lines().filter(|line| line.starts_with("round ") && line.ends_with(": 1 sent")).count(),
                3
            );
            assert!(story.ends_with("closed, 0 left\n"), "{text}");
        }
        // Slowness may close it more often, but not between two rounds of a task.
        assert!(plain.matches("is closed: conn_max_idle").count() >= 2, "{text}");
        assert!(!plain.contains("conn_max_age\n"), "{text}");
        assert_eq!(task.matches("is closed: conn_max_age\n").count(), 3, "{text}");
        assert!(!task.contains("is closed: conn_max_idle"), "{text}");
    });
}

fn daemon_ends_when_it_is_interrupted(server: &Server) {
    for kind in ["plain", "task"] {
        let database = server.database();
        let mut running = Running::start("daemon", &[kind, "3600"], &database);
        running.line("round 1: 1 sent");
        // It is not due: it waits for the next round.
        database.admin().wait_until_connections(1);
        let rest = running.interrupt();
        assert!(rest.ends_with("shutdown: 1 connections closed, 0 left\n"), "{rest}");
        database.admin().wait_until_connections(0);
    }
    let refused = run("daemon", &["plain", "soon"], None);
    assert_eq!(refused.status.code(), Some(2));
    assert_eq!(String::from_utf8(refused.stderr).unwrap(), "daemon: SECONDS is a whole number\n");
}
