//! The Prometheus page at `/metrics`.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::PageAddress;
use crate::component::{Accepted, ComponentError, HttpServer, SdkReader};

/// A page that is served. Dropping it closes the socket.
pub(super) struct PageServer {
    /// The bound address.
    pub address: SocketAddr,
    reader: Arc<RwLock<SdkReader>>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

// === impl PageServer ===

impl PageServer {
    /// Serves the page at `address`.
    pub async fn start(address: &PageAddress, reader: SdkReader) -> Result<Self, ComponentError> {
        let bound = HttpServer::bind(address.setting(), address.as_str(), None).await;
        let server = bound
            .map_err(|error| ComponentError::new(format!("{error}; `level: none` turns the page off")))?;
        let (address, stop) = (server.address(), CancellationToken::new());
        let reader = Arc::new(RwLock::new(reader));
        let router = Router::new().route("/metrics", get(page)).with_state(Arc::clone(&reader));
        let task = tokio::spawn(server.run(router, stop.clone()));
        Ok(Self { address, reader, stop, task })
    }

    /// Returns the reader of the SDK whose metrics it shows.
    pub fn reader(&self) -> SdkReader {
        self.reader.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Shows the metrics of another SDK from now on.
    pub fn show(&self, reader: SdkReader) {
        *self.reader.write().unwrap_or_else(PoisonError::into_inner) = reader;
    }

    /// Stops. The socket is closed when this returns: a reload listens on the same address immediately.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        // An error would mean that the task panicked. Then the socket is closed, too.
        let _ = (&mut self.task).await;
    }
}

impl Drop for PageServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn page(State(reader): State<Arc<RwLock<SdkReader>>>, headers: HeaderMap) -> Response<Body> {
    let accepted = Accepted::of_request(&headers);
    let reader = reader.read().unwrap_or_else(PoisonError::into_inner).clone();
    match reader.page(accepted) {
        Ok(body) => accepted.response(body),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error).into_response(),
    }
}
