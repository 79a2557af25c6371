//! [`Transport`]: the HTTP client of an exporter.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client as TunnelClient;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use reqwest::Url;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tower::util::BoxCloneSyncService;

use super::ConnectionConfig;
use crate::otlp::USER_AGENT;
use crate::otlp::explain::ConnectFailed;
use crate::otlp::grpc::connector::{Address, Connector, Io};
use crate::otlp::grpc::proxy::ConnectProxy;

/// Sends requests.
pub(super) enum Transport {
    /// Connects to the host of the URL or to a proxy. SNI has the host of the URL.
    Client(reqwest::Client),
    /// Connects to the host of the URL through a proxy. SNI has another name.
    Tunnel(Box<TunnelClient<TunnelConnector, Full<Bytes>>>),
}

/// What a server responded.
pub(super) struct Responded {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// The first [`MAX_RESPONSE_BYTES`] of the body. `None` if it could not be read.
    pub(super) body: Option<Vec<u8>>,
}

/// Why there is no response.
pub(super) struct NoResponse {
    pub(super) error: Box<dyn Error + Send + Sync>,
    /// Whether no request can be made of the settings.
    pub(super) is_permanent: bool,
    /// Whether the server may have got the request.
    pub(super) may_have_arrived: bool,
}

type TunnelConnector = BoxCloneSyncService<Uri, TokioIo<Stream>, ConnectFailed>;

/// A connection through a tunnel.
pub(super) struct Stream(Box<dyn Io>);

/// Limit on the bytes of a response body that are read, as in the Collector.
const MAX_RESPONSE_BYTES: usize = 64 << 10;

// === impl Transport ===

impl Transport {
    /// Makes a client that reaches the server of `url` through `proxy`, and expects a certificate for `name`.
    ///
    /// # Errors
    /// The URL of the proxy or the name is invalid.
    pub(super) fn tunnel(
        url: &Url,
        proxy: &Url,
        tls: ClientConfig,
        name: &str,
        connections: &ConnectionConfig,
    ) -> Result<Self, String> {
        let name = ServerName::try_from(name.to_owned()).map_err(|error| error.to_string())?;
        let (host, port) =
            (url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default());
        let address = Address::Proxied(ConnectProxy::new(proxy)?, format!("{host}:{port}"));
        let connector = Connector {
            tls: Some((Arc::new(tls), name)),
            // The time limit of an attempt includes the handshakes.
            limit: std::time::Duration::MAX,
            buffers: (0, 0),
        };
        let open = tower::service_fn(move |_: Uri| {
            let (connector, address) = (connector.clone(), address.clone());
            async move {
                let opened = connector.connect(&address).await?;
                Ok(TokioIo::new(Stream(opened.into_inner())))
            }
        });
        let client = TunnelClient::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(connections.idle_limit())
            .pool_max_idle_per_host(connections.max_idle())
            .build(BoxCloneSyncService::new(open));
        Ok(Self::Tunnel(Box::new(client)))
    }

    /// Sends a POST and reads the response.
    pub(super) async fn post(
        &self,
        url: &Url,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Responded, NoResponse> {
        match self {
            Self::Client(client) => {
                let failed = |error: reqwest::Error| NoResponse {
                    is_permanent: error.is_builder(),
                    may_have_arrived: !error.is_connect(),
                    error: error.into(),
                };
                let sent = client.post(url.clone()).headers(headers).body(body).send().await;
                let response = sent.map_err(failed)?;
                let (status, headers) = (response.status(), response.headers().clone());
                Ok(Responded { status, headers, body: read_start(response).await.ok() })
            }
            Self::Tunnel(client) => {
                let request = request(url, headers, body).map_err(|error| NoResponse {
                    error: error.into(),
                    is_permanent: true,
                    may_have_arrived: false,
                })?;
                let response = client.request(request).await.map_err(|error| NoResponse {
                    is_permanent: false,
                    may_have_arrived: !error.is_connect(),
                    error: error.into(),
                })?;
                let (head, body) = response.into_parts();
                let body = read_frames(body).await.ok();
                Ok(Responded { status: head.status, headers: head.headers, body })
            }
        }
    }
}

fn request(url: &Url, headers: HeaderMap, body: Bytes) -> Result<Request<Full<Bytes>>, http::Error> {
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(url.as_str())
        .header(http::header::USER_AGENT, USER_AGENT)
        .body(Full::new(body))?;
    for (name, value) in &headers {
        request.headers_mut().insert(name, value.clone());
    }
    Ok(request)
}

/// Reads the first [`MAX_RESPONSE_BYTES`] of the body.
async fn read_start(mut response: reqwest::Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if !append(&mut body, &chunk) {
            break;
        }
    }
    Ok(body)
}

/// Does what [`read_start`] does, for a response through a tunnel.
async fn read_frames<B: BodyExt<Data = Bytes> + Unpin>(mut frames: B) -> Result<Vec<u8>, B::Error> {
    let mut body = Vec::new();
    while let Some(frame) = frames.frame().await {
        // Trailers are no part of the body.
        if !append(&mut body, &frame?.into_data().unwrap_or_default()) {
            break;
        }
    }
    Ok(body)
}

/// Appends as much of the chunk as is read. Returns whether more is read.
fn append(body: &mut Vec<u8>, chunk: &[u8]) -> bool {
    let room = MAX_RESPONSE_BYTES - body.len();
    body.extend_from_slice(&chunk[..chunk.len().min(room)]);
    body.len() < MAX_RESPONSE_BYTES
}

// === impl Stream ===

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
