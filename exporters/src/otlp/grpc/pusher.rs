//! [`GrpcPusher`] makes delivery attempts over one connection. It opens the connection at the first attempt, and again after a loss.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use http::Uri;
use http::uri::PathAndQuery;
use longwave_pipeline::component::{
    ComponentError, ExporterContext, Payload, PushError, Pushed, Pusher, Signal,
};
use rustls::pki_types::ServerName;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};

use super::GrpcConfig;
use super::connector::Connector;
use super::endpoint::GrpcEndpoint;
use super::passthrough::PassThrough;
use super::proxy::ConnectProxy;
use super::status::push_error;
use crate::otlp::partial_success::pushed;
use crate::otlp::proxy::ProxyRules;
use crate::otlp::request_headers::RequestHeaders;
use crate::otlp::{Compression, USER_AGENT};

/// Sends serialised requests of one signal to one endpoint.
pub struct GrpcPusher {
    id: String,
    connector: Connector,
    path: PathAndQuery,
    headers: RequestHeaders,
    compression: Compression,
    skips_verification: bool,
    /// Created at the first use, since it needs the runtime.
    channel: OnceLock<Channel>,
}

/// Limit on the bytes of a response, which contains only a count and a reason.
const MAX_RESPONSE_BYTES: usize = 1 << 20;

impl GrpcPusher {
    /// Creates the pusher. Reads the TLS files, but does not connect.
    ///
    /// # Errors
    /// The endpoint is not valid, a TLS file cannot be used, or there is no such authenticator.
    pub fn new(config: &GrpcConfig, context: &ExporterContext) -> Result<Self, ComponentError> {
        let client = &config.client;
        let section = format!("exporters::{}", context.id);
        let endpoint = GrpcEndpoint::parse(&config.endpoint, client.tls.insecure)
            .map_err(|what| ComponentError::new(format!("{section}: endpoint: {what}")))?;
        let tls = if endpoint.tls {
            let name = client.tls.server_name_override.as_ref().unwrap_or(&endpoint.host);
            let name = ServerName::try_from(name.clone()).map_err(|e| {
                ComponentError::new(format!("{section}: endpoint: no certificate can be for {name:?}: {e}"))
            })?;
            Some((Arc::new(client.tls.client_config(&section, b"h2", false)?), name))
        } else {
            None
        };
        // As gRPC for Go, and so the Collector: HTTPS_PROXY counts with and without TLS.
        let rules = ProxyRules::of_this_process();
        let proxy = rules
            .and_then(|rules| {
                rules.proxy(true, &endpoint.host, endpoint.port).map(ConnectProxy::new).transpose()
            })
            .map_err(|what| ComponentError::new(format!("{section}: endpoint: {what}")))?;
        let path = match context.signal {
            Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
            Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        };
        Ok(Self {
            id: context.id.clone(),
            skips_verification: endpoint.tls && client.tls.insecure_skip_verify,
            connector: Connector { endpoint, tls, proxy, limit: connect_limit(client.timeout.get()) },
            path: PathAndQuery::from_static(path),
            headers: RequestHeaders::new(client, context)?,
            compression: client.compression,
            channel: OnceLock::new(),
        })
    }

    fn channel(&self) -> Result<Channel, PushError> {
        if let Some(channel) = self.channel.get() {
            return Ok(channel.clone());
        }
        let endpoint = self.lazy_endpoint().map_err(|e| {
            PushError::Permanent(format!(
                "{}: not an address that gRPC can use: {e}",
                self.connector.endpoint
            ))
        })?;
        let connector = self.connector.clone();
        let open = tower::service_fn(move |_: Uri| connector.clone().connect());
        Ok(self.channel.get_or_init(|| endpoint.connect_with_connector_lazy(open)).clone())
    }

    fn lazy_endpoint(&self) -> Result<Endpoint, Box<dyn std::error::Error + Send + Sync>> {
        let authority = self.connector.endpoint.authority();
        // The scheme is `http` for tonic, since the connector does TLS itself. The server sees the origin.
        let endpoint = Endpoint::from_shared(format!("http://{authority}"))?
            .origin(self.connector.endpoint.to_string().parse()?)
            .user_agent(USER_AGENT)?;
        Ok(endpoint)
    }
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
        self.channel()
            .map(drop)
            .map_err(|e| ComponentError::new(format!("exporters::{}: endpoint: {e}", self.id)))
    }

    fn endpoint(&self) -> String {
        self.connector.endpoint.to_string()
    }

    async fn push(&self, payload: &Payload) -> Result<Pushed, PushError> {
        let endpoint = &self.connector.endpoint;
        let failed = |status| push_error(&endpoint.to_string(), endpoint.tls, &status);
        let mut client = tonic::client::Grpc::new(self.channel()?)
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
        client.ready().await.map_err(|e| failed(tonic::Status::from_error(e.into())))?;
        let mut request = tonic::Request::new(payload.bytes.clone());
        *request.metadata_mut() = MetadataMap::from_headers(self.headers.next());
        let response = client.unary(request, self.path.clone(), PassThrough).await.map_err(failed)?;
        Ok(pushed(response.get_ref(), payload))
    }
}
