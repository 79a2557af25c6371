//! [`Listener`]: accepts connections, at most [`MAX_CONNECTIONS`] at a time, and does the TLS handshake of each in a task of its own.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::component::tls::Reloading;

use super::open_connections::{Admission, OpenConnections};

/// Maximum number of connections. A further client closes another one's connection.
pub(super) const MAX_CONNECTIONS: usize = 64;
/// Time limit of a TLS handshake.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// Time limit of the first byte of a request. Otherwise silent clients could occupy all connections.
pub(super) const FIRST_BYTE_LIMIT: Duration = Duration::from_secs(10);
/// Time limit of the next byte. Longer than the interval between scrapes, which use the same connection.
pub(super) const IDLE_LIMIT: Duration = Duration::from_secs(300);
/// Wait after an accept failed, for example because the process has no descriptor left.
const RETRY_AFTER: Duration = Duration::from_millis(500);

pub(super) struct Listener {
    listener: TcpListener,
    tls: Option<Reloading<rustls::ServerConfig>>,
    connections: Arc<OpenConnections>,
    /// Accepted, and waits for a permit.
    waiting: Option<(TcpStream, SocketAddr)>,
    handshakes: JoinSet<Option<(Connection, SocketAddr)>>,
}

/// An accepted connection.
pub(super) struct Connection {
    stream: Stream,
    /// Resolves when the client has neither sent nor received a byte for too long.
    silence: Pin<Box<Sleep>>,
    /// Resolves when a new client needs the permit.
    evicted: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Whether a part of a response was written after the last byte of a request.
    has_responded: bool,
    admission: Admission,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Address of a client, which handlers can extract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

// === impl Listener ===

impl Listener {
    pub(super) fn new(listener: TcpListener, tls: Option<Reloading<rustls::ServerConfig>>) -> Self {
        let (connections, handshakes) = (OpenConnections::new(MAX_CONNECTIONS), JoinSet::new());
        Self { listener, tls, connections, waiting: None, handshakes }
    }
}

impl axum::serve::Listener for Listener {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            let Self { listener, tls, connections, waiting, handshakes } = self;
            // May be dropped at each wait, when a handshake ends. Then the client is still in `waiting`.
            let next = async {
                let client = match waiting.take() {
                    Some(client) => client,
                    None => TcpListener::accept(listener).await?,
                };
                *waiting = Some(client);
                let admission = connections.admit().await;
                Ok::<_, io::Error>((admission, waiting.take()))
            };
            let accepted = tokio::select! {
                accepted = next => accepted,
                Some(done) = handshakes.join_next() => match done {
                    Ok(Some(connection)) => return connection,
                    _ => continue,
                },
            };
            match (accepted, tls) {
                (Ok((admission, Some((stream, address)))), None) => {
                    return (Connection::new(Stream::Plain(stream), admission), address);
                }
                (Ok((admission, Some((stream, address)))), Some(tls)) => {
                    let handshake = TlsAcceptor::from(tls.get()).accept(stream);
                    handshakes.spawn(async move {
                        let evicted = admission.evicted();
                        let stream = tokio::select! {
                            done = tokio::time::timeout(HANDSHAKE_LIMIT, handshake) => done.ok()?.ok()?,
                            () = evicted => return None,
                        };
                        let stream = Stream::Tls(Box::new(stream));
                        Some((Connection::new(stream, admission), address))
                    });
                }
                (Ok((_, None)), _) => {}
                (Err(error), _) => {
                    tracing::debug!(%error, "cannot accept a connection");
                    sleep(RETRY_AFTER).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Connected<IncomingStream<'_, Listener>> for ClientAddress {
    fn connect_info(stream: IncomingStream<'_, Listener>) -> Self {
        Self(stream.remote_addr().ip().to_canonical())
    }
}

// === impl Connection ===

impl Connection {
    fn new(stream: Stream, admission: Admission) -> Self {
        let (silence, evicted) = (Box::pin(sleep(FIRST_BYTE_LIMIT)), Box::pin(admission.evicted()));
        Self { stream, silence, evicted, has_responded: false, admission }
    }

    /// Returns `result`, or an error if the operation waits for the client and the connection has to be closed. Applies to every operation,
    /// because a client that reads nothing stops the server in a write.
    fn or_closed<T>(
        &mut self,
        context: &mut Context<'_>,
        result: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if result.is_ready() {
            return result;
        }
        if self.evicted.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        self.silence.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    fn reset_silence(&mut self) {
        self.silence.as_mut().reset(Instant::now() + IDLE_LIMIT);
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let result = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        };
        if result.is_ready() {
            self.reset_silence();
            self.has_responded = false;
            self.admission.set_busy();
            return result;
        }
        if std::mem::take(&mut self.has_responded) {
            self.admission.set_idle();
        }
        self.or_closed(context, result)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.has_responded = true;
        let result = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        };
        if result.is_ready() {
            self.reset_silence();
        }
        self.or_closed(context, result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(context),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(context),
        };
        self.or_closed(context, result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        };
        self.or_closed(context, result)
    }
}
