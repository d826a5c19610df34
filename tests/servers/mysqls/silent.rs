//! A proxy that has no session tracking, such as ProxySQL: it takes the capability out of the server's greeting.

use std::io::{Read, Write, copy};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use dockline::params;
use dockline_tests::servers::Server;

use crate::case::{Case, case};
use crate::opened::{Opened, settings};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case!(a_transaction_by_text_is_seen),
        case!(a_database_by_text_is_seen),
        case!(a_character_set_by_text_is_seen),
    ]
}

/// A proxy to this server that lives as long as the program.
struct Silent {
    port: u16,
    /// How many connections the server has ended, so that the client was told.
    ended: Arc<AtomicUsize>,
}

impl Silent {
    fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let ended = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&ended);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(upstream) else { continue };
                let count = Arc::clone(&count);
                thread::spawn(move || {
                    let _ = forward(client, server);
                    count.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        Self { port, ended }
    }
}

fn forward(mut client: TcpStream, mut server: TcpStream) -> std::io::Result<()> {
    let mut head = [0; 4];
    server.read_exact(&mut head)?;
    let mut greeting = vec![0; usize::from(head[0]) + (usize::from(head[1]) << 8)];
    server.read_exact(&mut greeting)?;
    // Behind the version: a number, a part of the scramble, a zero; two bytes of capabilities, character set, status; two more.
    let version = greeting.iter().skip(1).position(|byte| *byte == 0).expect("a version") + 2;
    let upper = version + 4 + 8 + 1 + 2 + 1 + 2;
    greeting[upper] &= !0x80;
    client.write_all(&head)?;
    client.write_all(&greeting)?;
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || {
        let _ = copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
    let _ = copy(&mut server, &mut client);
    client.shutdown(Shutdown::Both)
}

fn opened(server: &Server) -> (Opened<'_>, Silent) {
    let proxy = Silent::start(server.address());
    let database = server.database();
    let url = database.url_via(proxy.port);
    let opened = Opened::on(database, |_| settings(&url));
    opened.db.execute("CREATE TABLE t (n INTEGER)", ()).unwrap();
    (opened, proxy)
}

fn kill((opened, proxy): &(Opened<'_>, Silent)) {
    let before = proxy.ended.load(Ordering::SeqCst);
    opened.database.admin().kill_and_wait(opened.db.server_connection_id().unwrap());
    while proxy.ended.load(Ordering::SeqCst) == before {
        thread::sleep(Duration::from_millis(1));
    }
}

fn a_transaction_by_text_is_seen(server: &Server) {
    let opened = opened(server);
    let db = &opened.0.db;
    for begins in ["BEGIN", "/* app */ START TRANSACTION", "SET autocommit = 0"] {
        db.execute(begins, ()).unwrap();
        db.execute("INSERT INTO t VALUES (?)", params![1]).unwrap();
        kill(&opened);
        let error = db.execute("INSERT INTO t VALUES (?)", params![2]).unwrap_err();
        assert!(error.is_disconnect() && error.is_work_lost(), "{begins}: {error:?}");
        db.close();
        assert_eq!(db.query_value::<i64>("SELECT count(*) FROM t", ()).unwrap(), 0, "{begins}");
    }
    for texts in
        [&["BEGIN", "COMMIT"][..], &["BEGIN", "ROLLBACK"], &["BEGIN", "CREATE TABLE u (n INTEGER)"], &["SELECT 1"]]
    {
        for sql in texts {
            db.execute(sql, ()).unwrap();
        }
        kill(&opened);
        assert_eq!(db.query_value::<i64>("SELECT 1", ()).unwrap(), 1, "{texts:?}");
    }
    // Blocks are as elsewhere.
    db.atomic(|| db.execute("INSERT INTO t VALUES (?)", params![3])).unwrap();
    let lost = db.atomic(|| {
        db.execute("INSERT INTO t VALUES (?)", params![4])?;
        kill(&opened);
        Ok::<_, dockline::Error>(())
    });
    assert!(lost.unwrap_err().is_disconnect());
    assert_eq!(db.query_value::<i64>("SELECT sum(n) FROM t", ()).unwrap(), 3);
}

fn a_database_by_text_is_seen(server: &Server) {
    let opened = opened(server);
    let db = &opened.0.db;
    let other = server.database();
    let home: String = db.query_value("SELECT DATABASE()", ()).unwrap();
    for name in [other.name(), &home, other.name()] {
        db.execute(&format!("USE {name}"), ()).unwrap();
        assert_eq!(db.query_value::<String>("SELECT DATABASE()", ()).unwrap(), name);
        db.execute("CREATE TABLE IF NOT EXISTS acc (who VARCHAR(100))", ()).unwrap();
        db.execute("DELETE FROM acc", ()).unwrap();
        db.execute("INSERT INTO acc VALUES (?)", params![name]).unwrap();
        assert_eq!(db.query_value::<String>("SELECT who FROM acc", ()).unwrap(), name);
    }
    let at_home: String = db.query_value(&format!("SELECT who FROM {home}.acc"), ()).unwrap();
    assert_eq!(at_home, home);
    kill(&opened);
    assert!(db.query("SELECT who FROM acc", ()).unwrap_err().is_disconnect());
    db.close();
}

fn a_character_set_by_text_is_seen(server: &Server) {
    let opened = opened(server);
    let db = &opened.0.db;
    db.execute("CREATE TABLE x (a VARCHAR(20)) CHARACTER SET utf8mb4", ()).unwrap();
    for sql in ["SET NAMES latin1", "SET character_set_client = latin1", "SET NAMES utf8mb4"] {
        let _ = db.execute(sql, ());
        db.execute("DELETE FROM x", ()).unwrap();
        db.execute("INSERT INTO x VALUES (?)", params!["é€"]).unwrap();
        assert_eq!(db.query_value::<String>("SELECT HEX(a) FROM x", ()).unwrap(), "C3A9E282AC", "{sql}");
    }
}
