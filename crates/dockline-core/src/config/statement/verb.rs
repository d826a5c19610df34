//! What kind of statement a text is.

/// The kind of a statement: its first word behind comments, parentheses, labels, `WITH …` and `SET STATEMENT … FOR`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verb {
    /// There is no statement, or one that the outline does not know.
    Unknown,
    /// `SELECT`
    Select,
    /// `VALUES`
    Values,
    /// `TABLE t`, which is `SELECT * FROM t`.
    Table,
    /// `SHOW`
    Show,
    /// `DESCRIBE` of a table, and `HELP`.
    Describe,
    /// `EXPLAIN` of a statement, whether it runs it or not, and MariaDB's `ANALYZE` of one.
    Explain,
    /// `INSERT`
    Insert,
    /// `REPLACE`
    Replace,
    /// `UPDATE`
    Update,
    /// `DELETE`
    Delete,
    /// `MERGE`
    Merge,
    /// `TRUNCATE`
    Truncate,
    /// `COPY`
    Copy,
    /// `LOAD DATA` and `LOAD XML`
    LoadData,
    /// `CALL`
    Call,
    /// `DO`: a block on PostgreSQL, expressions on MySQL and MariaDB.
    Do,
    /// A compound statement: `BEGIN NOT ATOMIC`, `IF`, `LOOP` and so on outside a routine.
    Block,
    /// `EXECUTE` of a prepared statement, and `EXECUTE IMMEDIATE`.
    Execute,
    /// `PREPARE` of a statement.
    Prepare,
    /// `DEALLOCATE` and `DROP PREPARE`
    Deallocate,
    /// `CREATE`
    Create,
    /// `ALTER`
    Alter,
    /// `DROP`
    Drop,
    /// Any other statement that changes a schema, rights or what the server is set to: `RENAME`, `GRANT`, `COMMENT ON`.
    Define,
    /// Upkeep of tables: `VACUUM`, `ANALYZE`, `OPTIMIZE`, `REINDEX`, `CHECK`.
    Maintain,
    /// A statement about a transaction; see [`Outline::transaction`](super::Outline::transaction).
    Transaction,
    /// `SET`, except of a transaction's end.
    Set,
    /// `RESET`
    Reset,
    /// `USE`
    Use,
    /// `LOCK`
    Lock,
    /// `UNLOCK`
    Unlock,
    /// `FLUSH`
    Flush,
    /// `BACKUP`
    Backup,
    /// `HANDLER`
    Handler,
    /// `DECLARE` of a cursor.
    Declare,
    /// `FETCH` and `MOVE`
    Fetch,
    /// `CLOSE` of a cursor.
    Close,
    /// `LISTEN`
    Listen,
    /// `UNLISTEN`
    Unlisten,
    /// `NOTIFY`
    Notify,
    /// `DISCARD`
    Discard,
    /// `LOAD` of a library.
    Load,
    /// `PRAGMA`
    Pragma,
    /// `ATTACH`
    Attach,
    /// `DETACH`
    Detach,
    /// `KILL`
    Kill,
    /// `SIGNAL`, `RESIGNAL` and `GET DIAGNOSTICS`
    Signal,
}

impl Verb {
    /// Returns whether the number that the server answers is that of rows that were changed.
    pub fn changes_rows(self) -> bool {
        use Verb::{Copy, Delete, Insert, LoadData, Merge, Replace, Update};
        matches!(self, Insert | Replace | Update | Delete | Merge | Copy | LoadData)
    }
}
