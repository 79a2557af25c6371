//! Processor `service`: names the service that each connection's client meant.
//!
//! 1. The service is looked up by the address that the client connected to: a cluster IP, an external or load balancer's address, a node's
//!    port. The client's socket has this address itself. For the server's socket, connection tracking has it ([`crate::conntrack`]) if this
//!    node translated it.
//! 2. Otherwise the service is looked up by the backend. Socket-level load balancers (Cilium's) and headless services leave only that
//!    address, and so does a translation on another host. If several services have the backend, the first by name is taken, and marked as
//!    ambiguous.
//! 3. Otherwise the service stays `unknown`.
//!
//! Both look-ups are as of the connection's start, if that is known, because an address may belong to another service later. Names that
//! are in the record already are kept. A connection is looked up once. Later records take the name from a cache, which the close of the
//! connection frees. Records whose service is pending wait for at most `hold` ([`crate::holding`]).

mod config;
mod lookup;
mod processor;
mod telemetry;

#[cfg(test)]
mod tests;

pub use config::ServiceConfig;
pub use processor::ServiceProcessor;

use longwave_pipeline::component::{
    About, DataKind, Factory, Processor, ProcessorFactory, Signal, Stability,
};

/// Creates the factory of `service`.
pub fn factory() -> ProcessorFactory {
    let about = About {
        component_type: "service",
        aliases: &[],
        stability: Stability::Alpha,
        description: "Names the service that the client connected to",
        signals: &[Signal::Metrics, Signal::Logs],
        flow: Some((DataKind::Records, DataKind::Records)),
    };
    Factory::new(about, |config: &ServiceConfig, context| {
        Ok(Box::new(ServiceProcessor::new(config, &context)?) as Box<dyn Processor>)
    })
}
