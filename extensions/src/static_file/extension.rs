//! The extension: reads the file, and reads it again after each change.

use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use longwave_pipeline::component::{ComponentError, Directory, Extension, ExtensionContext, Running};
use tokio_util::sync::CancellationToken;

use super::config::StaticConfig;
use super::directory::StaticDirectory;
use super::rules::{NameInterners, Rules};
use super::telemetry::Stats;

/// Extension `static`, ready to be started.
pub struct StaticExtension {
    file: WatchedFile,
    interval: Duration,
}

/// A file that is polled for changes.
pub(super) struct WatchedFile {
    id: String,
    path: String,
    names: NameInterners,
    directory: Arc<StaticDirectory>,
    stats: Arc<Stats>,
    /// Stamp of the file that was read last; `None` if there was no file.
    read: Option<FileStamp>,
    /// A new stamp that was seen in one poll only.
    changed: Option<Option<FileStamp>>,
}

/// Identity and version of a file: two stamps are equal if and only if nothing changed. Follows links, so a link that gets another target
/// is a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileStamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

// === impl StaticExtension ===

impl StaticExtension {
    /// Reads the file.
    ///
    /// # Errors
    /// The file cannot be read or contains mistakes.
    pub fn new(config: &StaticConfig, context: &ExtensionContext) -> Result<Self, ComponentError> {
        let file = WatchedFile::new(&context.id, &config.file)?;
        file.stats.export(&file.directory, &context.meter, &context.id);
        Ok(Self { file, interval: config.reload_interval.get() })
    }
}

#[async_trait]
impl Extension for StaticExtension {
    fn directory(&self) -> Option<Arc<dyn Directory>> {
        Some(Arc::clone(&self.file.directory) as Arc<dyn Directory>)
    }

    async fn start(self: Box<Self>, stop: CancellationToken) -> Result<Running, ComponentError> {
        let Self { mut file, interval } = *self;
        Ok(Box::pin(async move {
            while stop.run_until_cancelled(tokio::time::sleep(interval)).await.is_some() {
                // A file system that hangs must not block other tasks on this thread.
                file = tokio::task::spawn_blocking(move || {
                    file.poll();
                    file
                })
                .await
                .map_err(|error| ComponentError::with_source("reading the file of names failed", error))?;
            }
            Ok(())
        }))
    }
}

// === impl WatchedFile ===

impl WatchedFile {
    /// Reads the file at `path` for the first time.
    pub fn new(id: &str, path: &str) -> Result<Self, ComponentError> {
        let names = NameInterners::default();
        // Taken before the file is read, so a change during the read causes another read.
        let read = FileStamp::of(path);
        let rules = Rules::read(path, &names).map_err(|error| ComponentError::new(error.to_string()))?;
        log_warnings(id, path, &rules);
        Ok(Self {
            id: id.to_owned(),
            path: path.to_owned(),
            names,
            directory: Arc::new(StaticDirectory::new(rules)),
            stats: Arc::default(),
            read,
            changed: None,
        })
    }

    /// Checks whether the file has changed. Reads it if it has changed and is the same as in the last poll.
    pub fn poll(&mut self) {
        let stamp = FileStamp::of(&self.path);
        if stamp == self.read {
            self.changed = None;
        } else if self.changed != Some(stamp) {
            self.changed = Some(stamp);
        } else {
            (self.read, self.changed) = (stamp, None);
            self.reload();
        }
    }

    /// Returns the directory that contains the file's rules.
    #[cfg(test)]
    pub fn directory(&self) -> &Arc<StaticDirectory> {
        &self.directory
    }

    /// Returns the counters of the file.
    #[cfg(test)]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    fn reload(&mut self) {
        let (id, path) = (&self.id, &self.path);
        match Rules::read(path, &self.names) {
            Ok(rules) => {
                tracing::info!("extensions::{id}: {path}: {} rules are in force", rules.len());
                log_warnings(id, path, &rules);
                self.directory.replace(rules);
                self.stats.reloads.fetch_add(1, Ordering::Relaxed);
                self.stats.stale.store(false, Ordering::Relaxed);
            }
            Err(error) => {
                self.stats.failures.fetch_add(1, Ordering::Relaxed);
                self.stats.stale.store(true, Ordering::Relaxed);
                tracing::warn!(
                    "extensions::{id}: the file of names changed and cannot be used, the old rules stay in force; correct it, then it is read again: {error}"
                );
            }
        }
    }
}

fn log_warnings(id: &str, path: &str, rules: &Rules) {
    for warning in rules.warnings() {
        tracing::warn!("extensions::{id}: {path}: {warning}");
    }
}

// === impl FileStamp ===

impl FileStamp {
    fn of(path: &str) -> Option<Self> {
        let file = std::fs::metadata(path).ok()?;
        Some(Self {
            device: file.dev(),
            inode: file.ino(),
            size: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        })
    }
}
