//! Plays a sequence on a server, and holds each step against the model.

use std::ops::ControlFlow;

use dockline::{Atomic, AtomicBlock, Connection, Connections, Error, Result, Settings, params};
use dockline_tests::servers::{Admin, FreshDatabase, Kind, Server};

use super::model::{May, Model};
use super::steps::{Place, Step};
use crate::opened::settings;

/// A server with two places, a role, and the tables.
pub(super) struct Stage<'server> {
    kind: Kind,
    _databases: Vec<FreshDatabase<'server>>,
    names: [String; 2],
    settings: Settings,
    admin: Admin,
}

/// So many rows a result has that is left at the first.
const MANY: usize = 1_500;
/// So many rows are written at once.
const ROWS: i64 = 20;

impl<'server> Stage<'server> {
    pub(super) fn new(server: &'server Server) -> Self {
        let kind = server.kind();
        let mut databases = vec![server.database()];
        let mut admin = databases[0].admin();
        let names = if kind.is_postgres() {
            ["a".to_owned(), "b".to_owned()]
        } else {
            databases.push(server.database());
            [databases[0].name().to_owned(), databases[1].name().to_owned()]
        };
        let mut run = |sql: String| admin.execute(&sql);
        run("CREATE ROLE reader".to_owned());
        run(format!("GRANT reader TO {}", if kind.is_postgres() { "app" } else { "'app'@'%'" }));
        for (name, number) in names.iter().zip([1, 2]) {
            if kind.is_postgres() {
                run(format!("CREATE SCHEMA {name}"));
            }
            run(format!("CREATE TABLE {name}.who (n INTEGER)"));
            run(format!("INSERT INTO {name}.who VALUES ({number})"));
            run(format!("CREATE TABLE {name}.entry (id INTEGER PRIMARY KEY, v BIGINT)"));
            run(format!("CREATE TABLE {name}.many (n INTEGER)"));
            let all: Vec<String> = (1..=MANY).map(|n| format!("({n})")).collect();
            run(format!("INSERT INTO {name}.many VALUES {}", all.join(",")));
            if kind.is_postgres() {
                run(format!("GRANT USAGE ON SCHEMA {name} TO PUBLIC"));
                run(format!("GRANT ALL ON ALL TABLES IN SCHEMA {name} TO PUBLIC"));
            }
        }
        if kind.is_postgres() {
            run(format!("ALTER DATABASE {} SET search_path = a", databases[0].name()));
        }
        let settings = settings(&databases[0].url()).conn_max_age(None);
        Self { kind, _databases: databases, names, settings, admin }
    }

    /// What a sequence did that the model does not allow.
    pub(super) fn play(&mut self, steps: &[Step]) -> std::result::Result<(), String> {
        for name in &self.names {
            self.admin.execute(&format!("DELETE FROM {name}.entry"));
        }
        let connections = dockline_tests::connections(self.settings.clone());
        let db = connections.get("default").expect("the alias");
        let mut play = Play {
            stage: self,
            db,
            _connections: connections,
            model: Model::new(Kind::Postgres),
            blocks: Vec::new(),
            next: 0,
        };
        play.model = Model::new(play.stage.kind);
        for (at, step) in steps.iter().enumerate() {
            play.step(*step).map_err(|fault| format!("step {}, {step:?}: {fault}; {:?}", at + 1, play.model))?;
        }
        play.end().map_err(|fault| format!("at the end: {fault}; {:?}", play.model))
    }
}

struct Play<'a, 'server> {
    stage: &'a mut Stage<'server>,
    db: Connection,
    _connections: Connections,
    model: Model,
    blocks: Vec<AtomicBlock>,
    next: i64,
}

type Fault = std::result::Result<(), String>;

impl Play<'_, '_> {
    fn is_postgres(&self) -> bool {
        self.stage.kind.is_postgres()
    }

    fn name(&self, place: Place) -> &str {
        &self.stage.names[usize::from(place == Place::B)]
    }

