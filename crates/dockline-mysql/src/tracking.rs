//! What the server reports of the session with its answers: whether a transaction is open, which database is the current
//! one, and what else has changed.
//!
//! A server, or a proxy before it, that reports nothing is taken by what the texts say.

use dockline_core::backend::{SessionState, StateKind, TransactionState};
use dockline_core::statement::{Meaning, Outline, StateChange, TransactionChange, Verb, XaStep};
use mysql::Conn;
use mysql::consts::SessionStateType;
use mysql::session_state_change::SessionStateChange;

/// What the server is asked to report, as a part of a SET.
pub(crate) const TRACKED: &str = "session_track_transaction_info='STATE', session_track_state_change=ON, \
                                  session_track_schema=ON, session_track_system_variables='autocommit,sql_mode,time_zone,\
                                  character_set_client,character_set_connection,character_set_results,\
                                  collation_connection'";

#[derive(Debug, Default)]
pub(crate) struct Tracking {
    /// By the server's last word on it.
    open: bool,
    /// With autocommit off, what reads begins a transaction too, and the end of a result has no room for that news.
    doubt: bool,
    pub(crate) autocommit: bool,
    /// Dates and times without a zone are in UTC.
    pub(crate) at_utc: bool,
    state: SessionState,
    /// The last call committed something, or may have.
    committed: bool,
    /// The server reports.
    reports: bool,
    /// The database that the session began with.
    home: Box<str>,
    /// The current database.
    database: Box<str>,
    sql_mode: SqlMode,
}

/// What `sql_mode` says of how texts are read.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct SqlMode {
    /// All of its words.
    words: Box<[u8]>,
    pub(crate) ansi_quotes: bool,
    pub(crate) no_backslash_escapes: bool,
}

impl SqlMode {
    fn of(words: &[u8]) -> Self {
        let has =
            |wanted: &str| words.split(|byte| *byte == b',').any(|word| word.eq_ignore_ascii_case(wanted.as_bytes()));
        Self { words: words.into(), ansi_quotes: has("ANSI_QUOTES"), no_backslash_escapes: has("NO_BACKSLASH_ESCAPES") }
    }
}

/// What came with an answer, beside what is about the transaction.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct News {
    /// There was something.
    pub(crate) any: bool,
    /// Some state has changed.
    state: bool,
    /// Texts that were prepared before may mean something else from now on.
    pub(crate) meaning: bool,
    /// Text is taken for another encoding than UTF-8.
    pub(crate) foreign: bool,
}

impl News {
    pub(crate) fn state(self) -> bool {
        self.state
    }
}

impl Tracking {
    pub(crate) fn new(autocommit: bool) -> Self {
        Self { autocommit, ..Self::default() }
    }

    /// What the server answered to the set-up.
    pub(crate) fn begin(&mut self, database: &str, sql_mode: &str, time_zone: &str) {
        self.at_utc = is_utc(time_zone);
        (self.home, self.database) = (database.into(), database.into());
        self.set_sql_mode(sql_mode);
    }

    /// Every connection begins as this one is now.
    pub(crate) fn begins_here(&mut self) {
        self.home.clone_from(&self.database);
        self.state.clear();
    }

    /// Answers whether it is another one than before.
    pub(crate) fn set_sql_mode(&mut self, words: &str) -> bool {
        let before = std::mem::replace(&mut self.sql_mode, SqlMode::of(words.as_bytes()));
        before != self.sql_mode
    }

    /// As far as the server tells of it.
    pub(crate) fn sql_mode(&self) -> Option<&SqlMode> {
        self.reports.then_some(&self.sql_mode)
    }

    /// The answer to the set-up came with news, or came without.
    pub(crate) fn set_reports(&mut self, reports: bool) {
        self.reports = reports;
    }

    pub(crate) fn reports(&self) -> bool {
        self.reports
    }

    pub(crate) fn in_transaction(&self) -> bool {
        self.open || self.doubt
    }

    /// By the server's word, without a doubt.
    pub(crate) fn is_open(&self) -> bool {
        self.open
    }

    /// With autocommit off there may be a transaction that nobody has told of.
    pub(crate) fn may_have_transaction(&self) -> bool {
        self.in_transaction() || !self.autocommit
    }

    /// What the server has said of the transaction.
    pub(crate) fn transaction(&self) -> TransactionState {
        match (self.open, self.doubt) {
            (true, _) => TransactionState::Open,
            (false, true) => TransactionState::Unknown,
            (false, false) => TransactionState::None,
        }
    }

    /// What a new session would lack.
    pub(crate) fn state(&self) -> &SessionState {
        &self.state
    }

