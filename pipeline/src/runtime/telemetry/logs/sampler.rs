//! [`LogSampler`]: limits messages that repeat, as the Collector's logger does.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{LogLevel, LogSamplingConfig};

/// Maximum number of different messages that are counted, as in the Collector. Further ones are written without being counted.
const MAX_MESSAGES: usize = 4096;

/// Counts messages with the same level and text in each tick.
pub struct LogSampler {
    config: LogSamplingConfig,
    counters: Mutex<HashMap<(LogLevel, String), Counter>>,
}

struct Counter {
    /// End of its tick, which begins with the first message.
    ends: Instant,
    messages: u64,
}

// === impl LogSampler ===

impl LogSampler {
    /// Makes a sampler. `None` if sampling is off.
    pub fn new(config: &LogSamplingConfig) -> Option<Self> {
        config.enabled.then(|| Self { config: config.clone(), counters: Mutex::default() })
    }

    /// Returns whether to write the message: the first `initial` ones of a tick, and then every one whose number is a multiple of
    /// `thereafter`.
    pub fn admits(&self, level: LogLevel, text: &str, now: Instant) -> bool {
        let LogSamplingConfig { tick, initial, thereafter, .. } = self.config;
        let number = self.count(level, text, now, tick.get());
        let Some(extra) = number.checked_sub(initial).filter(|extra| *extra > 0) else { return true };
        thereafter > 0 && extra % thereafter == 0
    }

    /// Returns the number of the message in its tick, from 1. Returns 0 if it cannot be counted.
    fn count(&self, level: LogLevel, text: &str, now: Instant, tick: Duration) -> u64 {
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        if counters.len() >= MAX_MESSAGES {
            counters.retain(|_, counter| counter.ends > now);
        }
        let key = (level, text.to_owned());
        if counters.len() >= MAX_MESSAGES && !counters.contains_key(&key) {
            return 0;
        }
        let counter = counters.entry(key).or_insert(Counter { ends: now, messages: 0 });
        if counter.ends <= now {
            *counter = Counter { ends: now + tick, messages: 0 };
        }
        counter.messages += 1;
        counter.messages
    }
}

#[cfg(test)]
mod tests;
