//! Merges a later source into an earlier one.

use crate::Value;

/// Merges `over` into `base`. Maps are merged key by key. Any other value, lists included, is replaced. Null erases.
pub fn merge(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Map(base), Value::Map(over)) => {
            for (key, value) in over {
                match base.get_mut(&key) {
                    Some(existing) => merge(existing, value),
                    None => {
                        base.insert(key, value);
                    }
                }
            }
        }
        (base, over) => *base = over,
    }
}
