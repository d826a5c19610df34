//! Opening a connection, within one time limit for all that it takes.

use std::fs::File;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread::sleep;
use std::time::Duration;

use dockline_core::{Error, ErrorKind, ExposeSecret, Fact, Result, SecretString};
use dockline_net::{Deadline, Stamp, Wire, addresses};
use postgres::config::{SslMode, SslNegotiation};
use postgres::{Client, Config, NoTls};

use crate::connector::{Connector, Found};
use crate::error::{self, Doing, out_of_descriptors};
use crate::pgpass;
use crate::plan::{Place, Plan};
use crate::watch::Watch;

/// A connection that nothing has been said on yet.
pub(crate) struct Opened {
    pub(crate) client: Client,
    /// Our eyes on the stream; `None` on a Unix socket.
    pub(crate) watch: Option<Arc<Watch>>,
    pub(crate) wire: Option<Wire>,
    pub(crate) stamp: Stamp,
    /// When setting it up has to be over.
    pub(crate) deadline: Deadline,
}

/// Opens one. Where the server is just starting up, or counts connections that we have closed a moment ago, it tries again, as
/// long as the limit allows.
pub(crate) fn open(plan: &Plan) -> Result<Opened> {
    let deadline = Deadline::after(plan.connect_timeout);
    plan.server.await_turn(deadline);
    let password = password(plan)?;
    let mut pause = Duration::from_millis(50);
    loop {
        let error = match attempt(plan, password.as_ref(), deadline) {
            Ok(opened) => {
                plan.server.accepted();
                return Ok(opened);
            }
            Err(error) => error,
        };
        let starts = error.code().as_deref() == Some("57P03");
        // Others may be waiting for the same: each sleeps another time.
        let next = pause.mul_f64(0.5 + fastrand::f64());
        let counts_ours = error.is_exhausted() && error.code().is_some() && plan.server.closed_lately();
        if !(starts || counts_ours) || deadline.remaining().is_none_or(|left| left <= next) {
            if error.is_disconnect() || error.is_exhausted() || starts {
                plan.server.refused();
            }
            return Err(error);
        }
        sleep(next);
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}

fn password(plan: &Plan) -> Result<Option<SecretString>> {
    if let Some(password) = plan.settings.resolve_password()? {
        return Ok(Some(password));
    }
    let host = match &plan.place {
        Place::Host(host) => host,
        Place::Folder(_) => "localhost",
    };
    let user = plan.user.clone().or_else(|| std::env::var("USER").ok()).unwrap_or_default();
    let name = plan.name.as_deref().unwrap_or(&user);
    Ok(pgpass::password(&pgpass::Target { host, port: plan.port, name, user: &user }))
}

fn attempt(plan: &Plan, password: Option<&SecretString>, deadline: Deadline) -> Result<Opened> {
    let mut config = Config::new();
    config.application_name(&plan.application_name).port(plan.port).notice_callback(|notice| {
        log::debug!(target: "dockline::connection", "notice of the server: {}: {}", notice.severity(), notice.message());
    });
    if let Some(user) = &plan.user {
        config.user(user);
    }
    if let Some(name) = &plan.name {
        config.dbname(name);
    }
    if let Some(password) = password {
        config.password(password.expose_secret());
    }
    match &plan.place {
        Place::Folder(folder) => {
            set_folder(&mut config, folder);
            config.ssl_mode(SslMode::Disable).connect_timeout(plan.connect_timeout);
            let stamp = plan.server.stamp();
            let client = guarded(plan, || connect_elsewhere(config, deadline))?;
            Ok(Opened { client, watch: None, wire: None, stamp, deadline })
        }
        Place::Host(host) => {
            config.host(host).keepalives(plan.tcp_keepalive.is_some());
            if let Some(idle) = plan.tcp_keepalive {
                // The kernel counts in seconds, with 15 bits.
                config.keepalives_idle(idle.clamp(Duration::from_secs(1), Duration::from_secs(32_767)));
            }
            if let Some(limit) = plan.tcp_user_timeout {
                config.tcp_user_timeout(limit.clamp(Duration::from_millis(1), Duration::from_millis(i32::MAX as u64)));
            }
            // The connector is called for every stream then, and decides itself whether it is encrypted.
            config.ssl_mode(SslMode::Require).ssl_negotiation(SslNegotiation::Direct);
            each_address(plan, host, &config, deadline)
        }
    }
}

#[cfg(unix)]
fn set_folder(config: &mut Config, folder: &Path) {
    config.host_path(folder);
}

/// A plan names no folder here.
#[cfg(not(unix))]
fn set_folder(_: &mut Config, _: &Path) {}

fn each_address(plan: &Plan, host: &str, config: &Config, deadline: Deadline) -> Result<Opened> {
    let found = addresses(host, plan.port).map_err(|error| {
        let message = format!("cannot connect to {}: the host name cannot be resolved: {error}", plan.address());
        out_of_descriptors(&error, Error::new(ErrorKind::Operational, message).with_fact(Fact::Disconnect))
            .with_source(error)
    })?;
    let mut failed = None;
    for (at, address) in found.iter().enumerate() {
        let Some(share) = deadline.share(found.len() - at) else { break };
        match one_address(plan, host, config.clone(), *address, Deadline::after(share)) {
            Ok(opened) => return Ok(Opened { deadline, ..opened }),
            // A server that has answered has answered for all.
            Err(error) if error.code().is_some() => return Err(error),
            Err(error) => failed = Some(error),
        }
    }
    Err(failed.unwrap_or_else(|| {
        let message = format!("cannot connect to {}: no answer within {:?}", plan.address(), deadline.limit());
        Error::new(ErrorKind::Operational, message).with_fact(Fact::Disconnect)
    }))
}

fn one_address(plan: &Plan, host: &str, mut config: Config, address: SocketAddr, deadline: Deadline) -> Result<Opened> {
    let found = Found::default();
    let stamp = plan.server.stamp();
    let connector = Connector {
        tls: plan.tls.clone(),
        needs_tls: plan.needs_tls,
        host: host.to_owned(),
        peer: address,
        deadline,
        found: found.clone(),
    };
    config.hostaddr(address.ip()).connect_timeout(deadline.remaining().unwrap_or(Duration::from_millis(1)));
    let connect = || config.connect(connector).map_err(|error| error::map(error, Doing::Connecting));
    let client = guarded(plan, connect)?;
    Ok(Opened { client, wire: found.take_wire(), watch: Some(found.watch), stamp, deadline })
}

/// Runs the driver's connect, which panics where the process has no descriptor left.
fn guarded(plan: &Plan, connect: impl FnOnce() -> Result<Client>) -> Result<Client> {
    let cannot = |error: Error| error.with_context(format_args!("cannot connect to {}", plan.address()));
    descriptors_left().map_err(cannot)?;
    match catch_unwind(AssertUnwindSafe(connect)) {
        Ok(Ok(client)) => Ok(client),
        Ok(Err(error)) => Err(cannot(error)),
        Err(_) => {
            // It may have lost the race for the last descriptor.
            descriptors_left().map_err(cannot)?;
            Err(cannot(Error::new(ErrorKind::Interface, "the driver panicked")))
        }
    }
}

/// Over a Unix socket the driver's limit ends with the connection, and a server that is stopped takes that and says nothing. So
/// a thread waits for it, and may be left behind.
fn connect_elsewhere(config: Config, deadline: Deadline) -> Result<Client> {
    let (done, wait) = channel();
    let connect = move || {
        // Where nobody waits any more, the client goes with this thread.
        let _ = done.send(config.connect(NoTls));
    };
    std::thread::Builder::new().name("dockline-connect".to_owned()).spawn(connect).map_err(|error| {
        Error::new(ErrorKind::Operational, format!("no thread can be started: {error}"))
            .with_fact(Fact::Exhausted)
            .with_source(error)
    })?;
    match wait.recv_timeout(deadline.remaining().unwrap_or_default()) {
        Ok(result) => result.map_err(|error| error::map(error, Doing::Connecting)),
        Err(RecvTimeoutError::Timeout) => {
            let message = format!("no answer within {:?} (connect_timeout)", deadline.limit());
            Err(Error::new(ErrorKind::Operational, message).with_fact(Fact::Disconnect))
        }
        Err(RecvTimeoutError::Disconnected) => Err(Error::new(ErrorKind::Interface, "the driver panicked")),
    }
}

/// A connection takes a socket and three more for its runtime.
fn descriptors_left() -> Result<()> {
    let mut opened = Vec::with_capacity(4);
    for _ in 0..4 {
        match File::open("/dev/null") {
            Ok(file) => opened.push(file),
            Err(error) => {
                let full =
                    Error::new(ErrorKind::Operational, format!("the process has no file descriptor left: {error}"));
                let mapped = out_of_descriptors(&error, full);
                // Where there is no such device, nothing can be said.
                return if mapped.is_exhausted() { Err(mapped.with_source(error)) } else { Ok(()) };
            }
        }
    }
    Ok(())
}
