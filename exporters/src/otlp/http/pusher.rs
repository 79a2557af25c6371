//! [`HttpPusher`] makes delivery attempts, each a POST.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderValue;
use http::header::{CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, HOST};
use longwave_pipeline::component::{
    ComponentError, ExporterContext, Payload, PushError, Pushed, Pusher, Signal,
};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, ClientBuilder, Url};
use tokio::sync::Semaphore;

use super::json::{self, JSON};
use super::response::{PROTOBUF, push_error};
use super::transport::{NoResponse, Responded, Transport};
use super::{HttpConfig, url};
use crate::otlp::explain::explain;
use crate::otlp::partial_success::pushed;
use crate::otlp::proxy::{self, ProxyRules};
use crate::otlp::request_headers::RequestHeaders;
use crate::otlp::{Compression, CompressionParams, TlsConfig, USER_AGENT};

/// Sends serialised requests of one signal to one URL.
pub struct HttpPusher {
    id: String,
    transport: Transport,
    /// The URL as configured, for messages.
    url: String,
    /// The URL for the client. If `tls::server_name_override` is set, its host is that name.
    target: Url,
    headers: RequestHeaders,
    compression: (Compression, CompressionParams),
    /// One permit for each connection that may be open. `None`: no limit.
    permits: Option<Semaphore>,
    signal: Signal,
    is_json: bool,
    skips_verification: bool,
}

/// Bodies up to this size are compressed on the runtime's threads, larger ones on blocking threads.
const MAX_BYTES_TO_COMPRESS_INLINE: usize = 16 << 10;
/// `TCP_USER_TIMEOUT`: data that is not acknowledged within this time closes the connection.
const ACKNOWLEDGEMENT_TIMEOUT: Duration = Duration::from_secs(15);

