//! How a private PostgreSQL is initialised and started.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::server::Layout;
use super::template;
use super::user::User;

/// The programs of one version.
pub(super) struct Programs {
    folder: PathBuf,
    version: String,
}

impl Programs {
    pub(super) fn find() -> Result<Self, String> {
        let folder = debian_folder().or_else(|| template::program("postgres", &[])?.parent().map(Path::to_owned));
        let folder = folder.filter(|folder| folder.join("initdb").is_file()).ok_or(
            "the programs postgres and initdb are in no folder of PATH nor of /usr/lib/postgresql (Debian: apt-get \
             install postgresql; or scripts/install-test-servers; or DOCKLINE_TEST_POSTGRES_URL names a server)",
        )?;
        let version = template::version(&[folder.join("postgres").into()])?;
        Ok(Self { folder, version })
    }

    /// Puts an empty cluster in place.
    pub(super) fn prepare(&self, layout: &Layout, hba: &[String]) {
        template::copy("postgres", &self.version, &layout.data(), |data| {
            let arguments = "-U postgres -A trust --no-sync -E UTF8 --locale=C --no-instructions -D";
            let mut command: Vec<OsString> = vec![self.folder.join("initdb").into()];
            command.extend(arguments.split(' ').map(OsString::from));
            command.push(data.into());
            template::run(&command, User::to_become());
        });
        // Only the harness is let in without a password, and only over the socket.
        let mut rules = hba.join("\n");
        rules.push_str(
            "\nlocal all postgres trust\nlocal all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\n",
        );
        std::fs::write(layout.data().join("pg_hba.conf"), rules).expect("the rules of who may connect");
    }

    pub(super) fn command(&self, layout: &Layout, settings: &[(String, String)]) -> Vec<OsString> {
        let mut command: Vec<OsString> = vec![self.folder.join("postgres").into(), "-D".into(), layout.data().into()];
        let mut set = |name: &str, value: &str| command.extend(["-c".into(), format!("{name}={value}").into()]);
        set("listen_addresses", "127.0.0.1");
        set("port", &layout.port.to_string());
        set("unix_socket_directories", &layout.folder.to_string_lossy());
        set("password_encryption", "scram-sha-256");
        set("timezone", "UTC");
        // Nothing has to outlive a crash of the machine; what was committed has to outlive one of the server.
        for setting in ["fsync", "full_page_writes", "jit"] {
            set(setting, "off");
        }
        set("shared_buffers", "16MB");
        set("max_connections", "100");
        set("dynamic_shared_memory_type", "mmap");
        set("max_wal_size", "64MB");
        set("min_wal_size", "32MB");
        if layout.tls {
            set("ssl", "on");
            set("ssl_ca_file", &layout.tls_file("ca.pem"));
            set("ssl_cert_file", &layout.tls_file("server.pem"));
            set("ssl_key_file", &layout.tls_file("server.key"));
        }
        for (name, value) in settings {
            set(name, value);
        }
        command
    }
}

/// Debian keeps the programs out of PATH, in a folder for each version: the newest.
fn debian_folder() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    let number = |folder: &Path| folder.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = versions.map(|entry| entry.path()).filter_map(|folder| Some((number(&folder)?, folder))).max()?.1;
    Some(newest.join("bin")).filter(|bin| bin.join("postgres").is_file())
}

/// What makes the tests' user: it may create databases and end sessions, and is no superuser, for whom limits differ.
pub(super) fn set_up(user: &str, password: &str, database: &str) -> Vec<String> {
    vec![
        format!("CREATE ROLE {user} LOGIN CREATEDB PASSWORD '{password}'"),
        format!("GRANT pg_signal_backend, pg_read_all_stats TO {user}"),
        format!("CREATE DATABASE {database} OWNER {user}"),
    ]
}
