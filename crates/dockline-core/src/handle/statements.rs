//! Running statements on a connection.

use std::any::{Any, type_name};
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use crate::base::error::{Error, ErrorKind, Fact, Result};
use crate::base::params::Params;
use crate::base::row::{FromRow, Row};
use crate::base::value::{FromValue, Value};
use crate::config::backend::{Expect, ParamRows, RowSink};
use crate::config::bind::{BoundRows, bind};
use crate::handle::connection::Connection;
use crate::slot::Slot;
use crate::slot::work::Work;

/// Statements.
impl Connection {
    /// Runs a statement, and answers how many rows it inserted, updated or deleted. Rows that it gives are dropped.
    ///
    /// ```
    /// use dockline::params;
    ///
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// # db.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, done BOOLEAN DEFAULT FALSE NOT NULL)", ())?;
    /// db.execute("INSERT INTO job (name) VALUES (?)", params!["resize"])?;
    /// let changed = db.execute("UPDATE job SET done = ? WHERE name = ?", (true, "resize"))?; // a tuple does as well
    /// assert_eq!(changed, 1);
    /// db.execute("DELETE FROM job", ())?; // no parameters
    /// # Ok::<_, dockline::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Programming`](ErrorKind::Programming) for a wrong number of parameters, for two statements in one text, and
    /// where this connection is in the middle of another statement; else those of connecting and of the database.
    #[track_caller]
    pub fn execute(&self, sql: &str, params: impl Params) -> Result<u64> {
        let params = params.into_values();
        let slot = self.slot_here();
        slot.statement(sql, params.as_ref(), false, |session, sql, params| {
            let bound = bind(sql, params, || session.dialect())?;
            session.execute(&bound.sql, &bound.params).inspect(|changed| slot.news.rows(*changed))
        })
    }

