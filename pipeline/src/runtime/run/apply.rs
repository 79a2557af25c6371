//! [`Runtime::apply`]: replaces what differs from the next plan, while the rest runs on.
//!
//! 1. All new components are created and started. A failure stops them again, and the running graph has not changed.
//! 2. Kept receivers and pipelines get their new targets, between two batches. What is no longer part of the graph stops, in the direction
//!    of the flow, while the new graph already runs. A pipeline waits until the former one of its id has ended, so that the order of windows
//!    stays.
//! 3. A component that needs what a former one has, such as a listening port, starts when that one has ended. If it does not start, the
//!    former one starts again.

mod start;

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio_util::sync::{CancellationToken, DropGuard};

use self::start::Starting;
use super::create::{Created, Creator, Provided};
use super::restart::Restart;
use super::running::{
    Kept, NextStage, RunningExporter, RunningExtension, RunningGraph, RunningPipeline, RunningReceiver,
};
use super::task::{EndedTask, TaskHandle};
use super::{FAILURE_LIMIT, Runtime, RuntimeEnvironment, RuntimeError};
use crate::component::{Accounting, Exporter, Extension, Node, NodeKind, Processor, Receiver, StageSender};
use crate::runtime::graph::{Plan, PlannedReceiver};

/// Result of a reload.
#[derive(Debug, Default)]
pub struct Changes {
    /// Number of components that run on.
    pub kept: usize,
    /// Components that have started, such as `receivers::bpf`.
    pub started: Vec<String>,
    /// Components that stop. They may still be delivering what they have.
    pub stopped: Vec<String>,
    /// Components that did not start after those that they replace had stopped. The latter run again.
    pub failed: Vec<RuntimeError>,
}

/// The new components of a plan, by their indices there. `None` for those that are kept or not needed.
struct NewParts {
    extensions: Vec<Option<(Created<dyn Extension>, Provided)>>,
    exporters: Vec<Option<Created<dyn Exporter>>>,
    pipelines: Vec<Option<Vec<CreatedProcessor>>>,
    receivers: Vec<Option<Created<dyn Receiver>>>,
}

/// A new processor and its counters.
type CreatedProcessor = (Created<dyn Processor>, Arc<Node>);

/// The next graph, while it is made.
struct NextGraph {
    graph: RunningGraph,
    /// By the indices of the plan. `None` if the stage has ended or does not start.
    exporters: Vec<Option<StageSender>>,
    pipelines: Vec<Option<StageSender>>,
    /// Components that wait for the end of a former one.
    restarts: Vec<Restart>,
    /// Tasks of the components that have started.
    started: StartedTasks,
    changes: Changes,
    /// Fires if the next graph is discarded. Pipelines then do not wait for their predecessors.
    discarded: CancellationToken,
    _discard: DropGuard,
}

#[derive(Default)]
struct StartedTasks {
    extensions: Vec<TaskHandle>,
    stages: Vec<TaskHandle>,
    receivers: Vec<TaskHandle>,
}

impl Runtime {
    /// Runs another plan. What has not changed runs on, with its queue, its state and its counters.
    ///
    /// If the future is dropped, the runtime can only be stopped.
    ///
    /// # Errors
    /// A component cannot be created or started. The running graph has not changed.
    pub async fn apply(
        &mut self,
        plan: &Plan,
        environment: &RuntimeEnvironment,
    ) -> Result<Changes, RuntimeError> {
        self.reap();
        let kept = Kept::of(&self.graph, plan, self.resource == environment.resource);
        let mut creator = Creator::new(environment, &self.meters, &self.shared);
        let parts = self.create(plan, &kept, &mut creator)?;
        let mut next = NextGraph::new();
        let failed = self.failed.clone();
        let starting = Starting::new(&self.graph, plan, &kept, &creator);
        let started = tokio::select! {
            biased;
            () = failed.cancelled() => Err(RuntimeError::Stopping),
            started = starting.start(self, parts, &mut next) => started,
        };
        if let Err(error) = started {
            drop(kept);
            self.discard(next).await;
            return Err(error);
        }
        self.resource = Arc::clone(&environment.resource);
        let (restarts, mut changes) = self.commit(plan, kept, next, environment);
        tokio::select! {
            biased;
            () = failed.cancelled() => {}
            () = self.restart(restarts, &creator, &mut changes) => {}
        }
        Ok(changes)
    }

    /// Creates all new components.
    fn create(&self, plan: &Plan, kept: &Kept, creator: &mut Creator) -> Result<NewParts, RuntimeError> {
        let (mut extensions, mut provided) = (Vec::new(), Vec::new());
        for (planned, kept) in plan.extensions.iter().zip(&kept.extensions) {
            let (part, by) = match kept {
                Some(index) => (None, self.graph.extensions[*index].provided.clone()),
                None => {
                    let created = creator.extension(planned)?;
                    let by = Provided::of(&*created.component);
                    (Some((created, by.clone())), by)
                }
            };
            extensions.push(part);
            provided.push((planned.id.clone(), by));
        }
        creator.set_extensions(&provided);
        let exporters = plan.exporters.iter().zip(&kept.exporters).map(|(planned, stage)| {
            matches!(stage, NextStage::New).then(|| creator.exporter(planned)).transpose()
        });
        let exporters = exporters.collect::<Result<_, _>>()?;
        let pipelines = plan.pipelines.iter().zip(&kept.pipelines).map(|(pipeline, stage)| {
            let create = || pipeline.processors.iter().map(|it| creator.processor(it, pipeline)).collect();
            matches!(stage, NextStage::New).then(create).transpose()
        });
        let pipelines = pipelines.collect::<Result<_, _>>()?;
        let receivers = plan
            .receivers
            .iter()
            .zip(&kept.receivers)
            .map(|(planned, kept)| kept.is_none().then(|| creator.receiver(planned, plan)).transpose());
        let receivers = receivers.collect::<Result<_, _>>()?;
        Ok(NewParts { extensions, exporters, pipelines, receivers })
    }

