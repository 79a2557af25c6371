//! [`Runtime`]: runs a graph. Every stage is a task; bounded channels connect them.
//!
//! Extensions and exporters start first, receivers last. Receivers stop first. A stage ends when its input has ended and it has sent its
//! remaining items, so that the graph drains in the direction of the flow. Extensions stop last. A stage or an extension that fails or
//! panics stops the whole graph.

#[cfg(test)]
mod tests;

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use opentelemetry::metrics::{Meter, MeterProvider};
use opentelemetry_sdk::metrics::SdkMeterProvider;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::component::{
    Accounting, Authenticators, ComponentError, Directories, Exporter, ExporterContext, Extension,
    ExtensionContext, Health, Node, NodeKind, Processor, ProcessorContext, Receiver, ReceiverContext,
    RecordOutput, Shared, with_causes,
};
use crate::runtime::delivery::{ExportPhase, SHUTDOWN_LIMIT, SendingQueue};
use crate::runtime::graph::{
    Plan, PlannedExporter, PlannedExtension, PlannedPipeline, PlannedProcessor, PlannedReceiver,
};
use crate::runtime::stage::{self, FanOut, StageSender, channel};

/// Capacity of the channel from a receiver to a pipeline, in batches. A pass over 100,000 sockets is about 400 batches.
const RECEIVER_QUEUE: usize = 256;
/// Capacity of a channel between two stages, in batches.
const STAGE_QUEUE: usize = 16;
/// Time for the graph to drain after a failure. Longer than exporters need to shut down, so that only a stage that hangs is aborted.
const FAILURE_LIMIT: Duration = SHUTDOWN_LIMIT.saturating_add(Duration::from_secs(2));

/// A running graph.
pub struct Runtime {
    tasks: JoinSet<EndedTask>,
    stop: CancellationToken,
    extensions: JoinSet<EndedTask>,
    /// Fires when all stages have ended and no longer need the extensions.
    stop_extensions: CancellationToken,
    health: Health,
}

/// What the components of a graph share.
#[derive(Clone, Default)]
struct GraphEnvironment {
    directories: Directories,
    authenticators: Authenticators,
    shared: Shared,
}

/// A task that has ended.
struct EndedTask {
    what: String,
    result: Result<(), ComponentError>,
}

/// What the runtime needs from the process.
#[derive(Clone)]
pub struct RuntimeEnvironment {
    /// Counters of all stages.
    pub accounting: Accounting,
    /// For the components' self-telemetry.
    pub meter: Meter,
    /// Resource attributes of Longwave.
    pub resource: Arc<Vec<(String, String)>>,
    /// Health of the graph.
    pub health: Health,
}

/// Why the graph could not start, or failed.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// A component could not be created or started. No component is running.
    #[error("failed to start {id:?} {role}")]
    Start {
        /// Id of the component.
        id: String,
        /// `extension`, `receiver`, `processor` or `exporter`.
        role: &'static str,
        /// The cause.
        source: ComponentError,
    },
    /// A stage or an extension failed. The others were stopped.
    #[error("{what} failed")]
    Failed {
        /// Describes the stage.
        what: String,
        /// The cause.
        source: ComponentError,
    },
}

// === impl Runtime ===

impl Runtime {
    /// Creates and starts every component.
    ///
    /// # Errors
    /// The first component that fails. All components that were started before have been stopped.
    pub async fn start(plan: &Plan, environment: &RuntimeEnvironment) -> Result<Self, RuntimeError> {
        let mut runtime = Self {
            tasks: JoinSet::new(),
            stop: CancellationToken::new(),
            extensions: JoinSet::new(),
            stop_extensions: CancellationToken::new(),
            health: environment.health.clone(),
        };
        match runtime.start_all(plan, environment).await {
            Ok(()) => {
                runtime.health.all_started();
                Ok(runtime)
            }
            Err(error) => {
                runtime.stop();
                // Only the first failure is returned.
                let _ = runtime.join().await;
                Err(error)
            }
        }
    }

