//! Where in the configuration something stands.

use std::fmt;

/// The way from the root of the configuration to a node; shown joined by `::`, as the Collector shows it
/// (`service::pipelines::metrics`). List elements are named by their index, from 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConfigPath(Vec<String>);

impl ConfigPath {
    /// The path of the whole configuration; shown as nothing.
    pub fn root() -> Self {
        Self::default()
    }

    /// This path and one more step.
    pub fn child(&self, segment: impl fmt::Display) -> Self {
        let mut segments = self.0.clone();
        segments.push(segment.to_string());
        Self(segments)
    }

    /// This path, then all of `tail`.
    pub fn join(&self, tail: &ConfigPath) -> Self {
        self.0.iter().chain(&tail.0).cloned().collect()
    }

    /// The path without its last step; the root's parent is the root.
    pub fn parent(&self) -> Self {
        let upto = self.0.len().saturating_sub(1);
        Self(self.0[..upto].to_vec())
    }

    /// Is this the path of the whole configuration?
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The steps, from the root.
    pub fn segments(&self) -> &[String] {
        &self.0
    }

    /// Is `self` below `other` (and not `other` itself)?
    pub fn is_below(&self, other: &ConfigPath) -> bool {
        self.0.len() > other.0.len() && self.0.starts_with(&other.0)
    }
}

impl fmt::Display for ConfigPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("::"))
    }
}

/// Splits at `::`; the empty text is the root.
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
