//! Tests that are registered for kinds of servers.

use std::sync::mpsc;
use std::time::Duration;

use dockline_tests::servers::{Builder, Kind, Server};
use libtest_mimic::{Failed, Trial};

/// After this long a test counts as hung.
const LIMIT: Duration = Duration::from_secs(180);

/// A test, and which servers it is for: all kinds, and the server that all tests share, unless it says otherwise.
#[derive(Clone)]
pub(crate) struct Case {
    name: &'static str,
    run: fn(&Server),
    kinds: &'static [Kind],
    own: Option<fn(Builder) -> Builder>,
    private: bool,
    unless: Option<fn() -> Result<(), String>>,
}

impl Case {
    pub(crate) fn new(name: &'static str, run: fn(&Server)) -> Self {
        Self { name, run, kinds: Kind::ALL, own: None, private: false, unless: None }
    }

    /// Only for these kinds.
    pub(crate) fn only(mut self, kinds: &'static [Kind]) -> Self {
        self.kinds = kinds;
        self
    }

    /// With a server that this test alone uses, and may stop, pause and configure.
    pub(crate) fn own_server(self) -> Self {
        self.own_server_with(|builder| builder)
    }

    /// With a server of its own that has settings.
    pub(crate) fn own_server_with(mut self, settings: fn(Builder) -> Builder) -> Self {
        self.own = Some(settings);
        self.private()
    }

    /// Not with a server of the environment: the test reads its log, or uses its socket, or starts its own.
    pub(crate) fn private(mut self) -> Self {
        self.private = true;
        self
    }

    /// Skipped where this is an error, which says what is missing.
    pub(crate) fn needs(mut self, available: fn() -> Result<(), String>) -> Self {
        self.unless = Some(available);
        self
    }

    fn trial(&self, module: &str, kind: Kind, missing: Option<&String>) -> Trial {
        let name = format!("{}::{module}::{}", kind.scheme(), self.name);
        if let Some(reason) = missing {
            // PostgreSQL and MariaDB are to be had everywhere.
            if kind == Kind::Mysql {
                return skipped(name, "no MySQL");
            }
            let reason = reason.clone();
            return Trial::test(name, move || Err(Failed::from(reason)));
        }
        if self.private && kind.is_external() {
            return skipped(name, "not with a server of the environment");
        }
        if let Some(Err(reason)) = self.unless.map(|available| available()) {
            return skipped(name, &reason);
        }
        let (case, title) = (self.clone(), name.clone());
        Trial::test(name, move || within_limit(title, move || case.run_on(kind)))
    }

    fn run_on(&self, kind: Kind) {
        match self.own {
            Some(settings) => (self.run)(&settings(Server::builder(kind)).start()),
            None => (self.run)(Server::shared(kind)),
        }
    }
}

/// Makes a case of a function, under the function's name.
macro_rules! case {
    ($function:ident) => {
        crate::case::Case::new(stringify!($function), $function)
    };
}
pub(crate) use case;

/// Registers the cases of each module for each kind of server.
pub(crate) fn trials<const N: usize>(modules: [(&'static str, Vec<Case>); N]) -> Vec<Trial> {
    let mut trials = Vec::new();
    for kind in Kind::ALL {
        let missing = kind.available().err();
        if let Some(reason) = &missing {
            let outcome = if *kind == Kind::Mysql { "are skipped" } else { "fail" };
            eprintln!("the tests with {} {outcome}: {reason}", kind.name());
        }
        for (module, cases) in &modules {
            let cases = cases.iter().filter(|case| case.kinds.contains(kind));
            trials.extend(cases.map(|case| case.trial(module, *kind, missing.as_ref())));
        }
    }
    trials
}

fn skipped(name: String, reason: &str) -> Trial {
    Trial::test(name, || Ok(())).with_kind(format!("skipped: {reason}")).with_ignored_flag(true)
}

/// Runs a test on a thread of its own, so that thread-local values go when it ends, and gives up on it when it hangs.
fn within_limit(name: String, test: impl FnOnce() + Send + 'static) -> Result<(), Failed> {
    let (done, is_done) = mpsc::channel();
    let run = move || {
        // Sent when it is dropped too, as in a panic.
        let _done: mpsc::Sender<()> = done;
        test();
    };
    let thread = std::thread::Builder::new().name(name).spawn(run).expect("a thread");
    if is_done.recv_timeout(LIMIT) == Err(mpsc::RecvTimeoutError::Timeout) {
        return Err(format!("has not ended after {} s", LIMIT.as_secs()).into());
    }
    thread.join().map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        Failed::from(text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked").to_owned())
    })
}
