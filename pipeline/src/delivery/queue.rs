//! [`SendingQueue`]: between an exporter's encoder and its pusher.
//!
//! Every payload that enters leaves in exactly one way: delivered, rejected, or dropped with a reason; until then it is held.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::settings::DeliverySettings;
use super::{attempt, backoff::Backoff};
use crate::accounting::{DropReason, Node};
use crate::component::{ComponentError, Payload, PushError, Pusher};

/// How long a shutdown waits for what is queued: half of what Kubernetes grants by default.
pub(crate) const SHUTDOWN_LIMIT: Duration = Duration::from_secs(15);

/// Between two warnings of one exporter about dropped data.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// A queue and its consumers.
pub(crate) struct SendingQueue {
    sender: Option<mpsc::Sender<Payload>>,
    consumers: JoinSet<Result<(), ComponentError>>,
    block_on_overflow: bool,
    courier: Arc<Courier>,
    /// Fires at shutdown: retries end, each payload gets one more attempt.
    closing: CancellationToken,
    /// Fires when the shutdown's time is over.
    abandoned: CancellationToken,
}

/// Delivers one payload at a time, with retries.
struct Courier {
    id: String,
    pusher: Arc<dyn Pusher>,
    settings: DeliverySettings,
    node: Arc<Node>,
    closing: CancellationToken,
    abandoned: CancellationToken,
    quiet: std::sync::Mutex<Quiet>,
}

/// Drops that the log was spared.
#[derive(Default)]
struct Quiet {
    until: Option<Instant>,
    items: u64,
}

// === impl SendingQueue ===

impl SendingQueue {
    pub(crate) fn start(
        id: &str,
        pusher: Arc<dyn Pusher>,
        settings: DeliverySettings,
        node: Arc<Node>,
    ) -> Self {
        let (closing, abandoned) = (CancellationToken::new(), CancellationToken::new());
        let queue = settings.queue.clone();
        let courier = Arc::new(Courier {
            id: id.to_owned(),
            pusher,
            settings,
            node,
            closing: closing.clone(),
            abandoned: abandoned.clone(),
            quiet: std::sync::Mutex::default(),
        });
        let mut consumers = JoinSet::new();
        let sender = queue.enabled.then(|| {
            courier.node.set_queue_capacity(queue.queue_size as u64);
            let (sender, receiver) = mpsc::channel(queue.queue_size);
            let receiver = Arc::new(Mutex::new(receiver));
            for _ in 0..queue.num_consumers {
                consumers.spawn(consume(Arc::clone(&receiver), Arc::clone(&courier)));
            }
            sender
        });
        Self { sender, consumers, block_on_overflow: queue.block_on_overflow, courier, closing, abandoned }
    }

    /// Takes a payload. Waits only if told to block on overflow, or if there is no queue.
    pub(crate) async fn put(&mut self, payload: Payload) -> Result<(), ComponentError> {
        let node = Arc::clone(&self.courier.node);
        let (items, bytes) = (payload.items, payload.traffic_bytes);
        node.add_held(items);
        let Some(sender) = &self.sender else {
            return self.courier.deliver(payload).await;
        };
        node.add_queued();
        let refused = if self.block_on_overflow {
            sender.send(payload).await.is_err().then_some(DropReason::STAGE_ENDED)
        } else {
            match sender.try_send(payload) {
                Ok(()) => None,
                Err(TrySendError::Full(_)) => Some(DropReason::QUEUE_FULL),
                Err(TrySendError::Closed(_)) => Some(DropReason::STAGE_ENDED),
            }
        };
        if let Some(reason) = refused {
            node.sub_queued();
            node.sub_held(items);
            node.add_dropped(reason, items, bytes);
            self.courier.warn_dropped(
                reason,
                items,
                "the sending queue is full: what takes the data is slower than the traffic, or down",
            );
        }
        self.failure()
    }

    /// A consumer that has ended before its time has failed.
    fn failure(&mut self) -> Result<(), ComponentError> {
        match self.consumers.try_join_next() {
            Some(Ok(Err(error))) => Err(error),
            Some(Err(panic)) => Err(ComponentError::with_source("a sending task panicked", panic)),
            Some(Ok(Ok(()))) | None => Ok(()),
        }
    }

    /// Waits for a consumer's failure: pending for ever while all is well.
    pub(crate) async fn failed(&mut self) -> ComponentError {
        match self.consumers.join_next().await {
            Some(Ok(Err(error))) => error,
            Some(Err(panic)) => ComponentError::with_source("a sending task panicked", panic),
            Some(Ok(Ok(()))) | None => std::future::pending().await,
        }
    }

