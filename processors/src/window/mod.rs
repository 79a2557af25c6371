//! Processor `window`: records in, windows out.
//!
//! Invariants, each with a test:
//! - Windows are contiguous and never overlap, whatever clocks do: the next starts where the last ended.
//! - The sums of all windows of a level equal the sums of all records' deltas, with a cap on series as without: what finds no room is
//!   folded into the level's overflow series.
//! - Over all series of a level, Δactive = opened − closed + first seen when already open.
//! - A series with open connections is in every window. A series without any is exported once more, all zero, and marked `ended`, in
//!   the first window in which it has neither an open connection nor a record; then it is forgotten. Not at once, when its last connection
//!   closes: a client with one short connection per window would end its series in every window, and a cumulative counter that is born
//!   anew each time never shows an increase to Prometheus. One extra window of zeros is what that costs, and its zero is what a
//!   reader of `connections.active` needs to see. A series of the level `connection` cannot come back, so it is marked at once.
//!
//! The way of a record: one lookup of its connection, which remembers the *leaf* that it adds to. A leaf is a pair of a service series and
//! a workload series; leaves are added up into series when the window closes, so a record is added once, not once per level.
//!
//! Memory is bounded by the open connections (64 bytes and a slot each) and by `max_series`; records held for later windows by
//! `MAX_HELD`.

mod boundaries;
mod config;
mod connections;
mod held;
mod leaves;
mod level_table;
mod own_series;
mod processor;
mod telemetry;

#[cfg(test)]
mod tests;

pub use config::{LevelName, WindowConfig};
pub use processor::WindowProcessor;

use longwave_pipeline::component::{
    About, DataKind, Factory, Processor, ProcessorFactory, Signal, Stability,
};

/// Makes `window`.
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
