//! [`RecordFile`] is opened at the start. Each push appends to it, and the shutdown writes the end mark.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, ErrorKind, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use longwave_pipeline::component::host::BootId;
use longwave_pipeline::component::{ComponentError, Payload, PushError, Pushed, Pusher};
use longwave_pipeline::model::UnixNanos;
use longwave_pipeline::model::codec::{
    CodecError, Decoder, Encoder, Fault, SessionEnd, SessionStart, VERSION, file_header,
};
use rustix::fs::FlockOperation;
use rustix::io::Errno;

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
    file: File,
    /// Length of the whole blocks. Bytes after it are the rest of a failed write.
    len: u64,
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
            self.blocking(move |writer| writer.append(&bytes, items)).await.map_err(PushError::Fatal)?;
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
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(&self.path).map_err(|error| self.error(&refusal(&error, &self.path)))?;
        let about = file.metadata().map_err(|error| self.error(&error.to_string()))?;
        if !about.is_file() {
            return Err(self.error(
                "is not a regular file: a write that fails halfway could not be undone; choose a file",
            ));
        }
        // Other errors mean that the file system has no locks, so that other writers cannot be detected.
        if let Err(Errno::WOULDBLOCK) = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            let what =
                "is being written by another exporter or process: choose another file, or end that one";
            return Err(self.error(what));
        }
        let len = match about.len() {
            0 => 0,
            len if !self.append => {
                return Err(self.error(&format!(
                    "contains {len} bytes already, which would be overwritten: choose another file, remove this one, or set append: true to continue it"
                )));
            }
            _ => self.whole_len(&file)?,
        };
        let mut first = if len == 0 { file_header().to_vec() } else { Vec::new() };
        let session_at = len + first.len() as u64;
        // Zeros if the boot id cannot be read.
        let boot = BootId::read(Path::new("/proc")).unwrap_or_default();
        let start = SessionStart { boot_id: boot.0, started: UnixNanos::now(), host: self.host.clone() };
        let encoded = Encoder::default().session_start(&start, &mut first);
        encoded.map_err(|fault| self.error(&fault.to_string()))?;
        let mut open = OpenFile { file, len, session_at, records: 0 };
        open.append(&first).map_err(|error| self.error(&format!("writing failed: {error}")))?;
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
        open.append(bytes).map_err(|error| format!("writing to {} failed: {error}", self.path.display()))?;
        open.records += records;
        Ok(())
    }

    /// Writes the end mark and closes the file. A second call, or a call before the start, does nothing.
    fn end(&self) -> Result<(), ComponentError> {
        let Some(mut open) = self.lock().take() else { return Ok(()) };
        let mut mark = Vec::new();
        let end = SessionEnd { bytes: open.len - open.session_at, records: open.records };
        let encoded = Encoder::default().session_end(end, &mut mark);
        encoded.map_err(|fault| self.error(&fault.to_string()))?;
        let ended = open.append(&mark).and_then(|()| open.file.sync_all());
        ended.map_err(|error| self.error(&format!("ending the file failed: {error}; it lacks its end mark")))
    }
}

// === impl OpenFile ===

impl OpenFile {
    /// Appends all of `bytes` or fails. Bytes that an earlier failure left after the whole blocks are cut off first.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.file.metadata()?.len() != self.len {
            self.file.set_len(self.len)?;
        }
        self.file.write_all_at(bytes, self.len)?;
        self.len += bytes.len() as u64;
        Ok(())
    }
}

/// Explains why the file cannot be opened, with the remedy.
fn refusal(error: &io::Error, path: &Path) -> String {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match error.kind() {
        ErrorKind::NotFound => {
            format!("{error}: the directory {} does not exist: create it", directory.display())
        }
        ErrorKind::PermissionDenied => {
            format!("{error}: this user may not write there: choose another path, or change its permissions")
        }
        ErrorKind::IsADirectory => format!("{error}: give the name of a file in it"),
        ErrorKind::ReadOnlyFilesystem => {
            format!("{error}: choose a path on a writable file system (in a container: mount a volume)")
        }
        _ => error.to_string(),
    }
}
