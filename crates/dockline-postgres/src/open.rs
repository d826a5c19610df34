//! Opening a connection, within one time limit for all that it takes.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
#[cfg(unix)]
use std::path::Path;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use dockline_core::{Error, ErrorKind, ExposeSecret, Fact, Result, SecretString};
use dockline_net::{Deadline, Failure, Stamp, Why, Wire, descriptors_left, each_place, no_answer, resolve};
use postgres::config::{ChannelBinding, SslMode, SslNegotiation};
use postgres::{Client, Config};

use crate::connector::{Connector, Found, To};
use crate::error::{self, Phase};
use crate::pgpass;
use crate::plan::{Place, Plan};
use crate::transport::Secure;
use crate::watch::Watch;

/// A connection that nothing has been said on yet. It is passed on in a box: the stack that connecting touches stays with the thread.
pub(crate) struct Opened {
    pub(crate) client: Client,
    /// Our eyes on the stream.
    pub(crate) watch: Arc<Watch>,
    pub(crate) wire: Option<Wire>,
    /// The stream, if it is encrypted.
    pub(crate) encrypted: Option<Weak<Secure>>,
    pub(crate) address: Address,
    pub(crate) stamp: Stamp,
    /// When setting it up has to be over.
    pub(crate) deadline: Deadline,
}

/// Where a session is, past all names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// Opens one.
pub(crate) fn open(plan: &Plan, deadline: Deadline) -> Result<Box<Opened>> {
    let config = config(plan)?;
    dockline_net::connect(&plan.server, deadline, || match &plan.place {
        Place::Folder(folder) => over_socket(plan, &folder.join(format!(".s.PGSQL.{}", plan.port)), &config, deadline),
        Place::Host(host) => each_address(plan, host, &config, deadline),
    })
}

/// What all attempts have in common. The password is asked for once.
fn config(plan: &Plan) -> Result<Config> {
    let mut config = Config::new();
    config.application_name(&plan.application_name).notice_callback(|notice| {
        // Its text may have values: a routine of the program's can put anything into it.
        log::debug!(
            target: "dockline::connection",
            "the server sent a notice: {} ({})", notice.severity(), notice.code().code()
        );
    });
    // The connector is called for every stream then, and decides itself whether it is encrypted.
    config.ssl_mode(SslMode::Require).ssl_negotiation(SslNegotiation::Direct);
    config.channel_binding(match plan.settings.get_channel_binding() {
        dockline_core::ChannelBinding::Disable => ChannelBinding::Disable,
        dockline_core::ChannelBinding::Require => ChannelBinding::Require,
        _ => ChannelBinding::Prefer,
    });
    if let Some(options) = plan.settings.get_option("options") {
        config.options(options);
    }
    let user = plan.user.clone().or_else(pgpass::user_of_the_process).unwrap_or_default();
    if !user.is_empty() {
        config.user(&user);
    }
    if let Some(name) = &plan.name {
        config.dbname(name);
    }
    if let Some(password) = password(plan, &user)? {
        config.password(password.expose_secret());
    }
    config.keepalives(plan.tcp_keepalive.is_some());
    if let Some(idle) = plan.tcp_keepalive {
        // The kernel counts in seconds, with 15 bits.
        config.keepalives_idle(idle.clamp(Duration::from_secs(1), Duration::from_secs(32_767)));
    }
    if let Some(limit) = plan.tcp_user_timeout {
        config.tcp_user_timeout(limit.clamp(Duration::from_millis(1), Duration::from_millis(i32::MAX as u64)));
    }
    Ok(config)
}

fn password(plan: &Plan, user: &str) -> Result<Option<SecretString>> {
    if let Some(password) = plan.settings.resolve_password()? {
        return Ok(Some(password));
    }
    let host = match &plan.place {
        Place::Host(host) => host,
        Place::Folder(_) => "localhost",
    };
    let name = plan.name.as_deref().unwrap_or(user);
    Ok(pgpass::password(&pgpass::Target { host, port: plan.port, name, user }))
}

fn each_address(plan: &Plan, host: &str, config: &Config, deadline: Deadline) -> Result<Box<Opened>, Failure> {
    let cannot = |what: std::fmt::Arguments<'_>| cannot(plan, Error::new(ErrorKind::Operational, what.to_string()));
    let found = resolve(host, plan.port, deadline, cannot)?;
    let late = || cannot(format_args!("{}", no_answer(deadline)));
    each_place(
        &found,
        |_| 1,
        deadline,
        late,
        |address, share| {
            let to =
                To::Server { peer: *address, tls: plan.tls.clone(), needs_tls: plan.needs_tls, host: host.to_owned() };
            let mut config = config.clone();
            config.host(host).hostaddr(address.ip()).port(address.port());
            drive(plan, &config, to, Found::default(), Address::Tcp(*address), share, deadline)
        },
    )
}