    fn step(&mut self, step: Step) -> Fault {
        match step {
            Step::Use(place) => {
                let word = if self.is_postgres() { "SET search_path =" } else { "USE" };
                let sql = format!("{word} {}", self.name(place));
                self.change(&[&sql], |model| model.use_place(place))
            }
            Step::UseLocally(_) if !self.model.in_block() => Ok(()),
            Step::UseLocally(place) => {
                let sql = format!("SET LOCAL search_path = {}", self.name(place));
                self.change(&[&sql], |model| model.use_locally(place))
            }
            Step::Shadow if self.model.is_shadowed() => Ok(()),
            Step::Shadow if self.is_postgres() => {
                let texts = ["CREATE TEMPORARY TABLE who AS SELECT 3 AS n", "GRANT ALL ON who TO PUBLIC"];
                self.change(&texts, |model| model.shadow(true))
            }
            Step::Shadow => {
                let sql = "CREATE TEMPORARY TABLE who ENGINE=MEMORY AS SELECT 3 AS n";
                self.change(&[sql], |model| model.shadow(true))
            }
            Step::Unshadow if !self.model.may_unshadow() => Ok(()),
            Step::Unshadow => {
                let sql = if self.is_postgres() { "DROP TABLE pg_temp.who" } else { "DROP TEMPORARY TABLE who" };
                self.change(&[sql], |model| model.shadow(false))
            }
            Step::Role(on) => {
                let sql = match (on, self.is_postgres()) {
                    (true, _) => "SET ROLE reader",
                    (false, true) => "RESET ROLE",
                    (false, false) => "SET ROLE NONE",
                };
                self.change(&[sql], |model| model.set_role(on))
            }
            Step::Set(value) => {
                let sql =
                    if self.is_postgres() { format!("SET app.x = '{value}'") } else { format!("SET @x = {value}") };
                self.change(&[&sql], |model| model.set(value))
            }
            Step::Lock | Step::Unlock => self.lock(step == Step::Lock),
            Step::Read => self.reads("SELECT n FROM who", Model::shown),
            Step::ReadSome => self.reads("SELECT n FROM who WHERE n > ?", Model::shown),
            Step::ReadRole if self.is_postgres() => {
                self.reads("SELECT CASE WHEN current_user = 'reader' THEN 1 ELSE 0 END", |model| model.held.role.into())
            }
            Step::ReadRole => {
                let sql = "SELECT COALESCE(CURRENT_ROLE(), 'NONE') LIKE '%reader%'";
                self.reads(sql, |model| model.held.role.into())
            }
            Step::ReadLock if self.is_postgres() => {
                let sql = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()";
                self.reads(sql, |model| (model.held.locks > 0).into())
            }
            Step::ReadLock => {
                self.reads("SELECT IS_USED_LOCK('sequence') <=> CONNECTION_ID()", |model| (model.held.locks > 0).into())
            }
            Step::ReadSetting => {
                let sql = if self.is_postgres() {
                    "SELECT COALESCE(NULLIF(current_setting('app.x', true), ''), '0')::bigint"
                } else {
                    "SELECT CAST(COALESCE(@x, 0) AS SIGNED)"
                };
                self.reads(sql, |model| model.held.setting.unwrap_or(0).into())
            }
            Step::CountRows => self.reads("SELECT count(*) FROM entry", Model::count_rows),
            Step::Write => {
                let value = self.number();
                let written = self.db.execute("INSERT INTO entry VALUES (?, ?)", params![value, value]);
                self.judge(written.map(|_| true), |model| {
                    model.write(value);
                    true
                })
            }
            Step::WriteRows { leaves } => self.write_rows(leaves),
            Step::Leave => {
                let left = self
                    .db
                    .query_each("SELECT n FROM many", (), |row| Ok(ControlFlow::Break(row.get::<i64, _>(0)? > 0)));
                self.judge(left, |_| Some(true))
            }
            Step::Fail => self.fail(),
            Step::Kill => self.kill(),
            Step::Begin => self.begin(),
            Step::Commit => self.commit(),
            Step::RollBack => {
                let Some(block) = self.blocks.pop() else { return Ok(()) };
                let ended = block.rollback();
                self.model.rolled_back();
                ended.map_err(|error| format!("a rollback: {error:?}"))
            }
            Step::Close if self.model.in_block() => Ok(()),
            Step::Close => {
                self.db.close();
                self.model.close();
                Ok(())
            }
        }
    }

    /// A result, held against the model, which learns of it.
    fn judge<T: PartialEq + std::fmt::Debug>(
        &mut self,
        result: Result<T>,
        learn: impl FnOnce(&mut Model) -> T,
    ) -> Fault {
        let may = self.model.statement();
        match result {
            Ok(got) => {
                if may == May::Fail {
                    return Err(format!("it succeeded, with {got:?}"));
                }
                self.model.succeeded();
                let wanted = learn(&mut self.model);
                if got == wanted { Ok(()) } else { Err(format!("it gave {got:?}, and {wanted:?} is right")) }
            }
            Err(error) => {
                self.model.refused();
                if may == May::Succeed { Err(format!("it failed: {error:?}")) } else { self.says_enough(&error) }
            }
        }
    }

    /// After a kill an error says that the connection is lost, and that nothing has run, or that nothing of it is kept.
    fn says_enough(&self, error: &Error) -> Fault {
        let says = error.is_disconnect() || error.is_work_lost();
        if self.model.is_dead() && (!says || (error.may_have_executed() && !error.is_work_lost())) {
            return Err(format!("it does not say enough: {error:?}"));
        }
        Ok(())
    }

    fn change(&mut self, texts: &[&str], learn: impl FnOnce(&mut Model)) -> Fault {
        let result = texts.iter().try_for_each(|sql| self.db.execute(sql, ()).map(drop));
        self.judge(result, learn)
    }

    fn reads(&mut self, sql: &str, wanted: impl FnOnce(&Model) -> i64) -> Fault {
        let result = if sql.contains('?') {
            self.db.query_value::<i64>(sql, params![0])
        } else {
            self.db.query_value::<i64>(sql, ())
        };
        self.judge(result, |model| wanted(model))
    }

