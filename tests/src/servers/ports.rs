//! Ports that stay free while nobody listens on them.

use std::net::TcpListener;

/// A port of 127.0.0.1 that nobody listens on.
///
/// It is below the range from which systems take the ports of outgoing connections (32768 on Linux, 49152 elsewhere): a
/// server that is down for a moment finds its port free when it comes back.
pub fn free_port() -> u16 {
    for _ in 0..1000 {
        let port = fastrand::u16(20_000..32_000);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port between 20000 and 32000 is free on 127.0.0.1");
}
