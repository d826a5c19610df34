//! Many rows into a table, in one transaction.

use std::io::Write;
use std::time::Instant;

use dockline::params;
use mysql::prelude::Queryable;

use crate::contestants::{mysql_options, open_sqlite, postgres_config};
use crate::options::Options;
use crate::place::{Place, Places};
use crate::report::{Report, Table};
use crate::stats::{Ratio, median};

const INSERT: &str = "INSERT INTO bulk VALUES (?, ?)";

pub(super) fn run(options: &Options, places: &Places, report: &mut Report) {
    let rows = options.amount(100_000);
    report.text(&format!(
        "{rows} rows of a number and a short text, in one transaction; rows a second, and beside the bare driver's loop over its prepared \
         statement. The loading command is COPY on PostgreSQL and LOAD DATA LOCAL on the others; SQLite has none."
    ));
    let mut table =
        Table::new(["", "bare loop", "`execute_many`", "÷ loop", "loading command", "`execute_many` ÷ loading"]);
    for place in &places.all {
        let (mut looped, mut ours, mut loaded) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..options.rounds(3) {
            looped.push(timed(place, rows, bare_loop));
            ours.push(timed(place, rows, execute_many));
            if !place.database.is_sqlite() {
                loaded.push(timed(place, rows, load));
            }
        }
        let rate = |figures: &[f64]| {
            if figures.is_empty() { "-".to_owned() } else { format!("{:.0}/s", median(figures)) }
        };
        table.row([
            place.database.to_string(),
            rate(&looped),
            rate(&ours),
            Ratio::of(&ours, &looped).to_string(),
            rate(&loaded),
            Ratio::of(&ours, &loaded).to_string(),
        ]);
    }
    report.table(&table);
}

/// Rows a second into the table, which is empty before.
fn timed(place: &Place, rows: u32, insert: fn(&Place, u32) -> f64) -> f64 {
    let registry = place.connections();
    registry.get("default").and_then(|db| db.execute("DELETE FROM bulk", ())).expect("an empty table");
    registry.close_all();
    let seconds = insert(place, rows);
    let db = registry.get("default").expect("an alias");
    let there: i64 = db.query_value("SELECT count(*) FROM bulk", ()).expect("a count");
    assert_eq!(there, i64::from(rows), "{}: rows that are there", place.database);
    registry.close_all();
    f64::from(rows) / seconds
}

fn name(id: u32) -> String {
    format!("name {id}")
}

fn execute_many(place: &Place, rows: u32) -> f64 {
    let registry = place.connections();
    let db = registry.get("default").expect("an alias");
    db.ensure_connection().expect("a connection");
    let began = Instant::now();
    db.atomic(|| db.execute_many(INSERT, (0..rows).map(|id| params![id, name(id)]))).expect("rows");
    let seconds = began.elapsed().as_secs_f64();
    registry.close_all();
    seconds
}

fn bare_loop(place: &Place, rows: u32) -> f64 {
    let sql = place.database.sql(INSERT);
    if place.database.is_sqlite() {
        let mut sqlite = open_sqlite(place.path()).expect("a connection");
        let began = Instant::now();
        let transaction = sqlite.transaction().expect("a transaction");
        let mut statement = transaction.prepare(&sql).expect("a statement");
        for id in 0..rows {
            statement.execute((id, name(id))).expect("a row");
        }
        drop(statement);
        transaction.commit().expect("a commit");
        return began.elapsed().as_secs_f64();
    }
    if place.database.is_postgres() {
        let mut client = postgres_config(place).connect(postgres::NoTls).expect("a connection");
        let began = Instant::now();
        let mut transaction = client.transaction().expect("a transaction");
        let statement = transaction.prepare(&sql).expect("a statement");
        for id in 0..rows {
            let key = i32::try_from(id).expect("a small number");
            transaction.execute(&statement, &[&key, &name(id)]).expect("a row");
        }
        transaction.commit().expect("a commit");
        return began.elapsed().as_secs_f64();
    }
    let mut conn = mysql::Conn::new(mysql_options(place)).expect("a connection");
    let began = Instant::now();
    let mut transaction = conn.start_transaction(mysql::TxOpts::default()).expect("a transaction");
    transaction.exec_batch(&sql, (0..rows).map(|id| (id, name(id)))).expect("rows");
    transaction.commit().expect("a commit");
    began.elapsed().as_secs_f64()
}

fn load(place: &Place, rows: u32) -> f64 {
    if place.database.is_postgres() {
        let mut client = postgres_config(place).connect(postgres::NoTls).expect("a connection");
        let began = Instant::now();
        let mut writer = client.copy_in("COPY bulk FROM STDIN").expect("a copy");
        for id in 0..rows {
            writeln!(writer, "{id}\t{}", name(id)).expect("a row");
        }
        writer.finish().expect("a copy");
        return began.elapsed().as_secs_f64();
    }
    let mut conn = mysql::Conn::new(mysql_options(place)).expect("a connection");
    let send = move |_: &[u8], to: &mut mysql::LocalInfile<'_>| -> std::io::Result<()> {
        (0..rows).try_for_each(|id| writeln!(to, "{id}\t{}", name(id)))
    };
    conn.set_local_infile_handler(Some(mysql::LocalInfileHandler::new(send)));
    let began = Instant::now();
    conn.query_drop("LOAD DATA LOCAL INFILE 'rows' INTO TABLE bulk").expect("rows");
    began.elapsed().as_secs_f64()
}
