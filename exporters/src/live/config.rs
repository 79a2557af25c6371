//! Settings of `live`.

use std::path::PathBuf;

use longwave_config::ByteSize;
use longwave_pipeline::component::{ComponentConfig, Problems};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ordered_queue_config::OrderedQueueConfig;

/// Path of the socket, if no other is configured.
pub const DEFAULT_PATH: &str = "/run/longwave/live.sock";
/// Maximum length of a socket's path in bytes (`sun_path`, without the final NUL).
const MAX_PATH: usize = 107;

/// Section of a `live` exporter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct LiveConfig {
    /// The socket. Its directory is created if it does not exist.
    pub(super) path: PathBuf,
    /// Group, by name or number, whose members may connect besides the socket's owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"adm")]
    pub(super) group: Option<String>,
    /// Maximum number of clients at a time. Further ones are disconnected.
    pub(super) max_clients: u16,
    /// Bytes that may wait for one client. A client for which more would wait is disconnected.
    pub(super) max_client_bytes: ByteSize,
    /// The queue before the socket.
    pub(super) sending_queue: OrderedQueueConfig,
}

// === impl LiveConfig ===

impl Default for LiveConfig {
    fn default() -> Self {
        Self {
            path: DEFAULT_PATH.into(),
            group: None,
            max_clients: 8,
            max_client_bytes: ByteSize::kib(16 << 10),
            sending_queue: OrderedQueueConfig::default(),
        }
    }
}

impl ComponentConfig for LiveConfig {
    fn validate(&self, problems: &mut Problems) {
        let length = self.path.as_os_str().len();
        if !self.path.is_absolute() {
            problems.at("path", format!("must be an absolute path, for example {DEFAULT_PATH}"));
        } else if length > MAX_PATH {
            problems.at(
                "path",
                format!("has {length} bytes, but the path of a Unix socket has at most {MAX_PATH}"),
            );
        }
        if self.group.as_deref() == Some("") {
            problems.at(
                "group",
                "requires the name or the number of a group: remove it to let only the owner connect",
            );
        }
        if !(1..=64).contains(&self.max_clients) {
            problems.at("max_clients", "must be between 1 and 64");
        }
        if !(ByteSize::kib(1 << 10)..=ByteSize::kib(1 << 20)).contains(&self.max_client_bytes) {
            problems.at("max_client_bytes", "must be between 1MiB and 1GiB");
        }
        self.sending_queue.validate(problems);
    }

    fn exclusive(&self) -> Vec<String> {
        vec![format!("socket {}", self.path.display())]
    }
}
