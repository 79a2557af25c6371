//! [`Payload`]: encoded data that is to be delivered, and the results of an attempt.

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;

use super::causes::causes;
use crate::model::Batch;

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
    #[error("{message}")]
    Fatal {
        /// What happened.
        message: String,
        /// Present if the user may have intended it.
        source: Option<ReaderEnded>,
    },
}

/// The program at the other end of a pipe has ended, as in `longwave | head`. It is a cause of errors: a process that ends because of it did
/// not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the reader of the output has ended")]
pub struct ReaderEnded;

// === impl Payload ===

impl Payload {
    /// Makes the payload of a whole batch, of which `bytes` is the encoded form.
    pub fn of_batch(batch: &Batch, bytes: Bytes) -> Self {
        Self { bytes, items: batch.items(), traffic_bytes: batch.traffic_bytes() }
    }
}

// === impl PushError ===

impl PushError {
    /// Makes an error that ends the process as a failure.
    pub fn fatal(message: impl Into<String>) -> Self {
        Self::Fatal { message: message.into(), source: None }
    }
}

// === impl ReaderEnded ===

impl ReaderEnded {
    /// Returns whether the error or one of its causes is this one.
    pub fn caused(error: &(dyn Error + 'static)) -> bool {
        error.is::<Self>() || causes(error).any(|cause| cause.is::<Self>())
    }
}