    /// Runs an INSERT, and answers the id that the database has generated for its row, or for the first of its rows.
    ///
    /// MySQL, MariaDB and SQLite tell it with the answer, without a statement of its own. PostgreSQL does not: there, write
    /// `RETURNING id` behind the statement. Wherever a statement gives rows, it is the first column of the first.
    ///
    /// ```
    /// # use dockline::{Connection, Result};
    /// fn add(db: &Connection, name: &str) -> Result<i64> {
    ///     match db.vendor() {
    ///         "postgresql" => db.insert("INSERT INTO job (name) VALUES (?) RETURNING id", (name,)),
    ///         _ => db.insert("INSERT INTO job (name) VALUES (?)", (name,)),
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Data`](ErrorKind::Data) if there is no id, as for a table whose rows have none that is generated, and if it cannot be read as
    /// `T`; else as [`execute`](Connection::execute).
    #[track_caller]
    pub fn insert<T: FromValue>(&self, sql: &str, params: impl Params) -> Result<T> {
        let params = params.into_values();
        let mut first = None;
        let take = |row: Row| {
            first.get_or_insert(row);
            ControlFlow::Continue(())
        };
        let (slot, expect) = (self.slot_here(), Expect::All);
        let mut sink = Sink { slot, expect, take, rows: 0, was_forked: false };
        let id = slot.statement(sql, params.as_ref(), false, |session, sql, params| {
            let bound = bind(sql, params, || session.dialect())?;
            session.insert(&bound.sql, &bound.params, &mut sink)
        })?;
        if let Some(mut row) = first {
            return row.take(0);
        }
        if id.is_null() {
            return Err(self.unexpected(
                "the statement was run, and the database told no id: the table generates none, or it is PostgreSQL, where the \
                 statement needs RETURNING id",
            ));
        }
        T::from_value(id).map_err(|error| {
            let message = format!("the generated id: {error}");
            Error::new(ErrorKind::Data, message).with_fact(Fact::MayHaveExecuted).with_alias(slot.alias_arc())
        })
    }

    /// Runs a statement, and answers its rows. All of them are kept in memory: see
    /// [`query_each`](Connection::query_each) for results that are large.
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// # db.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, done BOOLEAN DEFAULT FALSE NOT NULL)", ())?;
    /// db.execute("INSERT INTO job (name) VALUES (?)", ("resize",))?;
    /// for row in db.query("SELECT id, name FROM job WHERE done = ?", (false,))? {
    ///     println!("{}: {}", row.get::<i64, _>("id")?, row.get::<&str, _>("name")?);
    /// }
    /// # Ok::<_, dockline::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`execute`](Connection::execute).
    #[track_caller]
    pub fn query(&self, sql: &str, params: impl Params) -> Result<Vec<Row>> {
        self.query_as(sql, params)
    }

    /// Runs a statement, and reads each of its rows as a type of yours or a tuple.
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// # db.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, done BOOLEAN DEFAULT FALSE NOT NULL)", ())?;
    /// db.execute("INSERT INTO job (name) VALUES (?)", ("resize",))?;
    /// let jobs: Vec<(i64, String)> = db.query_as("SELECT id, name FROM job", ())?;
    /// assert_eq!(jobs, [(1, "resize".to_owned())]);
    /// # Ok::<_, dockline::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`execute`](Connection::execute), and as the type's [`FromRow`].
    #[track_caller]
    pub fn query_as<T: FromRow>(&self, sql: &str, params: impl Params) -> Result<Vec<T>> {
        let mut rows = Vec::new();
        self.run_query(Expect::All, sql, params, |row| {
            rows.push(row.decode()?);
            Ok(ControlFlow::<()>::Continue(()))
        })?;
        Ok(rows)
    }

    /// Runs a statement that gives exactly one row.
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// # db.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, done BOOLEAN DEFAULT FALSE NOT NULL)", ())?;
    /// db.execute("INSERT INTO job (name) VALUES (?)", ("resize",))?;
    /// let row = db.query_one("SELECT id, name FROM job WHERE name = ?", ("resize",))?;
    /// let (id, name): (i64, String) = row.decode()?;
    /// assert_eq!((id, name.as_str()), (1, "resize"));
    /// # Ok::<_, dockline::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Data`](ErrorKind::Data) where it gives none, or more; else as [`execute`](Connection::execute).
    #[track_caller]
    pub fn query_one(&self, sql: &str, params: impl Params) -> Result<Row> {
        self.query_opt(sql, params)?.ok_or_else(|| self.unexpected("the statement gave no row, and one is expected"))
    }

    /// Runs a statement that gives one row or none.
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// # db.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, done BOOLEAN DEFAULT FALSE NOT NULL)", ())?;
    /// match db.query_opt("SELECT id FROM job WHERE name = ?", ("resize",))? {
    ///     Some(row) => println!("job {}", row.get::<i64, _>("id")?),
    ///     None => println!("there is no such job"),
    /// }
    /// # Ok::<_, dockline::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Data`](ErrorKind::Data) where it gives more; else as [`execute`](Connection::execute).
    #[track_caller]
    pub fn query_opt(&self, sql: &str, params: impl Params) -> Result<Option<Row>> {
        let mut first = None;
        let second = self.run_query(Expect::One, sql, params, |row| {
            Ok(if first.is_none() {
                first = Some(row);
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            })
        })?;
        match second {
            None => Ok(first),
            Some(()) => Err(self.unexpected("the statement gave more than one row, and one is expected")),
        }
    }

    /// Runs a statement that gives exactly one row, and reads its first column.
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// # db.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, done BOOLEAN DEFAULT FALSE NOT NULL)", ())?;
    /// let jobs: i64 = db.query_value("SELECT count(*) FROM job WHERE done = ?", (false,))?;
    /// assert_eq!(jobs, 0);
    /// let last: Option<String> = db.query_value("SELECT max(name) FROM job", ())?; // it may be null
    /// assert_eq!(last, None);
    /// # Ok::<_, dockline::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`query_one`](Connection::query_one), and as [`Row::get`].
    #[track_caller]
    pub fn query_value<T: FromValue>(&self, sql: &str, params: impl Params) -> Result<T> {
        self.query_one(sql, params)?.take(0)
    }

    /// Runs a statement, and hands its rows to `call` one at a time, without keeping them. It stops where `call` says
    /// `Break`, and answers what it broke with.
    ///
    /// A result that is left early costs what the backend has to do to come to rest: reading what remains, up to a
    /// limit, or else closing the connection. Inside a transaction the connection cannot be given up, and all of it is read:
    /// say LIMIT, or cancel it. While `call` runs, the connection is in use: `call` cannot run statements
    /// on it. A panic of `call` ends the statement and goes on. In a process that is forked in `call`, no further row comes.
    ///
    /// ```
    /// use std::ops::ControlFlow;
    ///
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// # db.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, done BOOLEAN DEFAULT FALSE NOT NULL)", ())?;
    /// db.execute_many("INSERT INTO job (name) VALUES (?)", [("resize",), ("rotate",), ("crop",)])?;
    /// let found = db.query_each("SELECT id, name FROM job ORDER BY id", (), |row| {
    ///     let is_it = row.get::<&str, _>("name")?.starts_with("ro");
    ///     Ok(if is_it { ControlFlow::Break(row.get::<i64, _>("id")?) } else { ControlFlow::Continue(()) })
    /// })?;
    /// assert_eq!(found, Some(2)); // None if it was never left
    /// # Ok::<_, dockline::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`execute`](Connection::execute), and those of `call`, at which it stops.
    #[track_caller]
    pub fn query_each<B>(
        &self,
        sql: &str,
        params: impl Params,
        call: impl FnMut(Row) -> Result<ControlFlow<B>>,
    ) -> Result<Option<B>> {
        self.run_query(Expect::Stream, sql, params, call)
    }

    #[track_caller]
    fn run_query<B>(
        &self,
        expect: Expect,
        sql: &str,
        params: impl Params,
        mut call: impl FnMut(Row) -> Result<ControlFlow<B>>,
    ) -> Result<Option<B>> {
        let params = params.into_values();
        let mut ended = None;
        let take = |row: Row| {
            // The session gets to end its statement; then the panic goes on.
            let next = match catch_unwind(AssertUnwindSafe(|| call(row))) {
                Ok(Ok(ControlFlow::Continue(()))) => return ControlFlow::Continue(()),
                Ok(Ok(ControlFlow::Break(value))) => Ended::Broken(value),
                Ok(Err(error)) => Ended::Failed(error),
                Err(panic) => Ended::Panicked(panic),
            };
            ended = Some(next);
            ControlFlow::Break(())
        };
        let mut sink = Sink { slot: self.slot(), expect, take, rows: 0, was_forked: false };
        let result = self.slot_here().stream(sql, params.as_ref(), false, |session, sql, params| {
            let bound = bind(sql, params, || session.dialect())?;
            let rest = session.query(&bound.sql, &bound.params, &mut sink)?;
            sink.slot.news.rows(sink.rows);
            Ok(((), rest))
        });
        let was_forked = sink.was_forked;
        match ended {
            Some(Ended::Panicked(panic)) => resume_unwind(panic),
            Some(Ended::Failed(error)) => {
                Err(error.with_fact(Fact::MayHaveExecuted).with_alias(self.slot().alias_arc()))
            }
            Some(Ended::Broken(value)) if was_forked => Ok(Some(value)),
            None if was_forked => Err(self.slot().forked_inside()),
            Some(Ended::Broken(value)) => result.map(|()| Some(value)),
            None => result.map(|()| None),
        }
    }

    /// Runs a statement once for each row of parameters, prepared once, and answers how many rows it inserted, updated
    /// or deleted in all.
    ///
    /// It is no transaction of its own: where autocommit is on, each row commits by itself, or with those that go out
    /// with it: of an INSERT, servers get several rows in one statement (up to 1,024; PostgreSQL gets them as arrays, or up to 64 if a
    /// value of the row is more than a placeholder, or is not of the column's type), and SQLite gets up to 4,096 rows in one transaction. While it runs, the connection is in use: the iterator cannot run statements
    /// on it. Without any row, the statement is not even read.
    /// In a process that is forked in the iterator, it ends with an error.
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// # db.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, done BOOLEAN DEFAULT FALSE NOT NULL)", ())?;
    /// let names = ["resize", "rotate", "crop"];
    /// let inserted = db.execute_many("INSERT INTO job (name) VALUES (?)", names.map(|name| (name,)))?;
    /// assert_eq!(inserted, 3);
    /// # Ok::<_, dockline::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`execute`](Connection::execute), at the first row that fails; the message has its number, or those of the rows that
    /// went out together (`rows 65 to 128`), of which none stands, and
    /// [`may_have_executed`](Error::may_have_executed) is true where rows before it may stand.
    #[track_caller]
    pub fn execute_many<I>(&self, sql: &str, rows: I) -> Result<u64>
    where
        I: IntoIterator,
        I::Item: Params,
    {
        let slot = self.slot_here();
        let mut rows = Rows { rows: rows.into_iter(), current: None, panic: None, slot };
        let run = || {
            slot.statement(sql, &[], true, |session, sql, _| {
                let mut bound = BoundRows::new(sql, session.dialect(), &mut rows)?;
                let changed = session.execute_many(&bound.text(), &mut bound)?;
                slot.news.rows(changed);
                bound.failed.take().map_or(Ok(changed), |error| Err(error.with_fact(Fact::MayHaveExecuted)))
            })
        };
        let result = match catch_unwind(AssertUnwindSafe(run)) {
            Ok(result) => result,
            Err(panic) if panic.is::<ForkedAmongRows>() => return Err(slot.forked_inside()),
            Err(panic) => resume_unwind(panic),
        };
        match rows.panic {
            Some(panic) => resume_unwind(panic),
            None => result,
        }
    }

    /// Lends the driver's own object, so that nothing that the driver can do is out of reach. It opens a connection
    /// where none is.
    ///
    /// State that the closure leaves on the connection is yours to care for: see [`hold`](Connection::hold). On SQLite no other
    /// thread writes meanwhile, unless the alias or the atomic block is read-only. A transaction that the closure ends has ended, as by a
    /// text; if it resets a session of MySQL or MariaDB inside one, what follows fails with [`is_work_lost`](Error::is_work_lost).
    ///
    /// ```
    /// use dockline::rusqlite;
    ///
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// let pages: i64 = db.native(|sqlite: &mut rusqlite::Connection| {
    ///     sqlite.pragma_query_value(None, "page_count", |row| row.get(0))
    /// })?.expect("SQLite has pages");
    /// assert!(pages >= 0);
    /// # Ok::<_, dockline::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`NotSupported`](ErrorKind::NotSupported) where the backend's object is of another type, naming that; else those
    /// of connecting.
    #[track_caller]
    pub fn native<T: 'static, R>(&self, call: impl FnOnce(&mut T) -> R) -> Result<R> {
        if let Some(error) = self.slot_here().refusal() {
            return Err(error);
        }
        self.slot().run(Work::Native, |session| {
            let native_type = session.native_type();
            match session.native()?.downcast_mut::<T>() {
                Some(native) => {
                    let called = catch_unwind(AssertUnwindSafe(|| call(native)));
                    if !self.slot().was_forked_inside() {
                        session.after_native();
                    }
                    Ok(called.unwrap_or_else(|panic| resume_unwind(panic)))
                }
                None => {
                    session.after_native();
                    let message = format!("the driver's object is a {native_type} here, and no {}", type_name::<T>());
                    Err(Error::new(ErrorKind::NotSupported, message))
                }
            }
        })
    }

    /// The statement has run, and its result is not what was asked for.
    fn unexpected(&self, message: &'static str) -> Error {
        Error::new(ErrorKind::Data, message).with_fact(Fact::MayHaveExecuted).with_alias(self.slot().alias_arc())
    }
}

