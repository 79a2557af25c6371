//! `cargo xtask package`: a Debian package and a tarball with everything that a host needs.

mod debian;
mod tree;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use clap::Args;

use crate::{cache, sh};

/// Options of `package`.
#[derive(Args)]
pub struct Options {
    /// The `longwave` to package. Default: a release build, which is made first.
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// Folder of the package and the tarball.
    #[arg(long, value_name = "DIR", default_value = "target/package")]
    output: PathBuf,
}

/// Version of the workspace.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Makes both files and prints their paths.
pub fn main(options: &Options) -> Result<()> {
    let binary = match &options.binary {
        Some(binary) => binary.clone(),
        None => release_build()?,
    };
    fs::create_dir_all(&options.output)
        .with_context(|| format!("package: create {}", options.output.display()))?;
    let staging = options.output.join("tree");
    if staging.exists() {
        fs::remove_dir_all(&staging).with_context(|| format!("package: remove {}", staging.display()))?;
    }
    tree::write(&staging, &binary)?;
    println!("{}", tarball(&staging, &options.output)?.display());
    println!("{}", debian::package(&staging, &binary, &options.output)?.display());
    fs::remove_dir_all(&staging).with_context(|| format!("package: remove {}", staging.display()))
}

fn release_build() -> Result<PathBuf> {
    let root = cache::workspace();
    sh::run_quiet(
        Command::new("cargo")
            .args(["build", "--release", "--bin", "longwave", "--locked"])
            .current_dir(&root),
    )?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    Ok(target.join("release/longwave"))
}

/// Writes the tree as a tarball, below a folder of its own: `tar -xf … --strip-components=1 -C /` installs it.
fn tarball(staging: &Path, output: &Path) -> Result<PathBuf> {
    let name = format!("longwave-{VERSION}-{}-linux", std::env::consts::ARCH);
    let path = output.join(format!("{name}.tar.gz"));
    sh::run_quiet(
        Command::new("tar")
            .args(["--create", "--gzip", "--sort=name", "--owner=root:0", "--group=root:0"])
            .arg(format!("--transform=s,^\\.,{name},"))
            .arg("--file")
            .arg(&path)
            .arg("--directory")
            .arg(staging)
            .arg("."),
    )?;
    Ok(path)
}
