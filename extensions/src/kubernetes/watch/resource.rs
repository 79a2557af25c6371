//! What is watched, and where it goes.

use std::fmt::Write;

use longwave_pipeline::model::UnixNanos;

use crate::kubernetes::tables::UpdateContext;

/// A resource of the API.
#[derive(Clone, Debug)]
pub(in crate::kubernetes) struct Resource {
    /// Plural, as in a rule of a ClusterRole.
    pub name: &'static str,
    /// API group; empty: the core.
    pub group: &'static str,
    /// Of all namespaces.
    pub path: &'static str,
    /// `&fieldSelector=…`, or empty.
    pub selector: String,
}

/// Takes in objects as JSON.
pub(in crate::kubernetes) trait ObjectTable: Send + Sync {
    /// The object is so now.
    fn apply(&self, object: &str, context: UpdateContext) -> Result<(), serde_json::Error>;

    /// The object is no more.
    fn remove(&self, object: &str, now: UnixNanos) -> Result<(), serde_json::Error>;

    /// A listing is complete: what it did not name is no more. Returns how many.
    fn complete(&self, listing: u32, now: UnixNanos) -> usize;

    /// How much there is.
    fn counts(&self) -> TableCounts;

    /// Forgets what ended long ago.
    fn evict_expired(&self, now: UnixNanos);
}

/// How much a table holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::kubernetes) struct TableCounts {
    /// Objects.
    pub objects: usize,
    /// Facts that are no longer true.
    pub remembered: usize,
}

// === impl Resource ===

impl Resource {
    /// Pods that have not ended for good, of one node if it is given.
    pub fn pods(node: Option<&str>) -> Self {
        let mut selector = "status.phase!=Succeeded,status.phase!=Failed".to_owned();
        if let Some(node) = node {
            selector = format!("spec.nodeName={node},{selector}");
        }
        let selector = format!("&fieldSelector={}", escape(&selector));
        Self { name: "pods", group: "", path: "/api/v1/pods", selector }
    }

    /// Services.
    pub fn services() -> Self {
        Self { name: "services", group: "", path: "/api/v1/services", selector: String::new() }
    }

    /// Slices of services' endpoints.
    pub fn endpoint_slices() -> Self {
        Self {
            name: "endpointslices",
            group: "discovery.k8s.io",
            path: "/apis/discovery.k8s.io/v1/endpointslices",
            selector: String::new(),
        }
    }
}

/// As a value in a URL.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}
