//! Extension `health_check`: an HTTP endpoint for the probes of Kubernetes and load balancers, as the Collector's.
//!
//! | status | body | when |
//! |---|---|---|
//! | 200 | `{"status":"Server available","upSince":"2026-11-21T10:15:00.5Z","uptime":"3m2.5s"}` | everything runs |
//! | 503 | `{"status":"Server not available",…,"reasons":["receivers::bpf: stalled: …"]}` | see below |
//!
//! It responds 503 before all components have started, while the graph stops, while SIGHUP restarts a receiver, and if a stage is stalled or the
//! kernel side is gone ([`Health`](longwave_pipeline::component::Health) has the rules). The state of a server to which an exporter sends
//! has no effect: a restart of Longwave would not repair the server.

mod config;
mod extension;

#[cfg(test)]
mod tests;

use longwave_pipeline::component::{
    About, Extension, ExtensionContext, ExtensionFactory, Factory, Stability,
};

use config::HealthCheckConfig;
use extension::HealthCheck;

/// Returns the factory of `health_check`.
pub fn factory() -> ExtensionFactory {
    let about = About {
        component_type: "health_check",
        aliases: &[],
        stability: Stability::Alpha,
        description: "Serves the health of the pipelines by HTTP, for probes",
        signals: &[],
        flow: None,
    };
    Factory::new(about, |config: &HealthCheckConfig, context: ExtensionContext| {
        Ok(Box::new(HealthCheck::new(config, &context)) as Box<dyn Extension>)
    })
}
