//! The configuration without `--config`: a table every 5 seconds, with the receiver and the sources of names that this host can run.

use std::fmt::Display;

use super::check::host_facts::{docker_socket, is_pod};
use super::check::view::View;

/// Configuration that every host with BPF can run: its only source of names is the cgroup tree.
const EMBEDDED: &str = include_str!("../../config/examples/default.yaml");

/// Replaces the receiver of the embedded configuration.
const WITHOUT_BPF: &str =
    "receivers: {bpf: null, sock_diag: {}}\nservice: {pipelines: {metrics: {receivers: [sock_diag]}}}\n";

/// The configuration of a host.
pub(super) struct Defaults {
    /// Values of `--config`: the embedded file, then a configuration for what was found.
    pub(super) configs: Vec<String>,
    /// What is less exact than it could be, and the remedy.
    pub(super) warning: Option<String>,
}

/// Returns the configuration for this host: with the extensions that `view` has the sources for, and with the receiver `bpf` unless `try_bpf`
/// fails.
pub(super) fn for_host<E: Display>(view: &View, try_bpf: impl FnOnce() -> Result<(), E>) -> Defaults {
    let mut defaults = Defaults { configs: configs(view), warning: None };
    if let Err(reason) = try_bpf() {
        defaults.configs.push(format!("yaml:{WITHOUT_BPF}"));
        defaults.warning = Some(format!(
            "BPF cannot run here, so the receiver sock_diag reports the connections. It is less exact: the time of an open is not known, \
             received bytes of a closed connection can be off by one (longwave.exact=false), lost segments are not counted, and connections \
             that are reset within an interval can be missing (docs/DATA.md#without-bpf). To get the rest: {reason}"
        ));
    }
    defaults
}

fn configs(view: &View) -> Vec<String> {
    let mut extensions = Vec::new();
    if is_pod(view) {
        extensions.push(("kubernetes", "{}".to_owned()));
    }
    if let Some(socket) = docker_socket(view) {
        extensions.push(("docker", format!("{{endpoint: 'unix://{socket}'}}")));
    }
    let mut configs = vec![format!("yaml:{EMBEDDED}")];
    if !extensions.is_empty() {
        configs.push(format!("yaml:{}", with_extensions(&extensions)));
    }
    configs
}

fn with_extensions(extensions: &[(&str, String)]) -> String {
    let ids: Vec<&str> = extensions.iter().map(|(id, _)| *id).collect();
    let ids = ids.join(", ");
    let settings: String = extensions.iter().map(|(id, settings)| format!("  {id}: {settings}\n")).collect();
    format!(
        "extensions:\n{settings}\
         processors:\n  workload: {{sources: [{ids}, cgroup]}}\n  service: {{sources: [{ids}]}}\n\
         service:\n  extensions: [{ids}]\n  pipelines: {{metrics: {{processors: [workload, service, window]}}}}\n"
    )
}