impl HttpPusher {
    /// Creates the pusher. Reads the TLS files, but does not connect.
    ///
    /// # Errors
    /// The URL is not valid, a TLS file cannot be used, or there is no such authenticator.
    pub fn new(config: &HttpConfig, context: &ExporterContext) -> Result<Self, ComponentError> {
        let client_config = &config.client;
        let signal = context.signal;
        let section = format!("exporters::{}", context.id);
        let failed = |key: &str, what: String| ComponentError::new(format!("{section}: {key}: {what}"));
        let url = match config.signal_endpoint(signal) {
            (key, "") if config.endpoint.is_empty() => {
                return Err(failed(
                    "endpoint",
                    format!("must be set, or {key}, since the exporter is in a {signal} pipeline"),
                ));
            }
            (_, "") => {
                url::of_signal(url::base(&config.endpoint).map_err(|what| failed("endpoint", what))?, signal)
            }
            (key, complete) => url::parse(complete).map_err(|what| failed(key, what))?,
        };
        let tls = url.scheme() == "https";
        let mut headers = RequestHeaders::new(client_config, context)?;
        let content_type = if config.is_json() { JSON } else { PROTOBUF };
        headers.fixed.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        if let Some(encoding) = client_config.compression.content_encoding() {
            headers.fixed.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        let connections = &config.connections;
        let mut builder = Client::builder()
            .user_agent(USER_AGENT)
            .http1_only()
            // A redirected POST becomes a GET. If the server responded to that with 200, the data would be lost without an error.
            .redirect(reqwest::redirect::Policy::none())
            .tcp_user_timeout(ACKNOWLEDGEMENT_TIMEOUT)
            .pool_idle_timeout(connections.idle_limit())
            .pool_max_idle_per_host(connections.max_idle());
        if !connections.is_kept_alive() {
            headers.fixed.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let mut target = url.clone();
        // Set for plain URLs too. Otherwise the client would look for a TLS provider of its own.
        let tls_config = if tls {
            client_config.tls.clone()
        } else {
            TlsConfig { insecure_skip_verify: true, ..Default::default() }
        };
        let proxy = proxy_of(config, &url).map_err(|(key, what)| failed(key, what))?;
        builder = match &proxy {
            Some(proxy) => {
                let proxy =
                    reqwest::Proxy::all(proxy.clone()).map_err(|e| failed("proxy_url", e.to_string()))?;
                builder.proxy(proxy)
            }
            None => builder.no_proxy(),
        };
        let name_override = client_config.tls.server_name_override.as_deref().filter(|_| tls);
        let tls_config =
            |verifies_override| tls_config.client_config(&section, b"http/1.1", verifies_override);
        // A proxy resolves the name in the request, so that this must be the endpoint's. The client would send it in SNI, too. A proxy
        // with TLS needs the client.
        let tunnel = name_override.zip(proxy.as_ref().filter(|proxy| proxy.scheme() == "http"));
        let tunnel = tunnel.map(|(name, proxy)| {
            Transport::tunnel(&url, proxy, tls_config(false)?, name, connections)
                .map_err(|what| failed("proxy_url", what))
        });
        builder = builder.tls_backend_preconfigured(tls_config(proxy.is_some())?);
        if let Some(name) = name_override.filter(|_| proxy.is_none()) {
            builder = connecting_to(&url, builder);
            target.set_host(Some(name)).map_err(|e| failed("tls::server_name_override", e.to_string()))?;
            let authority = url.authority().to_owned();
            if !headers.fixed.contains_key(HOST) {
                let host = HeaderValue::try_from(authority).map_err(|e| failed("endpoint", e.to_string()))?;
                headers.fixed.insert(HOST, host);
            }
        }
        let transport = match tunnel.transpose()? {
            Some(tunnel) => tunnel,
            None => {
                let client =
                    builder.build().map_err(|e| failed("endpoint", explain(url.as_str(), tls, &e)))?;
                Transport::Client(client)
            }
        };
        Ok(Self {
            id: context.id.clone(),
            transport,
            url: url.to_string(),
            target,
            headers,
            compression: (client_config.compression, config.compression_params),
            // The validation has limited the number.
            permits: (connections.max_conns_per_host > 0)
                .then(|| Semaphore::new(connections.max_conns_per_host as usize)),
            signal,
            is_json: config.is_json(),
            skips_verification: tls && client_config.tls.insecure_skip_verify,
        })
    }

    async fn body(&self, payload: &Payload) -> Result<Bytes, PushError> {
        let bytes = payload.bytes.clone();
        let ((compression, params), signal, is_json) = (self.compression, self.signal, self.is_json);
        let make = move || {
            let bytes =
                if is_json { json::transcode(bytes, signal).map_err(std::io::Error::other)? } else { bytes };
            compression.compress(&bytes, params.level)
        };
        let is_cheap = compression == Compression::None && !is_json;
        let done = if is_cheap || payload.bytes.len() <= MAX_BYTES_TO_COMPRESS_INLINE {
            make()
        } else {
            match tokio::task::spawn_blocking(make).await {
                Ok(done) => done,
                Err(e) => Err(std::io::Error::other(e)),
            }
        };
        done.map_err(|e| PushError::Permanent(format!("{}: cannot encode the request: {e}", self.url)))
    }
}

/// Returns the proxy for a URL. An error has the key of the setting to which it belongs.
fn proxy_of(config: &HttpConfig, url: &Url) -> Result<Option<Url>, (&'static str, String)> {
    let explicit = config.proxy_url.expose();
    if !explicit.is_empty() {
        return proxy::parse(explicit).map(Some).map_err(|what| ("proxy_url", what));
    }
    let rules = ProxyRules::of_this_process().map_err(|what| ("endpoint", what))?;
    let (host, port) = (url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default());
    Ok(rules.proxy(url.scheme() == "https", host, port).cloned())
}

/// Makes the client connect to `url`'s host for every name, so that SNI and the certificate can have another name.
fn connecting_to(url: &Url, builder: ClientBuilder) -> ClientBuilder {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
    builder.dns_resolver(ResolveAs(host))
}

/// Resolves every name to the addresses of this host.
struct ResolveAs(String);

impl Resolve for ResolveAs {
    fn resolve(&self, _: Name) -> Resolving {
        let host = self.0.clone();
        Box::pin(async move {
            // reqwest replaces port 0 by the URL's port.
            let found: Vec<_> = tokio::net::lookup_host((host, 0)).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[async_trait]
impl Pusher for HttpPusher {
    async fn start(&self) -> Result<(), ComponentError> {
        if self.skips_verification {
            tracing::warn!(exporter = %self.id, "tls::insecure_skip_verify: the server's identity is not verified; any host that answers at the endpoint receives the data");
        }
        Ok(())
    }

    fn endpoint(&self) -> String {
        self.url.clone()
    }

    async fn push(&self, payload: &Payload) -> Result<Pushed, PushError> {
        let tls = self.target.scheme() == "https";
        let failed = |NoResponse { error, is_permanent, may_have_arrived }: NoResponse| {
            let message = explain(&self.url, tls, error.as_ref());
            if is_permanent {
                PushError::Permanent(message)
            } else {
                PushError::Retryable { message, after: None, may_have_arrived }
            }
        };
        let body = self.body(payload).await?;
        // The semaphore is never closed, so that there is no error.
        let _permit = match &self.permits {
            Some(permits) => permits.acquire().await.ok(),
            None => None,
        };
        let sent = self.transport.post(&self.target, self.headers.next(), body).await;
        let Responded { status, headers, body } = sent.map_err(failed)?;
        if !status.is_success() {
            // The status suffices if the body could not be read.
            return Err(push_error(
                &self.url,
                status,
                &headers,
                &body.unwrap_or_default(),
                SystemTime::now(),
            ));
        }
        let has_type = |wanted: &str| {
            headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(wanted.as_bytes()))
        };
        // The server accepted the request. A body that could not be read must not cause a second delivery.
        match body {
            Some(bytes) if has_type(PROTOBUF) => Ok(pushed(&bytes, payload)),
            Some(bytes) if has_type(JSON) => Ok(json::pushed(&bytes, payload)),
            _ => Ok(Pushed::default()),
        }
    }
}
