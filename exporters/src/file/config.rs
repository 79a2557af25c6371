//! Settings of `file`, with the names and defaults of the Collector's exporter.

use std::path::PathBuf;
use std::time::Duration;

use longwave_config::{GoDuration, Value};
use longwave_pipeline::component::{ComponentConfig, Problems, RetryConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::framing::Framing;
use crate::ordered_queue_config::OrderedQueueConfig;
use crate::otlp::{ClientConfig, Compression, Temporality};

/// Section of a `file` exporter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct FileConfig {
    /// The file that is written.
    #[schemars(example = &"/var/log/longwave/connections.json")]
    pub(super) path: PathBuf,
    /// True continues an existing file. False empties it at the start, unless there is `rotation`.
    pub(super) append: bool,
    /// When a new file begins. Default: never, so the file grows without a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rotation: Option<RotationConfig>,
    /// Encoding of requests.
    pub(super) format: Format,
    /// Compression of requests: `zstd`, or none by default.
    #[serde(skip_serializing_if = "is_none")]
    #[schemars(with = "String", example = &"zstd")]
    pub(super) compression: Compression,
    /// Accepted, without effect: each request is written when it arrives.
    pub(super) flush_interval: GoDuration,
    /// Whether a missing directory of `path` is created, with those above it.
    pub(super) create_directory: bool,
    /// Octal permissions of created directories, without the bits of the umask. Default: `0755`.
    #[schemars(example = &"0750")]
    pub(super) directory_permissions: String,
    /// Temporality of sums and histograms.
    pub(super) temporality: Temporality,
    /// Retries of failed writes.
    pub(super) retry_on_failure: RetryConfig,
    /// The queue before the file.
    pub(super) sending_queue: OrderedQueueConfig,
    /// Not supported, whatever it is.
    #[serde(skip_serializing)]
    #[schemars(skip)]
    group_by: Option<Value>,
    /// Not supported, whatever it is.
    #[serde(skip_serializing)]
    #[schemars(skip)]
    encoding: Option<Value>,
}

/// When a new file begins, and how many old ones stay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct RotationConfig {
    /// Maximum size of the file in MiB. A single larger request has a file of its own.
    pub(super) max_megabytes: u64,
    /// Age in days of 24 hours after which backups are removed; 0: never.
    pub(super) max_days: u64,
    /// Maximum number of backups. The oldest ones are removed.
    pub(super) max_backups: usize,
    /// Whether the names of backups have local time. Only false is valid.
    pub(super) localtime: bool,
}

/// Encoding of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    /// OTLP's JSON.
    #[default]
    Json,
    /// Protobuf.
    Proto,
}

/// Largest `max_megabytes`: 1 TiB.
const MAX_MEGABYTES: u64 = 1 << 20;
/// Largest `max_days`: about 100 years.
const MAX_DAYS: u64 = 36_500;
/// Largest `max_backups`. Each rotation lists the directory.
const MAX_BACKUPS: usize = 10_000;
/// Permissions of created directories if none are configured.
const DIRECTORY_MODE: u32 = 0o755;

/// The Collector has no name for it.
fn is_none(compression: &Compression) -> bool {
    *compression == Compression::None
}

// === impl FileConfig ===

impl Default for FileConfig {
    fn default() -> Self {
        Self {
            path: PathBuf::new(),
            append: false,
            rotation: None,
            format: Format::default(),
            compression: Compression::None,
            flush_interval: GoDuration::from_secs(1),
            create_directory: false,
            directory_permissions: String::new(),
            temporality: Temporality::default(),
            retry_on_failure: RetryConfig::default(),
            sending_queue: OrderedQueueConfig::default(),
            group_by: None,
            encoding: None,
        }
    }
}

impl FileConfig {
    /// Returns the settings that the OTLP exporter reads.
    pub(super) fn client(&self) -> ClientConfig {
        ClientConfig {
            timeout: GoDuration::from(Duration::ZERO),
            retry_on_failure: self.retry_on_failure.clone(),
            sending_queue: self.sending_queue.queue(),
            temporality: self.temporality,
            ..ClientConfig::default()
        }
    }

    pub(super) fn framing(&self) -> Framing {
        match (self.format, self.compression) {
            (Format::Json, Compression::None) => Framing::Lines,
            _ => Framing::Prefixed,
        }
    }

    /// Returns the permissions of created directories; `None` if they are not octal, or have bits that are not permissions.
    pub(super) fn directory_mode(&self) -> Option<u32> {
        match self.directory_permissions.as_str() {
            "" => Some(DIRECTORY_MODE),
            text => u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777),
        }
    }
}

impl ComponentConfig for FileConfig {
    /// Two writers with different settings would overwrite each other's rotations.
    fn exclusive(&self) -> Vec<String> {
        vec![format!("file {}", self.path.display())]
    }

    fn validate(&self, problems: &mut Problems) {
        if self.path.as_os_str().is_empty() {
            problems
                .at("path", "requires a non-empty file name, for example /var/log/longwave/connections.json");
        }
        if !matches!(self.compression, Compression::Zstd | Compression::None) {
            problems.at("compression", "is not supported in a file (valid values: [zstd none])");
        }
        // As in the Collector.
        if self.append && self.rotation.is_some() {
            problems.at("append", "must not be set with rotation, which always continues an existing file");
        }
        if self.directory_mode().is_none() {
            let message = "must be octal permissions of at most 0777, for example \"0750\"";
            problems.at("directory_permissions", message);
        }
        if !self.create_directory && !self.directory_permissions.is_empty() {
            problems.at("directory_permissions", "requires create_directory: true");
        }
        if let Some(rotation) = &self.rotation {
            rotation.validate(problems);
        }
        if self.group_by.is_some() {
            let message = "is not supported: everything that Longwave exports has one resource, so there would be one file; remove this setting";
            problems.at("group_by", message);
        }
        if self.encoding.is_some() {
            let message = "is not supported, because Longwave has no encoding extensions: use format";
            problems.at("encoding", message);
        }
        self.retry_on_failure.validate(problems);
        self.sending_queue.validate(problems);
    }
}

// === impl RotationConfig ===

impl Default for RotationConfig {
    fn default() -> Self {
        Self { max_megabytes: 100, max_days: 0, max_backups: 100, localtime: false }
    }
}

impl RotationConfig {
    /// Returns the size in bytes that no write exceeds.
    pub(super) fn max_bytes(&self) -> u64 {
        self.max_megabytes.saturating_mul(1 << 20)
    }

    fn validate(&self, problems: &mut Problems) {
        if self.max_megabytes == 0 {
            problems.at("rotation::max_megabytes", "must be positive (the default is 100)");
        }
        if self.max_backups == 0 {
            let message = "must be positive: 0 would keep all backups and fill the disk (the default is 100)";
            problems.at("rotation::max_backups", message);
        }
        problems.at_most("rotation::max_megabytes", self.max_megabytes, MAX_MEGABYTES);
        problems.at_most("rotation::max_backups", self.max_backups, MAX_BACKUPS);
        problems.at_most("rotation::max_days", self.max_days, MAX_DAYS);
        if self.localtime {
            problems.at(
                "rotation::localtime",
                "is not supported: the names of backups have UTC; remove this setting",
            );
        }
    }
}
