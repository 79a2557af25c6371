//! The real Helm.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use longwave_testing::gate;
use serde_json::Value;

use crate::cache;

/// Helm with a chart.
pub struct Helm {
    binary: PathBuf,
    chart: PathBuf,
}

/// Namespace of the release. The name of the release is the same.
pub const NAMESPACE: &str = "longwave";

// === impl Helm ===

impl Helm {
    /// Returns the Helm that `cargo xtask peers` builds. Skips the test if it is missing.
    ///
    /// # Panics
    /// If it is missing and `LONGWAVE_REQUIRE_PEERS` is `1`.
    pub fn with(chart: PathBuf) -> Self {
        let binary = folder().join("helm");
        if !binary.is_file() {
            let missing = format!("no Helm at {} (build it: cargo xtask peers helm)", binary.display());
            gate::missing(&missing, "LONGWAVE_REQUIRE_PEERS");
        }
        Self { binary, chart }
    }

    /// Renders the chart with `values` for a version of Kubernetes and returns the manifests.
    ///
    /// # Errors
    /// If Helm refuses, with its message.
    pub fn template(&self, kubernetes: &str, values: &Value) -> Result<String, String> {
        let output = self.run(&["template", NAMESPACE], &["--kube-version", kubernetes], values);
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    /// Checks the chart with `values`. Returns the findings of Helm, without those of the severity `INFO`.
    pub fn lint(&self, values: &Value) -> Vec<String> {
        let output = self.run(&["lint"], &["--strict", "--quiet"], values);
        let text = String::from_utf8_lossy(&output.stdout);
        let finding = |line: &&str| line.starts_with("[WARNING]") || line.starts_with("[ERROR]");
        let mut findings: Vec<String> = text.lines().filter(finding).map(str::to_owned).collect();
        if !output.status.success() && findings.is_empty() {
            findings.push(format!("{}: {text}", output.status));
        }
        findings
    }

    /// Runs `helm <command> <chart> <flags>` with `values` on its stdin.
    fn run(&self, command: &[&str], flags: &[&str], values: &Value) -> Output {
        let mut child = Command::new(&self.binary)
            .args(command)
            .arg(&self.chart)
            .args(["--namespace", NAMESPACE, "--values", "-"])
            .args(flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Closes the pipe afterwards.
        child.stdin.take().unwrap().write_all(values.to_string().as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }
}

/// Returns the file with the definition of a kind of the Prometheus operator, for example `podmonitors`.
pub fn definition(kind: &str) -> PathBuf {
    folder().join(format!("{kind}.yaml"))
}

fn folder() -> PathBuf {
    cache::peers().join("helm-3.22.0")
}
