//! The configuration without `--config`: a table every 5 seconds, with names from the sources that this host has.

use super::check::host_facts::{docker_socket, is_pod};
use super::check::view::View;

/// Configuration that every host can run: its only source of names is the cgroup tree.
const EMBEDDED: &str = include_str!("../../config/examples/default.yaml");

/// Returns the values of `--config`: the embedded file, then a configuration with the extensions that `view` has the sources for.
pub(super) fn configs(view: &View) -> Vec<String> {
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
