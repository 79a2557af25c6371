//! [`Reloading`]: a value that follows the files from which it is made.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::component::error::ComponentError;

type Load<T> = Box<dyn Fn() -> Result<T, ComponentError> + Send + Sync>;

/// A value that is made of files, and made again when it is needed and an interval has passed, or whenever it is needed. If that fails, for
/// example in the middle of a replacement, the old value stays and a warning is logged.
pub struct Reloading<T> {
    load: Load<T>,
    /// `None`: the value stays forever.
    interval: Option<Duration>,
    state: Mutex<ReloadingState<T>>,
}

struct ReloadingState<T> {
    current: Arc<T>,
    loaded: Instant,
    /// The last failure, so that each is logged once.
    failure: Option<String>,
}

// === impl Reloading ===

impl<T> Reloading<T> {
    /// Makes the value for the first time. Makes it again after `interval`; never if that is zero.
    ///
    /// # Errors
    /// Those of `load`.
    pub fn new(
        interval: Duration,
        load: impl Fn() -> Result<T, ComponentError> + Send + Sync + 'static,
    ) -> Result<Self, ComponentError> {
        Self::with_interval(Some(interval).filter(|interval| !interval.is_zero()), load)
    }

    /// Makes the value for the first time, and again whenever it is needed. For small files that are needed rarely.
    ///
    /// # Errors
    /// Those of `load`.
    pub fn always(
        load: impl Fn() -> Result<T, ComponentError> + Send + Sync + 'static,
    ) -> Result<Self, ComponentError> {
        Self::with_interval(Some(Duration::ZERO), load)
    }

    fn with_interval(
        interval: Option<Duration>,
        load: impl Fn() -> Result<T, ComponentError> + Send + Sync + 'static,
    ) -> Result<Self, ComponentError> {
        let current = Arc::new(load()?);
        let state = Mutex::new(ReloadingState { current, loaded: Instant::now(), failure: None });
        Ok(Self { load: Box::new(load), interval, state })
    }

    /// Returns the current value.
    pub fn get(&self) -> Arc<T> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if self.interval.is_some_and(|interval| state.loaded.elapsed() >= interval) {
            state.loaded = Instant::now();
            match (self.load)() {
                Ok(new) => {
                    state.current = Arc::new(new);
                    state.failure = None;
                }
                Err(error) => {
                    let message = error.to_string();
                    if state.failure.as_ref() != Some(&message) {
                        tracing::warn!("{message}; the previous files stay in use");
                    }
                    state.failure = Some(message);
                }
            }
        }
        Arc::clone(&state.current)
    }
}

impl<T> fmt::Debug for Reloading<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloading").field("interval", &self.interval).finish_non_exhaustive()
    }
}
