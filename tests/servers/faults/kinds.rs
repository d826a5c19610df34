//! What becomes of each kind of statement when it is struck while it runs, or when its result is left early.

use std::fmt::Write;
use std::ops::ControlFlow;

use dockline::{Connection, Error, params};
use dockline_tests::servers::{Kind, Server};

use crate::opened::Opened;

use Situation::{Interrupted, LeftEarly, LeftInBlock, Lost, LostInBlock};
use Statement::{Call, Ddl, Function, Read, Rows, Write as Change};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Statement {
    Read,
    Write,
    /// It writes, and gives rows.
    Rows,
    Call,
    /// A query with a function that writes.
    Function,
    Ddl,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Situation {
    /// The connection is lost while it runs.
    Lost,
    /// The same inside a block.
    LostInBlock,
    /// An administrator cancels it.
    Interrupted,
    /// The caller takes one row.
    LeftEarly,
    LeftInBlock,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Gone,
    WorkLost,
    /// As above, but the server has committed what was before it.
    WorkLostBehindCommit,
    NotRun,
    /// What it had committed before it was cancelled stays.
    HalfWay,
    /// The row that was taken, and nothing to store.
    Row,
    /// The row that was taken, and all that the statement writes.
    All,
}

const STATEMENTS: [Statement; 6] = [Read, Change, Rows, Call, Function, Ddl];
const SITUATIONS: [Situation; 5] = [Lost, LostInBlock, Interrupted, LeftEarly, LeftInBlock];

/// `None`: it gives no rows.
fn expected(statement: Statement, situation: Situation) -> Option<Outcome> {
    Some(match (situation, statement) {
        (Lost, _) => Outcome::Gone,
        (LostInBlock, Ddl) => Outcome::WorkLostBehindCommit,
        (LostInBlock, _) => Outcome::WorkLost,
        (Interrupted, Call) => Outcome::HalfWay,
        (Interrupted, _) => Outcome::NotRun,
        (LeftEarly | LeftInBlock, Change | Ddl) => return None,
        (LeftEarly | LeftInBlock, Read) => Outcome::Row,
        (LeftEarly | LeftInBlock, Rows | Call | Function) => Outcome::All,
    })
}

/// The second table of the page.
pub(super) fn table() -> String {
    let mut text = String::from(
        "\n## Kinds of statements\n\n\
         What a statement does decides what may become of it. *Cancelled* is `KILL QUERY`, `pg_cancel_backend` or a limit of the server's; \
         a procedure\nthat commits on its way keeps what it has committed. A result that is left early is left only if the statement \
         is known to\nread alone; everything else runs to its end.\n\n|",
    );
    for situation in SITUATIONS {
        let title = match situation {
            Lost => "the connection is lost while it runs",
            LostInBlock => "the same in a transaction",
            Interrupted => "cancelled while it runs",
            LeftEarly => "left early",
            LeftInBlock => "left early in a transaction",
        };
        let _ = write!(text, " | {title}");
    }
    text.push_str(" |\n|---|---|---|---|---|---|\n");
    for statement in STATEMENTS {
        let title = match statement {
            Read => "read",
            Change => "write",
            Rows => "write with rows (`RETURNING`)",
            Call => "`CALL`",
            Function => "query with a function that writes",
            Ddl => "DDL",
        };
        let _ = write!(text, "| {title}");
        for situation in SITUATIONS {
            let cell = match expected(statement, situation) {
                None => "—",
                Some(Outcome::Gone) => "`is_disconnect`, `may_have_executed`",
                Some(Outcome::WorkLost) => "`is_work_lost`, nothing is kept",
                Some(Outcome::WorkLostBehindCommit) => "`is_work_lost`; MySQL and MariaDB commit what was before it",
                Some(Outcome::NotRun) => "`is_cancelled`, not run",
                Some(Outcome::HalfWay) => "`is_cancelled`, `may_have_executed`",
                Some(Outcome::Row) => "success",
                Some(Outcome::All) => "success, and all of it is done",
            };
            let _ = write!(text, " | {cell}");
        }
        text.push_str(" |\n");
    }
    text
}

/// How many rows `many` has.
const MANY: i64 = 1_500;
/// It takes minutes.
const SLOW: &str = "SELECT count(*) FROM many a, many b, many c WHERE a.n + b.n > c.n";

struct Stage<'server> {
    kind: Kind,
    opened: Opened<'server>,
    /// It sees what is stored.
    witness: Connection,
}

