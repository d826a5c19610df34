//! A large result: row by row, and all of it into memory.

use std::hint::black_box;
use std::ops::ControlFlow;
use std::time::Instant;

use mysql::prelude::Queryable;
use postgres::fallible_iterator::FallibleIterator;

use crate::contestants::{mysql_options, open_sqlite, postgres_config};
use crate::options::Options;
use crate::place::{Database, Place, Places};
use crate::report::{Report, Table};
use crate::stats::{Ratio, median};

const SELECT: &str = "SELECT id, name FROM many";

pub(super) fn run(options: &Options, places: &Places, report: &mut Report) {
    let rows = options.amount(1_000_000);
    report.text(&format!(
        "{rows} rows of a number and a text of 16 characters, read by one thread; rows a second. One by one: Dockline's `query_each`, \
         with the text borrowed from the row, beside the driver's own iterator. Into memory: `query_as` beside the driver's rows collected \
         into a vector of the same tuples."
    ));
    let mut table =
        Table::new(["", "one by one: bare", "Dockline", "÷ bare", "into memory: bare", "Dockline", "÷ bare"]);
    for place in &places.all {
        fill(place, rows);
        let mut figures: [Vec<f64>; 4] = Default::default();
        for _ in 0..options.rounds(3) {
            for (figures, read) in figures.iter_mut().zip([each_bare, each_ours, all_bare, all_ours]) {
                let (read, seconds) = read(place, SELECT);
                assert_eq!(read, rows, "{}", place.database);
                figures.push(f64::from(rows) / seconds);
            }
        }
        let rate = |at: usize| format!("{:.2} M/s", median(&figures[at]) / 1e6);
        let ratio = |one: usize, base: usize| Ratio::of(&figures[one], &figures[base]).to_string();
        table.row([place.database.to_string(), rate(0), rate(1), ratio(1, 0), rate(2), rate(3), ratio(3, 2)]);
        let registry = place.connections();
        registry.get("default").and_then(|db| db.execute("DROP TABLE many", ())).expect("no table");
        registry.close_all();
    }
    report.table(&table);
}

fn fill(place: &Place, rows: u32) {
    let registry = place.connections();
    let db = registry.get("default").expect("an alias");
    let run = |sql: &str| db.execute(sql, ()).unwrap_or_else(|error| panic!("{sql}: {error}"));
    run("CREATE TABLE many (id INTEGER PRIMARY KEY, name VARCHAR(40))");
    match place.database {
        Database::Sqlite => run(&format!(
            "WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < {rows}) \
             INSERT INTO many SELECT id, printf('name %011d', id) FROM n"
        )),
        database if database.is_postgres() => run(&format!(
            "INSERT INTO many SELECT id, 'name ' || lpad(id::text, 11, '0') FROM generate_series(1, {rows}) AS id"
        )),
        _ => {
            // Neither server has a series that takes a million: twenty doublings, and what is too much goes.
            run("INSERT INTO many VALUES (1, 'name 00000000001')");
            let mut there = 1;
            while there < rows {
                run(&format!(
                    "INSERT INTO many SELECT id + {there}, concat('name ', lpad(id + {there}, 11, '0')) FROM many \
                     WHERE id + {there} <= {rows}"
                ));
                there *= 2;
            }
            0
        }
    };
    registry.close_all();
}

/// How all rows of a query are read, one by one or into memory.
pub(super) fn reader(is_ours: bool, one_by_one: bool) -> fn(&Place, &str) -> (u32, f64) {
    match (is_ours, one_by_one) {
        (true, true) => each_ours,
        (true, false) => all_ours,
        (false, true) => each_bare,
        (false, false) => all_bare,
    }
}

