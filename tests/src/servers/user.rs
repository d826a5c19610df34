//! The user that servers run as: PostgreSQL and PgBouncer refuse to run as root.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

/// An unprivileged user, for servers that a test of root starts.
#[derive(Debug, Clone)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) id: u32,
    pub(super) group: u32,
}

impl User {
    /// Whom to become, which is nobody else where the tests do not run as root.
    pub(super) fn to_become() -> Option<&'static Self> {
        static USER: OnceLock<Option<User>> = OnceLock::new();
        USER.get_or_init(|| if is_root() { Some(Self::unprivileged()) } else { None }).as_ref()
    }

    fn unprivileged() -> Self {
        let users = std::fs::read_to_string("/etc/passwd").expect("the list of users in /etc/passwd");
        let find = |wanted: &str| {
            users.lines().find_map(|line| {
                let mut fields = line.split(':');
                let name = fields.next().filter(|name| *name == wanted)?;
                let (id, group) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
                Some(Self { name: name.to_owned(), id, group })
            })
        };
        ["postgres", "mysql", "nobody"].into_iter().find_map(find).expect("a user postgres, mysql or nobody")
    }
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().expect("the command id");
    id.stdout.trim_ascii() == b"0"
}

/// A folder that the servers' user can get into. Its path is short: that of a Unix socket has room for some 100 bytes.
pub(super) fn folder() -> TempDir {
    let usual = std::env::temp_dir();
    let base = if is_root() || usual.as_os_str().len() > 60 { PathBuf::from("/tmp") } else { usual };
    let folder = tempfile::Builder::new().prefix("dockline-").tempdir_in(base).expect("a temporary folder");
    if let Some(user) = User::to_become() {
        std::os::unix::fs::chown(folder.path(), Some(user.id), Some(user.group)).expect("root may do that");
    }
    folder
}

/// Makes the servers' user the owner of a folder and of all that is in it.
pub(super) fn give(path: &Path) {
    if let Some(user) = User::to_become() {
        let status = Command::new("chown").arg("-R").arg(format!("{}:{}", user.id, user.group)).arg(path).status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "cannot make {} the owner of {}",
            user.name,
            path.display()
        );
    }
}
