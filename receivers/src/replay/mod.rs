//! Receiver `replay`: reads a record file (see [`longwave_pipeline::model::codec`]) that exporter `record_file` wrote. Needs no root.
//!
//! Times, ticks and names stay as recorded. The pipeline sets the pace: nothing is dropped. What a damaged or cut file holds before the
//! fault is delivered, then the process ends with an error that names the place.

mod pace;
mod play;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, BufReader, ErrorKind};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use longwave_pipeline::component::{
    About, ComponentConfig, ComponentError, Problems, Receiver, ReceiverContext, ReceiverFactory,
    RecordOutput, Running, Signal, Stability,
};
use longwave_pipeline::model::codec::Decoder;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

/// Settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Config {
    /// The record file.
    path: PathBuf,
    speed: Speed,
}

/// How fast a file is played.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Speed {
    /// As fast as the pipeline takes it.
    #[default]
    Fast,
    /// As it was recorded; the time between two recordings in one file is left out.
    Original,
}

/// Plays one file, once.
struct Replay {
    /// `receivers::<id>`.
    place: String,
    config: Config,
}

/// The receiver's factory.
pub fn factory() -> ReceiverFactory {
    let about = About {
        component_type: "replay",
        aliases: &[],
        stability: Stability::Beta,
        description: "Reads connection records from a file that the record_file exporter wrote",
        signals: &[Signal::Metrics, Signal::Logs],
        flow: None,
    };
    ReceiverFactory::new(about, |config: &Config, context: ReceiverContext| {
        let place = format!("receivers::{}", context.id);
        Ok(Box::new(Replay { place, config: config.clone() }) as Box<dyn Receiver>)
    })
}

// === impl Config ===

impl ComponentConfig for Config {
    fn validate(&self, problems: &mut Problems) {
        if self.path.as_os_str().is_empty() {
            problems
                .at("path", "requires the name of a record file (one that the record_file exporter wrote)");
        }
    }
}

// === impl Replay ===

#[async_trait]
impl Receiver for Replay {
    async fn start(
        self: Box<Self>,
        output: RecordOutput,
        stop: CancellationToken,
    ) -> Result<Running, ComponentError> {
        let Self { place, config: Config { path, speed } } = *self;
        let place = Place(format!("{place}: path: {}", path.display()));
        let opened = tokio::task::spawn_blocking(move || open(&path)).await;
        let opened = opened.map_err(|error| place.error(&error.to_string()))?;
        let decoder = opened.map_err(|why| place.error(&why))?;
        Ok(Box::pin(play::play(decoder, place, speed, output, stop)))
    }
}

/// Where errors happen: `receivers::<id>: path: <file>`.
struct Place(String);

impl Place {
    fn error(&self, what: &str) -> ComponentError {
        ComponentError::new(format!("{}: {what}", self.0))
    }
}

fn open(path: &Path) -> Result<Decoder<BufReader<File>>, String> {
    let file = File::open(path).map_err(|error| refusal(&error))?;
    if file.metadata().is_ok_and(|about| about.is_dir()) {
        return Err("is a directory: give the name of a record file in it".to_owned());
    }
    Decoder::new(BufReader::with_capacity(1 << 20, file)).map_err(|error| error.to_string())
}

fn refusal(error: &io::Error) -> String {
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
