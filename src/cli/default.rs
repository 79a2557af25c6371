//! The configuration without `--config`: a table every 5 seconds, with the receiver and the sources of names that this host can run.

use std::fmt::Display;

use super::check::host_facts::{docker_socket, is_pod, lacks_cgroup2};
use super::check::view::View;

/// Configuration that every host with BPF can run: its only source of names is the cgroup tree.
const EMBEDDED: &str = include_str!("../../config/examples/default.yaml");

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
    let Err(reason) = try_bpf() else {
        return Defaults { configs: configs(EMBEDDED, view), warning: None };
    };
    Defaults {
        configs: configs(&EMBEDDED.replace("bpf", "sock_diag"), view),
        warning: Some(less_exact(&reason)),
    }
}

/// Returns the warning for the receiver `sock_diag`, used because of `reason`.
pub(super) fn less_exact(reason: &impl Display) -> String {
    format!(
        "BPF cannot run here, so the receiver sock_diag reports the connections. It is less exact: the time of an open is not known, \
         received bytes of a closed connection can be off by one (longwave.exact=false), lost segments are not counted, connections that \
         are reset within an interval can be missing, and processes of other users have no name (docs/DATA.md#without-bpf). To get the \
         rest: {reason}"
    )
}

/// What resolves names on this host.
#[derive(Default)]
pub(super) struct Names {
    /// The section `extensions`; empty if there are none.
    pub(super) yaml: String,
    /// Ids of the extensions, in order of precedence.
    pub(super) extensions: Vec<&'static str>,
    /// Processors that set names, each with its settings.
    pub(super) processors: Vec<(&'static str, String)>,
}

/// Returns the values of `--config`: `embedded`, then a configuration with the extensions that `view` has the sources for.
fn configs(embedded: &str, view: &View) -> Vec<String> {
    let Names { yaml, extensions, processors } = names(view);
    let mut configs = vec![format!("yaml:{embedded}")];
    if processors != [("workload", "sources: [cgroup]".to_owned())] {
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

/// Returns what resolves names: the extensions that `view` has the sources for, and the cgroup tree. Where that is not mounted, as in some
/// containers, names are those of processes.
pub(super) fn names(view: &View) -> Names {
    let kubernetes = is_pod(view).then(|| ("kubernetes", String::new()));
    let docker = docker_socket(view).map(|socket| ("docker", format!("endpoint: 'unix://{socket}'")));
    let found: Vec<(&str, String)> = kubernetes.into_iter().chain(docker).collect();
    let last = if lacks_cgroup2(view) { "process" } else { "cgroup" };
    let extensions: Vec<&str> = found.iter().map(|(id, _)| *id).collect();
    let sources: Vec<&str> = extensions.iter().copied().chain([last]).collect();
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
