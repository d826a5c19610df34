//! Opening a connection: every address of the host, within one limit.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dockline_core::{Error, ErrorKind, ExposeSecret, Fact, Result, SecretString, Tls};
use dockline_net::{
    Deadline, Failure, Server, Stamp, Watchdog, Why, Wire, each_place, no_answer, on_a_thread, resolve,
};
use mysql::consts::CapabilityFlags;
use mysql::prelude::Queryable;
use mysql::{ClientIdentity, Conn, OptsBuilder, SslOpts};

use crate::ask::ask;
use crate::error::{Phase, is_late, map, of_init_sql};
use crate::options_file::FileOptions;
use crate::plan::{Endpoint, IDENTITY, Plan};
use crate::refusal::{Place, Refusal};
use crate::tracking::Tracking;
use crate::wire;

/// A connection that the server has accepted, and that is not set up yet.
pub(crate) struct Opened {
    pub(crate) conn: Conn,
    pub(crate) wire: Option<Wire>,
    pub(crate) server: Arc<Server>,
    pub(crate) stamp: Stamp,
    pub(crate) encrypted: bool,
    /// When setting it up has to be over.
    deadline: Deadline,
}

/// Opens a connection, to this address if one is given and the certificate does not need the name.
pub(crate) fn open_within(plan: &Plan, deadline: Deadline, peer: Option<SocketAddr>) -> Result<Opened> {
    let target = Target::of(plan, peer)?;
    let server = Server::named(&target.endpoint.name());
    dockline_net::connect(&server, deadline, || {
        let stamp = server.stamp();
        let (conn, encrypted) = target.connect(plan, deadline)?;
        let wire = wire::of(&conn);
        let opened = Opened { conn, wire, server: Arc::clone(&server), stamp, encrypted, deadline };
        opened.limit(deadline.remaining().unwrap_or(Duration::from_millis(1)));
        Ok(opened)
    })
}

impl Opened {
    fn limit(&self, limit: Duration) {
        if let Some(wire) = &self.wire {
            let _ = wire.set_timeouts(Some(limit), Some(limit));
        }
    }

    /// Ends it at the deadline, however often something comes, while the answer lives.
    pub(crate) fn watched(&self) -> Option<Watchdog> {
        self.wire.as_ref().map(|wire| Watchdog::of(wire, self.deadline))
    }

    /// Sets it up within what is left of the time for connecting.
    pub(crate) fn set_up(&mut self, plan: &Plan, tracking: &mut Tracking) -> Result<Vec<Option<String>>> {
        SettingUp { conn: &mut self.conn, wire: self.wire.as_ref(), deadline: self.deadline }.run(plan, tracking)
    }
}

/// A connection that is set up: a new one, or one that was reset.
pub(crate) struct SettingUp<'a> {
    pub(crate) conn: &'a mut Conn,
    pub(crate) wire: Option<&'a Wire>,
    pub(crate) deadline: Deadline,
}

