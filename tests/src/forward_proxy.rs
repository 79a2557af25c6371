//! An HTTP proxy, which forwards requests with absolute URLs and connects by `CONNECT`. Every name is this host.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use crate::serve::serve_each;

/// The proxy. Its threads end with the process.
pub struct ForwardProxy {
    /// Address on which it listens.
    pub address: SocketAddr,
    /// First line of each connection.
    requests: Arc<Mutex<Vec<String>>>,
}

impl ForwardProxy {
    /// Starts the proxy on a free port.
    pub fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::default());
        let shared = Arc::clone(&requests);
        // If a connection breaks, the client retries.
        serve_each(listener, move |stream| drop(serve(stream, &shared)));
        Self { address, requests }
    }

    /// Returns the first line of each connection so far.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn serve(mut client: TcpStream, requests: &Mutex<Vec<String>>) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let text = String::from_utf8_lossy(&head);
    let line = text.lines().next().unwrap_or_default().to_owned();
    requests.lock().unwrap_or_else(PoisonError::into_inner).push(line.clone());
    let target = line.split(' ').nth(1).unwrap_or_default().trim_start_matches("http://");
    let authority = target.split('/').next().unwrap_or_default();
    let port = authority.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or(80);
    let mut server = TcpStream::connect(("127.0.0.1", port))?;
    if line.starts_with("CONNECT ") {
        client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    } else {
        // Servers accept absolute URLs.
        server.write_all(&head)?;
    }
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || {
        let _ = io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(std::net::Shutdown::Write);
    });
    io::copy(&mut server, &mut client)?;
    client.shutdown(std::net::Shutdown::Write)
}
