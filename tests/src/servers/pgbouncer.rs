//! PgBouncer in front of PostgreSQL.

use std::ffi::OsString;
use std::net::TcpStream;
use std::path::Path;

use super::keeper::{Errand, Keeper};
use super::user::{self, User};
use super::{PASSWORD, Server, USER, ports, template};

/// A pooler in transaction mode, in front of a private server. It ends when this is dropped.
#[derive(Debug)]
pub struct PgBouncer<'a> {
    server: &'a Server,
    port: u16,
    _keeper: Keeper,
}

impl<'a> PgBouncer<'a> {
    /// # Errors
    ///
    /// What is missing, and how to get it.
    pub fn available() -> Result<(), String> {
        let missing = "the program pgbouncer is in no folder of PATH nor in /usr/sbin (Debian: apt-get install pgbouncer; \
                       or scripts/install-test-servers)";
        template::program("pgbouncer", &["/usr/sbin"]).map(drop).ok_or_else(|| missing.to_owned())
    }

    pub fn start(server: &'a Server) -> Self {
        Self::with_sessions(server, 5)
    }

    /// With that many sessions of the server, at the most, for each database.
    pub fn with_sessions(server: &'a Server, sessions: u32) -> Self {
        Self::available().unwrap_or_else(|reason| panic!("{reason}"));
        let program = template::program("pgbouncer", &["/usr/sbin"]).expect("the program that was there a moment ago");
        let (folder, port) = (user::folder(), ports::free_port());
        write_settings(folder.path(), server, port, sessions);
        user::give(folder.path());
        let command = [OsString::from(program), folder.path().join("pgbouncer.ini").into()];
        let log = folder.path().join("log");
        let keeper =
            Keeper::new(folder, &Errand { command: &command, log: &log, last: "KILL", user: User::to_become() });
        keeper.start();
        crate::wait_until("PgBouncer listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Self { server, port, _keeper: keeper }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of the server's database, through the pooler.
    pub fn url(&self) -> String {
        self.server.url_via(self.port)
    }
}

fn write_settings(folder: &Path, server: &Server, port: u16, sessions: u32) {
    let users = folder.join("users.txt");
    std::fs::write(&users, format!("\"{USER}\" \"{PASSWORD}\"\n")).expect("the list of users");
    let settings = format!(
        "[databases]\n* = host=127.0.0.1 port={}\n\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
         unix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {}\npool_mode = transaction\n\
         default_pool_size = {sessions}\nmax_client_conn = 200\nignore_startup_parameters = extra_float_digits\n",
        server.port(),
        users.display(),
    );
    std::fs::write(folder.join("pgbouncer.ini"), settings).expect("the settings");
}
