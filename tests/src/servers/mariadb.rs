//! How a private MariaDB is initialised and started.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::mysql::{common, tls};
use super::server::Layout;
use super::template;
use super::user::User;

/// The programs of one version.
pub(super) struct Programs {
    server: PathBuf,
    install: PathBuf,
    version: String,
}

impl Programs {
    pub(super) fn find() -> Result<Self, String> {
        let server = template::program("mariadbd", &["/usr/sbin", "/usr/libexec"]);
        let install = template::program("mariadb-install-db", &["/usr/bin"]);
        let (Some(server), Some(install)) = (server, install) else {
            let missing = "the programs mariadbd and mariadb-install-db are in no folder of PATH nor in /usr/sbin (Debian: \
                        apt-get install mariadb-server; or scripts/install-test-servers; or DOCKLINE_TEST_MYSQL_URL \
                        names a server)";
            return Err(missing.to_owned());
        };
        let version = template::version(&[server.clone().into()])?;
        Ok(Self { server, install, version })
    }

    /// Puts an empty data folder in place.
    pub(super) fn prepare(&self, layout: &Layout) {
        template::copy("mariadb", &self.version, &layout.data(), |data| {
            let mut command: Vec<OsString> = vec![self.install.clone().into(), "--no-defaults".into()];
            command.push("--auth-root-authentication-method=normal".into());
            command.push("--skip-test-db".into());
            command.push("--innodb-log-file-size=8M".into());
            command.push(option("datadir", data));
            if let Some(user) = User::to_become() {
                command.push(format!("--user={}", user.name).into());
            }
            template::run(&command, None);
        });
    }

    pub(super) fn command(&self, layout: &Layout, settings: &[(String, String)]) -> Vec<OsString> {
        let mut command: Vec<OsString> = vec![self.server.clone().into(), "--no-defaults".into()];
        command.extend(common(layout));
        command.push("--innodb-log-file-size=8M".into());
        command.push("--aria-pagecache-buffer-size=8M".into());
        command.extend(if layout.tls { tls(layout) } else { vec!["--skip-ssl".into()] });
        command.extend(settings.iter().map(|(name, value)| OsString::from(format!("--{name}={value}"))));
        command
    }
}

fn option(name: &str, path: &Path) -> OsString {
    let mut option = OsString::from(format!("--{name}="));
    option.push(path);
    option
}
