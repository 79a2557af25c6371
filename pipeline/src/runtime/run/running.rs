//! [`RunningGraph`]: the components that run. It does not keep stages from ending with their input.

use super::create::Provided;
use super::task::TaskHandle;
use crate::component::{OutputHandle, StageSender, WeakStageSender};
use crate::runtime::graph::{Fingerprint, Plan, PlannedExporter, PlannedExtension, PlannedReceiver};
use crate::runtime::stage::FanOutHandle;

/// The components of the running graph.
#[derive(Default)]
pub(super) struct RunningGraph {
    pub(super) extensions: Vec<RunningExtension>,
    pub(super) exporters: Vec<RunningExporter>,
    pub(super) pipelines: Vec<RunningPipeline>,
    pub(super) receivers: Vec<RunningReceiver>,
}

#[derive(Clone)]
pub(super) struct RunningExtension {
    pub(super) planned: PlannedExtension,
    pub(super) provided: Provided,
    pub(super) task: TaskHandle,
}

#[derive(Clone)]
pub(super) struct RunningExporter {
    pub(super) planned: PlannedExporter,
    pub(super) sender: WeakStageSender,
    pub(super) task: TaskHandle,
}

#[derive(Clone)]
pub(super) struct RunningPipeline {
    pub(super) id: String,
    pub(super) fingerprint: Fingerprint,
    /// Number of its processors.
    pub(super) processors: usize,
    /// Sends to its first stage.
    pub(super) sender: WeakStageSender,
    /// Output of its last stage.
    pub(super) output: FanOutHandle,
    /// Task of its last stage.
    pub(super) task: TaskHandle,
}

#[derive(Clone)]
pub(super) struct RunningReceiver {
    pub(super) planned: PlannedReceiver,
    pub(super) output: OutputHandle,
    pub(super) task: TaskHandle,
}

/// What happens to each component of the next plan, by its index there.
pub(super) struct Kept {
    /// Indices of [`RunningGraph::extensions`]. `None` if the extension is new.
    pub(super) extensions: Vec<Option<usize>>,
    /// Indices of [`RunningGraph::receivers`]. `None` if the receiver is new.
    pub(super) receivers: Vec<Option<usize>>,
    pub(super) pipelines: Vec<NextStage>,
    pub(super) exporters: Vec<NextStage>,
}

/// What happens to a pipeline or an exporter.
pub(super) enum NextStage {
    /// The pipeline continues. Without a sender it has ended with its input, and no receiver needs it.
    Kept { index: usize, sender: Option<StageSender> },
    /// It starts.
    New,
    /// It does not start, because all its receivers have ended.
    Unneeded,
}

// === impl Kept ===

impl Kept {
    /// Compares the running graph with the next plan. Stages that are kept do not end while the result exists. Exporters need
    /// `same_resource` to be kept.
    pub(super) fn of(graph: &RunningGraph, plan: &Plan, same_resource: bool) -> Self {
        let extensions = plan
            .extensions
            .iter()
            .map(|next| graph.extensions.iter().position(|it| it.planned.fingerprint == next.fingerprint));
        let receivers: Vec<Option<usize>> = plan
            .receivers
            .iter()
            .map(|next| graph.receivers.iter().position(|it| it.planned.fingerprint == next.fingerprint))
            .collect();
        // A receiver whose input has ended does not start again.
        let sends = |index: usize| {
            receivers[index].is_none_or(|running: usize| !graph.receivers[running].task.has_ended())
        };
        let next_pipelines = plan.pipelines.iter().enumerate().map(|(pipeline, next)| {
            let found = graph.pipelines.iter().position(|it| it.fingerprint == next.fingerprint);
            let mut of_pipeline = (0..plan.receivers.len())
                .filter(|index| plan.receivers[*index].pipelines.contains(&pipeline));
            let is_needed = of_pipeline.any(sends);
            NextStage::of(found, |index| graph.pipelines[index].sender.upgrade(), is_needed)
        });
        let pipelines: Vec<NextStage> = next_pipelines.collect();
        let next_exporters = plan.exporters.iter().enumerate().map(|(exporter, next)| {
            let found = graph.exporters.iter().position(|it| {
                same_resource
                    && it.planned.fingerprint == next.fingerprint
                    && it.planned.signal == next.signal
            });
            let is_needed = plan
                .pipelines
                .iter()
                .zip(&pipelines)
                .any(|(pipeline, stage)| pipeline.exporters.contains(&exporter) && stage.runs());
            NextStage::of(found, |index| graph.exporters[index].sender.upgrade(), is_needed)
        });
        let exporters = next_exporters.collect();
        Self { extensions: extensions.collect(), receivers, pipelines, exporters }
    }
}

// === impl NextStage ===

impl NextStage {
    fn of(found: Option<usize>, sender: impl Fn(usize) -> Option<StageSender>, is_needed: bool) -> Self {
        match found.map(|index| (index, sender(index))) {
            Some((index, sender)) if sender.is_some() || !is_needed => Self::Kept { index, sender },
            _ if is_needed => Self::New,
            _ => Self::Unneeded,
        }
    }

    fn runs(&self) -> bool {
        matches!(self, Self::New | Self::Kept { sender: Some(_), .. })
    }

    /// Returns the index of what is kept.
    pub(super) fn kept(&self) -> Option<usize> {
        match self {
            Self::Kept { index, .. } => Some(*index),
            Self::New | Self::Unneeded => None,
        }
    }
}
