//! Kubernetes and etcd, built from Go modules. etcd has the version of Kubernetes' go.mod, because with Debian's etcd the API server cannot
//! stream listings. containerd, runc, the CNI plugins and iptables come from Debian. A plain informer is built with the modules of
//! Kubernetes: a test compares its cost with Longwave's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{download, require_go};
use crate::{cache, sh};

const VERSION: &str = "1.34.4";
/// The staging modules (`k8s.io/api`, …) are published under v0 with the same minor and patch numbers.
const STAGING: &str = "v0.34.4";

/// The programs of a cluster of one node.
const PROGRAMS: [&str; 6] =
    ["kubelet", "kube-proxy", "kube-scheduler", "kube-controller-manager", "kube-apiserver", ETCD];
/// etcd is not in Kubernetes' `cmd/`, unlike the other programs: see [`ETCD_PACKAGE`].
const ETCD: &str = "etcd";
const ETCD_PACKAGE: &str = "go.etcd.io/etcd/server/v3";
/// The client of administrators.
const CLIENT: &str = "kubectl";
/// The informer whose cost is compared with Longwave's. Its source is in this repository.
const INFORMER: &str = "informer";
const INFORMER_SOURCE: &str = include_str!("informer/main.go");
/// Copy of the source that the informer was built from, in the folder of the programs.
const INFORMER_STAMP: &str = "informer.go";

/// Folder of the built programs in the folder of the build.
const BIN: &str = "bin";

/// Programs that a node needs, and the Debian package of each.
const DEBIAN: [(&str, &str); 7] = [
    ("/usr/bin/containerd", "containerd"),
    ("/usr/bin/ctr", "containerd"),
    ("/usr/sbin/runc", "runc"),
    ("/usr/lib/cni/ptp", "containernetworking-plugins"),
    ("/usr/sbin/iptables", "iptables"),
    ("/usr/bin/openssl", "openssl"),
    ("/usr/bin/curl", "curl"),
];

/// Returns `<cache>/peers/kubernetes-1.34.4`, which has one file for each of [`PROGRAMS`], [`CLIENT`] and [`INFORMER`].
pub fn folder() -> Result<PathBuf> {
    Ok(cache::root()?.join(format!("peers/kubernetes-{VERSION}")))
}

/// Installs the Debian packages and builds Kubernetes, unless both exist. Returns the folder of the programs.
pub fn build() -> Result<PathBuf> {
    install()?;
    build_programs(&[&PROGRAMS[..], &[CLIENT, INFORMER]].concat())
}

/// Builds kubectl, unless it exists, and returns its path.
pub fn build_client() -> Result<PathBuf> {
    Ok(build_programs(&[CLIENT])?.join(CLIENT))
}

/// Returns the folder of the programs. If something that a cluster needs is missing, returns an error that names the remedy.
pub fn check() -> Result<PathBuf> {
    let folder = folder()?;
    let missing = missing();
    if !missing.is_empty() {
        bail!("cluster: not installed: {}: run `cargo xtask peers kubernetes`", missing.join(", "));
    }
    if !ready(&folder, &PROGRAMS) {
        bail!("cluster: no Kubernetes in {}: run `cargo xtask peers kubernetes`", folder.display());
    }
    Ok(folder)
}

fn build_programs(programs: &[&str]) -> Result<PathBuf> {
    let folder = folder()?;
    fs::create_dir_all(&folder).with_context(|| format!("peers: create {}", folder.display()))?;
    // With the lock, a second build waits for the first and finds its programs.
    let lock = fs::File::create(folder.join("lock")).context("peers: kubernetes: create the lock")?;
    lock.lock().context("peers: kubernetes: wait for another build")?;
    let programs: Vec<&str> =
        programs.iter().filter(|program| !ready(&folder, &[program])).copied().collect();
    if programs.is_empty() {
        return Ok(folder);
    }
    require_go("kubernetes")?;
    let work = folder.join("build");
    fs::create_dir_all(&work).with_context(|| format!("peers: create {}", work.display()))?;
    let built = compile(&work, &programs);
    if built.is_ok() {
        // A rename is atomic, so a cluster never starts a half-written binary.
        for program in &programs {
            fs::rename(work.join(BIN).join(program), folder.join(program))
                .with_context(|| format!("peers: kubernetes: move {program} to {}", folder.display()))?;
        }
        if programs.contains(&INFORMER) {
            fs::write(folder.join(INFORMER_STAMP), INFORMER_SOURCE)
                .with_context(|| format!("peers: kubernetes: write to {}", folder.display()))?;
        }
    }
    // Ignores an error: a build folder that remains only uses disk space, and the error of the build is more important.
    let _ = fs::remove_dir_all(&work);
    built?;
    Ok(folder)
}

