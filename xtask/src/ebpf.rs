//! `cargo xtask ebpf`: builds the BPF object that is committed and that `cargo build` embeds.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::cache::workspace;

mod build;
mod inspect;
mod line_info;
mod toolchain;

/// Path of the committed object.
const OBJECT: &str = "ebpf/object/longwave.bpf.o";
/// Path of the file with the versions of the toolchain that built the committed object.
const TOOLCHAIN_FILE: &str = "ebpf/object/TOOLCHAIN";

/// Subcommands of `cargo xtask ebpf`.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Build the object with a private toolchain (needs no root, installs nothing on the system).
    Build {
        /// Change nothing, but compare with the committed object, if the versions of its toolchain are available.
        #[arg(long)]
        check: bool,
        /// Write the object to this path instead. With `LONGWAVE_BPF_OBJECT` set to it, tests load it.
        #[arg(long)]
        output: Option<PathBuf>,
    },
    /// Search an object for calls that the programs must not contain (`memset`, `memcpy`).
    Verify {
        /// Path of the object. The default is the committed one.
        object: Option<PathBuf>,
    },
}

/// Runs `cargo xtask ebpf …`.
pub fn main(command: &Command) -> Result<()> {
    match command {
        Command::Build { check, output } => build(*check, output.as_deref()),
        Command::Verify { object } => {
            let object = object.clone().unwrap_or_else(|| workspace().join(OBJECT));
            inspect::verify(&object)?;
            println!("{}: no calls into memset, memcpy or their like", object.display());
            Ok(())
        }
    }
}

/// Builds the programs of the benches and returns the path of their object.
pub fn bench_object() -> Result<PathBuf> {
    build::object(&toolchain::prepare()?).map(|_| build::bench_object())
}

fn build(check: bool, output: Option<&Path>) -> Result<()> {
    let toolchain = toolchain::prepare()?;
    let built = build::object(&toolchain)?;
    let versions = toolchain.versions()?;
    let committed = workspace().join(OBJECT);
    let record = workspace().join(TOOLCHAIN_FILE);
    if let Some(output) = output {
        copy(&built, output)?;
    }
    if check {
        return compare(&built, &committed, &versions, &std::fs::read_to_string(&record).unwrap_or_default());
    }
    if output.is_none() {
        copy(&built, &committed)?;
        std::fs::write(&record, versions).with_context(|| format!("write {}", record.display()))?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::copy(from, to).with_context(|| format!("copy {} to {}", from.display(), to.display()))?;
    println!("{}: {} bytes", to.display(), std::fs::metadata(to)?.len());
    Ok(())
}

/// Compares the bytes, unless the versions of the toolchain differ: the bytes may then differ too.
fn compare(built: &Path, committed: &Path, versions: &str, recorded: &str) -> Result<()> {
    if versions != recorded {
        println!(
            "ebpf: bytes not compared: the toolchain's versions differ from those in {TOOLCHAIN_FILE}:\n{versions}"
        );
        return Ok(());
    }
    let (new, old) = (std::fs::read(built)?, std::fs::read(committed)?);
    if new != old {
        bail!(
            "ebpf: {} ({} bytes) differs from the object that its sources build with the same toolchain ({}, {} bytes): \
             run `cargo xtask ebpf build` and commit the object",
            committed.display(),
            old.len(),
            built.display(),
            new.len()
        );
    }
    println!("ebpf: {OBJECT} is equal to the object that its sources build");
    Ok(())
}
