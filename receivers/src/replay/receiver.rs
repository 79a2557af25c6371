//! Opens the file and starts its replay.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind};
use std::path::Path;

use async_trait::async_trait;
use longwave_pipeline::component::{ComponentError, Receiver, RecordOutput, Running};
use longwave_pipeline::model::codec::Decoder;
use tokio_util::sync::CancellationToken;

use super::config::Config;
use super::play;

/// Replays one file, once.
pub(super) struct Replay {
    /// `receivers::<id>`.
    pub(super) path: String,
    pub(super) config: Config,
}

// === impl Replay ===

#[async_trait]
impl Receiver for Replay {
    async fn start(
        self: Box<Self>,
        output: RecordOutput,
        stop: CancellationToken,
    ) -> Result<Running, ComponentError> {
        let Self { path: component, config: Config { path, speed } } = *self;
        let location = FileLocation(format!("{component}: path: {}", path.display()));
        let opened = tokio::task::spawn_blocking(move || open(&path)).await;
        let opened = opened.map_err(|error| location.error(&error.to_string()))?;
        let decoder = opened.map_err(|why| location.error(&why))?;
        Ok(Box::pin(play::play(decoder, location, speed, output, stop)))
    }
}

/// Prefix of errors and log lines: `receivers::<id>: path: <file>`.
pub(super) struct FileLocation(pub(super) String);

// === impl FileLocation ===

impl FileLocation {
    pub(super) fn error(&self, what: &str) -> ComponentError {
        ComponentError::new(format!("{}: {what}", self.0))
    }
}

fn open(path: &Path) -> Result<Decoder<BufReader<File>>, String> {
    let file = File::open(path).map_err(|error| explain(&error))?;
    if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        return Err("is a directory: give the name of a record file in it".to_owned());
    }
    Decoder::new(BufReader::with_capacity(1 << 20, file)).map_err(|error| error.to_string())
}

/// Adds the remedy to an error of `open`.
fn explain(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => {
            format!("{error}: check the name (a relative one is looked up from the working directory)")
        }
        ErrorKind::PermissionDenied => {
            format!("{error}: this user may not read it: change its permissions, or run as its owner")
        }
        _ => error.to_string(),
    }
}
