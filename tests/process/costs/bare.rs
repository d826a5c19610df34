//! The bare drivers, with their statements prepared.

use std::hint::black_box;

use dockline::rusqlite;
use mysql::prelude::Queryable;
use percent_encoding::percent_decode_str;
use postgres::fallible_iterator::FallibleIterator;
use url::Url;

use super::paths::{COUNT, INSERT, NUMBER, RENAME, ROWS, TABLE, TEXT, UPDATE};

pub(super) enum Bare {
    Sqlite(rusqlite::Connection),
    Postgres(Box<postgres::Client>, Box<[postgres::Statement; 5]>),
    Mysql(Box<mysql::Conn>, Box<[mysql::Statement; 5]>),
}

const TEXTS: [&str; 5] = [UPDATE, NUMBER, TEXT, ROWS, RENAME];

impl Bare {
    /// Connects to a database that has the table. One of SQLite's in memory is its own, and gets it.
    pub(super) fn open(url: &str) -> Self {
        if url == "sqlite::memory:" {
            let sqlite = rusqlite::Connection::open_in_memory().expect("a connection");
            sqlite.execute(TABLE, ()).expect("a table");
            for id in 1..=COUNT {
                sqlite.execute(INSERT, (id, 0, format!("name {id}"))).expect("a row");
            }
            return Self::Sqlite(sqlite);
        }
        let url: Url = url.parse().expect("a URL");
        let plain = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let (user, password) = (plain(url.username()), plain(url.password().expect("a password")));
        let (host, port) = (url.host_str().expect("a host"), url.port().expect("a port"));
        let name = url.path().trim_start_matches('/');
        if url.scheme() == "postgres" {
            let mut config = postgres::Config::new();
            config.user(&user).password(&password).dbname(name).host(host).port(port);
            let mut client = config.connect(postgres::NoTls).expect("a connection");
            let statements = TEXTS.map(|sql| client.prepare(&sql.replace('?', "$1")).expect("a statement"));
            return Self::Postgres(Box::new(client), Box::new(statements));
        }
        let options = mysql::OptsBuilder::new().user(Some(user)).pass(Some(password)).db_name(Some(name));
        let options = options.ip_or_hostname(Some(host)).tcp_port(port).prefer_socket(false);
        let mut conn = mysql::Conn::new(options).expect("a connection");
        let statements = TEXTS.map(|sql| conn.prep(sql).expect("a statement"));
        Self::Mysql(Box::new(conn), Box::new(statements))
    }

    pub(super) fn update(&mut self) {
        let changed = match self {
            Self::Sqlite(sqlite) => {
                sqlite.prepare_cached(UPDATE).and_then(|mut update| update.execute([7])).expect("an update") as u64
            }
            Self::Postgres(client, statements) => client.execute(&statements[0], &[&7]).expect("an update"),
            Self::Mysql(conn, statements) => {
                conn.exec_drop(&statements[0], (7,)).expect("an update");
                1
            }
        };
        assert_eq!(changed, 1);
    }

    pub(super) fn rename(&mut self) {
        let changed = match self {
            Self::Sqlite(sqlite) => {
                sqlite.prepare_cached(RENAME).and_then(|mut update| update.execute(["a name"])).expect("an update")
                    as u64
            }
            Self::Postgres(client, statements) => client.execute(&statements[4], &[&"a name"]).expect("an update"),
            Self::Mysql(conn, statements) => {
                conn.exec_drop(&statements[4], ("a name",)).expect("an update");
                1
            }
        };
        assert_eq!(changed, 1);
    }

    pub(super) fn number(&mut self) -> i32 {
        match self {
            Self::Sqlite(sqlite) => sqlite
                .prepare_cached(NUMBER)
                .and_then(|mut query| query.query_row([2], |row| row.get(0)))
                .expect("a number"),
            Self::Postgres(client, statements) => client.query_one(&statements[1], &[&2]).expect("a row").get(0),
            Self::Mysql(conn, statements) => conn.exec_first(&statements[1], (2,)).expect("a row").expect("a row"),
        }
    }

    pub(super) fn text(&mut self) -> String {
        match self {
            Self::Sqlite(sqlite) => sqlite
                .prepare_cached(TEXT)
                .and_then(|mut query| query.query_row([2], |row| row.get(0)))
                .expect("a text"),
            Self::Postgres(client, statements) => client.query_one(&statements[2], &[&2]).expect("a row").get(0),
            Self::Mysql(conn, statements) => conn.exec_first(&statements[2], (2,)).expect("a row").expect("a row"),
        }
    }

    pub(super) fn each(&mut self, rows: i32) {
        let (above, mut seen) = (COUNT - rows, 0);
        match self {
            Self::Sqlite(sqlite) => {
                let mut query = sqlite.prepare_cached(ROWS).expect("a statement");
                let mut result = query.query([above]).expect("rows");
                while let Some(row) = result.next().expect("a row") {
                    black_box(row.get::<_, i32>(0).expect("a number"));
                    seen += 1;
                }
            }
            Self::Postgres(client, statements) => {
                let mut result = client.query_raw(&statements[3], [above]).expect("rows");
                while let Some(row) = result.next().expect("a row") {
                    black_box(row.get::<_, i32>(0));
                    seen += 1;
                }
            }
            Self::Mysql(conn, statements) => {
                for row in conn.exec_iter(&statements[3], (above,)).expect("rows") {
                    black_box(row.expect("a row").get::<i32, _>(0));
                    seen += 1;
                }
            }
        }
        assert_eq!(seen, rows);
    }
}
