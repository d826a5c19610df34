//! A backend that plays a script: for what the core does when a driver fails in ways that SQLite never does.

use std::any::{Any, type_name};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use dockline::backend::{
    Backend, Cancel, Engine, Health, Outcome, ParamRows, Rest, RowSink, Session, SessionState, StateKind,
    TransactionOptions, TransactionState,
};
use dockline::statement::Dialect;
use dockline::{Connections, Databases, Error, ErrorKind, Result, Settings, Value};

/// What a statement does, or the beginning or the end of a transaction. One that is not in the script succeeds.
pub enum Act {
    Succeed,
    Fail(Error),
    /// It fails, and with it the transaction is over.
    FailAndEnd(Error),
    Panic,
    /// A result of one row, of which the rest is left unread.
    Unread,
}

/// The other end of the backend.
pub struct Script {
    pub acts: Mutex<VecDeque<Act>>,
    pub usable: AtomicBool,
    pub connects: AtomicBool,
    pub close_panics: AtomicBool,
    /// Runs when the next connection is closed, and may wait.
    pub at_close: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    pub in_transaction: AtomicBool,
    pub has_state: AtomicBool,
    /// The last call has rolled a transaction back.
    pub rolled_back: AtomicBool,
    /// How often statements reached the driver.
    pub statements: AtomicUsize,
    /// How often `is_usable` was asked.
    pub checks: AtomicUsize,
    pub closed: AtomicUsize,
}

impl Script {
    /// A registry whose alias default plays a script.
    pub fn connections(change: impl FnOnce(Settings) -> Settings) -> (Connections, Arc<Self>) {
        let script = Arc::new(Self {
            acts: Mutex::default(),
            usable: AtomicBool::new(true),
            connects: AtomicBool::new(true),
            close_panics: AtomicBool::new(false),
            at_close: Mutex::default(),
            in_transaction: AtomicBool::new(false),
            has_state: AtomicBool::new(false),
            rolled_back: AtomicBool::new(false),
            statements: AtomicUsize::new(0),
            checks: AtomicUsize::new(0),
            closed: AtomicUsize::new(0),
        });
        let settings = change(Settings::new().engine("scripted"));
        let registry = Connections::builder()
            .engine(Scripted(Arc::clone(&script)))
            .build(Databases::new().with("default", settings))
            .expect("a registry");
        (Connections::from(registry), script)
    }

    pub fn next(&self, act: Act) {
        self.acts.lock().unwrap().push_back(act);
    }

    fn act(&self) -> Result<Rest> {
        self.statements.fetch_add(1, Ordering::SeqCst);
        self.rolled_back.store(false, Ordering::SeqCst);
        let act = self.acts.lock().unwrap().pop_front();
        match act {
            None | Some(Act::Succeed) => Ok(Rest::Drained),
            Some(Act::Unread) => Ok(Rest::Unread),
            Some(Act::Fail(error)) => Err(error),
            Some(Act::FailAndEnd(error)) => {
                self.in_transaction.store(false, Ordering::SeqCst);
                self.rolled_back.store(true, Ordering::SeqCst);
                Err(error)
            }
            Some(Act::Panic) => panic!("the driver panics, as the script says"),
        }
    }
}

#[derive(Clone)]
struct Scripted(Arc<Script>);

impl Engine for Scripted {
    fn schemes(&self) -> &'static [&'static str] {
        &["scripted"]
    }

    fn open(&self, _: &str, _: &Settings) -> Result<Box<dyn Backend>> {
        Ok(Box::new(self.clone()))
    }
}

impl Backend for Scripted {
    fn vendor(&self) -> &'static str {
        "scripted"
    }

    fn connect(&self) -> Result<Box<dyn Session>> {
        if self.0.connects.load(Ordering::SeqCst) {
            Ok(Box::new(self.clone()))
        } else {
            Err(Error::new(ErrorKind::Operational, "cannot connect, as the script says").with_code("2003"))
        }
    }
}

impl Session for Scripted {
    fn execute(&mut self, _: &str, _: &[Value]) -> Result<u64> {
        self.0.act().map(|_| 1)
    }

    fn query(&mut self, _: &str, _: &[Value], sink: &mut dyn RowSink) -> Result<Rest> {
        let rest = self.0.act()?;
        sink.columns(&Arc::from(["n".to_owned()]));
        let _ = sink.row(vec![Value::Int(1)]);
        Ok(rest)
    }

    fn execute_many(&mut self, _: &str, rows: &mut dyn ParamRows) -> Result<u64> {
        let mut count = 0;
        while rows.next_row().is_some() {
            self.0.act()?;
            count += 1;
        }
        Ok(count)
    }

    fn dialect(&self) -> Dialect {
        Dialect::SQLITE
    }

    fn set_autocommit(&mut self, _: bool) -> Result<()> {
        self.0.act().map(drop)
    }

    fn run_own(&mut self, _: &str) -> Result<()> {
        self.0.act().map(drop)
    }

    fn begin(&mut self, _: TransactionOptions) -> Result<()> {
        self.0.act().map(drop)
    }

    fn end(&mut self, _: bool) -> Result<()> {
        self.0.act().map(drop)
    }

    fn commit(&mut self) -> Result<()> {
        self.0.act().map(drop)
    }

    fn rollback(&mut self) -> Result<()> {
        self.0.act().map(drop)
    }

    fn begins_lazily(&self) -> bool {
        false
    }

    fn outcome(&self) -> Outcome {
        let open = self.0.in_transaction.load(Ordering::SeqCst);
        Outcome {
            transaction: if open { TransactionState::Open } else { TransactionState::None },
            rolled_back: self.0.rolled_back.load(Ordering::SeqCst),
            committed: false,
        }
    }

    fn is_usable(&mut self) -> bool {
        self.0.checks.fetch_add(1, Ordering::SeqCst);
        self.0.usable.load(Ordering::SeqCst)
    }

    fn probe(&mut self) -> Health {
        Health::Alive
    }

    fn can_probe(&self) -> bool {
        true
    }

    fn state(&mut self) -> SessionState {
        let mut state = SessionState::default();
        if self.0.has_state.load(Ordering::SeqCst) {
            state.hold(StateKind::TemporaryTable, "scratch");
        }
        state
    }

    fn server_connection_id(&self) -> Option<u64> {
        None
    }

    fn forget_cancel(&mut self) {}

    fn canceller(&self) -> Option<Arc<dyn Cancel>> {
        None
    }

    fn native(&mut self) -> Result<&mut dyn Any> {
        Ok(self)
    }

    fn after_native(&mut self) {}

    fn native_type(&self) -> &'static str {
        type_name::<Self>()
    }

    fn abandon(self: Box<Self>) {}

    fn close(self: Box<Self>) -> Result<()> {
        let at_close = self.0.at_close.lock().unwrap().take();
        if let Some(at_close) = at_close {
            at_close();
        }
        self.0.closed.fetch_add(1, Ordering::SeqCst);
        assert!(!self.0.close_panics.load(Ordering::SeqCst), "closing panics, as the script says");
        Ok(())
    }
}
