//! Configuration of receiver `replay`.

use std::path::PathBuf;

use longwave_pipeline::component::{ComponentConfig, Problems};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The section `receivers::replay`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct Config {
    /// The record file, or the socket of an exporter `live`.
    #[schemars(example = &"records.lwr")]
    pub(super) path: PathBuf,
    /// How fast the file is replayed.
    pub(super) speed: Speed,
}

/// How fast a file is replayed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Speed {
    /// As fast as the pipeline accepts records.
    #[default]
    Fast,
    /// At the speed of the recording. The time between two recordings in one file is skipped.
    Original,
}

// === impl Config ===

impl ComponentConfig for Config {
    /// Two readers of a pipe would each get a part.
    fn exclusive(&self) -> Vec<String> {
        vec![format!("file {}", self.path.display())]
    }

    fn validate(&self, problems: &mut Problems) {
        if self.path.as_os_str().is_empty() {
            problems
                .at("path", "requires the name of a record file (one that the record_file exporter wrote)");
        }
    }
}