    /// The current database, if it is another one than the session began with.
    pub(crate) fn other_database(&self) -> Option<&str> {
        (self.database != self.home).then_some(&*self.database)
    }

    /// A call begins.
    pub(crate) fn begin_call(&mut self) {
        self.committed = false;
    }

    pub(crate) fn committed(&self) -> bool {
        self.committed
    }

    /// A statement is sent that commits by itself, also where it then fails.
    pub(crate) fn set_committed(&mut self) {
        self.committed = true;
    }

    /// A transaction was begun or ended by us, or was asked for.
    pub(crate) fn set_open(&mut self, open: bool) {
        if self.open && !open {
            self.state.end_transaction();
        }
        self.open = open;
        self.doubt = false;
    }

    /// Whether a transaction is open is not known.
    pub(crate) fn set_unknown(&mut self) {
        self.open = false;
        self.doubt = true;
    }

    /// A statement has given rows, or has failed: neither comes with news.
    pub(crate) fn doubts(&mut self) {
        self.doubt |= !self.autocommit;
    }

    /// It was asked for: after the driver's own object was lent, nobody has seen the news.
    pub(crate) fn set_database(&mut self, database: &str) {
        if *self.database != *database {
            self.database = database.into();
        }
        self.state.release_all(StateKind::Database);
        if self.database != self.home {
            self.state.hold(StateKind::Database, database);
        }
    }

    /// The program has said what the next transaction is to be.
    pub(crate) fn has_transaction_options(&self) -> bool {
        let names = ["transaction", "transaction_isolation", "tx_isolation"];
        names.iter().any(|name| self.state.holds(StateKind::Setting, name))
    }

    /// The session may hold something that nobody knows.
    pub(crate) fn holds_unknown(&mut self) {
        self.state.hold(StateKind::Unknown, "");
    }

    /// A statement of the caller's has been answered that is [plain](is_plain), without news, by a server that reports. Whether it was.
    pub(crate) fn follow_plain(&mut self, news: News, gave_rows: bool) -> bool {
        if !self.reports || news.any {
            return false;
        }
        if gave_rows {
            self.doubts();
        }
        true
    }

    /// A statement of the caller's has been answered.
    pub(crate) fn follow(&mut self, outline: &Outline, news: News, gave_rows: bool) {
        if gave_rows {
            self.doubts();
        } else if self.doubt && outline.transaction().is_some_and(TransactionChange::ends) {
            self.doubt = false;
        }
        if !self.reports {
            self.follow_text(outline);
        }
        if outline.transaction().is_some_and(TransactionChange::ends) {
            self.state.end_transaction();
        }
        for change in outline.state() {
            let kind = kind_of(change);
            // The server says which database it is. The character set is always the same. What LAST_INSERT_ID gives counts when it is
            // asked for.
            let is_kept = match kind {
                Some(StateKind::Database) => !self.reports,
                Some(StateKind::CharacterSet | StateKind::LastInsertId) => false,
                _ => true,
            };
            if is_kept {
                self.state.apply(change);
            }
        }
        let is_explained = !outline.state().is_empty()
            || outline.transaction().is_some()
            || matches!(outline.verb(), Verb::Use | Verb::Deallocate);
        if news.state && (!is_explained || !outline.is_known() || outline.runs_code()) {
            self.holds_unknown();
        }
    }

    /// What the text says, if the server does not say it.
    fn follow_text(&mut self, outline: &Outline) {
        let zone = StateChange::Makes(StateKind::Setting, "time_zone".into());
        self.at_utc &= outline.is_known() && !outline.state().contains(&zone);
        match outline.transaction() {
            Some(TransactionChange::Begin | TransactionChange::Xa(XaStep::Begin)) => self.set_open(true),
            Some(TransactionChange::Commit { chain, .. } | TransactionChange::Rollback { chain, .. }) => {
                self.set_open(*chain);
            }
            Some(TransactionChange::Xa(XaStep::End)) => {}
            Some(TransactionChange::Xa(_)) => self.set_open(false),
            Some(TransactionChange::Autocommit(on)) => {
                self.set_open(false);
                self.autocommit = *on == Some(true);
                // What was assigned is not known.
                self.doubt = on.is_none();
            }
            Some(TransactionChange::Unknown) => self.set_unknown(),
            _ if outline.may_stop_half_way() => self.set_unknown(),
            _ if outline.commits_by_itself() => self.set_open(false),
            _ => self.doubts(),
        }
    }

