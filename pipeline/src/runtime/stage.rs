//! The tasks of a running graph.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::component::{ComponentError, DropReason, Exporter, Node, Processor, StageProgress, StageSender};
use crate::model::Batch;
use crate::runtime::delivery::{Batcher, SendingQueue};

/// The output of a stage: one channel, or several that share each batch. A reload may replace the targets between two batches.
pub(super) struct FanOut {
    targets: Arc<Targets>,
}

/// Changes the targets of a [`FanOut`]. Does not keep them from ending.
#[derive(Clone)]
pub(super) struct FanOutHandle(Weak<Targets>);

/// The targets. The list is replaced as a whole.
type Targets = RwLock<Arc<[Arc<Target>]>>;

/// `None` if the stage no longer sends to it.
type Target = Mutex<Option<StageSender>>;

/// The input of a stage. Batches that are in the channel when the stage ends are counted as dropped, because the sender counted them as
/// sent.
pub(super) struct Input {
    receiver: mpsc::Receiver<Batch>,
    /// A batch that was received and has not been returned yet.
    next: Option<Batch>,
    /// Counters of the stage.
    node: Arc<Node>,
}

/// Makes the channel of a stage, with a capacity of `room` batches.
pub(super) fn channel(room: usize, node: &Arc<Node>) -> (StageSender, Input) {
    let (channel, receiver) = mpsc::channel(room);
    (StageSender::new(channel, Arc::clone(node)), Input { receiver, next: None, node: Arc::clone(node) })
}

/// Runs a processor until its input ends, and then sends its remaining results.
pub(super) async fn run_processor(
    mut processor: Box<dyn Processor>,
    mut input: Input,
    output: FanOut,
    node: Arc<Node>,
    progress: StageProgress,
) -> Result<(), ComponentError> {
    let mut out = Vec::new();
    while let Some(batch) = input.recv().await {
        node.add_incoming(batch.items());
        let busy = progress.busy();
        processor.process(batch, &mut out)?;
        drop(busy);
        output.send_all(&mut out, &node).await;
    }
    let busy = progress.busy();
    processor.finish(&mut out)?;
    drop(busy);
    output.send_all(&mut out, &node).await;
    Ok(())
}

/// Passes batches on. This is the stage of a pipeline without processors.
pub(super) async fn pass_on(mut input: Input, output: FanOut) -> Result<(), ComponentError> {
    let node = Arc::clone(&input.node);
    while let Some(batch) = input.recv().await {
        node.add_incoming(batch.items());
        node.add_outgoing(batch.items());
        output.send(batch).await;
    }
    Ok(())
}

/// Encodes batches and delivers payloads until the input ends, and then drains the queue. After a failure it closes its input without
/// reading the rest, so that the stages before it can end.
pub(super) async fn run_exporter(
    mut exporter: Box<dyn Exporter>,
    mut input: Input,
    mut queue: SendingQueue,
    node: Arc<Node>,
    progress: StageProgress,
) -> Result<(), ComponentError> {
    let mut batcher = Batcher::new(&exporter.delivery().queue, Arc::clone(&node));
    let result = match open_storage(&mut queue, &mut input).await {
        Ok(()) => export(&mut *exporter, &mut input, &mut batcher, &mut queue, &node, &progress).await,
        Err(error) => Err(error),
    };
    drop(batcher);
    drop(input);
    match result {
        Ok(()) => queue.shutdown().await,
        Err(error) => {
            queue.abandon().await;
            Err(error)
        }
    }
}

/// Opens the storage of the queue. If the input ends before anything has arrived, there is nothing to store, and this does not wait: a reload that
/// is refused stops an exporter whose former instance still has the storage.
async fn open_storage(queue: &mut SendingQueue, input: &mut Input) -> Result<(), ComponentError> {
    let opening = queue.open_storage();
    tokio::pin!(opening);
    tokio::select! {
        biased;
        opened = &mut opening => opened,
        has_batch = input.has_batch() => if has_batch { opening.await } else { Ok(()) },
    }
}

