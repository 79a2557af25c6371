//! Builds the object. The same sources and versions of the toolchain give the same bytes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::toolchain::{Toolchain, cargo};
use super::{inspect, line_info};
use crate::cache::workspace;
use crate::sh::run_quiet;

/// Folder of the build. It is fixed, because the hashes of the crates, and so their symbols and the order of the symbols, depend on the
/// path.
const FOLDER: &str = "/tmp/longwave-ebpf-build";
const TARGET: &str = "bpfel-unknown-none";

/// Builds, strips and verifies the object, and returns its path.
pub fn object(toolchain: &Toolchain) -> Result<PathBuf> {
    let folder = Path::new(FOLDER);
    fs::create_dir_all(folder)?;
    let lock = fs::File::create(folder.join("lock"))
        .with_context(|| format!("ebpf: {FOLDER}: does it belong to another user? Remove it"))?;
    lock.lock()?;
    let sources = folder.join("src");
    let _ = fs::remove_dir_all(&sources);
    for part in ["abi", "table", "programs"] {
        copy(&workspace().join("ebpf").join(part), &sources.join(part))?;
    }
    let programs = sources.join("programs");
    run_quiet(Command::new(cargo()).args(["fetch", "--locked"]).current_dir(&programs))?;
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")))
        .context("ebpf: neither CARGO_HOME nor HOME is set")?;

    let mut flags = vec![format!("--remap-path-prefix={FOLDER}=/longwave")];
    // The folder of a mirror has another name than that of the registry.
    for registry in fs::read_dir(home.join("registry/src")).into_iter().flatten().flatten() {
        flags.push(format!("--remap-path-prefix={}=/cargo", registry.path().display()));
    }
    flags.push("-Clinker=".to_owned() + &toolchain.linker().display().to_string());
    flags.extend(["-Clink-arg=--btf", "-Cdebuginfo=2", "-Ctarget-cpu=v3"].map(String::from));
    eprintln!("ebpf: building the programs");
    // setarch -R disables address-space randomization, because LLVM orders BTF's forward types by pointer.
    run_quiet(
        Command::new("setarch")
            .args(["-R", &cargo(), "build", "--release", "--locked", "--target", TARGET])
            .current_dir(&programs)
            .env("CARGO_TARGET_DIR", folder.join("target"))
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
            .env("CARGO_INCREMENTAL", "0")
            .env("RUSTC", toolchain.rustc())
            // Both use the BPF target's inline assembly, which is not stable yet.
            .env("RUSTC_BOOTSTRAP", "aya_ebpf,longwave_bpf")
            .env("LD_LIBRARY_PATH", toolchain.libraries())
            .env_remove("RUSTFLAGS")
            .env_remove("RUSTUP_TOOLCHAIN"),
    )?;
    let stripped = folder.join("longwave.bpf.o");
    let linked = linked("longwave-bpf");
    // Loaders ignore the relocations of BTF, which contains no address of a section.
    let without = ["-g", "--remove-section=.rel.BTF", "--remove-section=.rel.BTF.ext"];
    run_quiet(toolchain.llvm("llvm-strip").args(without).arg(linked).arg("-o").arg(&stripped))?;
    let section = folder.join("btf-ext");
    fs::write(&section, line_info::without(&fs::read(&stripped)?).context("ebpf: strip line information")?)?;
    let update = format!("--update-section={}={}", line_info::SECTION, section.display());
    run_quiet(toolchain.llvm("llvm-objcopy").arg(update).arg(&stripped))?;
    inspect::verify(&stripped)?;
    Ok(stripped)
}

/// Returns the path of the object of the benches. [`object`] builds it too.
pub fn bench_object() -> PathBuf {
    linked("longwave-bpf-bench")
}

fn linked(name: &str) -> PathBuf {
    Path::new(FOLDER).join("target").join(TARGET).join("release").join(name)
}

/// Copies a folder of sources without `target`.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("ebpf: read {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            if entry.file_name() != "target" {
                copy(&entry.path(), &target)?;
            }
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}
