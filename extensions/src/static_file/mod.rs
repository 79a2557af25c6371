//! Extension `static`: names from a file of one's own, for what no runtime knows: external peers, machines, units.
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
//! A rule names a workload, a service or both, and says where they are found: an end whose address is in one of `cidrs` (everywhere,
//! where only `ports` are given) at one of `ports` (any, where none are given), or a socket of this host whose cgroup is one of
//! `cgroups` or below it. In a pattern `*` and `?` stand for characters of one part of the path, `**` for any number of parts.
//!
//! The most specific rule wins, for the workload and for the service each by itself:
//! - of two addresses the one with the longer prefix; of two with the same prefix the one with ports, and of these the one with fewer;
//! - of two cgroup patterns the one with more characters that stand for themselves, then the one without wildcards;
//! - what is equal so far: the rule that comes first in the file.
//!
//! A port that means nothing (a client's) matches rules without ports only. Nothing in the file is expanded (`${env:X}` is a text).
//!
//! The file is read and checked when the configuration is. A change is found within two `reload_interval`s, also where the file is a
//! link that is turned to another (a Kubernetes ConfigMap): it is looked at, not watched, since watches see neither that nor network file
//! systems. It is read once it has been the same for one interval, so that a file that is being written is not read half. What is wrong
//! with a new file is logged and counted, and the old rules stay in force. Rules know no time: what they say now holds for late records too.

mod cgroups;
mod config;
mod directory;
mod extension;
mod file;
mod networks;
mod pattern;
mod rules;
mod telemetry;

#[cfg(test)]
mod tests;

pub use config::StaticConfig;
pub use directory::StaticDirectory;
pub use extension::StaticExtension;
pub use rules::{Rules, RulesError};

use longwave_pipeline::component::{About, Extension, ExtensionFactory, Factory, Stability};

/// Makes `static`.
pub fn factory() -> ExtensionFactory {
    let about = About {
        component_type: "static",
        aliases: &[],
        stability: Stability::Alpha,
        description: "NameInterners workloads and services by rules of a file: networks, ports and cgroups; also external peers",
        signals: &[],
        flow: None,
    };
    Factory::new(about, |config: &StaticConfig, context| {
        StaticExtension::new(config, &context).map(|extension| Box::new(extension) as Box<dyn Extension>)
    })
}
