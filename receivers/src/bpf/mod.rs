//! The receiver `bpf`: every TCP connection of the host, from the kernel.
//!
//! ```text
//! kernel (programs, table, rings) → source → tracker → sink → pipelines
//!                                    ↑ worker: when, in which order ↑
//! ```
//!
//! The kernel emits totals; the [`tracker`] keeps what was last delivered of each connection and subtracts. All of it runs on one thread
//! of its own ([`worker`]), which never waits for user space longer than the kernel's rings can bear.

mod cgroup;
mod config;
pub mod kernel;
mod owner;
mod receiver;
mod sink;
mod source;
mod stats;
mod timeline;
mod tracker;
mod worker;

pub use config::{Config, Family};
use longwave_pipeline::Signal;
use longwave_pipeline::component::{About, Factory, Receiver, ReceiverContext, ReceiverFactory, Stability};
pub use receiver::BpfReceiver;

/// The factory of `bpf`.
pub fn factory() -> ReceiverFactory {
    let about = About {
        component_type: "bpf",
        aliases: &[],
        stability: Stability::Beta,
        description: "Every TCP connection of this host, from the kernel, exactly",
        signals: &[Signal::Metrics, Signal::Logs],
        flow: None,
    };
    Factory::new(about, |config: &Config, context: ReceiverContext| {
        Ok(Box::new(BpfReceiver::new(config.clone(), context)) as Box<dyn Receiver>)
    })
}
