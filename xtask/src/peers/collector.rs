//! The OpenTelemetry Collector, with the components that Longwave has too.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::require_go;
use crate::{cache, sh};

/// Not newer, because the module proxy lacks modules that the newer `attributes` processor and `file` exporter need.
const VERSION: &str = "0.161.0";
/// Version of the confmap providers, which follows the stable modules of the Collector.
const PROVIDERS: &str = "1.67.0";
const CONTRIB: &str = "github.com/open-telemetry/opentelemetry-collector-contrib";

/// Returns `<cache>/peers/otelcol-0.161.0/otelcol`.
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
  - gomod: go.opentelemetry.io/collector/receiver/nopreceiver v{VERSION}
  - gomod: go.opentelemetry.io/collector/receiver/otlpreceiver v{VERSION}
processors:
  - gomod: go.opentelemetry.io/collector/processor/batchprocessor v{VERSION}
  - gomod: go.opentelemetry.io/collector/processor/memorylimiterprocessor v{VERSION}
  - gomod: {CONTRIB}/processor/attributesprocessor v{VERSION}
  - gomod: {CONTRIB}/processor/resourceprocessor v{VERSION}
exporters:
  - gomod: go.opentelemetry.io/collector/exporter/debugexporter v{VERSION}
  - gomod: go.opentelemetry.io/collector/exporter/otlpexporter v{VERSION}
  - gomod: go.opentelemetry.io/collector/exporter/otlphttpexporter v{VERSION}
  - gomod: {CONTRIB}/exporter/fileexporter v{VERSION}
extensions:
  - gomod: {CONTRIB}/extension/bearertokenauthextension v{VERSION}
  - gomod: {CONTRIB}/extension/healthcheckextension v{VERSION}
  - gomod: {CONTRIB}/extension/storage/filestorage v{VERSION}
providers:
  - gomod: go.opentelemetry.io/collector/confmap/provider/fileprovider v{PROVIDERS}
  - gomod: go.opentelemetry.io/collector/confmap/provider/envprovider v{PROVIDERS}
  - gomod: go.opentelemetry.io/collector/confmap/provider/yamlprovider v{PROVIDERS}
  - gomod: go.opentelemetry.io/collector/confmap/provider/httpprovider v{PROVIDERS}
  - gomod: go.opentelemetry.io/collector/confmap/provider/httpsprovider v{PROVIDERS}
"
    )
}
