//! What runs without `--config`: a table every 5 seconds, with the names of whoever is there to tell them.

use super::check::host_facts::{docker_socket, is_pod};
use super::check::view::View;

/// With cgroups' names, which need nobody.
const EMBEDDED: &str = include_str!("../../config/examples/default.yaml");

/// The sources of the configuration: the embedded file, and over it the extensions for what was found here.
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
