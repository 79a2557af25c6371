//! The running graph: every stage a task, bounded channels between them.
//!
//! Start: exporters first, receivers last. Stop: receivers first; a stage ends when its input has ended and it has passed on what it
//! held, so the graph drains in the direction of its flow and exporters end last. A stage that fails or panics stops the whole graph.

mod output;
mod stage;

#[cfg(test)]
mod tests;

use std::future::Future;
use std::sync::Arc;

use opentelemetry::metrics::Meter;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::accounting::{Accounting, Node, NodeKind};
use crate::batch::Batch;
use crate::component::{
    ComponentError, ExporterContext, ProcessorContext, Receiver, ReceiverContext, Signal,
};
use crate::delivery::queue::{SHUTDOWN_LIMIT, SendingQueue};
use crate::graph::Plan;
pub use output::{Delivered, RecordOutput};
use stage::FanOut;

/// Batches that a receiver may be ahead of a pipeline: a pass over 100,000 sockets is about 100 of them.
const RECEIVER_QUEUE: usize = 256;
/// Batches between two stages.
const STAGE_QUEUE: usize = 16;

/// A started graph.
pub struct Runtime {
    tasks: JoinSet<Ended>,
    stop: CancellationToken,
}

struct Ended {
    what: String,
    result: Result<(), ComponentError>,
}

/// A stage's channel, and its counters where it has any: a passage has none, and stands for the exporters behind it.
#[derive(Clone)]
struct Entry {
    sender: mpsc::Sender<Batch>,
    nodes: Vec<Arc<Node>>,
}

/// What the graph needs from its surroundings.
#[derive(Clone)]
pub struct Surroundings {
    /// Counters of all stages.
    pub accounting: Accounting,
    /// For the components' own measurements.
    pub meter: Meter,
    /// Who exports.
    pub resource: Arc<Vec<(String, String)>>,
}

/// The graph could not start, or ended in failure.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// A component could not be created or started; nothing runs.
    #[error("failed to start {id:?} {role}")]
    Start {
        /// The component's id.
        id: String,
        /// `receiver`, `processor` or `exporter`.
        role: &'static str,
        /// Why.
        source: ComponentError,
    },
    /// A stage failed while running; the others were stopped.
    #[error("{what} failed")]
    Failed {
        /// Which stage.
        what: String,
        /// Why.
        source: ComponentError,
    },
}

// === impl Runtime ===

impl Runtime {
    /// Creates and starts every component.
    ///
    /// # Errors
    /// The first component that fails; what was started before is ended.
    pub async fn start(plan: &Plan, around: &Surroundings) -> Result<Self, RuntimeError> {
        let mut runtime = Self { tasks: JoinSet::new(), stop: CancellationToken::new() };
        let mut exporters = Vec::new();
        for index in 0..plan.exporters.len() {
            exporters.push(runtime.start_exporter(plan, index, around).await?);
        }
        let mut entries = Vec::new();
        for index in 0..plan.pipelines.len() {
            entries.push(runtime.start_pipeline(plan, index, &exporters, around)?);
        }
        drop(exporters);
        for receiver in &plan.receivers {
            let signals: Vec<Signal> =
                receiver.pipelines.iter().map(|index| plan.pipelines[*index].signal).collect();
            let failed = |source| RuntimeError::Start { id: receiver.id.clone(), role: "receiver", source };
            let context = ReceiverContext { id: receiver.id.clone(), signals, meter: around.meter.clone() };
            let created: Box<dyn Receiver> = (receiver.prepared.create)(context).map_err(failed)?;
            let edges = receiver.pipelines.iter().map(|index| {
                let pipeline = &plan.pipelines[*index];
                let node = around.accounting.node(
                    NodeKind::Receiver,
                    &receiver.id,
                    &pipeline.id,
                    pipeline.signal,
                    false,
                );
                let entry = &entries[*index];
                entry.nodes.iter().for_each(|to| around.accounting.connect(&node, to));
                (node, entry.sender.clone())
            });
            let output = RecordOutput::new(edges.collect());
            let running = created.start(output, runtime.stop.child_token()).await.map_err(failed)?;
            runtime.spawn(format!("receiver {:?}", receiver.id), running);
        }
        Ok(runtime)
    }

