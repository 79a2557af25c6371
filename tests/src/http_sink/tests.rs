use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
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

/// *Scenario*: a silent sink receives a request, and responds again later.
/// *Guarantees*: the first request is stored and gets no response, and the second one gets one.
#[test]
fn a_silent_sink_stores_requests() {
    const REQUEST: &[u8] = b"POST /v1/logs HTTP/1.1\r\nContent-Length: 7\r\n\r\n{\"a\":1}";
    let sink = HttpSink::start();
    sink.silence();
    let mut silent = TcpStream::connect(sink.address).unwrap();
    silent.write_all(REQUEST).unwrap();
    assert!(sink.wait_unanswered(1, Duration::from_secs(30)));
    sink.respond();
    let mut stream = TcpStream::connect(sink.address).unwrap();
    stream.write_all(REQUEST).unwrap();
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).unwrap();
    assert_eq!(answer.trim(), "HTTP/1.1 200 OK");
    assert_eq!((sink.bodies().len(), sink.unanswered().len()), (2, 1));
    silent.shutdown(Shutdown::Write).unwrap();
    assert_eq!(silent.read_to_end(&mut Vec::new()).unwrap(), 0);
}