/// Returns whether the cache contains the programs. The name of the folder contains their version. The informer is only current if it was
/// built from the current source.
fn ready(folder: &Path, programs: &[&str]) -> bool {
    let current = |program: &str| {
        program != INFORMER
            || fs::read_to_string(folder.join(INFORMER_STAMP)).is_ok_and(|built| built == INFORMER_SOURCE)
    };
    programs.iter().all(|program| folder.join(program).is_file() && current(program))
}

/// Installs the Debian packages that are missing. If that fails, the error names them.
fn install() -> Result<()> {
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    eprintln!("peers: kubernetes: installing {}", missing.join(" "));
    let install = sh::run_quiet(
        Command::new("apt-get")
            .args(["install", "-y", "-qq", "--no-install-recommends"])
            .args(&missing)
            .env("DEBIAN_FRONTEND", "noninteractive"),
    );
    install.with_context(|| {
        format!("peers: kubernetes: needs `apt-get install {}` on Debian 12, as root", missing.join(" "))
    })
}

/// Returns the packages that are not installed.
fn missing() -> Vec<&'static str> {
    let absent = DEBIAN.iter().filter(|(program, _)| !Path::new(program).exists());
    let mut packages: Vec<_> = absent.map(|(_, package)| *package).collect();
    packages.dedup();
    packages
}

fn compile(work: &Path, programs: &[&str]) -> Result<()> {
    eprintln!("peers: kubernetes: building {} {VERSION} in {}", programs.join(" "), work.display());
    let module = format!("k8s.io/kubernetes@v{VERSION}");
    let source = download(&module, work)?;
    let original = read(&source.go_mod)?;
    fs::write(work.join("go.mod"), go_mod(&original)).context("peers: kubernetes: write go.mod")?;
    // The build adds the checksums of the staging modules, after it has checked them against the checksum database.
    fs::write(work.join("go.sum"), read(&source.folder.join("go.sum"))?)
        .context("peers: kubernetes: write go.sum")?;
    fs::create_dir_all(work.join(INFORMER)).context("peers: kubernetes: create the informer's folder")?;
    fs::write(work.join(INFORMER).join("main.go"), INFORMER_SOURCE)
        .context("peers: kubernetes: write the informer's source")?;
    let bin = work.join(BIN);
    // One command builds all programs, so that shared packages are compiled once and the programs are linked in parallel.
    sh::run_quiet(
        Command::new("nice")
            .args(["go", "build", "-mod=mod", "-trimpath", "-buildvcs=false", "-ldflags"])
            .arg(format!("-s -w -X k8s.io/component-base/version.gitVersion=v{VERSION}"))
            .arg("-o")
            .arg(format!("{}/", bin.display()))
            .args(programs.iter().map(|program| package(program)))
            .env("CGO_ENABLED", "0")
            .current_dir(work),
    )?;
    if programs.contains(&ETCD) {
        // `go` names a program after its package.
        fs::rename(bin.join("server"), bin.join(ETCD)).context("peers: kubernetes: etcd was not built")?;
    }
    Ok(())
}

fn package(program: &str) -> String {
    match program {
        ETCD => ETCD_PACKAGE.to_owned(),
        INFORMER => format!("./{INFORMER}"),
        program => format!("k8s.io/kubernetes/cmd/{program}"),
    }
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("peers: kubernetes: read {}", path.display()))
}

/// Turns Kubernetes' own go.mod into that of a module that requires Kubernetes. Its replacements by `./staging` work only in its
/// repository. They become the published modules, so that every version is the released one.
fn go_mod(original: &str) -> String {
    let mut ours = String::new();
    let mut required = false;
    for line in original.lines() {
        let unversioned = line.trim_start().starts_with("k8s.io/") && line.contains(" v0.0.0");
        if line.starts_with("module ") {
            ours.push_str("module longwave.test/kubernetes");
        } else if let Some((name, path)) = line.split_once("=> ./staging/src/") {
            ours.push_str(&format!("{name}=> {path} {STAGING}"));
        } else if unversioned && !line.contains(" v0.0.0-") {
            ours.push_str(&line.replacen(" v0.0.0", &format!(" {STAGING}"), 1));
        } else {
            ours.push_str(line);
        }
        ours.push('\n');
        if line.starts_with("require (") && !required {
            required = true;
            ours.push_str(&format!("\tk8s.io/kubernetes v{VERSION}\n"));
        }
    }
    ours
}

#[cfg(test)]
mod tests;
