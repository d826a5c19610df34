//! Recipes for libraries that know nothing of Dockline.

use std::error::Error as StdError;

use dockline::postgres::{self, types::PgLsn};
use dockline::{Connection, Connections, Result, ToValue, Value};
use sea_query::{
    Expr, MysqlQueryBuilder, Order, PostgresQueryBuilder, Query, QueryBuilder, QueryStatementBuilder, SqlWriterValues,
    SqliteQueryBuilder,
};

use super::rows::jobs;

/// Makes a text with `?` and its parameters of a statement of sea-query's, in the dialect of the connection.
fn build(db: &Connection, statement: &impl QueryStatementBuilder) -> (String, Vec<Value>) {
    let builder: &dyn QueryBuilder = match db.vendor() {
        "postgresql" => &PostgresQueryBuilder,
        "mysql" => &MysqlQueryBuilder,
        _ => &SqliteQueryBuilder,
    };
    let mut writer = SqlWriterValues::new("?", false); // PostgreSQL too: Dockline numbers them itself
    statement.build_collect_any(builder, &mut writer);
    let (sql, values) = writer.into_parts();
    (sql, values.into_iter().map(to_dockline).collect())
}

fn to_dockline(value: sea_query::Value) -> Value {
    use sea_query::Value as Sea;
    match value {
        Sea::Bool(value) => value.to_value(),
        Sea::TinyInt(value) => value.to_value(),
        Sea::SmallInt(value) => value.to_value(),
        Sea::Int(value) => value.to_value(),
        Sea::BigInt(value) => value.to_value(),
        Sea::TinyUnsigned(value) => value.to_value(),
        Sea::SmallUnsigned(value) => value.to_value(),
        Sea::Unsigned(value) => value.to_value(),
        Sea::BigUnsigned(value) => value.to_value(),
        Sea::Float(value) => value.to_value(),
        Sea::Double(value) => value.to_value(),
        Sea::Char(value) => value.map(String::from).to_value(),
        Sea::String(value) => value.map(|text| *text).to_value(),
        Sea::Bytes(value) => value.map(|bytes| *bytes).to_value(),
    }
}

/// Reads the names that begin with a prefix.
fn names_with(db: &Connection, prefix: &str) -> Result<Vec<(String,)>> {
    let (sql, params) = build(
        db,
        Query::select()
            .column("name")
            .from("job")
            .and_where(Expr::col("name").like(format!("{prefix}%")))
            .order_by("id", Order::Asc),
    );
    db.query_as(&sql, params)
}

/// Reads how far the server's log has got, in the type that the driver has for it.
fn log_position(db: &Connection) -> std::result::Result<PgLsn, Box<dyn StdError + Send + Sync>> {
    let row = db.native(|client: &mut postgres::Client| client.query_one("SELECT pg_current_wal_lsn()", &[]))??;
    Ok(row.try_get(0)?)
}

pub(super) fn sea_query_builds_statements(connections: &Connections) {
    let db = connections.get("default").unwrap();
    jobs(&db);
    let mut insert = Query::insert();
    insert.into_table("job").columns(["id", "name"]);
    for (id, name) in [(1_i64, "resize"), (2, "rotate"), (3, "what?")] {
        insert.values_panic([id.into(), name.into()]);
    }
    let (sql, params) = build(&db, &insert);
    assert_eq!(db.execute(&sql, params).unwrap(), 3);
    assert_eq!(names_with(&db, "r").unwrap(), [("resize".into(),), ("rotate".into(),)]);
    assert_eq!(names_with(&db, "what?").unwrap(), [("what?".into(),)]);
    if db.vendor() == "postgresql" {
        let (sql, params) = build(&db, Query::select().expr(Expr::cust("'[\"a\"]'::jsonb ?? 'a'")));
        assert!(db.query_value::<bool>(&sql, params).unwrap());
    }
}

pub(super) fn types_of_the_driver_by_native(connections: &Connections) {
    let db = connections.get("default").unwrap();
    let before = log_position(&db).unwrap();
    db.execute("CREATE TABLE later (id INTEGER)", ()).unwrap();
    assert!(log_position(&db).unwrap() > before);
}
