//! What an HTTP response means, by the OTLP specification's table.

use std::time::{Duration, SystemTime};

use longwave_pipeline::component::{PushError, one_line};
use prost::Message;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderMap, LOCATION, RETRY_AFTER};

use super::json::{self, JSON};
use crate::otlp::partial_success::RpcStatus;

/// Content type of requests and responses.
pub(crate) const PROTOBUF: &str = "application/x-protobuf";

/// Returns whether a retry may succeed after this status.
pub fn is_retryable(status: u16) -> bool {
    matches!(status, 429 | 502 | 503 | 504)
}

/// Turns a response other than 2xx into an error whose message names `url`.
pub(crate) fn push_error(
    url: &str,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    now: SystemTime,
) -> PushError {
    let reason = reason(headers, body);
    let hint = match status.as_u16() {
        301..=308 => {
            format!(" (redirected to {:?}: set the endpoint to that)", one_line(text(headers, &LOCATION)))
        }
        400 if reason.is_empty() => {
            " (is this a port of OTLP over HTTP, usually 4318? Over gRPC it is 4317)".to_owned()
        }
        401 | 403 => " (do headers or auth carry the right credentials?)".to_owned(),
        404 | 405 => {
            " (does the server have an OTLP receiver there, in a pipeline of this signal?)".to_owned()
        }
        413 => {
            " (the server or a proxy before it accepts no bodies of this size: raise its limit)".to_owned()
        }
        _ => String::new(),
    };
    let separator = if reason.is_empty() { "" } else { ": " };
    let message = format!("{url}: HTTP {status}{separator}{reason}{hint}");
    if is_retryable(status.as_u16()) {
        let after = retry_after(text(headers, &RETRY_AFTER), now);
        // A gateway had no response from the server in time.
        PushError::Retryable { message, after, may_have_arrived: status == StatusCode::GATEWAY_TIMEOUT }
    } else {
        PushError::Permanent(message)
    }
}

/// Parses `Retry-After`: seconds, or a date (RFC 9110).
pub(crate) fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// Returns the server's reason: the message of a `google.rpc.Status`, or the first line of a text.
fn reason(headers: &HeaderMap, body: &[u8]) -> String {
    let content_type = text(headers, &CONTENT_TYPE);
    let message = if content_type.starts_with(PROTOBUF) {
        RpcStatus::decode(body).map(|status| status.message).unwrap_or_default()
    } else if content_type.starts_with(JSON) {
        json::reason(body).unwrap_or_else(|| String::from_utf8_lossy(body).into_owned())
    } else if content_type.starts_with("text/html") {
        String::new()
    } else {
        String::from_utf8_lossy(body).into_owned()
    };
    one_line(message.lines().find(|line| !line.trim().is_empty()).unwrap_or_default())
}

fn text<'a>(headers: &'a HeaderMap, name: &reqwest::header::HeaderName) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
