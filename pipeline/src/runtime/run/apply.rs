//! [`Runtime::apply`]: replaces what differs from the next plan, while the rest runs on.
//!
//! 1. All new components are created and started. A failure stops them again, and the running graph has not changed.
//! 2. Kept receivers and pipelines get their new targets, between two batches. What is no longer part of the graph stops, in the direction
//!    of the flow, while the new graph already runs. A pipeline waits until the former one of its id has ended, so that the order of windows
//!    stays.
//! 3. A component that needs what a former one has, such as a listening port, starts when that one has ended. If it does not start, the
//!    former one starts again.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::create::{Created, Creator, Provided};
use super::restart::{Conflicts, Restart};
use super::running::{
    Kept, NextStage, RunningExporter, RunningExtension, RunningGraph, RunningPipeline, RunningReceiver,
};
use super::task::{EndedTask, TaskHandle, TaskSetup};
use super::{FAILURE_LIMIT, RECEIVER_QUEUE, Runtime, RuntimeEnvironment, RuntimeError, STAGE_QUEUE};
use crate::component::{
    Accounting, Exporter, Extension, Node, NodeKind, Processor, Receiver, RecordOutput, Running, StageSender,
};
use crate::runtime::delivery::{ExportPhase, SendingQueue};
use crate::runtime::graph::{Plan, PlannedExporter, PlannedPipeline, PlannedReceiver};
use crate::runtime::stage::{self, FanOut, Input, channel};

