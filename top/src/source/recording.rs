//! [`Recording`]: shows any time of a record file. Opening it builds an index of its passes from the headers of its blocks.

use std::fs::File;
use std::io::{BufReader, Read, Seek as _, SeekFrom};
use std::path::Path;

use anyhow::{Context, ensure};
use longwave_pipeline::model::codec::{Block, CodecError, Decoder, Fault, PassIndex, PassPosition};
use longwave_pipeline::model::{Batch, UnixNanos};

use crate::app::{App, Origin, Seek};

/// Number of earlier intervals that are read to show one, for charts and totals.
const CONTEXT: usize = 24;
/// Maximum number of records of the earlier intervals.
const MAX_CONTEXT_RECORDS: u64 = 200_000;
/// Size of the buffer for headers in bytes. It is small, because headers are far from each other.
const HEADER_BUFFER: usize = 4 << 10;
const BUFFER: usize = 1 << 18;
const NANOS: i64 = 1_000_000_000;

/// A record file, and which of its intervals is shown.
#[derive(Debug)]
pub struct Recording {
    file: File,
    index: PassIndex,
    at: usize,
}

// === impl Recording ===

impl Recording {
    /// Opens a file and makes the index.
    ///
    /// # Errors
    /// It cannot be read, is not a record file, or has no complete interval.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let file = File::open(path)
            .with_context(|| format!("{shown} cannot be opened: check its name and its permissions"))?;
        let is_file = file.metadata().with_context(|| format!("{shown} cannot be read"))?.is_file();
        ensure!(
            is_file,
            "{shown} is not a file, so top cannot go back in it: `longwave observe --file {shown}` reads it once"
        );
        let index = PassIndex::read(BufReader::with_capacity(HEADER_BUFFER, &file))
            .with_context(|| format!("{shown} cannot be read"))?;
        ensure!(
            !index.passes.is_empty(),
            "{shown} has no complete interval: wait until the recorder has written one, or `longwave observe --file {shown}` prints its records"
        );
        Ok(Self { file, index, at: 0 })
    }

    /// Describes the file.
    pub fn origin(&self, name: String) -> Origin {
        let tick =
            |position: Option<&PassPosition>| position.map(|position| position.tick).unwrap_or_default();
        let fault = self.index.fault.as_ref().map(ToString::to_string);
        Origin::Recording {
            name,
            first: tick(self.index.passes.first()),
            last: tick(self.index.passes.last()),
            fault,
        }
    }

    /// Shows the first interval.
    ///
    /// # Errors
    /// The file is damaged there.
    pub fn begin(&mut self, app: &mut App) -> Result<(), CodecError> {
        self.show(0, app)
    }

    /// Shows another interval. Returns false if there is none.
    ///
    /// # Errors
    /// The file is damaged there. The intervals before the damage are shown.
    pub fn seek(&mut self, seek: Seek, app: &mut App) -> Result<bool, CodecError> {
        let last = self.index.passes.len() - 1;
        let now = self.index.passes[self.at].tick;
        let target = match seek {
            Seek::Next if self.at == last => return Ok(false),
            Seek::Next => {
                self.at += 1;
                return self.replay(self.at, self.at, app).map(|()| true);
            }
            Seek::Back => self.at.saturating_sub(1),
            Seek::By(seconds) => {
                let time = (now.0 as i64).saturating_add(seconds.saturating_mul(NANOS));
                self.find(UnixNanos(time.max(0) as u64))
            }
            Seek::To(time) => self.find(time),
        };
        self.show(target, app).map(|()| true)
    }

    /// Returns the position of the interval that contains the time, or the nearest one.
    fn find(&self, time: UnixNanos) -> usize {
        let passes = &self.index.passes;
        passes.partition_point(|position| position.tick < time).min(passes.len() - 1)
    }

    /// Shows an interval, with some before it.
    fn show(&mut self, target: usize, app: &mut App) -> Result<(), CodecError> {
        let mut first = target;
        let mut records = 0;
        while first > 0 && target - first < CONTEXT {
            records += self.index.passes[first - 1].records;
            if records > MAX_CONTEXT_RECORDS {
                break;
            }
            first -= 1;
        }
        self.at = target;
        app.replace(|app| self.replay(first, target, app))
    }

    /// Adds the intervals `first` to `last`.
    fn replay(&self, first: usize, last: usize, app: &mut App) -> Result<(), CodecError> {
        let (start, end) = (self.index.passes[first].start, self.index.passes[last].end);
        let fault = |error| CodecError { offset: start, fault: Fault::Read(error) };
        let mut file = &self.file;
        file.seek(SeekFrom::Start(start)).map_err(fault)?;
        let input = BufReader::with_capacity(BUFFER, file.take(end - start));
        let mut decoder = Decoder::resume(input, self.index.version, start);
        while decoder.offset() < end {
            match decoder.next()? {
                Some(Block::Records(records)) => app.take(&Batch::records(records)),
                Some(Block::PassEnd(pass_end)) => app.take(&Batch::PassEnd(pass_end)),
                // The Longwave that wrote the file was restarted, and reports each connection as a new one.
                Some(Block::Session { .. }) => app.restart(),
                Some(Block::End(_)) => {}
                None => break,
            }
        }
        Ok(())
    }
}
