//! Opening a connection: every address of the host, within one limit.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use dockline_core::backend::is_out_of_descriptors;
use dockline_core::{Error, ErrorKind, ExposeSecret, Fact, Result, SecretString, Tls};
use dockline_net::{Deadline, Server, Stamp, Wire, addresses};
use mysql::consts::CapabilityFlags;
use mysql::{ClientIdentity, Conn, DriverError, OptsBuilder, SslOpts};

use crate::error::{Phase, io_error, map};
use crate::options_file::FileOptions;
use crate::plan::{Endpoint, Plan};

/// A connection that the server has accepted, and that is not set up yet.
pub(crate) struct Opened {
    pub(crate) conn: Conn,
    pub(crate) wire: Option<Wire>,
    pub(crate) server: Arc<Server>,
    pub(crate) stamp: Stamp,
    pub(crate) encrypted: bool,
    pub(crate) deadline: Deadline,
}

/// Opens a connection, within the settings' limit.
pub(crate) fn open(plan: &Plan) -> Result<Opened> {
    open_within(plan, Deadline::after(plan.settings.get_connect_timeout()), None)
}

/// Opens one, to this address where one is given and the certificate does not need the name.
pub(crate) fn open_within(plan: &Plan, deadline: Deadline, peer: Option<SocketAddr>) -> Result<Opened> {
    let target = Target::of(plan, peer)?;
    let server = Server::named(&target.endpoint.name());
    server.await_turn(deadline);
    let mut pause = Duration::from_millis(20);
    loop {
        let stamp = server.stamp();
        let failure = match target.connect(plan, deadline) {
            Ok((conn, encrypted)) => {
                server.accepted();
                let wire = wire_of(&conn);
                let opened = Opened { conn, wire, server, stamp, encrypted, deadline };
                opened.limit(deadline.remaining().unwrap_or(Duration::from_millis(1)));
                return Ok(opened);
            }
            Err(failure) => failure,
        };
        // It may still count connections that we have closed a moment ago. Others ask again as well, each at another time.
        let counts_ours = failure.error.code().as_deref() == Some("1040") && server.closed_lately();
        let next = pause.mul_f64(0.5 + fastrand::f64());
        if !counts_ours || deadline.remaining().is_none_or(|left| left <= next) {
            if failure.server_is_down {
                server.refused();
            }
            return Err(failure.error);
        }
        sleep(next);
        pause = (pause * 2).min(Duration::from_millis(500));
    }
}

impl Opened {
    fn limit(&self, limit: Duration) {
        if let Some(wire) = &self.wire {
            let _ = wire.set_timeouts(Some(limit), Some(limit));
        }
    }
}

#[cfg(unix)]
pub(crate) fn wire_of(conn: &Conn) -> Option<Wire> {
    Some(Wire::of(conn))
}

#[cfg(not(unix))]
pub(crate) fn wire_of(_: &Conn) -> Option<Wire> {
    None
}

/// Where to connect, and as whom: asked anew each time.
struct Target {
    endpoint: Endpoint,
    user: Option<String>,
    password: Option<SecretString>,
    peer: Option<SocketAddr>,
}

/// One address, or all of one family where the driver has to know the name.
struct Attempt {
    host: String,
    bind: Option<SocketAddr>,
    addresses: usize,
}

impl Attempt {
    fn to(address: &SocketAddr) -> Self {
        let host = if address.is_ipv6() { format!("[{}]", address.ip()) } else { address.ip().to_string() };
        Self { host, bind: None, addresses: 1 }
    }
}

struct Failure {
    error: Error,
    /// Another address may answer.
    goes_on: bool,
    server_is_down: bool,
    no_tls: bool,
}

impl Failure {
    fn of(error: Error) -> Self {
        Self { error, goes_on: false, server_is_down: false, no_tls: false }
    }
}

