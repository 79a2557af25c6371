//! From the file into the pipelines.

use std::io::Read;

use longwave_pipeline::component::{ComponentError, RecordOutput};
use longwave_pipeline::model::codec::{Block, CodecError, Decoder};
use longwave_pipeline::model::{Batch, ConnectionRecord, PassEnd, UnixNanos};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::pace::Pace;
use super::{Place, Speed};

/// Blocks that are decoded ahead.
const AHEAD: usize = 4;

/// What the reading thread hands over; `None` is the end of the file.
type Step = Result<Option<Block>, CodecError>;

/// What was played so far.
#[derive(Default)]
struct Progress {
    records: u64,
    /// The latest tick of records and passes.
    tick: UnixNanos,
    /// A recorded last pass. It is the last one only at the file's end: another recording may follow.
    held: Option<UnixNanos>,
}

/// Plays everything, then the last pass's end; also after a stop or a fault, so that what was read reaches the exporters.
pub(super) async fn play(
    decoder: Decoder<impl Read + Send + 'static>,
    place: Place,
    speed: Speed,
    output: RecordOutput,
    stop: CancellationToken,
) -> Result<(), ComponentError> {
    let (sender, mut steps) = mpsc::channel(AHEAD);
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
            Some(Err(error)) => {
                break Err(place
                    .error(&format!("{error}; the {} records before it were delivered", progress.records)));
            }
            None => break Err(place.error("the thread that reads the file has ended without a result")),
        };
        if let Some(due) = moment(&block).and_then(|time| pace.due(time, Instant::now())) {
            tokio::select! {
                biased;
                () = stop.cancelled() => break Ok(()),
                () = tokio::time::sleep_until(due) => {}
            }
        }
        if matches!(block, Block::Session { .. }) {
            pace.restart();
        }
        if !progress.play(block, &place, &output).await {
            break Ok(());
        }
    };
    output.send(Batch::PassEnd(PassEnd { tick: progress.tick, last: true })).await;
    output.flush().await;
    drop(steps);
    let read = reader.await.map_err(|error| place.error(&format!("the thread that reads the file: {error}")));
    tracing::info!(records = progress.records, "{}: the replay has ended", place.0);
    result.and(read)
}

fn read(mut decoder: Decoder<impl Read>, sender: &mpsc::Sender<Step>) {
    loop {
        let step = decoder.next();
        let ended = !matches!(step, Ok(Some(_)));
        // Nobody takes it: the receiver was stopped.
        if sender.blocking_send(step).is_err() || ended {
            return;
        }
    }
}

/// When the block was sent, as far as it tells.
fn moment(block: &Block) -> Option<UnixNanos> {
    match block {
        Block::Records(records) => records.iter().map(|record: &ConnectionRecord| record.observed).max(),
        Block::PassEnd(pass_end) => Some(pass_end.tick),
        Block::Session { .. } | Block::End(_) => None,
    }
}

// === impl Progress ===

impl Progress {
    /// False if no pipeline is left.
    async fn play(&mut self, block: Block, place: &Place, output: &RecordOutput) -> bool {
        match block {
            Block::Session { start, after_interruption } => {
                if after_interruption {
                    tracing::warn!("{}: the recording before this one was not ended in order", place.0);
                }
                tracing::info!(host = start.host, "{}: a recording begins", place.0);
                true
            }
            Block::End(_) => true,
            Block::Records(records) => {
                if !self.release(output).await {
                    return false;
                }
                self.records += records.len() as u64;
                self.tick = records.iter().map(|record| record.tick).fold(self.tick, UnixNanos::max);
                output.send(Batch::records(records)).await
            }
            Block::PassEnd(PassEnd { tick, last }) => {
                if !self.release(output).await {
                    return false;
                }
                self.tick = self.tick.max(tick);
                if last {
                    self.held = Some(tick);
                    return true;
                }
                output.send(Batch::PassEnd(PassEnd { tick, last: false })).await
            }
        }
    }

    /// Something follows a recorded last pass: it was an ordinary one.
    async fn release(&mut self, output: &RecordOutput) -> bool {
        match self.held.take() {
            Some(tick) => output.send(Batch::PassEnd(PassEnd { tick, last: false })).await,
            None => true,
        }
    }
}
