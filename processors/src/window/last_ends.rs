//! [`LastEnds`]: where the windows of a pipeline ended whose processor a reload replaces.

use std::sync::{Mutex, PoisonError};

use hashbrown::HashMap;
use longwave_pipeline::model::UnixNanos;

/// Ends of the last windows, by pipeline. The components of all graphs of the process share it.
#[derive(Default)]
pub(super) struct LastEnds(Mutex<HashMap<String, UnixNanos>>);

// === impl LastEnds ===

impl LastEnds {
    pub(super) fn set(&self, pipeline: &str, end: UnixNanos) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(pipeline.to_owned(), end);
    }

    /// Returns the end of the pipeline's last window, for its next processor.
    pub(super) fn take(&self, pipeline: &str) -> Option<UnixNanos> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(pipeline)
    }
}
