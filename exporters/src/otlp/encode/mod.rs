//! From windows and records to serialised OTLP requests.
//!
//! Invariants: a request is at most [`MAX_REQUEST_BYTES`] long unless a single item is longer; the items of a batch's requests add
//! up to the batch's, and so does their traffic.

mod cumulative;
mod envelope;
mod logs;
mod metrics;
mod points;
mod protobuf;
mod request;

#[cfg(test)]
mod cumulative_tests;
#[cfg(test)]
mod logs_tests;
#[cfg(test)]
mod metrics_tests;
#[cfg(test)]
mod shown;

pub use envelope::SCOPE_NAME;
pub use logs::LogsEncoder;
pub use metrics::MetricsEncoder;

/// Half of gRPC's default limit for a message (4 MiB): leaves room for servers that count differently, and keeps the compression
/// of one request short.
pub const MAX_REQUEST_BYTES: usize = 2 << 20;
