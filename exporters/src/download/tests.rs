use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// A server that answers every request, and counts them.
struct Server {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
}

impl Server {
    /// Starts a server that calls `answer` with the head of each request. Its threads end with the process.
    fn start(answer: impl Fn(&str, TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let (address, requests) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let (answer, counter) = (Arc::new(answer), Arc::clone(&requests));
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let (answer, counter) = (Arc::clone(&answer), Arc::clone(&counter));
                std::thread::spawn(move || {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        let mut byte = [0];
                        // The server does not speak TLS, whose first byte is no letter.
                        if stream.read_exact(&mut byte).is_err() || !byte[0].is_ascii() || byte[0] == 0x16 {
                            return drop(stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
                        }
                        head.push(byte[0]);
                    }
                    counter.fetch_add(1, Ordering::SeqCst);
                    answer(&String::from_utf8(head).unwrap(), stream);
                });
            }
        });
        Self { address, requests }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }
}

fn respond(mut stream: TcpStream, status: &str, headers: &str, body: &str) {
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
    .unwrap();
}

fn small() -> Downloads {
    let limits = Limits { each: Duration::from_millis(300), all: Duration::from_secs(30), bytes: 1000 };
    Downloads::new(limits, CancellationToken::new())
}

/// *Scenario*: a body, downloaded twice within one read of the configuration and once in the next, a redirect to it, and credentials in the URL.
/// *Guarantees*: the body arrives unchanged. The server gets one request for each read. Credentials become a header.
#[test]
fn bodies_arrive() {
    let server = Server::start(|head, stream| match head.split(' ').nth(1) {
        Some("/old") => respond(stream, "302 Found", "Location: /new\r\n", ""),
        _ if head.contains("authorization: Basic dXNlcjpwYXNz\r\n") => {
            respond(stream, "200 OK", "", "secret")
        }
        _ => respond(stream, "200 OK", "", "receivers:\r\n"),
    });
    let downloads = Downloads::default();
    for _ in 0..2 {
        assert_eq!(downloads.get(&server.url("a")), Ok(b"receivers:\r\n".to_vec()));
    }
    assert_eq!(server.requests.load(Ordering::SeqCst), 1);
    assert_eq!(Downloads::default().get(&server.url("a")), Ok(b"receivers:\r\n".to_vec()));
    assert_eq!(server.requests.load(Ordering::SeqCst), 2);
    assert_eq!(downloads.get(&server.url("old")), Ok(b"receivers:\r\n".to_vec()));
    let url = format!("http://user:pass@{}/", server.address);
    assert_eq!(downloads.get(&url), Ok(b"secret".to_vec()));
}

/// *Scenario*: a server that refuses, one that redirects without end, one with an endless body, a silent one, one that closes, none, and a name
/// that does not exist. Within a runtime, as during a reload.
/// *Guarantees*: each download ends with an error that has the cause and, where it is known, the remedy. None has the password.
#[tokio::test]
async fn failures_have_a_cause() {
    let server = Server::start(|head, mut stream| match head.split(' ').nth(1).unwrap() {
        "/missing" => respond(stream, "404 Not Found", "", ""),
        "/secret" => respond(stream, "401 Unauthorized", "", ""),
        "/circle" => respond(stream, "302 Found", "Location: /circle\r\n", ""),
        "/endless" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
            while stream.write_all(&[b'a'; 1000]).is_ok() {}
        }
        // Until the client closes the connection.
        "/silent" => drop(stream.read(&mut [0])),
        _ => {}
    });
    let free = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let with_password = format!("http://user:hunter2@{}/secret", server.address);
    for (url, expected) in [
        (server.url("missing"), "the server responds 404 Not Found (is the path correct?)"),
        (
            with_password,
            "the server responds 401 Unauthorized (if it requires credentials, write https://user:password@host/path)",
        ),
        (server.url("circle"), "more than 10 redirects"),
        (server.url("endless"), "the body is larger than 1000 bytes (is it a configuration?)"),
        (server.url("silent"), "no complete response within 300ms (is the server overloaded?)"),
        (server.url("close"), "connection closed before message completed"),
        (format!("http://{free}/"), "connection refused"),
        ("http://".to_owned(), "not a URL: empty host (write https://host/path)"),
        (format!("https://{}/", server.address), "TLS"),
    ] {
        let error = small().get(&url).unwrap_err();
        assert!(error.contains(expected), "{url}: {error}");
        assert!(!error.contains("hunter2") && !error.contains("tls::"), "{error}");
    }
}

/// *Scenario*: the time for all downloads is over.
/// *Guarantees*: the next one fails immediately, and says why. A finished one still has its result.
#[test]
fn the_time_for_all_is_limited() {
    let server = Server::start(|_, stream| respond(stream, "200 OK", "", "a"));
    let mut downloads = small();
    assert_eq!(downloads.get(&server.url("a")), Ok(b"a".to_vec()));
    downloads.limits.all = Duration::ZERO;
    assert_eq!(
        downloads.get(&server.url("b")),
        Err("all downloads together take longer than 0ns".to_owned())
    );
    assert_eq!(downloads.get(&server.url("a")), Ok(b"a".to_vec()));
}

/// *Scenario*: the process stops while a server does not respond, and then another URL is needed.
/// *Guarantees*: the download ends because of the stop and not at its time limit. The next one fails without a request.
#[test]
fn a_stop_ends_downloads() {
    let cancelled = CancellationToken::new();
    let stop = cancelled.clone();
    let server = Server::start(move |_, mut stream| {
        stop.cancel();
        // Until the client closes the connection.
        drop(stream.read(&mut [0]));
    });
    let downloads = Downloads::cancelled_by(cancelled);
    for path in ["a", "b"] {
        assert_eq!(downloads.get(&server.url(path)), Err("the process stops".to_owned()));
    }
    assert_eq!(server.requests.load(Ordering::SeqCst), 1);
}