    /// Reads what came with the last answer.
    pub(crate) fn read(&mut self, conn: &Conn) -> News {
        let mut news = News::default();
        for change in conn.session_state_changes().unwrap_or_default() {
            news.any = true;
            match change.data_type() {
                SessionStateType::SESSION_TRACK_TRANSACTION_STATE => {
                    // Behind its length: T or I, then five for what was read and written, then S, then L for locked tables.
                    let state = change.data_ref();
                    self.set_open(state.get(1).is_some_and(|byte| *byte != b'_'));
                    if state.get(8).is_some_and(|byte| *byte != b'_') {
                        self.state.hold(StateKind::TableLock, "");
                    } else {
                        self.state.release(StateKind::TableLock, "");
                    }
                }
                SessionStateType::SESSION_TRACK_STATE_CHANGE => news.state |= change.data_ref().contains(&b'1'),
                SessionStateType::SESSION_TRACK_SCHEMA => {
                    if let Ok(SessionStateChange::Schema(schema)) = change.decode() {
                        self.set_database(&schema.as_str());
                    }
                }
                SessionStateType::SESSION_TRACK_SYSTEM_VARIABLES => {
                    let mut rest = change.data_ref();
                    while let Some((name, value)) = take(&mut rest).zip(take(&mut rest)) {
                        self.variable(name, value, &mut news);
                    }
                }
                _ => {}
            }
        }
        news
    }

    fn variable(&mut self, name: &[u8], value: &[u8], news: &mut News) {
        match name {
            b"autocommit" => self.autocommit = value == b"ON",
            // SYSTEM may be any.
            b"time_zone" => self.at_utc = is_utc(&String::from_utf8_lossy(value)),
            b"sql_mode" => {
                news.meaning = true;
                self.sql_mode = SqlMode::of(value);
            }
            // The collation begins with the name of its character set.
            _ => {
                news.meaning = true;
                news.foreign |= value != b"utf8mb4" && !value.starts_with(b"utf8mb4_");
            }
        }
    }
}

/// Takes a string from the front, behind its length. The driver makes a vector of them.
fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, bytes) = match *rest {
        [length @ 0..=0xfa, bytes @ ..] => (usize::from(*length), bytes),
        [0xfc, low, high, bytes @ ..] => (usize::from(u16::from_le_bytes([*low, *high])), bytes),
        // None is as long as the next size.
        _ => return None,
    };
    let (taken, left) = bytes.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}

fn kind_of(change: &StateChange) -> Option<StateKind> {
    match change {
        StateChange::Makes(kind, _)
        | StateChange::MakesLocal(kind, _)
        | StateChange::Ends(kind, _)
        | StateChange::EndsAll(kind) => Some(*kind),
        _ => None,
    }
}

/// Whether a time zone is that of instants.
pub(crate) fn is_utc(zone: &str) -> bool {
    ["+00:00", "-00:00", "UTC", "Etc/UTC", "GMT"].iter().any(|utc| zone.eq_ignore_ascii_case(utc))
}

/// Whether a text says nothing of the session: there is nothing to [follow](Tracking::follow), unless the server has news.
pub(crate) fn is_plain(outline: &Outline) -> bool {
    outline.is_known()
        && outline.transaction().is_none()
        && outline.state().is_empty()
        && outline.meaning().iter().next().is_none()
}

/// Whether a statement changes what texts mean that were prepared before it, as far as the cache does not know by itself: it is
/// keyed by the database, and the server finds out about temporary tables.
pub(crate) fn changes_meaning(outline: &Outline, reports: bool) -> bool {
    let known = |meaning| match meaning {
        Meaning::TemporaryTables => true,
        Meaning::Database | Meaning::SqlMode | Meaning::CharacterSet => reports && outline.is_known(),
        _ => false,
    };
    outline.meaning().iter().any(|meaning| !known(meaning))
}

#[cfg(test)]
mod tests {
    use dockline_core::statement::Dialect;

    use super::*;

    fn of(sql: &str) -> Outline {
        Outline::of(sql, Dialect::MARIADB.with_version(101_100))
    }

    fn silent(autocommit: bool) -> Tracking {
        let mut tracking = Tracking::new(autocommit);
        tracking.begin("app", "", "+00:00");
        tracking
    }

    #[test]
    fn strings_are_taken_from_behind_their_lengths() {
        let long = "x".repeat(300);
        let bytes = [b"\x02ab\0", &[0xfc, 44, 1][..], long.as_bytes(), b"\x05cut"].concat();
        let mut rest = &bytes[..];
        assert_eq!(take(&mut rest), Some(&b"ab"[..]));
        assert_eq!(take(&mut rest), Some(&b""[..]));
        assert_eq!(take(&mut rest), Some(long.as_bytes()));
        assert_eq!(take(&mut rest), None, "it ends in the middle");
        assert_eq!(take(&mut &[0xfd, 1, 0, 0, b'a'][..]), None, "no name of a variable is as long");
        assert_eq!(take(&mut &b""[..]), None);
    }