fn each_ours(place: &Place, sql: &str) -> (u32, f64) {
    let registry = place.connections();
    let db = registry.get("default").expect("an alias");
    db.ensure_connection().expect("a connection");
    let (began, mut rows) = (Instant::now(), 0);
    db.query_each(sql, (), |row| {
        black_box((row.get::<i64, _>(0)?, row.get::<&str, _>(1)?));
        rows += 1;
        Ok(ControlFlow::<()>::Continue(()))
    })
    .expect("rows");
    let seconds = began.elapsed().as_secs_f64();
    registry.close_all();
    (rows, seconds)
}

fn all_ours(place: &Place, sql: &str) -> (u32, f64) {
    let registry = place.connections();
    let db = registry.get("default").expect("an alias");
    db.ensure_connection().expect("a connection");
    let began = Instant::now();
    let rows: Vec<(i64, String)> = db.query_as(sql, ()).expect("rows");
    let seconds = began.elapsed().as_secs_f64();
    registry.close_all();
    (count(&rows), seconds)
}

fn each_bare(place: &Place, sql: &str) -> (u32, f64) {
    let mut rows = 0;
    if place.database.is_sqlite() {
        let sqlite = open_sqlite(place.path()).expect("a connection");
        let mut statement = sqlite.prepare(sql).expect("a statement");
        let began = Instant::now();
        let mut result = statement.query(()).expect("rows");
        while let Some(row) = result.next().expect("a row") {
            black_box((
                row.get::<_, i64>(0).expect("a number"),
                row.get_ref(1).expect("a text").as_str().expect("text"),
            ));
            rows += 1;
        }
        return (rows, began.elapsed().as_secs_f64());
    }
    if place.database.is_postgres() {
        let mut client = postgres_config(place).connect(postgres::NoTls).expect("a connection");
        let statement = client.prepare(sql).expect("a statement");
        let began = Instant::now();
        let mut result = client.query_raw(&statement, std::iter::empty::<i32>()).expect("rows");
        while let Some(row) = result.next().expect("a row") {
            black_box((row.get::<_, i32>(0), row.get::<_, &str>(1)));
            rows += 1;
        }
        return (rows, began.elapsed().as_secs_f64());
    }
    let mut conn = mysql::Conn::new(mysql_options(place)).expect("a connection");
    let statement = conn.prep(sql).expect("a statement");
    let began = Instant::now();
    for row in conn.exec_iter(&statement, ()).expect("rows") {
        let row = row.expect("a row");
        black_box((row.get::<i64, _>(0), row.as_ref(1)));
        rows += 1;
    }
    (rows, began.elapsed().as_secs_f64())
}

fn all_bare(place: &Place, sql: &str) -> (u32, f64) {
    if place.database.is_sqlite() {
        let sqlite = open_sqlite(place.path()).expect("a connection");
        let mut statement = sqlite.prepare(sql).expect("a statement");
        let began = Instant::now();
        let result = statement.query_map((), |row| Ok((row.get(0)?, row.get(1)?))).expect("rows");
        let rows: Vec<(i64, String)> = result.collect::<Result<_, _>>().expect("rows");
        return (count(&rows), began.elapsed().as_secs_f64());
    }
    if place.database.is_postgres() {
        let mut client = postgres_config(place).connect(postgres::NoTls).expect("a connection");
        let statement = client.prepare(sql).expect("a statement");
        let began = Instant::now();
        let result = client.query(&statement, &[]).expect("rows");
        let rows: Vec<(i64, String)> = result.iter().map(|row| (i64::from(row.get::<_, i32>(0)), row.get(1))).collect();
        return (count(&rows), began.elapsed().as_secs_f64());
    }
    let mut conn = mysql::Conn::new(mysql_options(place)).expect("a connection");
    let statement = conn.prep(sql).expect("a statement");
    let began = Instant::now();
    let rows: Vec<(i64, String)> = conn.exec(&statement, ()).expect("rows");
    (count(&rows), began.elapsed().as_secs_f64())
}

fn count<T>(rows: &[T]) -> u32 {
    u32::try_from(rows.len()).expect("a number of rows")
}
