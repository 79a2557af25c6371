//! Our own connector: it says what failed (name, address, handshake), verifies as [`TlsSettings`](super::super::TlsSettings) says, and
//! notices a dead peer.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::endpoint::GrpcEndpoint;
use crate::otlp::explain::Known;

/// What is sent and not acknowledged for so long ends the connection: the next attempt then opens a new one, by a new look-up of
/// the name. Without it a peer that vanished behind a dropping firewall keeps a connection stuck for a quarter of an hour.
const GIVE_UP_UNACKNOWLEDGED: Duration = Duration::from_secs(15);

/// Opens connections to one endpoint.
#[derive(Clone)]
pub(crate) struct Connector {
    pub endpoint: GrpcEndpoint,
    pub tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    /// Time limit of the TCP and TLS handshakes together.
    pub limit: Duration,
}

/// A connection, with or without TLS.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

impl Connector {
    /// Opens one connection.
    pub(crate) async fn connect(self) -> Result<TokioIo<Box<dyn Io>>, io::Error> {
        let limit = self.limit;
        match tokio::time::timeout(limit, self.open()).await {
            Ok(done) => done.map(TokioIo::new),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    async fn open(self) -> Result<Box<dyn Io>, io::Error> {
        let stream = self.open_tcp().await?;
        match self.tls {
            None => Ok(Box::new(stream)),
            Some((config, name)) => {
                let connected = TlsConnector::from(config).connect(name, stream).await;
                Ok(Box::new(connected.map_err(handshake_error)?))
            }
        }
    }

    /// The first address that answers.
    async fn open_tcp(&self) -> Result<TcpStream, io::Error> {
        let GrpcEndpoint { host, port, .. } = &self.endpoint;
        let addresses = tokio::net::lookup_host((host.as_str(), *port)).await.map_err(|e| {
            io::Error::other(Known(format!(
                "cannot resolve the name {host:?}: {e} (is it spelt right, and does DNS work here?)"
            )))
        })?;
        let mut last = io::Error::other(Known(format!("the name {host:?} has no address")));
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    rustix::net::sockopt::set_tcp_user_timeout(
                        &stream,
                        GIVE_UP_UNACKNOWLEDGED.as_millis() as u32,
                    )?;
                    return Ok(stream);
                }
                Err(e) => last = e,
            }
        }
        Err(last)
    }
}

/// A server without TLS may answer the handshake by hanging up.
fn handshake_error(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => io::Error::other(Known(
            "the server closed the connection during the TLS handshake (if it does not speak TLS, set tls::insecure: true or use \
             http://)"
                .to_owned(),
        )),
        _ => error,
    }
}
