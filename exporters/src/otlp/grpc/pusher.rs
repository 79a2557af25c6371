//! [`GrpcPusher`] makes delivery attempts. It opens connections at the first attempt, and again after a loss.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::uri::{Authority, PathAndQuery};
use longwave_pipeline::component::{
    ComponentError, ExporterContext, Payload, PushError, Pushed, Pusher, Signal,
};
use rustls::pki_types::ServerName;
use tokio::time::Instant;
use tonic::Status;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;

use super::balancer::{Balancer, Name, Picked};
use super::connector::{Address, Connector};
use super::dialer::Dialer;
use super::endpoint::{GrpcEndpoint, GrpcTarget};
use super::passthrough::PassThrough;
use super::proxy::ConnectProxy;
use super::status::push_error;
use super::{GrpcConfig, Resolver};
use crate::otlp::explain::may_have_arrived;
use crate::otlp::partial_success::pushed;
use crate::otlp::proxy::ProxyRules;
use crate::otlp::request_headers::RequestHeaders;
use crate::otlp::{Compression, USER_AGENT};

/// Sends serialised requests of one signal to one endpoint.
pub struct GrpcPusher {
    id: String,
    endpoint: GrpcEndpoint,
    balancer: Balancer,
    path: PathAndQuery,
    headers: RequestHeaders,
    compression: Compression,
    skips_verification: bool,
    /// Time within which an attempt waits for a connection. `None`: it does not.
    wait_for_ready: Option<Duration>,
}

/// Limit on the bytes of a response, which contains only a count and a reason.
const MAX_RESPONSE_BYTES: usize = 1 << 20;
/// Time between two attempts to open a connection, of a request that waits for one.
const RECONNECT_AFTER: Duration = Duration::from_secs(1);

impl GrpcPusher {
    /// Creates the pusher. Reads the TLS files, but does not connect.
    ///
    /// # Errors
    /// The endpoint is not valid, a TLS file cannot be used, or there is no such authenticator.
    pub fn new(
        config: &GrpcConfig,
        context: &ExporterContext,
        resolver: Arc<dyn Resolver>,
    ) -> Result<Self, ComponentError> {
        let client = &config.client;
        let section = format!("exporters::{}", context.id);
        let failed = |what: String| ComponentError::new(format!("{section}: endpoint: {what}"));
        let endpoint = GrpcEndpoint::parse(&config.endpoint, client.tls.insecure).map_err(failed)?;
        let authority =
            if config.authority.is_empty() { endpoint.authority() } else { config.authority.clone() };
        let tls = if endpoint.tls {
            let name = match &client.tls.server_name_override {
                Some(name) => name.clone(),
                None if config.authority.is_empty() => endpoint.host().to_owned(),
                None => host_of(&config.authority),
            };
            let name = ServerName::try_from(name.clone())
                .map_err(|e| failed(format!("no certificate can be for {name:?}: {e}")))?;
            Some((Arc::new(client.tls.client_config(&section, b"h2", false)?), name))
        } else {
            None
        };
        let limit = connect_limit(client.timeout.get());
        // The validation has limited the sizes.
        let buffers = (config.read_buffer_size as usize, config.write_buffer_size as usize);
        let user_agent = if config.user_agent.is_empty() { USER_AGENT } else { &config.user_agent };
        let dialer = Dialer::new(
            Connector { tls, limit, buffers },
            &endpoint,
            &authority,
            user_agent,
            config.keepalive,
        )
        .map_err(|e| failed(format!("{endpoint}: not an address that gRPC can use: {e}")))?;
        let balancer = match proxy_of(&endpoint).map_err(failed)? {
            // The proxy resolves the name.
            Some(proxy) => {
                let address = Address::Proxied(proxy, endpoint.authority());
                Balancer::of_address(context.id.clone(), dialer, address)
            }
            None => match &endpoint.target {
                GrpcTarget::Unix(path) => {
                    Balancer::of_address(context.id.clone(), dialer, Address::Unix(path.clone()))
                }
                GrpcTarget::Host { host, port } => {
                    let name = Name { host: host.clone(), port: *port, resolver };
                    Balancer::of_name(context.id.clone(), dialer, config.balancer_name, name)
                }
            },
        };
        let path = match context.signal {
            Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
            Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        };
        Ok(Self {
            id: context.id.clone(),
            skips_verification: endpoint.tls && client.tls.insecure_skip_verify,
            endpoint,
            balancer,
            path: PathAndQuery::from_static(path),
            headers: RequestHeaders::new(client, context)?,
            compression: client.compression,
            wait_for_ready: config.wait_for_ready.then_some(limit),
        })
    }