impl Target {
    fn of(plan: &Plan, peer: Option<SocketAddr>) -> Result<Self> {
        let settings = &plan.settings;
        let own_password = settings.resolve_password()?;
        let own_user = settings.get_user().map(str::to_owned);
        let file = FileOptions::read(plan, own_user.is_none() || own_password.is_none())?;
        // A password belongs to a user.
        let same_user = own_user.is_none() || file.user.is_none() || own_user == file.user;
        let endpoint = plan.endpoint.clone().or_else(|| file.socket.map(Endpoint::Socket));
        let endpoint = endpoint.unwrap_or_else(|| Endpoint::of(file.host.as_deref().unwrap_or("127.0.0.1"), file.port));
        endpoint.allows(settings.get_tls())?;
        Ok(Self {
            peer,
            endpoint,
            user: own_user.or(file.user),
            password: own_password.or(file.password.filter(|_| same_user)),
        })
    }

    fn connect(&self, plan: &Plan, deadline: Deadline) -> Result<(Conn, bool), Failure> {
        let attempts = self.attempts(plan)?;
        let mut left: usize = attempts.iter().map(|attempt| attempt.addresses).sum();
        let mut last = None;
        for attempt in attempts {
            let Some(share) = deadline.share(left) else { break };
            left -= attempt.addresses;
            match self.connect_to(plan, &attempt, share, deadline) {
                Err(failure) if failure.goes_on => last = Some(failure),
                result => return result,
            }
        }
        Err(last.unwrap_or_else(|| {
            let limit = deadline.limit();
            let error = self.error("2003", format_args!("no answer within {limit:?} (connect_timeout)"));
            Failure { server_is_down: true, ..Failure::of(error.with_fact(Fact::Disconnect)) }
        }))
    }

    fn attempts(&self, plan: &Plan) -> Result<Vec<Attempt>, Failure> {
        let Endpoint::Tcp { host, port } = &self.endpoint else {
            return Ok(vec![Attempt { host: String::new(), bind: None, addresses: 1 }]);
        };
        let needs_name = plan.settings.get_tls() == Tls::VerifyFull && host.parse::<IpAddr>().is_err();
        if let (Some(peer), false) = (&self.peer, needs_name) {
            return Ok(vec![Attempt::to(peer)]);
        }
        let found = addresses(host, *port).map_err(|error| {
            let exhausted = is_out_of_descriptors(&error);
            let mapped = self.error("2005", format_args!("unknown host: {error}")).with_source(error);
            Failure::of(mapped.with_fact(if exhausted { Fact::Exhausted } else { Fact::Disconnect }))
        })?;
        // The name that the certificate has to have is the one that the driver connects to. Only with an address to bind to
        // does it try more than the first of a name, and then those of the same family.
        if needs_name {
            let ours = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
            let mut families = ours.map(|ip| {
                let of_family = |address: &&SocketAddr| address.is_ipv4() == ip.is_ipv4();
                let bind = Some(SocketAddr::new(ip, 0));
                Attempt { host: host.clone(), bind, addresses: found.iter().filter(of_family).count() }
            });
            if found[0].is_ipv6() {
                families.reverse();
            }
            return Ok(families.into_iter().filter(|attempt| attempt.addresses > 0).collect());
        }
        Ok(found.iter().map(Attempt::to).collect())
    }

    /// The second half of the answer is whether the connection is encrypted.
    fn connect_to(
        &self,
        plan: &Plan,
        attempt: &Attempt,
        share: Duration,
        deadline: Deadline,
    ) -> Result<(Conn, bool), Failure> {
        let prefers = plan.settings.get_tls() == Tls::Prefer;
        let tls = plan.encrypts() && matches!(self.endpoint, Endpoint::Tcp { .. });
        if tls && prefers && plan.was_without_tls() {
            return self.try_once(plan, attempt, share, deadline, false).map(|conn| (conn, false));
        }
        match self.try_once(plan, attempt, share, deadline, tls) {
            Err(failure) if failure.no_tls && prefers => {
                plan.note_without_tls();
                Server::named(&self.endpoint.name()).gave_up();
                self.try_once(plan, attempt, share, deadline, false).map(|conn| (conn, false))
            }
            result => result.map(|conn| (conn, tls)),
        }
    }

