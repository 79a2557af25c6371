//! A current Prometheus, built from Go modules. Debian's has no OTLP receiver and no native histograms with custom buckets.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{download, require_go};
use crate::{cache, sh};

/// Version of the module. That of the program is 3.10.0.
const VERSION: &str = "0.310.0";

/// Returns `<cache>/peers/prometheus-0.310.0/prometheus`.
pub fn path() -> Result<PathBuf> {
    Ok(folder()?.join("prometheus"))
}

fn folder() -> Result<PathBuf> {
    Ok(cache::root()?.join(format!("peers/prometheus-{VERSION}")))
}

/// Builds Prometheus, unless the cache contains it, and returns its path.
pub fn build() -> Result<PathBuf> {
    let binary = path()?;
    if binary.is_file() {
        return Ok(binary);
    }
    require_go("prometheus")?;
    let folder = folder()?;
    fs::create_dir_all(&folder).with_context(|| format!("peers: create {}", folder.display()))?;
    compile(&folder, &binary)?;
    Ok(binary)
}

fn compile(folder: &Path, binary: &Path) -> Result<()> {
    eprintln!("peers: prometheus: building {VERSION} in {}", folder.display());
    let module = format!("github.com/prometheus/prometheus@v{VERSION}");
    let source = download(&module, folder)?;
    let built = folder.join(format!("prometheus-{}", std::process::id()));
    // Built in the module's own folder, because `go install` refuses its `replace` directives. Its `go.work` names folders that the module
    // does not contain. The tag leaves out the service discoveries, which are most of the code.
    sh::run_quiet(
        Command::new("nice")
            .args(["go", "build", "-trimpath", "-tags=remove_all_sd", "-ldflags=-s -w", "-o"])
            .arg(&built)
            .arg("./cmd/prometheus")
            .current_dir(source.folder)
            .env("GOWORK", "off")
            .env("CGO_ENABLED", "0"),
    )?;
    // A rename is atomic, so a test never starts a half-written binary.
    fs::rename(&built, binary).with_context(|| format!("peers: prometheus: move to {}", binary.display()))
}
