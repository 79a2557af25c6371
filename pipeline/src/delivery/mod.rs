//! From encoded payloads to delivered ones: the sending queue, time limits, retries with back-off, and what becomes of the rest.
//!
//! The queue holds [`Payload`]s: bytes and counts, nothing that could not lie on a disk. A durable queue takes the place of the
//! channel in [`queue::SendingQueue`], and nothing else changes.

pub(crate) mod queue;
mod settings;

#[cfg(test)]
mod tests;

use std::time::Duration;

pub use settings::{DeliverySettings, QueueSettings, RetrySettings};

use crate::component::{Payload, PushError, Pushed, Pusher};

/// One attempt within the time limit (zero: none). Running out of time is retryable: the server may be slow for a while.
async fn attempt(pusher: &dyn Pusher, payload: &Payload, limit: Duration) -> Result<Pushed, PushError> {
    if limit.is_zero() {
        return pusher.push(payload).await;
    }
    tokio::time::timeout(limit, pusher.push(payload)).await.unwrap_or_else(|_| {
        let message = format!("no answer within the timeout of {limit:?}");
        Err(PushError::Retryable { message, after: None })
    })
}
