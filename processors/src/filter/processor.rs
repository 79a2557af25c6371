//! [`FilterProcessor`]: drops records by the rules of a [`FilterConfig`].

use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashSet;
use longwave_pipeline::component::{ComponentError, DropReason, Node, Processor, ProcessorContext, Signal};
use longwave_pipeline::model::{Batch, ConnectionId, ConnectionRecord, Event};

use super::config::FilterConfig;

/// Drops the records that the rules do not keep. The others keep their order. A batch without dropped records is passed on without a copy.
///
/// In a metrics pipeline, a connection of which a record was kept is kept until it ends, even if its role, its names or its measures change. Otherwise the
/// `window` processor would not receive its end, and count it as open forever.
pub struct FilterProcessor {
    config: FilterConfig,
    node: Arc<Node>,
    /// Open connections of which a record was kept. `None` if the rules need no memory of them.
    kept: Option<HashSet<ConnectionId, RandomState>>,
    /// For each record of the current batch, whether it is kept.
    verdicts: Vec<bool>,
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
                "processors::{}: the rules on events drop {} but keep open or update, so the window processor of service::pipelines::{} \
                 would count those connections as open forever: keep close and vanished, or use the filter in a logs pipeline",
                context.id,
                hidden.join(" and "),
                context.pipeline,
            )));
        }
        context.node.may_drop(DropReason::FILTERED);
        let remembers = is_metrics(&context.pipeline) && config.can_change_within_a_connection();
        Ok(Self {
            config: config.clone(),
            node: Arc::clone(&context.node),
            kept: remembers.then(HashSet::default),
            verdicts: Vec::new(),
        })
    }

    /// Returns true if the record is kept.
    fn keeps(&mut self, record: &ConnectionRecord) -> bool {
        let keeps = self.config.keeps_connection(record);
        let keeps_event = self.config.keeps_event(record.event);
        let Some(kept) = &mut self.kept else { return keeps && keeps_event };
        if !matches!(record.event, Event::Open | Event::Update) {
            return (kept.remove(&record.id) || keeps) && keeps_event;
        }
        if keeps && keeps_event {
            kept.insert(record.id);
        }
        keeps_event && (keeps || kept.contains(&record.id))
    }

    fn filter(&mut self, mut records: Arc<Vec<ConnectionRecord>>) -> Arc<Vec<ConnectionRecord>> {
        let mut verdicts = std::mem::take(&mut self.verdicts);
        verdicts.clear();
        verdicts.extend(records.iter().map(|record| self.keeps(record)));
        let (mut dropped, mut bytes) = (0, 0);
        for (record, _) in records.iter().zip(&verdicts).filter(|(_, keep)| !**keep) {
            dropped += 1;
            bytes = record.delta.traffic_bytes().saturating_add(bytes);
        }
        if dropped > 0 {
            self.node.add_dropped(DropReason::FILTERED, dropped, bytes);
            let mut verdict = verdicts.iter().copied();
            let mut next = || verdict.next().unwrap_or_default();
            match Arc::get_mut(&mut records) {
                Some(own) => own.retain(|_| next()),
                // The batch is shared, so only the kept records are copied.
                None => records = Arc::new(records.iter().filter(|_| next()).cloned().collect()),
            }
        }
        self.verdicts = verdicts;
        records
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
