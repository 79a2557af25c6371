//! Kernel modules and their dependencies, in the order of loading. The dependencies are read from the modules, because an unpacked package
//! has no `modules.dep`, and the host may have no `depmod`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Modules that the tests use: virtual links, packet drops with nft and netem, socket diagnostics, kernel TLS. A module that is built into
/// the kernel has no file and is left out.
pub const WANTED: &[&str] = &[
    "crc32c_generic",
    "veth",
    "dummy",
    "bridge",
    "nf_tables",
    "nft_numgen",
    "nft_ct",
    "nft_limit",
    "nft_reject_inet",
    "nft_nat",
    "nft_masq",
    "nft_redir",
    "nft_chain_nat",
    "nf_conntrack_netlink",
    "sch_netem",
    "tcp_diag",
    "inet_diag",
    "tls",
];

/// A module that the guest loads.
pub struct Module {
    /// Name as in `lsmod`: `nf_tables`.
    pub name: String,
    /// Contents of the module, uncompressed.
    pub object: Vec<u8>,
}

/// Returns the wanted modules and their dependencies. Each comes after those that it depends on.
pub fn load_order(modules: &Path) -> Result<Vec<Module>> {
    let mut files = BTreeMap::new();
    index(modules, &mut files)?;
    let mut order = Vec::new();
    let mut visited = BTreeSet::new();
    for name in WANTED {
        visit(name, &files, &mut visited, &mut order)?;
    }
    if !order.iter().any(|module| module.name == "veth") {
        bail!("vm: {}: has no module veth: is this an unpacked kernel package?", modules.display());
    }
    Ok(order)
}

fn visit(
    name: &str,
    files: &BTreeMap<String, PathBuf>,
    visited: &mut BTreeSet<String>,
    order: &mut Vec<Module>,
) -> Result<()> {
    let Some(path) = files.get(name) else { return Ok(()) };
    if !visited.insert(name.to_owned()) {
        return Ok(());
    }
    let object = read(path)?;
    for dependency in depends(&object) {
        visit(&dependency, files, visited, order)?;
    }
    order.push(Module { name: name.to_owned(), object });
    Ok(())
}

fn index(folder: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("vm: read {}", folder.display()))? {
        let entry = entry.with_context(|| format!("vm: read {}", folder.display()))?;
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            index(&path, files)?;
        } else if let Some((stem, _)) = entry.file_name().to_string_lossy().split_once(".ko") {
            files.insert(stem.replace('-', "_"), path);
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let unpacker = match path.extension().and_then(|extension| extension.to_str()) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        _ => return fs::read(path).with_context(|| format!("vm: read {}", path.display())),
    };
    let output = Command::new(unpacker)
        .arg("-dc")
        .arg(path)
        .output()
        .with_context(|| format!("vm: {unpacker}: could not be started: install it"))?;
    if !output.status.success() {
        bail!("vm: {unpacker} -dc {}: {}", path.display(), output.status);
    }
    Ok(output.stdout)
}

/// Returns the names of the modules that a module depends on. Its section `.modinfo` contains strings `key=value` that end with NUL. The
/// value of `depends` is a list with commas.
fn depends(object: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(at) = object.windows(KEY.len()).position(|window| window == KEY) else { return Vec::new() };
    let value = object[at + KEY.len()..].split(|byte| *byte == 0).next().unwrap_or_default();
    let names = String::from_utf8_lossy(value).replace('-', "_");
    names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests;
