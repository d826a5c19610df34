//! The guide: configuring, statements, transactions, requests and tasks, errors, tests. The other pages are the modules below.
//!
//! | | |
//! |---|---|
//! | [Recipes](recipes) | upsert, lists, pages of results, bulk load, locks, notifications, a job queue, other libraries |
//! | [Types](types) | one table for all backends |
//! | [What differs between servers](differences) | and what is the same |
//! | [Compile errors](compile_errors) | what they mean, and what to write |
//! | [Coming from other libraries](porting), [from Django](coming_from_django) | every name there beside its name here |
//! | [Wherever threads live](threads) | pools, rayon, servers, tokio, Thrift, loops, forks |
//! | [More threads than connections](cap) | what to set, and what it costs |
//! | [Incidents](incidents), [Faults](faults) | what an error in a log means, and what a statement gets for each fault |
//! | [SQLite in production](sqlite), [Metrics and traces](metrics), [Costs](costs) | |
//! | [Deviations](deviations), [Threat model](threat_model), [A backend of your own](backend) | |
//!
#![doc = include_str!("guide/links.md")]
#![doc = include_str!("guide/guide.md")]

/// Makes a module of each page. The links of a page name files, as they stand in the repository; `links.md` comes first, and says
/// which modules they are.
macro_rules! pages {
    ($($(#[$summary:meta])* $name:ident: $file:literal,)*) => {$(
        $(#[$summary])*
        ///
        #[doc = include_str!("guide/links.md")]
        #[doc = include_str!(concat!("guide/", $file))]
        pub mod $name {}
    )*};
}

pages! {
    /// A backend for another database.
    backend: "backend.md",
    /// More threads than connections: the cap.
    cap: "cap.md",
    /// Every name of Django's connection layer beside its name here.
    coming_from_django: "coming-from-django.md",
    /// The compile errors that a user meets: what each means, and what to write.
    compile_errors: "compile-errors.md",
    /// What each call costs: memory asked for, and system calls.
    costs: "costs.md",
    /// Where transactions differ from Django's, and why.
    deviations: "deviations.md",
    /// What differs between servers, and what is the same.
    differences: "differences.md",
    /// What a statement gets for each fault, at each moment.
    faults: "faults.md",
    /// What an error in a log means, and what to do.
    incidents: "incidents.md",
    /// Events, metrics, traces, status.
    metrics: "metrics.md",
    /// Coming from r2d2, sqlx, diesel, SQLAlchemy and Rails.
    porting: "porting.md",
    /// Upsert, lists, pages of results, bulk load, locks, notifications, a job queue, other libraries.
    recipes: "recipes.md",
    /// SQLite in production.
    sqlite: "sqlite.md",
    /// Wherever threads live: pools, rayon, servers, tokio, Thrift, loops, forks.
    threads: "threads.md",
    /// What is kept from whom.
    threat_model: "threat-model.md",
    /// Types of columns and of parameters, one table for all backends.
    types: "types.md",
}
