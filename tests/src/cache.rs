//! Folder of the peers that `cargo xtask peers` builds.

use std::path::PathBuf;

/// Returns `$LONGWAVE_CACHE/peers`, or `~/.cache/longwave/peers` if the variable is not set.
pub fn peers() -> PathBuf {
    let cache = std::env::var_os("LONGWAVE_CACHE").map(PathBuf::from).unwrap_or_else(|| {
        PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache/longwave")
    });
    cache.join("peers")
}
