//! Sends the blocks of a file or a socket to the pipelines.

use std::io::Read;

use longwave_pipeline::component::{ComponentError, RecordOutput};
use longwave_pipeline::model::codec::{Block, CodecError, Decoder};
use longwave_pipeline::model::{Batch, ConnectionRecord, PassEnd, UnixNanos};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::config::Speed;
use super::pace::Pace;
use super::receiver::FileLocation;

/// Blocks that are decoded in advance.
const MAX_DECODED: usize = 4;

/// What the reading thread sends; `None` is the end of the file.
type ReadResult = Result<Option<Block>, CodecError>;

/// What was replayed so far.
#[derive(Default)]
struct Progress {
    records: u64,
    /// The latest tick of records and passes.
    tick: UnixNanos,
    /// Tick of a recorded last pass that was not sent yet: another recording may follow, and then the pass is not the last one.
    pending_last_pass: Option<UnixNanos>,
}

/// Replays everything, then sends the end of the last pass. Does so after a stop or an error too, so that exporters receive what was read.
/// `interrupt` ends a read that waits.
pub(super) async fn play(
    decoder: Decoder<impl Read + Send + 'static>,
    interrupt: impl FnOnce(),
    location: FileLocation,
    speed: Speed,
    output: RecordOutput,
    stop: CancellationToken,
) -> Result<(), ComponentError> {
    let (sender, mut steps) = mpsc::channel(MAX_DECODED);
    let reader = tokio::task::spawn_blocking(move || read(decoder, &sender));
    let mut pace = Pace::new(speed);
    let mut progress = Progress::default();
    let result = loop {
        let step = tokio::select! {
            biased;
            () = stop.cancelled() => break Ok(()),
            step = steps.recv() => step,
        };
        let block = match step {
            Some(Ok(Some(block))) => block,
            Some(Ok(None)) => break Ok(()),
            Some(Err(_)) if location.is_socket => {
                break Err(location.error(
                    "the connection was cut: Longwave ended without an end mark, or this program was too slow to read",
                ));
            }
            Some(Err(error)) => {
                break Err(location
                    .error(&format!("{error}; the {} records before it were delivered", progress.records)));
            }
            None => break Err(location.error("the thread that reads the file exited without a result")),
        };
        if let Some(due) = recorded_at(&block).and_then(|time| pace.due(time, Instant::now())) {
            tokio::select! {
                biased;
                () = stop.cancelled() => break Ok(()),
                () = tokio::time::sleep_until(due) => {}
            }
        }
        if matches!(block, Block::Session { .. }) {
            pace.restart();
        }
        if !progress.play(block, &location, &output).await {
            break Ok(());
        }
    };
    output.send(Batch::PassEnd(PassEnd { tick: progress.tick, last: true })).await;
    output.flush().await;
    drop(steps);
    interrupt();
    let read =
        reader.await.map_err(|error| location.error(&format!("the thread that reads the file: {error}")));
    tracing::info!(records = progress.records, "{}: the replay has ended", location.text);
    result.and(read)
}

fn read(mut decoder: Decoder<impl Read>, sender: &mpsc::Sender<ReadResult>) {
    loop {
        let block = decoder.next();
        let ended = !matches!(block, Ok(Some(_)));
        // The channel is closed if the receiver was stopped.
        if sender.blocking_send(block).is_err() || ended {
            return;
        }
    }
}

/// Returns when the block was recorded; `None` if it has no time.
fn recorded_at(block: &Block) -> Option<UnixNanos> {
    match block {
        Block::Records(records) => records.iter().map(|record: &ConnectionRecord| record.observed).max(),
        Block::PassEnd(pass_end) => Some(pass_end.tick),
        Block::Session { .. } | Block::End(_) => None,
    }
}

// === impl Progress ===

impl Progress {
    /// Sends a block. Returns false if no pipeline is left.
    async fn play(&mut self, block: Block, location: &FileLocation, output: &RecordOutput) -> bool {
        match block {
            Block::Session { start, after_interruption } => {
                if after_interruption {
                    tracing::warn!("{}: the recording before this one was interrupted", location.text);
                }
                tracing::info!(host = start.host, "{}: a recording begins", location.text);
                true
            }
            Block::End(_) => true,
            Block::Records(records) => {
                if !self.send_pending_pass(output).await {
                    return false;
                }
                self.records += records.len() as u64;
                self.tick = records.iter().map(|record| record.tick).fold(self.tick, UnixNanos::max);
                output.send(Batch::records(records)).await
            }
            Block::PassEnd(PassEnd { tick, last }) => {
                if !self.send_pending_pass(output).await {
                    return false;
                }
                self.tick = self.tick.max(tick);
                if last {
                    self.pending_last_pass = Some(tick);
                    return true;
                }
                output.send(Batch::PassEnd(PassEnd { tick, last: false })).await
            }
        }
    }

    /// Sends a recorded last pass as an ordinary one, because something follows. Returns false if no pipeline is left.
    async fn send_pending_pass(&mut self, output: &RecordOutput) -> bool {
        match self.pending_last_pass.take() {
            Some(tick) => output.send(Batch::PassEnd(PassEnd { tick, last: false })).await,
            None => true,
        }
    }
}
