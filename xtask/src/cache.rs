//! Where downloads and builds outside the tree are kept: `$LONGWAVE_CACHE`, else `~/.cache/longwave`.

use std::path::PathBuf;

use anyhow::{Context, Result};

/// The cache's root. Nothing in it is needed: everything is rebuilt when absent.
pub fn root() -> Result<PathBuf> {
    if let Some(dir) = std::env::var_os("LONGWAVE_CACHE").filter(|dir| !dir.is_empty()) {
        return Ok(PathBuf::from(dir));
    }
    let home =
        std::env::var_os("HOME").context("cache: neither LONGWAVE_CACHE nor HOME is set: set one of them")?;
    Ok(PathBuf::from(home).join(".cache/longwave"))
}

/// A folder of the cache, created if absent.
pub fn dir(name: &str) -> Result<PathBuf> {
    let dir = root()?.join(name);
    std::fs::create_dir_all(&dir).with_context(|| format!("cache: create {}", dir.display()))?;
    Ok(dir)
}

/// The workspace's root folder.
pub fn workspace() -> PathBuf {
    let xtask = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().map(PathBuf::from).unwrap_or(xtask)
}
