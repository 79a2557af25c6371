//! `otlp_grpc` (alias `otlp`) and `otlp_http` (alias `otlphttp`) send metrics and logs to any OTLP server.
//!
//! - [`encode`] turns windows and records into serialised requests. A queue stores these bytes, and an attempt sends them as they are.
//! - [`grpc`] and [`http`] make one attempt, and report whether a retry may succeed. `grpc::status` and `http::response` contain the
//!   OTLP specification's tables.
//! - Items that a server rejects by partial success are counted as rejected and are never sent again.

pub mod encode;
pub mod grpc;
pub mod http;

mod any_certificate;
mod auth_config;
mod compression;
mod config;
pub(crate) mod explain;
mod exporter;
mod headers;
mod partial_success;
pub(crate) mod proxy;
mod reloading_tls;
mod request_headers;
mod section;
mod tls;

pub use auth_config::AuthConfig;
pub use compression::{Compression, CompressionParams};
pub use config::{ClientConfig, Headers, Temporality};
pub(crate) use exporter::OtlpExporter;
pub use tls::TlsConfig;

use longwave_pipeline::component::Signal;

const SIGNALS: &[Signal] = &[Signal::Metrics, Signal::Logs];

/// Value of the header `user-agent`.
pub(crate) const USER_AGENT: &str = concat!("longwave/", env!("CARGO_PKG_VERSION"));
