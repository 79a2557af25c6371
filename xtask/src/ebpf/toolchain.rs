//! The private toolchain: Debian's `rustc-web` with its prebuilt `core` for BPF, LLVM, and `bpf-linker`, unpacked into the cache. It needs
//! no root and installs nothing on the system.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::apt::Apt;
use crate::cache;
use crate::sh::{output, run_quiet};

const PACKAGES: [&str; 6] = [
    "rustc-web",
    "libstd-rust-web-1.96",
    "libstd-rust-web-dev",
    "libstd-rust-web-dev-bpf",
    "libllvm22",
    "llvm-22",
];
const SUITES: [&str; 2] = ["bookworm", "bookworm-security"];
const LINKER: &str = "0.13.0";
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";

/// A toolchain that is unpacked and built.
pub struct Toolchain {
    root: PathBuf,
}

/// Downloads and builds the parts that are not in the cache.
pub fn prepare() -> Result<Toolchain> {
    let toolchain = Toolchain { root: cache::dir("ebpf-toolchain")? };
    // Without the lock, two processes could unpack into the same folder.
    let lock = fs::File::create(toolchain.root.join("lock"))?;
    lock.lock().context("ebpf: lock the toolchain")?;
    if !toolchain.root.join("PACKAGES").exists() {
        toolchain.unpack()?;
    }
    if !toolchain.linker().exists() {
        toolchain.build_linker()?;
    }
    Ok(toolchain)
}

impl Toolchain {
    pub fn rustc(&self) -> PathBuf {
        self.root.join("sysroot/usr/bin/rustc")
    }

    pub fn linker(&self) -> PathBuf {
        self.root.join("cargo/bin/bpf-linker")
    }

    /// Returns a command that runs a program of the private LLVM with its libraries.
    pub fn llvm(&self, program: &str) -> Command {
        let mut command = Command::new(self.root.join("sysroot/usr/lib/llvm-22/bin").join(program));
        command.env("LD_LIBRARY_PATH", self.libraries());
        command
    }

    pub fn libraries(&self) -> PathBuf {
        self.root.join("sysroot").join(LIBRARIES)
    }

    /// Returns the versions that the bytes of the object depend on, one per line.
    pub fn versions(&self) -> Result<String> {
        let packages =
            fs::read_to_string(self.root.join("PACKAGES")).context("ebpf: the toolchain's versions")?;
        let cargo = output(Command::new(cargo()).arg("--version"))?;
        Ok(format!("{packages}bpf-linker {LINKER}\n{cargo}"))
    }

    fn unpack(&self) -> Result<()> {
        if std::env::consts::ARCH != "x86_64" {
            bail!(
                "ebpf: the toolchain is Debian's for amd64: build the object there, or use the committed one"
            );
        }
        let sysroot = self.root.join("sysroot");
        // An interrupted run may have left files of another version.
        let _ = fs::remove_dir_all(&sysroot);
        let apt = Apt::with_lists(self.root.join("apt"), &SUITES)?;
        let versions = apt
            .unpack(&PACKAGES, &sysroot)
            .context("ebpf: Debian 12 (bookworm, with its security archive) has the toolchain's packages")?;
        fs::write(self.root.join("PACKAGES"), versions.join("\n") + "\n")?;
        Ok(())
    }

    /// Builds `bpf-linker` with the private LLVM. Its build only checks that `llvm-config` exists.
    fn build_linker(&self) -> Result<()> {
        let llvm = self.root.join("llvm");
        for folder in ["bin", "lib"] {
            fs::create_dir_all(llvm.join(folder))?;
        }
        fs::write(llvm.join("bin/llvm-config"), "#!/bin/sh\nexit 1\n")?;
        let library = self.libraries().join("libLLVM.so.22.1");
        for name in ["libLLVM.so", "libLLVM-22.so"] {
            let link = llvm.join("lib").join(name);
            let _ = fs::remove_file(&link);
            std::os::unix::fs::symlink(&library, link)?;
        }
        eprintln!("ebpf: building bpf-linker {LINKER}");
        let built = self.root.join("linker-target");
        run_quiet(
            Command::new(cargo())
                .args(["install", "bpf-linker", "--version", LINKER, "--locked"])
                .args(["--no-default-features", "--features", "llvm-22"])
                // LLVM does the work, so the linker itself needs no optimisation.
                .args(["--profile", "dev"])
                .env("CARGO_PROFILE_DEV_DEBUG", "0")
                .arg("--root")
                .arg(self.root.join("cargo"))
                .arg("--target-dir")
                .arg(&built)
                .env("LLVM_PREFIX", &llvm)
                .env("LD_LIBRARY_PATH", self.libraries()),
        )?;
        let _ = fs::remove_dir_all(built);
        Ok(())
    }
}

/// Returns the cargo that runs xtask.
pub fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".into())
}
