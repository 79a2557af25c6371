//! Extension `docker`: who is who among the containers of a Docker daemon, or of Podman's socket that speaks like one.
//!
//! ```yaml
//! extensions:
//!   docker:
//!     endpoint: unix:///var/run/docker.sock
//! ```
//!
//! - A container is a workload of kind `Container` under its own name. What Compose made is a service: the Compose service's name, in the
//!   namespace of the Compose project. A container outside Compose that publishes ports is a service of its own name.
//! - An end is found by its cgroup's container id, else by the address that a container has on one of its networks, as of the record's
//!   time: what was started, stopped, renamed, connected to or disconnected from a network is true from that event on, and remembered for
//!   five minutes. Containers in the host's network have no address of their own, and containers in another container's network use that
//!   container's: both are found by their cgroup.
//! - A service is found by a published port of this host, or by the address of the container behind it.
//!
//! The daemon is asked once for all running containers, then its events are followed; an event says only that something is new: what is
//! true is asked anew, so events may come twice or late. When the connection is lost, names stay as they were known; it is made again
//! with growing, jittered waits, and what has vanished meanwhile ends when the daemon says that it ended, or when the connection was lost.
//! A cgroup of a container that the daemon has not told of is asked for by its id.

mod address;
mod client;
mod config;
mod container;
mod container_table;
mod directory;
mod extension;
mod host;
mod telemetry;
mod timestamp;
mod watcher;

#[cfg(test)]
mod tests;

pub use config::DockerConfig;
pub use directory::DockerDirectory;
pub use extension::DockerExtension;

use longwave_pipeline::component::{About, Extension, ExtensionFactory, Factory, Stability};

/// Makes `docker`.
pub fn factory() -> ExtensionFactory {
    let about = About {
        component_type: "docker",
        aliases: &[],
        stability: Stability::Alpha,
        description: "Names containers and Compose services as a Docker or Podman socket tells them",
        signals: &[],
        flow: None,
    };
    Factory::new(about, |config: &DockerConfig, context| {
        DockerExtension::new(config, &context).map(|extension| Box::new(extension) as Box<dyn Extension>)
    })
}
