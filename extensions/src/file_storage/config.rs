//! Configuration of `file_storage`.

use std::path::PathBuf;
use std::time::Duration;

use longwave_config::{ByteSize, GoDuration};
use longwave_pipeline::component::{ComponentConfig, Problems};
use serde::{Deserialize, Serialize};

use super::store::StoreLimits;

/// Bounds of `max_size`. The lower one is four requests of the usual size.
const SIZES: (ByteSize, ByteSize) = (ByteSize::mib(8), ByteSize(1 << 40));
/// Longest `timeout`.
const MAX_TIMEOUT: GoDuration = GoDuration::from_secs(600);
/// Shortest and longest `max_age`, apart from zero.
const AGES: (GoDuration, GoDuration) = (GoDuration::from_secs(60), GoDuration::from_secs(366 * 24 * 3600));

/// The section `extensions::file_storage`. `directory`, `create_directory`, `directory_permissions`, `timeout` and `fsync` are the
/// Collector's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FileStorageConfig {
    /// The directory, which belongs to this extension alone.
    pub directory: PathBuf,
    /// Whether the directory is created if it does not exist.
    pub create_directory: bool,
    /// Permissions of a directory that is created, in octal digits, minus the umask.
    pub directory_permissions: String,
    /// Longest wait for another process that uses the directory.
    pub timeout: GoDuration,
    /// Whether a power failure loses at most what was queued in the last second. A crash of the process loses nothing in either case.
    pub fsync: bool,
    /// Maximum size of all files. The oldest requests are dropped.
    pub max_size: ByteSize,
    /// Age from which requests are dropped; never if zero.
    pub max_age: GoDuration,
}

// === impl FileStorageConfig ===

impl Default for FileStorageConfig {
    fn default() -> Self {
        Self {
            directory: PathBuf::from("/var/lib/longwave/file_storage"),
            create_directory: true,
            directory_permissions: "0750".to_owned(),
            timeout: GoDuration::from_secs(1),
            fsync: true,
            max_size: ByteSize::mib(1024),
            max_age: GoDuration::from_secs(0),
        }
    }
}

impl ComponentConfig for FileStorageConfig {
    fn validate(&self, problems: &mut Problems) {
        if self.directory.as_os_str().is_empty() {
            problems.at("directory", "must be set, for example to /var/lib/longwave/file_storage");
        }
        if self.permissions().is_none() {
            problems.at(
                "directory_permissions",
                "must be octal digits that let the owner read, write and search, for example 0750",
            );
        }
        problems.at_most("timeout", self.timeout, MAX_TIMEOUT);
        if self.max_size < SIZES.0 {
            problems
                .at("max_size", format!("must be at least {} (four requests of the usual size)", SIZES.0));
        }
        problems.at_most("max_size", self.max_size, SIZES.1);
        if !self.max_age.is_zero() && self.max_age < AGES.0 {
            problems.at("max_age", format!("must be at least {}, or 0s for no limit", AGES.0));
        }
        problems.at_most("max_age", self.max_age, AGES.1);
    }
}

impl FileStorageConfig {
    /// Returns `directory_permissions` as a number.
    pub(super) fn permissions(&self) -> Option<u32> {
        let mode = u32::from_str_radix(&self.directory_permissions, 8).ok()?;
        (mode <= 0o777 && mode & 0o700 == 0o700).then_some(mode)
    }

    pub(super) fn limits(&self) -> StoreLimits {
        let age: Duration = self.max_age.get();
        StoreLimits { bytes: self.max_size.get(), age: (!age.is_zero()).then_some(age), fsync: self.fsync }
    }
}
