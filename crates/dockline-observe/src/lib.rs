//! Metrics and traces of [Dockline](https://docs.rs/dockline), with the names of OpenTelemetry's semantic conventions for databases
//! (1.44). Both listen to a registry's [events](dockline_core::events), so they hear every thread, each from its first statement on.
//!
//! | feature | what it adds |
//! |---|---|
//! | `metrics` | [`Metrics`]: counters, gauges and histograms, by the facade of the crate `metrics` |
//! | `tracing` | [`Traces`]: a span per statement, inside one per transaction, by the crate `tracing` |
//!
//! Programs reach this crate as `dockline::observe`, by the features of the same names.

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(any(feature = "metrics", feature = "tracing"))]
mod text;

#[cfg(feature = "metrics")]
mod measure;
#[cfg(feature = "metrics")]
pub use measure::{BUCKETS, Metrics, describe};

#[cfg(feature = "tracing")]
mod trace;
#[cfg(feature = "tracing")]
pub use trace::Traces;
