//! `longwave run`: starts the pipelines, waits for a signal or the end of the input, and drains.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use longwave_exporters::Downloads;
use longwave_pipeline::component::host::set_memory_release;
use longwave_pipeline::component::{Accounting, Health, Registry, listening, with_causes};
use longwave_pipeline::runtime::{Changes, Runtime, RuntimeEnvironment, RuntimeError, Telemetry};

use tokio_util::sync::CancellationToken;

use super::configuration::{self, Configured};
use super::signals::{Request, Signals};
use super::{SourceArgs, logging};

/// The running pipelines, their self-telemetry and their configuration.
pub(super) struct Service<'a> {
    runtime: Runtime,
    telemetry: Telemetry,
    environment: RuntimeEnvironment,
    /// The configuration that runs.
    configured: Configured,
    /// Whether every component has its settings of `configured`.
    is_complete: bool,
    sources: &'a SourceArgs,
    registry: &'a Registry,
    /// Fires at SIGTERM and SIGINT, also while a reload blocks the task that handles signals.
    stopping: CancellationToken,
}

/// Maximum time for blocking threads to finish their writes after everything else has ended.
const LAST_WRITES: Duration = Duration::from_secs(5);

pub(super) fn run(sources: &SourceArgs, registry: &Registry) -> anyhow::Result<()> {
    let configured = configuration::plan(sources, registry, Downloads::default())?;
    logging::init(&configured.plan.telemetry.logs, &configured.resource())?;
    set_memory_release(longwave_receivers::bpf::release_memory);
    let executor = executor()?;
    let result = executor.block_on(async {
        let mut signals = Signals::listen()?;
        Service::start(configured, sources, registry).await?.run(&mut signals).await
    });
    executor.shutdown_timeout(LAST_WRITES);
    result
}

/// Starts the threads on which pipelines run.
pub(super) fn executor() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(std::thread::available_parallelism().map_or(2, usize::from).min(4))
        .enable_all()
        .build()
        .context("cannot start the async runtime")
}

// === impl Service ===

impl<'a> Service<'a> {
    pub(super) async fn start(
        configured: Configured,
        sources: &'a SourceArgs,
        registry: &'a Registry,
    ) -> anyhow::Result<Self> {
        for warning in &configured.warnings {
            tracing::warn!("{warning}");
        }
        let accounting = Accounting::default();
        let resource = Arc::new(configured.resource());
        let settings = &configured.plan.telemetry.metrics;
        let telemetry = Telemetry::start(settings, &resource, &accounting).await?;
        let (meter, health) = (telemetry.meter(), Health::default());
        let environment = RuntimeEnvironment { accounting, meter, resource, health };
        match Runtime::start(&configured.plan, &environment).await {
            Ok(runtime) => {
                tracing::info!(
                    version = env!("CARGO_PKG_VERSION"),
                    configuration = configured.sources,
                    pipelines = configured.plan.describe_pipelines(),
                    listening = addresses(),
                    "Everything is ready. Begin running and processing data."
                );
                let is_complete = true;
                let stopping = stopping();
                Ok(Self {
                    runtime,
                    telemetry,
                    environment,
                    configured,
                    is_complete,
                    sources,
                    registry,
                    stopping: stopping?,
                })
            }
            Err(error) => {
                telemetry.shutdown().await;
                Err(error.into())
            }
        }
    }

    /// Runs until a signal to stop arrives or all input has ended, and then drains.
    async fn run(mut self, signals: &mut Signals) -> anyhow::Result<()> {
        let result = loop {
            let request = tokio::select! {
                result = self.runtime.join() => break result,
                request = signals.next() => request,
            };
            if matches!(request, Request::Reload) {
                tokio::select! {
                    () = self.reload() => continue,
                    () = signals.stop() => {}
                }
            }
            tracing::info!("Starting shutdown...");
            self.runtime.stop();
            break self.drain(signals).await;
        };
        self.telemetry.shutdown().await;
        result?;
        report_accounting(&self.environment.accounting);
        tracing::info!("Shutdown complete.");
        Ok(())
    }

