//! A user with fewer connections than the server.

use dockline::Settings;

use super::{Admin, FreshDatabase, Server};

const PASSWORD: &str = "x";

/// A user who may have so many connections, with a database of its own; both are gone when this is dropped.
#[derive(Debug)]
pub struct LimitedUser<'server> {
    user: String,
    database: FreshDatabase<'server>,
}

impl<'server> LimitedUser<'server> {
    pub fn new(server: &'server Server, connections: u32) -> Self {
        let database = server.database();
        let name = database.name();
        let user = format!("u_{}", &name[name.len().saturating_sub(10)..]);
        let mut admin = database.admin();
        if server.kind().is_postgres() {
            admin.execute(&format!("CREATE ROLE {user} LOGIN PASSWORD '{PASSWORD}' CONNECTION LIMIT {connections}"));
        } else {
            admin.execute(&format!(
                "CREATE USER {user}@'%' IDENTIFIED BY '{PASSWORD}' WITH MAX_USER_CONNECTIONS {connections}"
            ));
            admin.execute(&format!("GRANT ALL ON {name}.* TO {user}@'%'"));
        }
        Self { user, database }
    }

    pub fn name(&self) -> &str {
        &self.user
    }

    pub fn password(&self) -> &'static str {
        PASSWORD
    }

    /// The database that the user works on.
    pub fn database(&self) -> &FreshDatabase<'server> {
        &self.database
    }

    /// An administrative session, which counts and ends the sessions of this user.
    pub fn admin(&self) -> Admin {
        self.database.admin().of_user(&self.user)
    }

    /// How the user connects to the database.
    pub fn settings(&self) -> Settings {
        Settings::from_url(&self.database.url()).expect("a URL").user(&*self.user).password(PASSWORD)
    }
}

impl Drop for LimitedUser<'_> {
    fn drop(&mut self) {
        let (user, mut admin) = (&self.user, self.admin());
        let is_postgres = self.database.server().kind().is_postgres();
        // With what tests have granted it.
        let drops = if is_postgres {
            vec![format!("DROP OWNED BY {user}"), format!("DROP ROLE {user}")]
        } else {
            vec![format!("DROP USER {user}@'%'")]
        };
        if std::thread::panicking() {
            // The test has failed, and may have left connections: a second panic would end the process, and hide the first.
            let _ = drops.iter().try_for_each(|sql| admin.try_execute(sql));
            return;
        }
        admin.wait_until_connections(0);
        drops.iter().for_each(|sql| admin.execute(sql));
    }
}
