//! The file: opened once, appended to, ended with a mark.

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

/// A record file that is being written. Cheap to share: the work is done on blocking threads, one at a time.
pub(super) struct RecordFile {
    shared: Arc<Shared>,
}

struct Shared {
    /// `exporters::<id>`.
    place: String,
    path: PathBuf,
    append: bool,
    host: String,
    open: Mutex<Option<Open>>,
}

struct Open {
    file: File,
    /// Bytes that are whole blocks; what lies behind is the rest of a failed write.
    len: u64,
    session_at: u64,
    records: u64,
}

// === impl RecordFile ===

impl RecordFile {
    pub(super) fn new(id: &str, path: PathBuf, append: bool, host: String) -> Self {
        let shared = Shared { place: format!("exporters::{id}"), path, append, host, open: Mutex::default() };
        Self { shared: Arc::new(shared) }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> T + Send + 'static,
    ) -> Result<T, String> {
        let shared = Arc::clone(&self.shared);
        tokio::task::spawn_blocking(move || work(&shared)).await.map_err(|error| error.to_string())
    }
}

#[async_trait]
impl Pusher for RecordFile {
    async fn start(&self) -> Result<(), ComponentError> {
        self.blocking(Shared::start).await.map_err(ComponentError::new)?
    }

    async fn push(&self, payload: &Payload) -> Result<Pushed, PushError> {
        let Payload { bytes, items, .. } = payload.clone();
        let written =
            self.blocking(move |shared| shared.append(&bytes, items)).await.map_err(PushError::Fatal)?;
        written
            .map(|()| Pushed::default())
            .map_err(|error| PushError::Retryable { message: error, after: None })
    }

    async fn shutdown(&self) -> Result<(), ComponentError> {
        self.blocking(Shared::end).await.map_err(ComponentError::new)?
    }
}

// === impl Shared ===

impl Shared {
    fn opened(&self) -> std::sync::MutexGuard<'_, Option<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn error(&self, what: &str) -> ComponentError {
        ComponentError::new(format!("{}: path: {}: {what}", self.place, self.path.display()))
    }

    fn start(&self) -> Result<(), ComponentError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(&self.path).map_err(|error| self.error(&refusal(&error, &self.path)))?;
        let about = file.metadata().map_err(|error| self.error(&error.to_string()))?;
        if !about.is_file() {
            return Err(
                self.error("is not a regular file: what fails half-way could not be undone; choose a file")
            );
        }
        // Another error: a file system without locks, where nothing can be known.
        if let Err(Errno::WOULDBLOCK) = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            let what =
                "is being written by another exporter or process: choose another file, or end that one";
            return Err(self.error(what));
        }
        let len = match about.len() {
            0 => 0,
            len if !self.append => {
                return Err(self.error(&format!(
                    "holds {len} bytes already, and would be overwritten: choose another file, remove this one, or set append: true to continue it"
                )));
            }
            _ => self.whole_len(&file)?,
        };
        let mut first = if len == 0 { file_header().to_vec() } else { Vec::new() };
        let session_at = len + first.len() as u64;
        // Zeros if it cannot be read.
        let boot = BootId::read(Path::new("/proc")).unwrap_or_default();
        let start = SessionStart { boot_id: boot.0, started: UnixNanos::now(), host: self.host.clone() };
        let encoded = Encoder::default().session_start(&start, &mut first);
        encoded.map_err(|fault| self.error(&fault.to_string()))?;
        let mut open = Open { file, len, session_at, records: 0 };
        open.append(&first).map_err(|error| self.error(&format!("writing failed: {error}")))?;
        *self.opened() = Some(open);
        Ok(())
    }

    /// Reads an earlier recording through; what a killed writer left unfinished at its end is cut off.
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
                    tracing::warn!(path = %self.path.display(), offset, "the earlier recording was not ended in order; continuing it");
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
        let mut open = self.opened();
        let Some(open) = &mut *open else { return Err(format!("{}: the file is not open", self.place)) };
        open.append(bytes).map_err(|error| format!("writing to {} failed: {error}", self.path.display()))?;
        open.records += records;
        Ok(())
    }

    /// Ends the session. Ending twice, or before a start, does nothing.
    fn end(&self) -> Result<(), ComponentError> {
        let Some(mut open) = self.opened().take() else { return Ok(()) };
        let mut mark = Vec::new();
        let end = SessionEnd { bytes: open.len - open.session_at, records: open.records };
        let encoded = Encoder::default().session_end(end, &mut mark);
        encoded.map_err(|fault| self.error(&fault.to_string()))?;
        let ended = open.append(&mark).and_then(|()| open.file.sync_all());
        ended.map_err(|error| self.error(&format!("ending the file failed: {error}; it lacks its end mark")))
    }
}

// === impl Open ===

impl Open {
    /// All or nothing: whatever an earlier attempt left behind the whole blocks is cut off first.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.file.metadata()?.len() != self.len {
            self.file.set_len(self.len)?;
        }
        self.file.write_all_at(bytes, self.len)?;
        self.len += bytes.len() as u64;
        Ok(())
    }
}

/// Why the file cannot be opened, and what to do.
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
