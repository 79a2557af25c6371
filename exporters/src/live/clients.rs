//! [`Clients`]: the connected programs, each with a queue of its own.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use longwave_pipeline::model::codec::{Encoder, SessionEnd};
use tokio::sync::mpsc;

/// The connected programs, and how many have been disconnected.
#[derive(Debug)]
pub(super) struct Clients {
    max: usize,
    max_bytes: u64,
    connected: Mutex<Vec<ClientQueue>>,
    /// Clients that were accepted.
    pub(super) accepted: AtomicU64,
    /// Clients that were refused because `max` were connected.
    pub(super) refused: AtomicU64,
    /// Clients that were disconnected because they read too slowly.
    pub(super) slow: AtomicU64,
}

/// Blocks that wait for one client.
#[derive(Debug)]
struct ClientQueue {
    blocks: mpsc::UnboundedSender<Bytes>,
    /// Bytes in `blocks`; the writer subtracts what it has written.
    waiting: Arc<AtomicU64>,
    /// Records and bytes that were sent since the session block, for the end mark.
    sent: SessionEnd,
}

/// The writer's end of a client's queue.
pub(super) struct ClientBlocks {
    pub(super) blocks: mpsc::UnboundedReceiver<Bytes>,
    pub(super) waiting: Arc<AtomicU64>,
}

// === impl Clients ===

impl Clients {
    pub(super) fn new(max: u16, max_bytes: u64) -> Self {
        Self {
            max: usize::from(max),
            max_bytes,
            connected: Mutex::default(),
            accepted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            slow: AtomicU64::new(0),
        }
    }

    /// Returns the number of connected clients.
    pub(super) fn len(&self) -> usize {
        self.connected().len()
    }

    /// Adds a client, whose first blocks are the file's header and the session. Returns `None` if the maximum number is connected.
    pub(super) fn add(&self, header: &[u8], session: &[u8]) -> Option<ClientBlocks> {
        let mut connected = self.connected();
        if connected.len() >= self.max {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let (sender, blocks) = mpsc::unbounded_channel();
        let first: Bytes = [header, session].concat().into();
        let waiting = Arc::new(AtomicU64::new(first.len() as u64));
        // The receiver exists.
        let _ = sender.send(first);
        let sent = SessionEnd { bytes: session.len() as u64, records: 0 };
        connected.push(ClientQueue { blocks: sender, waiting: Arc::clone(&waiting), sent });
        self.accepted.fetch_add(1, Ordering::Relaxed);
        Some(ClientBlocks { blocks, waiting })
    }

    /// Queues blocks with `records` records for every client. Disconnects clients for which more than the maximum would wait.
    pub(super) fn send(&self, blocks: &Bytes, records: u64) {
        let mut connected = self.connected();
        let length = blocks.len() as u64;
        connected.retain_mut(|client| {
            if client.waiting.load(Ordering::Relaxed) + length > self.max_bytes {
                self.slow.fetch_add(1, Ordering::Relaxed);
                return false;
            }
            client.waiting.fetch_add(length, Ordering::Relaxed);
            client.sent.bytes += length;
            client.sent.records += records;
            client.blocks.send(blocks.clone()).is_ok()
        });
    }

    /// Sends every client the end mark and disconnects it after what it has not read yet.
    pub(super) fn end(&self) {
        let mut connected = self.connected();
        let mut encoder = Encoder::default();
        for client in connected.drain(..) {
            let mut mark = Vec::new();
            if encoder.session_end(client.sent, &mut mark).is_ok() {
                let _ = client.blocks.send(mark.into());
            }
        }
    }

    /// Returns the clients, without those that have gone.
    fn connected(&self) -> MutexGuard<'_, Vec<ClientQueue>> {
        let mut connected = self.connected.lock().unwrap_or_else(PoisonError::into_inner);
        connected.retain(|client| !client.blocks.is_closed());
        connected
    }
}
