//! The configuration without `--config`: a table every 5 seconds, with names from the sources that this host has.

use super::check::host_facts::{docker_socket, is_pod};
use super::check::view::View;

/// Configuration that every host can run: its only source of names is the cgroup tree.
const EMBEDDED: &str = include_str!("../../config/examples/default.yaml");

/// What resolves names on this host, besides the cgroup tree.
#[derive(Default)]
pub(super) struct Names {
    /// The section `extensions`; empty if there are none.
    pub(super) yaml: String,
    /// Ids of the extensions, in order of precedence.
    pub(super) extensions: Vec<&'static str>,
    /// Processors that set names, each with its settings.
    pub(super) processors: Vec<(&'static str, String)>,
}

/// Returns the values of `--config`: the embedded file, then a configuration with the extensions that `view` has the sources for.
pub(super) fn configs(view: &View) -> Vec<String> {
    let Names { yaml, extensions, processors } = names(view);
    let mut configs = vec![format!("yaml:{EMBEDDED}")];
    if !extensions.is_empty() {
        let settings: String =
            processors.iter().map(|(id, settings)| format!("  {id}: {{{settings}}}\n")).collect();
        let (ids, extensions) = (processors.iter().map(|(id, _)| *id), extensions.join(", "));
        let chain: Vec<&str> = ids.chain(["window"]).collect();
        configs.push(format!(
            "yaml:{yaml}processors:\n{settings}service:\n  extensions: [{extensions}]\n  \
             pipelines: {{metrics: {{processors: [{}]}}}}\n",
            chain.join(", ")
        ));
    }
    configs
}

/// Returns what resolves names: the extensions that `view` has the sources for, and the cgroup tree.
pub(super) fn names(view: &View) -> Names {
    let kubernetes = is_pod(view).then(|| ("kubernetes", String::new()));
    let docker = docker_socket(view).map(|socket| ("docker", format!("endpoint: 'unix://{socket}'")));
    let found: Vec<(&str, String)> = kubernetes.into_iter().chain(docker).collect();
    let extensions: Vec<&str> = found.iter().map(|(id, _)| *id).collect();
    let sources: Vec<&str> = extensions.iter().copied().chain(["cgroup"]).collect();
    let mut processors = vec![("workload", format!("sources: [{}]", sources.join(", ")))];
    let mut yaml = String::new();
    if !extensions.is_empty() {
        processors.push(("service", format!("sources: [{}]", extensions.join(", "))));
        let settings: String =
            found.iter().map(|(id, settings)| format!("  {id}: {{{settings}}}\n")).collect();
        yaml = format!("extensions:\n{settings}");
    }
    Names { yaml, extensions, processors }
}
