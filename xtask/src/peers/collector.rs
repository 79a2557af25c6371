//! The OpenTelemetry Collector. It is built from core modules only, because the module proxy lacks some modules of contrib.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::require_go;
use crate::{cache, sh};

/// Not 0.163 or 0.164, because the module proxy lacks some of their modules.
const VERSION: &str = "0.162.0";
/// Version of the confmap providers, which follows the stable modules of the Collector.
const PROVIDERS: &str = "1.68.0";

/// Returns `<cache>/peers/otelcol-0.162.0/otelcol`.
pub fn path() -> Result<PathBuf> {
    Ok(folder()?.join("otelcol"))
}

fn folder() -> Result<PathBuf> {
    Ok(cache::root()?.join(format!("peers/otelcol-{VERSION}")))
}

/// Builds the Collector, unless the cache contains one with the same manifest, and returns its path.
pub fn build() -> Result<PathBuf> {
    let folder = folder()?;
    let binary = path()?;
    let work = folder.join(format!("build-{}", std::process::id()));
    let stamp = folder.join("manifest.yaml");
    let wanted = manifest(Path::new("_build"));
    if binary.is_file() && fs::read_to_string(&stamp).is_ok_and(|built| built == wanted) {
        return Ok(binary);
    }

    require_go("collector")?;
    fs::create_dir_all(&work).with_context(|| format!("peers: create {}", work.display()))?;
    let built = compile(&work);
    if built.is_ok() {
        // A rename is atomic, so a test never starts a half-written binary.
        fs::rename(work.join("_build/otelcol"), &binary)
            .with_context(|| format!("peers: collector: move to {}", binary.display()))?;
        fs::write(&stamp, &wanted).with_context(|| format!("peers: collector: write {}", stamp.display()))?;
    }
    // Ignores an error: a build folder that remains only uses disk space, and the error of the build is more important.
    let _ = fs::remove_dir_all(&work);
    built?;
    Ok(binary)
}

fn compile(work: &Path) -> Result<()> {
    let manifest_file = work.join("manifest.yaml");
    fs::write(&manifest_file, manifest(&work.join("_build")))
        .with_context(|| format!("peers: collector: write {}", manifest_file.display()))?;
    eprintln!("peers: collector: building {VERSION} in {}", work.display());
    let builder = format!("go.opentelemetry.io/collector/cmd/builder@v{VERSION}");
    sh::run_quiet(Command::new("go").args(["install", &builder]).env("GOBIN", work))?;
    sh::run_quiet(Command::new(work.join("builder")).arg("--config").arg(&manifest_file).current_dir(work))
}

fn manifest(output: &Path) -> String {
    let output = output.display();
    format!(
        "\
dist:
  name: otelcol
  description: a Collector for Longwave's tests
  version: {VERSION}
  output_path: {output}
receivers:
  - gomod: go.opentelemetry.io/collector/receiver/otlpreceiver v{VERSION}
exporters:
  - gomod: go.opentelemetry.io/collector/exporter/debugexporter v{VERSION}
  - gomod: go.opentelemetry.io/collector/exporter/otlphttpexporter v{VERSION}
providers:
  - gomod: go.opentelemetry.io/collector/confmap/provider/fileprovider v{PROVIDERS}
  - gomod: go.opentelemetry.io/collector/confmap/provider/envprovider v{PROVIDERS}
  - gomod: go.opentelemetry.io/collector/confmap/provider/yamlprovider v{PROVIDERS}
"
    )
}
