//! The extension: one watch for each resource, and one directory.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use longwave_pipeline::component::{ComponentError, Directory, Extension, Running};
use longwave_pipeline::model::{LabelKey, UnixNanos};
use opentelemetry::metrics::Meter;
use tokio_util::sync::CancellationToken;

use super::client;
use super::config::{KubernetesConfig, Scope};
use super::directory::{KubernetesDirectory, PodTable, ServiceTable, SliceTable};
use super::tables::SelectedFields;
use super::telemetry::{Instruments, ResourceStats};
use super::watch::{ObjectTable, Resource, Timing, Watch};
use crate::history::Bounds;

/// Extension `kubernetes`, ready to be started.
pub(super) struct KubernetesExtension {
    id: String,
    config: KubernetesConfig,
    directory: Arc<KubernetesDirectory>,
    stats: [Arc<ResourceStats>; 3],
    pub(super) timing: Timing,
}

/// Interval of evictions of expired values.
const EVICTION_INTERVAL: Duration = Duration::from_secs(30);

// === impl KubernetesExtension ===

impl KubernetesExtension {
    /// Creates the tables and registers the metrics. Does not connect yet.
    pub fn new(config: &KubernetesConfig, id: &str, meter: &Meter) -> Self {
        let instruments = Instruments::new(meter, id);
        let stats =
            ["pods", "services", "endpointslices"].map(|resource| ResourceStats::new(resource, &instruments));
        ResourceStats::export(if config.services { &stats } else { &stats[..1] });
        let keys = |names: &[String], what: &str| {
            let key =
                |name: &String| (name.clone(), Arc::new(LabelKey::new(&format!("k8s.pod.{what}.{name}"))));
            names.iter().map(key).collect()
        };
        let selected = SelectedFields {
            node: config.node.clone(),
            labels: keys(&config.labels, "label"),
            annotations: keys(&config.annotations, "annotation"),
        };
        let with_all_pods = config.scope == Scope::Cluster;
        let directory = KubernetesDirectory::new(
            selected,
            config.services,
            with_all_pods,
            stats.clone(),
            Bounds::default(),
        );
        Self {
            id: id.to_owned(),
            config: config.clone(),
            directory: Arc::new(directory),
            stats,
            timing: Timing::default(),
        }
    }
}

#[async_trait]
impl Extension for KubernetesExtension {
    fn directory(&self) -> Option<Arc<dyn Directory>> {
        Some(Arc::clone(&self.directory) as Arc<dyn Directory>)
    }

    async fn start(self: Box<Self>, stop: CancellationToken) -> Result<Running, ComponentError> {
        let Self { id, config, directory, stats: [pods, services, slices], timing } = *self;
        let client = client::connect(&id, &config).await?;
        let node = (config.scope == Scope::Node).then_some(&*config.node);
        let table: Arc<dyn ObjectTable> = Arc::new(PodTable(Arc::clone(&directory)));
        let mut watched = vec![(Resource::pods(node), table, pods)];
        if config.services {
            watched.push((Resource::services(), Arc::new(ServiceTable(Arc::clone(&directory))), services));
            watched.push((Resource::endpoint_slices(), Arc::new(SliceTable(directory)), slices));
        }
        let evictions = evict_periodically(
            watched.iter().map(|(_, table, stats)| (Arc::clone(table), Arc::clone(stats))).collect(),
        );
        let watches: Vec<_> = watched
            .into_iter()
            .map(|(resource, table, stats)| {
                Watch::new(&id, client.clone(), resource, table, stats, timing.clone()).run(stop.clone())
            })
            .collect();
        Ok(Box::pin(async move {
            tokio::join!(join_all(watches), stop.run_until_cancelled(evictions));
            Ok(())
        }))
    }
}

async fn evict_periodically(tables: Vec<(Arc<dyn ObjectTable>, Arc<ResourceStats>)>) {
    loop {
        tokio::time::sleep(EVICTION_INTERVAL).await;
        for (table, stats) in &tables {
            table.evict_expired(UnixNanos::now());
            stats.counts(table.counts());
        }
    }
}
