//! Encodes windows and records as serialised OTLP requests.
//!
//! Invariants: a request is at most [`MAX_REQUEST_BYTES`] long, unless a single item is longer. The items of a batch's requests sum to
//! the batch's items, and so does their traffic.

mod cumulative;
mod envelope;
mod logs;
mod metrics;
mod points;
mod protobuf;
mod request;
mod sentence;

#[cfg(test)]
mod tests;

pub use envelope::{SCHEMA_URL, SCOPE_NAME};
pub use logs::LogsEncoder;
pub use metrics::MetricsEncoder;

/// Half of gRPC's default message limit of 4 MiB. This leaves room for servers that count differently, and limits the time that the
/// compression of one request takes.
pub const MAX_REQUEST_BYTES: usize = 2 << 20;