    fn try_once(
        &self,
        plan: &Plan,
        attempt: &Attempt,
        share: Duration,
        deadline: Deadline,
        tls: bool,
    ) -> Result<Conn, Failure> {
        let options = self.options(plan, attempt, share, tls);
        match catch_unwind(AssertUnwindSafe(|| Conn::new(options))) {
            Ok(Ok(conn)) => Ok(conn),
            Ok(Err(error)) => Err(self.explain(error, deadline)),
            Err(_) => {
                let error = Error::new(ErrorKind::Interface, "the driver panicked while it connected");
                Err(Failure::of(error.with_context(self.place())))
            }
        }
    }

    /// These hold the password: they are never printed.
    fn options(&self, plan: &Plan, attempt: &Attempt, share: Duration, tls: bool) -> OptsBuilder {
        let settings = &plan.settings;
        let millis = |limit: Duration| u32::try_from(limit.as_millis().clamp(1, i32::MAX as u128)).unwrap_or(u32::MAX);
        // The kernel counts in seconds, with 15 bits.
        let seconds = |limit: Duration| limit.clamp(Duration::from_secs(1), Duration::from_secs(32_767));
        let wait = settings.get_read_timeout().map_or(share, |limit| limit.min(share));
        // Where the socket is out of reach, this is for good.
        let (read, write) = if cfg!(unix) {
            (Some(wait), Some(wait))
        } else {
            (settings.get_read_timeout(), settings.get_read_timeout())
        };
        let options = OptsBuilder::new()
            .user(self.user.clone())
            .pass(self.password.as_ref().map(|password| password.expose_secret().to_owned()))
            .db_name(plan.database.clone())
            // It would leave TCP on loopback for the server's socket.
            .prefer_socket(false)
            .tcp_connect_timeout(Some(share))
            .read_timeout(read)
            .write_timeout(write)
            .tcp_nodelay(true)
            .tcp_keepalive_time_ms(settings.get_tcp_keepalive().map(seconds).map(millis))
            // Else it asks the server, which is a round trip. The server refuses what it does not take.
            .max_allowed_packet(Some(1 << 30))
            // Sessions have one of their own.
            .stmt_cache_size(0)
            .additional_capabilities(CapabilityFlags::CLIENT_FOUND_ROWS | CapabilityFlags::CLIENT_SESSION_TRACK)
            .connect_attrs(Some(HashMap::from([("program_name", plan.application_name.as_str())])))
            .bind_address(attempt.bind);
        #[cfg(target_os = "linux")]
        let options = options.tcp_user_timeout_ms(settings.get_tcp_user_timeout().map(millis));
        let options = match &self.endpoint {
            Endpoint::Socket(path) => options.socket(Some(path.clone())),
            Endpoint::Tcp { port, .. } => options.ip_or_hostname(Some(attempt.host.clone())).tcp_port(*port),
        };
        if tls { options.ssl_opts(tls_options(plan)) } else { options }
    }

