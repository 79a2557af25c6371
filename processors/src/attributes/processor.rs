//! [`AttributesProcessor`]: changes the keys of series.

use std::sync::Arc;

use longwave_pipeline::component::{
    AttributeEdits, ComponentError, Node, Processor, ProcessorContext, Signal,
};
use longwave_pipeline::model::{Batch, key};

use super::config::AttributesConfig;
use super::merged_series::MergedSeries;

/// Changes windows. Passes records on, whose attributes the exporters change.
pub struct AttributesProcessor {
    series: MergedSeries,
    node: Arc<Node>,
}

/// Attributes that must stay as they are in a metrics pipeline, and why.
const FIXED_IN_METRICS: [(&str, &str); 5] = [
    (
        key::REPORTER,
        "says which end reports, and without it bytes that both ends report would be counted twice: keep it (to have one end only, use the \
         processor filter with roles)",
    ),
    (key::OVERFLOW, "marks the series that others were folded into: keep it"),
    (key::FOLDED, "marks the series that others were folded into: keep it"),
    (key::CLOSE_REASON, OF_POINTS),
    (key::ERROR_TYPE, OF_POINTS),
];
const OF_POINTS: &str =
    "is an attribute of single points and not of a series: to have one sum, add the points up in the backend";
/// Attributes that must stay as they are in a logs pipeline, and why.
const FIXED_IN_LOGS: [(&str, &str); 1] =
    [(key::LOG_RECORD_UID, "identifies the record, so that a backend can drop a second copy: keep it")];

// === impl AttributesProcessor ===

impl AttributesProcessor {
    /// Creates a processor.
    ///
    /// # Errors
    /// An action changes an attribute that must stay as it is.
    pub fn new(config: &AttributesConfig, context: &ProcessorContext) -> Result<Self, ComponentError> {
        let fixed = match context.node.signal {
            Signal::Metrics => FIXED_IN_METRICS.as_slice(),
            Signal::Logs => FIXED_IN_LOGS.as_slice(),
        };
        for (index, action) in config.actions.iter().enumerate() {
            if let Some((key, why)) = fixed.iter().find(|(key, _)| action.key == *key) {
                return Err(ComponentError::new(format!(
                    "processors::{}: actions::{index}::key: cannot change {key} in service::pipelines::{}: it {why}",
                    context.id, context.pipeline
                )));
            }
        }
        let edits = AttributeEdits::new(config.actions.clone());
        Ok(Self { series: MergedSeries::new(edits), node: Arc::clone(&context.node) })
    }
}

impl Processor for AttributesProcessor {
    fn process(&mut self, batch: Batch, out: &mut Vec<Batch>) -> Result<(), ComponentError> {
        out.push(match batch {
            Batch::Window(window) => {
                let points = window.point_count();
                let window = self.series.edit(Arc::unwrap_or_clone(window));
                self.node.add_folded(points - window.point_count());
                Batch::Window(Arc::new(window))
            }
            other => other,
        });
        Ok(())
    }

    fn finish(&mut self, _out: &mut Vec<Batch>) -> Result<(), ComponentError> {
        Ok(())
    }
}
