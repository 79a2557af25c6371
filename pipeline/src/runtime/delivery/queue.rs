//! [`SendingQueue`]: queue between an exporter's encoder and its pusher.
//!
//! Every payload is delivered, rejected by the server, or dropped with a reason. Until then its items count as `held` ([`Node::held`]).

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::order::{DeliveryOrder, Turn};
use crate::component::{
    ComponentError, DeliveryConfig, DropReason, Node, Payload, PushError, Pushed, Pusher,
};

/// Time for queued payloads to be delivered at a shutdown: half of Kubernetes' default grace period.
pub(crate) const SHUTDOWN_LIMIT: Duration = Duration::from_secs(15);

/// Minimum time between two warnings of an exporter about dropped data.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// A queue and its consumers.
pub(crate) struct SendingQueue {
    sender: Option<mpsc::Sender<QueuedPayload>>,
    /// Shared with the consumers. Kept here to count the payloads that remain after consumers have failed.
    receiver: Option<Arc<Mutex<mpsc::Receiver<QueuedPayload>>>>,
    consumers: JoinSet<Result<(), ComponentError>>,
    block_on_overflow: bool,
    /// `None` if the order does not matter.
    order: Option<Arc<DeliveryOrder>>,
    /// Number of batches so far.
    batches: u64,
    consumer: Arc<QueueConsumer>,
    /// Cancels `abandoned` when [`SHUTDOWN_LIMIT`] has passed after `closing`. Ends with the queue.
    _timer: JoinSet<()>,
}

/// A payload, and its position in the order of batches if the order matters.
struct QueuedPayload {
    payload: Payload,
    turn: Option<Turn>,
}

/// Delivers one payload at a time, with retries. The tasks of `num_consumers` share it.
struct QueueConsumer {
    id: String,
    pusher: Arc<dyn Pusher>,
    config: DeliveryConfig,
    node: Arc<Node>,
    /// Fires when the graph stops or the input ends. Then there are no retries: each payload has one more attempt.
    closing: CancellationToken,
    /// Fires when the time limit of the shutdown has passed. Remaining payloads are dropped.
    abandoned: CancellationToken,
    unlogged: std::sync::Mutex<UnloggedDrops>,
}

/// Drops that are not logged yet.
#[derive(Default)]
struct UnloggedDrops {
    silent_until: Option<Instant>,
    items: u64,
}

// === impl SendingQueue ===

impl SendingQueue {
    /// Starts the consumers. With `is_ordered` they keep the order of batches, as [`Exporter::is_ordered`](crate::component::Exporter::is_ordered) demands.
    /// `stop` fires when the graph stops. Retries then end, so that a pipeline that waits for room does not wait for a server that is down.
    pub(crate) fn start(
        id: &str,
        pusher: Arc<dyn Pusher>,
        config: DeliveryConfig,
        is_ordered: bool,
        node: Arc<Node>,
        stop: &CancellationToken,
    ) -> Self {
        let (closing, abandoned) = (stop.child_token(), CancellationToken::new());
        let mut timer = JoinSet::new();
        timer.spawn({
            let (closing, abandoned) = (closing.clone(), abandoned.clone());
            async move {
                closing.cancelled().await;
                tokio::time::sleep(SHUTDOWN_LIMIT).await;
                abandoned.cancel();
            }
        });
        let queue = config.queue.clone();
        let consumer = Arc::new(QueueConsumer {
            id: id.to_owned(),
            pusher,
            config,
            node,
            closing,
            abandoned,
            unlogged: std::sync::Mutex::default(),
        });
        let mut consumers = JoinSet::new();
        let (sender, receiver) = if queue.enabled {
            consumer.node.set_queue_capacity(queue.queue_size as u64);
            let (sender, receiver) = mpsc::channel(queue.queue_size);
            let receiver = Arc::new(Mutex::new(receiver));
            for _ in 0..queue.num_consumers {
                consumers.spawn(consume(Arc::clone(&receiver), Arc::clone(&consumer)));
            }
            (Some(sender), Some(receiver))
        } else {
            (None, None)
        };
        let block_on_overflow = queue.block_on_overflow;
        let order = is_ordered.then(DeliveryOrder::new);
        Self { sender, receiver, consumers, block_on_overflow, order, batches: 0, consumer, _timer: timer }
    }

