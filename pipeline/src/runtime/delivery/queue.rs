//! [`SendingQueue`]: the queue between an exporter's encoder and its pusher.
//!
//! Every payload is delivered, rejected by the server, or dropped with a reason. Until then its items count as `held` ([`Node::held`]). What is
//! left at the end stays in the storage, if there is one, and counts as `kept` ([`Node::kept`]).
//!
//! A full queue drops its oldest payloads, while the Collector refuses new ones. After an outage the newest data is more useful: a newer
//! cumulative sum includes the older ones, and the newest access logs explain the present state. Payloads of the batch that is being added
//! are dropped only if the server does not respond. Otherwise a batch larger than the queue would lose data with a healthy server.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::bounded_queue::{BoundedQueue, QueueLimits, QueuedPayload, TakenPayload};
use super::consumer::QueueConsumer;
use super::export_phase::{ExportPhase, PhaseWait};
use super::order::DeliveryOrder;
use super::report::DeliveryReport;
use crate::component::host::memory_limit;
use crate::component::{ComponentError, DeliveryConfig, DropReason, Node, Payload, Pusher, Sizer, Storage};
use crate::model::{Batch, UnixNanos};

mod stored;

/// Time for queued payloads to be delivered at a shutdown: half of Kubernetes' default grace period.
pub(crate) const SHUTDOWN_LIMIT: Duration = Duration::from_secs(15);

/// Time for which a batch that is larger than the queue waits for room, while the server responds.
const ROOM_LIMIT: Duration = Duration::from_secs(5);

