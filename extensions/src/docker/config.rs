//! Configuration of `docker`.

use longwave_pipeline::component::{ComponentConfig, Problems};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::address::DaemonAddress;

/// `docker: {endpoint: unix:///var/run/docker.sock}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct DockerConfig {
    /// Where the daemon listens: `unix:///path`, or `tcp://host:port` and `http://host:port`
    /// without encryption. Podman: `unix:///run/podman/podman.sock`.
    pub endpoint: String,
    /// Labels of containers that become attributes of their ends: `com.example.team` becomes `container.label.com.example.team`.
    #[schemars(example = ["com.example.team"])]
    pub labels: Vec<String>,
    /// Whether the image becomes the attribute `container.image.name`.
    pub image: bool,
}

// === impl DockerConfig ===

impl Default for DockerConfig {
    fn default() -> Self {
        Self { endpoint: "unix:///var/run/docker.sock".to_owned(), labels: Vec::new(), image: false }
    }
}

impl ComponentConfig for DockerConfig {
    fn validate(&self, problems: &mut Problems) {
        if let Err(error) = self.endpoint.parse::<DaemonAddress>() {
            problems.at("endpoint", error.to_string());
        }
        for (index, label) in self.labels.iter().enumerate() {
            if label.is_empty() {
                problems.at(format!("labels::{index}"), "is empty: write the label's key, or remove it");
            } else if self.labels[..index].contains(label) {
                problems.at(format!("labels::{index}"), format!("{label:?} is listed twice: remove one"));
            }
        }
    }
}
