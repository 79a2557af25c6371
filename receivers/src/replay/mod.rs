//! Receiver `replay`: reads a record file (see [`longwave_pipeline::model::codec`]) that exporter `record_file` wrote, or
//! what exporter `live` sends through its socket. Needs no root.
//!
//! Times, ticks and names stay as recorded. The pipeline sets the pace, nothing is dropped. If the file is damaged or cut, the records
//! before the damage are delivered, and then the process exits with an error that names the position.

mod config;
mod pace;
mod play;
mod receiver;

#[cfg(test)]
mod tests;

use config::Config;
use longwave_pipeline::component::{About, Receiver, ReceiverContext, ReceiverFactory, Signal, Stability};
use receiver::Replay;

/// Returns the factory of `replay`.
pub fn factory() -> ReceiverFactory {
    let about = About {
        component_type: "replay",
        aliases: &[],
        stability: Stability::Beta,
        description: "Reads connection records from a file that the record_file exporter wrote, or from the socket of a live exporter",
        signals: &[Signal::Metrics, Signal::Logs],
        flow: None,
    };
    ReceiverFactory::new(about, |config: &Config, context: ReceiverContext| {
        let path = format!("receivers::{}", context.id);
        Ok(Box::new(Replay { path, config: config.clone() }) as Box<dyn Receiver>)
    })
}
