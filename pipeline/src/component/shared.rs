//! [`Shared`]: values that several components of a graph share.

use std::any::{Any, TypeId};
use std::sync::{Arc, Mutex, PoisonError};

use hashbrown::HashMap;

/// One value of each type, made on first use.
#[derive(Clone, Default)]
pub struct Shared {
    values: Arc<Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>>,
}

// === impl Shared ===

impl Shared {
    /// Returns the graph's `T`. The first call makes it with `make`.
    ///
    /// # Errors
    /// The error of `make`. The next call tries again.
    pub fn get_or_make<T: Any + Send + Sync, E>(
        &self,
        make: impl FnOnce() -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) =
            values.get(&TypeId::of::<T>()).and_then(|value| Arc::clone(value).downcast().ok())
        {
            return Ok(value);
        }
        let value = Arc::new(make()?);
        values.insert(TypeId::of::<T>(), Arc::clone(&value) as Arc<dyn Any + Send + Sync>);
        Ok(value)
    }
}

#[cfg(test)]
mod tests;
