//! The tasks of a running graph.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::component::{ComponentError, DropReason, Exporter, Node, Processor, StageProgress};
use crate::model::Batch;
use crate::runtime::delivery::SendingQueue;

/// The output of a stage: one channel, or several that share each batch.
pub(super) struct FanOut {
    pub(super) targets: Vec<StageSender>,
}

/// The input of a stage. Batches that are in the channel when the stage ends are counted as dropped, because the sender counted them as
/// sent.
pub(super) struct Input {
    receiver: mpsc::Receiver<Batch>,
    /// As in [`StageSender`].
    nodes: Vec<Arc<Node>>,
}

/// Sends to a stage. `nodes` are the counters of the stage, or those of the exporters if the stage only passes batches on.
#[derive(Clone)]
pub(super) struct StageSender {
    pub(super) channel: mpsc::Sender<Batch>,
    pub(super) nodes: Vec<Arc<Node>>,
}

/// Makes the channel of a stage, with a capacity of `room` batches.
pub(super) fn channel(room: usize, nodes: Vec<Arc<Node>>) -> (StageSender, Input) {
    let (channel, receiver) = mpsc::channel(room);
    (StageSender { channel, nodes: nodes.clone() }, Input { receiver, nodes })
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
    while let Some(batch) = input.receiver.recv().await {
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
    while let Some(batch) = input.receiver.recv().await {
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
    let result = export(&mut *exporter, &mut input, &mut queue, &node, &progress).await;
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
    progress: &StageProgress,
) -> Result<(), ComponentError> {
    loop {
        let batch = tokio::select! {
            batch = input.receiver.recv() => batch,
            error = queue.failed() => return Err(error),
        };
        let Some(batch) = batch else { return Ok(()) };
        node.add_incoming(batch.items());
        let busy = progress.busy();
        let encoded = exporter.encode(&batch);
        drop(busy);
        match encoded {
            Ok(payloads) => queue.put_batch(queue.delay(&batch), payloads).await?,
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

    /// Sends the batch to every target. A target ends early only if it failed. The runtime detects that failure, so no error is returned.
    async fn send(&self, batch: Batch) {
        for target in &self.targets {
            if let Err(refused) = target.channel.send(batch.clone()).await {
                drop_unread(&target.nodes, &refused.0);
            }
        }
    }
}

/// Counts a batch that was sent to a stage that has ended.
fn drop_unread(nodes: &[Arc<Node>], batch: &Batch) {
    for node in nodes {
        node.add_incoming(batch.items());
        node.drop_batch(DropReason::STAGE_ENDED, batch);
    }
}
