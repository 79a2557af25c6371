//! Merges a later source into an earlier one.

use crate::Value;

/// Merges `over` into `base`. Maps are merged key by key. Any other value, including a list, is replaced. Null replaces any value.
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
