//! [`QueueConsumer`]: delivers one payload at a time, with retries.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use longwave_config::GoDuration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::bounded_queue::QueuedPayload;
use super::payload_storage::PayloadStorage;
use super::report::DeliveryReport;
use crate::component::{
    ComponentError, DeliveryConfig, DropReason, Node, Payload, PushError, Pushed, Pusher, ReaderEnded,
    RecordKey,
};

/// Delivers payloads. The tasks of `num_consumers` share it.
pub(super) struct QueueConsumer {
    pub(super) pusher: Arc<dyn Pusher>,
    pub(super) config: DeliveryConfig,
    pub(super) node: Arc<Node>,
    /// Fires when the graph stops or the input ends. Then there are no retries: each payload has one more attempt.
    pub(super) closing: CancellationToken,
    /// Fires when the time limit of the shutdown has passed. Remaining payloads are dropped.
    pub(super) abandoned: CancellationToken,
    pub(super) report: DeliveryReport,
    /// Stores the queued payloads, once it is open.
    pub(super) storage: OnceLock<PayloadStorage>,
    /// Whether no more stored payloads are sent, because an attempt after the stop has failed.
    pub(super) keeps_stored: AtomicBool,
}

/// Why a payload is not delivered.
enum Undelivered {
    /// The consumer continues with the next payload.
    Dropped(DropReason, String),
    /// The exporter's output is closed, so that the consumer ends.
    OutputClosed(String, Option<ReaderEnded>),
}

// === impl QueueConsumer ===

impl QueueConsumer {
    /// Delivers or drops a payload. An error means that the exporter cannot continue.
    pub(super) async fn deliver(&self, queued: QueuedPayload) -> Result<(), ComponentError> {
        let QueuedPayload { payload, turn, wait, stored, .. } = &queued;
        let in_turn = async {
            if let Some(turn) = turn {
                turn.wait().await;
            }
            if let Some(wait) = wait {
                wait.wait(&self.closing).await;
            }
            match (self.storage.get(), stored) {
                (Some(storage), Some(_)) if self.keeps(storage).await => {
                    Err(Undelivered::Dropped(DropReason::SHUTDOWN, String::new()))
                }
                (Some(storage), Some(key)) => {
                    let loaded = storage.load(payload, *key).await;
                    let dropped = |(reason, message)| Undelivered::Dropped(reason, message);
                    self.attempts(&loaded.map_err(dropped)?).await
                }
                _ => self.attempts(payload).await,
            }
        };
        let outcome = tokio::select! {
            biased;
            () = self.abandoned.cancelled() => {
                let message = "not delivered before the shutdown's time limit".to_owned();
                Err(Undelivered::Dropped(DropReason::SHUTDOWN, message))
            }
            outcome = in_turn => outcome,
        };
        match outcome {
            Ok(pushed) => {
                self.forget_stored(stored.as_slice()).await;
                self.count_delivered(payload, &pushed);
                Ok(())
            }
            Err(Undelivered::Dropped(DropReason::SHUTDOWN, _)) if stored.is_some() => {
                // Requests that are being sent may still succeed. The storage keeps this payload and those that wait.
                self.keeps_stored.store(true, Ordering::Relaxed);
                self.keep(&queued);
                Ok(())
            }
            Err(Undelivered::Dropped(reason, message)) => {
                self.drop_queued(&queued, reason, &message).await;
                Ok(())
            }
            Err(Undelivered::OutputClosed(message, source)) => {
                if source.is_some() {
                    self.report.silence();
                }
                self.drop_queued(&queued, DropReason::OUTPUT_CLOSED, &message).await;
                Err(ComponentError { message, source: source.map(Into::into) })
            }
        }
    }

    /// Returns whether stored payloads that wait are left to a later instance of the exporter. They are after the stop, if the server is down or
    /// the next instance waits for the queue.
    async fn keeps(&self, storage: &PayloadStorage) -> bool {
        self.closing.is_cancelled()
            && (self.keeps_stored.load(Ordering::Relaxed) || storage.is_wanted().await)
    }

    /// Drops a queued payload. If it is stored, the storage does not return it after a restart.
    pub(super) async fn drop_queued(&self, queued: &QueuedPayload, reason: DropReason, message: &str) {
        self.forget_stored(queued.stored.as_slice()).await;
        self.drop_payload(&queued.payload, reason, message);
    }

    /// Leaves a stored payload to a later instance of the exporter.
    pub(super) fn keep(&self, queued: &QueuedPayload) {
        self.node.add_kept(queued.payload.items);
    }

