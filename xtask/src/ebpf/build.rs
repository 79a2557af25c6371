//! Building the object so that equal sources and versions give equal bytes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::toolchain::{Toolchain, cargo};
use super::{inspect, line_info};
use crate::cache::workspace;
use crate::sh::run_quiet;

/// Fixed, since the path goes into crate hashes, and from there into symbols and their order.
const PLACE: &str = "/tmp/longwave-ebpf-build";
const TARGET: &str = "bpfel-unknown-none";

/// Builds, strips and looks through the object; its path.
pub fn object(toolchain: &Toolchain) -> Result<PathBuf> {
    let place = Path::new(PLACE);
    fs::create_dir_all(place)?;
    let lock = fs::File::create(place.join("lock"))
        .with_context(|| format!("ebpf: {PLACE}: is it another user's? Remove it"))?;
    lock.lock()?;
    let sources = place.join("src");
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

    let mut flags = vec![format!("--remap-path-prefix={PLACE}=/longwave")];
    // Mirrors have other folder names than the registry itself.
    for registry in fs::read_dir(home.join("registry/src")).into_iter().flatten().flatten() {
        flags.push(format!("--remap-path-prefix={}=/cargo", registry.path().display()));
    }
    flags.push("-Clinker=".to_owned() + &toolchain.linker().display().to_string());
    flags.extend(["-Clink-arg=--btf", "-Cdebuginfo=2", "-Ctarget-cpu=v3"].map(String::from));
    eprintln!("ebpf: building the programs");
    // Without address-space randomization: LLVM orders BTF's forward types by pointer.
    run_quiet(
        Command::new("setarch")
            .args(["-R", &cargo(), "build", "--release", "--locked", "--target", TARGET])
            .current_dir(&programs)
            .env("CARGO_TARGET_DIR", place.join("target"))
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
            .env("CARGO_INCREMENTAL", "0")
            .env("RUSTC", toolchain.rustc())
            // Both use the BPF target's inline assembly, which is not stable yet.
            .env("RUSTC_BOOTSTRAP", "aya_ebpf,longwave_bpf")
            .env("LD_LIBRARY_PATH", toolchain.libraries())
            .env_remove("RUSTFLAGS")
            .env_remove("RUSTUP_TOOLCHAIN"),
    )?;
    let stripped = place.join("longwave.bpf.o");
    let linked = linked("longwave-bpf");
    // BTF keeps no section's address: loaders ignore its relocations.
    let without = ["-g", "--remove-section=.rel.BTF", "--remove-section=.rel.BTF.ext"];
    run_quiet(toolchain.llvm("llvm-strip").args(without).arg(linked).arg("-o").arg(&stripped))?;
    let section = place.join("btf-ext");
    fs::write(&section, line_info::without(&fs::read(&stripped)?).context("ebpf: strip line information")?)?;
    let update = format!("--update-section={}={}", line_info::SECTION, section.display());
    run_quiet(toolchain.llvm("llvm-objcopy").arg(update).arg(&stripped))?;
    inspect::verify(&stripped)?;
    Ok(stripped)
}

/// The object of the benches, which [`object`] builds too.
pub fn bench_object() -> PathBuf {
    linked("longwave-bpf-bench")
}

fn linked(name: &str) -> PathBuf {
    Path::new(PLACE).join("target").join(TARGET).join("release").join(name)
}

/// Copies a folder of sources.
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
