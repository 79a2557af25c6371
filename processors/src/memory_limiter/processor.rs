//! [`MemoryLimiterProcessor`]: drops the records of one pipeline while the limiter refuses them.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use longwave_pipeline::component::host::{memory_limit, release_memory, resident_memory};
use longwave_pipeline::component::{ComponentError, DropReason, Node, Processor, ProcessorContext, Signal};
use longwave_pipeline::model::{Batch, ConnectionRecord};

use super::config::MemoryLimiterConfig;
use super::limiter::{Memory, MemoryLimiter, MemoryLimiters};

/// Drops records, or passes them.
pub struct MemoryLimiterProcessor {
    limiter: Arc<MemoryLimiter>,
    node: Arc<Node>,
}

const MEMORY: Memory = Memory { used: || resident_memory(Path::new("/proc")), release: release_memory };

// === impl MemoryLimiterProcessor ===

impl MemoryLimiterProcessor {
    /// Creates the processor of one pipeline.
    ///
    /// # Errors
    /// The limit is a part of the memory that the process may use, which is unknown.
    pub fn new(config: &MemoryLimiterConfig, context: &ProcessorContext) -> Result<Self, ComponentError> {
        Self::with_memory(config, context, MEMORY)
    }

    pub(super) fn with_memory(
        config: &MemoryLimiterConfig,
        context: &ProcessorContext,
        memory: Memory,
    ) -> Result<Self, ComponentError> {
        let limits = config.limits(memory_limit(Path::new("/proc"))).ok_or_else(|| {
            ComponentError::new(format!(
                "processors::{}: limit_percentage: cannot read how much memory this process may use from /proc/meminfo: set limit_mib",
                context.id
            ))
        })?;
        let limiters = context.shared.get_or_make(|| Ok::<_, Infallible>(MemoryLimiters::default()));
        let limiters = limiters.unwrap_or_else(|never| match never {});
        let make = || MemoryLimiter::new(&context.id, config, limits, memory);
        context.node.may_drop(DropReason::MEMORY_LIMIT);
        Ok(Self {
            limiter: limiters.get_or_insert(&context.id, config, make),
            node: Arc::clone(&context.node),
        })
    }

    /// Drops records, except the last ones of connections in a metrics pipeline.
    fn refuse(&self, records: Arc<Vec<ConnectionRecord>>, out: &mut Vec<Batch>) {
        let passes = |record: &ConnectionRecord| self.node.signal == Signal::Metrics && record.event.is_end();
        let (mut dropped, mut bytes) = (0, 0_u64);
        for record in records.iter().filter(|record| !passes(record)) {
            dropped += 1;
            bytes = bytes.saturating_add(record.delta.traffic_bytes());
        }
        self.node.add_dropped(DropReason::MEMORY_LIMIT, dropped, bytes);
        self.limiter.add_refused(dropped);
        if dropped < records.len() as u64 {
            let mut records = Arc::unwrap_or_clone(records);
            records.retain(passes);
            out.push(Batch::records(records));
        }
    }
}

impl Processor for MemoryLimiterProcessor {
    fn process(&mut self, batch: Batch, out: &mut Vec<Batch>) -> Result<(), ComponentError> {
        let is_refused = self.limiter.refuses(Instant::now());
        match batch {
            Batch::Records(records) if is_refused => self.refuse(records, out),
            other => out.push(other),
        }
        Ok(())
    }

    fn finish(&mut self, _out: &mut Vec<Batch>) -> Result<(), ComponentError> {
        Ok(())
    }
}