    /// Sends the payload through a channel.
    async fn send(&self, channel: Channel, payload: &Payload) -> Result<Pushed, Status> {
        let mut client = tonic::client::Grpc::new(channel)
            .accept_compressed(CompressionEncoding::Gzip)
            // Servers compress the response as the request.
            .accept_compressed(CompressionEncoding::Zstd)
            .max_decoding_message_size(MAX_RESPONSE_BYTES);
        match self.compression {
            Compression::Gzip => client = client.send_compressed(CompressionEncoding::Gzip),
            Compression::Zstd => client = client.send_compressed(CompressionEncoding::Zstd),
            // The validation refuses the others.
            Compression::None | Compression::Zlib | Compression::Deflate | Compression::Snappy => {}
        }
        client.ready().await.map_err(|e| Status::from_error(e.into()))?;
        let mut request = tonic::Request::new(payload.bytes.clone());
        *request.metadata_mut() = MetadataMap::from_headers(self.headers.next());
        let response = client.unary(request, self.path.clone(), PassThrough).await?;
        Ok(pushed(response.get_ref(), payload))
    }

    /// Returns an open connection. With `wait_for_ready` it waits for one.
    async fn pick(&self) -> Result<Picked, PushError> {
        let until = self.wait_for_ready.map(|limit| Instant::now() + limit);
        loop {
            match self.balancer.pick().await {
                Ok(picked) => return Ok(picked),
                Err(_) if until.is_some_and(|until| Instant::now() + RECONNECT_AFTER < until) => {
                    tokio::time::sleep(RECONNECT_AFTER).await;
                }
                Err(message) => {
                    return Err(PushError::Retryable { message, after: None, may_have_arrived: false });
                }
            }
        }
    }
}

/// Returns the proxy for an endpoint. As in gRPC for Go, and so in the Collector, `HTTPS_PROXY` counts with and without TLS.
fn proxy_of(endpoint: &GrpcEndpoint) -> Result<Option<ConnectProxy>, String> {
    match &endpoint.target {
        GrpcTarget::Host { host, port } => {
            ProxyRules::of_this_process()?.proxy(true, host, *port).map(ConnectProxy::new).transpose()
        }
        GrpcTarget::Unix(_) => Ok(None),
    }
}

/// Returns the host of `host` or `host:port`, without brackets.
fn host_of(authority: &str) -> String {
    let host = authority.parse::<Authority>().map(|parsed| parsed.host().to_owned());
    host.unwrap_or_default().trim_matches(['[', ']']).to_owned()
}

/// Returns the time limit for connecting. It is shorter than the attempt's limit, so that a failure to connect is reported as such.
fn connect_limit(timeout: Duration) -> Duration {
    const WITHOUT_LIMIT: Duration = Duration::from_secs(20);
    if timeout.is_zero() { WITHOUT_LIMIT } else { timeout * 4 / 5 }
}

#[async_trait]
impl Pusher for GrpcPusher {
    async fn start(&self) -> Result<(), ComponentError> {
        if self.skips_verification {
            tracing::warn!(exporter = %self.id, "tls::insecure_skip_verify: the server's identity is not verified; any host that answers at the endpoint receives the data");
        }
        Ok(())
    }

    fn endpoint(&self) -> String {
        self.endpoint.to_string()
    }

    async fn push(&self, payload: &Payload) -> Result<Pushed, PushError> {
        let mut lost = 0;
        loop {
            let picked = self.pick().await?;
            let status = match self.send(picked.channel.clone(), payload).await {
                Ok(pushed) => return Ok(pushed),
                Err(status) => status,
            };
            let was_lost = status.source().is_some_and(|source| !may_have_arrived(source));
            if was_lost {
                self.balancer.lost(&picked);
                lost += 1;
            }
            // The connection was lost before the request, which another connection can send.
            if !was_lost || lost > self.balancer.max_lost() {
                return Err(push_error(&self.endpoint.to_string(), self.endpoint.tls, &status));
            }
        }
    }
}
