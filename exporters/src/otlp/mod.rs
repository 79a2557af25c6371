//! `otlp_grpc` (alias `otlp`) and `otlp_http` (alias `otlphttp`): metrics and logs to anything that speaks OTLP.
//!
//! - [`encode`] turns windows and records into serialised requests. These bytes are what a queue holds and what is sent: an attempt
//!   encodes nothing.
//! - [`grpc`] and [`http`] make one attempt, and say whether another may help: the protocol's own rules, tabled in
//!   `grpc::status` and `http::answer`.
//! - What a server rejects by partial success is reported as rejected, never sent again.

pub mod encode;
pub mod grpc;
pub mod http;

mod explain;
mod exporter;
mod settings;
mod success;
mod tls;
mod verifier;

pub use settings::{Compression, Headers, Temporality};
pub use tls::{MinVersion, TlsSettings};

use longwave_pipeline::component::Signal;

const SIGNALS: &[Signal] = &[Signal::Metrics, Signal::Logs];

/// As servers see us in `user-agent`.
const USER_AGENT: &str = concat!("longwave/", env!("CARGO_PKG_VERSION"));
