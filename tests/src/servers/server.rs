//! A server that tests talk to.

use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

use super::admin::{Session, Target};
use super::builder::Builder;
use super::keeper::Keeper;
use super::{Admin, DATABASE, FreshDatabase, Kind, PASSWORD, USER, external};

const LIMIT: Duration = Duration::from_secs(60);

/// A running server: a private one, which ends when this is dropped, or the one that an environment variable names.
#[derive(Debug)]
pub struct Server {
    kind: Kind,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Private(Private),
    External(Box<Url>),
}

#[derive(Debug)]
struct Private {
    keeper: Keeper,
    layout: Layout,
    /// None while it is stopped.
    pid: Mutex<Option<u32>>,
}

/// Where a private server has its things.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) folder: PathBuf,
    pub(super) port: u16,
    pub(super) tls: bool,
}

impl Layout {
    pub(super) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    pub(super) fn mysql_socket(&self) -> PathBuf {
        self.folder.join("socket")
    }

    pub(super) fn tls_file(&self, name: &str) -> String {
        self.folder.join("tls").join(name).to_string_lossy().into_owned()
    }
}

static SHARED: [OnceLock<Server>; 3] = [const { OnceLock::new() }; 3];

/// Ends the servers that `Server::shared` started, so that none is left over for a moment after the process has ended.
pub fn end_shared() {
    for server in SHARED.iter().filter_map(OnceLock::get) {
        if let Place::Private(private) = &server.place {
            private.keeper.end();
        }
    }
}

impl Server {
    /// A server of its own for one test.
    pub fn start(kind: Kind) -> Self {
        Self::builder(kind).start()
    }

    /// A private server with settings.
    pub fn builder(kind: Kind) -> Builder {
        Builder::new(kind)
    }

