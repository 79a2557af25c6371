//! [`AttributeAction`]: one change to a list of attributes, in the grammar of the Collector's processors.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::component::config::Problems;

/// A change to one attribute: `{key, value, action}`, or `{key, from_attribute, action}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AttributeAction {
    /// Key of the attribute.
    #[schemars(example = &"k8s.cluster.name")]
    pub key: String,
    /// The new value.
    #[schemars(example = &"eu-1")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Key of the attribute whose value is copied. The action has no effect if there is no such attribute.
    #[schemars(example = &"host.name")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_attribute: Option<String>,
    /// What is done with the attribute.
    pub action: ActionKind,
}

/// What an action changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ActionKind {
    /// Adds the attribute if it is absent.
    Insert,
    /// Replaces the value if the attribute is present.
    Update,
    /// Adds the attribute or replaces its value.
    Upsert,
    /// Removes the attribute.
    Delete,
}

/// Value of an attribute that actions change.
pub trait ActionValue: Clone {
    /// Returns a text as value.
    fn of_text(text: &str) -> Self;
    /// Returns whether there is a value.
    fn is_known(&self) -> bool;
}

// === impl AttributeAction ===

impl AttributeAction {
    /// Reports what is invalid in the action at the path `key`.
    pub fn validate(&self, key: &str, problems: &mut Problems) {
        if self.key.trim().is_empty() {
            problems.at(
                format!("{key}::key"),
                "must be the key of an attribute, for example deployment.environment.name",
            );
        }
        for (field, text) in [("value", &self.value), ("from_attribute", &self.from_attribute)] {
            if text.as_deref().is_some_and(|text| text.trim().is_empty()) {
                problems.at(
                    format!("{key}::{field}"),
                    "must not be empty (to remove an attribute, write action: delete)",
                );
            }
        }
        match (self.action, &self.value, &self.from_attribute) {
            (_, Some(_), Some(_)) => {
                problems.at(key, "has both value and from_attribute: remove one of them")
            }
            (ActionKind::Delete, None, None) => {}
            (ActionKind::Delete, ..) => {
                problems.at(
                    key,
                    "deletes the attribute and so takes neither value nor from_attribute: remove it",
                );
            }
            (_, None, None) => problems.at(key, "needs the new value: add value or from_attribute"),
            _ => {}
        }
    }

    /// Applies the action. A new attribute comes last. A value that is not known counts as absent.
    pub fn apply<V: ActionValue>(&self, attributes: &mut Vec<(String, V)>) {
        let index = attributes.iter().position(|(key, _)| *key == self.key);
        if self.action == ActionKind::Delete {
            if let Some(index) = index {
                attributes.remove(index);
            }
            return;
        }
        let known = |wanted: &str| {
            let value = attributes.iter().find(|(key, _)| key == wanted).map(|(_, value)| value);
            value.filter(|value| value.is_known())
        };
        let copied = self.from_attribute.as_deref().and_then(known).cloned();
        let Some(value) = self.value.as_deref().map(V::of_text).or(copied) else { return };
        let applies = match self.action {
            ActionKind::Insert => known(&self.key).is_none(),
            ActionKind::Update => known(&self.key).is_some(),
            ActionKind::Upsert | ActionKind::Delete => true,
        };
        match index {
            _ if !applies => {}
            Some(index) => attributes[index].1 = value,
            None => attributes.push((self.key.clone(), value)),
        }
    }
}

impl ActionValue for String {
    fn of_text(text: &str) -> Self {
        text.to_owned()
    }

    fn is_known(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
