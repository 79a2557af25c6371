//! Processor `service`: which service the client meant.
//!
//! 1. What was asked for names it: a cluster IP, an external or load balancer's address, a node's port. The client's socket has that
//!    address itself; the server's has it from connection tracking ([`crate::conntrack`]), where somebody translated.
//! 2. Else the backend does: load balancers that work at the socket (Cilium's) and headless services leave only that, and so does a
//!    translation on another host. Where several services stand before one backend, the first by name, marked as ambiguous.
//! 3. Else nobody does, and the service stays `unknown`.
//!
//! Both as of the connection's start, where that is known: the service that an address belongs to now may be another. Names that records
//! bring along are kept. A connection is looked up once; later records take the name from a cache, which its end frees. Records whose
//! service is being asked for wait for `hold` at most ([`crate::hold`]).

mod config;
mod connections;
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

/// Makes `service`.
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