    /// The server that the tests of this process share. It starts on first use, and must not be stopped, paused or set
    /// to read-only; what a test leaves behind in it must not disturb the others.
    pub fn shared(kind: Kind) -> &'static Self {
        SHARED[kind as usize].get_or_init(|| match external::url(kind) {
            Ok(Some(url)) => Self { kind, place: Place::External(Box::new(url)) },
            Ok(None) => Self::start(kind),
            Err(reason) => panic!("{reason}"),
        })
    }

    /// Takes over a keeper that runs this kind of server, and starts it. None where the port was taken meanwhile.
    pub(super) fn launch(kind: Kind, keeper: Keeper, layout: Layout) -> Option<Self> {
        let server = Self { kind, place: Place::Private(Private { keeper, layout, pid: Mutex::new(None) }) };
        match server.private().launch(kind) {
            Ok(()) => Some(server),
            Err(reason) if reason.contains("ddress already in use") => None,
            Err(reason) => panic!("{reason}"),
        }
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether the server is the test's own, to stop and to configure.
    pub fn is_private(&self) -> bool {
        matches!(self.place, Place::Private(_))
    }

    /// The URL of the tests' database, over TCP.
    pub fn url(&self) -> String {
        self.base_url().into()
    }

    /// The same with another database.
    pub fn url_for(&self, database: &str) -> String {
        let mut url = self.base_url();
        url.set_path(database);
        url.into()
    }

    /// The same as `url`, but through a port of 127.0.0.1 where a proxy listens.
    pub fn url_via(&self, port: u16) -> String {
        via(self.base_url(), port)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        let url = self.base_url();
        let host = url.host_str().unwrap_or("127.0.0.1").trim_matches(['[', ']']);
        let addresses = (host, self.port()).to_socket_addrs();
        addresses.ok().and_then(|mut addresses| addresses.next()).expect("the server's address")
    }

    pub fn port(&self) -> u16 {
        match &self.place {
            Place::Private(private) => private.layout.port,
            Place::External(url) => url.port().unwrap_or(self.kind.port()),
        }
    }

    /// The Unix socket of a private server: of PostgreSQL its folder, of the others the file.
    pub fn socket(&self) -> PathBuf {
        let layout = &self.private().layout;
        if self.kind.is_postgres() { layout.folder.clone() } else { layout.mysql_socket() }
    }

    /// The main process.
    pub fn pid(&self) -> u32 {
        self.private().pid.lock().unwrap().expect("a server that runs")
    }

    /// What a private server has logged so far.
    pub fn log(&self) -> String {
        let log = std::fs::read(self.private().layout.log()).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// An administrative session, which sees the sessions of the tests' user in every database.
    pub fn admin(&self) -> Admin {
        Admin::new(self.kind, Session::open(&self.admin_target(None)), self.user(), None)
    }

    /// A new and empty database, dropped when the guard is.
    pub fn database(&self) -> FreshDatabase<'_> {
        FreshDatabase::new(self)
    }

    /// Stops it as an operator would: sessions are told, and data is written. Returns when it has ended.
    pub fn stop(&self) {
        let private = self.private();
        // PostgreSQL's "fast" shutdown; upon SIGTERM it would wait until the last client has gone.
        private.keeper.signal(if self.kind.is_postgres() { "INT" } else { "TERM" });
        private.ended();
    }

    /// Kills all of its processes with SIGKILL: nobody is told, and the next start has to recover.
    pub fn kill9(&self) {
        let private = self.private();
        private.keeper.signal_all("KILL");
        private.ended();
    }

    /// Starts it after `stop` or `kill9`, with the same data on the same port. Returns when it lets sessions in.
    pub fn start_again(&self) {
        let started = Instant::now();
        loop {
            match self.private().launch(self.kind) {
                Ok(()) => return,
                // PostgreSQL does not start while a process of the one before is about to end.
                Err(reason) => assert!(started.elapsed() < Duration::from_secs(10), "{reason}"),
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn restart(&self) {
        self.stop();
        self.start_again();
    }

    /// Freezes all of its processes: connections are accepted by the system, and nobody answers.
    pub fn pause(&self) {
        let private = self.private();
        private.keeper.signal_all("STOP");
        // A thread may go on for a moment after the signal was sent.
        let pid = self.pid();
        crate::wait_until("the server stands still", || is_stopped(pid));
    }

    /// Lets it go on after `pause`.
    pub fn resume(&self) {
        self.private().keeper.signal_all("CONT");
    }

    pub(super) fn user(&self) -> String {
        match &self.place {
            Place::Private(_) => USER.to_owned(),
            Place::External(url) => url.username().to_owned(),
        }
    }

    pub(super) fn admin_target(&self, database: Option<&str>) -> Target {
        match &self.place {
            Place::Private(private) => private.admin_target(self.kind, database),
            Place::External(url) => Target::from_url(self.kind, url, database),
        }
    }

    /// Whether it can be asked.
    pub(super) fn runs(&self) -> bool {
        match &self.place {
            Place::Private(private) => private.pid.lock().unwrap().is_some(),
            Place::External(_) => true,
        }
    }

    fn private(&self) -> &Private {
        match &self.place {
            Place::Private(private) => private,
            Place::External(_) => panic!("the {} of the environment is not the test's to control", self.kind.name()),
        }
    }

    fn base_url(&self) -> Url {
        match &self.place {
            Place::Private(private) => {
                let password = utf8_percent_encode(PASSWORD, NON_ALPHANUMERIC);
                let (scheme, port) = (self.kind.scheme(), private.layout.port);
                format!("{scheme}://{USER}:{password}@127.0.0.1:{port}/{DATABASE}").parse().expect("a URL")
            }
            Place::External(url) => (**url).clone(),
        }
    }
}

impl Private {
    /// Starts the process, and waits until it lets sessions in.
    fn launch(&self, kind: Kind) -> Result<(), String> {
        let pid = self.keeper.start();
        *self.pid.lock().unwrap() = Some(pid);
        let (started, name) = (Instant::now(), kind.name());
        loop {
            let answer = self.try_session(kind);
            let Err(reason) = answer else { return Ok(()) };
            if has_ended(pid) {
                self.keeper.wait();
                *self.pid.lock().unwrap() = None;
                return Err(format!("{name} ended instead of starting; the end of its log:\n{}", self.log_tail()));
            }
            if started.elapsed() > LIMIT {
                return Err(format!("{name} does not answer after 60 s ({reason}); its log:\n{}", self.log_tail()));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn try_session(&self, kind: Kind) -> Result<(), String> {
        TcpStream::connect(("127.0.0.1", self.layout.port)).map_err(|error| error.to_string())?;
        Session::try_open(&self.admin_target(kind, None))?.value("SELECT 1").map(drop)
    }

    /// Over the socket, as the superuser that the data folder was initialised with.
    fn admin_target(&self, kind: Kind, database: Option<&str>) -> Target {
        let socket = if kind.is_postgres() { self.layout.folder.clone() } else { self.layout.mysql_socket() };
        let (user, usual) = if kind.is_postgres() { ("postgres", "postgres") } else { ("root", "mysql") };
        Target {
            kind,
            host: socket.to_string_lossy().into_owned(),
            port: self.layout.port,
            user: user.to_owned(),
            password: String::new(),
            database: database.unwrap_or(usual).to_owned(),
        }
    }

    /// Waits until the main process has ended.
    fn ended(&self) {
        let pid = self.pid.lock().unwrap().take().expect("a server that runs");
        crate::wait_until("the server has ended", || has_ended(pid) || !Path::new("/proc/self").exists());
        self.keeper.wait();
    }

    fn log_tail(&self) -> String {
        let log = std::fs::read(self.layout.log()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

/// The same database through another port of 127.0.0.1.
pub(super) fn via(mut url: Url, port: u16) -> String {
    url.set_host(Some("127.0.0.1")).expect("a URL with a host");
    url.set_port(Some(port)).expect("a URL with a port");
    url.into()
}

/// Whether each thread of a process and of its children is stopped. Where there is no /proc nobody knows.
fn is_stopped(pid: u32) -> bool {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return true };
    tasks.flatten().all(|task| {
        let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        let state = state(&std::fs::read_to_string(task.path().join("stat")).unwrap_or_default());
        // A child of PostgreSQL that has ended waits for its parent, which stands still.
        matches!(state, Some('T' | 'Z') | None)
            && children.split_whitespace().filter_map(|child| child.parse().ok()).all(is_stopped)
    })
}

/// The letter for the state in /proc/PID/stat. The name before it may have brackets and blanks of its own.
fn state(stat: &str) -> Option<char> {
    stat.rsplit(')').next()?.trim_start().chars().next()
}

/// Whether a process has ended, waited for or not. Where there is no /proc nobody knows.
fn has_ended(pid: u32) -> bool {
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => state(&stat) == Some('Z'),
        Err(_) => Path::new("/proc/self").exists(),
    }
}
