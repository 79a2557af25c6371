//! Processor `window`: aggregates records into windows.
//!
//! Invariants, each with a test:
//! - Windows are contiguous and never overlap, even when the clock is set back: each starts at the end of the last.
//! - The sums of all windows of a level equal the sums of all records' deltas. `max_series` does not change this, because a series without
//!   room is folded into a coarser one, at last into the level's overflow series (`series_keys.rs`). A connection stays in that series until
//!   it ends or its names change.
//! - In each series Δactive = opened − closed + seeded + moved in − moved out, and over all series of a level the moves cancel out. A
//!   connection moves if its names or its role change after the window in which it was opened. In that window, all its counts are in the
//!   series of its last names.
//! - No window has two series with the same attributes.
//! - A series with open connections is in every window. In the first window in which it has neither an open connection nor a record, all
//!   its values are zero and it is marked as `ended`; then it is removed. It does not end when its last connection closes, because the
//!   series of a client with one short connection per window would then end in every window, and its cumulative counters would never
//!   increase in Prometheus. The extra window also sets `connections.active` to zero. A series of a single connection cannot return, so it
//!   ends with its connection.
//!
//! A record costs one look-up of its connection, which has the index of the *pair* that the record is added to. A pair is one service
//! series and one workload series. A record is added once for both levels, and the pairs are summed up to series when the window closes.
//!
//! Memory is bounded by the open connections (64 bytes and a slot each), by `max_series`, and by `MAX_EARLY_RECORDS`.

mod boundaries;
mod config;
mod connection_series;
mod connections;
mod early_records;
mod last_ends;
mod level_table;
mod levels;
mod new_connection;
mod processor;
mod record_events;
mod series_keys;
mod series_pairs;
mod telemetry;
mod young_sums;

#[cfg(test)]
mod tests;

pub use config::{WindowConfig, WorkloadAttribute};
pub use levels::{LevelConfig, Levels};
pub use processor::WindowProcessor;

use longwave_pipeline::component::{
    About, DataKind, Factory, Processor, ProcessorFactory, Signal, Stability,
};

/// Returns the factory of `window`.
pub fn factory() -> ProcessorFactory {
    let about = About {
        component_type: "window",
        aliases: &[],
        stability: Stability::Alpha,
        description: "Aggregates connection records into aligned windows, as series per service, workload or connection",
        signals: &[Signal::Metrics],
        flow: Some((DataKind::Records, DataKind::Windows)),
    };
    Factory::new(about, |config: &WindowConfig, context| {
        Ok(Box::new(WindowProcessor::new(config, &context)) as Box<dyn Processor>)
    })
}
