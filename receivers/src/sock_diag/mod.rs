//! Receiver `sock_diag`: reports TCP connections by the kernel's socket diagnostics, without BPF and without root.
//!
//! ```text
//! kernel: list of all sockets ─┐
//!         sockets that ended ──┴→ source → tracker → sink → pipelines      (tracker and sink: [`crate::tracking`])
//! ```
//!
//! - Each pass lists the TCP sockets of every network namespace that this process may enter, with their `tcp_info` ([`wire`]).
//! - The kernel sends the final `tcp_info` of each socket that is freed to a multicast group ([`namespace`]). This message lacks the state
//!   that the socket left. [`ended`] derives it from the counters, and marks results that are not certain.
//! - [`source`] turns both into the events that the receiver `bpf` gets from its programs.

mod config;
mod ended;
mod event;
mod holders;
mod known;
mod listening;
mod namespace;
mod receiver;
mod socket;
mod source;
mod wire;

pub use config::{Config, NamespaceScope};
use longwave_pipeline::component::{
    About, Factory, Receiver, ReceiverContext, ReceiverFactory, Signal, Stability,
};
pub use receiver::SockDiagReceiver;
pub use source::initial_counts;

/// Returns the factory of `sock_diag`.
pub fn factory() -> ReceiverFactory {
    let about = About {
        component_type: "sock_diag",
        aliases: &[],
        stability: Stability::Beta,
        description: "Reports TCP connections without BPF and without root, from the kernel's socket diagnostics",
        signals: &[Signal::Metrics, Signal::Logs],
        flow: None,
    };
    Factory::new(about, |config: &Config, context: ReceiverContext| {
        Ok(Box::new(SockDiagReceiver::new(config.clone(), context)) as Box<dyn Receiver>)
    })
}
