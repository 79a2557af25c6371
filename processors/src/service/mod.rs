//! Processor `service`: names the service that each connection's client connected to.
//!
//! 1. The service is looked up by the address that the client connected to: a cluster IP, an external or load balancer's address, a node
//!    port. It is the peer address of the client's socket. For the server's socket, connection tracking has it ([`crate::conntrack`]) if
//!    this node translated it. A node port is also recognised at any other address of this host, for both sockets, if connection tracking
//!    shows that the connection was translated.
//! 2. Otherwise the service is looked up by the backend's address. This is the only address that is known with socket-level load balancers
//!    (Cilium's) and headless services, or if another host translates. If several services have the backend, the result is the first by
//!    namespace and name, and is marked as ambiguous.
//! 3. Otherwise the service stays `unknown`.
//!
//! Both look-ups are as of the connection's start, if that is known, because an address may belong to another service later. Names that the
//! record already has are kept. A connection is looked up once. Later records get the name from a cache, until the connection closes.
//! Records whose service is pending wait for at most `hold` ([`crate::holding`]).

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
