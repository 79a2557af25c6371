//! The Debian package, made by `dpkg-deb` from the tree.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{VERSION, tree};
use crate::{cache, sh};

/// Scripts that `dpkg` runs.
const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];

/// Makes the package from the tree at `root`, to which it adds the control files.
pub fn package(root: &Path, binary: &Path, output: &Path) -> Result<PathBuf> {
    let architecture = architecture()?;
    let bytes = fs::read(binary).with_context(|| format!("package: read {}", binary.display()))?;
    tree::put(root, "DEBIAN/control", control(architecture, &dependencies(&bytes)).as_bytes(), 0o644)?;
    tree::put(root, "DEBIAN/conffiles", b"/etc/longwave/config.yaml\n", 0o644)?;
    for script in SCRIPTS {
        let path = cache::workspace().join("docker/package").join(script);
        let text = fs::read(&path).with_context(|| format!("package: read {}", path.display()))?;
        tree::put(root, &format!("DEBIAN/{script}"), &text, 0o755)?;
    }
    let path = output.join(format!("longwave_{VERSION}_{architecture}.deb"));
    // Every version of dpkg reads gzip.
    sh::run_quiet(
        Command::new("dpkg-deb").args(["-Zgzip", "--root-owner-group", "--build"]).arg(root).arg(&path),
    )?;
    Ok(path)
}

fn control(architecture: &str, dependencies: &str) -> String {
    format!(
        "Package: longwave\n\
         Version: {VERSION}\n\
         Architecture: {architecture}\n\
         Maintainer: Longwave developers <longwave@localhost>\n\
         Section: net\n\
         Priority: optional\n\
         Depends: {dependencies}\n\
         Recommends: ca-certificates\n\
         Description: Reports what every TCP connection of a host does\n \
         Bytes, segments, retransmits, losses, round-trip times and state of every\n \
         connection, every 5 seconds, as metrics and access logs for OpenTelemetry\n \
         and Prometheus, or as a table.\n"
    )
}

/// Returns Debian's name of this machine's architecture.
fn architecture() -> Result<&'static str> {
    match std::env::consts::ARCH {
        "x86_64" => Ok("amd64"),
        "aarch64" => Ok("arm64"),
        other => bail!("package: Longwave is not built for {other}"),
    }
}

/// Returns the packages of the libraries that a binary needs. A static binary needs none of these versions, but `libc6` is everywhere.
fn dependencies(binary: &[u8]) -> String {
    let mut packages = vec![match newest_glibc(binary) {
        Some((major, minor)) => format!("libc6 (>= {major}.{minor})"),
        None => "libc6".to_owned(),
    }];
    if texts(binary).any(|text| text == b"libgcc_s.so.1") {
        packages.push("libgcc-s1".to_owned());
    }
    packages.join(", ")
}

/// Returns the newest version of glibc of which the binary needs a symbol. The names of the versions are text in it.
fn newest_glibc(binary: &[u8]) -> Option<(u32, u32)> {
    let versions = texts(binary).filter_map(|text| {
        let (major, rest) = std::str::from_utf8(text.strip_prefix(b"GLIBC_")?).ok()?.split_once('.')?;
        Some((major.parse().ok()?, rest.split('.').next()?.parse().ok()?))
    });
    versions.max()
}

/// Returns what is between the zero bytes of a binary.
fn texts(binary: &[u8]) -> impl Iterator<Item = &[u8]> {
    binary.split(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// *Scenario*: a binary with the names of three versions of glibc, and one without.
    /// *Guarantees*: the package needs the newest of them.
    #[test]
    fn package_needs_the_newest_glibc() {
        let binary = b"\x7fELF\0GLIBC_2.9\0GLIBC_2.34\0GLIBC_2.2.5\0libgcc_s.so.1\0";
        assert_eq!(dependencies(binary), "libc6 (>= 2.34), libgcc-s1");
        assert_eq!(dependencies(b"\x7fELF"), "libc6");
    }
}
