//! [`Runtime`]: runs a graph. Every stage is a task; bounded channels connect them.
//!
//! Extensions and exporters start first, receivers last. Receivers stop first. A stage ends when its input has ended and it has sent its
//! remaining items, so that the graph drains in the direction of the flow. Extensions stop last. A stage or an extension that fails or
//! panics stops the whole graph. [`Runtime::apply`] replaces parts of a running graph.

mod apply;
mod create;
mod restart;
mod running;
mod task;

#[cfg(test)]
mod tests;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::metrics::{Meter, MeterProvider, NoopMeterProvider};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::component::{Accounting, ComponentError, ComponentMeters, Health, Shared, with_causes};
use crate::runtime::delivery::SHUTDOWN_LIMIT;
use crate::runtime::graph::Plan;
pub use apply::Changes;
use create::Creator;
use running::RunningGraph;
use task::{EndedTask, TaskSetup};

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
    /// Fires when a component has failed.
    failed: CancellationToken,
    /// The first failure, and when tasks are aborted that have not ended.
    failure: Option<(RuntimeError, Instant)>,
    health: Health,
    meters: ComponentMeters,
    shared: Shared,
    /// What the running exporters send as their resource.
    resource: Arc<Vec<(String, String)>>,
    graph: RunningGraph,
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
    #[error("failed to start {section}::{id}")]
    Start {
        /// Id of the component.
        id: String,
        /// `extensions`, `receivers`, `processors` or `exporters`.
        section: &'static str,
        /// The cause.
        source: ComponentError,
    },
    /// A component has failed meanwhile, and the graph stops.
    #[error("the running configuration is failing")]
    Stopping,
    /// A stage or an extension failed. The others were stopped.
    #[error("{what} failed")]
    Failed {
        /// Names the stage: `exporters::stdout`.
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
            failed: CancellationToken::new(),
            failure: None,
            health: environment.health.clone(),
            meters: ComponentMeters::new(environment.meter.clone()),
            shared: Shared::default(),
            resource: Arc::clone(&environment.resource),
            graph: RunningGraph::default(),
        };
        match runtime.apply(plan, environment).await {
            Ok(_) => {
                runtime.health.all_started();
                Ok(runtime)
            }
            Err(error) => {
                runtime.stop();
                // A component that failed while others started is the cause.
                Err(runtime.join().await.err().unwrap_or(error))
            }
        }
    }

    /// Creates every component as [`Self::start`] does, but starts none. Finds errors that occur only at creation, such as a certificate
    /// that cannot be read.
    ///
    /// # Errors
    /// The first component that cannot be created.
    pub fn dry_run(plan: &Plan, resource: &Arc<Vec<(String, String)>>) -> Result<(), RuntimeError> {
        let meter = NoopMeterProvider::new().meter("dry_run");
        let environment = RuntimeEnvironment {
            accounting: Accounting::default(),
            meter: meter.clone(),
            resource: Arc::clone(resource),
            health: Health::default(),
        };
        Creator::new(&environment, &ComponentMeters::new(meter), &Shared::default()).try_all(plan)
    }

    /// Registers the instruments of all components with another meter. They keep their values, apart from histograms.
    pub fn move_instruments(&self, meter: &Meter) {
        self.meters.move_to(meter);
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
        loop {
            let deadline = self.failure.as_ref().map(|(_, deadline)| *deadline);
            let Some(ended) = self.next_ended(deadline).await else { break };
            self.task_ended(ended);
        }
        self.failure.take().map_or(Ok(()), |(error, _)| Err(error))
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

    /// Processes the tasks that have ended.
    fn reap(&mut self) {
        while let Some(ended) = self.tasks.try_join_next().or_else(|| self.extensions.try_join_next()) {
            self.task_ended(ended);
        }
    }

    fn task_ended(&mut self, ended: Result<EndedTask, JoinError>) {
        match ended {
            Ok(EndedTask { result: Ok(()), .. }) => {}
            Ok(EndedTask { what, result: Err(error), is_retired: true }) => {
                tracing::error!("{what} failed after a reload had removed it: {}", with_causes(&error));
            }
            Ok(EndedTask { what, result: Err(source), .. }) => {
                self.fail(RuntimeError::Failed { what, source });
            }
            Err(lost) => self.fail(RuntimeError::Failed {
                what: "a stage".to_owned(),
                source: ComponentError::with_source("its task panicked or was aborted", lost),
            }),
        }
    }

    /// Stops the graph because of a failure. Only the first one is reported.
    fn fail(&mut self, error: RuntimeError) {
        self.health.stopping(with_causes(&error));
        self.stop.cancel();
        self.failure.get_or_insert_with(|| (error, Instant::now() + FAILURE_LIMIT));
    }

    fn spawn(
        &mut self,
        setup: TaskSetup,
        component: impl Future<Output = Result<(), ComponentError>> + Send + 'static,
    ) {
        self.tasks.spawn(task::run(setup, self.failed.clone(), component));
    }
}

// === impl RuntimeError ===

impl RuntimeError {
    fn start(section: &'static str, id: &str, source: ComponentError) -> Self {
        Self::Start { section, id: id.to_owned(), source }
    }
}
