//! `longwave run`: start, wait for a signal or the end, drain.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use longwave_pipeline::accounting::Accounting;
use longwave_pipeline::registry::Registry;
use longwave_pipeline::runtime::{Runtime, Surroundings};
use longwave_pipeline::telemetry::{MetricLevel, MetricSettings, Telemetry};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::configuration::{self, Configured};
use super::{SourceArgs, logging, resource};

/// What ends one run of a graph.
enum Next {
    Exit,
    /// SIGHUP with a sound configuration.
    Reload(Box<Configured>),
}

/// Signals that follow within this time are the same one.
const SAME_SIGNAL: Duration = Duration::from_millis(500);

/// What a signal asks for.
enum Asked {
    Stop,
    Reload,
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

pub(super) fn run(sources: &SourceArgs, registry: &Registry) -> anyhow::Result<()> {
    let configured = configuration::plan(sources, registry)?;
    logging::init(&configured.plan.telemetry.logs);
    let executor = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(std::thread::available_parallelism().map_or(2, usize::from).min(4))
        .enable_all()
        .build()
        .context("cannot start the async runtime")?;
    executor.block_on(async {
        let mut signals = Signals::listen()?;
        let mut configured = Box::new(configured);
        while let Next::Reload(reloaded) = run_graph(&configured, sources, registry, &mut signals).await? {
            configured = reloaded;
        }
        tracing::info!("Shutdown complete.");
        Ok(())
    })
}

async fn run_graph(
    configured: &Configured,
    sources: &SourceArgs,
    registry: &Registry,
    signals: &mut Signals,
) -> anyhow::Result<Next> {
    for warning in &configured.warnings {
        tracing::warn!("{warning}");
    }
    let accounting = Accounting::default();
    let resource = Arc::new(resource::detect());
    let telemetry = telemetry(configured, &resource, &accounting).await?;
    let around = Surroundings { accounting: accounting.clone(), meter: telemetry.meter(), resource };
    let mut runtime = Runtime::start(&configured.plan, &around).await?;
    tracing::info!("Everything is ready. Begin running and processing data.");
    let mut next = Next::Exit;
    let result = loop {
        let asked = tokio::select! {
            result = runtime.join() => break result,
            asked = signals.next() => asked,
        };
        match asked {
            Asked::Reload => match configuration::plan(sources, registry) {
                Ok(reloaded) => {
                    tracing::info!("SIGHUP: the configuration is sound; restarting the pipelines with it");
                    next = Next::Reload(Box::new(reloaded));
                }
                Err(error) => {
                    tracing::error!("SIGHUP: keeping the running configuration: {error:#}");
                    continue;
                }
            },
            Asked::Stop => {
                tracing::info!("Starting shutdown...");
                next = Next::Exit;
            }
        }
        runtime.stop();
        tokio::select! {
            result = runtime.join() => break result,
            () = signals.stop_again() => {
                tracing::warn!("signal while stopping: ending at once, without draining");
                std::process::exit(1);
            }
        }
    };
    telemetry.shutdown().await;
    result?;
    report_accounting(&accounting);
    Ok(next)
}

/// Self-telemetry. Without `--config` a busy port is no reason not to show the table.
async fn telemetry(
    configured: &Configured,
    resource: &[(String, String)],
    accounting: &Accounting,
) -> anyhow::Result<Telemetry> {
    let settings = &configured.plan.telemetry.metrics;
    match Telemetry::start(settings, resource, accounting).await {
        Ok(telemetry) => Ok(telemetry),
        Err(error) if configured.embedded => {
            tracing::warn!("{error}; going on without it");
            let off = MetricSettings { level: MetricLevel::None, ..settings.clone() };
            Ok(Telemetry::start(&off, resource, accounting).await?)
        }
        Err(error) => Err(error.into()),
    }
}

/// After a drained stop every stage must balance.
fn report_accounting(accounting: &Accounting) {
    let imbalances = accounting.imbalances();
    if imbalances.is_empty() {
        tracing::debug!("accounting balances");
    }
    for imbalance in imbalances {
        tracing::error!(
            "accounting does not balance; this is a mistake in Longwave, please report it: {}",
            imbalance.text
        );
    }
}

// === impl Signals ===

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?,
            terminate: signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?,
            hangup: signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?,
        })
    }

    /// The next signal.
    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.hangup.recv() => Asked::Reload,
        }
    }

    /// A second SIGTERM or SIGINT that is meant as one: timeout(1) and shells signal a process and its group at the same moment.
    async fn stop_again(&mut self) {
        let first = Instant::now();
        while first.elapsed() < SAME_SIGNAL {
            self.stop().await;
        }
    }

    async fn stop(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
