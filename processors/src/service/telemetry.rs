//! What the processor reports of itself, beside the accounting and what [`crate::hold`] reports.

use opentelemetry::KeyValue;
use opentelemetry::metrics::Counter;

use longwave_pipeline::component::{ComponentMeter, ProcessorContext};

/// The instruments.
pub(super) struct Telemetry {
    connections: Counter<u64>,
    named: Vec<KeyValue>,
    ambiguous: Vec<KeyValue>,
    unknown: Vec<KeyValue>,
}

/// Connections since the last report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// With a service.
    pub named: u64,
    /// With one of several.
    pub ambiguous: u64,
    /// Without.
    pub unknown: u64,
}

// === impl Telemetry ===

impl Telemetry {
    /// Registers the instruments.
    pub fn new(context: &ProcessorContext) -> Self {
        let meter = ComponentMeter::new(
            &context.meter,
            [("processor", &context.id), ("pipeline", &context.pipeline)],
        );
        let with = |result: &'static str| meter.attributes_with("result", result);
        Self {
            connections: meter.counter(
                "longwave_processor_service_connections",
                "{connection}",
                "Connections whose service was looked for, by result: named, ambiguous (one of several), unknown.",
            ),
            named: with("named"),
            ambiguous: with("ambiguous"),
            unknown: with("unknown"),
        }
    }

    /// Reports and clears.
    pub fn report(&self, tally: &mut Tally) {
        let Tally { named, ambiguous, unknown } = std::mem::take(tally);
        for (count, attributes) in
            [(named, &self.named), (ambiguous, &self.ambiguous), (unknown, &self.unknown)]
        {
            if count > 0 {
                self.connections.add(count, attributes);
            }
        }
    }
}
