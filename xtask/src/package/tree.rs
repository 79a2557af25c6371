//! The files of the package, as they are below `/`.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::{cache, sh};

/// Files of the workspace and their places.
const FILES: [(&str, &str); 5] = [
    ("docker/longwave.service", "usr/lib/systemd/system/longwave.service"),
    ("docker/package/config.yaml", "etc/longwave/config.yaml"),
    ("README.md", "usr/share/doc/longwave/README.md"),
    ("CHANGELOG.md", "usr/share/doc/longwave/CHANGELOG.md"),
    ("LICENSE", "usr/share/doc/longwave/copyright"),
];

/// Folders of the workspace whose files are copied, and their places.
const FOLDERS: [(&str, &str); 4] = [
    ("docs", "usr/share/doc/longwave/docs"),
    ("config/examples", "usr/share/doc/longwave/config/examples"),
    ("docker/prometheus", "usr/share/doc/longwave/docker/prometheus"),
    ("docker/dashboards", "usr/share/doc/longwave/docker/dashboards"),
];

/// What the binary prints, and the places.
const PRINTED: [(&[&str], &str); 3] = [
    (&["completions", "bash"], "usr/share/bash-completion/completions/longwave"),
    (&["completions", "zsh"], "usr/share/zsh/vendor-completions/_longwave"),
    (&["completions", "fish"], "usr/share/fish/vendor_completions.d/longwave.fish"),
];

/// Writes the tree to `root`.
pub fn write(root: &Path, binary: &Path) -> Result<()> {
    let workspace = cache::workspace();
    let read = |path: &Path| fs::read(path).with_context(|| format!("package: read {}", path.display()));
    put(root, "usr/bin/longwave", &read(binary)?, 0o755)?;
    for (from, to) in FILES {
        put(root, to, &read(&workspace.join(from))?, 0o644)?;
    }
    for (from, to) in FOLDERS {
        let folder = workspace.join(from);
        let entries = fs::read_dir(&folder).with_context(|| format!("package: read {}", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.is_file() {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                put(root, &format!("{to}/{name}"), &read(&path)?, 0o644)?;
            }
        }
    }
    for (arguments, to) in PRINTED {
        put(root, to, sh::output(Command::new(binary).args(arguments))?.as_bytes(), 0o644)?;
    }
    let page = sh::output(Command::new(binary).arg("man"))?;
    put(root, "usr/share/man/man1/longwave.1.gz", &compressed(page.as_bytes())?, 0o644)
}

/// Writes a file of the tree.
pub fn put(root: &Path, path: &str, bytes: &[u8], mode: u32) -> Result<()> {
    let path = root.join(path);
    let write = || -> std::io::Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&path, bytes)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))
    };
    write().with_context(|| format!("package: write {}", path.display()))
}

fn compressed(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}
