//! A small HTTP server that stores the requests of the Collector's exporter `otlphttp`.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;

use crate::serve::serve_each;

/// The server. Its threads end with the process.
pub struct HttpSink {
    /// Address on which it listens.
    pub address: SocketAddr,
    stored: Arc<StoredRequests>,
}

#[derive(Default)]
struct StoredRequests {
    requests: Mutex<Requests>,
    changed: Condvar,
}

/// Path and JSON body of requests.
#[derive(Default)]
struct Requests {
    all: Vec<(String, Value)>,
    /// Those that got no response.
    unanswered: Vec<(String, Value)>,
    is_silent: bool,
}

impl HttpSink {
    /// Starts the server on a free port.
    pub fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let stored = Arc::new(StoredRequests::default());
        let shared = Arc::clone(&stored);
        // If a connection breaks, the Collector retries.
        serve_each(listener, move |stream| drop(serve(stream, &shared)));
        Self { address, stored }
    }

    /// Waits until `done` returns true for all requests so far (path and JSON body). Returns whether it did within `limit`.
    pub fn wait(&self, limit: Duration, mut done: impl FnMut(&[(String, Value)]) -> bool) -> bool {
        self.stored.wait(limit, |requests| done(&requests.all))
    }

    /// Returns all requests so far.
    pub fn bodies(&self) -> Vec<(String, Value)> {
        self.stored.lock().all.clone()
    }

    /// Stores the next requests without a response, until [`Self::respond`].
    pub fn silence(&self) {
        self.stored.lock().is_silent = true;
    }

    /// Responds to the next requests.
    pub fn respond(&self) {
        self.stored.lock().is_silent = false;
    }

    /// Waits until `count` requests got no response. Returns whether that happened within `limit`.
    pub fn wait_unanswered(&self, count: usize, limit: Duration) -> bool {
        self.stored.wait(limit, |requests| requests.unanswered.len() >= count)
    }

    /// Returns the requests that got no response.
    pub fn unanswered(&self) -> Vec<(String, Value)> {
        self.stored.lock().unanswered.clone()
    }
}

// === impl StoredRequests ===

impl StoredRequests {
    fn lock(&self) -> MutexGuard<'_, Requests> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a request. Returns whether it gets a response.
    fn add(&self, path: String, body: Value) -> bool {
        let mut requests = self.lock();
        let is_silent = requests.is_silent;
        if is_silent {
            requests.unanswered.push((path.clone(), body.clone()));
        }
        requests.all.push((path, body));
        drop(requests);
        self.changed.notify_all();
        !is_silent
    }

    fn wait(&self, limit: Duration, mut done: impl FnMut(&Requests) -> bool) -> bool {
        let waited = self.changed.wait_timeout_while(self.lock(), limit, |requests| !done(requests));
        let (_requests, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        !timeout.timed_out()
    }
}

fn serve(stream: TcpStream, stored: &StoredRequests) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    while let Some((path, body)) = read_request(&mut reader)? {
        let body = serde_json::from_slice(&body)
            .unwrap_or(Value::String(String::from_utf8_lossy(&body).into_owned()));
        if !stored.add(path, body) {
            // Returns when the client closes the connection.
            return reader.read_exact(&mut [0]);
        }
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")?;
    }
    Ok(())
}

/// Reads path and body of the next request. `None` if the connection is closed.
fn read_request(reader: &mut impl BufRead) -> io::Result<Option<(String, Vec<u8>)>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let (mut length, mut chunked) = (0_usize, false);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let header = header.trim().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
        chunked |= header.starts_with("transfer-encoding:") && header.contains("chunked");
    }
    let mut body = Vec::new();
    if chunked {
        read_chunks(reader, &mut body)?;
    } else {
        reader.take(length as u64).read_to_end(&mut body)?;
    }
    Ok(Some((path, body)))
}

fn read_chunks(reader: &mut impl BufRead, body: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let mut size = String::new();
        reader.read_line(&mut size)?;
        let size = u64::from_str_radix(size.trim().split(';').next().unwrap_or_default(), 16)
            .map_err(io::Error::other)?;
        reader.take(size).read_to_end(body)?;
        let mut end = String::new();
        reader.read_line(&mut end)?;
        if size == 0 {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests;