    /// Creates every component as [`Self::start`] does, but starts none. Finds errors that occur only at creation, such as a certificate
    /// that cannot be read.
    ///
    /// # Errors
    /// The first component that cannot be created.
    pub fn dry_run(plan: &Plan, resource: &Arc<Vec<(String, String)>>) -> Result<(), RuntimeError> {
        let meter = SdkMeterProvider::default().meter("dry_run");
        let environment = RuntimeEnvironment {
            accounting: Accounting::default(),
            meter,
            resource: Arc::clone(resource),
            health: Health::default(),
        };
        let (_, graph) = create_extensions(plan, &environment)?;
        plan.exporters
            .iter()
            .try_for_each(|planned| create_exporter(planned, &environment, &graph).map(drop))?;
        for pipeline in &plan.pipelines {
            for planned in &pipeline.processors {
                create_processor(planned, pipeline, &environment, &graph)?;
            }
        }
        plan.receivers
            .iter()
            .try_for_each(|planned| create_receiver(planned, plan, &environment, &graph.shared).map(drop))
    }

    async fn start_all(&mut self, plan: &Plan, environment: &RuntimeEnvironment) -> Result<(), RuntimeError> {
        let (extensions, graph) = create_extensions(plan, environment)?;
        for (id, extension) in extensions {
            let started = extension.start(self.stop_extensions.clone()).await;
            let running = started.map_err(|source| RuntimeError::start(&id, "extension", source))?;
            self.extensions.spawn(run(format!("extension {id:?}"), None, running));
        }
        let mut exporters = Vec::new();
        for planned in &plan.exporters {
            exporters.push(self.start_exporter(planned, environment, &graph).await?);
        }
        let mut pipeline_senders = Vec::new();
        for pipeline in &plan.pipelines {
            pipeline_senders.push(self.start_pipeline(pipeline, &exporters, environment, &graph)?);
        }
        drop(exporters);
        for receiver in &plan.receivers {
            let created = create_receiver(receiver, plan, environment, &graph.shared)?;
            let edges = receiver.pipelines.iter().map(|index| {
                let pipeline = &plan.pipelines[*index];
                let node = environment.accounting.node(
                    NodeKind::Receiver,
                    &receiver.id,
                    &pipeline.id,
                    pipeline.signal,
                    false,
                );
                let sender = &pipeline_senders[*index];
                sender.nodes.iter().for_each(|to| environment.accounting.connect(&node, to));
                (node, sender.channel.clone())
            });
            let output = RecordOutput::new(edges.collect());
            let running = created
                .start(output, self.stop.child_token())
                .await
                .map_err(|source| RuntimeError::start(&receiver.id, "receiver", source))?;
            self.spawn(format!("receiver {:?}", receiver.id), None, running);
        }
        Ok(())
    }

    /// Stops the receivers; the other stages follow. May be called at any time and repeatedly.
    pub fn stop(&self) {
        self.health.stopping("the pipelines are stopping");
        self.stop.cancel();
    }

    /// Waits until every stage and then every extension has ended: after a stop, or when the inputs of all receivers have ended.
    ///
    /// # Errors
    /// The first stage or extension that failed or panicked. The failure stops the graph; the others have 17 seconds to drain.
    pub async fn join(&mut self) -> Result<(), RuntimeError> {
        let mut failure: Option<(RuntimeError, Instant)> = None;
        loop {
            let deadline = failure.as_ref().map(|(_, deadline)| *deadline);
            let Some(ended) = self.next_ended(deadline).await else { break };
            let error = match ended {
                Ok(EndedTask { result: Ok(()), .. }) => continue,
                Ok(EndedTask { what, result: Err(source) }) => RuntimeError::Failed { what, source },
                Err(lost) => RuntimeError::Failed {
                    what: "a stage".to_owned(),
                    source: ComponentError::with_source("its task panicked or was aborted", lost),
                },
            };
            self.health.stopping(with_causes(&error));
            self.stop.cancel();
            failure.get_or_insert_with(|| (error, Instant::now() + FAILURE_LIMIT));
        }
        failure.map_or(Ok(()), |(error, _)| Err(error))
    }

