//! [`Payload`]: encoded data that is to be delivered, and the results of an attempt.

use std::time::Duration;

use bytes::Bytes;

/// Encoded data that is to be delivered. Sending queues contain payloads.
#[derive(Clone, Debug)]
pub struct Payload {
    /// The request's body.
    pub bytes: Bytes,
    /// Number of records or points.
    pub items: u64,
    /// Traffic that the items report, in sent plus received bytes. Counted if the payload is dropped.
    pub traffic_bytes: u64,
}

/// Result of a successful attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pushed {
    /// Number of items that the server rejected (OTLP partial success). They are dropped and not retried.
    pub rejected_items: u64,
    /// Message of the server, unchanged. With no rejected items it is a warning.
    pub message: Option<String>,
}

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// Another attempt may succeed.
    #[error("{message}")]
    Retryable {
        /// What failed.
        message: String,
        /// Minimum wait before the next attempt, if the server requests one.
        after: Option<Duration>,
        /// Whether the server may have accepted the payload nevertheless, because only its response is missing.
        may_have_arrived: bool,
    },
    /// No attempt will succeed.
    #[error("{0}")]
    Permanent(String),
    /// The exporter cannot continue, for example because its output is closed. The process must end.
    #[error("{0}")]
    Fatal(String),
}
