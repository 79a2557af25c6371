//! The extension: one watcher and one directory.

use std::sync::Arc;

use async_trait::async_trait;
use longwave_pipeline::component::{ComponentError, Directory, Extension, ExtensionContext, Running};
use tokio_util::sync::CancellationToken;

use super::config::DockerConfig;
use super::directory::DockerDirectory;
use super::telemetry::Stats;
use super::watcher::Watcher;

/// Extension `docker`, ready to be started.
pub struct DockerExtension {
    watcher: Watcher,
}

// === impl DockerExtension ===

impl DockerExtension {
    /// Creates the extension. Sends no request yet.
    ///
    /// # Errors
    /// The endpoint is not an address. Validated settings have a valid one.
    pub fn new(config: &DockerConfig, context: &ExtensionContext) -> Result<Self, ComponentError> {
        let address =
            config.endpoint.parse().map_err(|error| ComponentError::new(format!("endpoint: {error}")))?;
        let directory = Arc::new(DockerDirectory::new(config));
        let stats = Arc::new(Stats::new());
        stats.export(&directory, &context.meter, &context.id);
        Ok(Self { watcher: Watcher::new(context.id.clone(), address, directory, stats) })
    }
}

#[async_trait]
impl Extension for DockerExtension {
    fn directory(&self) -> Option<Arc<dyn Directory>> {
        Some(Arc::clone(self.watcher.directory()) as Arc<dyn Directory>)
    }

    async fn start(self: Box<Self>, stop: CancellationToken) -> Result<Running, ComponentError> {
        Ok(Box::pin(async move {
            stop.run_until_cancelled(self.watcher.run()).await;
            Ok(())
        }))
    }
}
