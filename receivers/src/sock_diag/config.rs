//! Settings of the receiver `sock_diag`.

use longwave_config::{ByteSize, GoDuration};
use longwave_pipeline::component::{ComponentConfig, Problems};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::tracking::{DEFAULT_MAX_CONNECTIONS, validate_interval, validate_max_connections};

/// The section `receivers::sock_diag`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Config {
    /// Time between two lists of all sockets, aligned to the wall clock.
    pub interval: GoDuration,
    /// Whether idle connections are reported at every interval, too.
    pub idle_records: bool,
    /// Network namespaces whose connections are reported.
    pub namespaces: NamespaceScope,
    /// Whether the processes of listeners, and of connections that last longer than one interval, are looked up. Longwave reads the descriptors of
    /// all processes that its user may inspect.
    pub owners: bool,
    /// Maximum number of connections that are tracked at the same time.
    pub max_connections: u32,
    /// Size of the buffer for ended sockets that wait for user space, for each namespace. Without CAP_NET_ADMIN the kernel limits it to
    /// `net.core.rmem_max`.
    pub receive_buffer: ByteSize,
}

/// Which network namespaces are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NamespaceScope {
    /// The namespace of Longwave only. Needs no privilege.
    Own,
    /// All that can be entered, which takes `CAP_SYS_ADMIN`. Without it, the namespace of Longwave.
    All,
}

const LARGEST_BUFFER: ByteSize = ByteSize::mib(1024);

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Self {
            interval: GoDuration::from_secs(5),
            idle_records: true,
            namespaces: NamespaceScope::All,
            owners: true,
            max_connections: DEFAULT_MAX_CONNECTIONS,
            receive_buffer: ByteSize::mib(8),
        }
    }
}

impl ComponentConfig for Config {
    fn validate(&self, problems: &mut Problems) {
        validate_interval(self.interval, problems);
        validate_max_connections(self.max_connections, problems);
        if self.receive_buffer == ByteSize(0) || self.receive_buffer > LARGEST_BUFFER {
            problems
                .at("receive_buffer", format!("must be between 1 and {LARGEST_BUFFER}, for example 8MiB"));
        }
    }
}