#[cfg(unix)]
fn over_socket(plan: &Plan, path: &Path, config: &Config, deadline: Deadline) -> Result<Box<Opened>, Failure> {
    use std::sync::Mutex;

    use crate::decoy::Decoy;

    // The socket, and the two ends of the decoy.
    descriptors_left(3).map_err(|error| Failure::last(cannot(plan, error)))?;
    let of_system = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::TimedOut => late(plan, deadline),
        _ => Failure::unreachable(cannot(plan, error::of_io(error))),
    };
    let server = dockline_net::connect_unix(path, deadline).map_err(of_system)?;
    let found = Found::default();
    found.set_wire(crate::wire::of_unix(&server));
    let decoy = Decoy::new(server).map_err(of_system)?;
    let stands_for = decoy.address().map_err(of_system)?;
    let mut config = config.clone();
    config.host("localhost").hostaddr(stands_for.ip()).port(stands_for.port());
    let to = To::Decoy(Arc::new(Mutex::new(Some(decoy))));
    drive(plan, &config, to, found, Address::Unix(path.to_owned()), deadline, deadline)
}

#[cfg(not(unix))]
fn over_socket(plan: &Plan, _: &std::path::Path, _: &Config, _: Deadline) -> Result<Box<Opened>, Failure> {
    let error = Error::new(ErrorKind::NotSupported, "there are no Unix sockets on this system");
    Err(Failure::last(cannot(plan, error)))
}

/// Runs the driver's connect, which panics if the process has no descriptor left. `share`: when this attempt has to be over;
/// `deadline`: when connecting has to be over.
fn drive(
    plan: &Plan,
    config: &Config,
    to: To,
    found: Found,
    address: Address,
    share: Deadline,
    deadline: Deadline,
) -> Result<Box<Opened>, Failure> {
    // A connection takes a socket and three more for its runtime.
    let descriptors = || descriptors_left(4).map_err(|error| Failure::last(cannot(plan, error)));
    descriptors()?;
    let stamp = plan.server.stamp();
    let mut config = config.clone();
    config.connect_timeout(share.remaining().unwrap_or(Duration::from_millis(1)));
    let connector = Connector { to, deadline: share, found: found.clone() };
    match catch_unwind(AssertUnwindSafe(|| config.connect(connector))) {
        Ok(Ok(client)) => {
            let (wire, encrypted) = (found.take_wire(), found.take_encrypted());
            Ok(Box::new(Opened { client, watch: found.watch, wire, encrypted, address, stamp, deadline }))
        }
        Ok(Err(error)) if error::is_late(&error) => Err(late(plan, deadline)),
        Ok(Err(error)) => Err(failure(cannot(plan, error::map(error, Phase::Connecting)))),
        Err(_) => {
            // It may have lost the race for the last descriptor.
            descriptors()?;
            Err(Failure::last(cannot(plan, Error::new(ErrorKind::Interface, "the driver panicked"))))
        }
    }
}

/// What an error of the driver means for another attempt.
fn failure(error: Error) -> Failure {
    let why = match error.code().as_deref() {
        Some("57P03") => Why::Starting,
        Some(_) if error.is_exhausted() => Why::Full,
        // A server that has answered has answered for all of its addresses.
        Some(_) => Why::Final,
        None if error.is_disconnect() && !error.is_exhausted() => Why::Unreachable,
        None => Why::Final,
    };
    Failure { error, why }
}

fn late(plan: &Plan, deadline: Deadline) -> Failure {
    Failure::unreachable(cannot(plan, Error::new(ErrorKind::Operational, no_answer(deadline))))
}

fn cannot(plan: &Plan, error: Error) -> Error {
    error.with_context(format_args!("cannot connect to {}", plan.address()))
}

/// The error of a connection whose set-up has failed.
pub(crate) fn set_up_failed(plan: &Plan, deadline: Deadline, error: Error) -> Error {
    let is_late =
        std::error::Error::source(&error).and_then(|source| source.downcast_ref()).is_some_and(error::is_late);
    let error = if is_late {
        Error::new(ErrorKind::Operational, no_answer(deadline)).with_fact(Fact::Disconnect).with_source(error)
    } else {
        error
    };
    error.with_context(format_args!("setting up a connection to {}", plan.address()))
}
