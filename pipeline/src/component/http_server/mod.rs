//! [`HttpServer`]: serves pages for Prometheus and for probes, with or without TLS.

mod config;
mod listener;
mod listening;
mod open_connections;

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::component::causes::descriptor_limit;
use crate::component::error::ComponentError;
use crate::component::tls::Reloading;
pub use config::{BasicAuthConfig, ServerTlsConfig};
pub use listener::ClientAddress;
use listener::Listener;
use listening::Listening;
pub use listening::listening;

/// A bound server.
pub struct HttpServer {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<Reloading<rustls::ServerConfig>>,
    listening: Listening,
}

/// Time for responses to be completed after a stop.
const GRACE_PERIOD: Duration = Duration::from_secs(5);

// === impl HttpServer ===

impl HttpServer {
    /// Binds `address` (`host:port`). `setting` is the setting of the address, such as `exporters::prometheus: endpoint`.
    ///
    /// # Errors
    /// The address cannot be bound, or a file of the TLS settings cannot be read.
    pub async fn bind(
        setting: &str,
        address: &str,
        tls: Option<&ServerTlsConfig>,
    ) -> Result<Self, ComponentError> {
        let failed = |error: std::io::Error| {
            let by_kind = match error.kind() {
                std::io::ErrorKind::AddrInUse => "another process listens there: choose another port",
                std::io::ErrorKind::PermissionDenied => {
                    "ports below 1024 need CAP_NET_BIND_SERVICE: choose another port"
                }
                _ => "write host:port with an address of this host, for example localhost:8888",
            };
            let remedy = descriptor_limit(&error).unwrap_or(by_kind);
            ComponentError::new(format!("{setting}: cannot listen on {address:?}: {error} ({remedy})"))
        };
        let tls = tls.map(|tls| tls.load(setting)).transpose()?;
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address, tls, listening: Listening::new(setting, address) })
    }

    /// Returns the bound address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` fires and the responses are complete. Handlers can extract
    /// [`ConnectInfo<ClientAddress>`](axum::extract::ConnectInfo).
    pub async fn run(self, router: Router, stop: CancellationToken) {
        // Until the end: what is destructured lives as long as the listener.
        let Self { listener, tls, listening: _listening, .. } = self;
        let listener = Listener::new(listener, tls);
        let service = router.into_make_service_with_connect_info::<ClientAddress>();
        let server = axum::serve(listener, service).with_graceful_shutdown(stop.clone().cancelled_owned());
        let limit = async {
            stop.cancelled().await;
            tokio::time::sleep(GRACE_PERIOD).await;
        };
        tokio::select! {
            // `axum::serve` never returns an error.
            _ = server => {}
            () = limit => {}
        }
    }
}

#[cfg(test)]
mod tests;