/// A queue and its consumers.
pub(crate) struct SendingQueue {
    /// `None` if payloads are not queued.
    queue: Option<Arc<BoundedQueue>>,
    consumers: JoinSet<Result<(), ComponentError>>,
    block_on_overflow: bool,
    wait_for_result: bool,
    phase: ExportPhase,
    spread: Duration,
    /// `None` if the order does not matter.
    order: Option<Arc<DeliveryOrder>>,
    /// Number of batches so far.
    batches: u64,
    /// Tick that is stored with the payloads: the end of their window, or the last watermark before their records.
    tick: UnixNanos,
    /// Storage of the payloads. `None` if there is none, or once it is open.
    storage: Option<Arc<dyn Storage>>,
    consumer: Arc<QueueConsumer>,
    /// Cancels `abandoned` when [`SHUTDOWN_LIMIT`] has passed after `closing`. Ends with the queue.
    _timer: JoinSet<()>,
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
        let settings = config.queue.clone();
        let report = DeliveryReport::new(id, node.signal);
        let consumer = Arc::new(QueueConsumer {
            pusher,
            config,
            node,
            closing,
            abandoned,
            report,
            storage: OnceLock::new(),
            keeps_stored: AtomicBool::new(false),
        });
        let mut consumers = JoinSet::new();
        let queue = settings.enabled.then(|| {
            let bytes = settings.max_bytes(memory_limit(Path::new("/proc")));
            let limits = QueueLimits { sizer: settings.sizer, size: settings.queue_size, bytes };
            BoundedQueue::new(limits, Arc::clone(&consumer.node))
        });
        if let Some(queue) = &queue {
            for _ in 0..settings.num_consumers {
                consumers.spawn(consume(Arc::clone(queue), Arc::clone(&consumer)));
            }
        }
        Self {
            queue,
            consumers,
            block_on_overflow: settings.block_on_overflow,
            wait_for_result: settings.wait_for_result,
            phase: ExportPhase::default(),
            spread: settings.spread(),
            order: is_ordered.then(DeliveryOrder::new),
            batches: 0,
            tick: UnixNanos(0),
            storage: None,
            consumer,
            _timer: timer,
        }
    }

    /// Sets the storage of the payloads. [`Self::open_storage`] opens it.
    pub(crate) fn with_storage(self, storage: Option<Arc<dyn Storage>>) -> Self {
        Self { storage: storage.filter(|_| self.queue.is_some()), ..self }
    }

    /// Updates the tick, before the payloads of `batch` are added.
    pub(crate) fn set_tick(&mut self, batch: &Batch) {
        match batch {
            Batch::Window(window) => self.tick = window.end,
            Batch::PassEnd(pass) => self.tick = pass.tick,
            Batch::Records(_) => {}
        }
    }

    /// Delays windows by a phase. Without this they are not delayed.
    pub(crate) fn with_phase(self, phase: ExportPhase) -> Self {
        Self { phase, ..self }
    }

    /// Returns how long the payloads of a batch have to wait before their first attempt. Only windows wait.
    pub(crate) fn delay(&self, batch: &Batch) -> Duration {
        match batch {
            Batch::Window(window) => self.phase.delay(window, self.spread, UnixNanos::now()),
            Batch::Records(_) | Batch::PassEnd(_) => Duration::ZERO,
        }
    }

    /// Adds the payloads of the next batch. Their first attempts wait for `delay`, unless the pipeline would wait for them, the queue becomes
    /// more than half full, or it is shut down. After an error the payloads that were not added are counted as dropped.
    ///
    /// Waits for room only if `block_on_overflow` is set, there is no queue, or the batch alone is larger than the queue. Waits for the results
    /// if `wait_for_result` is set.
    pub(crate) async fn put_batch(
        &mut self,
        delay: Duration,
        payloads: Vec<Payload>,
    ) -> Result<(), ComponentError> {
        self.batches += 1;
        let wait = if self.wait_for_result || self.queue.is_none() { None } else { PhaseWait::new(delay) };
        let (done, mut all_done) = mpsc::channel(1);
        let mut payloads = payloads.into_iter();
        while let Some(payload) = payloads.next() {
            if let Err(error) = self.put(payload, wait.clone(), done.clone()).await {
                for left in payloads {
                    self.consumer.node.add_dropped(DropReason::STAGE_ENDED, left.items, left.traffic_bytes);
                }
                return Err(error);
            }
        }
        drop(done);
        self.drop_removed().await;
        if !self.wait_for_result {
            return Ok(());
        }
        tokio::select! {
            // Nothing is sent: it resolves when the last sender is dropped.
            _ = all_done.recv() => self.failure(),
            error = self.failed() => Err(error),
        }
    }

    async fn put(
        &mut self,
        payload: Payload,
        wait: Option<PhaseWait>,
        done: mpsc::Sender<()>,
    ) -> Result<(), ComponentError> {
        self.consumer.node.add_held(payload.items);
        let turn = self.order.as_ref().map(|order| order.add(self.batches));
        let done = self.wait_for_result.then_some(done);
        let queued = QueuedPayload { payload, stored: None, batch: self.batches, turn, wait, _done: done };
        let Some(queue) = self.queue.clone() else {
            return self.consumer.deliver(queued).await;
        };
        if !queue.limits().allow_alone(&queued.payload) {
            let message = too_large(queue.limits(), &queued.payload);
            self.consumer.drop_payload(&queued.payload, DropReason::QUEUE_FULL, &message);
            return self.failure();
        }
        if let Some(wait) = &queued.wait
            && queue.is_half_full_with(&queued.payload)
        {
            // Otherwise there might be no room for the rest of the window and for the next one.
            wait.end();
        }
        let room = if self.block_on_overflow {
            tokio::select! {
                () = queue.wait_for_room(&queued.payload) => Ok(()),
                error = self.failed() => Err(error),
            }
        } else {
            self.make_room(&queue, &queued.payload).await
        };
        if let Err(error) = room {
            self.consumer.drop_payload(&queued.payload, DropReason::STAGE_ENDED, "the exporter has failed");
            return Err(error);
        }
        if queue.has_room(&queued.payload) {
            self.store_and_add(&queue, queued).await;
        } else {
            self.consumer.drop_payload(&queued.payload, DropReason::QUEUE_FULL, QUEUE_FULL);
        }
        self.failure()
    }

    /// Drops the oldest payloads, until there is room for `payload` or all remaining ones are being delivered.
    async fn make_room(&mut self, queue: &BoundedQueue, payload: &Payload) -> Result<(), ComponentError> {
        self.drop_oldest(queue, payload, self.batches).await;
        if queue.has_room(payload) {
            return Ok(());
        }
        let consumer = Arc::clone(&self.consumer);
        tokio::select! {
            biased;
            () = queue.wait_for_room(payload) => return Ok(()),
            error = self.failed() => return Err(error),
            () = consumer.report.down() => {}
            () = tokio::time::sleep(ROOM_LIMIT) => {}
        }
        self.drop_oldest(queue, payload, u64::MAX).await;
        Ok(())
    }

    /// Drops the oldest payloads of batches before `batch`, as many as are necessary.
    async fn drop_oldest(&self, queue: &BoundedQueue, payload: &Payload, batch: u64) {
        for oldest in queue.remove_oldest(payload, batch) {
            self.consumer.drop_queued(&oldest, DropReason::QUEUE_FULL, QUEUE_FULL).await;
        }
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

    /// Delivers the queued payloads, each with one attempt, for at most [`SHUTDOWN_LIMIT`]. If they are stored, the storage keeps those that wait
    /// after the first failure, or when the next instance of the exporter waits for the queue.
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
        let queue = self.queue.take();
        if let Some(queue) = &queue {
            queue.close();
        }
        let mut result = Ok(());
        while let Some(ended) = self.consumers.join_next().await {
            let ended = ended
                .unwrap_or_else(|panic| Err(ComponentError::with_source("a sending task panicked", panic)));
            result = result.and(ended);
        }
        // If consumers failed, payloads are still in the queue.
        for left in queue.iter().flat_map(|queue| queue.remove_all()) {
            if left.stored.is_some() {
                self.consumer.keep(&left);
            } else {
                self.consumer.drop_payload(&left.payload, DropReason::STAGE_ENDED, "the exporter has failed");
            }
        }
        self.close_storage().await;
        self.consumer.report.finish();
        result
    }
}

const QUEUE_FULL: &str = "the sending queue is full: the server is down, or slower than the traffic";

/// Explains that a payload does not fit into an empty queue.
fn too_large(limits: QueueLimits, payload: &Payload) -> String {
    let QueueLimits { sizer, size, bytes } = limits;
    let (unit, len) = match sizer {
        Sizer::Requests => ("requests", 1),
        Sizer::Items => ("items", payload.items),
        Sizer::Bytes => ("bytes", payload.bytes.len() as u64),
    };
    if len > size {
        format!(
            "a request of {len} {unit} is larger than the whole queue: increase sending_queue::queue_size (now {size} {unit})"
        )
    } else {
        let len = payload.bytes.len();
        format!(
            "a request of {len} bytes is larger than the whole queue: increase sending_queue::max_bytes (now {bytes})"
        )
    }
}

async fn consume(queue: Arc<BoundedQueue>, consumer: Arc<QueueConsumer>) -> Result<(), ComponentError> {
    while let Some(taken) = queue.take().await {
        // `_room` is dropped, and frees the room, when the delivery has ended.
        let TakenPayload { queued, _room } = taken;
        consumer.deliver(queued).await?;
    }
    Ok(())
}
