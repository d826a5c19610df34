//! Traces, by the crate `tracing`.
//!
//! A span lives from one event to a later one. It is kept in a map between the two, not in a thread-local: its end is the subscriber's code,
//! which must not run in the destructor of a thread-local.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Mutex, PoisonError};
use std::thread::ThreadId;

use dockline_core::Registry;
use dockline_core::events::{Event, ListenerId, Source};
use tracing::field::Empty;
use tracing::{Span, info_span};

use crate::text::{error_type, operation, summary, without_values};

/// The traces of a registry: a span per statement, inside one per transaction, from [`install`](Traces::install) on, until
/// [`remove`](Traces::remove).
///
/// A statement's span has the attributes of OpenTelemetry's conventions: `db.system.name`, `db.namespace`, `db.operation.name`,
/// `db.query.text` (with `?` in place of values), `db.query.summary`, `server.address`, `server.port`, `db.response.returned_rows`, and
/// after a failure `db.response.status_code` and `error.type`. It begins before the connection is checked or opened, so that it shows what
/// the program waits for. It is the child of its transaction's span, or of the span that is current.
///
/// Spans have the level info and the target `dockline_observe::trace`; a filter that leaves them out leaves little cost.
#[derive(Debug)]
pub struct Traces {
    registry: Registry,
    id: ListenerId,
}

impl Traces {
    /// Begins to trace what happens in a registry.
    ///
    /// It keeps the registry alive until it is dropped.
    pub fn install(registry: &Registry) -> Self {
        let spans = Spans::default();
        let id = registry.events().listen(move |event| trace(&spans, event));
        Self { registry: registry.clone(), id }
    }

    /// Traces nothing more.
    pub fn remove(self) {
        self.registry.events().remove(self.id);
    }
}

/// Whose span it is.
#[derive(PartialEq, Eq, Hash)]
enum Key {
    /// The statement of a thread, for an alias.
    Statement(ThreadId, String),
    /// The transaction on a connection.
    Transaction(u64),
}

/// The spans that are open, in several maps, so that threads seldom wait for each other.
#[derive(Default)]
struct Spans {
    maps: [Mutex<HashMap<Key, Vec<Span>>>; 16],
    hasher: RandomState,
}

impl Spans {
    fn with<R>(&self, key: Key, call: impl FnOnce(&mut HashMap<Key, Vec<Span>>, Key) -> R) -> R {
        let at = usize::try_from(self.hasher.hash_one(&key) % self.maps.len() as u64).unwrap_or(0);
        call(&mut self.maps[at].lock().unwrap_or_else(PoisonError::into_inner), key)
    }

    /// A statement may run in the middle of another: in a receiver that is told of the connection that the outer one opens.
    fn push(&self, key: Key, span: Span) {
        self.with(key, |spans, key| spans.entry(key).or_default().push(span));
    }

    /// The span ends when what is returned is dropped, which is not under the lock.
    fn pop(&self, key: Key) -> Option<Span> {
        self.with(key, |spans, key| {
            let open = spans.get_mut(&key)?;
            let span = open.pop();
            if open.is_empty() {
                spans.remove(&key);
            }
            span
        })
    }

    fn last(&self, key: Key) -> Option<Span> {
        self.with(key, |spans, key| spans.get(&key)?.last().cloned())
    }
}

fn trace(spans: &Spans, event: &Event<'_>) {
    let of_statement = |source: &Source<'_>| Key::Statement(std::thread::current().id(), source.alias().to_owned());
    match event {
        Event::TransactionBegun { source, .. } => {
            if let Some(serial) = source.serial() {
                spans.push(Key::Transaction(serial), transaction(source));
            }
        }
        Event::TransactionEnded { source, outcome, .. } => {
            let span = source.serial().and_then(|serial| spans.pop(Key::Transaction(serial)));
            if let Some(span) = span {
                span.record("dockline.transaction.outcome", outcome.as_str());
            }
        }
        Event::StatementBegun { source, sql, .. } => {
            let around = source.serial().and_then(|serial| spans.last(Key::Transaction(serial)));
            spans.push(of_statement(source), statement(source, sql, around.as_ref()));
        }
        Event::StatementDone { source, rows, failure, .. } => {
            let Some(span) = spans.pop(of_statement(source)) else { return };
            if let Some(rows) = rows {
                span.record("db.response.returned_rows", rows);
            }
            if let Some(failure) = failure {
                span.record("otel.status_code", "ERROR");
                span.record("error.type", error_type(failure));
                if let Some(code) = failure.code() {
                    span.record("db.response.status_code", code.as_str());
                }
            }
        }
        _ => {}
    }
}

fn statement(source: &Source<'_>, sql: &str, around: Option<&Span>) -> Span {
    let parent = around.cloned().unwrap_or_else(Span::current);
    let span = info_span!(
        parent: &parent,
        "statement",
        otel.name = Empty,
        otel.kind = "client",
        otel.status_code = Empty,
        db.system.name = source.system(),
        db.namespace = source.database(),
        db.operation.name = Empty,
        db.query.text = Empty,
        db.query.summary = Empty,
        db.response.status_code = Empty,
        db.response.returned_rows = Empty,
        error.type = Empty,
        server.address = source.host(),
        server.port = source.port(),
        dockline.alias = source.alias(),
    );
    // Reading the text costs more than the rest.
    if !span.is_disabled() {
        if let Some(operation) = operation(source, sql) {
            let summary = summary(&operation, source, sql);
            span.record("db.operation.name", &operation);
            span.record("otel.name", &summary);
            span.record("db.query.summary", &summary);
        }
        span.record("db.query.text", without_values(source, sql));
    }
    span
}

fn transaction(source: &Source<'_>) -> Span {
    info_span!(
        "transaction",
        otel.kind = "client",
        db.system.name = source.system(),
        db.namespace = source.database(),
        server.address = source.host(),
        server.port = source.port(),
        dockline.alias = source.alias(),
        dockline.transaction.outcome = Empty,
    )
}
