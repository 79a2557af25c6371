//! Creates components, without starting them.

use std::sync::Arc;

use super::{RuntimeEnvironment, RuntimeError};
use crate::component::{
    AttributeEdits, Authenticator, Authenticators, ComponentMeters, Directories, Directory, Exporter,
    ExporterContext, Extension, ExtensionContext, MeterScope, Node, NodeKind, Processor, ProcessorContext,
    Receiver, ReceiverContext, Shared, Signal, Storage, Storages,
};
use crate::runtime::graph::{
    Plan, PlannedExporter, PlannedExtension, PlannedPipeline, PlannedProcessor, PlannedReceiver,
};

/// Creates the components of one plan.
#[derive(Clone)]
pub(super) struct Creator {
    pub(super) environment: RuntimeEnvironment,
    pub(super) meters: ComponentMeters,
    pub(super) shared: Shared,
    pub(super) directories: Directories,
    pub(super) authenticators: Authenticators,
    pub(super) storages: Storages,
}

/// What an extension provides to the components that use it.
#[derive(Clone, Default)]
pub(super) struct Provided {
    directory: Option<Arc<dyn Directory>>,
    authenticator: Option<Arc<dyn Authenticator>>,
    storage: Option<Arc<dyn Storage>>,
}

/// A component that was created, and the scope of its meter.
pub(super) struct Created<T: ?Sized> {
    pub(super) component: Box<T>,
    pub(super) scope: MeterScope,
}

// === impl Creator ===

impl Creator {
    pub(super) fn new(environment: &RuntimeEnvironment, meters: &ComponentMeters, shared: &Shared) -> Self {
        Self {
            environment: environment.clone(),
            meters: meters.clone(),
            shared: shared.clone(),
            directories: Directories::default(),
            authenticators: Authenticators::default(),
            storages: Storages::default(),
        }
    }

    /// Creates every component of a plan and drops it.
    pub(super) fn try_all(mut self, plan: &Plan) -> Result<(), RuntimeError> {
        let mut provided = Vec::new();
        for planned in &plan.extensions {
            let created = self.extension(planned)?;
            provided.push((planned.id.clone(), Provided::of(&*created.component)));
        }
        self.set_extensions(&provided);
        for planned in &plan.exporters {
            self.exporter(planned)?;
        }
        for pipeline in &plan.pipelines {
            for planned in &pipeline.processors {
                self.processor(planned, pipeline)?;
            }
        }
        for planned in &plan.receivers {
            self.receiver(planned, plan)?;
        }
        Ok(())
    }

    /// Sets the extensions that components may use.
    pub(super) fn set_extensions(&mut self, provided: &[(String, Provided)]) {
        let directories = provided.iter().filter_map(|(id, by)| Some((id.clone(), by.directory.clone()?)));
        self.directories = Directories::new(directories);
        let authenticators =
            provided.iter().filter_map(|(id, by)| Some((id.clone(), by.authenticator.clone()?)));
        self.authenticators = Authenticators::new(authenticators);
        let storages = provided.iter().filter_map(|(id, by)| Some((id.clone(), by.storage.clone()?)));
        self.storages = Storages::new(storages);
    }

    pub(super) fn extension(
        &self,
        planned: &PlannedExtension,
    ) -> Result<Created<dyn Extension>, RuntimeError> {
        let (meter, scope) = self.meters.make();
        let (id, health) = (planned.id.clone(), self.environment.health.clone());
        let created = (planned.prepared.create)(ExtensionContext { id, meter, health });
        let component = created.map_err(|source| RuntimeError::start("extensions", &planned.id, source))?;
        Ok(Created { component, scope })
    }

    pub(super) fn exporter(&self, planned: &PlannedExporter) -> Result<Created<dyn Exporter>, RuntimeError> {
        let (meter, scope) = self.meters.make();
        let mut resource = Arc::clone(&self.environment.resource);
        for action in &planned.changes.resource {
            action.apply(Arc::make_mut(&mut resource));
        }
        let context = ExporterContext {
            id: planned.id.clone(),
            signal: planned.signal,
            resource,
            meter,
            authenticators: self.authenticators.clone(),
            storages: self.storages.clone(),
            log_edits: Arc::new(AttributeEdits::new(planned.changes.log_attributes.clone())),
            batch: planned.changes.batch,
        };
        let created = (planned.prepared.create)(context);
        let component = created.map_err(|source| RuntimeError::start("exporters", &planned.id, source))?;
        Ok(Created { component, scope })
    }

    pub(super) fn processor(
        &self,
        planned: &PlannedProcessor,
        pipeline: &PlannedPipeline,
    ) -> Result<(Created<dyn Processor>, Arc<Node>), RuntimeError> {
        let (meter, scope) = self.meters.make();
        let node = self.environment.accounting.node(
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
            meter,
            directories: self.directories.clone(),
            shared: self.shared.clone(),
        };
        let created = (planned.prepared.create)(context);
        let component = created.map_err(|source| RuntimeError::start("processors", &planned.id, source))?;
        Ok((Created { component, scope }, node))
    }

    pub(super) fn receiver(
        &self,
        planned: &PlannedReceiver,
        plan: &Plan,
    ) -> Result<Created<dyn Receiver>, RuntimeError> {
        let signals = planned.pipelines.iter().map(|index| plan.pipelines[*index].signal).collect();
        self.receiver_of(planned, signals)
    }

    pub(super) fn receiver_of(
        &self,
        planned: &PlannedReceiver,
        signals: Vec<Signal>,
    ) -> Result<Created<dyn Receiver>, RuntimeError> {
        let (meter, scope) = self.meters.make();
        let (health, shared) = (self.environment.health.clone(), self.shared.clone());
        let context = ReceiverContext { id: planned.id.clone(), signals, meter, health, shared };
        let created = (planned.prepared.create)(context);
        let component = created.map_err(|source| RuntimeError::start("receivers", &planned.id, source))?;
        Ok(Created { component, scope })
    }
}

// === impl Provided ===

impl Provided {
    pub(super) fn of(extension: &dyn Extension) -> Self {
        Self {
            directory: extension.directory(),
            authenticator: extension.authenticator(),
            storage: extension.storage(),
        }
    }
}