    /// Adds the payloads of the next batch. Waits only if `block_on_overflow` is set or there is no queue. After an error the payloads that
    /// were not added are counted as dropped.
    pub(crate) async fn put_batch(&mut self, payloads: Vec<Payload>) -> Result<(), ComponentError> {
        self.batches += 1;
        let mut payloads = payloads.into_iter();
        while let Some(payload) = payloads.next() {
            if let Err(error) = self.put(payload).await {
                for left in payloads {
                    self.consumer.node.add_dropped(DropReason::STAGE_ENDED, left.items, left.traffic_bytes);
                }
                return Err(error);
            }
        }
        Ok(())
    }

    async fn put(&mut self, payload: Payload) -> Result<(), ComponentError> {
        let node = Arc::clone(&self.consumer.node);
        let (items, bytes) = (payload.items, payload.traffic_bytes);
        node.add_held(items);
        let turn = self.order.as_ref().map(|order| order.add(self.batches));
        let queued = QueuedPayload { payload, turn };
        let Some(sender) = &self.sender else {
            return self.consumer.deliver(queued).await;
        };
        node.add_queued();
        let refuse = |reason| {
            node.sub_queued();
            node.sub_held(items);
            node.add_dropped(reason, items, bytes);
        };
        if self.block_on_overflow {
            let sender = sender.clone();
            tokio::select! {
                permit = sender.reserve() => match permit {
                    Ok(permit) => permit.send(queued),
                    Err(_) => refuse(DropReason::STAGE_ENDED),
                },
                error = self.failed() => {
                    refuse(DropReason::STAGE_ENDED);
                    return Err(error);
                }
            }
        } else if sender.try_send(queued).is_err() {
            // The channel cannot be closed, because `self` has its receiver.
            refuse(DropReason::QUEUE_FULL);
            self.consumer.warn_dropped(
                DropReason::QUEUE_FULL,
                items,
                "the sending queue is full: the server is down, or slower than the traffic",
            );
        }
        self.failure()
    }

    /// Returns the error of a consumer that has failed.
    fn failure(&mut self) -> Result<(), ComponentError> {
        match self.consumers.try_join_next() {
            Some(Ok(Err(error))) => Err(error),
            Some(Err(panic)) => Err(ComponentError::with_source("a sending task panicked", panic)),
            Some(Ok(Ok(()))) | None => Ok(()),
        }
    }

    /// Waits until a consumer fails. Never resolves otherwise.
    pub(crate) async fn failed(&mut self) -> ComponentError {
        match self.consumers.join_next().await {
            Some(Ok(Err(error))) => error,
            Some(Err(panic)) => ComponentError::with_source("a sending task panicked", panic),
            Some(Ok(Ok(()))) | None => std::future::pending().await,
        }
    }

    /// Delivers the queued payloads, each with one attempt, for at most [`SHUTDOWN_LIMIT`].
    pub(crate) async fn shutdown(mut self) -> Result<(), ComponentError> {
        let result = self.drain().await;
        result.and(self.consumer.pusher.shutdown().await)
    }

    /// Counts all queued payloads as dropped, because the delivery has failed permanently.
    pub(crate) async fn abandon(mut self) {
        self.consumer.abandoned.cancel();
        // The first error has already been reported.
        let _ = self.drain().await;
        let _ = self.consumer.pusher.shutdown().await;
    }

