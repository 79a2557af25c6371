//! Helm, built from Go modules, and the custom resources of the Prometheus operator, whose objects the chart contains.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{download, require_go};
use crate::{cache, sh};

const VERSION: &str = "3.22.0";
const OPERATOR: &str = "github.com/prometheus-operator/prometheus-operator@v0.85.0";
/// Folder of the definitions in the operator's module.
const DEFINITIONS: &str = "example/prometheus-operator-crd";
/// Definitions that the chart needs.
const KINDS: [&str; 2] = ["podmonitors", "prometheusrules"];

/// Returns `<cache>/peers/helm-3.22.0/helm`. The definitions of the operator are beside it, as `<kind>.yaml`.
pub fn path() -> Result<PathBuf> {
    Ok(folder()?.join("helm"))
}

fn folder() -> Result<PathBuf> {
    Ok(cache::root()?.join(format!("peers/helm-{VERSION}")))
}

/// Builds Helm and copies the definitions, unless both exist, and returns the path of Helm.
pub fn build() -> Result<PathBuf> {
    let folder = folder()?;
    let binary = path()?;
    if binary.is_file() && KINDS.iter().all(|kind| definition(&folder, kind).is_file()) {
        return Ok(binary);
    }
    require_go("helm")?;
    let work = folder.join(format!("build-{}", std::process::id()));
    fs::create_dir_all(&work).with_context(|| format!("peers: create {}", work.display()))?;
    let built = compile(&folder, &work);
    // Ignores an error: a build folder that remains only uses disk space, and the error of the build is more important.
    let _ = fs::remove_dir_all(&work);
    built?;
    Ok(binary)
}

fn compile(folder: &Path, work: &Path) -> Result<()> {
    eprintln!("peers: helm: building {VERSION} in {}", work.display());
    let program = format!("helm.sh/helm/v3/cmd/helm@v{VERSION}");
    sh::run_quiet(
        Command::new("nice")
            .args(["go", "install", "-trimpath", "-ldflags=-s -w", &program])
            .env("GOBIN", work)
            .env("CGO_ENABLED", "0"),
    )?;
    let operator = download(OPERATOR, work)?;
    for kind in KINDS {
        let from = operator.folder.join(DEFINITIONS).join(format!("monitoring.coreos.com_{kind}.yaml"));
        let text =
            fs::read(&from).with_context(|| format!("peers: helm: {OPERATOR} has no {}", from.display()))?;
        fs::write(definition(work, kind), text).context("peers: helm: write a definition")?;
    }
    // A rename is atomic, so a test never starts a half-written binary.
    for name in
        [PathBuf::from("helm"), definition(Path::new(""), KINDS[0]), definition(Path::new(""), KINDS[1])]
    {
        fs::rename(work.join(&name), folder.join(&name))
            .with_context(|| format!("peers: helm: move {} to {}", name.display(), folder.display()))?;
    }
    Ok(())
}

fn definition(folder: &Path, kind: &str) -> PathBuf {
    folder.join(format!("{kind}.yaml"))
}
