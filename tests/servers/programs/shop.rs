//! A shop with a JSON API: handlers that get and give text, on threads of a server, and one set of SQL for every database.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dockline::{
    Connection, Connections, ConstraintKind, Error, FromRow, FromValue, NamedParams, RawJson, Result, Retry, ToValue,
    list, named, params,
};
use dockline_tests::servers::Server;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::opened::Opened;

#[derive(Debug, Clone, Serialize, Deserialize, FromRow, NamedParams)]
struct Product {
    sku: String,
    name: String,
    price: Price,
    stock: i32,
    attributes: Attributes,
}

/// With all its digits, also in JSON.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToValue, FromValue)]
#[serde(try_from = "String", into = "String")]
struct Price(Decimal);

impl TryFrom<String> for Price {
    type Error = rust_decimal::Error;

    fn try_from(text: String) -> std::result::Result<Self, Self::Error> {
        Decimal::from_str_exact(&text).map(Self)
    }
}

impl From<Price> for String {
    fn from(price: Price) -> Self {
        price.0.to_string()
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Attributes(serde_json::Value);

impl ToValue for Attributes {
    fn to_value(&self) -> dockline::Value {
        self.0.to_value()
    }
}

impl FromValue for Attributes {
    fn from_value(value: dockline::Value) -> std::result::Result<Self, dockline::ValueError> {
        FromValue::from_value(value).map(Self)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToValue, FromValue)]
#[serde(rename_all = "snake_case")]
#[dockline(rename_all = "snake_case")]
enum Status {
    Placed,
    SentOut,
}

#[derive(Debug, Serialize, FromRow)]
struct Line {
    sku: String,
    amount: i32,
    #[dockline(flatten, prefix = "product_")]
    product: Option<Named>,
}

#[derive(Debug, PartialEq, Serialize, FromRow)]
struct Named {
    name: String,
}

#[derive(Debug, Deserialize)]
struct Order {
    lines: Vec<Wanted>,
}

#[derive(Debug, Deserialize)]
struct Wanted {
    sku: String,
    amount: i32,
}

/// An answer of HTTP: its status, and its body.
type Answer = (u16, String);

fn schema(db: &Connection) -> Result<usize> {
    let (uuid, json, moment, id) = match db.vendor() {
        "postgresql" => ("uuid", "jsonb", "timestamptz", "bigserial PRIMARY KEY"),
        _ => ("CHAR(36)", "JSON", "DATETIME(6)", "BIGINT AUTO_INCREMENT PRIMARY KEY"),
    };
    db.execute_script(&format!(
        "-- what is sold
         CREATE TABLE product (sku VARCHAR(40) PRIMARY KEY, name VARCHAR(100) NOT NULL, price DECIMAL(12, 4) NOT NULL,
             stock INTEGER NOT NULL, attributes {json} NOT NULL, CONSTRAINT in_stock CHECK (stock >= 0));
         CREATE TABLE orders (id {uuid} PRIMARY KEY, status VARCHAR(20) NOT NULL, placed {moment} NOT NULL, total DECIMAL(14, 4));
         CREATE TABLE line (id {id}, order_id {uuid} NOT NULL REFERENCES orders (id), sku VARCHAR(40) NOT NULL, amount INTEGER NOT NULL);"
    ))
}

/// `PUT /products/SKU`
fn put_product(db: &Connection, body: &str) -> Result<Answer> {
    let Ok(product) = serde_json::from_str::<Product>(body) else { return Ok((400, "no product".into())) };
    let insert =
        "INSERT INTO product (sku, name, price, stock, attributes) VALUES (:sku, :name, :price, :stock, :attributes) ";
    let upsert = match db.vendor() {
        "postgresql" => {
            "ON CONFLICT (sku) DO UPDATE SET name = :name, price = :price, stock = :stock, attributes = :attributes"
        }
        _ => "ON DUPLICATE KEY UPDATE name = :name, price = :price, stock = :stock, attributes = :attributes",
    };
    db.execute(&format!("{insert}{upsert}"), &product)?;
    Ok((200, body.to_owned()))
}

/// `GET /products?sku=A&sku=B`
fn get_products(db: &Connection, skus: &[&str]) -> Result<Answer> {
    let sql = "SELECT sku, name, price, stock, attributes FROM product WHERE sku IN (?) ORDER BY sku";
    let found: Vec<Product> = db.query_as(sql, (list(skus),))?;
    Ok((200, serde_json::to_string(&found).expect("JSON")))
}

/// `POST /orders`: all lines or none.
fn post_order(db: &Connection, body: &str) -> Result<Answer> {
    let Ok(mut order) = serde_json::from_str::<Order>(body) else { return Ok((400, "no order".into())) };
    // In one order, so that two orders never wait for each other.
    order.lines.sort_by(|a, b| a.sku.cmp(&b.sku));
    let id = Uuid::from_u128(fastrand::u128(..));
    let placed = Retry::new().attempts(20).run(db, || {
        let insert = "INSERT INTO orders (id, status, placed) VALUES (?, ?, ?)";
        db.execute(insert, (id, Status::Placed, OffsetDateTime::now_utc()))?;
        let mut total = Decimal::ZERO;
        for Wanted { sku, amount } in &order.lines {
            let taken = db.execute("UPDATE product SET stock = stock - ? WHERE sku = ?", params![amount, sku])?;
            if taken == 0 {
                return Ok(None);
            }
            let price: Decimal = db.query_value("SELECT price FROM product WHERE sku = ?", params![sku])?;
            total += price * Decimal::from(*amount);
            db.execute("INSERT INTO line (order_id, sku, amount) VALUES (?, ?, ?)", params![id, sku, amount])?;
        }
        db.execute("UPDATE orders SET total = :total WHERE id = :id", named! { id: id, total: total })?;
        Ok::<_, Error>(Some(total))
    });
    match placed {
        Ok(Some(total)) => Ok((201, serde_json::json!({ "id": id.to_string(), "total": Price(total) }).to_string())),
        Ok(None) => Ok((404, "no such product".into())),
        Err(error) if error.constraint().is_some_and(|constraint| constraint.kind() == ConstraintKind::Check) => {
            Ok((409, "sold out".into()))
        }
        Err(error) => Err(error),
    }
}

/// `GET /orders/ID`
fn get_order(db: &Connection, id: Uuid) -> Result<Answer> {
    let sql = "SELECT status, placed, total FROM orders WHERE id = ?";
    let Some(order) = db.query_opt(sql, (id,))? else { return Ok((404, String::new())) };
    let lines: Vec<Line> = db.query_as(
        "SELECT line.sku, line.amount, product.name AS product_name
         FROM line LEFT JOIN product ON product.sku = line.sku WHERE order_id = ? ORDER BY line.id",
        (id,),
    )?;
    let (status, placed): (Status, OffsetDateTime) = (order.get("status")?, order.get("placed")?);
    assert!((OffsetDateTime::now_utc() - placed).abs() < time::Duration::hours(1));
    let body = serde_json::json!({ "status": status, "total": order.get::<Price, _>("total")?, "lines": lines });
    Ok((200, body.to_string()))
}

fn parsed(answer: Answer, status: u16) -> serde_json::Value {
    assert_eq!(answer.0, status, "{}", answer.1);
    serde_json::from_str(&answer.1).expect("JSON")
}

/// Each handler runs in a request, with a transaction of its own where it needs one.
pub(super) fn a_shop_sells_what_it_has(server: &Server) {
    let Opened { connections, db, .. } = &Opened::new(server);
    assert_eq!(schema(db).unwrap(), 3);
    for (sku, stock) in [("pen", 100), ("ink", 7)] {
        let body = serde_json::json!({ "sku": sku, "name": format!("a {sku} “of note”"), "price": "19.9900", "stock": stock,
            "attributes": { "colors": ["blue", null], "weight": 0.25, "x": { "y": "ü" } } });
        for _ in 0..2 {
            assert_eq!(connections.in_request(|| put_product(db, &body.to_string())).unwrap().0, 200);
        }
    }
    let found = parsed(get_products(db, &["pen", "none", "ink"]).unwrap(), 200);
    assert_eq!((found[0]["sku"].as_str(), found[1]["price"].as_str()), (Some("ink"), Some("19.9900")));
    assert_eq!(found[1]["attributes"]["x"]["y"], "ü");
    assert_eq!(parsed(get_products(db, &[]).unwrap(), 200), serde_json::json!([]));
    sells_to_many(connections);

    let order = r#"{"lines": [{"sku": "pen", "amount": 3}, {"sku": "nothing", "amount": 1}]}"#;
    assert_eq!(post_order(db, order).unwrap().0, 404);
    assert_eq!(post_order(db, "{").unwrap().0, 400);
    let placed = parsed(post_order(db, r#"{"lines": [{"sku": "pen", "amount": 3}]}"#).unwrap(), 201);
    assert_eq!(placed["total"], "59.9700");
    let id = placed["id"].as_str().unwrap().parse().unwrap();
    db.execute("DELETE FROM product WHERE sku = ?", ("pen",)).unwrap();
    let order = parsed(get_order(db, id).unwrap(), 200);
    assert_eq!(order["lines"], serde_json::json!([{ "sku": "pen", "amount": 3, "product": null }]));
    assert_eq!(order["status"], "placed");
    db.execute("UPDATE orders SET status = ? WHERE id = ?", (Status::SentOut, id)).unwrap();
    assert_eq!(parsed(get_order(db, id).unwrap(), 200)["status"], "sent_out");
    assert_eq!(get_order(db, Uuid::nil()).unwrap().0, 404);
    let attributes: RawJson = db.query_value("SELECT attributes FROM product", ()).unwrap();
    assert_eq!(attributes.parse::<serde_json::Value>().unwrap()["colors"][0], "blue");
}

/// Four threads want the last seven bottles of ink, and pens besides: nothing is sold twice, and no order is half placed.
fn sells_to_many(connections: &Connections) {
    let (sold, refused) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (connections, sold, refused) = (connections.clone(), Arc::clone(&sold), Arc::clone(&refused));
            std::thread::spawn(move || {
                for _ in 0..4 {
                    let order = r#"{"lines": [{"sku": "pen", "amount": 2}, {"sku": "ink", "amount": 1}]}"#;
                    let answer = connections.in_request(|| post_order(&connections.get("default")?, order)).unwrap();
                    match answer.0 {
                        201 => sold.fetch_add(1, Ordering::SeqCst),
                        409 => refused.fetch_add(1, Ordering::SeqCst),
                        other => panic!("{other}: {}", answer.1),
                    };
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!((sold.load(Ordering::SeqCst), refused.load(Ordering::SeqCst)), (7, 9));
    let db = connections.get("default").unwrap();
    let stock = |sku: &str| db.query_value::<i32>("SELECT stock FROM product WHERE sku = ?", (sku,)).unwrap();
    assert_eq!((stock("ink"), stock("pen")), (0, 86));
    let counts = "SELECT (SELECT count(*) FROM orders), (SELECT count(*) FROM line), (SELECT count(*) FROM orders WHERE total IS NULL)";
    assert_eq!(db.query_as::<(i64, i64, i64)>(counts, ()).unwrap(), [(7, 14, 0)]);
}
