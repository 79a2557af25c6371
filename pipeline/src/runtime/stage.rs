//! What each task of a running graph does.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::accounting::{DropReason, Node};
use crate::batch::Batch;
use crate::component::{ComponentError, Exporter, Processor};
use crate::delivery::queue::SendingQueue;

/// Where a stage's output goes: one channel, or several that share each batch.
pub(super) struct FanOut {
    pub(super) targets: Vec<mpsc::Sender<Batch>>,
}

/// Runs a processor until its input ends, then lets it push what it holds.
pub(super) async fn run_processor(
    mut processor: Box<dyn Processor>,
    mut input: mpsc::Receiver<Batch>,
    output: FanOut,
    node: Arc<Node>,
) -> Result<(), ComponentError> {
    let mut out = Vec::new();
    while let Some(batch) = input.recv().await {
        node.add_incoming(batch.items());
        processor.process(batch, &mut out)?;
        output.send_all(&mut out, &node).await;
    }
    processor.finish(&mut out)?;
    output.send_all(&mut out, &node).await;
    Ok(())
}

/// Passes batches on: the stage of a pipeline without processors.
pub(super) async fn run_passage(
    mut input: mpsc::Receiver<Batch>,
    output: FanOut,
) -> Result<(), ComponentError> {
    while let Some(batch) = input.recv().await {
        output.send(batch).await;
    }
    Ok(())
}

/// Encodes batches and delivers payloads until the input ends, then drains the queue.
pub(super) async fn run_exporter(
    mut exporter: Box<dyn Exporter>,
    mut input: mpsc::Receiver<Batch>,
    mut queue: SendingQueue,
    node: Arc<Node>,
) -> Result<(), ComponentError> {
    loop {
        let batch = tokio::select! {
            batch = input.recv() => batch,
            error = queue.failed() => {
                // Nothing reads any more: what still comes is counted, so that upstream stages can end.
                drain(input, &node).await;
                return Err(error);
            }
        };
        let Some(batch) = batch else { break };
        node.add_incoming(batch.items());
        match exporter.encode(&batch) {
            Ok(payloads) => {
                for payload in payloads {
                    queue.put(payload).await?;
                }
            }
            Err(error) => {
                node.drop_batch(DropReason::ENCODING, &batch);
                tracing::error!(exporter = node.id, %error, "dropped a batch that cannot be encoded");
            }
        }
    }
    queue.shutdown().await
}

async fn drain(mut input: mpsc::Receiver<Batch>, node: &Node) {
    input.close();
    while let Some(batch) = input.recv().await {
        node.add_incoming(batch.items());
        node.drop_batch(DropReason::STAGE_ENDED, &batch);
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
            let _ = target.send(batch.clone()).await;
        }
    }
}