    /// Runs until `work` is done, and then drains.
    ///
    /// # Errors
    /// The pipelines have ended before.
    pub(super) async fn run_beside<T>(mut self, work: impl Future<Output = T>) -> anyhow::Result<T> {
        let result = tokio::select! {
            ended = self.runtime.join() => Err(match ended {
                Ok(()) => anyhow!("the pipelines have ended"),
                Err(error) => error.into(),
            }),
            value = work => {
                self.runtime.stop();
                self.runtime.join().await?;
                Ok(value)
            }
        };
        self.telemetry.shutdown().await;
        result
    }

    /// Waits until the stopped pipelines have drained. A further stop signal ends the process immediately.
    async fn drain(&mut self, signals: &mut Signals) -> Result<(), RuntimeError> {
        tokio::select! {
            result = self.runtime.join() => result,
            () = signals.stop_again() => {
                tracing::warn!("second signal while stopping: ending immediately, without draining");
                std::process::exit(1);
            }
        }
    }

    /// Reads the configuration again, and restarts what has changed. A configuration that is invalid or does not start changes nothing.
    async fn reload(&mut self) {
        match self.try_reload().await {
            Ok(None) => tracing::info!("SIGHUP: the configuration has not changed: nothing restarts"),
            Ok(Some(Changes { kept, started, stopped, failed })) => {
                for error in &failed {
                    tracing::error!("SIGHUP: its former settings stay: {}", with_causes(error));
                }
                tracing::info!(
                    kept,
                    started = listed(&started),
                    stopped = listed(&stopped),
                    pipelines = self.configured.plan.describe_pipelines(),
                    listening = addresses(),
                    "SIGHUP: the new configuration is in effect"
                );
            }
            Err(_) if self.stopping.is_cancelled() => {}
            Err(error) => {
                tracing::error!("SIGHUP: keeping the running configuration: {}", with_causes(error.as_ref()));
            }
        }
    }

    /// Returns `None` if the configuration is the same.
    async fn try_reload(&mut self) -> anyhow::Result<Option<Changes>> {
        let next =
            configuration::plan(self.sources, self.registry, Downloads::cancelled_by(self.stopping.clone()))?;
        if self.is_complete && next.document == self.configured.document {
            return Ok(None);
        }
        let resource = Arc::new(next.resource());
        Runtime::dry_run(&next.plan, &resource)?;
        let (telemetry, running) = (&next.plan.telemetry, &self.configured.plan.telemetry);
        if telemetry.logs != running.logs {
            tracing::warn!(
                "service::telemetry::logs: a change takes effect only after a restart of longwave"
            );
        }
        let mut environment = self.environment.clone();
        let mut prepared = None;
        if telemetry.metrics != running.metrics || resource != environment.resource {
            let accounting = &environment.accounting;
            let next = self.telemetry.prepare(&telemetry.metrics, &resource, accounting).await?;
            environment.meter = next.meter();
            environment.resource = resource;
            prepared = Some(next);
        }
        let changes = match self.runtime.apply(&next.plan, &environment).await {
            Ok(changes) => changes,
            Err(error) => {
                if let Some(prepared) = prepared {
                    self.telemetry.discard(prepared).await;
                }
                return Err(error.into());
            }
        };
        for warning in &next.warnings {
            tracing::warn!("{warning}");
        }
        self.is_complete = changes.failed.is_empty();
        (self.configured, self.environment) = (next, environment);
        if let Some(prepared) = prepared {
            self.runtime.move_instruments(&self.environment.meter);
            // Last, because the reload may be cancelled while the former one exports.
            let former = self.telemetry.replace(prepared);
            former.shutdown().await;
        }
        Ok(Some(changes))
    }
}

/// Returns a token that fires at SIGTERM and SIGINT.
///
/// # Errors
/// Signals cannot be received.
fn stopping() -> anyhow::Result<CancellationToken> {
    let (mut signals, stopping) = (Signals::listen()?, CancellationToken::new());
    let fired = stopping.clone();
    tokio::spawn(async move {
        signals.stop().await;
        fired.cancel();
    });
    Ok(stopping)
}

fn listed(components: &[String]) -> String {
    if components.is_empty() { "nothing".to_owned() } else { components.join(", ") }
}

/// Names what this process listens on.
fn addresses() -> String {
    let addresses: Vec<String> =
        listening().iter().map(|(section, address)| format!("{address} ({section})")).collect();
    if addresses.is_empty() { "nothing".to_owned() } else { addresses.join(", ") }
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
