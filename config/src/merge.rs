//! How a later source changes an earlier one.

use crate::Value;

/// Lays `over` on `base`: maps are merged key by key, anything else (lists too) is replaced, null erases.
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
