//! Recipes for writing rows, and for reading them in portions.

use std::error::Error as StdError;

use dockline::postgres::{self, binary_copy::BinaryCopyInWriter, types::Type};
use dockline::{Connection, Connections, FromRow, Result, list, named};

use crate::portable::of;

/// Adds to what is in stock, or begins with it.
fn add_to_stock(db: &Connection, sku: &str, amount: i64) -> Result<()> {
    let on_conflict = match db.vendor() {
        "mysql" => "ON DUPLICATE KEY UPDATE amount = amount + VALUES(amount)",
        _ => "ON CONFLICT (sku) DO UPDATE SET amount = stock.amount + excluded.amount",
    };
    db.execute(&format!("INSERT INTO stock (sku, amount) VALUES (?, ?) {on_conflict}"), (sku, amount))?;
    Ok(())
}

/// Inserts a row unless it is there, and says whether it did.
fn add_tag(db: &Connection, name: &str) -> Result<bool> {
    let sql = match db.vendor() {
        "mysql" => "INSERT IGNORE INTO tag (name) VALUES (?)",
        _ => "INSERT INTO tag (name) VALUES (?) ON CONFLICT DO NOTHING",
    };
    Ok(db.execute(sql, (name,))? == 1)
}

/// Reads the rows of these ids. No id at all gives no row.
fn names(db: &Connection, ids: &[i64]) -> Result<Vec<(i64, String)>> {
    db.query_as("SELECT id, name FROM job WHERE id IN (?) ORDER BY id", (list(ids),))
}

/// Inserts a row, and answers the id that the database gave it.
fn add_job(db: &Connection, name: &str) -> Result<i64> {
    match db.vendor() {
        "postgresql" => db.insert("INSERT INTO job (name) VALUES (?) RETURNING id", (name,)),
        _ => db.insert("INSERT INTO job (name) VALUES (?)", (name,)),
    }
}

#[derive(FromRow)]
struct Post {
    id: i64,
    created: i64,
    title: String,
}

/// Reads the next page: the posts behind `last`, the oldest first.
fn next_page(db: &Connection, last: Option<&Post>, size: u32) -> Result<Vec<Post>> {
    match last {
        None => db.query_as("SELECT id, created, title FROM post ORDER BY created, id LIMIT ?", (size,)),
        Some(last) => db.query_as(
            "SELECT id, created, title FROM post
             WHERE created >= :created AND (created > :created OR id > :id)
             ORDER BY created, id LIMIT :size",
            named! { created: last.created, id: last.id, size: size },
        ),
    }
}

/// Inserts many rows, all or none.
fn load(db: &Connection, words: &[(i64, String)]) -> Result<u64> {
    let rows = words.iter().map(|(id, text)| (*id, text.as_str()));
    db.transaction(|| db.execute_many("INSERT INTO word (id, text) VALUES (?, ?)", rows))
}

/// Inserts many rows by PostgreSQL's COPY, all or none.
fn copy_in(db: &Connection, words: &[(i64, String)]) -> std::result::Result<u64, Box<dyn StdError + Send + Sync>> {
    let copied = db.native(|client: &mut postgres::Client| {
        let writer = client.copy_in("COPY word (id, text) FROM STDIN (FORMAT binary)")?;
        let mut writer = BinaryCopyInWriter::new(writer, &[Type::INT8, Type::TEXT]);
        for (id, text) in words {
            writer.write(&[id, text])?;
        }
        writer.finish()
    })?;
    Ok(copied?)
}

/// Renames a row that has not changed since it was read, and says whether it did.
fn rename(db: &Connection, id: i64, read_version: i64, name: &str) -> Result<bool> {
    let changed = db.execute(
        "UPDATE page SET name = ?, version = version + 1 WHERE id = ? AND version = ?",
        (name, id, read_version),
    )?;
    Ok(changed == 1) // 0: somebody else was first; read it again, and decide
}

pub(super) fn an_upsert_inserts_or_adds(connections: &Connections) {
    let db = connections.get("default").unwrap();
    db.execute("CREATE TABLE stock (sku VARCHAR(20) PRIMARY KEY, amount BIGINT NOT NULL)", ()).unwrap();
    for amount in [5, 7, -2] {
        add_to_stock(&db, "bolt", amount).unwrap();
    }
    add_to_stock(&db, "nut", 1).unwrap();
    let stock: Vec<(String, i64)> = db.query_as("SELECT sku, amount FROM stock ORDER BY sku", ()).unwrap();
    assert_eq!(stock, [("bolt".into(), 10), ("nut".into(), 1)]);
}

