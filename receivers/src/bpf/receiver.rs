//! [`BpfReceiver`]: loads the programs, and reads their events on a thread.

use std::convert::Infallible;
use std::sync::Arc;

use async_trait::async_trait;
use longwave_ebpf_abi::offsets::ABSENT;
use longwave_pipeline::component::cgroup::CgroupPaths;
use longwave_pipeline::component::{
    ComponentError, Receiver, ReceiverContext, RecordOutput, Running, Signal,
};
use tokio_util::sync::CancellationToken;

use super::config::Config;
use super::kernel::{Kernel, SeedReport, clock_tick};
use crate::tracking::holder_walks::HolderWalks;
use crate::tracking::thread::{self, Outcome, ReceiverThread};
use crate::tracking::timeline::{Clock, SystemClock};
use crate::tracking::tracker::LimitFields;
use crate::tracking::{self, Stats, TrackingConfig};

/// Receiver `bpf`. One instance serves all pipelines.
pub struct BpfReceiver {
    config: Config,
    context: ReceiverContext,
}

/// Missed heartbeats after which a connection is reported as vanished.
const MISSED_HEARTBEATS: u16 = 3;

// === impl BpfReceiver ===

impl BpfReceiver {
    /// Creates the receiver. `config` must be validated.
    pub fn new(config: Config, context: ReceiverContext) -> Self {
        Self { config, context }
    }

    /// Loads and attaches the programs, seeds, and runs until the thread has to stop.
    fn work(self, thread: ReceiverThread) -> Outcome {
        let id = &self.context.id;
        let wants_opens = self.context.signals.contains(&Signal::Logs);
        let mut kernel = Kernel::load(&self.config.options(wants_opens)).map_err(|error| {
            ComponentError::with_source(
                format!(
                    "receivers::{id}: {error}; or use the receiver `sock_diag` instead, which needs neither BPF nor privileges and is slightly \
                     less exact"
                ),
                error,
            )
        })?;
        let Ok(paths) = self.context.shared.get_or_make(|| Ok::<_, Infallible>(CgroupPaths::default()));
        kernel.report_cgroups(Arc::clone(&paths));
        log_cgroups(id, &kernel);
        // Connections that are accepted while seeding runs have to be looked up, too.
        let looked_up_to = SystemClock.monotonic();
        let report = kernel.seed();
        log_seeding(id, &report);

        let stats = Stats::new(&self.context.meter, id, &paths);
        stats.update(|stats| stats.seed_failures = report.failures.len() as u64);
        let age = u64::try_from(self.config.holder_age.get().as_nanos()).unwrap_or(u64::MAX);
        let age = if kernel.can_look_up_holders() { age } else { 0 };
        let config = TrackingConfig {
            interval: self.config.interval.get(),
            idle_records: self.config.idle_records,
            vanish_after: self.config.idle_heartbeat.saturating_mul(MISSED_HEARTBEATS),
            max_connections: self.config.max_connections as usize * 2,
            limits: limit_fields(id, &kernel),
            holder_walks: HolderWalks::new(age, looked_up_to),
        };
        tracking::run(thread, &self.context, kernel, config, stats)
    }
}

#[async_trait]
impl Receiver for BpfReceiver {
    async fn start(
        self: Box<Self>,
        output: RecordOutput,
        stop: CancellationToken,
    ) -> Result<Running, ComponentError> {
        thread::start(self.context.id.clone(), output, stop, move |thread| self.work(thread)).await
    }
}

/// Returns what the kernel reports of limits. Logs if its times cannot be converted.
fn limit_fields(id: &str, kernel: &Kernel) -> LimitFields {
    let offsets = kernel.offsets();
    let has = |offset: u32| offset != ABSENT;
    let jiffy_micros = clock_tick::micros();
    if jiffy_micros.is_none() {
        tracing::warn!(
            "receivers::{id}: the kernel's clock tick is not 100, 250, 300 or 1000 Hz, so that the times in which connections were busy or \
             limited are not reported; all other values are"
        );
    }
    LimitFields {
        jiffy_micros: jiffy_micros.filter(|_| {
            [offsets.chrono_type, offsets.chrono_start, offsets.chrono_stat].into_iter().all(has)
        }),
        out_of_order: has(offsets.rcv_ooopack),
        duplicate_sacks: has(offsets.dsack_dups),
        delivered_ce: has(offsets.delivered_ce),
        timeouts: has(offsets.total_rto),
        peer_window: has(offsets.snd_wnd),
    }
}

/// Logs what is missing of cgroups.
fn log_cgroups(id: &str, kernel: &Kernel) {
    if let Some(reason) = kernel.refused_cgroups() {
        tracing::warn!(
            "receivers::{id}: the kernel does not report new cgroups, so that a cgroup that is removed before it is read has no name, and the \
             setting `cgroup` selects connections of a new cgroup from the next interval on only: {reason}"
        );
    }
    if let Some((pattern, mount)) = kernel.unmatched_cgroup() {
        tracing::warn!(
            "receivers::{id}: cgroup: no cgroup below {} matches {pattern} yet: connections are reported once there is one; \
             `systemd-cgls` shows the paths",
            mount.point.display()
        );
    }
}

/// Logs what seeding found, and what it could not read.
fn log_seeding(id: &str, report: &SeedReport) {
    let SeedReport { seeded, namespaces_entered, namespaces_refused, processes_unreadable, failures } =
        report;
    tracing::info!(
        receiver = id,
        older_connections = seeded,
        network_namespaces = namespaces_entered,
        "attached to the kernel"
    );
    tracing::debug!(receiver = id, processes_unreadable, "processes without a readable network namespace");
    for reason in namespaces_refused.iter().chain(failures) {
        tracing::warn!(receiver = id, "older connections may be missing: {reason}");
    }
}
