//! [`Restart`]: a component that starts when a former one has ended, because only one of them can have a port, a file or a program.

use std::sync::Arc;

use super::create::{Created, Creator, Provided};
use super::running::{Kept, NextStage, RunningExporter, RunningExtension, RunningGraph, RunningReceiver};
use super::task::{TaskHandle, TaskSetup};
use super::{Runtime, RuntimeError};
use crate::component::{
    Exporter, Extension, Node, OutputHandle, Receiver, RecordOutput, Running, Signal, StageSender,
    WeakStageSender,
};
use crate::runtime::graph::{PlannedExporter, PlannedExtension, PlannedReceiver};
use crate::runtime::stage::Input;

/// A component that waits for the end of others. `previous` is the one of the same kind that it replaces.
pub(super) enum Restart {
    Extension {
        planned: PlannedExtension,
        previous: Option<PlannedExtension>,
        created: Created<dyn Extension>,
        provided: Provided,
        task: TaskHandle,
        after: Vec<TaskHandle>,
    },
    Exporter {
        planned: PlannedExporter,
        previous: Option<PlannedExporter>,
        created: Created<dyn Exporter>,
        sender: WeakStageSender,
        input: Input,
        node: Arc<Node>,
        task: TaskHandle,
        after: Vec<TaskHandle>,
    },
    Receiver {
        planned: PlannedReceiver,
        previous: Option<PlannedReceiver>,
        created: Created<dyn Receiver>,
        edges: Vec<(Arc<Node>, StageSender)>,
        signals: Vec<Signal>,
        task: TaskHandle,
        after: Vec<TaskHandle>,
    },
}

/// Result of a restart.
pub(super) struct Restarted {
    /// The component, or the one that it replaces. An error means that neither has started.
    pub(super) started: Result<StartedComponent, RuntimeError>,
    /// Why the component has not started.
    pub(super) error: Option<RuntimeError>,
}

/// A component that has started and has no task yet.
pub(super) enum StartedComponent {
    Extension { running: Running, setup: TaskSetup, extension: RunningExtension },
    Exporter { created: Created<dyn Exporter>, input: Input, node: Arc<Node>, exporter: RunningExporter },
    Receiver { running: Running, setup: TaskSetup, receiver: RunningReceiver },
}

/// Components that are not kept, and that may use something of which there is only one.
pub(super) struct Conflicts {
    extensions: Vec<(PlannedExtension, TaskHandle)>,
    exporters: Vec<(PlannedExporter, TaskHandle)>,
    receivers: Vec<(PlannedReceiver, TaskHandle)>,
}

// === impl Conflicts ===

impl Conflicts {
    pub(super) fn new(graph: &RunningGraph, kept: &Kept) -> Self {
        let is_kept = |stages: &[NextStage], of| stages.iter().any(|stage| stage.kept() == Some(of));
        Self {
            extensions: ending(graph.extensions.iter().map(|it| (&it.planned, &it.task)), |index| {
                kept.extensions.contains(&Some(index))
            }),
            exporters: ending(graph.exporters.iter().map(|it| (&it.planned, &it.task)), |index| {
                is_kept(&kept.exporters, index)
            }),
            receivers: ending(graph.receivers.iter().map(|it| (&it.planned, &it.task)), |index| {
                kept.receivers.contains(&Some(index))
            }),
        }
    }

    /// Returns the tasks that have something of `exclusive`.
    pub(super) fn with(&self, exclusive: &[String]) -> Vec<TaskHandle> {
        let extensions = self.extensions.iter().map(|(it, task)| (&it.prepared.exclusive, task));
        let exporters = self.exporters.iter().map(|(it, task)| (&it.prepared.exclusive, task));
        let receivers = self.receivers.iter().map(|(it, task)| (&it.prepared.exclusive, task));
        let all = extensions.chain(exporters).chain(receivers);
        all.filter(|(of, _)| overlap(of, exclusive)).map(|(_, task)| task.clone()).collect()
    }

    pub(super) fn extension(&self, exclusive: &[String]) -> Option<PlannedExtension> {
        self.extensions
            .iter()
            .map(|(it, _)| it)
            .find(|it| overlap(&it.prepared.exclusive, exclusive))
            .cloned()
    }

    pub(super) fn exporter(&self, exclusive: &[String]) -> Option<PlannedExporter> {
        self.exporters.iter().map(|(it, _)| it).find(|it| overlap(&it.prepared.exclusive, exclusive)).cloned()
    }

    pub(super) fn receiver(&self, exclusive: &[String]) -> Option<PlannedReceiver> {
        self.receivers.iter().map(|(it, _)| it).find(|it| overlap(&it.prepared.exclusive, exclusive)).cloned()
    }
}

/// Returns the running components that end: those that are not kept and have not ended.
fn ending<'a, P: Clone + 'a>(
    running: impl Iterator<Item = (&'a P, &'a TaskHandle)>,
    is_kept: impl Fn(usize) -> bool,
) -> Vec<(P, TaskHandle)> {
    let ending = running.enumerate().filter(|(index, (_, task))| !is_kept(*index) && !task.has_ended());
    ending.map(|(_, (planned, task))| (planned.clone(), task.clone())).collect()
}

fn overlap(some: &[String], others: &[String]) -> bool {
    some.iter().any(|name| others.contains(name))
}

// === impl Restart ===

impl Restart {
    /// Returns the id of the extension that is replaced.
    pub(super) fn replaced_extension(&self) -> Option<&str> {
        match self {
            Self::Extension { previous: Some(previous), .. } => Some(&previous.id),
            _ => None,
        }
    }

