//! The format of record files ([`longwave_pipeline::model::codec`]), for the exporters that write it to a file or a socket.

use std::path::Path;

use longwave_pipeline::component::host::BootId;
use longwave_pipeline::component::{ComponentError, ExporterContext};
use longwave_pipeline::model::codec::{Encoder, Fault, SessionStart};
use longwave_pipeline::model::{Batch, UnixNanos};

/// Encodes batches as blocks.
pub(crate) struct RecordBlocks {
    /// Id of the exporter, for errors.
    id: String,
    encoder: Encoder,
}

// === impl RecordBlocks ===

impl RecordBlocks {
    pub(crate) fn new(id: &str) -> Self {
        Self { id: id.to_owned(), encoder: Encoder::default() }
    }

    /// Returns the blocks of a batch. Empty if the batch has no records.
    pub(crate) fn encode(&mut self, batch: &Batch) -> Result<Vec<u8>, ComponentError> {
        let mut blocks = Vec::new();
        let encoded = match batch {
            Batch::Records(records) => self.encoder.records(records, &mut blocks),
            Batch::PassEnd(pass_end) => self.encoder.pass_end(*pass_end, &mut blocks),
            Batch::Window(_) => Ok(()),
        };
        let failed = |fault| ComponentError::new(format!("exporters::{}: cannot encode: {fault}", self.id));
        encoded.map_err(failed)?;
        Ok(blocks)
    }
}

/// Appends the first block of a session that starts now on `host`.
pub(crate) fn start_session(host: &str, out: &mut Vec<u8>) -> Result<(), Fault> {
    // Zeros if the boot id cannot be read.
    let boot = BootId::read(Path::new("/proc")).unwrap_or_default();
    let start = SessionStart { boot_id: boot.0, started: UnixNanos::now(), host: host.to_owned() };
    Encoder::default().session_start(&start, out)
}

/// Returns the name of the host in the resource; empty if it has none.
pub(crate) fn host_name(context: &ExporterContext) -> String {
    context.resource_attribute("host.name").unwrap_or_default().to_owned()
}
