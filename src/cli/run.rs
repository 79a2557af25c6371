//! `longwave run`: starts the pipelines, waits for a signal or the end of the input, and drains.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use longwave_pipeline::component::host::set_memory_release;
use longwave_pipeline::component::{Accounting, Health, Registry, listening, with_causes};
use longwave_pipeline::runtime::{Runtime, RuntimeEnvironment, Telemetry};

use super::configuration::{self, Configured};
use super::signals::{Request, Signals};
use super::{SourceArgs, logging};

/// Next action after the run of a graph.
enum Next {
    Exit,
    /// Start the graph of a new, valid configuration.
    Reload(Box<Configured>),
}

/// A running graph, its self-telemetry and its counters.
struct Graph {
    runtime: Runtime,
    telemetry: Telemetry,
    accounting: Accounting,
}

/// Maximum time for blocking threads to finish their writes after everything else has ended.
const LAST_WRITES: Duration = Duration::from_secs(5);

pub(super) fn run(sources: &SourceArgs, registry: &Registry) -> anyhow::Result<()> {
    let configured = configuration::plan(sources, registry)?;
    logging::init(&configured.plan.telemetry.logs);
    set_memory_release(longwave_receivers::bpf::release_memory);
    let executor = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(std::thread::available_parallelism().map_or(2, usize::from).min(4))
        .enable_all()
        .build()
        .context("cannot start the async runtime")?;
    let result = executor.block_on(run_graphs(configured, sources, registry));
    executor.shutdown_timeout(LAST_WRITES);
    result
}

/// Runs a graph until the process ends. Each reload replaces the graph.
async fn run_graphs(
    mut configured: Configured,
    sources: &SourceArgs,
    registry: &Registry,
) -> anyhow::Result<()> {
    let mut signals = Signals::listen()?;
    let mut graph = Graph::start(&configured).await?;
    loop {
        let reloaded = match graph.run(&configured, sources, registry, &mut signals).await? {
            Next::Exit => break,
            Next::Reload(reloaded) => *reloaded,
        };
        graph = match Graph::start(&reloaded).await {
            Ok(graph) => {
                configured = reloaded;
                graph
            }
            Err(error) => {
                tracing::error!(
                    "SIGHUP: the new configuration does not start; returning to the previous one: {}",
                    with_causes(error.as_ref())
                );
                Graph::start(&configured).await?
            }
        };
    }
    tracing::info!("Shutdown complete.");
    Ok(())
}

// === impl Graph ===

impl Graph {
    async fn start(configured: &Configured) -> anyhow::Result<Self> {
        for warning in &configured.warnings {
            tracing::warn!("{warning}");
        }
        let accounting = Accounting::default();
        let resource = Arc::new(configured.resource());
        let settings = &configured.plan.telemetry.metrics;
        let telemetry = Telemetry::start(settings, &resource, &accounting).await?;
        let environment = RuntimeEnvironment {
            accounting: accounting.clone(),
            meter: telemetry.meter(),
            resource,
            health: Health::default(),
        };
        match Runtime::start(&configured.plan, &environment).await {
            Ok(runtime) => {
                tracing::info!(
                    version = env!("CARGO_PKG_VERSION"),
                    configuration = configured.sources,
                    pipelines = configured.plan.describe_pipelines(),
                    listening = addresses(),
                    "Everything is ready. Begin running and processing data."
                );
                Ok(Self { runtime, telemetry, accounting })
            }
            Err(error) => {
                telemetry.shutdown().await;
                Err(error.into())
            }
        }
    }

    /// Runs until a signal arrives or all input has ended, and then drains.
    async fn run(
        mut self,
        configured: &Configured,
        sources: &SourceArgs,
        registry: &Registry,
        signals: &mut Signals,
    ) -> anyhow::Result<Next> {
        let mut next = Next::Exit;
        let result = loop {
            let request = tokio::select! {
                result = self.runtime.join() => break result,
                request = signals.next() => request,
            };
            match request {
                Request::Reload => match reload(configured, sources, registry) {
                    Ok(None) => {
                        tracing::info!("SIGHUP: the configuration has not changed: nothing restarts");
                        continue;
                    }
                    Ok(Some(reloaded)) => {
                        tracing::info!(
                            "SIGHUP: the configuration is valid; restarting the pipelines with it"
                        );
                        next = Next::Reload(Box::new(reloaded));
                    }
                    Err(error) => {
                        tracing::error!(
                            "SIGHUP: keeping the running configuration: {}",
                            with_causes(error.as_ref())
                        );
                        continue;
                    }
                },
                Request::Stop => tracing::info!("Starting shutdown..."),
            }
            self.runtime.stop();
            break self.drain(&mut next, signals).await;
        };
        self.telemetry.shutdown().await;
        result?;
        report_accounting(&self.accounting);
        Ok(next)
    }

    /// Waits until the stopped graph has drained. A stop signal during a reload turns the reload into an exit. A further stop signal
    /// ends the process immediately.
    async fn drain(
        &mut self,
        next: &mut Next,
        signals: &mut Signals,
    ) -> Result<(), longwave_pipeline::runtime::RuntimeError> {
        if matches!(next, Next::Reload(_)) {
            tokio::select! {
                result = self.runtime.join() => return result,
                () = signals.stop() => {
                    tracing::info!("Starting shutdown...");
                    *next = Next::Exit;
                }
            }
        }
        tokio::select! {
            result = self.runtime.join() => result,
            () = signals.stop_again() => {
                tracing::warn!("second signal while stopping: ending immediately, without draining");
                std::process::exit(1);
            }
        }
    }
}

/// Names what this process listens on.
fn addresses() -> String {
    let addresses: Vec<String> =
        listening().iter().map(|(section, address)| format!("{address} ({section})")).collect();
    if addresses.is_empty() { "nothing".to_owned() } else { addresses.join(", ") }
}

/// Reads and checks the configuration again, and creates its components without starting them. Returns `None` if the configuration is the
/// same.
fn reload(
    current: &Configured,
    sources: &SourceArgs,
    registry: &Registry,
) -> anyhow::Result<Option<Configured>> {
    let reloaded = configuration::plan(sources, registry)?;
    if reloaded.document == current.document {
        return Ok(None);
    }
    Runtime::dry_run(&reloaded.plan, &Arc::new(reloaded.resource()))?;
    if reloaded.plan.telemetry.logs != current.plan.telemetry.logs {
        tracing::warn!("service::telemetry::logs: a change takes effect only after a restart of longwave");
    }
    Ok(Some(reloaded))
}

/// Checks that every stage and edge balances after a drained stop, and logs those that do not.
fn report_accounting(accounting: &Accounting) {
    let imbalances = accounting.imbalances();
    if imbalances.is_empty() {
        tracing::debug!("accounting balances");
    }
    for imbalance in imbalances {
        tracing::error!(
            "accounting does not balance; this is a bug in Longwave, please report it: {}",
            imbalance.text
        );
    }
}
