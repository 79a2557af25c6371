//! Failures between Longwave and the API server.

use std::borrow::Cow;
use std::time::Duration;

use http::HeaderMap;
use serde::Deserialize;

/// Why a listing or a watch ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::kubernetes) enum Failure {
    /// There was no response: no route, connection refused, TLS, unreadable credentials.
    Unreachable(String),
    /// Nothing was received for this long.
    Silent(Duration),
    /// The connection ended in the middle of a response.
    Cut(String),
    /// The server no longer has the version at which a watch or a listing would continue.
    Gone(String),
    /// The server refused the request.
    Status {
        /// HTTP status.
        code: u16,
        /// The server's message.
        message: String,
        /// Wait that the server demands.
        after: Option<Duration>,
    },
    /// The response cannot be decoded.
    Malformed(String),
    /// The server does not support streamed listings. Listings are paged then.
    NoStreaming,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status<'a> {
    code: u16,
    #[serde(borrow)]
    message: Cow<'a, str>,
    #[serde(borrow)]
    reason: Cow<'a, str>,
    details: Option<Details>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Details {
    retry_after_seconds: u64,
}

/// Limit on the wait that a server demands.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);
const MAX_MESSAGE_CHARS: usize = 400;

// === impl Failure ===

impl Failure {
    /// All values of [`Self::reason`].
    pub const REASONS: [&str; 12] = [
        "unreachable",
        "silent",
        "cut",
        "gone",
        "malformed",
        "no_streaming",
        "unauthorized",
        "forbidden",
        "not_found",
        "throttled",
        "server",
        "refused",
    ];

    /// Returns the failure of a response that was not successful.
    pub fn from_status(code: u16, headers: &HeaderMap, text: &[u8]) -> Self {
        let seconds =
            headers.get(http::header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let plain = || Status { message: String::from_utf8_lossy(text), ..Status::default() };
        let status = serde_json::from_slice(text).unwrap_or_else(|_| plain());
        Self::from_object(Status { code, ..status }, seconds)
    }

    /// Returns the failure of a `Status` object in a watch.
    pub fn from_text(text: &[u8]) -> Self {
        match serde_json::from_slice::<Status<'_>>(text) {
            Ok(status) => Self::from_object(status, None),
            Err(error) => Self::Malformed(error.to_string()),
        }
    }

    fn from_object(status: Status<'_>, seconds: Option<u64>) -> Self {
        let mut message = status.message.trim().to_owned();
        if let Some((end, _)) = message.char_indices().nth(MAX_MESSAGE_CHARS) {
            message.truncate(end);
        }
        if status.code == 410 || matches!(&*status.reason, "Expired" | "Gone") {
            return Self::Gone(message);
        }
        let seconds = seconds
            .or(status.details.map(|details| details.retry_after_seconds))
            .filter(|seconds| *seconds > 0);
        let after = seconds.map(|seconds| Duration::from_secs(seconds).min(MAX_RETRY_AFTER));
        Self::Status { code: status.code, message, after }
    }

    /// Returns the value of the attribute `reason` of counters.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::Silent(_) => "silent",
            Self::Cut(_) => "cut",
            Self::Gone(_) => "gone",
            Self::Malformed(_) => "malformed",
            Self::NoStreaming => "no_streaming",
            Self::Status { code: 401, .. } => "unauthorized",
            Self::Status { code: 403, .. } => "forbidden",
            Self::Status { code: 404, .. } => "not_found",
            Self::Status { code: 429, .. } => "throttled",
            Self::Status { code: 500.., .. } => "server",
            Self::Status { .. } => "refused",
        }
    }

    /// Returns the wait that the server demands.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { after, .. } => *after,
            _ => None,
        }
    }
}
