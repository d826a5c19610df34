//! One time limit for all that connecting takes.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

/// When connecting has to be over.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    limit: Duration,
    at: Option<Instant>,
}

impl Deadline {
    /// That long from now.
    pub fn after(limit: Duration) -> Self {
        // One beyond what the clock can tell is never reached.
        Self { limit, at: Instant::now().checked_add(limit) }
    }

    /// The limit, for error messages.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// What is left, where anything is.
    pub fn remaining(&self) -> Option<Duration> {
        let left = self.at.map_or(self.limit, |at| at.saturating_duration_since(Instant::now()));
        // Sockets count in milliseconds or finer, and take zero for no limit at all.
        (left >= Duration::from_millis(1)).then_some(left)
    }

    /// The share of what is left for one of so many attempts, so that a silent address does not use up the time of those
    /// behind it. A last attempt has all of it.
    pub fn share(&self, attempts: usize) -> Option<Duration> {
        let left = self.remaining()?;
        let parts = u32::try_from(attempts.max(1)).unwrap_or(u32::MAX);
        Some((left / parts).max(Duration::from_millis(1)))
    }
}

/// Every address of a host, in the order of the resolver, each once.
///
/// # Errors
///
/// Where the name cannot be resolved, or has no address.
pub fn addresses(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let mut found: Vec<SocketAddr> = Vec::new();
    for address in (host, port).to_socket_addrs()? {
        if !found.contains(&address) {
            found.push(address);
        }
    }
    if found.is_empty() { Err(io::Error::other("the host has no address")) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_share_the_time() {
        let deadline = Deadline::after(Duration::from_secs(10));
        assert!(deadline.share(2).unwrap() <= Duration::from_secs(5));
        assert!(deadline.share(1).unwrap() > Duration::from_secs(5));
        assert!(deadline.share(0).is_some());
        assert!(Deadline::after(Duration::ZERO).remaining().is_none());
        assert!(Deadline::after(Duration::MAX).remaining().is_some());
    }

    #[test]
    fn a_host_has_each_address_once() {
        assert_eq!(addresses("127.0.0.1", 1).unwrap(), [SocketAddr::from(([127, 0, 0, 1], 1))]);
        assert!(addresses("name.invalid", 1).is_err());
    }
}
