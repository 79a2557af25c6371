//! Receiver `bpf`: reports every TCP connection of the host, from the kernel.
//!
//! ```text
//! kernel (programs, table, rings) → source → tracker → sink → pipelines
//!                                    ↑ worker: when, in which order ↑
//! ```
//!
//! The kernel emits totals. The [`tracker`] stores what was last delivered of each connection and subtracts. Everything runs on one thread
//! ([`worker`]), which never waits for the pipelines for so long that the kernel's rings fill up.

pub(crate) mod cgroup;
mod config;
mod heap;
pub(crate) mod holders;
pub mod kernel;
pub(crate) mod owner;
mod receiver;
pub(crate) mod sink;
pub(crate) mod source;
pub(crate) mod telemetry;
pub(crate) mod thread;
pub(crate) mod timeline;
pub(crate) mod tracker;
pub(crate) mod worker;

#[cfg(feature = "bench")]
pub mod bench {
    //! What `benches/tracker.rs` measures.
    pub use super::owner::SharedCgroups;
    pub use super::sink::Sink;
    pub use super::timeline::{Reading, Timeline};
    pub use super::tracker::{Rules, Tracker};
}

pub use config::{Config, Family};
pub use heap::release_memory;
use longwave_pipeline::component::{
    About, Factory, Receiver, ReceiverContext, ReceiverFactory, Signal, Stability,
};
pub use receiver::BpfReceiver;

/// Returns the factory of `bpf`.
pub fn factory() -> ReceiverFactory {
    let about = About {
        component_type: "bpf",
        aliases: &[],
        stability: Stability::Beta,
        description: "Reports every TCP connection of this host, with exact byte counts from the kernel",
        signals: &[Signal::Metrics, Signal::Logs],
        flow: None,
    };
    Factory::new(about, |config: &Config, context: ReceiverContext| {
        Ok(Box::new(BpfReceiver::new(config.clone(), context)) as Box<dyn Receiver>)
    })
}