    fn explain(&self, error: mysql::Error, deadline: Deadline) -> Failure {
        let out_of_descriptors = match &error {
            mysql::Error::DriverError(DriverError::CouldNotConnect(Some((_, text, _)))) => {
                // It keeps the text of the system's error, and not its number.
                text.contains("(os error 24)") || text.contains("(os error 23)")
            }
            error => io_error(error).is_some_and(is_out_of_descriptors),
        };
        if out_of_descriptors {
            let error = self.error("2002", "this process, or the system, has run out of file descriptors");
            return Failure::of(error.with_fact(Fact::Exhausted));
        }
        let down = |error: Error| Failure {
            goes_on: true,
            server_is_down: true,
            ..Failure::of(error.with_fact(Fact::Disconnect))
        };
        match error {
            mysql::Error::DriverError(DriverError::TlsNotSupported) => {
                let error = self.error("2026", "the server has no TLS, which the setting tls asks for");
                Failure { no_tls: true, ..Failure::of(error) }
            }
            mysql::Error::DriverError(DriverError::ConnectTimeout) => {
                let limit = deadline.limit();
                down(self.error(self.code(), format_args!("no answer within its share of {limit:?} (connect_timeout)")))
            }
            mysql::Error::DriverError(DriverError::CouldNotConnect(why)) => {
                let text = why.map_or_else(|| "no address".to_owned(), |(_, text, _)| text);
                down(self.error(self.code(), text))
            }
            mysql::Error::DriverError(DriverError::UnknownAuthPlugin(plugin)) => {
                let what = format_args!(
                    "the server asks for the authentication plugin {plugin:?}, which the driver does not have; give the user \
                     caching_sha2_password or mysql_native_password (a user that does not exist is asked for any plugin)"
                );
                Failure::of(self.error("2059", what))
            }
            mysql::Error::MySqlError(_) => {
                let mapped = map(error, Phase::Before, None).with_context(self.place());
                Failure { server_is_down: mapped.is_exhausted(), ..Failure::of(mapped) }
            }
            mysql::Error::TlsError(mysql::error::tls::TlsError::Tls(tls)) => Failure::of(self.of_tls(&tls)),
            mysql::Error::TlsError(error) => {
                Failure::of(self.error("2026", format_args!("TLS: {error}")).with_source(mysql::Error::TlsError(error)))
            }
            error => {
                let inner = io_error(&error).and_then(io::Error::get_ref);
                if let Some(tls) = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                    return Failure::of(self.of_tls(tls));
                }
                let timed_out = io_error(&error).is_some_and(|io| io.kind() == io::ErrorKind::WouldBlock);
                let limit = deadline.limit();
                if timed_out {
                    let what = format_args!(
                        "the server takes the connection and says nothing, within its share of {limit:?} (connect_timeout)"
                    );
                    return down(self.error("2013", what).with_source(error));
                }
                let is_io = io_error(&error).is_some();
                let mapped = map(error, Phase::Before, None).with_context(self.place());
                if is_io { down(mapped) } else { Failure::of(mapped) }
            }
        }
    }

    fn of_tls(&self, error: &rustls::Error) -> Error {
        use rustls::CertificateError as Certificate;

        let what: Cow<'_, str> = match error {
            rustls::Error::InvalidCertificate(Certificate::UnknownIssuer) => {
                "no authority that is trusted has signed the server's certificate; name the right one in tls_ca_file"
                    .into()
            }
            rustls::Error::InvalidCertificate(
                Certificate::NotValidForName | Certificate::NotValidForNameContext { .. },
            ) => "the server's certificate does not name this host; correct host, or set tls to verify-ca".into(),
            rustls::Error::InvalidCertificate(Certificate::Expired | Certificate::ExpiredContext { .. }) => {
                "the server's certificate has expired; the server needs a new one".into()
            }
            rustls::Error::AlertReceived(alert) => {
                format!("the server refuses ({alert:?}); does it want another tls_client_cert?").into()
            }
            other => other.to_string().into(),
        };
        self.error("2026", format_args!("TLS: {what}")).with_source(error.clone())
    }

    /// 2002 for sockets and 2003 for hosts, as MySQL's own client.
    fn code(&self) -> &'static str {
        match self.endpoint {
            Endpoint::Tcp { .. } => "2003",
            Endpoint::Socket(_) => "2002",
        }
    }

    fn error(&self, code: &str, what: impl std::fmt::Display) -> Error {
        Error::new(ErrorKind::Operational, format!("{}: {what}", self.place())).with_code(code)
    }

    fn place(&self) -> String {
        format!("can't connect to MySQL server on {:?}", self.endpoint.name())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::of(error)
    }
}

fn tls_options(plan: &Plan) -> SslOpts {
    let settings = &plan.settings;
    // Where a program has more than one provider compiled in, and has chosen none, the driver's own would panic.
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    let (any_certificate, any_name) = match settings.get_tls() {
        Tls::VerifyFull => (false, false),
        Tls::VerifyCa => (false, true),
        _ => (true, true),
    };
    let path = |path: &str| Cow::Owned(PathBuf::from(path));
    let identity = match (settings.get_tls_client_cert(), settings.get_tls_client_key()) {
        (Some(certificate), Some(key)) => Some(ClientIdentity::new(path(certificate), path(key))),
        _ => None,
    };
    SslOpts::default()
        .with_danger_accept_invalid_certs(any_certificate)
        .with_danger_skip_domain_validation(any_name)
        .with_root_cert_path(settings.get_tls_ca_file().map(path))
        .with_client_identity(identity)
}
