//! Metrics, by the facade of the crate `metrics`.

use dockline_core::Registry;
use dockline_core::events::{Event, ListenerId, Seen, Source, WaitOutcome};
use metrics::{Label, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use crate::text::{error_type, operation};

/// The buckets, in seconds, that OpenTelemetry advises for `db.client.operation.duration`. An exporter has to be told.
pub const BUCKETS: [f64; 9] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];

/// The metrics of a registry: from [`install`](Metrics::install) on, until [`remove`](Metrics::remove).
///
/// Durations and counters are written as things happen, on the thread on which they happen. Gauges say how many connections are in which
/// state, which nobody writes down as it changes: call [`refresh`](Metrics::refresh) before each scrape.
///
/// ```
/// # fn serve(registry: &dockline_core::Registry) {
/// // An exporter is installed by now.
/// dockline_observe::describe();
/// let metrics = dockline_observe::Metrics::install(registry);
/// // … at each scrape:
/// metrics.refresh();
/// # }
/// ```
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    id: ListenerId,
}

impl Metrics {
    /// Begins to measure what happens in a registry.
    ///
    /// It keeps the registry alive until it is dropped.
    pub fn install(registry: &Registry) -> Self {
        Self { registry: registry.clone(), id: registry.events().listen(measure) }
    }

    /// Sets the gauges to what the registry has open now: a look at each thread, without a statement.
    pub fn refresh(&self) {
        for alias in self.registry.status().aliases {
            let pool = || ("db.client.connection.pool.name", alias.alias.clone());
            let set = |state: &'static str, count: usize| {
                let (key, name) = pool();
                gauge!("db.client.connection.count", key => name, "db.client.connection.state" => state)
                    .set(count as f64);
            };
            let counts = alias.counts;
            set("used", counts.in_use);
            set("idle", counts.idle + counts.parked);
            let (key, name) = pool();
            gauge!("db.client.connection.pending_requests", key => name).set(counts.waiting as f64);
            if let Some(max) = alias.max_connections {
                let (key, name) = pool();
                gauge!("db.client.connection.max", key => name).set(f64::from(max));
                let (key, name) = pool();
                gauge!("db.client.connection.idle.max", key => name).set(f64::from(max));
            }
            let (key, name) = pool();
            counter!("dockline.connections.leaks", key => name).absolute(alias.totals.leaks);
        }
    }

    /// Measures nothing more. What was measured stays with the exporter.
    pub fn remove(self) {
        self.registry.events().remove(self.id);
    }
}

/// Says of each metric what it is and in which unit, for exporters that tell.
pub fn describe() {
    let seconds = Unit::Seconds;
    describe_histogram!("db.client.operation.duration", seconds, "How long statements take");
    describe_histogram!("db.client.connection.create_time", seconds, "How long opening a connection takes");
    describe_histogram!("db.client.connection.wait_time", seconds, "How long threads queue for a connection");
    describe_histogram!("db.client.connection.use_time", seconds, "How long a connection is in use without a break");
    describe_gauge!("db.client.connection.count", "Connections that are open, by state");
    describe_gauge!("db.client.connection.max", "The cap on connections");
    describe_gauge!("db.client.connection.idle.max", "How many connections may be idle");
    describe_gauge!("db.client.connection.pending_requests", "Threads that wait for a connection");
    describe_counter!("db.client.connection.timeouts", "Threads that waited for a connection in vain");
    describe_counter!("dockline.connections.opened", "Connections that were opened");
    describe_counter!("dockline.connections.failed", "Attempts to open a connection that failed");
    describe_counter!("dockline.connections.closed", "Connections that were closed, by reason");
    describe_counter!("dockline.connections.handed_over", "Connections that went from one thread to another");
    describe_counter!("dockline.connections.probes", "Looks at connections, by what was seen");
    describe_counter!("dockline.connections.leaks", "Holds that lasted longer than leak_threshold");
    describe_counter!("dockline.transactions", "Transactions that ended, by outcome");
    describe_counter!("dockline.retries", "Transactions that were undone and run again");
}

fn measure(event: &Event<'_>) {
    let pool = || ("db.client.connection.pool.name", event.source().alias().to_owned());
    let ((key, name), event) = (pool(), event);
    match event {
        Event::StatementDone { source, sql, elapsed, failure, .. } => {
            let mut labels = of_server(source);
            labels.extend(operation(source, sql).map(|operation| Label::new("db.operation.name", operation)));
            if let Some(failure) = failure {
                labels.push(Label::new("error.type", error_type(failure)));
                labels.extend(failure.code().map(|code| Label::new("db.response.status_code", code)));
            }
            histogram!("db.client.operation.duration", labels).record(elapsed.as_secs_f64());
        }
        Event::Connected { elapsed, .. } => {
            histogram!("db.client.connection.create_time", key => name.clone()).record(elapsed.as_secs_f64());
            counter!("dockline.connections.opened", key => name).increment(1);
        }
        Event::ConnectFailed { failure, .. } => {
            counter!("dockline.connections.failed", key => name, "error.type" => error_type(failure)).increment(1);
        }
        Event::Closed { reason, .. } => {
            counter!("dockline.connections.closed", key => name, "reason" => reason.as_str()).increment(1);
        }
        Event::Probed { seen, .. } => {
            let seen = match seen {
                Seen::Alive => "alive",
                Seen::Answered => "answered",
                _ => "gone",
            };
            counter!("dockline.connections.probes", key => name, "seen" => seen).increment(1);
        }
        Event::Waited { waited, outcome, .. } => {
            if *outcome == WaitOutcome::TimedOut {
                counter!("db.client.connection.timeouts", key => name.clone()).increment(1);
            }
            histogram!("db.client.connection.wait_time", key => name).record(waited.as_secs_f64());
        }
        Event::Returned { held, .. } => {
            histogram!("db.client.connection.use_time", key => name).record(held.as_secs_f64());
        }
        Event::HandedOver { .. } => counter!("dockline.connections.handed_over", key => name).increment(1),
        Event::TransactionEnded { outcome, .. } => {
            counter!("dockline.transactions", key => name, "outcome" => outcome.as_str()).increment(1);
        }
        Event::Retried { .. } => counter!("dockline.retries", key => name).increment(1),
        _ => {}
    }
}

/// The labels that say which database it is.
fn of_server(source: &Source<'_>) -> Vec<Label> {
    let mut labels = vec![Label::new("db.system.name", source.system())];
    labels.extend(source.database().map(|name| Label::new("db.namespace", name.to_owned())));
    labels.extend(source.host().map(|host| Label::new("server.address", host.to_owned())));
    labels.extend(source.port().map(|port| Label::new("server.port", port.to_string())));
    labels
}
