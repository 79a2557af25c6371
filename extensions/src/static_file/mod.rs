//! Extension `static`: names from a file, for what no container runtime reports: external peers, machines, units.
//!
//! ```yaml
//! # /etc/longwave/names.yaml
//! rules:
//!   - cidrs: [203.0.113.0/24]
//!     ports: [443, "8000-9000"]
//!     workload: {name: payments-gateway, namespace: partners}
//!     service: {name: payments, namespace: partners}
//!   - cgroups: [/system.slice/postgresql@*.service]
//!     workload: {name: postgres, kind: Database}
//! ```
//!
//! A rule names a workload, a service or both. It applies to an end whose address is in one of `cidrs` (any address if the rule has only
//! `ports`) and whose port is one of `ports` (any port if it has none). Or it applies to a socket of this host whose cgroup is one of
//! `cgroups` or below one. In a pattern `*` and `?` stand for characters within one part of the path, `**` for any number of parts.
//!
//! The most specific rule wins, separately for workload and service:
//! - The network with the longer prefix wins. If the prefixes are equal, a rule with ports wins, and among those the one with fewer ports.
//! - The cgroup pattern with more literal characters wins. If they have equally many, the one without wildcards wins.
//! - If this does not decide, the rule that comes first in the file wins.
//!
//! A client's port has no meaning, so it matches only rules without ports. Nothing in the file is expanded (`${env:X}` is plain text).
//!
//! The file is read and checked together with the configuration. A change takes effect within two `reload_interval`s, also if the file is
//! a link that gets another target (a Kubernetes ConfigMap). The file is polled and not watched, because inotify reports neither that nor
//! changes on network file systems. It is read once it has been the same for one interval, so a half-written file is not read. If a new
//! file has mistakes, they are logged and counted, and the old rules stay in force. Rules have no time: they also apply to late records.

mod cgroups;
mod config;
mod directory;
mod extension;
mod file;
mod networks;
mod rules;
mod telemetry;

#[cfg(test)]
mod tests;

pub use config::StaticConfig;
pub use directory::StaticDirectory;
pub use extension::StaticExtension;
pub use rules::{Rules, RulesError};

use longwave_pipeline::component::{About, Extension, ExtensionFactory, Factory, Stability};

/// Returns the factory of `static`.
pub fn factory() -> ExtensionFactory {
    let about = About {
        component_type: "static",
        aliases: &[],
        stability: Stability::Alpha,
        description: "Names workloads and services by the rules of a file: networks, ports and cgroups; also external peers",
        signals: &[],
        flow: None,
    };
    Factory::new(about, |config: &StaticConfig, context| {
        StaticExtension::new(config, &context).map(|extension| Box::new(extension) as Box<dyn Extension>)
    })
}
