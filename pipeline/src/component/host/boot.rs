//! Which boot of which host this is.

use std::path::Path;

/// The kernel's boot id, which no other boot of any host has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BootId(pub [u8; 16]);

/// It cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum BootIdError {
    /// There is no such file, or it may not be read.
    #[error("{file}: {source}: is /proc mounted here?")]
    Unreadable {
        /// Which.
        file: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file holds something else.
    #[error("{file}: not a boot id: {text:?}")]
    Malformed {
        /// Which.
        file: String,
        /// What.
        text: String,
    },
}

// === impl BootId ===

impl BootId {
    /// Of the host that `proc` (`/proc`) shows.
    ///
    /// # Errors
    /// `proc` is not `/proc`.
    pub fn read(proc: &Path) -> Result<Self, BootIdError> {
        let path = proc.join("sys/kernel/random/boot_id");
        let file = || path.display().to_string();
        let text = std::fs::read_to_string(&path)
            .map_err(|source| BootIdError::Unreadable { file: file(), source })?;
        Self::parse(&text).ok_or_else(|| BootIdError::Malformed { file: file(), text })
    }

    /// The part of it that [`crate::model::record::ConnectionId::boot`] keeps: its first eight hex digits.
    pub fn short(self) -> u32 {
        let [a, b, c, d, ..] = self.0;
        u32::from_be_bytes([a, b, c, d])
    }

    /// 32 hex digits with dashes between them, as the kernel writes it.
    fn parse(text: &str) -> Option<Self> {
        let digits = text.trim().replace('-', "");
        if digits.len() != 32 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        u128::from_str_radix(&digits, 16).ok().map(|id| Self(id.to_be_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// *Scenario*: a boot id as the kernel writes it, one that is cut off, no file.
    /// *Guarantees*: the first is read, all of it and its first eight digits; the others are told with the file's name.
    #[test]
    fn boot_ids_are_read() {
        let proc = std::env::temp_dir().join(format!("longwave-boot-id-{}", std::process::id()));
        let file = proc.join("sys/kernel/random/boot_id");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        let read = |text: &str| {
            std::fs::write(&file, text).unwrap();
            BootId::read(&proc)
        };
        let id = read("0a0b0c0d-1111-2222-3333-444444444455\n").unwrap();
        assert_eq!((id.short(), id.0[15]), (0x0a0b_0c0d, 0x55));
        let error = read("0a0b0c0d-1111").unwrap_err().to_string();
        std::fs::remove_dir_all(&proc).unwrap();
        assert_eq!(error, format!("{}: not a boot id: \"0a0b0c0d-1111\"", file.display()));
        let error = BootId::read(&proc).unwrap_err().to_string();
        assert!(error.starts_with(&file.display().to_string()) && error.ends_with("is /proc mounted here?"));
    }
}
