//! Configuration of `kubernetes`.

use longwave_pipeline::component::{ComponentConfig, Problems};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `kubernetes`: pods and services from the API server.
///
/// ```yaml
/// extensions:
///   kubernetes:
///     node: ${env:NODE_NAME}
///     labels: [app.kubernetes.io/version]
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct KubernetesConfig {
    /// File with the API server's address and credentials. Default: the pod's service account; outside of a pod what `kubectl` uses
    /// (`KUBECONFIG`, `~/.kube/config`).
    #[schemars(example = &"/etc/kubernetes/admin.conf")]
    pub kubeconfig: String,
    /// Context in the file `kubeconfig`. Default: its current context.
    #[schemars(example = &"prod")]
    pub context: String,
    /// Name of the node that Longwave runs on. Default: the environment variable `NODE_NAME`. If it is empty, the containers of all nodes'
    /// pods are stored, which takes more memory.
    #[schemars(example = &"node-1")]
    pub node: String,
    /// Which pods are watched.
    pub scope: Scope,
    /// Whether services and their endpoints are watched too.
    pub services: bool,
    /// Labels of pods that become attributes `{source,destination}.k8s.pod.label.<label>`. Each value adds series.
    #[schemars(example = ["app.kubernetes.io/version"])]
    pub labels: Vec<String>,
    /// Annotations of pods that become attributes `{source,destination}.k8s.pod.annotation.<annotation>`.
    #[schemars(example = ["example.com/team"])]
    pub annotations: Vec<String>,
}

/// Which pods are watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Pods of all nodes.
    #[default]
    Cluster,
    /// Pods of this node. Peers on other nodes stay unknown.
    Node,
}

// === impl KubernetesConfig ===

impl Default for KubernetesConfig {
    fn default() -> Self {
        Self {
            kubeconfig: String::new(),
            context: String::new(),
            node: std::env::var("NODE_NAME").unwrap_or_default(),
            scope: Scope::Cluster,
            services: true,
            labels: Vec::new(),
            annotations: Vec::new(),
        }
    }
}

impl ComponentConfig for KubernetesConfig {
    fn validate(&self, problems: &mut Problems) {
        if self.scope == Scope::Node && self.node.is_empty() {
            problems.at(
                "node",
                "is needed for scope: node. Set it to the node's name; in a pod set the environment variable NODE_NAME from the field spec.nodeName",
            );
        }
        if !self.node.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b)) {
            problems.at(
                "node",
                format!("{:?} is not a name of a node: it may have letters, digits, '-' and '.'", self.node),
            );
        }
        for (key, names) in [("labels", &self.labels), ("annotations", &self.annotations)] {
            for (index, name) in names.iter().enumerate() {
                if !is_qualified_name(name) {
                    problems.at(key, format!("{name:?} is not a key of a label: write it as kubectl shows it, for example app.kubernetes.io/version"));
                } else if names[..index].contains(name) {
                    problems.at(key, format!("{name:?} is listed twice: remove one"));
                }
            }
        }
    }
}

/// Returns whether the text has the form `[domain/]name` of a label's key.
fn is_qualified_name(text: &str) -> bool {
    let (domain, name) = text.split_once('/').unwrap_or(("domain", text));
    let is_valid = |part: &str, max_len: usize, also: &[u8]| {
        let inner = |b: u8| b.is_ascii_alphanumeric() || also.contains(&b);
        let ends = [part.bytes().next(), part.bytes().next_back()];
        part.len() <= max_len
            && part.bytes().all(inner)
            && ends.iter().all(|b| b.is_some_and(|b| b.is_ascii_alphanumeric()))
    };
    is_valid(domain, 253, b"-.") && is_valid(name, 63, b"-._")
}

#[cfg(test)]
mod tests;
