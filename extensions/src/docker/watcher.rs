//! Keeps the directory up to date: connects, lists, follows events, and reconnects when the daemon goes away.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use hashbrown::HashSet;
use longwave_pipeline::component::{Backoff, host};
use longwave_pipeline::model::UnixNanos;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::address::DaemonAddress;
use super::client::{Client, ClientError, ContainerEvent, EventKind};
use super::container::ContainerId;
use super::container_table::UpdateSource;
use super::directory::{DaemonStatus, DockerDirectory};
use super::telemetry::Stats;

/// Interval of lists while events are followed. A list corrects what a missed event left wrong, and detects a daemon that hangs.
const LIST_EVERY: Duration = Duration::from_secs(60);
/// Waits between attempts to reach the daemon, which restarts within seconds.
const BACKOFF: Backoff = Backoff::doubling(Duration::from_millis(250), Duration::from_secs(10));

/// Follows one daemon.
pub(super) struct Watcher {
    id: String,
    address: DaemonAddress,
    directory: Arc<DockerDirectory>,
    stats: Arc<Stats>,
}

// === impl Watcher ===

impl Watcher {
    pub fn new(
        id: String,
        address: DaemonAddress,
        directory: Arc<DockerDirectory>,
        stats: Arc<Stats>,
    ) -> Self {
        Self { id, address, directory, stats }
    }

    /// Returns the directory that the watcher updates.
    pub fn directory(&self) -> &Arc<DockerDirectory> {
        &self.directory
    }

    /// Runs until it is dropped.
    pub async fn run(self) {
        let mut failures = 0;
        let mut lost = UnixNanos::now();
        let mut logged = false;
        loop {
            let error = match self.follow(lost, &mut failures).await {
                Ok(never) => match never {},
                Err(error) => error,
            };
            let was_connected = self.stats.disconnected();
            self.directory.set_status(DaemonStatus::Unreachable);
            if was_connected {
                lost = UnixNanos::now();
            }
            let (id, address) = (&self.id, &self.address);
            if was_connected {
                tracing::warn!(
                    "extensions::{id}: the connection to {address} was lost, known names are kept until it is restored: {error}"
                );
            } else if !logged {
                tracing::warn!(
                    "extensions::{id}: {address} cannot be reached, containers have no names until it can: {error} ({}); trying again",
                    error.remedy(address)
                );
            } else {
                tracing::debug!("extensions::{id}: {address} cannot be reached: {error}");
            }
            logged = true;
            failures += 1;
            tokio::time::sleep(BACKOFF.wait(failures)).await;
        }
    }

    /// Connects, lists, and follows events until something fails. Ends what vanished since `lost`. Resets `failures` once events are
    /// followed.
    async fn follow(
        &self,
        lost: UnixNanos,
        failures: &mut u32,
    ) -> Result<std::convert::Infallible, ClientError> {
        let client = Client::new(&self.address)?;
        // Taken before the list, so that what happens meanwhile also comes as an event.
        let since = UnixNanos::now();
        self.list(&client, Some(lost)).await?;
        let mut events = client.events(since);
        self.stats.connected();
        self.directory.set_status(DaemonStatus::Following);
        *failures = 0;
        tracing::info!(
            "extensions::{}: {} reports {} containers",
            self.id,
            self.address,
            self.directory.table().len()
        );
        let mut lists = interval_at(Instant::now() + LIST_EVERY, LIST_EVERY);
        lists.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = events.next() => self.apply_event(&client, event.ok_or(ClientError::StreamEnded)??).await?,
                () = self.directory.lookup_requested.notified() => self.look_up(&client).await?,
                _ = lists.tick() => self.list(&client, None).await?,
            }
        }
    }

    /// Lists the running containers and updates the directory, so that it has the same set.
    async fn list(&self, client: &Client, lost: Option<UnixNanos>) -> Result<(), ClientError> {
        let known: Vec<ContainerId> = self.directory.table().running().collect();
        let listed = client.running().await?;
        let at = UnixNanos::now();
        self.directory.refresh(host::addresses(Path::new("/proc/self/net")), at);
        let source = UpdateSource::Poll { now: at, lost: lost.unwrap_or(at) };
        let runs: HashSet<ContainerId> = listed.iter().map(|container| container.id).collect();
        for id in known.iter().filter(|id| !runs.contains(*id)) {
            self.inspect(client, *id, source).await?;
        }
        for container in listed {
            // A list has no start times. They matter only if other containers were known before.
            if known.is_empty() || self.directory.table().is_running(container.id) {
                self.directory.apply(&container, source);
            } else {
                self.inspect(client, container.id, source).await?;
            }
        }
        Ok(())
    }

    async fn apply_event(&self, client: &Client, event: ContainerEvent) -> Result<(), ClientError> {
        self.stats.events.fetch_add(1, Ordering::Relaxed);
        match event.kind {
            EventKind::Removed => self.directory.end(event.container, event.at),
            kind => {
                let source = UpdateSource::Event { at: event.at, begun: kind == EventKind::Started };
                self.inspect(client, event.container, source).await?;
            }
        }
        Ok(())
    }

    /// Inspects the containers whose ids are in cgroups but not in the directory.
    async fn look_up(&self, client: &Client) -> Result<(), ClientError> {
        let at = UnixNanos::now();
        for id in self.directory.take_requested() {
            if !self.inspect(client, id, UpdateSource::Poll { now: at, lost: at }).await? {
                self.directory.mark_foreign([id]);
            }
        }
        Ok(())
    }

    /// Inspects a container and updates the directory. Returns whether the container exists.
    async fn inspect(
        &self,
        client: &Client,
        id: ContainerId,
        source: UpdateSource,
    ) -> Result<bool, ClientError> {
        match client.inspect(id).await {
            Ok(Some(container)) => {
                self.directory.apply(&container, source);
                Ok(true)
            }
            Ok(None) => {
                let (UpdateSource::Event { at, .. } | UpdateSource::Poll { lost: at, .. }) = source;
                self.directory.end(id, at);
                Ok(false)
            }
            Err(error) if error.is_response() => {
                let before = self.stats.bad_responses.fetch_add(1, Ordering::Relaxed);
                if before == 0 {
                    tracing::warn!(
                        "extensions::{}: the response of {} about container {id} cannot be used, its names stay as they were; further ones are only counted: {error}",
                        self.id,
                        self.address
                    );
                }
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}
