//! [`AttributeEdits`]: a list of actions on the attributes of a series or a log record.

use crate::component::attribute_action::{ActionValue, AttributeAction};
use crate::model::{AttributeValue, OwnedValue};

/// Actions that are applied in their order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AttributeEdits {
    actions: Vec<AttributeAction>,
    /// The keys that the actions name.
    keys: Vec<String>,
}

/// Receives attributes.
type AttributeVisitor<'a> = dyn FnMut(&str, AttributeValue<'_>) + 'a;

// === impl AttributeEdits ===

impl AttributeEdits {
    /// Makes the edits from actions.
    pub fn new(actions: Vec<AttributeAction>) -> Self {
        let named = actions.iter().flat_map(|action| [Some(&action.key), action.from_attribute.as_ref()]);
        let keys = named.flatten().cloned().collect();
        Self { actions, keys }
    }

    /// Returns whether no attribute is changed.
    pub fn is_empty(&self) -> bool {
        self.actions.is_empty()
    }

    /// Calls `attributes` to visit attributes, each key once, and visits what the actions make of them. A new attribute comes last.
    pub fn for_each(&self, attributes: &dyn Fn(&mut AttributeVisitor<'_>), visit: &mut AttributeVisitor<'_>) {
        if self.is_empty() {
            return attributes(visit);
        }
        // Only what the actions name is copied.
        let is_named = |key: &str| self.keys.iter().any(|named| named == key);
        let mut named = Vec::new();
        attributes(&mut |key, value| {
            if is_named(key) {
                named.push((key.to_owned(), OwnedValue::from(value)));
            }
        });
        self.actions.iter().for_each(|action| action.apply(&mut named));
        attributes(&mut |key, value| {
            if !is_named(key) {
                visit(key, value);
            } else if let Some(index) = named.iter().position(|(named, _)| named == key) {
                let (key, value) = named.remove(index);
                visit(&key, value.view());
            }
        });
        named.iter().for_each(|(key, value)| visit(key, value.view()));
    }
}

impl ActionValue for OwnedValue {
    fn of_text(text: &str) -> Self {
        Self::Str(text.into())
    }

    fn is_known(&self) -> bool {
        *self != Self::Unknown
    }
}

#[cfg(test)]
mod tests;