async fn export(
    exporter: &mut dyn Exporter,
    input: &mut Input,
    batcher: &mut Batcher,
    queue: &mut SendingQueue,
    node: &Node,
    progress: &StageProgress,
) -> Result<(), ComponentError> {
    loop {
        let batch = tokio::select! {
            batch = input.recv() => batch,
            () = batcher.due() => {
                queue.put_batch(Duration::ZERO, batcher.take().into_iter().collect()).await?;
                continue;
            }
            error = queue.failed() => return Err(error),
        };
        let Some(batch) = batch else {
            return queue.put_batch(Duration::ZERO, batcher.take().into_iter().collect()).await;
        };
        node.add_incoming(batch.items());
        queue.set_tick(&batch);
        let busy = progress.busy();
        let encoded = exporter.encode(&batch);
        drop(busy);
        match encoded {
            Ok(payloads) => queue.put_batch(queue.delay(&batch), batcher.add(payloads)).await?,
            Err(error) => {
                node.drop_batch(DropReason::ENCODING, &batch);
                tracing::error!(exporter = node.id, %error, "dropped a batch that cannot be encoded");
            }
        }
    }
}

// === impl Input ===

impl Input {
    /// Waits for the next batch. `None` if the input has ended.
    async fn recv(&mut self) -> Option<Batch> {
        match self.next.take() {
            None => self.receiver.recv().await,
            next => next,
        }
    }

    /// Waits for the next batch, which stays. False if the input has ended.
    async fn has_batch(&mut self) -> bool {
        if self.next.is_none() {
            self.next = self.receiver.recv().await;
        }
        self.next.is_some()
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.receiver.close();
        while let Some(batch) = self.next.take().or_else(|| self.receiver.try_recv().ok()) {
            self.node.add_incoming(batch.items());
            self.node.drop_batch(DropReason::STAGE_ENDED, &batch);
        }
    }
}

// === impl FanOut ===

impl FanOut {
    pub(super) fn new(targets: Vec<StageSender>) -> Self {
        let targets = targets.into_iter().map(|target| Arc::new(Mutex::new(Some(target))));
        Self { targets: Arc::new(RwLock::new(targets.collect())) }
    }

    pub(super) fn handle(&self) -> FanOutHandle {
        FanOutHandle(Arc::downgrade(&self.targets))
    }

    async fn send_all(&self, out: &mut Vec<Batch>, node: &Node) {
        for batch in out.drain(..) {
            node.add_outgoing(batch.items());
            self.send(batch).await;
        }
    }

    /// Sends the batch to every target. A target ends early only if it failed. The runtime detects that failure, so no error is returned.
    async fn send(&self, batch: Batch) {
        let targets = Arc::clone(&self.targets.read().unwrap_or_else(PoisonError::into_inner));
        for target in targets.iter() {
            // Only the sender to this target is kept while it has no room: another one that a reload has removed has to end.
            let sender = lock(target).clone();
            let Some(sender) = sender else { continue };
            if let Err(refused) = sender.send(batch.clone()).await {
                sender.drop_refused(&refused.0);
            }
        }
    }
}

// === impl FanOutHandle ===

impl FanOutHandle {
    /// Replaces the targets, from the next batch on. A target is recognized by its counters. Has no effect if the stage has ended.
    pub(super) fn set(&self, senders: Vec<StageSender>) {
        let Some(targets) = self.0.upgrade() else { return };
        let mut list = targets.write().unwrap_or_else(PoisonError::into_inner);
        let mut removed: Vec<_> = list.to_vec();
        let replaced = senders.into_iter().map(|sender| {
            let is_same = |target: &Arc<Target>| {
                lock(target).as_ref().is_some_and(|known| Arc::ptr_eq(known.node(), sender.node()))
            };
            match removed.iter().position(is_same) {
                Some(index) => {
                    let target = removed.swap_remove(index);
                    *lock(&target) = Some(sender);
                    target
                }
                None => Arc::new(Mutex::new(Some(sender))),
            }
        });
        *list = replaced.collect();
        for target in removed {
            lock(&target).take();
        }
    }
}

fn lock(target: &Target) -> MutexGuard<'_, Option<StageSender>> {
    target.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
