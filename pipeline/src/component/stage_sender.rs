//! [`StageSender`]: sends batches to a stage, and counts them as sent to it.

use std::sync::Arc;

use tokio::sync::mpsc::error::{SendError, TrySendError};
use tokio::sync::mpsc::{Permit, Sender, WeakSender};

use crate::component::accounting::{DropReason, Node};
use crate::model::Batch;

/// The sending side of the channel before a stage. The stage ends when all of its senders have been dropped.
#[derive(Clone)]
pub struct StageSender {
    channel: Sender<Batch>,
    node: Arc<Node>,
}

/// Refers to a stage without keeping it from ending.
#[derive(Clone)]
pub(crate) struct WeakStageSender {
    channel: WeakSender<Batch>,
    node: Arc<Node>,
}

// === impl StageSender ===

impl StageSender {
    /// Makes a sender to the stage with the counters `node`, which reads the other side of `channel`.
    pub fn new(channel: Sender<Batch>, node: Arc<Node>) -> Self {
        node.has_senders();
        Self { channel, node }
    }

    /// Returns the counters of the stage.
    pub(crate) fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// Waits for room and sends.
    ///
    /// # Errors
    /// The stage has ended.
    pub(crate) async fn send(&self, batch: Batch) -> Result<(), SendError<Batch>> {
        match self.channel.reserve().await {
            Ok(permit) => {
                self.send_with(permit, batch);
                Ok(())
            }
            Err(_) => Err(SendError(batch)),
        }
    }

    /// Sends if there is room.
    ///
    /// # Errors
    /// There is no room, or the stage has ended.
    pub(crate) fn try_send(&self, batch: Batch) -> Result<(), TrySendError<Batch>> {
        match self.channel.try_reserve() {
            Ok(permit) => {
                self.send_with(permit, batch);
                Ok(())
            }
            Err(TrySendError::Full(())) => Err(TrySendError::Full(batch)),
            Err(TrySendError::Closed(())) => Err(TrySendError::Closed(batch)),
        }
    }

    /// Sends to a slot that was reserved with [`Self::channel`].
    pub(crate) fn send_with(&self, permit: Permit<'_, Batch>, batch: Batch) {
        // Before the send, so that the stage never has received more than was sent to it.
        self.node.add_sent_to(batch.items());
        permit.send(batch);
    }

    /// Counts a batch as sent to the stage and dropped there, because the stage has ended.
    pub(crate) fn drop_refused(&self, batch: &Batch) {
        self.node.add_sent_to(batch.items());
        self.node.add_incoming(batch.items());
        self.node.drop_batch(DropReason::STAGE_ENDED, batch);
    }

    pub(crate) fn channel(&self) -> &Sender<Batch> {
        &self.channel
    }

    pub(crate) fn downgrade(&self) -> WeakStageSender {
        WeakStageSender { channel: self.channel.downgrade(), node: Arc::clone(&self.node) }
    }
}

// === impl WeakStageSender ===

impl WeakStageSender {
    /// Returns a sender. `None` if all senders were dropped: the stage ends or has ended.
    pub(crate) fn upgrade(&self) -> Option<StageSender> {
        let channel = self.channel.upgrade()?;
        Some(StageSender { channel, node: Arc::clone(&self.node) })
    }
}
