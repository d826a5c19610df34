//! Connecting to the Unix socket of a server that takes connections and says nothing: each attempt ends with its limit, and leaves no
//! thread and no descriptor behind, however long the server is silent.

#![cfg(target_os = "linux")]

use std::time::Duration;

use dockline::Settings;
use dockline_tests::servers::{Kind, Server};
use dockline_tests::{connections, wait_until};

const ATTEMPTS: usize = 12;

fn count(folder: &str) -> usize {
    std::fs::read_dir(folder).expect(folder).count()
}

#[test]
fn nothing_stays_behind() {
    for kind in Kind::ALL {
        if let Err(reason) = kind.available() {
            assert_eq!(*kind, Kind::Mysql, "{reason}");
            eprintln!("skipped: {reason}");
            continue;
        }
        let server = Server::start(*kind);
        let socket = server.socket().to_str().expect("a path in UTF-8").to_owned();
        let plain = Settings::from_url(&server.url()).unwrap().connect_timeout(Duration::from_millis(100));
        let settings = if kind.is_postgres() { plain.host(socket) } else { plain.option("socket", socket) };
        let registry = connections(settings.clone().connect_timeout(Duration::from_secs(30)));
        let db = registry.get("default").unwrap();
        assert_eq!(db.query_value::<i64>("SELECT 1", ()).unwrap(), 1);
        db.close();

        server.pause();
        let mut attempts = 0;
        let mut fail = || {
            let error = connections(settings.clone()).get("default").unwrap().ensure_connection().unwrap_err();
            assert!(error.is_disconnect() && error.message().contains("connect_timeout"), "{error:?}");
            attempts += 1;
        };
        // The first starts what there is one of in a process.
        fail();
        let before = (count("/proc/self/task"), count("/proc/self/fd"));
        (0..ATTEMPTS).for_each(|_| fail());
        // The server is still silent. A thread that has done its work may be on its way out.
        wait_until(&format!("{}: no thread and no descriptor is left behind, of {before:?}", kind.name()), || {
            count("/proc/self/task") <= before.0 && count("/proc/self/fd") <= before.1
        });
        server.resume();
        assert_eq!(db.query_value::<i64>("SELECT 1", ()).unwrap(), 1);
    }
}
