//! Extension `kubernetes`: names of pods, their owners and services, from the API server.
//!
//! Three watches (pods, services, endpoint slices) fill tables that are queried as of a record's time. Owners and nodes' addresses are
//! derived from the pods, so nothing else is watched. Only the fields that are used are decoded and stored.
//!
//! ```text
//! API server ──► watch (lists, events) ──► objects (trimmed, borrowed) ──► tables (as of a time) ◄── directory ◄── processors
//! ```
//!
//! An address of a node resolves to no pod, because masqueraded connections have it too. The exception is a port that exactly one pod
//! declares or that an endpoint refers to.

mod bearer;
mod client;
mod config;
mod directory;
mod extension;
mod objects;
mod owner;
mod tables;
mod telemetry;
mod watch;

pub use config::{KubernetesConfig, Scope};

#[cfg(test)]
mod tests;

use longwave_pipeline::component::{
    About, Extension, ExtensionContext, ExtensionFactory, Factory, Stability,
};

use self::extension::KubernetesExtension;

/// Returns the factory of `kubernetes`.
pub fn factory() -> ExtensionFactory {
    let about = About {
        component_type: "kubernetes",
        aliases: &[],
        stability: Stability::Alpha,
        description: "Names pods, their owners and services, by watching the Kubernetes API",
        signals: &[],
        flow: None,
    };
    Factory::new(about, |config: &KubernetesConfig, context: ExtensionContext| {
        Ok(Box::new(KubernetesExtension::new(config, &context.id, &context.meter)) as Box<dyn Extension>)
    })
}