    fn number(&mut self) -> i64 {
        self.next += 1;
        self.next * 100
    }

    fn lock(&mut self, on: bool) -> Fault {
        if !on && self.model.held.locks == 0 {
            return Ok(());
        }
        let sql = match (on, self.is_postgres()) {
            (true, true) => "SELECT pg_advisory_lock(7)",
            (false, true) => "SELECT pg_advisory_unlock(7)",
            (true, false) => "SELECT GET_LOCK('sequence', 10)",
            (false, false) => "SELECT RELEASE_LOCK('sequence')",
        };
        let result = self.db.query(sql, ()).map(drop);
        self.judge(result, |model| model.lock(on))
    }

    /// All rows are written, also if the result is left at the first. MySQL gives none back.
    fn write_rows(&mut self, leaves: bool) -> Fault {
        let value = self.number();
        let sql = format!("INSERT INTO entry SELECT {value} + n, {value} FROM many WHERE n <= {ROWS}");
        let write = |model: &mut Model| (0..ROWS).for_each(|_| model.write(value));
        if self.stage.kind == Kind::Mysql {
            let result = self.db.execute(&sql, ()).map(|rows| i64::try_from(rows).expect("a number"));
            return self.judge(result, |model| {
                write(model);
                ROWS
            });
        }
        let mut seen = 0;
        let result = self.db.query_each(&format!("{sql} RETURNING v"), (), |_| {
            seen += 1;
            Ok(if leaves { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        });
        self.judge(result.map(|_| seen), |model| {
            write(model);
            if leaves { 1 } else { ROWS }
        })
    }

    fn fail(&mut self) -> Fault {
        let may = self.model.statement();
        match self.db.execute("INSERT INTO who VALUES ('no number', 1, 2)", ()) {
            Ok(_) => Err("a statement that is wrong succeeded".to_owned()),
            Err(error) if self.model.is_dead() => {
                if error.code().is_some_and(|code| ["42601", "1136"].contains(&&*code)) {
                    // It is another connection by now.
                    if may == May::Fail {
                        return Err(format!("it reached the server: {error:?}"));
                    }
                    self.model.succeeded();
                    self.model.refused();
                    return Ok(());
                }
                if may == May::Succeed { Err(format!("it was not sent: {error:?}")) } else { self.says_enough(&error) }
            }
            Err(_) => {
                self.model.refused();
                Ok(())
            }
        }
    }

    fn kill(&mut self) -> Fault {
        let Some(id) = self.db.server_connection_id() else { return Ok(()) };
        if self.model.is_dead() {
            return Ok(());
        }
        self.stage.admin.kill_and_wait(id);
        if self.is_postgres() {
            // The process closes its socket when it ends, after it has left the list.
            let path = format!("/proc/{id}/stat");
            let runs = || std::fs::read_to_string(&path).is_ok_and(|stat| !stat.contains(") Z "));
            dockline_tests::wait_until("the process has ended", || !runs());
        }
        self.model.kill();
        Ok(())
    }

    fn begin(&mut self) -> Fault {
        let may = match (self.model.statement(), self.model.in_block()) {
            // What a block that has not begun holds is found out by its first statement.
            (May::Fail, false) => May::Either,
            (May::Fail, true) if self.model.is_dead() => May::Either,
            (may, _) => may,
        };
        match self.db.begin_atomic(Atomic::new()) {
            Ok(_) if may == May::Fail => Err("a block begins where nothing runs".to_owned()),
            Ok(block) => {
                self.blocks.push(block);
                self.model.began();
                Ok(())
            }
            Err(error) if may == May::Succeed => Err(format!("a block does not begin: {error:?}")),
            Err(error) => {
                self.model.refused();
                self.says_enough(&error)
            }
        }
    }

    fn commit(&mut self) -> Fault {
        let Some(block) = self.blocks.pop() else { return Ok(()) };
        match (block.commit(), self.model.commit()) {
            (Ok(()), May::Fail) => Err("a commit succeeded".to_owned()),
            (Err(error), May::Succeed) => Err(format!("a commit failed: {error:?}")),
            (Ok(()), _) => {
                self.model.committed();
                Ok(())
            }
            (Err(error), _) => {
                self.model.rolled_back();
                if error.is_commit_unknown() { Err(format!("nobody knows, it says: {error:?}")) } else { Ok(()) }
            }
        }
    }

    /// What is open is rolled back, and what is stored is looked at from outside.
    fn end(&mut self) -> Fault {
        while let Some(block) = self.blocks.pop() {
            let _ = block.rollback();
            self.model.rolled_back();
        }
        self.db.close();
        for place in Place::ALL {
            let sql = format!("SELECT count(*) FROM {}.entry", self.name(place));
            let stored = self.stage.admin.value(&sql);
            let wanted = self.model.rows.iter().filter(|(at, _)| *at == place).count();
            if stored.as_deref() != Some(&*wanted.to_string()) {
                return Err(format!("{stored:?} rows are stored at {place:?}, and {wanted} are right"));
            }
        }
        Ok(())
    }
}