    /// Stops what has started of a graph that does not run.
    async fn discard(&mut self, next: NextGraph) {
        let NextGraph { started, exporters, pipelines, restarts, graph, _discard, .. } = next;
        drop((exporters, pipelines, restarts, graph, _discard));
        let ended = async {
            for tasks in [&started.receivers, &started.stages, &started.extensions] {
                tasks.iter().for_each(TaskHandle::retire);
                for task in tasks {
                    task.ended().await;
                }
            }
        };
        if tokio::time::timeout(FAILURE_LIMIT, ended).await.is_err() {
            tracing::error!("components of the refused configuration do not stop");
        }
    }

    /// Makes the next graph the running one. What is not kept begins to stop.
    fn commit(
        &mut self,
        plan: &Plan,
        kept: Kept,
        next: NextGraph,
        environment: &RuntimeEnvironment,
    ) -> (Vec<Restart>, Changes) {
        let NextGraph { graph, exporters, pipelines, restarts, mut changes, _discard, .. } = next;
        _discard.disarm();
        for (pipeline, stage) in plan.pipelines.iter().zip(&kept.pipelines) {
            if let NextStage::Kept { index, sender: Some(_) } = stage {
                let targets = pipeline.exporters.iter().filter_map(|index| exporters[*index].clone());
                self.graph.pipelines[*index].output.set(targets.collect());
            }
        }
        for (receiver, index) in plan.receivers.iter().zip(&kept.receivers) {
            if let Some(index) = index {
                let edges = edges(plan, receiver, &pipelines, &environment.accounting);
                self.graph.receivers[*index].output.set(edges);
            }
        }
        let former = std::mem::replace(&mut self.graph, graph);
        let is_kept = |stages: &[NextStage], of: usize| stages.iter().any(|stage| stage.kept() == Some(of));
        let continues = |id: &str| {
            let index = former.pipelines.iter().position(|pipeline| pipeline.id == id);
            index.is_some_and(|index| is_kept(&kept.pipelines, index))
        };
        let mut retired = Vec::new();
        for (index, RunningReceiver { planned, output, task }) in former.receivers.iter().enumerate() {
            if !kept.receivers.contains(&Some(index)) && !task.has_ended() {
                output.continues(continues);
                changes.stopped.push(format!("receivers::{}", planned.id));
                retired.push(task.clone());
            }
        }
        for (index, RunningPipeline { id, task, .. }) in former.pipelines.iter().enumerate() {
            if !is_kept(&kept.pipelines, index) && !task.has_ended() {
                changes.stopped.push(format!("service::pipelines::{id}"));
                retired.push(task.clone());
            }
        }
        for (index, RunningExporter { planned, task, .. }) in former.exporters.iter().enumerate() {
            if !is_kept(&kept.exporters, index) && !task.has_ended() {
                changes.stopped.push(format!("exporters::{}", planned.id));
                retired.push(task.clone());
            }
        }
        retired.iter().for_each(TaskHandle::retire);
        let replaced: Vec<&str> = restarts.iter().filter_map(Restart::replaced_extension).collect();
        let mut unused = Vec::new();
        for (index, RunningExtension { planned, task, .. }) in former.extensions.iter().enumerate() {
            if kept.extensions.contains(&Some(index)) || task.has_ended() {
                continue;
            }
            changes.stopped.push(format!("extensions::{}", planned.id));
            if replaced.contains(&planned.id.as_str()) {
                task.retire();
            } else {
                unused.push(task.clone());
            }
        }
        if !unused.is_empty() {
            self.extensions.spawn(async move {
                for task in retired {
                    task.ended().await;
                }
                unused.iter().for_each(TaskHandle::retire);
                EndedTask { what: "the end of extensions".to_owned(), result: Ok(()), is_retired: true }
            });
        }
        (restarts, changes)
    }

    /// Starts each component that waits for the end of a former one, or the former one again if that fails.
    async fn restart(&mut self, restarts: Vec<Restart>, creator: &Creator, changes: &mut Changes) {
        let mut restarts: FuturesUnordered<_> =
            restarts.into_iter().map(|restart| restart.run(creator)).collect();
        while let Some(ended) = restarts.next().await {
            changes.failed.extend(ended.error);
            match ended.started {
                Ok(started) => changes.started.push(started.spawn(self, creator)),
                Err(error) => self.fail(error),
            }
        }
    }
}

/// Returns the edges of a receiver to its pipelines.
fn edges(
    plan: &Plan,
    receiver: &PlannedReceiver,
    pipelines: &[Option<StageSender>],
    accounting: &Accounting,
) -> Vec<(Arc<Node>, StageSender)> {
    let edges = receiver.pipelines.iter().filter_map(|index| {
        let (pipeline, sender) = (&plan.pipelines[*index], pipelines[*index].clone()?);
        let (id, signal) = (&receiver.id, pipeline.signal);
        Some((accounting.node(NodeKind::Receiver, id, &pipeline.id, signal, false), sender))
    });
    edges.collect()
}

// === impl NextGraph ===

impl NextGraph {
    fn new() -> Self {
        let discarded = CancellationToken::new();
        Self {
            graph: RunningGraph::default(),
            exporters: Vec::new(),
            pipelines: Vec::new(),
            restarts: Vec::new(),
            started: StartedTasks::default(),
            changes: Changes::default(),
            _discard: discarded.clone().drop_guard(),
            discarded,
        }
    }
}

#[cfg(test)]
mod tests;
