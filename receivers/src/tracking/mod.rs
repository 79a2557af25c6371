//! Turns events of the kernel into records. The receivers `bpf` and `sock_diag` share it.
//!
//! ```text
//! source → tracker → sink → pipelines
//!   ↑ worker: when, in which order ↑
//! ```
//!
//! A source reports totals. The [`tracker`] stores what was last delivered of each connection and subtracts. Everything runs on one thread
//! ([`worker`]), which never waits for the pipelines for so long that the kernel's buffers overflow.

pub(crate) mod cgroup;
mod config;
pub(crate) mod holder_walks;
mod owner;
mod program_statistics;
mod run;
mod sink;
mod source;
mod telemetry;
pub(crate) mod thread;
pub(crate) mod timeline;
pub(crate) mod tracker;
mod worker;

#[cfg(feature = "bench")]
pub mod bench {
    //! What `benches/tracker.rs` measures.
    pub use super::owner::SharedCgroups;
    pub use super::sink::Sink;
    pub use super::timeline::{Reading, Timeline};
    pub use super::tracker::{LimitFields, Rules, Tracker};
}

pub(crate) use config::{DEFAULT_MAX_CONNECTIONS, validate_interval, validate_max_connections};
pub use program_statistics::ProgramStatistics;
pub(crate) use run::{TrackingConfig, run};
pub use source::Transition;
pub(crate) use source::{PassCounts, Source, SourceCounts, timespec};
pub use telemetry::Stats;
