//! Statements that a connection keeps prepared.
//!
//! Rusqlite keeps statements too, but each use of one takes it out of a map, copies its text, and puts it back, and each value of a row is
//! asked for by three calls that check the same again. Here a statement stands with its text, and what is known of both is found at once.
//!
//! The invariants, which hold because nothing here leaves this file:
//!
//! - A statement is of the connection that stands beside it in a [`Conn`], and is freed before that is closed.
//! - Who uses a statement borrows its [`Conn`]. So the connection stays where it is meanwhile, and one thread uses both.
//! - A connection is opened without a mutex (`SQLITE_OPEN_NO_MUTEX`). SQLite makes no difference between protected and unprotected
//!   values there, for there is nothing to protect them with.

#![allow(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::ffi::{CStr, c_char, c_int};
use std::mem::{forget, take};
use std::num::NonZeroUsize;
use std::ops::Deref;
use std::ptr::{NonNull, null_mut};
use std::rc::Rc;
use std::slice::from_raw_parts;
use std::sync::Arc;

use dockline_core::backend::RowValues;
use dockline_core::{Error, ErrorKind, Result, Value};
use lru::LruCache;
use rusqlite::{Connection, ffi};

use crate::error::map;
use crate::own::{Own, OwnStatements};
use crate::texts::Text;

/// A connection, and the statements that it keeps.
pub(crate) struct Conn {
    // Before the connection, both: one that has statements cannot be closed.
    own: OwnStatements,
    texts: Texts,
    connection: Connection,
    /// SQLite's own connection, of which the statements are.
    handle: Cell<*mut ffi::sqlite3>,
}

// SAFETY: a connection may go to another thread, and so may its statements, with it. Every `Rc` of a text is in `texts` or in a `Known`,
// which borrows the `Conn`: when that moves, all of them move.
unsafe impl Send for Conn {}

impl Deref for Conn {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl Conn {
    /// Takes a connection, and keeps so many of its statements; 0 keeps none.
    pub(crate) fn new(connection: Connection, capacity: usize) -> Self {
        // SAFETY: the handle is used while the connection is open, and only here.
        let handle = unsafe { connection.handle() };
        Self { own: OwnStatements::default(), texts: Texts::new(capacity), connection, handle: Cell::new(handle) }
    }

    /// Looks a text up, or reads it.
    pub(crate) fn text(&self, sql: &str, parameters: usize) -> Result<Known<'_>> {
        if self.texts.are_doubtful.get() {
            self.follow_swap();
        }
        let entry = self.texts.get(sql, parameters)?;
        Ok(Known { conn: self, entry })
    }

    /// Runs a statement by which a transaction begins or ends.
    pub(crate) fn run(&self, own: Own) -> rusqlite::Result<()> {
        self.own.run(&self.connection, own)
    }

    /// Lends the connection to the program, which may put another one in its place: see [`follow_swap`](Conn::follow_swap).
    pub(crate) fn lend(&mut self) -> &mut Connection {
        self.own.forget();
        self.texts.are_doubtful.set(true);
        &mut self.connection
    }

    /// Frees the statements that nobody uses.
    pub(crate) fn forget_statements(&self) {
        self.own.forget();
        self.texts.forget();
    }

    /// Looks whether the connection is still the one that was lent. If it is not, the statements are of one that somebody else has, on
    /// another thread maybe. They are left alone, and it stays open for their sake.
    pub(crate) fn follow_swap(&self) {
        // SAFETY: as in `new`.
        let now = unsafe { self.connection.handle() };
        if now != self.handle.replace(now) {
            self.texts.leave_alone();
        }
        self.texts.are_doubtful.set(false);
    }

    /// Closes the connection. If that cannot be done it is dropped, and closed so as far as it can be.
    pub(crate) fn close(self) -> rusqlite::Result<()> {
        self.follow_swap();
        let Self { own, texts, connection, .. } = self;
        drop((own, texts));
        connection.close().map_err(|(_connection, error)| error)
    }

    /// Prepares a statement; `None` if there is none in the text.
    fn prepare(&self, sql: &str) -> Result<Option<Kept>> {
        let sql = sql.trim();
        let Ok(length) = c_int::try_from(sql.len()) else { return Err(self.error(ffi::SQLITE_TOOBIG)) };
        let start = sql.as_ptr().cast::<c_char>();
        let (mut raw, mut tail) = (null_mut(), std::ptr::null());
        // SAFETY: the text has that length, and the handle is that of the open connection.
        let code = unsafe {
            ffi::sqlite3_prepare_v3(
                self.handle.get(),
                start,
                length,
                ffi::SQLITE_PREPARE_PERSISTENT,
                &raw mut raw,
                &raw mut tail,
            )
        };
        if code != ffi::SQLITE_OK {
            return Err(self.error_in(code, sql));
        }
        let kept = NonNull::new(raw).map(Kept::new);
        let read = (tail as usize).saturating_sub(start as usize);
        let rest = if read == 0 { "" } else { sql.get(read..).unwrap_or_default() };
        if !rest.is_empty() && self.prepare(rest)?.is_some() {
            return Err(map(rusqlite::Error::MultipleStatement));
        }
        Ok(kept)
    }

