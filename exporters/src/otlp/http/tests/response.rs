use std::time::{Duration, SystemTime};

use longwave_pipeline::component::PushError;
use prost::Message;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderMap, LOCATION, RETRY_AFTER};

use crate::otlp::http::response::{is_retryable, push_error, retry_after};
use crate::otlp::partial_success::RpcStatus;

/// *Scenario*: every HTTP status from 300 on.
/// *Guarantees*: only 429, 502, 503 and 504 are retried.
#[test]
fn the_table_of_statuses() {
    let retryable: Vec<_> = (300..600).filter(|status| is_retryable(*status)).collect();
    assert_eq!(retryable, [429, 502, 503, 504]);
}

/// *Scenario*: `Retry-After` in its two forms, with a date in the past, and with invalid texts.
/// *Guarantees*: the delay is that of the server and never negative. Invalid texts are ignored.
#[test]
fn retry_after_forms() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
    assert_eq!(retry_after("7", now), Some(Duration::from_secs(7)));
    assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:47 GMT", now), Some(Duration::from_secs(10)));
    assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:00 GMT", now), Some(Duration::ZERO));
    for invalid in ["", "-1", "soon", "99999999999999999999999"] {
        assert_eq!(retry_after(invalid, now), None, "{invalid}");
    }
}

/// *Scenario*: responses with the server's reason as protobuf, as text and as an HTML page, and a redirect.
/// *Guarantees*: the error is one line that names the URL, the status, the reason and the likely remedy.
#[test]
fn errors_contain_the_servers_reason() {
    let error = |status: u16, header: &[(reqwest::header::HeaderName, &str)], body: &[u8]| {
        let headers: HeaderMap =
            header.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
        let status = StatusCode::from_u16(status).unwrap();
        match push_error("http://c:4318/v1/metrics", status, &headers, body, SystemTime::UNIX_EPOCH) {
            PushError::Retryable { message, after, .. } => format!("retry after {after:?}: {message}"),
            PushError::Permanent(message) => format!("permanent: {message}"),
            PushError::Fatal { message, .. } => format!("fatal: {message}"),
        }
    };
    let status = RpcStatus { code: 3, message: "bad point".into(), details: Vec::new() }.encode_to_vec();
    let protobuf = [(CONTENT_TYPE, "application/x-protobuf")];
    let lines = [
        error(400, &protobuf, &status),
        error(400, &protobuf, b"\xff\xff"),
        error(401, &[], b"no token\nsecond line"),
        error(404, &[(CONTENT_TYPE, "text/html; charset=utf-8")], b"<html>"),
        error(413, &[], b""),
        error(301, &[(LOCATION, "https://c:4318/v1/metrics")], b""),
        error(500, &[], &[b'x'; 500]),
        error(503, &[(RETRY_AFTER, "3")], b"\x1b[31mbusy"),
        error(429, &[], b""),
    ];
    insta::assert_snapshot!("words", lines.join("\n"));
}
