//! [`BootId`]: identifies a boot of a host.

use std::path::Path;

/// Boot id of the kernel. Unique for each boot of each host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BootId(pub [u8; 16]);

/// Why the boot id cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BootIdError {
    /// The file does not exist or cannot be read.
    #[error("{file}: {source}: is /proc mounted here?")]
    Unreadable {
        /// Path of the file.
        file: String,
        /// The cause.
        source: std::io::Error,
    },
    /// The file does not contain a boot id.
    #[error("{file}: not a boot id: {text:?}")]
    Malformed {
        /// Path of the file.
        file: String,
        /// Content of the file.
        text: String,
    },
}

// === impl BootId ===

impl BootId {
    /// Reads the boot id from `proc`, which is the path of `/proc`.
    ///
    /// # Errors
    /// The file cannot be read, for example because `proc` is not a mounted procfs, or does not contain a boot id.
    pub fn read(proc: &Path) -> Result<Self, BootIdError> {
        let path = proc.join("sys/kernel/random/boot_id");
        let file = || path.display().to_string();
        let text = std::fs::read_to_string(&path)
            .map_err(|source| BootIdError::Unreadable { file: file(), source })?;
        Self::parse(&text).ok_or_else(|| BootIdError::Malformed { file: file(), text })
    }

    /// Returns the first eight hex digits, which are part of a [`ConnectionId`](crate::model::ConnectionId).
    pub fn short(self) -> u32 {
        let [a, b, c, d, ..] = self.0;
        u32::from_be_bytes([a, b, c, d])
    }

    /// Parses 32 hex digits with dashes, the kernel's format.
    fn parse(text: &str) -> Option<Self> {
        let digits = text.trim().replace('-', "");
        if digits.len() != 32 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        u128::from_str_radix(&digits, 16).ok().map(|id| Self(id.to_be_bytes()))
    }
}

#[cfg(test)]
mod tests;
