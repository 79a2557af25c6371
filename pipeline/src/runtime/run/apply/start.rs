//! Starts the new components of a plan.

use std::sync::Arc;

use super::{CreatedProcessor, NewParts, NextGraph, edges};
use crate::component::{Exporter, Extension, Node, NodeKind, Receiver, RecordOutput, Running, StageSender};
use crate::runtime::delivery::{ExportPhase, SendingQueue};
use crate::runtime::graph::{Plan, PlannedExporter, PlannedPipeline};
use crate::runtime::run::create::{Created, Creator, Provided};
use crate::runtime::run::restart::{Conflicts, Restart};
use crate::runtime::run::running::{
    Kept, NextStage, RunningExporter, RunningExtension, RunningGraph, RunningPipeline, RunningReceiver,
};
use crate::runtime::run::task::{self, TaskHandle, TaskSetup};
use crate::runtime::run::{RECEIVER_QUEUE, Runtime, RuntimeError, STAGE_QUEUE};
use crate::runtime::stage::{self, FanOut, Input, channel};

/// Starts the new components of a plan, apart from those that have to wait for the end of a former one.
pub(super) struct Starting<'a> {
    plan: &'a Plan,
    kept: &'a Kept,
    creator: &'a Creator,
    conflicts: Conflicts,
}

// === impl Starting ===

impl<'a> Starting<'a> {
    pub(super) fn new(graph: &RunningGraph, plan: &'a Plan, kept: &'a Kept, creator: &'a Creator) -> Self {
        Self { plan, kept, creator, conflicts: Conflicts::new(graph, kept) }
    }

    /// Starts extensions, exporters, pipelines and receivers, in this order: each stage starts after those that it sends to.
    pub(super) async fn start(
        self,
        runtime: &mut Runtime,
        parts: NewParts,
        next: &mut NextGraph,
    ) -> Result<(), RuntimeError> {
        self.start_extensions(runtime, parts.extensions, next).await?;
        self.start_exporters(runtime, parts.exporters, next).await?;
        self.start_pipelines(runtime, parts.pipelines, next);
        self.start_receivers(runtime, parts.receivers, next).await
    }

    async fn start_extensions(
        &self,
        runtime: &mut Runtime,
        parts: Vec<Option<(Created<dyn Extension>, Provided)>>,
        next: &mut NextGraph,
    ) -> Result<(), RuntimeError> {
        for (index, part) in parts.into_iter().enumerate() {
            let planned = &self.plan.extensions[index];
            let Some((created, provided)) = part else {
                let running =
                    self.kept.extensions[index].map(|index| runtime.graph.extensions[index].clone());
                next.graph.extensions.extend(running);
                next.changes.kept += 1;
                continue;
            };
            let task = TaskHandle::new(&runtime.stop_extensions);
            let after = self.conflicts.with(&planned.prepared.exclusive);
            if !after.is_empty() {
                let (planned, previous) =
                    (planned.clone(), self.conflicts.extension(&planned.prepared.exclusive));
                next.restarts.push(Restart::Extension { planned, previous, created, provided, task, after });
                continue;
            }
            let started = created.component.start(task.stop.clone()).await;
            let running = started.map_err(|source| RuntimeError::start("extensions", &planned.id, source))?;
            let planned = planned.clone();
            next.started.extensions.push(task.clone());
            next.changes.started.push(format!("extensions::{}", planned.id));
            let setup = TaskSetup::of_component("extensions", &planned.id, created.scope, &task);
            runtime.spawn_extension(setup, running);
            next.graph.extensions.push(RunningExtension { planned, provided, task });
        }
        Ok(())
    }

