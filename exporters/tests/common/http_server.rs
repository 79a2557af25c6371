//! An HTTP server that stores its requests and sends scripted responses, and a TLS server for one request.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub type Reply = Response<Vec<u8>>;

/// Requests that the server received, and its remaining replies. Without one it replies 200 with an empty body.
#[derive(Default)]
pub struct Received {
    pub requests: Vec<(Parts, Vec<u8>)>,
    replies: VecDeque<Reply>,
}

/// A running server. It stops when it is dropped.
pub struct HttpServer {
    pub address: SocketAddr,
    pub received: Arc<Mutex<Received>>,
    task: JoinHandle<()>,
}

impl HttpServer {
    pub async fn start(replies: Vec<Reply>) -> Self {
        Self::start_at(([127, 0, 0, 1], 0).into(), replies).await
    }

    pub async fn start_at(address: SocketAddr, replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let received = Arc::new(Mutex::new(Received { replies: replies.into(), ..Received::default() }));
        let router = Router::new().fallback(handle).with_state(Arc::clone(&received));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, received, task }
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn handle(State(received): State<Arc<Mutex<Received>>>, request: Request<Body>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 16 << 20).await.unwrap().to_vec();
    let mut received = received.lock().unwrap();
    received.requests.push((parts, body));
    received.replies.pop_front().unwrap_or_default().map(Body::from)
}

/// Serves one request over TLS. Returns the server's task, which returns the name in SNI and the request's head.
pub async fn tls_once(config: rustls::ServerConfig) -> (SocketAddr, JoinHandle<(Option<String>, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = tokio_rustls::TlsAcceptor::from(Arc::new(config)).accept(stream).await.unwrap();
        let name = stream.get_ref().1.server_name().map(str::to_owned);
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") && head.len() < 8192 {
            head.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await.unwrap();
        stream.shutdown().await.unwrap();
        (name, String::from_utf8(head).unwrap())
    });
    (address, task)
}
