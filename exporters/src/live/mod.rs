//! Exporter `live`: sends records to the programs that connect to a Unix socket, such as `longwave observe`.
//!
//! A client receives what `record_file` would write from then on, in the same format
//! ([`longwave_pipeline::model::codec`]), and the end mark when the exporter stops. Receiver `replay` reads it. While no client is connected,
//! nothing is encoded. A client that reads too slowly is disconnected; the pipeline never waits for one.

mod clients;
mod config;
mod exporter;
mod server;
mod socket;
mod telemetry;

#[cfg(test)]
mod tests;

use longwave_pipeline::component::{
    About, ComponentError, Exporter, ExporterContext, ExporterFactory, Signal, Stability,
};

pub use config::DEFAULT_PATH;
use config::LiveConfig;
use exporter::LiveExporter;

/// Returns the factory of `live`.
pub fn factory() -> ExporterFactory {
    let about = About {
        component_type: "live",
        aliases: &[],
        stability: Stability::Alpha,
        description: "Sends connection records to programs on this host, through a Unix socket",
        signals: &[Signal::Logs],
        flow: None,
    };
    ExporterFactory::new(about, |config: &LiveConfig, context: ExporterContext| {
        if !context.log_edits.is_empty() {
            return Err(ComponentError::new(format!(
                "exporters::{}: the processor attributes of its pipeline cannot change what it sends, because records have no attributes: give \
                 the exporter a logs pipeline of its own",
                context.id
            )));
        }
        Ok(Box::new(LiveExporter::new(config, &context)) as Box<dyn Exporter>)
    })
}
