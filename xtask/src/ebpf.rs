//! `cargo xtask ebpf`: builds the BPF object that users and `cargo build` take ready-made.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::cache::workspace;

mod build;
mod inspect;
mod line_info;
mod toolchain;

/// Where the object and the versions that built it are committed.
const OBJECT: &str = "ebpf/object/longwave.bpf.o";
const RECORD: &str = "ebpf/object/TOOLCHAIN";

/// Subcommands of `cargo xtask ebpf`.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Build the object with a private toolchain (no root, no system install).
    Build {
        /// Change nothing: compare with the committed object, where its toolchain's versions are at hand.
        #[arg(long)]
        check: bool,
        /// Write the object here instead; `LONGWAVE_BPF_OBJECT` makes tests load it.
        #[arg(long)]
        output: Option<PathBuf>,
    },
    /// Look through an object for calls that the sources must not make (`memset`, `memcpy`).
    Verify {
        /// The object; the committed one if not given.
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

/// Builds the programs that Longwave's cost is compared with; their object's path.
pub fn bench_object() -> Result<PathBuf> {
    build::object(&toolchain::prepare()?).map(|_| build::bench_object())
}

fn build(check: bool, output: Option<&Path>) -> Result<()> {
    let toolchain = toolchain::prepare()?;
    let built = build::object(&toolchain)?;
    let versions = toolchain.versions()?;
    let committed = workspace().join(OBJECT);
    let record = workspace().join(RECORD);
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

/// Bytes are reproducible for equal versions only.
fn compare(built: &Path, committed: &Path, versions: &str, recorded: &str) -> Result<()> {
    if versions != recorded {
        println!(
            "ebpf: bytes not compared: the toolchain's versions differ from those in {RECORD}:\n{versions}"
        );
        return Ok(());
    }
    let (new, old) = (std::fs::read(built)?, std::fs::read(committed)?);
    if new != old {
        bail!(
            "ebpf: {} ({} bytes) differs from what its sources give with the same toolchain ({}, {} bytes): \
             run `cargo xtask ebpf build` and commit the object",
            committed.display(),
            old.len(),
            built.display(),
            new.len()
        );
    }
    println!("ebpf: {OBJECT} is what its sources give, byte for byte");
    Ok(())
}
