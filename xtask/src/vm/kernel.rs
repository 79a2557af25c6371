//! Downloads Debian's cloud kernels with apt and unpacks them into the cache, without installing them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::series::KernelSeries;
use crate::apt::Apt;
use crate::cache;

/// An unpacked kernel.
pub struct Kernel {
    /// Folder of the unpacked packages.
    pub folder: PathBuf,
    /// Release as in `uname -r`: `7.2.13+deb14-cloud-amd64`.
    pub release: String,
    /// Path of the compressed image.
    pub image: PathBuf,
    /// Folder of the modules, which are in its subfolders.
    pub modules: PathBuf,
}

/// Returns the kernel of a series: the one in the cache, or else the newest of Debian.
pub fn fetch(series: KernelSeries) -> Result<Kernel> {
    let kernels = cache::dir("kernels")?;
    let folder = kernels.join(series.name);
    if !folder.is_dir() {
        let work = kernels.join(format!("{}-{}", series.name, std::process::id()));
        let root = work.join("root");
        let unpacked = unpack(series, &work, &root);
        if unpacked.is_ok() && !folder.is_dir() {
            fs::rename(&root, &folder)
                .with_context(|| format!("vm: move the kernel to {}", folder.display()))?;
        }
        // Ignores an error: a folder that remains only uses disk space, and the error of the download is more important.
        let _ = fs::remove_dir_all(&work);
        unpacked?;
    }
    Kernel::unpacked_in(folder)
}

fn unpack(series: KernelSeries, work: &Path, root: &Path) -> Result<()> {
    let apt = Apt::with_lists(work.join("apt"), &[series.suite])?;
    let names = apt.names("linux-")?;
    let Some(version) = series.newest_version(&names) else {
        bail!(
            "vm: {} has no package linux-image-*-cloud-amd64 of the series {}: see xtask/src/vm/series.rs",
            series.suite,
            series.name
        );
    };
    apt.unpack(&parts(&version, &names), root)
        .with_context(|| format!("vm: the kernel {version} could not be downloaded"))?;
    Ok(())
}

/// Returns the packages of a kernel's image and modules. Older releases have one package for both, newer ones several.
fn parts(version: &str, names: &[String]) -> Vec<String> {
    ["image", "binary", "modules"]
        .map(|part| format!("linux-{part}-{version}-cloud-amd64"))
        .into_iter()
        .filter(|package| names.contains(package))
        .collect()
}

// === impl Kernel ===

impl Kernel {
    fn unpacked_in(folder: PathBuf) -> Result<Self> {
        for modules in ["lib/modules", "usr/lib/modules"] {
            for entry in fs::read_dir(folder.join(modules)).into_iter().flatten().flatten() {
                let release = entry.file_name().to_string_lossy().into_owned();
                let modules = entry.path();
                let images =
                    [folder.join("boot").join(format!("vmlinuz-{release}")), modules.join("vmlinuz")];
                if let Some(image) = images.into_iter().find(|image| image.is_file()) {
                    return Ok(Self { folder, release, image, modules });
                }
            }
        }
        bail!(
            "vm: {}: contains no kernel with modules: delete the folder, so that it is downloaded again",
            folder.display()
        );
    }

    /// Returns the major and minor version: `7.2`.
    pub fn version(&self) -> &str {
        version(&self.release)
    }
}

/// Returns the major and minor version of a release.
fn version(release: &str) -> &str {
    let minor_ends = release.match_indices(|c: char| !c.is_ascii_digit()).nth(1);
    minor_ends.map_or(release, |(at, _)| &release[..at])
}

#[cfg(test)]
mod tests;
