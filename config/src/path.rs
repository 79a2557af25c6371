//! Paths of nodes in the configuration.

use std::fmt;

/// Path from the root of the configuration to a node. Printed joined by `::`, as the Collector does
/// (`service::pipelines::metrics`). The segment of a list element is its index, from 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConfigPath(Vec<String>);

impl ConfigPath {
    /// Returns the path of the whole configuration, which prints as an empty string.
    pub fn root() -> Self {
        Self::default()
    }

    /// Returns this path with `segment` appended.
    pub fn child(&self, segment: impl fmt::Display) -> Self {
        let mut segments = self.0.clone();
        segments.push(segment.to_string());
        Self(segments)
    }

    /// Returns this path with all segments of `tail` appended.
    pub fn join(&self, tail: &ConfigPath) -> Self {
        self.0.iter().chain(&tail.0).cloned().collect()
    }

    /// Returns the path without its last segment. The parent of the root is the root.
    pub fn parent(&self) -> Self {
        let length = self.0.len().saturating_sub(1);
        Self(self.0[..length].to_vec())
    }

    /// Returns whether this is the path of the whole configuration.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the segments, starting at the root.
    pub fn segments(&self) -> &[String] {
        &self.0
    }

    /// Returns whether `self` is below `other` and not `other` itself.
    pub fn is_below(&self, other: &ConfigPath) -> bool {
        self.0.len() > other.0.len() && self.0.starts_with(&other.0)
    }
}

impl fmt::Display for ConfigPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("::"))
    }
}

/// Splits `text` at `::`. The empty string is the root.
impl From<&str> for ConfigPath {
    fn from(text: &str) -> Self {
        if text.is_empty() { Self::root() } else { text.split("::").map(str::to_owned).collect() }
    }
}

impl FromIterator<String> for ConfigPath {
    fn from_iter<I: IntoIterator<Item = String>>(segments: I) -> Self {
        Self(segments.into_iter().collect())
    }
}
