//! [`ComponentConfig`]: a component's settings.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A component's settings as read from its section.
pub trait ComponentConfig: DeserializeOwned + Serialize + Default + Clone + Send + Sync + 'static {
    /// Reports what each value alone cannot show, as (key path below the component, message).
    fn validate(&self, problems: &mut Problems);

    /// The extensions that this component uses, as (key path, id): each has to be configured and started.
    fn extensions(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// What may be named where an extension's id may, without an extension.
    fn built_in(&self) -> &'static [&'static str] {
        &[]
    }
}

/// Collects what [`ComponentConfig::validate`] finds.
#[derive(Debug, Default)]
pub struct Problems {
    pub(crate) found: Vec<(String, String)>,
}

// === impl Problems ===

impl Problems {
    /// Reports a problem at `key` (below the component's section, parts joined by `::`; empty for the section itself).
    pub fn at(&mut self, key: impl Into<String>, message: impl Into<String>) {
        self.found.push((key.into(), message.into()));
    }

    /// Reports each of `names` that was named before: each may be named once. `what`: what they are the names of.
    pub fn each_once<'a>(&mut self, key: &str, what: &str, names: impl IntoIterator<Item = &'a str>) {
        let mut seen = Vec::new();
        for name in names {
            if seen.contains(&name) {
                self.at(key, format!("names \"{name}\" twice: name each {what} once"));
            }
            seen.push(name);
        }
    }
}
