//! `keepalive`: pings that find out whether the server still responds.

use longwave_config::GoDuration;
use longwave_pipeline::component::Problems;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `keepalive`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct KeepaliveConfig {
    /// Time without data from the server after which the client sends a ping, at least 10 s; never if zero.
    pub time: GoDuration,
    /// Time to wait for the response to a ping. Then the connection is closed. Zero means 20 s.
    pub timeout: GoDuration,
    /// True sends pings between requests, too.
    pub permit_without_stream: bool,
}

/// Longest `time` and `timeout`.
const MAX: GoDuration = GoDuration::from_secs(24 * 3600);

// === impl KeepaliveConfig ===

impl Default for KeepaliveConfig {
    fn default() -> Self {
        let ten = GoDuration::from_secs(10);
        Self { time: ten, timeout: ten, permit_without_stream: false }
    }
}

impl KeepaliveConfig {
    pub(super) fn validate(&self, problems: &mut Problems) {
        problems.at_most("keepalive::time", self.time, MAX);
        problems.at_most("keepalive::timeout", self.timeout, MAX);
    }
}