/// How a callback ended a result.
enum Ended<B> {
    Broken(B),
    Failed(Error),
    Panicked(Box<dyn Any + Send>),
}

/// Makes rows of what a session gives. Its type is that of the caller's closure, so that nothing but this stands between the two.
struct Sink<'a, Take> {
    slot: &'a Slot,
    expect: Expect,
    take: Take,
    /// How many have come.
    rows: u64,
    was_forked: bool,
}

impl<Take: FnMut(Row) -> ControlFlow<()>> RowSink for Sink<'_, Take> {
    fn columns(&mut self, names: &Arc<[String]>) {
        self.slot.begin_result(names);
    }

    fn expects(&self) -> Expect {
        self.expect
    }

    fn may_discard(&self) -> bool {
        !self.slot.holds.any() && !self.slot.transaction.in_atomic_block()
    }

    fn row(&mut self, values: Vec<Value>) -> ControlFlow<()> {
        self.rows += 1;
        let next = (self.take)(Row::of(self.slot.heading(), values));
        // Elsewhere no code of the program's runs between two rows.
        self.was_forked = self.expect == Expect::Stream && self.slot.was_forked_inside();
        if self.was_forked { ControlFlow::Break(()) } else { next }
    }

    fn was_forked(&self) -> bool {
        self.was_forked
    }
}

struct Rows<'a, I: Iterator>
where
    I::Item: Params,
{
    rows: I,
    current: Option<<I::Item as Params>::Values>,
    panic: Option<Box<dyn Any + Send>>,
    slot: &'a Slot,
}

/// With what a session is left that is in the middle of rows, in a process that was forked in their iterator.
struct ForkedAmongRows;

impl<I: Iterator> ParamRows for Rows<'_, I>
where
    I::Item: Params,
{
    fn next_row(&mut self) -> Option<&[Value]> {
        // As for row callbacks: the session gets to end its statement; then the panic goes on.
        self.current =
            catch_unwind(AssertUnwindSafe(|| self.rows.next().map(Params::into_values))).unwrap_or_else(|panic| {
                self.panic = Some(panic);
                None
            });
        if self.slot.was_forked_inside() {
            // The session must send nothing more: there is no other way out of it.
            resume_unwind(Box::new(ForkedAmongRows));
        }
        self.current.as_ref().map(AsRef::as_ref)
    }
}
