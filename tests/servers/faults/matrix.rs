//! What is expected, and the page that says so.

use std::fmt::Write;
use std::time::Duration;

use Fault::{Crash, Cut, Deaf, Demoted, Fin, IdleLimit, Kill, Password, Reset, Restart, Silence, TooMany};
use Moment::{AtCap, Between, Committing, Connecting, Inside, LeftEarly, Running, Transaction};

use super::kinds;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Kill,
    IdleLimit,
    Restart,
    Crash,
    Reset,
    Fin,
    Silence,
    Deaf,
    Cut,
    TooMany,
    Demoted,
    Password,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// Idle between two requests.
    Between,
    /// Idle inside a request.
    Inside,
    /// Idle inside a transaction.
    Transaction,
    /// While a statement runs.
    Running,
    /// Among the rows of a large result, which is left there.
    LeftEarly,
    Committing,
    Connecting,
    /// While the thread waits for the only connection that there may be, which another thread has.
    AtCap,
}

/// What the caller gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The statement succeeds.
    Success,
    /// A disconnect error, outside a transaction.
    Lost,
    /// The rows that were taken, or a disconnect error, if Dockline met the fault when it let go of the rest.
    Left,
    /// A disconnect error that says that the transaction is lost.
    WorkLost,
    /// A disconnect error that says that nobody knows whether the commit took effect.
    CommitUnknown,
    /// No connection can be made.
    Unreachable,
    /// The server has no connection left.
    Exhausted,
    /// The server takes no writes.
    ReadOnly,
    /// The server refuses the user.
    Denied,
}

/// What is known of the statement's effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ran {
    Once,
    No,
    /// It may have, and the error says so. Never twice.
    Perhaps,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Cell {
    pub(super) outcome: Outcome,
    pub(super) ran: Ran,
    pub(super) within: Duration,
}

/// The settings that the limits come from.
pub(super) const READ_TIMEOUT: Duration = Duration::from_secs(2);
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// What scheduling may add on a busy machine.
const SLACK: Duration = Duration::from_secs(20);

impl Fault {
    pub(super) const ALL: [Self; 12] =
        [Kill, IdleLimit, Restart, Crash, Reset, Fin, Silence, Deaf, Cut, TooMany, Demoted, Password];

    fn title(self) -> &'static str {
        match self {
            Kill => "the connection is killed by an administrator",
            IdleLimit => "the server's idle limit ends it (`wait_timeout`, `idle_session_timeout`)",
            Restart => "the server is restarted",
            Crash => "the server is killed (`kill -9`) and started again",
            Reset => "the network resets the connection (RST)",
            Fin => "a proxy closes the connection (FIN)",
            Silence => "the network swallows every packet",
            Deaf => "the host accepts connections and never answers",
            Cut => "the connection is cut in the middle of an answer",
            TooMany => "the server has no connection left",
            Demoted => "the server is demoted to read-only",
            Password => "the password is changed",
        }
    }
}

impl Moment {
    pub(super) const ALL: [Self; 8] = [Between, Inside, Transaction, Running, LeftEarly, Committing, Connecting, AtCap];

    fn title(self) -> &'static str {
        match self {
            Between => "idle between requests",
            Inside => "idle inside a request",
            Transaction => "idle inside a transaction",
            Running => "while a statement runs",
            LeftEarly => "left early",
            Committing => "while committing",
            Connecting => "while connecting",
            AtCap => "handed over at the cap",
        }
    }
}