    /// Returns the next task that ended. `None` if all have ended or were aborted at the deadline.
    async fn next_ended(&mut self, deadline: Option<Instant>) -> Option<Result<EndedTask, JoinError>> {
        if self.tasks.is_empty() {
            self.stop_extensions.cancel();
        }
        let deadline = match deadline {
            // To abort an extension that hangs loses no data.
            None if self.tasks.is_empty() => Some(Instant::now() + SHUTDOWN_LIMIT),
            given => given,
        };
        let (tasks, extensions) = (&mut self.tasks, &mut self.extensions);
        let next = async {
            tokio::select! {
                Some(ended) = tasks.join_next() => Some(ended),
                Some(ended) = extensions.join_next() => Some(ended),
                else => None,
            }
        };
        match deadline {
            None => next.await,
            Some(deadline) => match tokio::time::timeout_at(deadline, next).await {
                Ok(ended) => ended,
                Err(_) => {
                    self.tasks.abort_all();
                    self.extensions.abort_all();
                    None
                }
            },
        }
    }

    async fn start_exporter(
        &mut self,
        planned: &PlannedExporter,
        environment: &RuntimeEnvironment,
        graph: &GraphEnvironment,
    ) -> Result<StageSender, RuntimeError> {
        let exporter = create_exporter(planned, environment, graph)?;
        let pusher = exporter.pusher();
        pusher.start().await.map_err(|source| RuntimeError::start(&planned.id, "exporter", source))?;
        let node = environment.accounting.node(NodeKind::Exporter, &planned.id, "", planned.signal, false);
        let (sender, input) = channel(STAGE_QUEUE, vec![Arc::clone(&node)]);
        let (delivery, is_ordered) = (exporter.delivery(), exporter.is_ordered());
        let queue =
            SendingQueue::start(&planned.id, pusher, delivery, is_ordered, Arc::clone(&node), &self.stop)
                .with_phase(ExportPhase::of(&environment.resource));
        let what = format!("exporter {:?}", planned.id);
        let progress = self.health.stage(&what);
        let running = stage::run_exporter(exporter, input, queue, Arc::clone(&node), progress);
        self.spawn(what, Some(node), running);
        Ok(sender)
    }

    fn start_pipeline(
        &mut self,
        pipeline: &PlannedPipeline,
        exporters: &[StageSender],
        environment: &RuntimeEnvironment,
        graph: &GraphEnvironment,
    ) -> Result<StageSender, RuntimeError> {
        let mut next: Vec<StageSender> =
            pipeline.exporters.iter().map(|index| exporters[*index].clone()).collect();
        for (position, planned) in pipeline.processors.iter().enumerate().rev() {
            let (processor, node) = create_processor(planned, pipeline, environment, graph)?;
            next.iter()
                .flat_map(|sender| &sender.nodes)
                .for_each(|to| environment.accounting.connect(&node, to));
            let room = if position == 0 { RECEIVER_QUEUE } else { STAGE_QUEUE };
            let (sender, input) = channel(room, vec![Arc::clone(&node)]);
            let what = format!("processor {:?} of pipeline {:?}", planned.id, pipeline.id);
            let (output, progress) = (FanOut { targets: next }, self.health.stage(&what));
            let running = stage::run_processor(processor, input, output, Arc::clone(&node), progress);
            self.spawn(what, Some(node), running);
            next = vec![sender];
        }
        if pipeline.processors.is_empty() {
            let nodes = next.iter().flat_map(|sender| sender.nodes.clone()).collect();
            let (sender, input) = channel(RECEIVER_QUEUE, nodes);
            let running = stage::pass_on(input, FanOut { targets: next });
            self.spawn(format!("pipeline {:?}", pipeline.id), None, running);
            return Ok(sender);
        }
        Ok(next.swap_remove(0))
    }

    fn spawn(
        &mut self,
        what: String,
        node: Option<Arc<Node>>,
        stage: impl Future<Output = Result<(), ComponentError>> + Send + 'static,
    ) {
        self.tasks.spawn(run(what, node, stage));
    }
}

// === impl RuntimeError ===

impl RuntimeError {
    fn start(id: &str, role: &'static str, source: ComponentError) -> Self {
        Self::Start { id: id.to_owned(), role, source }
    }
}

