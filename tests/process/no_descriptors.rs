//! A process that has no file descriptor left gets an error from connecting, and no panic; and goes on when it has some again.

#![cfg(target_os = "linux")]

use std::fs::File;

use dockline::Settings;
use dockline_tests::connections;
use dockline_tests::servers::{Kind, Server, end_shared};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Low, so that they run out soon.
const LIMIT: u64 = 256;

#[test]
fn out_of_descriptors_is_an_error() {
    // The servers first: they take some themselves.
    let mut servers = Vec::new();
    for kind in Kind::ALL {
        match kind.available() {
            Ok(()) => servers.push(Server::shared(*kind)),
            Err(reason) => {
                assert_eq!(*kind, Kind::Mysql, "{reason}");
                eprintln!("skipped: {reason}");
            }
        }
    }
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(LIMIT), maximum }).expect("a lower limit");
    for server in servers {
        let name = server.kind().name();
        let registry = connections(Settings::from_url(&server.url()).unwrap());
        let db = registry.get("default").unwrap();
        assert_eq!(db.query_value::<i64>("SELECT 1", ()).unwrap(), 1);
        db.close();
        // From none at all to as many as a connection takes: each number fails in another place.
        for free in 0..6 {
            let mut hoard = Vec::new();
            while let Ok(file) = File::open("/dev/null") {
                hoard.push(file);
            }
            hoard.truncate(hoard.len() - free);
            match db.query_value::<i64>("SELECT 1", ()) {
                Ok(one) => assert_eq!(one, 1),
                Err(error) => {
                    assert!(error.is_exhausted(), "{name} with {free} descriptors: {error:?}");
                    assert!(!error.may_have_executed(), "{name}: {error:?}");
                }
            }
            drop(hoard);
            assert_eq!(db.query_value::<i64>("SELECT 1", ()).unwrap(), 1, "{name} with descriptors again");
            db.close();
        }
    }
    end_shared();
}
