//! [`OutputFile`]: the file that the exporters of both signals share. Blocking threads do the work, one at a time.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use longwave_pipeline::model::UnixNanos;

use super::config::{FileConfig, RotationConfig};
use super::framing::Tail;
use super::rotation;
use crate::append_file::AppendFile;

/// Files of this process. A new exporter uses that of another with its id and settings.
static FILES: Mutex<Vec<Weak<OutputFile>>> = Mutex::new(Vec::new());

pub(super) struct OutputFile {
    id: String,
    config: FileConfig,
    state: Mutex<OutputState>,
}

#[derive(Default)]
struct OutputState {
    /// Exporters that have started and not been shut down.
    users: usize,
    /// Whether the file was opened before. Only the first opening may empty it, so that a reload does not.
    was_opened: bool,
    /// `None` without users, and after the file could not be opened again.
    open: Option<AppendFile>,
}

// === impl OutputFile ===

impl OutputFile {
    /// Returns the file of the exporters that have this id and these settings.
    pub(super) fn shared(id: &str, config: &FileConfig) -> Arc<Self> {
        let mut files = FILES.lock().unwrap_or_else(PoisonError::into_inner);
        files.retain(|file| file.strong_count() > 0);
        let same =
            files.iter().filter_map(Weak::upgrade).find(|file| file.id == id && file.config == *config);
        same.unwrap_or_else(|| {
            // A reload with other settings continues the file.
            let former = files.iter().filter_map(Weak::upgrade).find(|file| file.config.path == config.path);
            let was_opened = former.is_some_and(|former| former.lock().was_opened);
            let state = Mutex::new(OutputState { was_opened, ..OutputState::default() });
            let file = Arc::new(Self { id: id.to_owned(), config: config.clone(), state });
            files.push(Arc::downgrade(&file));
            file
        })
    }

    fn lock(&self) -> MutexGuard<'_, OutputState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a user. The first opens the file.
    ///
    /// # Errors
    /// The file cannot be opened: why, and the remedy.
    pub(super) fn start(&self) -> Result<(), String> {
        let mut state = self.lock();
        if state.users == 0 {
            self.create_directory()?;
            self.open(&mut state).map_err(|what| self.error(&what))?;
            if let Some(rotation) = &self.config.rotation {
                self.remove_old(rotation);
            }
        }
        state.users += 1;
        Ok(())
    }

    /// Appends a framed request. Bytes of an earlier request that failed are cut off first.
    ///
    /// # Errors
    /// Nothing was written, or only a part that the next write cuts off.
    pub(super) fn append(&self, framed: &[u8]) -> Result<(), String> {
        let mut state = self.lock();
        if state.users == 0 {
            return Err(format!("exporters::{}: the file is not open", self.id));
        }
        self.reopen_if_moved(&mut state)?;
        self.rotate_before(&mut state, framed.len() as u64)?;
        let Some(open) = &mut state.open else { return Err(self.error("is not open")) };
        open.append(framed).map_err(|error| self.failed("writing", &error))
    }

    /// Removes a user. The last one syncs and closes the file.
    ///
    /// # Errors
    /// The file cannot be synced, so that requests are lost if the host stops now.
    pub(super) fn end(&self) -> Result<(), String> {
        let mut state = self.lock();
        state.users = state.users.saturating_sub(1);
        if state.users > 0 {
            return Ok(());
        }
        let Some(open) = state.open.take() else { return Ok(()) };
        let ended = open.trim().and_then(|()| open.file().sync_all());
        ended.map_err(|error| self.failed("closing", &error))
    }

    fn path(&self) -> &Path {
        &self.config.path
    }

    fn error(&self, what: &str) -> String {
        format!("exporters::{}: path: {}: {what}", self.id, self.path().display())
    }

    fn failed(&self, what: &str, error: &io::Error) -> String {
        format!("{what} {} failed: {error}", self.path().display())
    }

    fn create_directory(&self) -> Result<(), String> {
        if !self.config.create_directory {
            return Ok(());
        }
        let directory = rotation::directory(self.path());
        let mode = self.config.directory_mode().unwrap_or_default();
        DirBuilder::new().recursive(true).mode(mode).create(directory).map_err(|error| {
            self.error(&format!(
                "cannot create the directory {}: {error} (create it, or choose another path)",
                directory.display()
            ))
        })
    }