pub(super) fn play(server: &Server) {
    let stage = Stage::new(server);
    for statement in STATEMENTS {
        for situation in SITUATIONS {
            if statement == Rows && server.kind() == Kind::Mysql {
                // It has no RETURNING.
                continue;
            }
            if let Some(outcome) = expected(statement, situation) {
                stage.play(statement, situation, outcome);
            }
        }
    }
}

impl<'server> Stage<'server> {
    fn new(server: &'server Server) -> Self {
        let opened = Opened::new(server);
        let url = opened.database.url();
        opened.connections.add("witness", crate::opened::settings(&url)).unwrap();
        let witness = opened.connections.get("witness").unwrap();
        let kind = server.kind();
        if !kind.is_postgres() {
            server.admin().execute("SET GLOBAL log_bin_trust_function_creators = 1");
        }
        let all: Vec<String> = (1..=MANY).map(|n| format!("({n})")).collect();
        let many = format!("INSERT INTO many VALUES {}", all.join(","));
        let tables = ["CREATE TABLE t (n BIGINT)", "CREATE TABLE many (n INTEGER)", &many];
        for sql in tables.iter().chain(if kind.is_postgres() { POSTGRES } else { MYSQLS }) {
            witness.execute(sql, ()).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        }
        Self { kind, opened, witness }
    }

    /// A statement of that kind that takes minutes.
    fn slow(&self, statement: Statement, inside: bool) -> String {
        match statement {
            Read => SLOW.to_owned(),
            Change => format!("INSERT INTO t {SLOW}"),
            Rows => format!("INSERT INTO t {SLOW} RETURNING n"),
            Call if inside && self.kind.is_postgres() => "CALL slow_inside()".to_owned(),
            Call => "CALL slow()".to_owned(),
            Function => "SELECT put_slowly(1)".to_owned(),
            Ddl => format!("CREATE TABLE made AS SELECT n FROM ({}) s", SLOW.replace("count(*)", "count(*) AS n")),
        }
    }

    /// One that gives rows, and how many it stores.
    fn large(&self, statement: Statement) -> (&'static str, i64) {
        match statement {
            Rows => ("INSERT INTO t SELECT n FROM many RETURNING n", MANY),
            Call if self.kind.is_postgres() => ("CALL put_one(1)", 1),
            Call => ("CALL put_many()", MANY + 1),
            Function => ("SELECT put(n) FROM many", MANY),
            _ => ("SELECT n FROM many", 0),
        }
    }

    fn stored(&self) -> i64 {
        self.witness.query_value("SELECT count(*) FROM t", ()).unwrap()
    }

    fn play(&self, statement: Statement, situation: Situation, outcome: Outcome) {
        let what = format!("{statement:?} {situation:?}");
        self.witness.execute("DELETE FROM t", ()).unwrap();
        self.witness.execute("DROP TABLE IF EXISTS made", ()).unwrap();
        let db = &self.opened.db;
        db.ensure_connection().unwrap();
        let (sql, stores) = self.large(statement);
        let leave = || db.query_each(sql, (), |row| Ok(ControlFlow::Break(row.get::<i64, _>(0)?)));
        let result: Result<(), Error> = match situation {
            Lost | Interrupted => {
                self.struck(statement, situation, || db.query(&self.slow(statement, false), ()).map(drop))
            }
            LostInBlock => db.atomic(|| {
                db.execute("INSERT INTO t VALUES (100)", ())?;
                self.struck(statement, situation, || db.query(&self.slow(statement, true), ()).map(drop))
            }),
            LeftEarly => leave().map(|row| assert!(row.is_some(), "{what}")),
            LeftInBlock => db.atomic(|| {
                db.execute("INSERT INTO t VALUES (?)", params![100])?;
                leave().map(|row| assert!(row.is_some(), "{what}"))
            }),
        };
        self.judge(&what, statement, situation, outcome, &result, stores);
        // Code of the database's own may have left state that nobody knows of.
        if matches!(statement, Call | Function) && result.as_ref().is_err_and(Error::is_disconnect) {
            db.close();
        }
        // The connection is well, or another.
        assert_eq!(db.query_value::<i64>("SELECT 7", ()).unwrap(), 7, "{what}");
    }