impl SettingUp<'_> {
    /// The first two round trips, and what the program wants to be run on each connection, until the deadline. The answer is what the
    /// server says of itself.
    pub(crate) fn run(self, plan: &Plan, tracking: &mut Tracking) -> Result<Vec<Option<String>>> {
        let Self { conn, wire, deadline } = self;
        let late = |source: Option<mysql::Error>| {
            let message = format!("setting the connection up: {}", no_answer(deadline));
            let error = Error::new(ErrorKind::Operational, message).with_code("2013").with_fact(Fact::Disconnect);
            source.into_iter().fold(error, Error::with_source)
        };
        // It ends the connection at the deadline, however often something comes.
        let watchdog = wire.map(|wire| Watchdog::of(wire, deadline));
        let told = conn.query_drop(&plan.set_up).and_then(|()| {
            let reports = tracking.read(conn).any;
            tracking.set_reports(reports);
            ask(conn, &format!("SELECT {WHO}, {IDENTITY}, CONNECTION_ID()"))
        });
        let own = match (&told, plan.settings.get_init_sql()) {
            // Read to its end: an error of a later statement in it comes with a later result.
            (Ok(_), Some(init_sql)) => ask(conn, init_sql).map(drop),
            _ => Ok(()),
        };
        if let Ok(told) = &told {
            let text = |at: usize| told.get(at).and_then(Option::as_deref).unwrap_or_default();
            tracking.begin(text(3), text(4), text(5));
        }
        // The program's own text may have said something else.
        let own = own.and_then(|()| {
            let is_foreign = plan.settings.get_init_sql().is_some() && tracking.read(conn).foreign;
            tracking.begins_here();
            if is_foreign { conn.query_drop(&plan.names) } else { Ok(()) }
        });
        let was_ended = watchdog.is_some_and(Watchdog::stop);
        match (told, own) {
            (Err(error), _) | (_, Err(error)) if was_ended || is_late(&error) => Err(late(Some(error))),
            (Err(error), _) => Err(map(error, Phase::Before, None).with_context("setting the connection up")),
            (_, Err(error)) => Err(of_init_sql(error, None)),
            (Ok(_), Ok(())) if was_ended => Err(late(None)),
            (Ok(told), Ok(())) => Ok(told),
        }
    }
}

/// What the server is, and what the session begins with.
const WHO: &str = "@@version, @@max_allowed_packet, @@global.read_only, DATABASE(), @@sql_mode, \
                   IF(@@time_zone = 'SYSTEM', @@system_time_zone, @@time_zone)";

/// Where to connect, and as whom: asked anew each time.
struct Target {
    endpoint: Endpoint,
    user: Option<String>,
    password: Option<SecretString>,
    peer: Option<SocketAddr>,
}

/// One address, or all of one family if the driver has to know the name.
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

impl Target {
    fn of(plan: &Plan, peer: Option<SocketAddr>) -> Result<Self> {
        let settings = &plan.settings;
        let own_password = settings.resolve_password()?;
        let own_user = settings.get_user().map(str::to_owned);
        let mut file = FileOptions::read(plan, own_user.is_none() || own_password.is_none())?;
        // A password belongs to a user.
        let same_user = own_user.is_none() || file.user.is_none() || own_user == file.user;
        let password = match own_password {
            Some(password) => Some(password),
            None if same_user => file.take_password(plan)?,
            None => None,
        };
        let endpoint = plan.endpoint.clone().unwrap_or_else(|| file.endpoint());
        endpoint.allows(settings.get_tls())?;
        Ok(Self { peer, endpoint, user: own_user.or(file.user), password })
    }

    fn connect(&self, plan: &Plan, deadline: Deadline) -> Result<(Conn, bool), Failure> {
        let attempts = self.attempts(plan, deadline)?;
        let place = self.place(deadline);
        let late = || place.error(place.code(), no_answer(deadline));
        each_place(
            &attempts,
            |attempt| attempt.addresses,
            deadline,
            late,
            |attempt, share| self.connect_to(plan, attempt, share, deadline),
        )
    }