    async fn drain(&mut self) -> Result<(), ComponentError> {
        self.consumer.closing.cancel();
        self.sender = None;
        let mut result = Ok(());
        while let Some(ended) = self.consumers.join_next().await {
            let ended = ended
                .unwrap_or_else(|panic| Err(ComponentError::with_source("a sending task panicked", panic)));
            result = result.and(ended);
        }
        // Consumers that failed leave payloads in the channel.
        if let Some(receiver) = self.receiver.take() {
            let (mut receiver, node) = (receiver.lock().await, &self.consumer.node);
            while let Ok(QueuedPayload { payload, .. }) = receiver.try_recv() {
                let Payload { items, traffic_bytes, .. } = payload;
                node.sub_queued();
                node.sub_held(items);
                node.add_dropped(DropReason::STAGE_ENDED, items, traffic_bytes);
            }
        }
        self.consumer.warn_unlogged();
        result
    }
}

async fn consume(
    receiver: Arc<Mutex<mpsc::Receiver<QueuedPayload>>>,
    consumer: Arc<QueueConsumer>,
) -> Result<(), ComponentError> {
    loop {
        let next = receiver.lock().await.recv().await;
        let Some(queued) = next else { return Ok(()) };
        consumer.node.sub_queued();
        consumer.deliver(queued).await?;
    }
}

// === impl QueueConsumer ===

impl QueueConsumer {
    /// Delivers or drops a payload. An error means that the exporter cannot continue.
    async fn deliver(&self, queued: QueuedPayload) -> Result<(), ComponentError> {
        let QueuedPayload { payload, turn } = &queued;
        let in_turn = async {
            if let Some(turn) = turn {
                turn.wait().await;
            }
            self.attempts(payload).await
        };
        let outcome = tokio::select! {
            biased;
            () = self.abandoned.cancelled() => {
                Err((DropReason::SHUTDOWN, "not delivered before the shutdown's time limit".to_owned()))
            }
            outcome = in_turn => outcome,
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

    async fn attempts(&self, payload: &Payload) -> Result<Pushed, (DropReason, String)> {
        let retry = &self.config.retry;
        let (backoff, mut failures) = (retry.backoff(), 0_u32);
        let started = Instant::now();
        loop {
            let error = match attempt(&*self.pusher, payload, self.config.timeout).await {
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
            failures = failures.saturating_add(1);
            let wait = backoff.wait(failures).max(after.unwrap_or_default());
            let limit = retry.max_elapsed_time.get();
            if !limit.is_zero() && started.elapsed().saturating_add(wait) > limit {
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

    /// Logs the first drop immediately and later ones at most once per [`WARN_EVERY`]. The counters include every drop.
    fn warn_dropped(&self, reason: DropReason, items: u64, message: &str) {
        let mut unlogged = self.unlogged.lock().unwrap_or_else(PoisonError::into_inner);
        unlogged.items += items;
        if unlogged.silent_until.is_some_and(|until| Instant::now() < until) {
            return;
        }
        let items = std::mem::take(&mut unlogged.items);
        unlogged.silent_until = Some(Instant::now() + WARN_EVERY);
        tracing::warn!(exporter = self.id, %reason, dropped_items = items, error = message, "dropped data");
    }

    /// Logs the drops that are not logged yet, because the counters are lost when the process ends.
    fn warn_unlogged(&self) {
        let items = std::mem::take(&mut self.unlogged.lock().unwrap_or_else(PoisonError::into_inner).items);
        if items > 0 {
            tracing::warn!(
                exporter = self.id,
                dropped_items = items,
                "dropped more data since the last such message"
            );
        }
    }
}

/// Attempts to deliver a payload within the time limit; zero means no limit. A timeout is retryable, because the server may be slow only
/// for a while.
async fn attempt(pusher: &dyn Pusher, payload: &Payload, limit: Duration) -> Result<Pushed, PushError> {
    if limit.is_zero() {
        return pusher.push(payload).await;
    }
    tokio::time::timeout(limit, pusher.push(payload)).await.unwrap_or_else(|_| {
        let message = format!("no response within the timeout of {limit:?}");
        Err(PushError::Retryable { message, after: None })
    })
}

/// The exporter's output is closed. Payloads that were being delivered are dropped for this reason.
const FATAL: DropReason = DropReason::OUTPUT_CLOSED;