    async fn start_exporters(
        &self,
        runtime: &mut Runtime,
        parts: Vec<Option<Created<dyn Exporter>>>,
        next: &mut NextGraph,
    ) -> Result<(), RuntimeError> {
        for (index, part) in parts.into_iter().enumerate() {
            let planned = &self.plan.exporters[index];
            let Some(created) = part else {
                let sender = match &self.kept.exporters[index] {
                    NextStage::Kept { index, sender } => {
                        next.graph.exporters.push(runtime.graph.exporters[*index].clone());
                        next.changes.kept += 1;
                        sender.clone()
                    }
                    NextStage::New | NextStage::Unneeded => None,
                };
                next.exporters.push(sender);
                continue;
            };
            let (id, signal) = (&planned.id, planned.signal);
            let node = self.creator.environment.accounting.node(NodeKind::Exporter, id, "", signal, false);
            let (sender, input) = channel(STAGE_QUEUE, &node);
            let task = TaskHandle::new(&runtime.stop);
            let after = self.conflicts.with(&planned.prepared.exclusive);
            next.exporters.push(Some(sender.clone()));
            let planned = planned.clone();
            if !after.is_empty() {
                let previous = self.conflicts.exporter(&planned.prepared.exclusive);
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
            started.map_err(|source| RuntimeError::start("exporters", &planned.id, source))?;
            next.started.stages.push(task.clone());
            next.changes.started.push(format!("exporters::{}", planned.id));
            runtime.spawn_exporter(&planned, created, input, node, &task, self.creator);
            next.graph.exporters.push(RunningExporter { planned, sender: sender.downgrade(), task });
        }
        Ok(())
    }

    fn start_pipelines(
        &self,
        runtime: &mut Runtime,
        parts: Vec<Option<Vec<CreatedProcessor>>>,
        next: &mut NextGraph,
    ) {
        for (index, part) in parts.into_iter().enumerate() {
            let sender = match (part, &self.kept.pipelines[index]) {
                (Some(processors), _) => {
                    Some(self.start_pipeline(runtime, &self.plan.pipelines[index], processors, next))
                }
                (None, NextStage::Kept { index, sender }) => {
                    next.graph.pipelines.push(runtime.graph.pipelines[*index].clone());
                    next.changes.kept += runtime.graph.pipelines[*index].processors;
                    sender.clone()
                }
                (None, NextStage::New | NextStage::Unneeded) => None,
            };
            next.pipelines.push(sender);
        }
    }

    async fn start_receivers(
        &self,
        runtime: &mut Runtime,
        parts: Vec<Option<Created<dyn Receiver>>>,
        next: &mut NextGraph,
    ) -> Result<(), RuntimeError> {
        for (index, part) in parts.into_iter().enumerate() {
            let planned = &self.plan.receivers[index];
            let Some(created) = part else {
                let running = self.kept.receivers[index].map(|index| runtime.graph.receivers[index].clone());
                next.graph.receivers.extend(running);
                next.changes.kept += 1;
                continue;
            };
            let edges = edges(self.plan, planned, &next.pipelines, &self.creator.environment.accounting);
            let task = TaskHandle::new(&runtime.stop);
            let after = self.conflicts.with(&planned.prepared.exclusive);
            if !after.is_empty() {
                let (planned, previous) =
                    (planned.clone(), self.conflicts.receiver(&planned.prepared.exclusive));
                let signals =
                    planned.pipelines.iter().map(|index| self.plan.pipelines[*index].signal).collect();
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
            let running = started.map_err(|source| RuntimeError::start("receivers", &planned.id, source))?;
            let planned = planned.clone();
            next.started.receivers.push(task.clone());
            next.changes.started.push(format!("receivers::{}", planned.id));
            runtime.spawn(TaskSetup::of_component("receivers", &planned.id, created.scope, &task), running);
            next.graph.receivers.push(RunningReceiver { planned, output: handle, task });
        }
        Ok(())
    }

    /// Starts the stages of a pipeline. Returns the sender to the first.
    fn start_pipeline(
        &self,
        runtime: &mut Runtime,
        pipeline: &PlannedPipeline,
        processors: Vec<CreatedProcessor>,
        next: &mut NextGraph,
    ) -> StageSender {
        let targets = pipeline.exporters.iter().filter_map(|index| next.exporters[*index].clone());
        let output = FanOut::new(targets.collect());
        let handle = output.handle();
        let task = TaskHandle::new(&runtime.stop);
        // The last stage of the former pipeline with this id.
        let former = runtime.graph.pipelines.iter().find(|it| it.id == pipeline.id).map(|it| it.task.clone());
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
            let accounting = &self.creator.environment.accounting;
            let node = accounting.node(NodeKind::Passage, "", &pipeline.id, pipeline.signal, false);
            let (sender, input) = channel(RECEIVER_QUEUE, &node);
            let setup = TaskSetup {
                what: format!("service::pipelines::{}", pipeline.id),
                node: Some(node),
                scope: None,
                handle: task.clone(),
            };
            runtime.spawn(setup, async move {
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
                let what = format!("processors::{id} of service::pipelines::{}", pipeline.id);
                let progress = runtime.health.stage(&what);
                let setup = TaskSetup {
                    what,
                    node: Some(Arc::clone(&node)),
                    scope: Some(created.scope),
                    handle: if position == last { task.clone() } else { task.another() },
                };
                let turn = if position == 0 { turn.take() } else { None };
                runtime.spawn(setup, async move {
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
        let names = pipeline
            .processors
            .iter()
            .map(|it| format!("processors::{} of service::pipelines::{}", it.id, pipeline.id));
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
}

// === impl Runtime ===

impl Runtime {
    pub(in crate::runtime::run) fn spawn_exporter(
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
        let setup = TaskSetup::of_component("exporters", &planned.id, scope, task).with_node(&node);
        let progress = self.health.stage(&setup.what);
        self.spawn(setup, stage::run_exporter(component, input, queue, node, progress));
    }

    pub(in crate::runtime::run) fn spawn_extension(&mut self, setup: TaskSetup, running: Running) {
        self.extensions.spawn(task::run(setup, self.failed.clone(), running));
    }
}
