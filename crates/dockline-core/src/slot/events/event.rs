//! What can happen.

use std::time::Duration;

use super::failure::Failure;
use super::source::Source;
use crate::slot::reason::CloseReason;

/// What happened.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A connection is about to be opened. [`Connected`](Event::Connected) or [`ConnectFailed`](Event::ConnectFailed) follows.
    #[non_exhaustive]
    Connecting {
        /// For which alias.
        source: Source<'a>,
    },
    /// A connection was opened.
    #[non_exhaustive]
    Connected {
        /// Which one.
        source: Source<'a>,
        /// How long that took, from the beginning to the end of its set-up.
        elapsed: Duration,
    },
    /// A connection could not be opened.
    #[non_exhaustive]
    ConnectFailed {
        /// For which alias.
        source: Source<'a>,
        /// How long that took.
        elapsed: Duration,
        /// Why.
        failure: Failure<'a>,
    },
    /// A connection was looked at before a statement, to see whether the server is still there.
    #[non_exhaustive]
    Probed {
        /// Which one.
        source: Source<'a>,
        /// What was seen.
        seen: Seen,
    },
    /// A statement is about to run. [`StatementDone`](Event::StatementDone) follows on the same thread. Connecting may come between.
    #[non_exhaustive]
    StatementBegun {
        /// For which alias, on which connection if one is open already.
        source: Source<'a>,
        /// The text, with placeholders.
        sql: &'a str,
    },
    /// A statement has run, or was refused.
    #[non_exhaustive]
    StatementDone {
        /// Where it ran.
        source: Source<'a>,
        /// The text, with placeholders.
        sql: &'a str,
        /// How many rows came or were changed, where that is known.
        rows: Option<u64>,
        /// How long it took, without connecting and checking the connection before it; zero if it was not sent.
        elapsed: Duration,
        /// How it failed, if it did.
        failure: Option<Failure<'a>>,
    },
    /// A transaction was begun: by a block, by a text, or by a statement with autocommit off.
    #[non_exhaustive]
    TransactionBegun {
        /// Where.
        source: Source<'a>,
    },
    /// A transaction that was told of has ended.
    #[non_exhaustive]
    TransactionEnded {
        /// Where.
        source: Source<'a>,
        /// How.
        outcome: TransactionOutcome,
        /// How long it was open.
        elapsed: Duration,
    },
    /// A thread has waited for a place below the cap on connections.
    #[non_exhaustive]
    Waited {
        /// For which alias.
        source: Source<'a>,
        /// How long, without connecting.
        waited: Duration,
        /// What it waited for in the end.
        outcome: WaitOutcome,
    },
    /// A connection is held no more: its request, task, block, hold or transaction has ended, whichever lasted longest.
    #[non_exhaustive]
    Returned {
        /// Which one.
        source: Source<'a>,
        /// For how long it was held, from the first statement on.
        held: Duration,
    },
    /// A connection is free for other threads, until its own takes it back.
    #[non_exhaustive]
    Parked {
        /// Which one.
        source: Source<'a>,
    },
    /// A connection that another thread had parked is this thread's now.
    #[non_exhaustive]
    HandedOver {
        /// Which one.
        source: Source<'a>,
        /// The thread that had it: its name, or its id if it has none.
        from_thread: &'a str,
    },
    /// A transaction was undone, and [`Retry`](crate::Retry) runs it again after a pause.
    #[non_exhaustive]
    Retried {
        /// Where.
        source: Source<'a>,
        /// Which attempt was undone, counted from 1.
        attempt: u32,
        /// The pause that follows.
        pause: Duration,
        /// Why it was undone, where that is known.
        failure: Option<Failure<'a>>,
    },
    /// A connection was closed.
    #[non_exhaustive]
    Closed {
        /// Which one.
        source: Source<'a>,
        /// Why.
        reason: CloseReason,
        /// How long it was open.
        age: Duration,
        /// How many statements it ran.
        statements: u64,
        /// The thread that closed it: its name in quotes, or its id if it has none.
        thread: &'a str,
    },
}

impl<'a> Event<'a> {
    /// Returns where it happened.
    pub fn source(&self) -> &Source<'a> {
        match self {
            Self::Connecting { source }
            | Self::Connected { source, .. }
            | Self::ConnectFailed { source, .. }
            | Self::Probed { source, .. }
            | Self::StatementBegun { source, .. }
            | Self::StatementDone { source, .. }
            | Self::TransactionBegun { source }
            | Self::TransactionEnded { source, .. }
            | Self::Waited { source, .. }
            | Self::Returned { source, .. }
            | Self::Parked { source }
            | Self::HandedOver { source, .. }
            | Self::Retried { source, .. }
            | Self::Closed { source, .. } => source,
        }
    }
}

/// What a look at a connection saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Seen {
    /// The socket is open and silent. No round trip.
    Alive,
    /// The server answered a ping.
    Answered,
    /// The server has hung up, or did not answer.
    Gone,
}

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TransactionOutcome {
    /// It was committed.
    Committed,
    /// It was rolled back: the program asked for that, closed the connection, or the server answered the commit so.
    RolledBack,
    /// Its work is gone by a failure: the connection was lost, or the database undid it.
    Lost,
    /// Nobody can say: the connection was lost while the commit was under way, or it was ended by a script, by the driver's own object, or
    /// prepared for somebody else to commit.
    Unknown,
}

impl TransactionOutcome {
    /// Returns the word for it: `committed`, `rolled_back`, `lost`, `unknown`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Committed => "committed",
            Self::RolledBack => "rolled_back",
            Self::Lost => "lost",
            Self::Unknown => "unknown",
        }
    }
}

/// How waiting for a place below the cap ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WaitOutcome {
    /// The thread may open a connection.
    MayOpen,
    /// It got the connection that another thread had parked.
    GotParked,
    /// `acquire_timeout` was over.
    TimedOut,
    /// It gave up for another reason: the registry was shut down, or the alias removed.
    GaveUp,
}