/// `None`: the one has nothing to do with the other.
pub(super) fn expected(fault: Fault, moment: Moment) -> Option<Cell> {
    let cell = |outcome, ran, limit: Duration| Some(Cell { outcome, ran, within: limit + SLACK });
    let at_once = Duration::ZERO;
    match (fault, moment) {
        // A connection that was handed over is no worse than one's own; and if it is gone, another is opened in its place.
        (_, AtCap) => expected(fault, Between),
        // What the kernel has been told of is noticed before the statement is sent.
        (Kill | IdleLimit | Restart | Crash | Reset | Fin, Between | Inside) => {
            cell(Outcome::Success, Ran::Once, at_once)
        }
        (Kill | IdleLimit | Restart | Crash | Reset | Fin, Transaction) => cell(Outcome::WorkLost, Ran::No, at_once),
        (Kill | Restart | Crash | Reset | Fin, Running) => cell(Outcome::Lost, Ran::Perhaps, at_once),
        (Kill | Restart | Crash | Reset | Fin, Committing) => cell(Outcome::CommitUnknown, Ran::Perhaps, at_once),
        (Kill | Restart | Crash | Reset | Fin | Cut, LeftEarly) => cell(Outcome::Left, Ran::Perhaps, at_once),
        (IdleLimit, Running | LeftEarly | Committing | Connecting) | (Kill, Connecting) => None,
        (Restart | Crash | Reset | Fin, Connecting) => cell(Outcome::Unreachable, Ran::No, CONNECT_TIMEOUT),

        // What nobody was told of takes its time.
        (Silence, Between | Inside | Running) => cell(Outcome::Lost, Ran::Perhaps, READ_TIMEOUT),
        (Silence, LeftEarly) => cell(Outcome::Left, Ran::Perhaps, READ_TIMEOUT),
        (Silence, Transaction) => cell(Outcome::WorkLost, Ran::Perhaps, READ_TIMEOUT),
        (Silence, Committing) => cell(Outcome::CommitUnknown, Ran::Perhaps, READ_TIMEOUT),
        (Silence | Deaf, Connecting) => cell(Outcome::Unreachable, Ran::No, CONNECT_TIMEOUT),
        (Deaf, _) => None,
        (Cut, Between | Inside | Running) => cell(Outcome::Lost, Ran::Perhaps, at_once),
        (Cut, Transaction) => cell(Outcome::WorkLost, Ran::Perhaps, at_once),
        (Cut, Committing) => cell(Outcome::CommitUnknown, Ran::Perhaps, at_once),
        (Cut, Connecting) => cell(Outcome::Unreachable, Ran::No, at_once),

        // A connection that is open is not touched by these.
        (TooMany | Password, Between | Inside | Transaction | Running | LeftEarly | Committing) => {
            cell(Outcome::Success, Ran::Once, at_once)
        }
        (TooMany, Connecting) => cell(Outcome::Exhausted, Ran::No, at_once),
        (Password, Connecting) => cell(Outcome::Denied, Ran::No, at_once),
        (Demoted, Between | Inside | Connecting) => cell(Outcome::ReadOnly, Ran::No, at_once),
        // A server lets a transaction end first, or does not touch it.
        (Demoted, Transaction | Running | LeftEarly | Committing) => None,
    }
}

impl Cell {
    fn text(&self) -> String {
        let outcome = match self.outcome {
            Outcome::Success => return "success".to_owned(),
            Outcome::Lost => "`is_disconnect`",
            Outcome::Left => "the rows so far, or `is_disconnect`",
            Outcome::WorkLost => "`is_work_lost`",
            Outcome::CommitUnknown => "`is_commit_unknown`",
            Outcome::Unreachable => "cannot connect",
            Outcome::Exhausted => "`is_exhausted`",
            Outcome::ReadOnly => "`is_read_only`",
            Outcome::Denied => "refused (1045, 28P01)",
        };
        let ran = match self.ran {
            Ran::Once => "ran",
            Ran::No => "not run",
            Ran::Perhaps => "`may_have_executed`",
        };
        let limit = match self.within.saturating_sub(SLACK) {
            Duration::ZERO => String::new(),
            limit if limit == READ_TIMEOUT => ", within `read_timeout`".to_owned(),
            _ => ", within `connect_timeout`".to_owned(),
        };
        format!("{outcome}, {ran}{limit}")
    }
}

/// The page.
pub(super) fn document() -> String {
    let mut text = String::from(
        "# Faults\n\n\
         What a statement gets when something goes wrong, on PostgreSQL, MySQL and MariaDB alike, with `liveness` on, as it\n\
         is by default. The tests make each of these faults on real servers, through a proxy of their own where the network is\n\
         at fault (`tests/servers/faults`), and this page is written from the table that they are held against.\n\n\
         - *success*: the statement ran, once, on a new connection where the old one was gone.\n\
         - An error names its predicate, and whether the statement ran; none is ever sent twice.\n\
         - In every cell the next statement succeeds as soon as the fault is over: after a lost transaction, when it has been\n  \
           rolled back.\n\
         - Without a limit behind it, the answer comes at once. Where there is a limit, it is that of the settings: without\n  \
           `read_timeout`, silence lasts as long as the kernel's own limits (`tcp_user_timeout`, `tcp_keepalive`).\n\
         - *Left early*: the fault comes among the rows of a large result, and the caller takes no more of them.\n\
         - *Handed over at the cap*: with `max_connections` of 1 the fault strikes the connection of one thread while another waits\n  \
           for it, and the answer is that of the other. The place is never lost.\n\
         - *—*: the one has nothing to do with the other.\n\n",
    );
    let _ = write!(text, "| |");
    for moment in Moment::ALL {
        let _ = write!(text, " {} |", moment.title());
    }
    text.push_str("\n|---|---|---|---|---|---|---|---|---|\n");
    for fault in Fault::ALL {
        let _ = write!(text, "| {} |", fault.title());
        for moment in Moment::ALL {
            let cell = expected(fault, moment).map_or("—".to_owned(), |cell| cell.text());
            let _ = write!(text, " {cell} |");
        }
        text.push('\n');
    }
    text.push_str(&kinds::table());
    text
}