    /// The error that SQLite has just answered.
    #[cold]
    fn error(&self, code: c_int) -> Error {
        map(rusqlite::Error::SqliteFailure(ffi::Error::new(code), self.message(code)))
    }

    /// The same, of a text that cannot be prepared: SQLite may say where it fails.
    #[cold]
    fn error_in(&self, code: c_int, sql: &str) -> Error {
        let error = ffi::Error::new(code);
        // SAFETY: the connection is open.
        let offset = unsafe { ffi::sqlite3_error_offset(self.handle.get()) };
        if error.code != rusqlite::ErrorCode::Unknown || offset < 0 {
            return self.error(code);
        }
        let msg = self.message(code).unwrap_or_else(|| "error".to_owned());
        map(rusqlite::Error::SqlInputError { error, msg, sql: sql.to_owned(), offset })
    }

    fn message(&self, code: c_int) -> Option<String> {
        let handle = self.handle.get();
        // SAFETY: the connection is open, and the text stays until its next call, or for ever.
        unsafe {
            let is_of_last = ffi::sqlite3_errcode(handle) == code;
            let text = if is_of_last { ffi::sqlite3_errmsg(handle) } else { ffi::sqlite3_errstr(code) };
            (!text.is_null()).then(|| CStr::from_ptr(text).to_string_lossy().into_owned())
        }
    }
}

/// Texts that are read only once, and their statements that are prepared only once, for as long as they are used often enough.
struct Texts {
    /// The one that was asked for last: it is often the next.
    last: RefCell<Option<Rc<Entry>>>,
    known: RefCell<Option<LruCache<Arc<str>, Rc<Entry>>>>,
    /// The program has had the connection, and may have put another one in its place.
    are_doubtful: Cell<bool>,
}

struct Entry {
    text: Text,
    /// Its statement, while nobody uses it.
    kept: Cell<Option<Kept>>,
}

impl Texts {
    fn new(capacity: usize) -> Self {
        let known = NonZeroUsize::new(capacity).map(|capacity| {
            // Room for all of them is not asked for at once.
            let mut known = LruCache::unbounded();
            known.resize(capacity);
            known
        });
        Self { last: RefCell::default(), known: RefCell::new(known), are_doubtful: Cell::new(false) }
    }

    fn get(&self, sql: &str, parameters: usize) -> Result<Rc<Entry>> {
        let mut last = self.last.borrow_mut();
        if let Some(entry) = &*last
            && entry.text.parameters == parameters
            && &*entry.text.sql == sql
        {
            return Ok(Rc::clone(entry));
        }
        let read = || Text::read(sql, parameters).map(|text| Rc::new(Entry { text, kept: Cell::new(None) }));
        let mut known = self.known.borrow_mut();
        let Some(known) = &mut *known else { return read() };
        let entry = match known.get(sql) {
            Some(entry) if entry.text.parameters == parameters => Rc::clone(entry),
            _ => {
                let entry = read()?;
                known.put(Arc::clone(&entry.text.sql), Rc::clone(&entry));
                entry
            }
        };
        Ok(Rc::clone(last.insert(entry)))
    }

    /// Forgets all.
    fn forget(&self) {
        if let Some(known) = &mut *self.known.borrow_mut() {
            known.clear();
        }
        self.last.borrow_mut().take();
    }

    /// Forgets all, and frees no statement.
    fn leave_alone(&self) {
        let entries = self.known.borrow_mut().as_mut().map(|known| {
            let entries: Vec<_> = known.iter().map(|(_, entry)| Rc::clone(entry)).collect();
            known.clear();
            entries
        });
        for entry in entries.into_iter().flatten().chain(self.last.borrow_mut().take()) {
            forget(entry.kept.take());
        }
    }
}

impl Drop for Texts {
    fn drop(&mut self) {
        if self.are_doubtful.get() {
            self.leave_alone();
        }
    }
}

/// A text of which its connection knows what it is.
pub(crate) struct Known<'c> {
    conn: &'c Conn,
    entry: Rc<Entry>,
}

