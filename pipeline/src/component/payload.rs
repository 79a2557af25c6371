//! [`Payload`]: encoded data on its way out, and what became of an attempt to deliver it.

use std::time::Duration;

use bytes::Bytes;

/// Encoded data on its way out: what a queue holds, in memory now and on disk later.
#[derive(Clone, Debug)]
pub struct Payload {
    /// As it will be sent.
    pub bytes: Bytes,
    /// Records or points in it.
    pub items: u64,
    /// Traffic that it tells of, for what is dropped.
    pub traffic_bytes: u64,
}

/// A delivered payload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pushed {
    /// Items that the server rejected (OTLP partial success). They are dropped, never retried.
    pub rejected_items: u64,
    /// The server's words.
    pub message: Option<String>,
}

/// A failed attempt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// Another attempt may succeed; not before `after`, where the server asked for it.
    #[error("{message}")]
    Retryable {
        /// What happened.
        message: String,
        /// The server's wish.
        after: Option<Duration>,
    },
    /// Never will.
    #[error("{0}")]
    Permanent(String),
    /// The exporter cannot go on at all (its output is closed): the process has to end.
    #[error("{0}")]
    Fatal(String),
}
