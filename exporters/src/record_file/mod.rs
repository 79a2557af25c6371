//! Exporter `record_file`: writes connection records to a file that receiver `replay` reads (see [`longwave_pipeline::model::codec`]).
//!
//! Each batch becomes blocks that can be decoded on their own, and is appended when it arrives. After a crash the file is complete up to
//! the last block. A write that fails halfway (for example on a full disk) is undone before the retry. A shutdown writes the end mark and
//! syncs the file.

mod config;
mod exporter;
mod file;

#[cfg(test)]
mod tests;

use longwave_pipeline::component::{
    About, ComponentError, Exporter, ExporterContext, ExporterFactory, Signal, Stability,
};

use config::RecordFileConfig;
use exporter::RecordFileExporter;

/// Returns the factory of `record_file`.
pub fn factory() -> ExporterFactory {
    let about = About {
        component_type: "record_file",
        aliases: &[],
        stability: Stability::Beta,
        description: "Writes connection records to a file that the replay receiver reads",
        signals: &[Signal::Logs],
        flow: None,
    };
    ExporterFactory::new(about, |config: &RecordFileConfig, context: ExporterContext| {
        if !context.log_edits.is_empty() {
            return Err(ComponentError::new(format!(
                "exporters::{}: the processor attributes of its pipeline cannot change a record file, because records have no attributes: give \
                 the exporter a logs pipeline of its own, and use the processor when the file is replayed",
                context.id
            )));
        }
        Ok(Box::new(RecordFileExporter::new(config, &context)) as Box<dyn Exporter>)
    })
}
