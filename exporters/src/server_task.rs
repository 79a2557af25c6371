//! [`ServerTask`]: the server of an exporter, which runs as a task from the start to the shutdown.

use std::net::SocketAddr;
use std::sync::{Mutex, OnceLock, PoisonError};

use axum::Router;
use longwave_pipeline::component::HttpServer;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

#[derive(Default)]
pub(crate) struct ServerTask {
    stop: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
    /// Address that an HTTP server is bound to.
    address: OnceLock<SocketAddr>,
}

// === impl ServerTask ===

impl ServerTask {
    /// Serves `router` until [`Self::stop`].
    pub(crate) fn serve(&self, server: HttpServer, router: Router) {
        let _ = self.address.set(server.address());
        self.run(server.run(router, self.stop.clone()));
    }

    /// Runs a server, which ends when [`Self::stopping`] fires.
    pub(crate) fn run(&self, server: impl Future<Output = ()> + Send + 'static) {
        *self.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(tokio::spawn(server));
    }

    /// Returns the bound address. `None` before the start.
    #[cfg(test)]
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.address.get().copied()
    }

    /// Returns a token that fires when the server stops, for responses that do not end by themselves.
    pub(crate) fn stopping(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Stops the server, after it has completed the current responses. Returns false if it was not started.
    pub(crate) async fn stop(&self) -> bool {
        self.stop.cancel();
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(task) = task else { return false };
        // An error means that the server was aborted with the runtime.
        let _ = task.await;
        true
    }
}
