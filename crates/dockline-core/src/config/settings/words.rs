//! Settings whose value is one of a few words.

use std::fmt;

/// The words of a setting, as URLs and files spell them.
pub(super) trait Word: Copy + 'static {
    const WORDS: &'static [(&'static str, Self)];
}

macro_rules! words {
    ($( $(#[$doc:meta])* $name:ident { $( $(#[$variant_doc:meta])* $variant:ident = $word:literal, )* } )*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name { $( $(#[$variant_doc])* $variant, )* }

        impl Word for $name {
            const WORDS: &'static [(&'static str, Self)] = &[$(($word, Self::$variant)),*];
        }

        /// The word that URLs and files use.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $word),* })
            }
        }
    )*};
}

words! {
    /// Whether a connection is looked at before statements outside a transaction.
    Liveness {
        /// The socket is asked, without a round trip, and a connection that is gone is replaced.
        Probe = "probe",
        /// Django's behaviour: a connection that is gone stays until it is closed.
        Off = "off",
    }

    /// What is done to the session of a connection that goes from one thread to another.
    ResetOnHandover {
        /// Nothing: what the session is known to hold keeps it from going to another thread.
        None = "none",
        /// The server resets it, and it is set up anew.
        Server = "server",
    }

    /// How a transaction begins on SQLite.
    TransactionMode {
        /// It takes a lock when a statement needs one (Django's behaviour).
        Deferred = "deferred",
        /// It takes the lock for writing at once, so that no later statement finds it taken.
        Immediate = "immediate",
        /// It keeps other connections from reading too, except in write-ahead mode.
        Exclusive = "exclusive",
    }

    /// What a transaction sees of others, in the words of SQL.
    IsolationLevel {
        /// Also what others have not committed, on servers that have it.
        ReadUncommitted = "read uncommitted",
        /// What was committed before each statement.
        ReadCommitted = "read committed",
        /// What was committed before the transaction.
        RepeatableRead = "repeatable read",
        /// As if transactions ran one after the other.
        Serializable = "serializable",
    }

    /// Which of several hosts is fit for a connection; libpq's words, for every server. MySQL and MariaDB have no word for a standby:
    /// there, it is a server that is `read_only`.
    TargetSessionAttrs {
        /// The first that answers.
        Any = "any",
        /// One on which transactions may write.
        ReadWrite = "read-write",
        /// One on which transactions cannot write.
        ReadOnly = "read-only",
        /// One that is no standby.
        Primary = "primary",
        /// A standby.
        Standby = "standby",
        /// A standby, or else the first that answers.
        PreferStandby = "prefer-standby",
    }

    /// In which order several hosts are tried.
    LoadBalanceHosts {
        /// As they are written.
        Disable = "disable",
        /// In another order for each connection.
        Random = "random",
    }

    /// Whether the password is proved for this very encrypted connection, so that nobody in between can pass it on (PostgreSQL, with
    /// SCRAM).
    ChannelBinding {
        /// Never.
        Disable = "disable",
        /// Where the server can.
        Prefer = "prefer",
        /// Always.
        Require = "require",
    }

    /// Whether a connection is encrypted, and what is checked; libpq's words, for every server.
    Tls {
        /// Never.
        Disable = "disable",
        /// Where the server can; nothing is checked.
        Prefer = "prefer",
        /// Always; nothing is checked.
        Require = "require",
        /// Always; an authority that is trusted has signed the server's certificate.
        VerifyCa = "verify-ca",
        /// Always; and the certificate names the host.
        VerifyFull = "verify-full",
    }
}
