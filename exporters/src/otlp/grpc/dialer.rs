//! [`Dialer`]: makes a channel of one connection.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Uri;
use tonic::transport::{Channel, Endpoint};

use super::KeepaliveConfig;
use super::connector::{Address, Connector};
use super::endpoint::GrpcEndpoint;
use crate::otlp::explain::{ConnectFailed, explain};

/// Opens connections and starts HTTP/2 on them.
pub(super) struct Dialer {
    connector: Connector,
    endpoint: Endpoint,
    /// The endpoint for messages, and whether it uses TLS.
    shown: (String, bool),
}

/// `keepalive::timeout` if it is zero, as in gRPC for Go.
const DEFAULT_PING_TIMEOUT: Duration = Duration::from_secs(20);
/// Shortest `keepalive::time` that is used, as in gRPC for Go.
const MIN_PING_INTERVAL: Duration = Duration::from_secs(10);

// === impl Dialer ===

impl Dialer {
    /// Creates a dialer. `authority` is the value of `:authority`.
    ///
    /// # Errors
    /// gRPC cannot use the authority or the user agent.
    pub fn new(
        connector: Connector,
        endpoint: &GrpcEndpoint,
        authority: &str,
        user_agent: &str,
        keepalive: KeepaliveConfig,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let scheme = if endpoint.tls { "https" } else { "http" };
        // The scheme is `http` for tonic, since the connector does TLS itself. The server sees the origin.
        let mut channel = Endpoint::from_shared(format!("http://{authority}"))?
            .origin(format!("{scheme}://{authority}").parse()?)
            .user_agent(user_agent.to_owned())?;
        if !keepalive.time.get().is_zero() {
            let timeout = match keepalive.timeout.get() {
                Duration::ZERO => DEFAULT_PING_TIMEOUT,
                timeout => timeout,
            };
            channel = channel
                .http2_keep_alive_interval(keepalive.time.get().max(MIN_PING_INTERVAL))
                .keep_alive_timeout(timeout)
                .keep_alive_while_idle(keepalive.permit_without_stream);
        }
        Ok(Self { connector, endpoint: channel, shown: (endpoint.to_string(), endpoint.tls) })
    }

    /// Opens a connection to the first of `addresses` that accepts one, and returns its index, too. Once the connection has been lost, all requests
    /// of the channel fail with [`ConnectFailed`].
    ///
    /// # Errors
    /// Why no address accepts a connection, as a message with the endpoint.
    pub async fn dial(&self, addresses: &[Address]) -> Result<(usize, Channel), String> {
        let mut last = self.explain(&ConnectFailed(io::ErrorKind::NotConnected.into()));
        for (index, address) in addresses.iter().enumerate() {
            match self.dial_one(address).await {
                Ok(channel) => return Ok((index, channel)),
                Err(error) => last = self.explain(&error),
            }
        }
        Err(last)
    }

    async fn dial_one(&self, address: &Address) -> Result<Channel, tonic::transport::Error> {
        let (connector, address) = (self.connector.clone(), address.clone());
        let was_opened = Arc::new(AtomicBool::new(false));
        // tonic would connect again to the same address, though the name may have other addresses now.
        let open = tower::service_fn(move |_: Uri| {
            let (connector, address) = (connector.clone(), address.clone());
            let is_second = was_opened.swap(true, Ordering::Relaxed);
            async move {
                if is_second {
                    return Err(ConnectFailed(io::ErrorKind::ConnectionAborted.into()));
                }
                connector.connect(&address).await
            }
        });
        self.endpoint.connect_with_connector(open).await
    }

    /// Returns a message with the endpoint, the failure and its remedy.
    pub fn explain(&self, error: &(dyn std::error::Error + 'static)) -> String {
        explain(&self.shown.0, self.shown.1, error)
    }
}
