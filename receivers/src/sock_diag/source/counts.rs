//! Counters of the source.

use crate::tracking::SourceCounts;

/// Counts since the start. [`Counts::named`] has the names under which they are exported.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub malformed: u64,
    /// Sockets that ended, whose peer and counts the kernel had reset, and that were in no list.
    pub disconnected: u64,
    pub waiting_full: u64,
    pub table_full: u64,
    pub late_end: u64,
    pub failed_lists: u64,
    pub changed_lists: u64,
    pub never_connected: u64,
}

/// Returns the counts at the start, with all their names.
pub fn initial_counts() -> SourceCounts {
    Counts::default().named(0, 0)
}

// === impl Counts ===

impl Counts {
    /// Returns the counts with the names under which self-telemetry exports them. `lost` messages and `refused` namespaces are counted
    /// elsewhere.
    pub fn named(&self, lost: u64, refused: u64) -> SourceCounts {
        SourceCounts {
            lost: vec![
                ("receive_buffer_full", lost),
                ("waiting_full", self.waiting_full),
                ("disconnected", self.disconnected),
                ("table_full", self.table_full),
                ("malformed", self.malformed),
            ],
            events: vec![
                ("late_end", self.late_end),
                ("never_connected", self.never_connected),
                ("changed_list", self.changed_lists),
                ("failed_list", self.failed_lists),
                ("namespace_refused", refused),
            ],
            lost_samples: self.failed_lists,
        }
    }
}