/// Runs a stage. If it fails or panics, its items are counted as dropped.
async fn run(
    what: String,
    node: Option<Arc<Node>>,
    stage: impl Future<Output = Result<(), ComponentError>> + Send + 'static,
) -> EndedTask {
    let result = AssertUnwindSafe(stage).catch_unwind().await;
    let result = result.unwrap_or_else(|panic| Err(panicked(&*panic)));
    if let (Err(_), Some(node)) = (&result, node) {
        node.drop_contents();
    }
    EndedTask { what, result }
}

/// Creates all extensions. Returns them with their ids, and what they provide to the components of the graph.
#[allow(clippy::type_complexity)]
fn create_extensions(
    plan: &Plan,
    environment: &RuntimeEnvironment,
) -> Result<(Vec<(String, Box<dyn Extension>)>, GraphEnvironment), RuntimeError> {
    let mut created = Vec::new();
    for PlannedExtension { id, prepared } in &plan.extensions {
        let (meter, health) = (environment.meter.clone(), environment.health.clone());
        let context = ExtensionContext { id: id.clone(), meter, health };
        let extension = (prepared.create)(context);
        created.push((id.clone(), extension.map_err(|source| RuntimeError::start(id, "extension", source))?));
    }
    let known = created.iter().filter_map(|(id, extension)| Some((id.clone(), extension.directory()?)));
    let directories = Directories::new(known);
    let known = created.iter().filter_map(|(id, extension)| Some((id.clone(), extension.authenticator()?)));
    let authenticators = Authenticators::new(known);
    Ok((created, GraphEnvironment { directories, authenticators, shared: Shared::default() }))
}

fn create_exporter(
    planned: &PlannedExporter,
    environment: &RuntimeEnvironment,
    graph: &GraphEnvironment,
) -> Result<Box<dyn Exporter>, RuntimeError> {
    let mut resource = Arc::clone(&environment.resource);
    for action in &planned.resource_actions {
        action.apply(Arc::make_mut(&mut resource));
    }
    let context = ExporterContext {
        id: planned.id.clone(),
        signal: planned.signal,
        resource,
        meter: environment.meter.clone(),
        authenticators: graph.authenticators.clone(),
    };
    (planned.prepared.create)(context).map_err(|source| RuntimeError::start(&planned.id, "exporter", source))
}

fn create_processor(
    planned: &PlannedProcessor,
    pipeline: &PlannedPipeline,
    environment: &RuntimeEnvironment,
    graph: &GraphEnvironment,
) -> Result<(Box<dyn Processor>, Arc<Node>), RuntimeError> {
    let node = environment.accounting.node(
        NodeKind::Processor,
        &planned.id,
        &pipeline.id,
        pipeline.signal,
        planned.aggregates,
    );
    let context = ProcessorContext {
        id: planned.id.clone(),
        pipeline: pipeline.id.clone(),
        node: Arc::clone(&node),
        meter: environment.meter.clone(),
        directories: graph.directories.clone(),
        shared: graph.shared.clone(),
    };
    let created = (planned.prepared.create)(context);
    let processor = created.map_err(|source| RuntimeError::start(&planned.id, "processor", source))?;
    Ok((processor, node))
}

fn create_receiver(
    planned: &PlannedReceiver,
    plan: &Plan,
    environment: &RuntimeEnvironment,
    shared: &Shared,
) -> Result<Box<dyn Receiver>, RuntimeError> {
    let signals = planned.pipelines.iter().map(|index| plan.pipelines[*index].signal).collect();
    let (meter, health) = (environment.meter.clone(), environment.health.clone());
    let context = ReceiverContext { id: planned.id.clone(), signals, meter, health, shared: shared.clone() };
    (planned.prepared.create)(context).map_err(|source| RuntimeError::start(&planned.id, "receiver", source))
}

/// Makes an error from a panic's message.
fn panicked(panic: &(dyn Any + Send)) -> ComponentError {
    let message = panic.downcast_ref::<&str>().copied();
    let message =
        message.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
    ComponentError::new(format!("it panicked ({message}): this is a bug in Longwave, please report it"))
}