    /// Waits for the end of the former components and starts. After a failure, starts what it replaces.
    pub(super) async fn run(self, creator: &Creator) -> Restarted {
        match self {
            Self::Extension { planned, previous, created, provided, task, after } => {
                all_ended(&after).await;
                let error = match start_extension(planned, created, provided, &task).await {
                    Ok(started) => return Restarted::new(started),
                    Err(error) => error,
                };
                let Some(previous) = previous else { return Restarted::failed(error) };
                Restarted::instead(error, restart_extension(previous, creator, &task).await)
            }
            Self::Exporter { planned, previous, created, sender, input, node, task, after } => {
                all_ended(&after).await;
                let error = match created.component.pusher().start().await {
                    Ok(()) => {
                        let exporter = RunningExporter { planned, sender, task };
                        return Restarted::new(StartedComponent::Exporter { created, input, node, exporter });
                    }
                    Err(source) => RuntimeError::start("exporters", &planned.id, source),
                };
                drop(created);
                let Some(planned) = previous else { return Restarted::failed(error) };
                let restarted = restart_exporter(&planned, creator).await.map(|created| {
                    let exporter = RunningExporter { planned, sender, task };
                    StartedComponent::Exporter { created, input, node, exporter }
                });
                Restarted::instead(error, restarted)
            }
            Self::Receiver { planned, previous, created, edges, signals, task, after } => {
                let _restarting = creator.environment.health.restarting(&planned.id);
                all_ended(&after).await;
                let error = match start_receiver(planned, created, edges.clone(), &task).await {
                    Ok(started) => return Restarted::new(started),
                    Err(error) => error,
                };
                let Some(previous) = previous else { return Restarted::failed(error) };
                let restarted = match creator.receiver_of(&previous, signals) {
                    Ok(created) => start_receiver(previous, created, edges, &task).await,
                    Err(error) => Err(error),
                };
                Restarted::instead(error, restarted)
            }
        }
    }
}

async fn all_ended(tasks: &[TaskHandle]) {
    for task in tasks {
        task.ended().await;
    }
}

async fn start_extension(
    planned: PlannedExtension,
    created: Created<dyn Extension>,
    provided: Provided,
    task: &TaskHandle,
) -> Result<StartedComponent, RuntimeError> {
    let started = created.component.start(task.stop.clone()).await;
    let running = started.map_err(|source| RuntimeError::start("extensions", &planned.id, source))?;
    let setup = TaskSetup::of_component("extensions", &planned.id, created.scope, task);
    let extension = RunningExtension { planned, provided, task: task.clone() };
    Ok(StartedComponent::Extension { running, setup, extension })
}

async fn restart_extension(
    previous: PlannedExtension,
    creator: &Creator,
    task: &TaskHandle,
) -> Result<StartedComponent, RuntimeError> {
    let created = creator.extension(&previous)?;
    let provided = Provided::of(&*created.component);
    start_extension(previous, created, provided, task).await
}

async fn restart_exporter(
    previous: &PlannedExporter,
    creator: &Creator,
) -> Result<Created<dyn Exporter>, RuntimeError> {
    let created = creator.exporter(previous)?;
    let started = created.component.pusher().start().await;
    started.map_err(|source| RuntimeError::start("exporters", &previous.id, source))?;
    Ok(created)
}

async fn start_receiver(
    planned: PlannedReceiver,
    created: Created<dyn Receiver>,
    edges: Vec<(Arc<Node>, StageSender)>,
    task: &TaskHandle,
) -> Result<StartedComponent, RuntimeError> {
    let output = RecordOutput::new(edges);
    let handle: OutputHandle = output.handle();
    let started = created.component.start(output, task.stop.clone()).await;
    let running = started.map_err(|source| RuntimeError::start("receivers", &planned.id, source))?;
    let setup = TaskSetup::of_component("receivers", &planned.id, created.scope, task);
    let receiver = RunningReceiver { planned, output: handle, task: task.clone() };
    Ok(StartedComponent::Receiver { running, setup, receiver })
}

// === impl Restarted ===

impl Restarted {
    fn new(started: StartedComponent) -> Self {
        Self { started: Ok(started), error: None }
    }

    fn failed(error: RuntimeError) -> Self {
        Self { started: Err(error), error: None }
    }

    /// `error`: why the new component has not started. `restarted`: the one that it replaces.
    fn instead(error: RuntimeError, restarted: Result<StartedComponent, RuntimeError>) -> Self {
        Self { started: restarted, error: Some(error) }
    }
}

// === impl StartedComponent ===

impl StartedComponent {
    /// Adds the component to the running graph. Returns its description.
    pub(super) fn spawn(self, runtime: &mut Runtime, creator: &Creator) -> String {
        match self {
            Self::Extension { running, setup, extension } => {
                let what = setup.what.clone();
                runtime.spawn_extension(setup, running);
                runtime.graph.extensions.push(extension);
                what
            }
            Self::Exporter { created, input, node, exporter } => {
                runtime.spawn_exporter(&exporter.planned, created, input, node, &exporter.task, creator);
                let what = format!("exporters::{}", exporter.planned.id);
                runtime.graph.exporters.push(exporter);
                what
            }
            Self::Receiver { running, setup, receiver } => {
                let what = setup.what.clone();
                runtime.spawn(setup, running);
                runtime.graph.receivers.push(receiver);
                what
            }
        }
    }
}
