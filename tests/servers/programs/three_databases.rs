//! Orders on PostgreSQL, an archive on MariaDB and a cache on SQLite, by one program that names them.

use chrono::{DateTime, TimeDelta, Utc};
use dockline::{Connection, Connections, Databases, Error, Row, params};
use dockline_tests::servers::{Kind, Server};
use dockline_tests::{memory, wait_until};
use rust_decimal::Decimal;

use crate::opened::settings;

const TABLE: &str = "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer VARCHAR(40), total DECIMAL(12, 2), placed ";

fn make_table(db: &Connection) {
    let moment = match db.vendor() {
        "postgresql" => "timestamptz",
        "mysql" => "DATETIME(6)",
        _ => "TEXT",
    };
    db.execute(&format!("{TABLE} {moment})"), ()).unwrap();
}

fn archive(connections: &Connections, before: DateTime<Utc>) -> Result<u64, Error> {
    let (shop, archive) = (connections.get("default")?, connections.get("archive")?);
    // The archive commits first: what is there twice is found by its key, and what is nowhere is lost.
    shop.atomic(|| {
        let sql = "SELECT id, customer, total, placed FROM orders WHERE placed < ? ORDER BY id FOR UPDATE";
        let rows = shop.query(sql, (before,))?;
        let copy = |row: &Row| {
            Ok::<_, Error>(params![
                row.get::<i64, _>("id")?,
                row.get::<&str, _>("customer")?,
                row.get::<Decimal, _>("total")?,
                row.get::<DateTime<Utc>, _>("placed")?
            ])
        };
        let copies = rows.iter().map(copy).collect::<Result<Vec<_>, _>>()?;
        archive.atomic(|| archive.execute_many("INSERT INTO orders VALUES (?, ?, ?, ?)", copies))?;
        shop.execute("DELETE FROM orders WHERE placed < ?", (before,))
    })
}

pub(super) fn each_alias_is_a_database_of_its_own(postgres: &Server) {
    let mariadb = Server::shared(Kind::MariaDb);
    let (orders, old) = (postgres.database(), mariadb.database());
    let databases = Databases::new()
        .with("default", settings(&orders.url()))
        .with("archive", settings(&old.url()))
        .with("cache", memory());
    let connections = Connections::new(databases).unwrap();
    let [shop, store, cache] = ["default", "archive", "cache"].map(|alias| connections.get(alias).unwrap());
    assert_eq!([&shop, &store, &cache].map(Connection::vendor), ["postgresql", "mysql", "sqlite"]);
    [&shop, &store, &cache].iter().for_each(|db| make_table(db));

    let now = DateTime::from_timestamp_micros(DateTime::<Utc>::from(std::time::SystemTime::now()).timestamp_micros())
        .unwrap();
    let order = |n: i64| params![n, format!("customer {n}"), Decimal::new(1_050 + n, 2), now - TimeDelta::days(n)];
    shop.execute_many("INSERT INTO orders VALUES (?, ?, ?, ?)", (1..=9).map(order)).unwrap();
    let count = |db: &Connection| db.query_value::<i64>("SELECT count(*) FROM orders", ()).unwrap();

    // What goes wrong in one transaction leaves the other as it was.
    store.execute("INSERT INTO orders VALUES (?, ?, ?, ?)", order(9)).unwrap();
    let error = archive(&connections, now - TimeDelta::days(5)).unwrap_err();
    assert_eq!((error.alias(), error.constraint().is_some()), (Some("archive"), true), "{error}");
    assert_eq!([&shop, &store].map(count), [9, 1]);
    store.execute("DELETE FROM orders", ()).unwrap();
    let archived = connections.in_request(|| archive(&connections, now - TimeDelta::days(5))).unwrap();
    assert_eq!((archived, [&shop, &store].map(count)), (4, [5, 4]));

    // What came from one database goes to the next as it is.
    for (id, customer, total, placed) in
        store.query_as::<(i64, String, Decimal, DateTime<Utc>)>("SELECT * FROM orders", ()).unwrap()
    {
        assert_eq!(placed, now - TimeDelta::days(id));
        cache.execute("INSERT INTO orders VALUES (?, ?, ?, ?)", (id, customer, total.to_string(), placed)).unwrap();
    }
    let sum = |db: &Connection| db.query_value::<Decimal>("SELECT sum(total) FROM orders", ()).unwrap();
    assert_eq!(sum(&store), sum(&cache));
    assert_eq!(sum(&store), Decimal::new(4 * 1_050 + 6 + 7 + 8 + 9, 2));

    // One that is lost is no matter of the others.
    connections.remove("archive").unwrap();
    assert_eq!(connections.get("archive").unwrap_err().kind(), dockline::ErrorKind::ConnectionDoesNotExist);
    assert_eq!([&shop, &cache].map(count), [5, 4]);
    let other = connections.clone();
    std::thread::spawn(move || {
        for alias in ["default", "cache"] {
            other.get(alias).unwrap().query("SELECT 1", ()).unwrap();
        }
    })
    .join()
    .unwrap();
    let open = || connections.status().aliases.iter().map(|alias| alias.connections.len()).sum::<usize>();
    wait_until("what the thread opened is closed", || open() <= 3);
    assert!(shop.is_connected() && cache.is_connected());
}