    /// Asks the receivers to stop; everything else follows. May be called at any time, any number of times.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Waits until every stage has ended: after a stop, or when all receivers have come to their input's end.
    ///
    /// # Errors
    /// The first stage that failed or panicked. It stops the graph; the others get [`SHUTDOWN_LIMIT`] to drain.
    pub async fn join(&mut self) -> Result<(), RuntimeError> {
        let mut failure: Option<RuntimeError> = None;
        loop {
            let next = self.tasks.join_next();
            let ended = if failure.is_some() {
                match tokio::time::timeout(SHUTDOWN_LIMIT, next).await {
                    Ok(ended) => ended,
                    Err(_) => {
                        self.tasks.abort_all();
                        None
                    }
                }
            } else {
                next.await
            };
            let Some(ended) = ended else { break };
            let error = match ended {
                Ok(Ended { result: Ok(()), .. }) => continue,
                Ok(Ended { what, result: Err(source) }) => RuntimeError::Failed { what, source },
                Err(panic) => RuntimeError::Failed {
                    what: "a stage".to_owned(),
                    source: ComponentError::with_source(
                        "it panicked; this is a mistake in Longwave, please report it",
                        panic,
                    ),
                },
            };
            self.stop.cancel();
            failure.get_or_insert(error);
        }
        failure.map_or(Ok(()), Err)
    }

    async fn start_exporter(
        &mut self,
        plan: &Plan,
        index: usize,
        around: &Surroundings,
    ) -> Result<Entry, RuntimeError> {
        let planned = &plan.exporters[index];
        let failed = |source| RuntimeError::Start { id: planned.id.clone(), role: "exporter", source };
        let context = ExporterContext {
            id: planned.id.clone(),
            signal: planned.signal,
            resource: Arc::clone(&around.resource),
            meter: around.meter.clone(),
        };
        let exporter = (planned.prepared.create)(context).map_err(failed)?;
        let pusher = exporter.pusher();
        pusher.start().await.map_err(failed)?;
        let node = around.accounting.node(NodeKind::Exporter, &planned.id, "", planned.signal, false);
        let (sender, input) = mpsc::channel(STAGE_QUEUE);
        let queue = SendingQueue::start(&planned.id, pusher, exporter.delivery(), Arc::clone(&node));
        self.spawn(
            format!("exporter {:?}", planned.id),
            stage::run_exporter(exporter, input, queue, Arc::clone(&node)),
        );
        Ok(Entry { sender, nodes: vec![node] })
    }

    fn start_pipeline(
        &mut self,
        plan: &Plan,
        index: usize,
        exporters: &[Entry],
        around: &Surroundings,
    ) -> Result<Entry, RuntimeError> {
        let pipeline = &plan.pipelines[index];
        let mut next: Vec<Entry> = pipeline.exporters.iter().map(|index| exporters[*index].clone()).collect();
        for (position, planned) in pipeline.processors.iter().enumerate().rev() {
            let node = around.accounting.node(
                NodeKind::Processor,
                &planned.id,
                &pipeline.id,
                pipeline.signal,
                planned.aggregates,
            );
            next.iter().flat_map(|entry| &entry.nodes).for_each(|to| around.accounting.connect(&node, to));
            let context = ProcessorContext {
                id: planned.id.clone(),
                pipeline: pipeline.id.clone(),
                node: Arc::clone(&node),
                meter: around.meter.clone(),
            };
            let processor = (planned.prepared.create)(context).map_err(|source| RuntimeError::Start {
                id: planned.id.clone(),
                role: "processor",
                source,
            })?;
            let (sender, input) = mpsc::channel(if position == 0 { RECEIVER_QUEUE } else { STAGE_QUEUE });
            let what = format!("processor {:?} of pipeline {:?}", planned.id, pipeline.id);
            let output = FanOut { targets: next.into_iter().map(|entry| entry.sender).collect() };
            self.spawn(what, stage::run_processor(processor, input, output, Arc::clone(&node)));
            next = vec![Entry { sender, nodes: vec![node] }];
        }
        if pipeline.processors.is_empty() {
            let (sender, input) = mpsc::channel(RECEIVER_QUEUE);
            let nodes = next.iter().flat_map(|entry| entry.nodes.clone()).collect();
            let output = FanOut { targets: next.into_iter().map(|entry| entry.sender).collect() };
            self.spawn(format!("pipeline {:?}", pipeline.id), stage::run_passage(input, output));
            return Ok(Entry { sender, nodes });
        }
        Ok(next.swap_remove(0))
    }

    fn spawn(
        &mut self,
        what: String,
        stage: impl Future<Output = Result<(), ComponentError>> + Send + 'static,
    ) {
        self.tasks.spawn(async move { Ended { what, result: stage.await } });
    }
}