impl Deref for Known<'_> {
    type Target = Text;

    fn deref(&self) -> &Text {
        &self.entry.text
    }
}

impl Known<'_> {
    pub(crate) fn connection(&self) -> &Connection {
        self.conn
    }

    /// Prepares the statement, unless it is already.
    pub(crate) fn prepare(&self) -> Result<Statement<'_>> {
        let kept = match self.entry.kept.take() {
            Some(kept) => kept,
            None => self.conn.prepare(self.entry.text.for_sqlite())?.ok_or_else(no_statement)?,
        };
        Ok(Statement {
            conn: self.conn,
            entry: &self.entry,
            raw: kept.raw,
            kept: Some(kept),
            is_running: false,
            has_copies: false,
        })
    }
}

#[cold]
fn no_statement() -> Error {
    Error::new(ErrorKind::Programming, "there is no statement in the text")
}

/// A statement that nobody uses. It is freed when it is dropped.
struct Kept {
    raw: NonNull<ffi::sqlite3_stmt>,
    parameters: usize,
    /// The names of its columns, as they were after SQLite had prepared it again so many times.
    names: Arc<[String]>,
    named_at: c_int,
    /// It tells what SQLite would do, and never notices that the schema has changed.
    explains: bool,
}

impl Kept {
    fn new(raw: NonNull<ffi::sqlite3_stmt>) -> Self {
        // SAFETY: the statement has just been prepared.
        let (parameters, explains) =
            unsafe { (ffi::sqlite3_bind_parameter_count(raw.as_ptr()), ffi::sqlite3_stmt_isexplain(raw.as_ptr())) };
        let parameters = usize::try_from(parameters).unwrap_or(0);
        Self { raw, parameters, names: Arc::default(), named_at: -1, explains: explains != 0 }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // SAFETY: it is freed once, before its connection is closed: see the invariants.
        unsafe { ffi::sqlite3_finalize(self.raw.as_ptr()) };
    }
}

/// A statement that is used. When it is dropped it comes to its end, lets the copies of its parameters go, and is kept, unless it
/// explains. Who uses it next gives it all parameters anew.
pub(crate) struct Statement<'c> {
    conn: &'c Conn,
    entry: &'c Entry,
    raw: NonNull<ffi::sqlite3_stmt>,
    /// Some, until it is dropped.
    kept: Option<Kept>,
    /// It has taken a step, and not come to its end.
    is_running: bool,
    /// A parameter is a copy, whose memory is to be let go.
    has_copies: bool,
}

