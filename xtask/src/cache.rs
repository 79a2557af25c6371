//! Folder of downloads and builds outside the tree: `$LONGWAVE_CACHE`, or `~/.cache/longwave` if it is not set.

use std::path::PathBuf;

use anyhow::{Context, Result};

/// Returns the root of the cache. The cache may be deleted at any time: missing files are created again.
pub fn root() -> Result<PathBuf> {
    if let Some(dir) = std::env::var_os("LONGWAVE_CACHE").filter(|dir| !dir.is_empty()) {
        return Ok(PathBuf::from(dir));
    }
    let home =
        std::env::var_os("HOME").context("cache: neither LONGWAVE_CACHE nor HOME is set: set one of them")?;
    Ok(PathBuf::from(home).join(".cache/longwave"))
}

/// Returns a folder of the cache, and creates it if it is missing.
pub fn dir(name: &str) -> Result<PathBuf> {
    let dir = root()?.join(name);
    std::fs::create_dir_all(&dir).with_context(|| format!("cache: create {}", dir.display()))?;
    Ok(dir)
}

/// Returns the root folder of the workspace.
pub fn workspace() -> PathBuf {
    let xtask = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().map(PathBuf::from).unwrap_or(xtask)
}