    #[test]
    fn with_autocommit_off_rows_leave_a_doubt() {
        let mut tracking = silent(true);
        tracking.set_reports(true);
        tracking.doubts();
        assert!(!tracking.in_transaction());
        tracking.autocommit = false;
        tracking.doubts();
        assert!(tracking.in_transaction());
        tracking.follow(&of("SET @x = 1"), News::default(), false);
        assert!(tracking.in_transaction());
        tracking.follow(&of("COMMIT"), News::default(), false);
        assert!(!tracking.in_transaction());
    }

    #[test]
    fn without_news_the_texts_say_where_a_transaction_stands() {
        for (texts, state) in [
            (&["BEGIN"][..], TransactionState::Open),
            (&["/* app */ start transaction"], TransactionState::Open),
            (&["BEGIN", "INSERT INTO t VALUES (1)", "COMMIT"], TransactionState::None),
            (&["BEGIN", "SAVEPOINT a", "ROLLBACK TO a"], TransactionState::Open),
            (&["BEGIN", "ROLLBACK AND CHAIN"], TransactionState::Open),
            (&["BEGIN", "CREATE TABLE t (n int)"], TransactionState::None),
            (&["BEGIN", "CREATE TEMPORARY TABLE t (n int)"], TransactionState::Open),
            (&["CALL p()"], TransactionState::Unknown),
            (&["CALL p()", "ROLLBACK"], TransactionState::None),
            (&["XA START 'x'"], TransactionState::Open),
            (&["XA START 'x'", "XA END 'x'", "XA PREPARE 'x'"], TransactionState::None),
            (&["SET autocommit=0", "SELECT 1"], TransactionState::Unknown),
            (&["SET autocommit=0", "SELECT 1", "SET autocommit=1"], TransactionState::None),
            (&["SELECT 1"], TransactionState::None),
        ] {
            let mut tracking = silent(true);
            texts.iter().for_each(|sql| tracking.follow(&of(sql), News::default(), false));
            assert_eq!(tracking.transaction(), state, "{texts:?}");
        }
    }

    #[test]
    fn state_is_learned_and_unlearned() {
        for (texts, held) in [
            (&["SELECT GET_LOCK('a', 1)"][..], r#"the lock "a""#),
            (&["SELECT GET_LOCK('a', 1)", "SELECT RELEASE_LOCK('a')"], "nothing"),
            (&["SELECT GET_LOCK('a', 1)", "SELECT GET_LOCK('b', 1)", "DO RELEASE_ALL_LOCKS()"], "nothing"),
            (&["CREATE TEMPORARY TABLE t (n int)"], r#"the temporary table "t""#),
            (&["CREATE TEMPORARY TABLE t (n int)", "DROP TEMPORARY TABLE t"], "nothing"),
            (&["PREPARE s FROM 'SELECT 1'", "DEALLOCATE PREPARE s"], "nothing"),
            (&["HANDLER t OPEN", "HANDLER t CLOSE"], "nothing"),
            (&["LOCK TABLES t READ", "UNLOCK TABLES"], "nothing"),
            (&["FLUSH TABLES WITH READ LOCK", "UNLOCK TABLES"], "nothing"),
            (&["BACKUP STAGE START", "BACKUP STAGE END"], "nothing"),
            (&["SET ROLE NONE"], "the role"),
            (&["SET ROLE r", "SET ROLE DEFAULT"], "nothing"),
            (&["SET NAMES utf8mb4"], "nothing"),
            (&["UPDATE seq SET n = LAST_INSERT_ID(n + 1)"], "nothing"),
            (&["SELECT @a := 1"], r#"the variable "@a""#),
            (&["SELECT 1 INTO @a"], r#"the variable "@a""#),
        ] {
            let mut tracking = silent(true);
            tracking.set_reports(true);
            texts.iter().for_each(|sql| tracking.follow(&of(sql), News { state: true, ..News::default() }, false));
            assert_eq!(tracking.state().to_string(), held, "{texts:?}");
        }
        let mut tracking = silent(true);
        tracking.follow(&of("CALL p()"), News { state: true, ..News::default() }, false);
        assert!(tracking.state().holds(StateKind::Unknown, ""));
    }

    #[test]
    fn what_changes_the_meaning_of_texts() {
        for sql in ["SET ROLE r", "SET ROLE NONE"] {
            assert!(changes_meaning(&of(sql), true), "{sql}");
        }
        for sql in ["SELECT 1", "USE b", "SET sql_mode = ''", "CREATE TEMPORARY TABLE t (n int)"] {
            assert!(!changes_meaning(&of(sql), true), "{sql}");
        }
        assert!(changes_meaning(&of("USE b"), false) && changes_meaning(&of("SET sql_mode = ''"), false));
    }
}
