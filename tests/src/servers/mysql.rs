//! How a private MySQL is initialised and started, and what it shares with MariaDB.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::server::Layout;
use super::template;
use super::user::User;

/// The program of one version, with the options by which it finds its files.
pub(super) struct Programs {
    start: Vec<OsString>,
    places: Vec<OsString>,
    version: String,
}

impl Programs {
    pub(super) fn find() -> Result<Self, String> {
        let roots = [std::env::var_os("DOCKLINE_MYSQL_ROOT").map(PathBuf::from), Some(template::cache().join("mysql"))];
        if let Some(found) = roots.into_iter().flatten().find_map(|root| Self::unpacked(&root)) {
            return found;
        }
        let missing = || {
            let reason = std::fs::read_to_string(template::cache().join("mysql-missing")).unwrap_or_default();
            let reason = if reason.trim().is_empty() { "scripts/install-test-servers gets it" } else { reason.trim() };
            format!("there is no program mysqld of MySQL in PATH, nor under DOCKLINE_MYSQL_ROOT: {reason}")
        };
        let server = template::program("mysqld", &["/usr/sbin", "/usr/libexec"]).ok_or_else(missing)?;
        let start = vec![OsString::from(server)];
        // MariaDB brings a program of this name.
        let version =
            template::version(&start).ok().filter(|version| !version.contains("MariaDB")).ok_or_else(missing)?;
        Ok(Self { start, places: Vec::new(), version })
    }

    /// A folder into which packages were unpacked. The program runs through the loader that came with it, because its
    /// libraries are newer than the system's.
    fn unpacked(root: &Path) -> Option<Result<Self, String>> {
        let server = Some(root.join("usr/sbin/mysqld")).filter(|server| server.is_file())?;
        let mut start: Vec<OsString> = Vec::new();
        if let Some(loader) = loader(root) {
            start.extend([loader.into(), "--library-path".into(), libraries(root)]);
        }
        start.push(server.into());
        let option = |name: &str, path: &str| OsString::from(format!("--{name}={}", root.join(path).display()));
        let places = vec![
            option("basedir", "usr"),
            option("lc-messages-dir", "usr/share/mysql"),
            option("character-sets-dir", "usr/share/mysql/charsets"),
            option("plugin-dir", "usr/lib/mysql/plugin"),
        ];
        Some(template::version(&start).map(|version| Self { start, places, version }))
    }

    /// Puts an empty data folder in place.
    pub(super) fn prepare(&self, layout: &Layout) {
        template::copy("mysql", &self.version, &layout.data(), |data| {
            let mut command = self.program();
            command.push("--initialize-insecure".into());
            command.push(format!("--datadir={}", data.display()).into());
            command.extend(SMALL.map(OsString::from));
            command.extend(user());
            template::run(&command, None);
        });
    }

    pub(super) fn command(&self, layout: &Layout, settings: &[(String, String)]) -> Vec<OsString> {
        let mut command = self.program();
        command.extend(common(layout));
        command.extend(SMALL.map(OsString::from));
        command.push("--mysqlx=OFF".into());
        command.extend(if layout.tls { tls(layout) } else { vec!["--tls-version=".into()] });
        command.extend(settings.iter().map(|(name, value)| OsString::from(format!("--{name}={value}"))));
        command
    }

    fn program(&self) -> Vec<OsString> {
        let mut command = self.start.clone();
        command.push("--no-defaults".into());
        command.extend(self.places.clone());
        command
    }
}

/// Options of MySQL alone: small files, and no certificate that nobody asked for.
const SMALL: [&str; 6] = [
    "--innodb-redo-log-capacity=16M",
    "--innodb-doublewrite=OFF",
    "--innodb-data-file-path=ibdata1:5M:autoextend",
    "--auto-generate-certs=OFF",
    "--secure-file-priv=",
    "--disable-log-bin",
];

/// The options that MySQL and MariaDB have in common.
pub(super) fn common(layout: &Layout) -> Vec<OsString> {
    let mut options: Vec<OsString> = [
        "--bind-address=127.0.0.1",
        "--skip-name-resolve",
        "--default-time-zone=+00:00",
        "--max-allowed-packet=64M",
        "--performance-schema=OFF",
        "--innodb-buffer-pool-size=16M",
        // What was committed outlives a crash of the server, though not one of the machine.
        "--innodb-flush-log-at-trx-commit=2",
        "--innodb-flush-method=nosync",
    ]
    .map(OsString::from)
    .to_vec();
    options.push(format!("--datadir={}", layout.data().display()).into());
    options.push(format!("--port={}", layout.port).into());
    options.push(format!("--socket={}", layout.mysql_socket().display()).into());
    options.push(format!("--pid-file={}", layout.folder.join("pid").display()).into());
    // Not the system's: a server that starts removes what others have there.
    options.push(format!("--tmpdir={}", layout.folder.display()).into());
    options.extend(user());
    options
}

/// Started as root they become this user by themselves.
fn user() -> Option<OsString> {
    User::to_become().map(|user| format!("--user={}", user.name).into())
}

pub(super) fn tls(layout: &Layout) -> Vec<OsString> {
    let file = |option: &str, name: &str| OsString::from(format!("--{option}={}", layout.tls_file(name)));
    vec![file("ssl-ca", "ca.pem"), file("ssl-cert", "server.pem"), file("ssl-key", "server.key")]
}

/// What makes the tests' user: all that an application needs, and none of what lets it past limits and read_only.
pub(super) fn set_up(user: &str, password: &str, database: &str) -> Vec<String> {
    vec![
        format!("CREATE DATABASE {database} CHARACTER SET utf8mb4"),
        format!("CREATE USER '{user}'@'%' IDENTIFIED BY '{password}'"),
        format!(
            "GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, INDEX, ALTER, CREATE TEMPORARY TABLES, LOCK TABLES, \
             EXECUTE, CREATE ROUTINE, ALTER ROUTINE, CREATE VIEW, SHOW VIEW, TRIGGER, EVENT, REFERENCES, PROCESS, RELOAD \
             ON *.* TO '{user}'@'%'"
        ),
    ]
}

fn loader(root: &Path) -> Option<PathBuf> {
    let folders = ["usr/lib64", "usr/lib", "lib64", "lib"];
    let files = folders.into_iter().filter_map(|folder| std::fs::read_dir(root.join(folder)).ok()).flatten().flatten();
    let mut loaders = files.filter(|file| file.file_name().to_string_lossy().starts_with("ld-linux"));
    loaders.next().map(|loader| loader.path())
}

/// The folders of libraries, those of the machine's architecture first.
fn libraries(root: &Path) -> OsString {
    let is_triplet = |name: &str| name.contains("-linux-gnu");
    let folders =
        ["usr/lib", "lib"].into_iter().filter_map(|folder| std::fs::read_dir(root.join(folder)).ok()).flatten();
    let folders = folders.flatten().filter(|folder| is_triplet(&folder.file_name().to_string_lossy()));
    std::env::join_paths(folders.map(|folder| folder.path())).expect("folders without a colon in their names")
}