impl Statement<'_> {
    fn raw(&self) -> *mut ffi::sqlite3_stmt {
        self.raw.as_ptr()
    }

    /// How many parameters SQLite sees in it.
    pub(crate) fn parameter_count(&self) -> usize {
        self.kept.as_ref().map_or(0, |kept| kept.parameters)
    }

    pub(crate) fn readonly(&self) -> bool {
        // SAFETY: the statement is there, and this thread's: see the invariants. So below.
        unsafe { ffi::sqlite3_stmt_readonly(self.raw()) != 0 }
    }

    /// Gives a parameter its value; the first is 1.
    pub(crate) fn bind(&mut self, at: usize, value: Bound<'_>) -> Result<()> {
        let (raw, at) = (self.raw(), c_int::try_from(at).unwrap_or(c_int::MAX));
        self.has_copies |= matches!(value, Bound::Text(_) | Bound::Bytes(_));
        // SAFETY: as above. SQLite copies texts and bytes.
        let code = unsafe {
            match value {
                Bound::Null => ffi::sqlite3_bind_null(raw, at),
                Bound::Int(n) => ffi::sqlite3_bind_int64(raw, at, n),
                Bound::Double(double) => ffi::sqlite3_bind_double(raw, at, double),
                Bound::Text(text) => ffi::sqlite3_bind_text64(
                    raw,
                    at,
                    text.as_ptr().cast(),
                    text.len() as u64,
                    ffi::SQLITE_TRANSIENT(),
                    ffi::SQLITE_UTF8 as _,
                ),
                // No bytes are not null.
                Bound::Bytes([]) => ffi::sqlite3_bind_zeroblob(raw, at, 0),
                Bound::Bytes(bytes) => ffi::sqlite3_bind_blob64(
                    raw,
                    at,
                    bytes.as_ptr().cast(),
                    bytes.len() as u64,
                    ffi::SQLITE_TRANSIENT(),
                ),
            }
        };
        if code == ffi::SQLITE_OK { Ok(()) } else { Err(self.conn.error(code)) }
    }

    /// Takes a step, and answers whether there is a row. At its end the statement lets go of what it has locked.
    pub(crate) fn step(&mut self) -> Result<bool> {
        // SAFETY: as above.
        let code = unsafe { ffi::sqlite3_step(self.raw()) };
        self.is_running = true;
        match code {
            ffi::SQLITE_ROW => Ok(true),
            ffi::SQLITE_DONE => match self.reset() {
                ffi::SQLITE_OK => Ok(false),
                code => Err(self.conn.error(code)),
            },
            code => {
                let error = self.conn.error(code);
                self.reset();
                Err(error)
            }
        }
    }

    fn reset(&mut self) -> c_int {
        self.is_running = false;
        // SAFETY: as above.
        unsafe { ffi::sqlite3_reset(self.raw()) }
    }

    /// The names of the columns. SQLite prepares a statement again, at its first step, if the schema has changed.
    pub(crate) fn names(&mut self) -> &Arc<[String]> {
        let raw = self.raw();
        // SAFETY: as above. It is asked for a number, and not to begin to count anew.
        let prepared = unsafe { ffi::sqlite3_stmt_status(raw, ffi::SQLITE_STMTSTATUS_REPREPARE, 0) };
        let kept = self.kept.get_or_insert_with(|| unreachable!("a statement that is used has not been dropped"));
        if kept.named_at != prepared {
            // SAFETY: as above. A name stays until the next call that asks for it.
            let names = unsafe {
                (0..ffi::sqlite3_column_count(raw)).map(|at| {
                    let name = ffi::sqlite3_column_name(raw, at);
                    if name.is_null() { String::new() } else { CStr::from_ptr(name).to_string_lossy().into_owned() }
                })
            };
            kept.names = names.collect();
            kept.named_at = prepared;
        }
        &kept.names
    }

    /// The values of the row that the last step has come to, which has so many columns.
    pub(crate) fn row(&self, columns: usize) -> Result<Vec<Value>> {
        let mut row = RowValues::with_columns(columns);
        for at in 0..columns {
            // SAFETY: as above. A column that is not there is null. The text or the bytes stay until the next step, and their length is
            // asked for after them, as SQLite wants it.
            unsafe {
                let value = ffi::sqlite3_column_value(self.raw(), at as c_int);
                match ffi::sqlite3_value_type(value) {
                    ffi::SQLITE_INTEGER => row.int(ffi::sqlite3_value_int64(value)),
                    ffi::SQLITE_FLOAT => row.value(Value::Double(ffi::sqlite3_value_double(value))),
                    ffi::SQLITE_TEXT => {
                        let text = ffi::sqlite3_value_text(value);
                        self.put(&mut row, text, ffi::sqlite3_value_bytes(value), true)?;
                    }
                    ffi::SQLITE_BLOB => {
                        let bytes = ffi::sqlite3_value_blob(value).cast::<u8>();
                        self.put(&mut row, bytes, ffi::sqlite3_value_bytes(value), false)?;
                    }
                    _ => row.null(),
                }
            }
        }
        Ok(row.finish())
    }

    /// Text that is not UTF-8 comes out as bytes: nothing is lost, and reading it as text is an error that says so.
    ///
    /// # Safety
    ///
    /// So many bytes are there, or the pointer is null.
    unsafe fn put(&self, row: &mut RowValues, start: *const u8, length: c_int, is_text: bool) -> Result<()> {
        let length = usize::try_from(length).unwrap_or(0);
        if start.is_null() && (length > 0 || is_text) {
            return Err(self.conn.error(ffi::SQLITE_NOMEM));
        }
        // SAFETY: by the caller's word.
        let bytes = if start.is_null() { &[] } else { unsafe { from_raw_parts(start, length) } };
        match is_text.then(|| std::str::from_utf8(bytes)) {
            Some(Ok(text)) => row.text(text),
            _ => row.bytes(bytes),
        }
        Ok(())
    }
}

impl Drop for Statement<'_> {
    fn drop(&mut self) {
        if self.is_running {
            self.reset();
        }
        let Some(kept) = take(&mut self.kept) else { return };
        if self.has_copies {
            // SAFETY: as above.
            unsafe { ffi::sqlite3_clear_bindings(self.raw()) };
        }
        if !kept.explains {
            // Where another one has come back before, that one is freed.
            self.entry.kept.set(Some(kept));
        }
    }
}

/// The value of a parameter.
#[derive(Clone, Copy)]
pub(crate) enum Bound<'a> {
    Null,
    Int(i64),
    Double(f64),
    Text(&'a str),
    Bytes(&'a [u8]),
}

#[cfg(test)]
mod tests;
