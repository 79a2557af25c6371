//! [`Connector`] opens connections. Its errors name the step that failed (address, handshake), it applies
//! [`TlsConfig`](super::super::TlsConfig), and it detects dead peers.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, BufReader, BufWriter};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::proxy::ConnectProxy;
use super::resolver::{SystemResolver, addresses};
use crate::otlp::explain::{ConnectFailed, Explained};

/// `TCP_USER_TIMEOUT`: data that is not acknowledged within this time closes the connection, and the next attempt looks up the name again.
/// Without this limit, a connection hangs for about 15 minutes if a firewall drops all packets of the peer.
const ACKNOWLEDGEMENT_TIMEOUT: Duration = Duration::from_secs(15);

/// Opens connections to the servers of one endpoint.
#[derive(Clone)]
pub(crate) struct Connector {
    pub tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    /// Time limit of the TCP and TLS handshakes together.
    pub limit: Duration,
    /// Sizes of the buffers for reading and writing; 0: no further buffer.
    pub buffers: (usize, usize),
}

/// Destination of a connection.
#[derive(Clone)]
pub(crate) enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
    /// The server that the text (`host:port`) names, by `CONNECT`.
    Proxied(ConnectProxy, String),
}

/// A connection, with or without TLS.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

// === impl Connector ===

impl Connector {
    /// Opens one connection.
    pub(crate) async fn connect(&self, address: &Address) -> Result<TokioIo<Box<dyn Io>>, ConnectFailed> {
        match tokio::time::timeout(self.limit, self.open(address)).await {
            Ok(done) => done.map(TokioIo::new).map_err(ConnectFailed),
            Err(_) => Err(ConnectFailed(io::ErrorKind::TimedOut.into())),
        }
    }

    async fn open(&self, address: &Address) -> Result<Box<dyn Io>, io::Error> {
        match address {
            Address::Tcp(address) => self.secure(open_address(*address).await?).await,
            Address::Unix(path) => self.secure(UnixStream::connect(path).await.map_err(unix_error)?).await,
            Address::Proxied(proxy, authority) => self.secure(proxy.open(authority).await?).await,
        }
    }

    async fn secure(&self, stream: impl Io + 'static) -> Result<Box<dyn Io>, io::Error> {
        match &self.tls {
            None => Ok(self.buffered(stream)),
            Some((config, name)) => {
                let connected = TlsConnector::from(Arc::clone(config)).connect(name.clone(), stream).await;
                Ok(self.buffered(connected.map_err(handshake_error)?))
            }
        }
    }

    fn buffered(&self, stream: impl Io + 'static) -> Box<dyn Io> {
        match self.buffers {
            (0, 0) => Box::new(stream),
            (0, write) => Box::new(BufWriter::with_capacity(write, stream)),
            (read, 0) => Box::new(BufReader::with_capacity(read, stream)),
            (read, write) => {
                Box::new(BufWriter::with_capacity(write, BufReader::with_capacity(read, stream)))
            }
        }
    }
}

// === impl Address ===

impl PartialEq for Address {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Tcp(left), Self::Tcp(right)) => left == right,
            (Self::Unix(left), Self::Unix(right)) => left == right,
            // An endpoint has at most one proxy.
            (Self::Proxied(..), Self::Proxied(..)) => true,
            _ => false,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
            Self::Proxied(_, authority) => f.write_str(authority),
        }
    }
}

/// Connects to the addresses of a name one after the other, until one accepts.
pub(super) async fn open_tcp(host: &str, port: u16) -> Result<TcpStream, io::Error> {
    let mut last = io::Error::from(io::ErrorKind::NotConnected);
    for address in addresses(&SystemResolver, host, port).await? {
        match open_address(address).await {
            Ok(stream) => return Ok(stream),
            Err(e) => last = e,
        }
    }
    Err(last)
}

async fn open_address(address: SocketAddr) -> Result<TcpStream, io::Error> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    rustix::net::sockopt::set_tcp_user_timeout(&stream, ACKNOWLEDGEMENT_TIMEOUT.as_millis() as u32)?;
    Ok(stream)
}

/// Explains what can only happen to a Unix socket.
fn unix_error(error: io::Error) -> io::Error {
    let hint = match error.kind() {
        io::ErrorKind::NotFound => {
            "no such socket (is the collector running, and is its directory mounted here?)"
        }
        io::ErrorKind::PermissionDenied => "permission denied (may this user write to the socket?)",
        _ => return error,
    };
    io::Error::other(Explained(hint.to_owned()))
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
