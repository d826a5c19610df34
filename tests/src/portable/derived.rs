//! What derive macros make.

use dockline::{Connection, FromRow, FromValue, NamedParams, ToValue};

use super::{of, table, through};

#[derive(Debug, PartialEq, FromRow, NamedParams)]
struct Job {
    id: i64,
    #[dockline(rename = "title")]
    name: String,
    note: Option<String>,
    #[dockline(default)]
    tries: u32,
}

#[derive(Debug, PartialEq, FromRow)]
struct Author {
    id: i64,
    name: String,
}

#[derive(Debug, PartialEq, FromRow)]
struct Book {
    id: i64,
    title: String,
    #[dockline(flatten, prefix = "author_")]
    author: Option<Author>,
}

#[derive(Debug, PartialEq, FromRow)]
struct Pair(i64, String);

#[derive(Debug, Clone, Copy, PartialEq, ToValue, FromValue)]
#[dockline(rename_all = "snake_case")]
enum State {
    Open,
    InProgress,
    #[dockline(rename = "finished")]
    Done,
}

#[derive(Debug, Clone, Copy, PartialEq, ToValue, FromValue)]
#[dockline(integer)]
enum Level {
    Low = 1,
    High = 10,
}

#[derive(Debug, Clone, PartialEq, ToValue, FromValue)]
struct JobId(i64);

pub fn rows_become_structs(db: &Connection) {
    let rows: Vec<Job> = db.query_as("SELECT 7 AS id, 'resize' AS title, NULL AS note", ()).unwrap();
    assert_eq!(rows, [Job { id: 7, name: "resize".into(), note: None, tries: 0 }]);
    let row = db.query_one("SELECT 7 AS id, 'resize' AS title, 'x' AS note, 3 AS tries", ()).unwrap();
    assert_eq!(row.decode::<Job>().unwrap().tries, 3);
    let error = db.query_one("SELECT 7 AS id, 'a' AS title", ()).unwrap().decode::<Job>().unwrap_err();
    assert!(error.message().contains("there is no column \"note\""), "{error}");
    let error = db.query_one("SELECT 'x' AS id, 'a' AS title, 'b' AS note", ()).unwrap().decode::<Job>().unwrap_err();
    assert!(error.message().contains("column \"id\""), "{error}");
    assert_eq!(db.query_one("SELECT 1, 'a'", ()).unwrap().decode::<Pair>().unwrap(), Pair(1, "a".into()));
    assert!(db.query_one("SELECT 1", ()).unwrap().decode::<Pair>().is_err());
}

pub fn joins_become_structs_in_structs(db: &Connection) {
    db.execute_script(
        "CREATE TABLE author (id INTEGER, name VARCHAR(20)); CREATE TABLE book (id INTEGER, title VARCHAR(20), author INTEGER);
         INSERT INTO author VALUES (1, 'Ada'); INSERT INTO book VALUES (10, 'Notes', 1), (11, 'Songs', NULL)",
    )
    .unwrap();
    let sql = "SELECT b.id, b.title, a.id AS author_id, a.name AS author_name
               FROM book b LEFT JOIN author a ON a.id = b.author ORDER BY b.id";
    let books: Vec<Book> = db.query_as(sql, ()).unwrap();
    let ada = Author { id: 1, name: "Ada".into() };
    assert_eq!(
        books,
        [
            Book { id: 10, title: "Notes".into(), author: Some(ada) },
            Book { id: 11, title: "Songs".into(), author: None },
        ]
    );
}

pub fn enums_and_newtypes_are_values(db: &Connection) {
    table(db, "states", of(db, "TEXT", "VARCHAR(20)", "TEXT"));
    for (state, word) in [(State::Open, "open"), (State::InProgress, "in_progress"), (State::Done, "finished")] {
        assert_eq!(through::<_, State>(db, "states", &state), state);
        assert_eq!(db.query_value::<String>("SELECT v FROM states", ()).unwrap(), word);
    }
    let error = db.query_one("SELECT 'lost' AS v", ()).unwrap().get::<State, _>("v").unwrap_err();
    assert_eq!(error.message(), "column \"v\": is none of open, in_progress, finished");
    table(db, "levels", "INTEGER");
    for level in [Level::Low, Level::High] {
        assert_eq!(through::<_, Level>(db, "levels", &level), level);
    }
    assert!(db.query_one("SELECT 2 AS v", ()).unwrap().get::<Level, _>("v").is_err());
    assert_eq!(through::<_, JobId>(db, "levels", &JobId(7)), JobId(7));
    let ids = vec![JobId(7), JobId(8)];
    assert_eq!(
        db.query_value::<i64>("SELECT count(*) FROM levels WHERE v IN (?)", (dockline::list(&ids),)).unwrap(),
        1
    );
    assert_eq!(db.query_value::<i64>("SELECT count(*) FROM levels WHERE v = ? OR v = ?", &ids).unwrap(), 1);
}

pub fn structs_are_parameters_by_name(db: &Connection) {
    db.execute("CREATE TABLE by_name (id INTEGER, title VARCHAR(20), note VARCHAR(20))", ()).unwrap();
    let job = Job { id: 7, name: "resize".into(), note: None, tries: 1 };
    db.execute("INSERT INTO by_name (id, title, note) VALUES (:id, :title, :note)", &job).unwrap();
    let read: Job = db.query_one("SELECT * FROM by_name WHERE id = :id", &job).unwrap().decode().unwrap();
    assert_eq!(read, Job { tries: 0, ..job });
}
