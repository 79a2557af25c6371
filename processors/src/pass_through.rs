//! [`PassThrough`]: the processor of components that change only the exporters.

use longwave_pipeline::component::{ComponentError, Processor};
use longwave_pipeline::model::Batch;

/// Passes batches on.
pub(crate) struct PassThrough;

// === impl PassThrough ===

impl Processor for PassThrough {
    fn process(&mut self, batch: Batch, out: &mut Vec<Batch>) -> Result<(), ComponentError> {
        out.push(batch);
        Ok(())
    }

    fn finish(&mut self, _out: &mut Vec<Batch>) -> Result<(), ComponentError> {
        Ok(())
    }
}
