//! An HTTP server that keeps what it gets and answers as it is told; with TLS where it has a configuration for it.

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

pub type Answer = Response<Vec<u8>>;

/// What the server has seen, and what it will say (then 200 and nothing).
#[derive(Default)]
pub struct Seen {
    pub requests: Vec<(Parts, Vec<u8>)>,
    answers: VecDeque<Answer>,
}

/// A running server; ends with the value.
pub struct HttpServer {
    pub address: SocketAddr,
    pub seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

impl HttpServer {
    pub async fn start(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Seen { answers: answers.into(), ..Seen::default() }));
        let router = Router::new().fallback(handle).with_state(Arc::clone(&seen));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, seen, task }
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn handle(State(seen): State<Arc<Mutex<Seen>>>, request: Request<Body>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 16 << 20).await.unwrap().to_vec();
    let mut seen = seen.lock().unwrap();
    seen.requests.push((parts, body));
    seen.answers.pop_front().unwrap_or_default().map(Body::from)
}

/// One TLS connection with one request: returns the server's task, which yields the name in SNI and the request's head.
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