    /// Nothing more comes: delivers what is queued, each payload with one attempt, for at most [`SHUTDOWN_LIMIT`].
    pub(crate) async fn shutdown(mut self) -> Result<(), ComponentError> {
        self.closing.cancel();
        self.sender = None;
        let abandoned = self.abandoned.clone();
        let timer = tokio::spawn(async move {
            tokio::time::sleep(SHUTDOWN_LIMIT).await;
            abandoned.cancel();
        });
        let mut result = Ok(());
        while let Some(ended) = self.consumers.join_next().await {
            let ended = ended
                .unwrap_or_else(|panic| Err(ComponentError::with_source("a sending task panicked", panic)));
            result = result.and(ended);
        }
        timer.abort();
        result.and(self.courier.pusher.shutdown().await)
    }
}

async fn consume(
    receiver: Arc<Mutex<mpsc::Receiver<Payload>>>,
    courier: Arc<Courier>,
) -> Result<(), ComponentError> {
    loop {
        let next = receiver.lock().await.recv().await;
        let Some(payload) = next else { return Ok(()) };
        courier.node.sub_queued();
        courier.deliver(payload).await?;
    }
}

// === impl Courier ===

impl Courier {
    /// Delivers or drops; an error means that the exporter cannot go on.
    async fn deliver(&self, payload: Payload) -> Result<(), ComponentError> {
        let outcome = tokio::select! {
            outcome = self.attempts(&payload) => outcome,
            () = self.abandoned.cancelled() => {
                Err((DropReason::SHUTDOWN, "not delivered within the shutdown's time".to_owned()))
            }
        };
        let node = &self.node;
        node.sub_held(payload.items);
        match outcome {
            Ok(pushed) => {
                let rejected = pushed.rejected_items.min(payload.items);
                node.add_outgoing(payload.items - rejected);
                let share = if payload.items == 0 { 0.0 } else { rejected as f64 / payload.items as f64 };
                node.add_dropped(
                    DropReason::REJECTED,
                    rejected,
                    (payload.traffic_bytes as f64 * share) as u64,
                );
                if let Some(message) = pushed.message {
                    tracing::warn!(
                        exporter = self.id,
                        rejected,
                        message,
                        "the server accepted the request in part"
                    );
                }
                Ok(())
            }
            Err((reason, message)) => {
                node.add_dropped(reason, payload.items, payload.traffic_bytes);
                self.warn_dropped(reason, payload.items, &message);
                if reason == FATAL { Err(ComponentError::new(message)) } else { Ok(()) }
            }
        }
    }

    async fn attempts(&self, payload: &Payload) -> Result<crate::component::Pushed, (DropReason, String)> {
        let retry = &self.settings.retry;
        let mut backoff = Backoff::new(retry);
        let started = Instant::now();
        loop {
            let error = match attempt(&*self.pusher, payload, self.settings.timeout).await {
                Ok(pushed) => return Ok(pushed),
                Err(error) => error,
            };
            let (message, after) = match error {
                PushError::Retryable { message, after } => (message, after),
                PushError::Permanent(message) => return Err((DropReason::PERMANENT_ERROR, message)),
                PushError::Fatal(message) => return Err((FATAL, message)),
            };
            if !retry.enabled {
                return Err((DropReason::RETRIES_EXHAUSTED, format!("{message} (retry_on_failure is off)")));
            }
            if self.closing.is_cancelled() {
                return Err((DropReason::SHUTDOWN, message));
            }
            let wait = backoff.next().max(after.unwrap_or_default());
            let limit = retry.max_elapsed_time.get();
            if !limit.is_zero() && started.elapsed() + wait > limit {
                let limit = retry.max_elapsed_time;
                return Err((
                    DropReason::RETRIES_EXHAUSTED,
                    format!("{message} (gave up after max_elapsed_time {limit})"),
                ));
            }
            tracing::info!(exporter = self.id, error = message, wait = ?wait, "sending failed; will retry");
            self.node.add_retry();
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.closing.cancelled() => {}
            }
        }
    }

    /// Says so at once, then at most every [`WARN_EVERY`]: the counters have every drop, the log need not.
    fn warn_dropped(&self, reason: DropReason, items: u64, message: &str) {
        let mut quiet = self.quiet.lock().unwrap_or_else(PoisonError::into_inner);
        quiet.items += items;
        if quiet.until.is_some_and(|until| Instant::now() < until) {
            return;
        }
        let items = std::mem::take(&mut quiet.items);
        quiet.until = Some(Instant::now() + WARN_EVERY);
        tracing::warn!(exporter = self.id, %reason, dropped_items = items, error = message, "dropped data");
    }
}

/// The exporter's output is gone; what was on its way counts as dropped for this reason.
const FATAL: DropReason = DropReason("output_closed");
