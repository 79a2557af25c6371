//! Self-telemetry of held records.

use longwave_pipeline::component::ProcessorContext;
use opentelemetry::KeyValue;
use opentelemetry::metrics::Counter;

/// The instruments, and their attributes.
pub(super) struct Telemetry {
    released: Counter<u64>,
    refused: Counter<u64>,
    resolved: Vec<KeyValue>,
    unresolved: Vec<KeyValue>,
    own: Vec<KeyValue>,
}

/// Why held records leave.
#[derive(Clone, Copy)]
pub(super) enum Outcome {
    /// Their names are known.
    Resolved,
    /// They have waited for the whole `hold`, or the receiver has stopped.
    Unresolved,
    /// There was no room for another record.
    NoRoom,
}

// === impl Telemetry ===

impl Telemetry {
    /// Registers the instruments.
    pub fn new(context: &ProcessorContext) -> Self {
        let meter = context.component_meter();
        let with = |outcome: &'static str| meter.attributes_with("outcome", outcome);
        let telemetry = Self {
            released: meter.counter(
                "longwave_processor_hold_released_records",
                "{record}",
                "Records that were held until a name was known (resolved) or the time limit was reached (unresolved).",
            ),
            refused: meter.counter(
                "longwave_processor_hold_refused_records",
                "{record}",
                "Records that were not held, or released early, because too many are held.",
            ),
            resolved: with("resolved"),
            unresolved: with("unresolved"),
            own: meter.attributes().to_vec(),
        };
        // Every series exists before its first event.
        telemetry.count_released(Outcome::Resolved, 0);
        telemetry.count_released(Outcome::NoRoom, 0);
        telemetry
    }

    /// Counts held records that leave.
    pub fn count_released(&self, outcome: Outcome, records: u64) {
        match outcome {
            Outcome::Resolved => self.released.add(records, &self.resolved),
            Outcome::Unresolved => self.released.add(records, &self.unresolved),
            Outcome::NoRoom => {
                self.released.add(records, &self.unresolved);
                self.refused.add(records, &self.own);
            }
        }
    }

    /// Counts a record that was refused, because there was no room.
    pub fn count_refused(&self) {
        self.refused.add(1, &self.own);
    }
}
