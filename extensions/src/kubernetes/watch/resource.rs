//! A resource of the API, and the table that stores its objects.

use std::fmt::Write;

use longwave_pipeline::model::UnixNanos;

use crate::kubernetes::tables::Update;

/// A resource of the API.
#[derive(Clone, Debug)]
pub(in crate::kubernetes) struct Resource {
    /// Plural, as in a rule of a ClusterRole.
    pub name: &'static str,
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Path of the URL, for all namespaces.
    pub path: &'static str,
    /// `&fieldSelector=…`, or empty.
    pub selector: String,
}

/// Table that stores the objects of one resource. It receives them as JSON.
pub(in crate::kubernetes) trait ObjectTable: Send + Sync {
    /// Adds or updates an object.
    fn apply(&self, object: &str, update: Update) -> Result<(), serde_json::Error>;

    /// Removes an object.
    fn remove(&self, object: &str, now: UnixNanos) -> Result<(), serde_json::Error>;

    /// Removes the objects that the complete listing `listing` did not contain. Returns their number.
    fn complete(&self, listing: u32, now: UnixNanos) -> usize;

    /// Returns the sizes of the table.
    fn counts(&self) -> TableCounts;

    /// Evicts what ended long ago.
    fn evict_expired(&self, now: UnixNanos);
}

/// Sizes of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::kubernetes) struct TableCounts {
    /// Number of objects.
    pub objects: usize,
    /// Number of former values that are kept.
    pub remembered: usize,
}

// === impl Resource ===

impl Resource {
    /// Returns the resource of pods that have not ended, of all nodes or of `node`.
    pub fn pods(node: Option<&str>) -> Self {
        let mut selector = "status.phase!=Succeeded,status.phase!=Failed".to_owned();
        if let Some(node) = node {
            selector = format!("spec.nodeName={node},{selector}");
        }
        let selector = format!("&fieldSelector={}", escape(&selector));
        Self { name: "pods", group: "", path: "/api/v1/pods", selector }
    }

    /// Returns the resource of services, of all namespaces.
    pub fn services() -> Self {
        Self { name: "services", group: "", path: "/api/v1/services", selector: String::new() }
    }

    /// Returns the resource of endpoint slices, of all namespaces.
    pub fn endpoint_slices() -> Self {
        Self {
            name: "endpointslices",
            group: "discovery.k8s.io",
            path: "/apis/discovery.k8s.io/v1/endpointslices",
            selector: String::new(),
        }
    }
}

/// Escapes a value for a URL's query.
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
