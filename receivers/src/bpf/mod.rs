//! Receiver `bpf`: reports every TCP connection of the host, from the kernel.
//!
//! [`kernel`] has the programs, the connection table and the rings. Its events are the source of [`crate::tracking`].

mod config;
mod heap;
pub mod kernel;
mod receiver;
mod source;

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
