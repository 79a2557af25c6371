//! What each task of a running graph does.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::component::{ComponentError, DropReason, Exporter, Node, Processor};
use crate::model::Batch;
use crate::runtime::delivery::SendingQueue;

/// Where a stage's output goes: one channel, or several that share each batch.
pub(super) struct FanOut {
    pub(super) targets: Vec<Entry>,
}

/// A stage's channel from the stage's side. What is in it when the stage ends, in whatever way, is counted as dropped: those upstream
/// have counted it as sent.
pub(super) struct Input {
    receiver: mpsc::Receiver<Batch>,
    /// As in [`Entry`].
    nodes: Vec<Arc<Node>>,
}

/// A stage's channel, and its counters where it has any: a passage has none, and stands for the exporters behind it.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) sender: mpsc::Sender<Batch>,
    pub(super) nodes: Vec<Arc<Node>>,
}

/// A channel with room for so many batches.
pub(super) fn channel(room: usize, nodes: Vec<Arc<Node>>) -> (Entry, Input) {
    let (sender, receiver) = mpsc::channel(room);
    (Entry { sender, nodes: nodes.clone() }, Input { receiver, nodes })
}

/// Runs a processor until its input ends, then lets it push what it holds.
pub(super) async fn run_processor(
    mut processor: Box<dyn Processor>,
    mut input: Input,
    output: FanOut,
    node: Arc<Node>,
) -> Result<(), ComponentError> {
    let mut out = Vec::new();
    while let Some(batch) = input.receiver.recv().await {
        node.add_incoming(batch.items());
        processor.process(batch, &mut out)?;
        output.send_all(&mut out, &node).await;
    }
    processor.finish(&mut out)?;
    output.send_all(&mut out, &node).await;
    Ok(())
}

/// Passes batches on: the stage of a pipeline without processors.
pub(super) async fn run_passage(mut input: Input, output: FanOut) -> Result<(), ComponentError> {
    while let Some(batch) = input.receiver.recv().await {
        output.send(batch).await;
    }
    Ok(())
}

/// Encodes batches and delivers payloads until the input ends, then drains the queue. After a failure it does not wait for the rest of
/// its input: those upstream must be free to end.
pub(super) async fn run_exporter(
    mut exporter: Box<dyn Exporter>,
    mut input: Input,
    mut queue: SendingQueue,
    node: Arc<Node>,
) -> Result<(), ComponentError> {
    let result = export(&mut *exporter, &mut input, &mut queue, &node).await;
    drop(input);
    match result {
        Ok(()) => queue.shutdown().await,
        Err(error) => {
            queue.abandon().await;
            Err(error)
        }
    }
}

async fn export(
    exporter: &mut dyn Exporter,
    input: &mut Input,
    queue: &mut SendingQueue,
    node: &Node,
) -> Result<(), ComponentError> {
    loop {
        let batch = tokio::select! {
            batch = input.receiver.recv() => batch,
            error = queue.failed() => return Err(error),
        };
        let Some(batch) = batch else { return Ok(()) };
        node.add_incoming(batch.items());
        match exporter.encode(&batch) {
            Ok(payloads) => {
                let mut payloads = payloads.into_iter();
                while let Some(payload) = payloads.next() {
                    if let Err(error) = queue.put(payload).await {
                        for left in payloads {
                            node.add_dropped(DropReason::STAGE_ENDED, left.items, left.traffic_bytes);
                        }
                        return Err(error);
                    }
                }
            }
            Err(error) => {
                node.drop_batch(DropReason::ENCODING, &batch);
                tracing::error!(exporter = node.id, %error, "dropped a batch that cannot be encoded");
            }
        }
    }
}

// === impl Input ===

impl Drop for Input {
    fn drop(&mut self) {
        self.receiver.close();
        while let Ok(batch) = self.receiver.try_recv() {
            drop_unread(&self.nodes, &batch);
        }
    }
}

// === impl FanOut ===

impl FanOut {
    async fn send_all(&self, out: &mut Vec<Batch>, node: &Node) {
        for batch in out.drain(..) {
            node.add_outgoing(batch.items());
            self.send(batch).await;
        }
    }

    /// Gives the batch to every target. A target that has ended has failed, which the runtime sees on its own.
    async fn send(&self, batch: Batch) {
        for target in &self.targets {
            if let Err(refused) = target.sender.send(batch.clone()).await {
                drop_unread(&target.nodes, &refused.0);
            }
        }
    }
}

/// A stage that has ended gets no more, but its books must show what was meant for it.
fn drop_unread(nodes: &[Arc<Node>], batch: &Batch) {
    for node in nodes {
        node.add_incoming(batch.items());
        node.drop_batch(DropReason::STAGE_ENDED, batch);
    }
}
