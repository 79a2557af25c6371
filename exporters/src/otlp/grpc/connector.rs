//! [`Connector`] replaces tonic's connector. Its errors name the step that failed (name, address, handshake), it applies
//! [`TlsConfig`](super::super::TlsConfig), and it detects dead peers.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use longwave_pipeline::component::descriptor_limit;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::endpoint::GrpcEndpoint;
use super::proxy::ConnectProxy;
use crate::otlp::explain::{ConnectFailed, Explained};

/// `TCP_USER_TIMEOUT`: data that is not acknowledged within this time closes the connection, and the next attempt looks up the name again.
/// Without this limit, a connection hangs for about 15 minutes if a firewall drops all packets of the peer.
const ACKNOWLEDGEMENT_TIMEOUT: Duration = Duration::from_secs(15);

/// Opens connections to one endpoint.
#[derive(Clone)]
pub(crate) struct Connector {
    pub endpoint: GrpcEndpoint,
    pub tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    /// Opens the connection by `CONNECT`.
    pub proxy: Option<ConnectProxy>,
    /// Time limit of the TCP and TLS handshakes together.
    pub limit: Duration,
}

/// A connection, with or without TLS.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

impl Connector {
    /// Opens one connection.
    pub(crate) async fn connect(self) -> Result<TokioIo<Box<dyn Io>>, ConnectFailed> {
        let limit = self.limit;
        match tokio::time::timeout(limit, self.open()).await {
            Ok(done) => done.map(TokioIo::new).map_err(ConnectFailed),
            Err(_) => Err(ConnectFailed(io::ErrorKind::TimedOut.into())),
        }
    }

    async fn open(self) -> Result<Box<dyn Io>, io::Error> {
        let GrpcEndpoint { host, port, .. } = &self.endpoint;
        let stream = match &self.proxy {
            None => open_tcp(host, *port).await?,
            Some(proxy) => proxy.open(&self.endpoint.authority()).await?,
        };
        match self.tls {
            None => Ok(Box::new(stream)),
            Some((config, name)) => {
                let connected = TlsConnector::from(config).connect(name, stream).await;
                Ok(Box::new(connected.map_err(handshake_error)?))
            }
        }
    }
}

/// Connects to the addresses of a name one after the other, until one accepts.
pub(super) async fn open_tcp(host: &str, port: u16) -> Result<TcpStream, io::Error> {
    let addresses = tokio::net::lookup_host((host, port)).await.map_err(|e| {
        if descriptor_limit(&e).is_some() {
            return e;
        }
        io::Error::other(Explained(format!(
            "cannot resolve the name {host:?}: {e} (is it spelt right, and does DNS work here?)"
        )))
    })?;
    let mut last = io::Error::other(Explained(format!("the name {host:?} has no address")));
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                rustix::net::sockopt::set_tcp_user_timeout(
                    &stream,
                    ACKNOWLEDGEMENT_TIMEOUT.as_millis() as u32,
                )?;
                return Ok(stream);
            }
            Err(e) => last = e,
        }
    }
    Err(last)
}

/// Explains a handshake that the server ended by closing the connection, as servers without TLS do.
fn handshake_error(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => io::Error::other(Explained(
            "the server closed the connection during the TLS handshake (if it does not speak TLS, set tls::insecure: true or use \
             http://)"
                .to_owned(),
        )),
        _ => error,
    }
}
