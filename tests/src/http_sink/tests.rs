use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::HttpSink;

/// *Scenario*: two requests on one connection, one with `Content-Length` and one in chunks.
/// *Guarantees*: the sink stores both bodies completely, with their paths.
#[test]
fn bodies_are_stored() {
    let sink = HttpSink::start();
    let mut stream = TcpStream::connect(sink.address).unwrap();
    stream.write_all(b"POST /v1/logs HTTP/1.1\r\nContent-Length: 7\r\n\r\n{\"a\":1}").unwrap();
    stream
        .write_all(b"POST /v1/metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{\"b\r\n4\r\n\":2}\r\n0\r\n\r\n")
        .unwrap();
    assert!(sink.wait(Duration::from_secs(30), |bodies| bodies.len() == 2));
    let bodies = sink.bodies();
    assert_eq!(bodies[0], ("/v1/logs".to_owned(), serde_json::json!({"a": 1})));
    assert_eq!(bodies[1], ("/v1/metrics".to_owned(), serde_json::json!({"b": 2})));
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).unwrap();
    assert_eq!(answer.trim(), "HTTP/1.1 200 OK");
}
