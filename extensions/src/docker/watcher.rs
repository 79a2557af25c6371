//! Keeps the directory true: connects, lists, follows events, and begins again when the daemon goes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use hashbrown::HashSet;
use longwave_pipeline::component::Backoff;
use longwave_pipeline::model::UnixNanos;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::address::DaemonAddress;
use super::client::{Client, ClientError, ContainerEvent, EventKind};
use super::container::ContainerId;
use super::container_table::UpdateSource;
use super::directory::{DaemonStatus, DockerDirectory};
use super::host;
use super::telemetry::Stats;

/// Between lists while events are followed: mends what an event did not tell, and notices a daemon that hangs.
const LIST_EVERY: Duration = Duration::from_secs(60);
/// Between attempts to reach the daemon, which restarts within seconds.
const BACKOFF: Backoff = Backoff::doubling(Duration::from_millis(250), Duration::from_secs(10));

/// Asks one daemon.
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

    /// What it keeps true.
    pub fn directory(&self) -> &Arc<DockerDirectory> {
        &self.directory
    }

    /// Works until it is dropped.
    pub async fn run(self) {
        let mut failures = 0;
        let mut lost = UnixNanos::now();
        let mut told = false;
        loop {
            let error = match self.follow(lost, &mut failures).await {
                Ok(never) => match never {},
                Err(error) => error,
            };
            let was_connected = self.stats.apart();
            self.directory.enter(DaemonStatus::Unreachable);
            if was_connected {
                lost = UnixNanos::now();
            }
            let (id, address) = (&self.id, &self.address);
            if was_connected {
                tracing::warn!(
                    "extension {id:?}: the connection to {address} was lost, names stay as they are known until it is back: {error}"
                );
            } else if !told {
                tracing::warn!(
                    "extension {id:?}: {address} cannot be reached, containers go without their names until it can: {error} ({}); trying on",
                    error.remedy(address)
                );
            } else {
                tracing::debug!("extension {id:?}: {address} cannot be reached: {error}");
            }
            told = true;
            failures += 1;
            tokio::time::sleep(BACKOFF.wait(failures)).await;
        }
    }

    /// Connects, lists, and follows events until something fails. What vanished since `lost` is ended. `failures`: since it was reached.
    async fn follow(
        &self,
        lost: UnixNanos,
        failures: &mut u32,
    ) -> Result<std::convert::Infallible, ClientError> {
        let client = Client::new(&self.address)?;
        // Before the list: what happens meanwhile comes as an event as well.
        let since = UnixNanos::now();
        self.list(&client, Some(lost)).await?;
        let mut events = client.events(since);
        self.stats.connected();
        self.directory.enter(DaemonStatus::Following);
        *failures = 0;
        tracing::info!(
            "extension {:?}: {} tells of {} containers",
            self.id,
            self.address,
            self.directory.state().len()
        );
        let mut lists = interval_at(Instant::now() + LIST_EVERY, LIST_EVERY);
        lists.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = events.next() => self.take_in(&client, event.ok_or(ClientError::StreamEnded)??).await?,
                () = self.directory.wanted.notified() => self.look_up(&client).await?,
                _ = lists.tick() => self.list(&client, None).await?,
            }
        }
    }

    /// Makes what runs, and only that, run.
    async fn list(&self, client: &Client, lost: Option<UnixNanos>) -> Result<(), ClientError> {
        let known: Vec<ContainerId> = self.directory.state().running().collect();
        let listed = client.running().await?;
        let at = UnixNanos::now();
        self.directory.refresh(host::addresses(), at);
        let told = UpdateSource::Poll { now: at, lost: lost.unwrap_or(at) };
        let runs: HashSet<ContainerId> = listed.iter().map(|container| container.id).collect();
        for id in known.iter().filter(|id| !runs.contains(*id)) {
            self.ask(client, *id, told).await?;
        }
        for container in listed {
            // A list does not tell since when; where there was something before, that matters.
            if known.is_empty() || self.directory.state().is_running(container.id) {
                self.directory.apply(&container, told);
            } else {
                self.ask(client, container.id, told).await?;
            }
        }
        Ok(())
    }

    async fn take_in(&self, client: &Client, event: ContainerEvent) -> Result<(), ClientError> {
        self.stats.events.fetch_add(1, Ordering::Relaxed);
        match event.kind {
            EventKind::Removed => self.directory.end(event.container, event.at),
            kind => {
                let told = UpdateSource::Event { at: event.at, begun: kind == EventKind::Started };
                self.ask(client, event.container, told).await?;
            }
        }
        Ok(())
    }

    /// Asks for the containers whose cgroups were seen.
    async fn look_up(&self, client: &Client) -> Result<(), ClientError> {
        let at = UnixNanos::now();
        for id in self.directory.take_requested() {
            if !self.ask(client, id, UpdateSource::Poll { now: at, lost: at }).await? {
                self.directory.mark_foreign([id]);
            }
        }
        Ok(())
    }

    /// Takes in what is true of a container. Returns whether there is one.
    async fn ask(&self, client: &Client, id: ContainerId, told: UpdateSource) -> Result<bool, ClientError> {
        match client.inspect(id).await {
            Ok(Some(container)) => {
                self.directory.apply(&container, told);
                Ok(true)
            }
            Ok(None) => {
                let (UpdateSource::Event { at, .. } | UpdateSource::Poll { lost: at, .. }) = told;
                self.directory.end(id, at);
                Ok(false)
            }
            Err(error) if error.is_answer() => {
                let before = self.stats.bad_answers.fetch_add(1, Ordering::Relaxed);
                if before == 0 {
                    tracing::warn!(
                        "extension {:?}: what {} answers about container {id} cannot be used, it stays as it was; further ones are only counted: {error}",
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