    async fn forget_stored(&self, keys: &[RecordKey]) {
        if let Some(storage) = self.storage.get() {
            storage.done(keys).await;
        }
    }

    /// Counts and reports a payload that is not delivered. It no longer counts as held.
    pub(super) fn drop_payload(&self, payload: &Payload, reason: DropReason, message: &str) {
        self.node.sub_held(payload.items);
        self.node.add_dropped(reason, payload.items, payload.traffic_bytes);
        if payload.items > 0 {
            self.report.dropped(reason, payload.items, message);
        }
    }

    fn count_delivered(&self, payload: &Payload, pushed: &Pushed) {
        let rejected = pushed.rejected_items.min(payload.items);
        self.node.sub_held(payload.items);
        self.node.add_outgoing(payload.items - rejected);
        let share = if payload.items == 0 { 0.0 } else { rejected as f64 / payload.items as f64 };
        self.node.add_dropped(DropReason::REJECTED, rejected, (payload.traffic_bytes as f64 * share) as u64);
        self.report.answered(rejected, pushed.message.as_deref());
    }

    async fn attempts(&self, payload: &Payload) -> Result<Pushed, Undelivered> {
        let retry = &self.config.retry;
        let (backoff, mut failures) = (retry.backoff(), 0_u32);
        let started = Instant::now();
        let mut may_have_arrived = false;
        loop {
            let error = match self.attempt(payload).await {
                Ok(pushed) => {
                    if may_have_arrived {
                        self.node.add_possible_duplicates(payload.items);
                    }
                    self.report.succeeded();
                    return Ok(pushed);
                }
                Err(error) => error,
            };
            let (message, after) = match error {
                PushError::Retryable { message, after, may_have_arrived: unknown } => {
                    may_have_arrived |= unknown;
                    (message, after)
                }
                PushError::Permanent(message) => {
                    return Err(Undelivered::Dropped(DropReason::PERMANENT_ERROR, message));
                }
                PushError::Fatal { message, source } => {
                    return Err(Undelivered::OutputClosed(message, source));
                }
            };
            self.report.failed(&message);
            if !retry.enabled {
                let message = format!("{message} (retry_on_failure is off)");
                return Err(Undelivered::Dropped(DropReason::RETRIES_EXHAUSTED, message));
            }
            if self.closing.is_cancelled() {
                return Err(Undelivered::Dropped(DropReason::SHUTDOWN, message));
            }
            failures = failures.saturating_add(1);
            let (grown, requested) = (backoff.wait(failures), after.unwrap_or_default());
            let wait = grown.max(requested);
            let (limit, elapsed) = (retry.max_elapsed_time, started.elapsed());
            if !limit.is_zero() && elapsed.saturating_add(wait) > limit.get() {
                let (elapsed, requested) = (rounded(elapsed), GoDuration::from(requested));
                let why = if wait == grown {
                    format!(
                        "gave up after {elapsed}: the next attempt would be later than max_elapsed_time {limit}"
                    )
                } else {
                    format!(
                        "gave up after {elapsed}: the server requests a wait of {requested}, but max_elapsed_time is {limit}"
                    )
                };
                let message = format!("{message} ({why})");
                return Err(Undelivered::Dropped(DropReason::RETRIES_EXHAUSTED, message));
            }
            self.node.add_retry();
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.closing.cancelled() => {}
            }
        }
    }

    /// Attempts to deliver a payload within the time limit; zero means no limit. A timeout is retryable, because the server may be slow only
    /// for a while.
    async fn attempt(&self, payload: &Payload) -> Result<Pushed, PushError> {
        let limit = self.config.timeout;
        if limit.is_zero() {
            return self.pusher.push(payload).await;
        }
        tokio::time::timeout(limit, self.pusher.push(payload)).await.unwrap_or_else(|_| {
            let endpoint = self.pusher.endpoint();
            let separator = if endpoint.is_empty() { "" } else { ": " };
            let (signal, limit) = (self.node.signal, GoDuration::from(limit));
            let message = format!(
                "{endpoint}{separator}no response to a request with {signal} within the timeout of {limit} (is the server overloaded?)"
            );
            Err(PushError::Retryable { message, after: None, may_have_arrived: true })
        })
    }
}

/// Returns the duration in tenths of a second, for messages.
fn rounded(duration: Duration) -> GoDuration {
    GoDuration::from(Duration::from_millis(
        u64::try_from(duration.as_millis() / 100 * 100).unwrap_or(u64::MAX),
    ))
}

#[cfg(test)]
mod tests;
