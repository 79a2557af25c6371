//! Settings of the receiver `bpf`.

use longwave_config::{ByteSize, GoDuration};
use longwave_pipeline::component::cgroup::Pattern;
use longwave_pipeline::component::{ComponentConfig, Problems};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::kernel::{Families, Options};
use crate::tracking::{DEFAULT_MAX_CONNECTIONS, validate_interval, validate_max_connections};

/// The section `receivers::bpf`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Config {
    /// Time between two reports of every connection, aligned to the wall clock.
    pub interval: GoDuration,
    /// Whether idle connections are reported at every interval too. User space writes these records, at no cost for the kernel.
    pub idle_records: bool,
    /// Number of passes between two heartbeats, by which the kernel confirms that an idle connection exists. After three missed ones the connection
    /// is reported as vanished.
    pub idle_heartbeat: u16,
    /// Whether connections that are older than Longwave are reported.
    pub pre_existing: bool,
    /// Age at which the process of an accepted connection is looked up among the descriptors of all processes. Until then it is supposed to be
    /// the process that listens. A shorter connection needs no look-up, because the process that closes it is known. `0s`: never.
    pub holder_age: GoDuration,
    /// Address families of the connections that are reported.
    pub families: Vec<Family>,
    /// Only connections with one of these local or peer ports are reported. Empty: all.
    #[schemars(example = [443, 5432])]
    pub ports: Vec<u16>,
    /// Only sockets of the cgroups that match, and of those below them, are reported, whenever a cgroup is created. A path below the mount of cgroup2, with
    /// or without the mount point. `*` and `?` match within one part of the path, `**` across parts.
    #[schemars(example = &"/system.slice/postgresql@*.service")]
    pub cgroup: Option<Pattern>,
    /// Maximum number of connections that are tracked at the same time. Each costs 238 bytes of kernel memory, in use or not.
    pub max_connections: u32,
    /// Size of the ring buffer for opens and closes that wait for user space. A power of two, and at least a page.
    pub transitions_ring_size: ByteSize,
    /// Size of the ring buffer for samples that wait for user space. A power of two, and at least a page. Below 512 KiB it can fill up in a
    /// busy pass: lost samples are counted, and their content is in the samples of a later pass.
    pub samples_ring_size: ByteSize,
}

/// Address family of the connection's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4, also in an IPv6 socket.
    Ipv4,
    /// IPv6.
    Ipv6,
}

const MAX_HOLDER_AGE: GoDuration = GoDuration::from_secs(24 * 3600);
const LARGEST_RING: ByteSize = ByteSize::mib(1024);

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Self {
            interval: GoDuration::from_secs(5),
            idle_records: true,
            idle_heartbeat: 12,
            pre_existing: true,
            holder_age: GoDuration::from_secs(30),
            families: vec![Family::Ipv4, Family::Ipv6],
            ports: Vec::new(),
            cgroup: None,
            max_connections: DEFAULT_MAX_CONNECTIONS,
            transitions_ring_size: ByteSize::mib(4),
            samples_ring_size: ByteSize::kib(512),
        }
    }
}

impl Config {
    /// Returns the options of the kernel side. `emit_open`: a pipeline needs a record of each open.
    pub fn options(&self, emit_open: bool) -> Options {
        let ring = |size: ByteSize| u32::try_from(size.get()).unwrap_or(u32::MAX);
        let defaults = Options::default();
        let transitions_ring_bytes = ring(self.transitions_ring_size);
        Options {
            emit_open,
            connect_time: true,
            families: Families {
                v4: self.families.contains(&Family::Ipv4),
                v6: self.families.contains(&Family::Ipv6),
            },
            pre_existing: self.pre_existing,
            ports: self.ports.clone(),
            cgroup: self.cgroup.clone(),
            max_connections: self.max_connections,
            heartbeat_passes: u8::try_from(self.idle_heartbeat).unwrap_or(u8::MAX),
            transitions_ring_bytes,
            samples_ring_bytes: ring(self.samples_ring_size),
            wake_bytes: defaults.wake_bytes.min(transitions_ring_bytes / 4),
        }
    }
}

impl ComponentConfig for Config {
    /// Two instances would report each connection twice.
    fn exclusive(&self) -> Vec<String> {
        vec!["the BPF programs".to_owned()]
    }

    fn validate(&self, problems: &mut Problems) {
        validate_interval(self.interval, problems);
        if !(1..=255).contains(&self.idle_heartbeat) {
            problems.at("idle_heartbeat", "must be between 1 and 255 passes, for example 12");
        }
        problems.at_most("holder_age", self.holder_age, MAX_HOLDER_AGE);
        if self.families.is_empty() {
            problems.at("families", "must name at least one of ipv4, ipv6");
        }
        if self.ports.contains(&0) {
            problems.at("ports", "must not contain 0 (leave `ports` out to report all ports)");
        }
        validate_max_connections(self.max_connections, problems);
        let page = rustix::param::page_size() as u64;
        for (key, size) in [
            ("transitions_ring_size", self.transitions_ring_size),
            ("samples_ring_size", self.samples_ring_size),
        ] {
            if !size.get().is_power_of_two() || size.get() < page || size > LARGEST_RING {
                problems.at(
                    key,
                    format!(
                        "must be a power of two between the page size ({}) and {LARGEST_RING}, for example 4MiB",
                        ByteSize(page)
                    ),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests;
