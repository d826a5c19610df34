//! The settings of a private server, and its first start.

use std::ffi::OsString;
use std::path::Path;

use super::keeper::{Errand, Keeper};
use super::server::{Layout, Server};
use super::user::{self, User};
use super::{DATABASE, Kind, PASSWORD, USER, mariadb, mysql, ports, postgres};
use crate::certificates::Certificates;

/// Starts a private server with settings of its own.
#[derive(Debug)]
pub struct Builder {
    kind: Kind,
    settings: Vec<(String, String)>,
    hba: Vec<String>,
    certificates: Option<ServerFiles>,
}

/// What a server reads to speak TLS: its authority, its certificate and its key, in PEM.
#[derive(Debug)]
struct ServerFiles([(&'static str, Vec<u8>); 3]);

impl Builder {
    pub(super) fn new(kind: Kind) -> Self {
        Self { kind, settings: Vec::new(), hba: Vec::new(), certificates: None }
    }

    /// The kind, for settings that the servers call by different names.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Sets one of the server's own settings, such as max_connections.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A line at the head of PostgreSQL's pg_hba.conf, such as `hostssl all app 127.0.0.1/32 cert`.
    #[must_use]
    pub fn hba(mut self, line: &str) -> Self {
        self.hba.push(line.to_owned());
        self
    }

    /// Switches TLS on, with the server certificate of this set. Without it the server speaks no TLS.
    #[must_use]
    pub fn tls(mut self, certificates: &Certificates) -> Self {
        let read = |path: &Path| std::fs::read(path).expect("a certificate");
        self.certificates = Some(ServerFiles([
            ("ca.pem", read(&certificates.ca())),
            ("server.pem", read(&certificates.server())),
            ("server.key", read(&certificates.server_key())),
        ]));
        self
    }

    /// Starts it, and returns when it lets sessions in.
    pub fn start(self) -> Server {
        for _ in 0..5 {
            if let Some(server) = self.try_start() {
                self.set_up(&server);
                return server;
            }
        }
        panic!("five ports in a row were taken between looking and listening");
    }

    fn try_start(&self) -> Option<Server> {
        let programs = Programs::find(self.kind)
            .unwrap_or_else(|reason| panic!("{} cannot be started: {reason}", self.kind.name()));
        let folder = user::folder();
        let layout =
            Layout { folder: folder.path().to_owned(), port: ports::free_port(), tls: self.certificates.is_some() };
        // PostgreSQL refuses to run as root, and removes its shared memory when it is told to end at once, which it is not
        // by SIGKILL. The others become another user by themselves.
        let (last, user) = if self.kind.is_postgres() { ("QUIT", User::to_become()) } else { ("KILL", None) };
        let command = programs.command(&layout, &self.settings);
        // The keeper comes before what it keeps: the folder goes too when this process ends while it is being filled.
        let keeper = Keeper::new(folder, &Errand { command: &command, log: &layout.log(), last, user });
        if let Some(files) = &self.certificates {
            files.write(&layout);
        }
        programs.prepare(&layout, &self.hba);
        user::give(&layout.folder);
        Server::launch(self.kind, keeper, layout)
    }

    fn set_up(&self, server: &Server) {
        let statements = match self.kind {
            Kind::Postgres => postgres::set_up(USER, PASSWORD, DATABASE),
            Kind::MariaDb | Kind::Mysql => mysql::set_up(USER, PASSWORD, DATABASE),
        };
        let mut admin = server.admin();
        for statement in statements {
            admin.execute(&statement);
        }
    }
}

/// The programs of one kind of server.
enum Programs {
    Postgres(postgres::Programs),
    MariaDb(mariadb::Programs),
    Mysql(mysql::Programs),
}

impl Programs {
    fn find(kind: Kind) -> Result<Self, String> {
        match kind {
            Kind::Postgres => postgres::Programs::find().map(Self::Postgres),
            Kind::MariaDb => mariadb::Programs::find().map(Self::MariaDb),
            Kind::Mysql => mysql::Programs::find().map(Self::Mysql),
        }
    }

    fn command(&self, layout: &Layout, settings: &[(String, String)]) -> Vec<OsString> {
        match self {
            Self::Postgres(programs) => programs.command(layout, settings),
            Self::MariaDb(programs) => programs.command(layout, settings),
            Self::Mysql(programs) => programs.command(layout, settings),
        }
    }

    fn prepare(&self, layout: &Layout, hba: &[String]) {
        match self {
            Self::Postgres(programs) => programs.prepare(layout, hba),
            Self::MariaDb(programs) => programs.prepare(layout),
            Self::Mysql(programs) => programs.prepare(layout),
        }
    }
}

impl ServerFiles {
    /// PostgreSQL wants a key that is its own and that nobody else may read.
    fn write(&self, layout: &Layout) {
        use std::os::unix::fs::PermissionsExt;

        let folder = layout.folder.join("tls");
        std::fs::create_dir(&folder).expect("a folder for certificates");
        user::give(&folder);
        for (name, content) in &self.0 {
            let path = layout.tls_file(name);
            std::fs::write(&path, content).expect("a certificate");
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("its permissions");
        }
    }
}
