//! [`RecordFile`] is opened at the start. Each push appends to it, and the shutdown writes the end mark.

use std::fs::File;
use std::io::{BufReader, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use longwave_pipeline::component::{ComponentError, Payload, PushError, Pushed, Pusher};
use longwave_pipeline::model::codec::{
    CodecError, Decoder, Encoder, Fault, SessionEnd, VERSION, file_header,
};

use crate::append_file::AppendFile;
use crate::record_blocks;

/// A record file that is being written. Blocking threads do the work, one at a time.
pub(super) struct RecordFile {
    writer: Arc<FileWriter>,
}

struct FileWriter {
    /// `exporters::<id>`, for errors.
    section: String,
    path: PathBuf,
    append: bool,
    host: String,
    /// `None` before the start and after the shutdown.
    open: Mutex<Option<OpenFile>>,
}

struct OpenFile {
    file: AppendFile,
    /// Offset of the session's first block, in bytes.
    session_at: u64,
    /// Records in this session.
    records: u64,
}

// === impl RecordFile ===

impl RecordFile {
    pub(super) fn new(id: &str, path: PathBuf, append: bool, host: String) -> Self {
        let writer =
            FileWriter { section: format!("exporters::{id}"), path, append, host, open: Mutex::default() };
        Self { writer: Arc::new(writer) }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&FileWriter) -> T + Send + 'static,
    ) -> Result<T, String> {
        let writer = Arc::clone(&self.writer);
        tokio::task::spawn_blocking(move || work(&writer)).await.map_err(|error| error.to_string())
    }
}

#[async_trait]
impl Pusher for RecordFile {
    async fn start(&self) -> Result<(), ComponentError> {
        self.blocking(FileWriter::start).await.map_err(ComponentError::new)?
    }

    async fn push(&self, payload: &Payload) -> Result<Pushed, PushError> {
        let Payload { bytes, items, .. } = payload.clone();
        let written =
            self.blocking(move |writer| writer.append(&bytes, items)).await.map_err(PushError::fatal)?;
        written.map(|()| Pushed::default()).map_err(|error| PushError::Retryable {
            message: error,
            after: None,
            may_have_arrived: false,
        })
    }

    async fn shutdown(&self) -> Result<(), ComponentError> {
        self.blocking(FileWriter::end).await.map_err(ComponentError::new)?
    }
}

// === impl FileWriter ===

impl FileWriter {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<OpenFile>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn error(&self, what: &str) -> ComponentError {
        ComponentError::new(format!("{}: path: {}: {what}", self.section, self.path.display()))
    }

    fn start(&self) -> Result<(), ComponentError> {
        let mut file = AppendFile::open(&self.path).map_err(|what| self.error(&what))?;
        let len = match file.len() {
            0 => 0,
            len if !self.append => {
                return Err(self.error(&format!(
                    "contains {len} bytes already, which would be overwritten: choose another file, remove this one, or set append: true to continue it"
                )));
            }
            _ => self.whole_len(file.file())?,
        };
        file.cut(len);
        let mut first = if len == 0 { file_header().to_vec() } else { Vec::new() };
        let session_at = len + first.len() as u64;
        record_blocks::start_session(&self.host, &mut first)
            .map_err(|fault| self.error(&fault.to_string()))?;
        let mut open = OpenFile { file, session_at, records: 0 };
        open.file.append(&first).map_err(|error| self.error(&format!("writing failed: {error}")))?;
        *self.lock() = Some(open);
        Ok(())
    }

    /// Decodes an earlier recording. Returns its length without an incomplete block at its end, which a killed writer leaves.
    fn whole_len(&self, file: &File) -> Result<u64, ComponentError> {
        let damaged = |error: CodecError| {
            self.error(&format!("cannot be continued: {error}; choose another file, or remove this one"))
        };
        let all = file.metadata().map_err(|error| self.error(&error.to_string()))?.len();
        let mut reader = file;
        reader.seek(SeekFrom::Start(0)).map_err(|error| self.error(&error.to_string()))?;
        let mut decoder = Decoder::new(BufReader::with_capacity(1 << 20, reader)).map_err(damaged)?;
        if decoder.version() != VERSION {
            return Err(self.error(&format!(
                "cannot be continued: it is in format version {}, and this Longwave writes version {VERSION}; choose another file",
                decoder.version()
            )));
        }
        loop {
            match decoder.next() {
                Ok(Some(_)) => {}
                Ok(None) => return Ok(all),
                Err(CodecError { fault: Fault::NoEndMark, offset }) => {
                    tracing::warn!(path = %self.path.display(), offset, "the earlier recording has no end mark, as its writer was killed; continuing it");
                    return Ok(offset);
                }
                Err(CodecError { fault: Fault::Truncated { .. }, offset }) => {
                    tracing::warn!(
                        path = %self.path.display(), offset, cut_bytes = all - offset,
                        "the earlier recording ends inside a block, as its writer was killed or the disk was full; cutting that off"
                    );
                    return Ok(offset);
                }
                Err(error) => return Err(damaged(error)),
            }
        }
    }

    fn append(&self, bytes: &[u8], records: u64) -> Result<(), String> {
        let mut file = self.lock();
        let Some(open) = &mut *file else { return Err(format!("{}: the file is not open", self.section)) };
        open.file
            .append(bytes)
            .map_err(|error| format!("writing to {} failed: {error}", self.path.display()))?;
        open.records += records;
        Ok(())
    }

    /// Writes the end mark and closes the file. A second call, or a call before the start, does nothing.
    fn end(&self) -> Result<(), ComponentError> {
        let Some(mut open) = self.lock().take() else { return Ok(()) };
        let mut mark = Vec::new();
        let end = SessionEnd { bytes: open.file.len() - open.session_at, records: open.records };
        let encoded = Encoder::default().session_end(end, &mut mark);
        encoded.map_err(|fault| self.error(&fault.to_string()))?;
        let ended = open.file.append(&mark).and_then(|()| open.file.file().sync_all());
        ended.map_err(|error| self.error(&format!("ending the file failed: {error}; it lacks its end mark")))
    }
}