pub(super) fn an_insert_that_is_there_already_is_no_error(connections: &Connections) {
    let db = connections.get("default").unwrap();
    db.execute("CREATE TABLE tag (name VARCHAR(20) PRIMARY KEY)", ()).unwrap();
    assert!(add_tag(&db, "blue").unwrap());
    assert!(!add_tag(&db, "blue").unwrap());
    assert!(add_tag(&db, "red").unwrap());
}

/// Makes the table of jobs.
pub(super) fn jobs(db: &Connection) {
    let id = of(db, "BIGSERIAL PRIMARY KEY", "BIGINT AUTO_INCREMENT PRIMARY KEY", "INTEGER PRIMARY KEY");
    db.execute(
        &format!("CREATE TABLE job (id {id}, name VARCHAR(20) NOT NULL, done BOOLEAN DEFAULT FALSE NOT NULL)"),
        (),
    )
    .unwrap();
}

pub(super) fn ids_in_a_list(connections: &Connections) {
    let db = connections.get("default").unwrap();
    jobs(&db);
    db.execute_many("INSERT INTO job (id, name) VALUES (?, ?)", [(1, "a"), (2, "b"), (3, "c")]).unwrap();
    assert_eq!(names(&db, &[3, 1, 9]).unwrap(), [(1, "a".into()), (3, "c".into())]);
    assert!(names(&db, &[]).unwrap().is_empty());
}

pub(super) fn an_insert_tells_its_id(connections: &Connections) {
    let db = connections.get("default").unwrap();
    jobs(&db);
    let (first, second) = (add_job(&db, "resize").unwrap(), add_job(&db, "rotate").unwrap());
    assert!(second > first);
    assert_eq!(db.query_value::<String>("SELECT name FROM job WHERE id = ?", (second,)).unwrap(), "rotate");
}

pub(super) fn pages_follow_each_other(connections: &Connections) {
    let db = connections.get("default").unwrap();
    db.execute("CREATE TABLE post (id BIGINT PRIMARY KEY, created BIGINT NOT NULL, title VARCHAR(20) NOT NULL)", ())
        .unwrap();
    // Several of one moment: the id decides.
    let rows = (0..10).map(|id| (id, id / 4, format!("post {id}")));
    db.execute_many("INSERT INTO post VALUES (?, ?, ?)", rows).unwrap();
    let (mut titles, mut last) = (Vec::new(), None);
    loop {
        let page = next_page(&db, last.as_ref(), 3).unwrap();
        assert!(page.len() <= 3);
        titles.extend(page.iter().map(|post| post.title.clone()));
        match page.into_iter().last() {
            Some(post) => last = Some(post),
            None => break,
        }
    }
    assert_eq!(titles, (0..10).map(|id| format!("post {id}")).collect::<Vec<_>>());
}

fn words(db: &Connection) -> Vec<(i64, String)> {
    db.execute("CREATE TABLE word (id BIGINT PRIMARY KEY, text VARCHAR(20) NOT NULL)", ()).unwrap();
    (0..1_000).map(|id| (id, format!("word\t{id}\\"))).collect()
}

fn word_count(db: &Connection) -> i64 {
    db.query_value("SELECT count(*) FROM word", ()).unwrap()
}

pub(super) fn many_rows_in_one_transaction(connections: &Connections) {
    let db = connections.get("default").unwrap();
    let mut words = words(&db);
    assert_eq!(load(&db, &words).unwrap(), 1_000);
    db.execute("DELETE FROM word", ()).unwrap();
    words.push((0, "twice".into()));
    assert!(load(&db, &words).unwrap_err().constraint().is_some());
    assert_eq!(word_count(&db), 0);
}

pub(super) fn rows_are_copied_in(connections: &Connections) {
    let db = connections.get("default").unwrap();
    let mut words = words(&db);
    assert_eq!(copy_in(&db, &words).unwrap(), 1_000);
    assert_eq!(db.query_value::<String>("SELECT text FROM word WHERE id = 7", ()).unwrap(), "word\t7\\");
    db.execute("DELETE FROM word", ()).unwrap();
    words.push((0, "twice".into()));
    copy_in(&db, &words).unwrap_err();
    assert_eq!(word_count(&db), 0);
}

pub(super) fn the_second_of_two_editors_is_told(connections: &Connections) {
    let db = connections.get("default").unwrap();
    db.execute("CREATE TABLE page (id BIGINT PRIMARY KEY, name VARCHAR(20) NOT NULL, version BIGINT NOT NULL)", ())
        .unwrap();
    db.execute("INSERT INTO page VALUES (1, 'home', 1)", ()).unwrap();
    assert!(rename(&db, 1, 1, "start").unwrap());
    assert!(!rename(&db, 1, 1, "index").unwrap());
    assert!(rename(&db, 1, 2, "index").unwrap());
}