/// Result of a reload.
#[derive(Debug, Default)]
pub struct Changes {
    /// Number of components that run on.
    pub kept: usize,
    /// Components that have started, such as `receiver "bpf"`.
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
    /// What waits for the end of a former component.
    restarts: Vec<Restart>,
    /// Tasks of what has started.
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
        let started = tokio::select! {
            biased;
            () = failed.cancelled() => Err(RuntimeError::Stopping),
            started = self.start_parts(plan, &kept, parts, &creator, &mut next) => started,
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

    /// Starts the new components, apart from those that have to wait for the end of a former one.
    async fn start_parts(
        &mut self,
        plan: &Plan,
        kept: &Kept,
        parts: NewParts,
        creator: &Creator,
        next: &mut NextGraph,
    ) -> Result<(), RuntimeError> {
        let conflicts = Conflicts::new(&self.graph, kept);
        for (index, part) in parts.extensions.into_iter().enumerate() {
            let planned = &plan.extensions[index];
            let Some((created, provided)) = part else {
                let running = kept.extensions[index].map(|index| self.graph.extensions[index].clone());
                next.graph.extensions.extend(running);
                next.changes.kept += 1;
                continue;
            };
            let task = TaskHandle::new(&self.stop_extensions);
            let after = conflicts.with(&planned.prepared.exclusive);
            if !after.is_empty() {
                let (planned, previous) = (planned.clone(), conflicts.extension(&planned.prepared.exclusive));
                next.restarts.push(Restart::Extension { planned, previous, created, provided, task, after });
                continue;
            }
            let started = created.component.start(task.stop.clone()).await;
            let running = started.map_err(|source| RuntimeError::start(&planned.id, "extension", source))?;
            let planned = planned.clone();
            next.started.extensions.push(task.clone());
            next.changes.started.push(format!("extension {:?}", planned.id));
            let setup = TaskSetup::of_component("extension", &planned.id, created.scope, &task);
            self.spawn_extension(setup, running);
            next.graph.extensions.push(RunningExtension { planned, provided, task });
        }
        for (index, part) in parts.exporters.into_iter().enumerate() {
            let planned = &plan.exporters[index];
            let Some(created) = part else {
                let sender = match &kept.exporters[index] {
                    NextStage::Kept { index, sender } => {
                        next.graph.exporters.push(self.graph.exporters[*index].clone());
                        next.changes.kept += 1;
                        sender.clone()
                    }
                    NextStage::New | NextStage::Unneeded => None,
                };
                next.exporters.push(sender);
                continue;
            };
            let (id, signal) = (&planned.id, planned.signal);
            let node = creator.environment.accounting.node(NodeKind::Exporter, id, "", signal, false);
            let (sender, input) = channel(STAGE_QUEUE, &node);
            let task = TaskHandle::new(&self.stop);
            let after = conflicts.with(&planned.prepared.exclusive);
            next.exporters.push(Some(sender.clone()));
            let planned = planned.clone();
            if !after.is_empty() {
                let previous = conflicts.exporter(&planned.prepared.exclusive);
                let sender = sender.downgrade();
                next.restarts.push(Restart::Exporter {
                    planned,
                    previous,
                    created,
                    sender,
                    input,
                    node,
                    task,
                    after,
                });
                continue;
            }
            let started = created.component.pusher().start().await;
            started.map_err(|source| RuntimeError::start(&planned.id, "exporter", source))?;
            next.started.stages.push(task.clone());
            next.changes.started.push(format!("exporter {:?}", planned.id));
            self.spawn_exporter(&planned, created, input, node, &task, creator);
            next.graph.exporters.push(RunningExporter { planned, sender: sender.downgrade(), task });
        }
        for (index, part) in parts.pipelines.into_iter().enumerate() {
            let sender = match (part, &kept.pipelines[index]) {
                (Some(processors), _) => {
                    Some(self.start_pipeline(&plan.pipelines[index], processors, creator, next))
                }
                (None, NextStage::Kept { index, sender }) => {
                    next.graph.pipelines.push(self.graph.pipelines[*index].clone());
                    next.changes.kept += self.graph.pipelines[*index].processors;
                    sender.clone()
                }
                (None, NextStage::New | NextStage::Unneeded) => None,
            };
            next.pipelines.push(sender);
        }
        for (index, part) in parts.receivers.into_iter().enumerate() {
            let planned = &plan.receivers[index];
            let Some(created) = part else {
                let running = kept.receivers[index].map(|index| self.graph.receivers[index].clone());
                next.graph.receivers.extend(running);
                next.changes.kept += 1;
                continue;
            };
            let edges = edges(plan, planned, &next.pipelines, &creator.environment.accounting);
            let task = TaskHandle::new(&self.stop);
            let after = conflicts.with(&planned.prepared.exclusive);
            if !after.is_empty() {
                let (planned, previous) = (planned.clone(), conflicts.receiver(&planned.prepared.exclusive));
                let signals = planned.pipelines.iter().map(|index| plan.pipelines[*index].signal).collect();
                next.restarts.push(Restart::Receiver {
                    planned,
                    previous,
                    created,
                    edges,
                    signals,
                    task,
                    after,
                });
                continue;
            }
            let output = RecordOutput::new(edges);
            let handle = output.handle();
            let started = created.component.start(output, task.stop.clone()).await;
            let running = started.map_err(|source| RuntimeError::start(&planned.id, "receiver", source))?;
            let planned = planned.clone();
            next.started.receivers.push(task.clone());
            next.changes.started.push(format!("receiver {:?}", planned.id));
            self.spawn(TaskSetup::of_component("receiver", &planned.id, created.scope, &task), running);
            next.graph.receivers.push(RunningReceiver { planned, output: handle, task });
        }
        Ok(())
    }

    /// Starts the stages of a pipeline. Returns the sender to the first.
    fn start_pipeline(
        &mut self,
        pipeline: &PlannedPipeline,
        processors: Vec<CreatedProcessor>,
        creator: &Creator,
        next: &mut NextGraph,
    ) -> StageSender {
        let targets = pipeline.exporters.iter().filter_map(|index| next.exporters[*index].clone());
        let output = FanOut::new(targets.collect());
        let handle = output.handle();
        let task = TaskHandle::new(&self.stop);
        // The last stage of the former pipeline with this id.
        let former = self.graph.pipelines.iter().find(|it| it.id == pipeline.id).map(|it| it.task.clone());
        let discarded = next.discarded.clone();
        let turn = async move {
            if let Some(former) = former {
                tokio::select! {
                    () = former.ended() => {}
                    () = discarded.cancelled() => {}
                }
            }
        };
        let sender = if processors.is_empty() {
            let accounting = &creator.environment.accounting;
            let node = accounting.node(NodeKind::Passage, "", &pipeline.id, pipeline.signal, false);
            let (sender, input) = channel(RECEIVER_QUEUE, &node);
            let setup = TaskSetup {
                what: format!("pipeline {:?}", pipeline.id),
                node: Some(node),
                scope: None,
                handle: task.clone(),
            };
            self.spawn(setup, async move {
                turn.await;
                stage::pass_on(input, output).await
            });
            sender
        } else {
            let (mut output, mut turn, mut sender) = (Some(output), Some(turn), None);
            let last = processors.len() - 1;
            for (position, (created, node)) in processors.into_iter().enumerate().rev() {
                let id = &pipeline.processors[position].id;
                let room = if position == 0 { RECEIVER_QUEUE } else { STAGE_QUEUE };
                let (to_stage, input) = channel(room, &node);
                let Some(targets) = output.take() else { unreachable!("each stage leaves an output") };
                let what = format!("processor {id:?} of pipeline {:?}", pipeline.id);
                let progress = self.health.stage(&what);
                let setup = TaskSetup {
                    what,
                    node: Some(Arc::clone(&node)),
                    scope: Some(created.scope),
                    handle: if position == last { task.clone() } else { task.another() },
                };
                let turn = if position == 0 { turn.take() } else { None };
                self.spawn(setup, async move {
                    if let Some(turn) = turn {
                        turn.await;
                    }
                    stage::run_processor(created.component, input, targets, node, progress).await
                });
                output = Some(FanOut::new(vec![to_stage.clone()]));
                sender = Some(to_stage);
            }
            let Some(sender) = sender else { unreachable!("there is a processor") };
            sender
        };
        next.started.stages.push(task.clone());
        let names =
            pipeline.processors.iter().map(|it| format!("processor {:?} of {:?}", it.id, pipeline.id));
        next.changes.started.extend(names);
        next.graph.pipelines.push(RunningPipeline {
            id: pipeline.id.clone(),
            fingerprint: pipeline.fingerprint.clone(),
            processors: pipeline.processors.len(),
            sender: sender.downgrade(),
            output: handle,
            task,
        });
        sender
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
                changes.stopped.push(format!("receiver {:?}", planned.id));
                retired.push(task.clone());
            }
        }
        for (index, RunningPipeline { id, task, .. }) in former.pipelines.iter().enumerate() {
            if !is_kept(&kept.pipelines, index) && !task.has_ended() {
                changes.stopped.push(format!("pipeline {id:?}"));
                retired.push(task.clone());
            }
        }
        for (index, RunningExporter { planned, task, .. }) in former.exporters.iter().enumerate() {
            if !is_kept(&kept.exporters, index) && !task.has_ended() {
                changes.stopped.push(format!("exporter {:?}", planned.id));
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
            changes.stopped.push(format!("extension {:?}", planned.id));
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

    pub(super) fn spawn_exporter(
        &mut self,
        planned: &PlannedExporter,
        created: Created<dyn Exporter>,
        input: Input,
        node: Arc<Node>,
        task: &TaskHandle,
        creator: &Creator,
    ) {
        let Created { component, scope } = created;
        let (delivery, is_ordered) = (component.delivery(), component.is_ordered());
        let pusher = component.pusher();
        let queue =
            SendingQueue::start(&planned.id, pusher, delivery, is_ordered, Arc::clone(&node), &task.stop)
                .with_phase(ExportPhase::of(&creator.environment.resource))
                .with_storage(component.storage());
        let setup = TaskSetup::of_component("exporter", &planned.id, scope, task).with_node(&node);
        let progress = self.health.stage(&setup.what);
        self.spawn(setup, stage::run_exporter(component, input, queue, node, progress));
    }

    pub(super) fn spawn_extension(&mut self, setup: TaskSetup, running: Running) {
        self.extensions.spawn(super::task::run(setup, self.failed.clone(), running));
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
