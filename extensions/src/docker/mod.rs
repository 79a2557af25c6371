//! Extension `docker`: names of the containers of a Docker daemon, or of Podman through its Docker-compatible socket.
//!
//! ```yaml
//! extensions:
//!   docker:
//!     endpoint: unix:///var/run/docker.sock
//! ```
//!
//! - A container is a workload of kind `Container` with the container's name. Its Compose service is a service, in the namespace of the
//!   Compose project. A container outside Compose that publishes ports is a service with the container's name.
//! - An end is found by its cgroup's container id, else by the address that a container had on one of its networks at the record's time. A
//!   start, stop, rename, connect or disconnect is valid from its event on, and former values are kept for five minutes. Containers in the
//!   host's network have no address of their own, and containers in another container's network use that container's. Both are found by
//!   their cgroup.
//! - A service is found by a published port of this host, or by the address of the container that serves it.
//!
//! The extension lists all running containers once and then follows events. An event only causes an inspection of its container,
//! so events may be repeated or late. When the connection to the daemon is lost, names stay as they were. Attempts to restore it have
//! growing, jittered waits. Containers that vanished meanwhile end at the time that the daemon reports, else at the time when the
//! connection was lost. If a cgroup has the id of an unknown container, that container is inspected.

mod address;
mod client;
mod config;
mod container;
mod container_table;
mod directory;
mod extension;
mod telemetry;
mod watcher;

#[cfg(test)]
mod tests;

pub use config::DockerConfig;
pub use directory::DockerDirectory;
pub use extension::DockerExtension;

use longwave_pipeline::component::{About, Extension, ExtensionFactory, Factory, Stability};

/// Returns the factory of `docker`.
pub fn factory() -> ExtensionFactory {
    let about = About {
        component_type: "docker",
        aliases: &[],
        stability: Stability::Alpha,
        description: "Names containers and Compose services through the socket of Docker or Podman",
        signals: &[],
        flow: None,
    };
    Factory::new(about, |config: &DockerConfig, context| {
        DockerExtension::new(config, &context).map(|extension| Box::new(extension) as Box<dyn Extension>)
    })
}
