//! Opens the file or connects to the socket, and starts the replay.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read};
use std::net::Shutdown;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use async_trait::async_trait;
use longwave_pipeline::component::{ComponentError, Receiver, RecordOutput, Running};
use longwave_pipeline::model::codec::Decoder;
use tokio_util::sync::CancellationToken;

use super::config::Config;
use super::play;

/// Replays one file once, or what a socket of exporter `live` sends until its end.
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
        let text = format!("{component}: path: {}", path.display());
        let location = FileLocation { text, is_socket: false };
        let opened = tokio::task::spawn_blocking(move || open(&path)).await;
        let opened = opened.map_err(|error| location.error(&error.to_string()))?;
        let Source { decoder, socket } = opened.map_err(|why| location.error(&why))?;
        let is_socket = socket.is_some();
        let location = FileLocation { is_socket, ..location };
        // A read from a socket waits for the next block: to end it, the socket is shut down.
        let interrupt = move || {
            if let Some(socket) = socket {
                // It fails if the server has disconnected, and then no read waits.
                let _ = socket.shutdown(Shutdown::Both);
            }
        };
        Ok(Box::pin(play::play(decoder, interrupt, location, speed, output, stop)))
    }
}

/// What is replayed.
struct Source {
    decoder: Decoder<Box<dyn Read + Send>>,
    /// The connection, if it is a socket.
    socket: Option<UnixStream>,
}

/// Prefix of errors and log lines: `receivers::<id>: path: <file>`.
pub(super) struct FileLocation {
    pub(super) text: String,
    pub(super) is_socket: bool,
}

// === impl FileLocation ===

impl FileLocation {
    pub(super) fn error(&self, what: &str) -> ComponentError {
        ComponentError::new(format!("{}: {what}", self.text))
    }
}

fn open(path: &Path) -> Result<Source, String> {
    let about = std::fs::metadata(path).map_err(|error| explain(&error))?;
    if about.is_dir() {
        return Err("is a directory: give the name of a record file in it".to_owned());
    }
    let (input, socket): (Box<dyn Read + Send>, _) = if about.file_type().is_socket() {
        let socket = UnixStream::connect(path).map_err(|error| explain(&error))?;
        let input = socket.try_clone().map_err(|error| error.to_string())?;
        (Box::new(input), Some(socket))
    } else {
        (Box::new(File::open(path).map_err(|error| explain(&error))?), None)
    };
    let decoder = Decoder::new(Box::new(BufReader::with_capacity(1 << 20, input)) as Box<dyn Read + Send>);
    match decoder {
        Ok(decoder) => Ok(Source { decoder, socket }),
        Err(_) if socket.is_some() => Err("the socket does not send records: it must be that of an exporter live, which accepts only max_clients at \
                                           a time"
            .to_owned()),
        Err(error) => Err(error.to_string()),
    }
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
        ErrorKind::ConnectionRefused => {
            format!("{error}: no process listens at this socket: start Longwave with the exporter live")
        }
        _ => error.to_string(),
    }
}
