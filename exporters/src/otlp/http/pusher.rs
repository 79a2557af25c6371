//! [`HttpPusher`]: one POST.

use std::io::Write;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderValue};
use longwave_pipeline::component::{ComponentError, Payload, PushError, Pushed, Pusher, Signal};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, ClientBuilder, Response, Url};

use super::answer::{PROTOBUF, push_error};
use super::{HttpConfig, url};
use crate::otlp::explain::explain;
use crate::otlp::settings::header_map;
use crate::otlp::success::pushed;
use crate::otlp::{Compression, USER_AGENT};

/// Sends serialised requests of one signal to one URL.
pub struct HttpPusher {
    id: String,
    client: Client,
    /// As configured; what messages name.
    shown: String,
    /// What the client is told: its host is `tls::server_name_override`, where that is set.
    target: Url,
    headers: HeaderMap,
    compression: Compression,
    skips_verification: bool,
}

/// As much of an answer as is read; the Collector's limit.
const MAX_ANSWER_BYTES: usize = 64 << 10;
/// Bodies up to this size are compressed in place, larger ones off the runtime's threads.
const COMPRESS_IN_PLACE: usize = 16 << 10;
/// What is sent and not acknowledged for so long ends the connection.
const GIVE_UP_UNACKNOWLEDGED: Duration = Duration::from_secs(15);

impl HttpPusher {
    /// Reads the TLS files; connects to nothing.
    ///
    /// # Errors
    /// What is wrong with the URL, or the TLS file that cannot be used.
    pub fn new(config: &HttpConfig, id: &str, signal: Signal) -> Result<Self, ComponentError> {
        let place = format!("exporters::{id}");
        let failed = |key: &str, what: String| ComponentError::new(format!("{place}: {key}: {what}"));
        let url = match config.own_endpoint(signal) {
            (key, "") if config.endpoint.is_empty() => {
                return Err(failed(
                    "endpoint",
                    format!("must be set, or {key}, since the exporter is in a {signal} pipeline"),
                ));
            }
            (_, "") => {
                url::of_signal(url::base(&config.endpoint).map_err(|what| failed("endpoint", what))?, signal)
            }
            (key, own) => url::parse(own).map_err(|what| failed(key, what))?,
        };
        let tls = url.scheme() == "https";
        let mut headers = header_map(&config.headers);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROTOBUF));
        if config.compression == Compression::Gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let mut builder = Client::builder()
            .user_agent(USER_AGENT)
            .http1_only()
            // A redirected POST becomes a GET, which the server may well answer with 200: the data would be lost in silence.
            .redirect(reqwest::redirect::Policy::none())
            .tcp_user_timeout(GIVE_UP_UNACKNOWLEDGED);
        let mut target = url.clone();
        // Also for plain URLs: without it the client would look for a TLS provider of its own.
        let settings = if tls {
            config.tls.clone()
        } else {
            crate::otlp::TlsSettings { insecure_skip_verify: true, ..Default::default() }
        };
        builder = builder.tls_backend_preconfigured(settings.client_config(&place, b"http/1.1")?);
        if let Some(name) = config.tls.server_name_override.as_deref().filter(|_| tls) {
            builder = connecting_to(&url, builder);
            target.set_host(Some(name)).map_err(|e| failed("tls::server_name_override", e.to_string()))?;
            let authority = url.authority().to_owned();
            if !headers.contains_key(HOST) {
                let host = HeaderValue::try_from(authority).map_err(|e| failed("endpoint", e.to_string()))?;
                headers.insert(HOST, host);
            }
        }
        let client = builder.build().map_err(|e| failed("endpoint", explain(url.as_str(), tls, &e)))?;
        Ok(Self {
            id: id.to_owned(),
            client,
            shown: url.to_string(),
            target,
            headers,
            compression: config.compression,
            skips_verification: tls && config.tls.insecure_skip_verify,
        })
    }

    async fn body(&self, payload: &Payload) -> Result<Bytes, PushError> {
        let bytes = payload.bytes.clone();
        let done = match self.compression {
            Compression::None => return Ok(bytes),
            Compression::Gzip if bytes.len() <= COMPRESS_IN_PLACE => gzip(&bytes),
            Compression::Gzip => match tokio::task::spawn_blocking(move || gzip(&bytes)).await {
                Ok(done) => done,
                Err(e) => Err(std::io::Error::other(e)),
            },
        };
        done.map_err(|e| PushError::Permanent(format!("{}: cannot compress: {e}", self.shown)))
    }
}

/// Makes the client connect to `url`'s host whatever name it is told, so that the name in SNI and certificate can be another.
fn connecting_to(url: &Url, builder: ClientBuilder) -> ClientBuilder {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
    builder.no_proxy().dns_resolver(ResolveAs(host))
}

/// Resolves every name to the addresses of this one.
struct ResolveAs(String);

impl Resolve for ResolveAs {
    fn resolve(&self, _: Name) -> Resolving {
        let host = self.0.clone();
        Box::pin(async move {
            // Port 0 becomes the URL's.
            let found: Vec<_> = tokio::net::lookup_host((host, 0)).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

fn gzip(bytes: &[u8]) -> std::io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), flate2::Compression::default());
    encoder.write_all(bytes)?;
    Ok(Bytes::from(encoder.finish()?))
}

/// The start of the answer. What comes after its limit is not read.
async fn read_some(mut response: Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let room = MAX_ANSWER_BYTES - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if body.len() == MAX_ANSWER_BYTES {
            break;
        }
    }
    Ok(body)
}

#[async_trait]
impl Pusher for HttpPusher {
    async fn start(&self) -> Result<(), ComponentError> {
        if self.skips_verification {
            tracing::warn!(exporter = %self.id, "tls::insecure_skip_verify: whoever answers at the endpoint gets the data");
        }
        Ok(())
    }

    async fn push(&self, payload: &Payload) -> Result<Pushed, PushError> {
        let tls = self.target.scheme() == "https";
        let failed = |e: reqwest::Error| {
            let message = explain(&self.shown, tls, &e);
            if e.is_builder() {
                PushError::Permanent(message)
            } else {
                PushError::Retryable { message, after: None }
            }
        };
        let body = self.body(payload).await?;
        let request = self.client.post(self.target.clone()).headers(self.headers.clone()).body(body);
        let response = request.send().await.map_err(failed)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let answer = read_some(response).await;
        if !status.is_success() {
            // The status says what matters, even if the words are cut off.
            return Err(push_error(
                &self.shown,
                status,
                &headers,
                &answer.unwrap_or_default(),
                SystemTime::now(),
            ));
        }
        let speaks_protobuf =
            headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(PROTOBUF.as_bytes()));
        // Taken is taken: an answer that breaks off must not cause the data to be sent twice.
        match answer {
            Ok(bytes) if speaks_protobuf => Ok(pushed(&bytes, payload)),
            _ => Ok(Pushed::default()),
        }
    }
}