    /// Opens the file. Empties it if it is to be emptied, otherwise makes it end with a whole request.
    fn open(&self, state: &mut OutputState) -> Result<(), String> {
        let mut open = AppendFile::open(self.path())?;
        let is_continued = self.config.append || self.config.rotation.is_some() || state.was_opened;
        if is_continued {
            self.mend_tail(&mut open)?;
        } else if open.len() > 0 {
            tracing::warn!(
                exporter = %self.id, path = %self.path().display(), bytes = open.len(),
                "the file has content, which is removed as in the Collector (to keep it, set append: true or rotation)"
            );
            open.cut(0);
        }
        open.trim().map_err(|error| error.to_string())?;
        state.open = Some(open);
        state.was_opened = true;
        Ok(())
    }

    /// Ends a line that has no line break, and cuts off a part of a request with its length, which a killed writer leaves.
    fn mend_tail(&self, open: &mut AppendFile) -> Result<(), String> {
        let framing = self.config.framing();
        match framing.tail(open.file(), open.len()).map_err(|error| error.to_string())? {
            Tail::Whole => Ok(()),
            Tail::UnendedLine => {
                tracing::warn!(
                    exporter = %self.id, path = %self.path().display(),
                    "the last line of the file has no end, as its writer was killed; continuing on the next line"
                );
                open.append(b"\n").map_err(|error| error.to_string())
            }
            Tail::Torn { whole } => {
                tracing::warn!(
                    exporter = %self.id, path = %self.path().display(), cut_bytes = open.len() - whole,
                    "the file ends inside a request, as its writer was killed; cutting that off"
                );
                open.cut(whole);
                Ok(())
            }
            Tail::Foreign => Err("cannot be continued: it does not consist of requests with their lengths \
                 (was it written with another format or compression?); choose another file, or remove this one"
                .to_owned()),
        }
    }

    /// Opens the path again if another program has renamed or removed the file. Continues at the end of a file that another program has
    /// shortened.
    fn reopen_if_moved(&self, state: &mut OutputState) -> Result<(), String> {
        if let Some(open) = &mut state.open {
            let ours = open.metadata().map_err(|error| self.failed("reading", &error))?;
            let is_at_path = std::fs::metadata(self.path())
                .is_ok_and(|found| (found.dev(), found.ino()) == (ours.dev(), ours.ino()));
            if is_at_path {
                if ours.len() < open.len() {
                    open.cut(ours.len());
                    self.mend_tail(open).map_err(|what| self.error(&what))?;
                }
                return Ok(());
            }
            open.trim().map_err(|error| self.failed("writing to", &error))?;
            state.open = None;
        }
        self.create_directory()?;
        self.open(state).map_err(|what| self.error(&what))
    }

    /// Begins a new file if the current one would become too large.
    fn rotate_before(&self, state: &mut OutputState, more: u64) -> Result<(), String> {
        let (Some(rotation), Some(open)) = (&self.config.rotation, &state.open) else { return Ok(()) };
        if open.len() == 0 || open.len() + more <= rotation.max_bytes() {
            return Ok(());
        }
        let failed = |error: &io::Error| self.failed("rotating", error);
        open.trim().and_then(|()| open.file().sync_all()).map_err(|error| failed(&error))?;
        let next_path = rotation::next_path(self.path());
        let mut next = AppendFile::open(&next_path).map_err(|what| {
            format!("rotating {} failed: {}: {what}", self.path().display(), next_path.display())
        })?;
        next.cut(0);
        let replaced =
            next.trim().and_then(|()| rotation::replace(self.path(), &next_path, UnixNanos::now()));
        replaced.map_err(|error| {
            let _ = std::fs::remove_file(&next_path);
            failed(&error)
        })?;
        state.open = Some(next);
        self.remove_old(rotation);
        Ok(())
    }

    fn remove_old(&self, rotation: &RotationConfig) {
        if let Err(error) = rotation::remove_old(self.path(), rotation, UnixNanos::now()) {
            tracing::warn!(exporter = %self.id, path = %self.path().display(), %error, "cannot remove old backups; the next rotation tries again");
        }
    }

    /// Makes the disk full at this length of the file, for tests.
    #[cfg(test)]
    pub(super) fn set_capacity(&self, capacity: u64) {
        self.lock().open.as_mut().unwrap().set_capacity(capacity);
    }
}
