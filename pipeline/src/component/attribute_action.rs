//! [`AttributeAction`]: one change to a list of attributes, in the grammar of the Collector's processors.

use serde::{Deserialize, Serialize};

use crate::component::config::Problems;

/// A change to one attribute: `{key, value, action}`, or `{key, from_attribute, action}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttributeAction {
    /// Key of the attribute.
    pub key: String,
    /// The new value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Key of the attribute whose value is copied. The action has no effect if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_attribute: Option<String>,
    /// What changes.
    pub action: ActionKind,
}

/// What an action changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

    /// Applies the action. A new attribute comes last.
    pub fn apply(&self, attributes: &mut Vec<(String, String)>) {
        let position = |wanted: &str| attributes.iter().position(|(key, _)| key == wanted);
        let known = position(&self.key);
        if self.action == ActionKind::Delete {
            if let Some(index) = known {
                attributes.remove(index);
            }
            return;
        }
        let copied =
            self.from_attribute.as_deref().and_then(position).map(|index| attributes[index].1.clone());
        let Some(value) = self.value.clone().or(copied) else { return };
        match (known, self.action) {
            (Some(index), ActionKind::Update | ActionKind::Upsert) => attributes[index].1 = value,
            (None, ActionKind::Insert | ActionKind::Upsert) => attributes.push((self.key.clone(), value)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
