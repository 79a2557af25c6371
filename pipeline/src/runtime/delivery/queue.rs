//! [`SendingQueue`]: between an exporter's encoder and its pusher.
//!
//! Every payload that enters leaves in exactly one way: delivered, rejected, or dropped with a reason; until then it is held.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::component::{
    ComponentError, DeliveryConfig, DropReason, Node, Payload, PushError, Pushed, Pusher,
};

/// How long a shutdown waits for what is queued: half of what Kubernetes grants by default.
pub(crate) const SHUTDOWN_LIMIT: Duration = Duration::from_secs(15);

/// Between two warnings of one exporter about dropped data.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// A queue and its consumers.
pub(crate) struct SendingQueue {
    sender: Option<mpsc::Sender<Payload>>,
    /// What the consumers share; kept for what they leave when they fail.
    receiver: Option<Arc<Mutex<mpsc::Receiver<Payload>>>>,
    consumers: JoinSet<Result<(), ComponentError>>,
    block_on_overflow: bool,
    courier: Arc<Courier>,
    /// From `closing` on it counts the time until `abandoned`; ends with the queue.
    _timer: JoinSet<()>,
}

/// Delivers one payload at a time, with retries.
struct Courier {
    id: String,
    pusher: Arc<dyn Pusher>,
    settings: DeliveryConfig,
    node: Arc<Node>,
    /// Fires when the graph stops, or when nothing more comes: retries end, each payload gets one more attempt.
    closing: CancellationToken,
    /// Fires when the shutdown's time is over.
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
    /// `stop` fires when the graph stops: a pipeline that waits for room must not wait for a server that is down any longer.
    pub(crate) fn start(
        id: &str,
        pusher: Arc<dyn Pusher>,
        settings: DeliveryConfig,
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
        let queue = settings.queue.clone();
        let courier = Arc::new(Courier {
            id: id.to_owned(),
            pusher,
            settings,
            node,
            closing,
            abandoned,
            quiet: std::sync::Mutex::default(),
        });
        let mut consumers = JoinSet::new();
        let (sender, receiver) = if queue.enabled {
            courier.node.set_queue_capacity(queue.queue_size as u64);
            let (sender, receiver) = mpsc::channel(queue.queue_size);
            let receiver = Arc::new(Mutex::new(receiver));
            for _ in 0..queue.num_consumers {
                consumers.spawn(consume(Arc::clone(&receiver), Arc::clone(&courier)));
            }
            (Some(sender), Some(receiver))
        } else {
            (None, None)
        };
        let block_on_overflow = queue.block_on_overflow;
        Self { sender, receiver, consumers, block_on_overflow, courier, _timer: timer }
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
        let refuse = |reason| {
            node.sub_queued();
            node.sub_held(items);
            node.add_dropped(reason, items, bytes);
        };
        if self.block_on_overflow {
            let sender = sender.clone();
            tokio::select! {
                permit = sender.reserve() => match permit {
                    Ok(permit) => permit.send(payload),
                    Err(_) => refuse(DropReason::STAGE_ENDED),
                },
                error = self.failed() => {
                    refuse(DropReason::STAGE_ENDED);
                    return Err(error);
                }
            }
        } else if sender.try_send(payload).is_err() {
            // Its other end is ours, so that it cannot be closed.
            refuse(DropReason::QUEUE_FULL);
            self.courier.warn_dropped(
                DropReason::QUEUE_FULL,
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
        let result = self.drain().await;
        result.and(self.courier.pusher.shutdown().await)
    }

    /// Delivery has failed for good: what is queued or on its way is counted as dropped.
    pub(crate) async fn abandon(mut self) {
        self.courier.abandoned.cancel();
        // Why it failed is known already.
        let _ = self.drain().await;
        let _ = self.courier.pusher.shutdown().await;
    }

    async fn drain(&mut self) -> Result<(), ComponentError> {
        self.courier.closing.cancel();
        self.sender = None;
        let mut result = Ok(());
        while let Some(ended) = self.consumers.join_next().await {
            let ended = ended
                .unwrap_or_else(|panic| Err(ComponentError::with_source("a sending task panicked", panic)));
            result = result.and(ended);
        }
        // Consumers that failed leave what they had not begun.
        if let Some(receiver) = self.receiver.take() {
            let (mut receiver, node) = (receiver.lock().await, &self.courier.node);
            while let Ok(Payload { items, traffic_bytes, .. }) = receiver.try_recv() {
                node.sub_queued();
                node.sub_held(items);
                node.add_dropped(DropReason::STAGE_ENDED, items, traffic_bytes);
            }
        }
        self.courier.warn_rest();
        result
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
            biased;
            () = self.abandoned.cancelled() => {
                Err((DropReason::SHUTDOWN, "not delivered within the shutdown's time".to_owned()))
            }
            outcome = self.attempts(&payload) => outcome,
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
        let retry = &self.settings.retry;
        let (backoff, mut failures) = (retry.backoff(), 0_u32);
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

    /// The counters end with the process: what the log was spared is said before.
    fn warn_rest(&self) {
        let items = std::mem::take(&mut self.quiet.lock().unwrap_or_else(PoisonError::into_inner).items);
        if items > 0 {
            tracing::warn!(
                exporter = self.id,
                dropped_items = items,
                "dropped more data since the last such message"
            );
        }
    }
}

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

/// The exporter's output is gone; what was on its way counts as dropped for this reason.
const FATAL: DropReason = DropReason("output_closed");
