//! Debian's cloud kernels, downloaded by apt and unpacked into the cache: never installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::Series;
use crate::{cache, sh};

/// An unpacked kernel package.
pub struct Kernel {
    /// Holds `boot/` and `lib/modules/` (or `usr/lib/modules/`).
    pub folder: PathBuf,
    /// The compressed image.
    pub image: PathBuf,
    /// The folder of its modules, all levels below.
    pub modules: PathBuf,
}

/// The series' kernel: the cache's, or the newest that apt knows. Delete its folder to get a newer one.
pub fn fetch(series: Series) -> Result<Kernel> {
    let kernels = cache::dir("kernels")?;
    let folder = kernels.join(series.name());
    if !folder.is_dir() {
        let work = kernels.join(format!("{}-{}", series.name(), std::process::id()));
        fs::create_dir_all(&work).with_context(|| format!("vm: create {}", work.display()))?;
        let unpacked = unpack(series, &work);
        if unpacked.is_ok() && !folder.is_dir() {
            fs::rename(work.join("root"), &folder)
                .with_context(|| format!("vm: move the kernel to {}", folder.display()))?;
        }
        // A leftover costs disk only; the download's own error matters more.
        let _ = fs::remove_dir_all(&work);
        unpacked?;
    }
    let image = only_entry(&folder.join("boot"), "vmlinuz-")?;
    let modules = ["lib/modules", "usr/lib/modules"].map(|name| folder.join(name));
    let Some(modules) = modules.into_iter().find(|path| path.is_dir()) else {
        bail!("vm: {}: has no modules: delete the folder, so that it is fetched again", folder.display());
    };
    Ok(Kernel { folder, image, modules })
}

fn unpack(series: Series, work: &Path) -> Result<()> {
    // A name may stay in apt's lists after its package has gone, so the next newest is tried.
    for package in packages(series)?.iter().take(5) {
        eprintln!("vm: downloading {package}");
        let mut download = Command::new("apt-get");
        if sh::run_quiet(download.args(["download", package]).current_dir(work)).is_err() {
            continue;
        }
        let deb = only_entry(work, package)?;
        return sh::run_quiet(Command::new("dpkg").arg("-x").arg(deb).arg(work.join("root")));
    }
    bail!(
        "vm: no package linux-image-{}.*-cloud-amd64 could be downloaded: run `apt-get update` on Debian 12 \
         (6.12 is in bookworm-security or bookworm-backports)",
        series.name()
    )
}

/// The series' signed cloud kernels, newest first.
fn packages(series: Series) -> Result<Vec<String>> {
    let prefix = format!("linux-image-{}.", series.name());
    let names = sh::output(Command::new("apt-cache").args(["pkgnames", &prefix]))?;
    let mut found: Vec<(Vec<u64>, String)> = names
        .lines()
        .filter(|name| name.ends_with("-cloud-amd64"))
        .map(|name| (numbers(name), name.to_owned()))
        .collect();
    found.sort();
    Ok(found.into_iter().rev().map(|(_, name)| name).collect())
}

fn numbers(name: &str) -> Vec<u64> {
    name.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

fn only_entry(folder: &Path, prefix: &str) -> Result<PathBuf> {
    let entries = fs::read_dir(folder).with_context(|| format!("vm: read {}", folder.display()))?;
    entries
        .flatten()
        .find(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path())
        .with_context(|| format!("vm: {}: holds no {prefix}*", folder.display()))
}
