//! [`Gate`]: what is between an exporter and its server. It can be closed, cut connections in the middle of a request, and terminate TLS.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

/// Forwards connections to a server until it is dropped.
pub struct Gate {
    task: JoinHandle<()>,
}

/// What a gate does with its connections.
#[derive(Clone, Default)]
pub struct Rules {
    /// Number of connections that are closed in the middle of their first request, which the server does not see.
    pub cuts: Arc<AtomicUsize>,
    /// The gate decrypts.
    pub tls: Option<Arc<rustls::ServerConfig>>,
}

/// Bytes of a request that a connection accepts before it is cut.
const CUT_AFTER: usize = 100;

/// Returns an address on which no process listens.
pub async fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

// === impl Gate ===

impl Gate {
    pub async fn open(address: SocketAddr, server: SocketAddr, rules: Rules) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let task = tokio::spawn(async move {
            // Aborts the connections when the gate is dropped.
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, server, rules.clone()));
            }
        });
        Self { task }
    }

    /// Closes the listener and all connections.
    pub async fn close(mut self) {
        self.task.abort();
        assert!((&mut self.task).await.is_err_and(|ended| ended.is_cancelled()));
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, server: SocketAddr, rules: Rules) {
    let is_cut = rules.cuts.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |cuts| cuts.checked_sub(1));
    if is_cut.is_ok() {
        // The result does not matter: the connection is closed in any case.
        let _ = stream.read_exact(&mut [0; CUT_AFTER]).await;
        return;
    }
    let mut server = TcpStream::connect(server).await.unwrap();
    let _ = match rules.tls {
        None => tokio::io::copy_bidirectional(&mut stream, &mut server).await,
        Some(config) => match TlsAcceptor::from(config).accept(stream).await {
            Ok(mut stream) => tokio::io::copy_bidirectional(&mut stream, &mut server).await,
            // The client does not accept the certificate.
            Err(_) => return,
        },
    };
}
