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
    /// Other records need the room.
    NoRoom,
}

// === impl Telemetry ===

impl Telemetry {
    /// Registers the instruments.
    pub fn new(context: &ProcessorContext) -> Self {
        let own = vec![
            KeyValue::new("processor", context.id.clone()),
            KeyValue::new("pipeline", context.pipeline.clone()),
        ];
        let with = |outcome: &'static str| {
            let mut attributes = own.clone();
            attributes.push(KeyValue::new("outcome", outcome));
            attributes
        };
        let counter = |name: &'static str, text: &'static str| {
            context.meter.u64_counter(name).with_unit("{record}").with_description(text).build()
        };
        Self {
            released: counter(
                "longwave_processor_hold_released_records",
                "Records that waited for a name: it came (resolved), or they went without it (unresolved).",
            ),
            refused: counter(
                "longwave_processor_hold_refused_records",
                "Records that went without waiting for a name, or before their time, because too many wait.",
            ),
            resolved: with("resolved"),
            unresolved: with("unresolved"),
            own,
        }
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

    /// Counts a record that found no room.
    pub fn count_refused(&self) {
        self.refused.add(1, &self.own);
    }
}
