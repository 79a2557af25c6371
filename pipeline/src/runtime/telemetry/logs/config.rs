//! [`LogConfig`]: the section `service::telemetry::logs`, with the names and defaults of the Collector.

use std::collections::BTreeMap;
use std::path::PathBuf;

use longwave_config::{GoDuration, Value};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::component::Problems;

/// The log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct LogConfig {
    /// Minimum severity of messages.
    pub level: LogLevel,
    /// Format of a line.
    pub encoding: LogEncoding,
    /// Limit on messages that repeat.
    pub sampling: LogSamplingConfig,
    /// Where lines are written: `stderr`, `stdout`, or paths of files.
    pub output_paths: Vec<String>,
    /// Where failures to write a line are reported.
    pub error_output_paths: Vec<String>,
    /// Fields that each line has.
    #[schemars(with = "BTreeMap<String, serde_json::Value>", example = serde_json::json!({"cluster": "east"}))]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub initial_fields: BTreeMap<String, Value>,
    /// Whether lines have no source file and line.
    pub disable_caller: bool,
    /// Whether lines have no stack trace. Only true is valid.
    pub disable_stacktrace: bool,
    /// Whether lines have no resource.
    pub disable_zap_resource: bool,
    /// Development mode, which Longwave does not have. Only false is valid.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub development: bool,
}

/// Limit on messages that repeat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct LogSamplingConfig {
    /// Whether messages that repeat are limited.
    pub enabled: bool,
    /// Time in which the messages of a level and text are counted.
    pub tick: GoDuration,
    /// Number of messages that are written in each tick.
    pub initial: u64,
    /// Of the further messages in a tick, one of this number is written. 0: none.
    pub thereafter: u64,
}

/// Severity of a message. The configuration may use upper case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", try_from = "String")]
pub enum LogLevel {
    /// All messages, with details for developers.
    Debug,
    /// Also starts, stops and changes of the state.
    #[default]
    Info,
    /// Failures, and messages about what may need attention.
    Warn,
    /// Only failures.
    Error,
}

/// Format of a line of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogEncoding {
    /// Text for people.
    #[default]
    Console,
    /// One JSON object per line.
    Json,
}

/// Where lines are written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the Collector's words")]
pub enum LogOutput {
    Stdout,
    Stderr,
    /// A file that is appended to.
    File(PathBuf),
}

/// Longest tick.
const MAX_TICK: GoDuration = GoDuration::from_secs(24 * 3600);

// === impl LogConfig ===

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            level: LogLevel::default(),
            encoding: LogEncoding::default(),
            sampling: LogSamplingConfig::default(),
            output_paths: vec!["stderr".to_owned()],
            error_output_paths: vec!["stderr".to_owned()],
            initial_fields: BTreeMap::new(),
            disable_caller: true,
            disable_stacktrace: true,
            disable_zap_resource: true,
            development: false,
        }
    }
}

impl LogConfig {
    /// Reports invalid values below `service::telemetry`.
    pub(in crate::runtime::telemetry) fn validate(&self, problems: &mut Problems) {
        problems.at_most("logs::sampling::tick", self.sampling.tick, MAX_TICK);
        let lists = [("output_paths", &self.output_paths), ("error_output_paths", &self.error_output_paths)];
        for (key, paths) in lists {
            for (index, path) in paths.iter().enumerate() {
                if let Err(problem) = LogOutput::parse(path) {
                    problems.at(format!("logs::{key}::{index}"), problem);
                }
            }
        }
        if !self.disable_stacktrace {
            problems.at("logs::disable_stacktrace", "must be true: messages have no stack traces");
        }
        if self.development {
            problems.at("logs::development", "must be false: there is no development mode");
        }
    }
}

// === impl LogSamplingConfig ===

impl Default for LogSamplingConfig {
    fn default() -> Self {
        Self { enabled: true, tick: GoDuration::from_secs(10), initial: 10, thereafter: 100 }
    }
}

// === impl LogOutput ===

impl LogOutput {
    /// Reads an element of `output_paths`.
    ///
    /// # Errors
    /// Returns the problem for the user.
    pub fn parse(text: &str) -> Result<Self, String> {
        let path = match text.split_once("://") {
            None => text,
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("file") => {
                let path = rest.strip_prefix("localhost").unwrap_or(rest);
                if !path.starts_with('/') || path.contains(['?', '#']) {
                    return Err(format!("{text:?} must be file:// and an absolute path"));
                }
                return Ok(Self::File(path.into()));
            }
            Some(_) => return Err(format!("{text:?} must be stderr, stdout, or the path of a file")),
        };
        match path {
            "stdout" => Ok(Self::Stdout),
            "stderr" => Ok(Self::Stderr),
            "" => Err("must be stderr, stdout, or the path of a file".to_owned()),
            path => Ok(Self::File(path.into())),
        }
    }
}

// === impl LogLevel ===

impl TryFrom<String> for LogLevel {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "debug" => Ok(Self::Debug),
            "info" => Ok(Self::Info),
            "warn" | "warning" => Ok(Self::Warn),
            "error" => Ok(Self::Error),
            _ => Err(format!("unrecognized level: {text:?} (valid values: [debug info warn error])")),
        }
    }
}

impl LogLevel {
    /// Returns the level as a directive of a tracing filter.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

#[cfg(test)]
mod tests;