    fn attempts(&self, plan: &Plan, deadline: Deadline) -> Result<Vec<Attempt>, Failure> {
        let Endpoint::Tcp { host, port } = &self.endpoint else {
            return Ok(vec![Attempt { host: String::new(), bind: None, addresses: 1 }]);
        };
        let needs_name = self.needs_name(plan);
        if let (Some(peer), false) = (&self.peer, needs_name) {
            return Ok(vec![Attempt::to(peer)]);
        }
        let found = resolve(host, *port, deadline, |what| self.place(deadline).error("2005", what))?;
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

    /// Whether the driver has to know the host's name, for the certificate, and so looks it up itself.
    fn needs_name(&self, plan: &Plan) -> bool {
        let Endpoint::Tcp { host, .. } = &self.endpoint else { return false };
        plan.settings.get_tls() == Tls::VerifyFull && host.parse::<IpAddr>().is_err()
    }

    /// The second half of the answer is whether the connection is encrypted.
    fn connect_to(
        &self,
        plan: &Plan,
        attempt: &Attempt,
        share: Deadline,
        deadline: Deadline,
    ) -> Result<(Conn, bool), Failure> {
        let prefers = plan.settings.get_tls() == Tls::Prefer;
        let tls = plan.encrypts() && matches!(self.endpoint, Endpoint::Tcp { .. });
        let once = |tls| self.try_once(plan, attempt, share, deadline, tls);
        if tls && prefers && plan.was_without_tls() {
            return once(false).map_err(|refusal| refusal.failure).map(|conn| (conn, false));
        }
        match once(tls) {
            Err(refusal) if refusal.no_tls && prefers => {
                plan.note_without_tls();
                Server::named(&self.endpoint.name()).gave_up();
                once(false).map_err(|refusal| refusal.failure).map(|conn| (conn, false))
            }
            result => result.map_err(|refusal| refusal.failure).map(|conn| (conn, tls)),
        }
    }

    fn try_once(
        &self,
        plan: &Plan,
        attempt: &Attempt,
        share: Deadline,
        deadline: Deadline,
        tls: bool,
    ) -> Result<Conn, Refusal> {
        let place = self.place(deadline);
        let watchdog = Watchdog::of_marked(share);
        let options = self.options(plan, attempt, share, tls, watchdog.mark());
        let connect = move || {
            let result = catch_unwind(AssertUnwindSafe(|| Conn::new(options)));
            (result, watchdog.stop())
        };
        // Two things have no limit of their own: the driver's own look for a name, and the queue of a Unix socket.
        let waits = self.needs_name(plan) || matches!(self.endpoint, Endpoint::Socket(_));
        let connected = if waits { on_a_thread(share, connect) } else { Ok(connect()) };
        match connected {
            Ok((_, true)) => Err(place.late(None).into()),
            Ok((Ok(Ok(conn)), _)) => Ok(conn),
            Ok((Ok(Err(error)), _)) => Err(place.explain(error)),
            Ok((Err(_), _)) => {
                let error = Error::new(ErrorKind::Interface, "the driver panicked while it connected");
                Err(Failure::last(place.of(error)).into())
            }
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(place.late(None).into()),
            Err(error) => {
                let why = if error.raw_os_error().is_some() { Why::Final } else { Why::Unreachable };
                let error = place.error(place.code(), &error).with_fact(Fact::Exhausted).with_source(error);
                Err(Failure { error, why }.into())
            }
        }
    }

    /// These hold the password: they are never printed.
    fn options(&self, plan: &Plan, attempt: &Attempt, share: Deadline, tls: bool, mark: Duration) -> OptsBuilder {
        let settings = &plan.settings;
        let millis = |limit: Duration| u32::try_from(limit.as_millis().clamp(1, i32::MAX as u128)).unwrap_or(u32::MAX);
        // The kernel counts in seconds, with 15 bits.
        let seconds = |limit: Duration| limit.clamp(Duration::from_secs(1), Duration::from_secs(32_767));
        let share = share.remaining().unwrap_or(Duration::from_millis(1));
        // Where the socket is out of reach, these are for good.
        let (read, write) = if cfg!(unix) {
            (Some(share), Some(mark))
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

    fn place(&self, deadline: Deadline) -> Place<'_> {
        Place { endpoint: &self.endpoint, deadline }
    }
}

fn tls_options(plan: &Plan) -> SslOpts {
    let settings = &plan.settings;
    provide();
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

/// The driver takes the provider of the process, and if there is none, it makes one of its own the process's; if the program has more
/// than one compiled in, it panics. So it is done here, and said: a program that installs its own later is told that there is one.
fn provide() {
    if rustls::crypto::CryptoProvider::get_default().is_none()
        && rustls::crypto::ring::default_provider().install_default().is_ok()
    {
        log::info!(
            target: "dockline::connection",
            "the first encrypted connection to MySQL or MariaDB made ring the TLS provider of this process (rustls); a program that \
             wants another one installs it before it connects"
        );
    }
}
