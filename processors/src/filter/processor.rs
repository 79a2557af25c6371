//! [`FilterProcessor`]: drops records by the rules of a [`FilterConfig`].

use std::sync::Arc;

use longwave_pipeline::component::{ComponentError, DropReason, Node, Processor, ProcessorContext, Signal};
use longwave_pipeline::model::{Batch, ConnectionRecord, Event};

use super::config::FilterConfig;

/// Drops the records that the rules do not keep. The others keep their order. A batch without dropped records is passed on without a copy.
pub struct FilterProcessor {
    config: FilterConfig,
    node: Arc<Node>,
}

// === impl FilterProcessor ===

impl FilterProcessor {
    /// Creates a processor.
    ///
    /// # Errors
    /// The pipeline is a `metrics` pipeline, and the rules keep opens and drop closes: `connections.active` would only grow.
    pub fn new(config: &FilterConfig, context: &ProcessorContext) -> Result<Self, ComponentError> {
        let passes = |event| config.keeps_event(event);
        let hidden = [Event::Close, Event::Vanished].into_iter().filter(|event| !passes(*event));
        let hidden: Vec<&str> = hidden.map(Event::as_str).collect();
        if is_metrics(&context.pipeline)
            && !hidden.is_empty()
            && [Event::Open, Event::Update].into_iter().any(passes)
        {
            return Err(ComponentError::new(format!(
                "processors::{}: the rules on events drop {} but keep open or update, so the window processor of pipeline \"{}\" \
                 would count those connections as open forever: keep close and vanished, or use the filter in a logs pipeline",
                context.id,
                hidden.join(" and "),
                context.pipeline,
            )));
        }
        context.node.may_drop(DropReason::FILTERED);
        Ok(Self { config: config.clone(), node: Arc::clone(&context.node) })
    }

    fn filter(&self, mut records: Arc<Vec<ConnectionRecord>>) -> Arc<Vec<ConnectionRecord>> {
        let (mut dropped, mut bytes) = (0, 0);
        for record in records.iter().filter(|record| !self.config.keeps(record)) {
            dropped += 1;
            bytes = record.delta.traffic_bytes().saturating_add(bytes);
        }
        if dropped == 0 {
            return records;
        }
        self.node.add_dropped(DropReason::FILTERED, dropped, bytes);
        match Arc::get_mut(&mut records) {
            Some(own) => {
                own.retain(|record| self.config.keeps(record));
                records
            }
            // The batch is shared, so only the kept records are copied.
            None => Arc::new(records.iter().filter(|record| self.config.keeps(record)).cloned().collect()),
        }
    }
}

impl Processor for FilterProcessor {
    fn process(&mut self, batch: Batch, out: &mut Vec<Batch>) -> Result<(), ComponentError> {
        match batch {
            Batch::Records(records) => {
                let kept = self.filter(records);
                if !kept.is_empty() {
                    out.push(Batch::Records(kept));
                }
            }
            other => out.push(other),
        }
        Ok(())
    }

    fn finish(&mut self, _out: &mut Vec<Batch>) -> Result<(), ComponentError> {
        Ok(())
    }
}

fn is_metrics(pipeline: &str) -> bool {
    pipeline.split('/').next() == Some(Signal::Metrics.to_string().as_str())
}
