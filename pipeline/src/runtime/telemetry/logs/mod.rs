//! `service::telemetry::logs`: settings of Longwave's own log, the choice of messages, and the counters of those that are not written.

mod config;
mod losses;
mod sampler;

pub use config::{LogConfig, LogEncoding, LogLevel, LogOutput, LogSamplingConfig};
pub(super) use losses::observe;
pub use losses::{LogLoss, count_lost_message};
pub use sampler::LogSampler;