    fn judge(
        &self,
        what: &str,
        statement: Statement,
        situation: Situation,
        outcome: Outcome,
        result: &Result<(), Error>,
        stores: i64,
    ) {
        let what = format!("{what}: {result:?}");
        let stored = self.stored();
        let is = |test: fn(&Error) -> bool| result.as_ref().is_err_and(test);
        match outcome {
            Outcome::Gone => {
                let rows = self.witness.query_as::<(i64,)>("SELECT n FROM t", ()).unwrap();
                assert!(is(Error::is_disconnect) && is(Error::may_have_executed), "{what}, {rows:?}");
            }
            Outcome::WorkLost => assert!(is(Error::is_work_lost) && stored == 0, "{what}"),
            Outcome::WorkLostBehindCommit => {
                assert!(is(Error::is_work_lost), "{what}");
                assert_eq!(stored, i64::from(!self.kind.is_postgres()), "{what}");
            }
            Outcome::NotRun => {
                assert!(is(Error::is_cancelled) && !is(Error::may_have_executed), "{what}");
                assert_eq!(stored, 0, "{what}");
            }
            Outcome::HalfWay => {
                assert!(is(Error::is_cancelled) && is(Error::may_have_executed), "{what}");
                assert_eq!(stored, 1, "{what}");
            }
            Outcome::Row | Outcome::All => {
                assert!(result.is_ok(), "{what}");
                let before = i64::from(situation == LeftInBlock);
                assert_eq!(stored, stores + before, "{what}");
            }
        }
        if statement == Ddl {
            assert!(self.witness.execute("CREATE TABLE made (n INTEGER)", ()).is_ok(), "{what}: the table is there");
        }
    }

    /// Strikes when the statement has run for a while.
    fn struck<R>(&self, statement: Statement, situation: Situation, call: impl FnOnce() -> R) -> R {
        let id = self.opened.db.server_connection_id().expect("a connection");
        let runs = if self.kind.is_postgres() {
            format!(
                "SELECT count(*) FROM pg_stat_activity WHERE pid = {id} AND state = 'active' \
                 AND clock_timestamp() - state_change > '50 ms'"
            )
        } else {
            format!(
                "SELECT count(*) FROM information_schema.processlist WHERE id = {id} AND command IN ('Execute', 'Query') \
                 AND (info LIKE '%many a%' OR info LIKE '%slow%')"
            )
        };
        let database = &self.opened.database;
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let mut admin = database.admin();
                admin.wait_until_value(&runs, "1");
                if statement == Call && situation != LostInBlock {
                    // What it commits on its way is there.
                    admin.wait_until_value("SELECT count(*) FROM t", "1");
                }
                match situation {
                    Interrupted => admin.cancel(id),
                    _ => admin.kill_and_wait(id),
                }
            });
            call()
        })
    }
}

const POSTGRES: &[&str] = &[
    "CREATE FUNCTION put(n INTEGER) RETURNS INTEGER LANGUAGE plpgsql AS 'BEGIN INSERT INTO t VALUES (n); RETURN n; END'",
    "CREATE FUNCTION put_slowly(n INTEGER) RETURNS BIGINT LANGUAGE plpgsql AS \
     'BEGIN INSERT INTO t VALUES (n); RETURN (SELECT count(*) FROM many a, many b, many c WHERE a.n + b.n > c.n); END'",
    "CREATE PROCEDURE put_one(INOUT n INTEGER) LANGUAGE plpgsql AS 'BEGIN INSERT INTO t VALUES (n); END'",
    "CREATE PROCEDURE slow() LANGUAGE plpgsql AS \
     'BEGIN INSERT INTO t VALUES (1); COMMIT; PERFORM count(*) FROM many a, many b, many c WHERE a.n + b.n > c.n; END'",
    "CREATE PROCEDURE slow_inside() LANGUAGE plpgsql AS \
     'BEGIN INSERT INTO t VALUES (1); PERFORM count(*) FROM many a, many b, many c WHERE a.n + b.n > c.n; END'",
];

const MYSQLS: &[&str] = &[
    "CREATE FUNCTION put(n INTEGER) RETURNS INTEGER MODIFIES SQL DATA BEGIN INSERT INTO t VALUES (n); RETURN n; END",
    "CREATE FUNCTION put_slowly(n INTEGER) RETURNS BIGINT MODIFIES SQL DATA \
     BEGIN INSERT INTO t VALUES (n); RETURN (SELECT count(*) FROM many a, many b, many c WHERE a.n + b.n > c.n); END",
    "CREATE PROCEDURE put_many() \
     BEGIN INSERT INTO t SELECT n FROM many; SELECT n FROM many; INSERT INTO t VALUES (0); END",
    "CREATE PROCEDURE slow() \
     BEGIN INSERT INTO t VALUES (1); SELECT count(*) INTO @slow FROM many a, many b, many c WHERE a.n + b.n > c.n; END",
];
