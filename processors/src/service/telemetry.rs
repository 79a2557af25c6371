//! Self-telemetry of `service`, in addition to the accounting and to the telemetry of [`crate::holding`].

use opentelemetry::KeyValue;
use opentelemetry::metrics::Counter;

use longwave_pipeline::component::ProcessorContext;

/// The instruments, and their attributes.
pub(super) struct Telemetry {
    connections: Counter<u64>,
    named: Vec<KeyValue>,
    ambiguous: Vec<KeyValue>,
    unknown: Vec<KeyValue>,
}

/// Numbers of connections since the last report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// With exactly one service.
    pub named: u64,
    /// With one of several services.
    pub ambiguous: u64,
    /// Without a service.
    pub unknown: u64,
}

// === impl Telemetry ===

impl Telemetry {
    /// Registers the instruments.
    pub fn new(context: &ProcessorContext) -> Self {
        let meter = context.component_meter();
        let with = |result: &'static str| meter.attributes_with("result", result);
        let telemetry = Self {
            connections: meter.counter(
                "longwave_processor_service_connections",
                "{connection}",
                "Connections whose service was looked up, by result: named, ambiguous (one of several), unknown.",
            ),
            named: with("named"),
            ambiguous: with("ambiguous"),
            unknown: with("unknown"),
        };
        // Every series exists before its first event.
        for attributes in [&telemetry.named, &telemetry.ambiguous, &telemetry.unknown] {
            telemetry.connections.add(0, attributes);
        }
        telemetry
    }

    /// Adds the tally to the instruments, and clears it.
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
