//! Reads the socket of an exporter `live`, and connects again when it is closed.

use std::io::{self, BufReader, ErrorKind};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use longwave_pipeline::model::Batch;
use longwave_pipeline::model::codec::{Block, CodecError, Decoder};
use tokio::sync::mpsc;

/// Blocks that may wait for the screen. While they wait, the socket is not read.
const MAX_WAITING: usize = 8;
/// Pause before the next attempt to connect.
const PAUSE: Duration = Duration::from_secs(1);
/// Bytes that are read at a time.
const BUFFER: usize = 1 << 18;

/// What the thread that reads the socket sends.
#[derive(Debug)]
pub enum Feed {
    /// Records, or the end of a pass.
    Batch(Batch),
    /// Earlier records have to be removed, because some after them are missing.
    Restart,
    /// A fault of the connection, for the user. `None` once the connection works again.
    Notice(Option<String>),
}

/// Decodes what a socket sends.
type Stream = Decoder<BufReader<UnixStream>>;

/// Connects to the socket. Returns a receiver of what the socket sends, also after it was connected again.
///
/// # Errors
/// No Longwave listens there, or it does not accept this user or one more client.
pub fn follow(path: &Path) -> Result<mpsc::Receiver<Feed>, String> {
    let stream = connect(path)?;
    let (sender, receiver) = mpsc::channel(MAX_WAITING);
    let path = path.to_owned();
    // The thread ends with the process, or when the receiver is dropped.
    std::thread::Builder::new()
        .name("live".to_owned())
        .spawn(move || read(stream, &path, &sender))
        .map_err(|error| format!("the thread that reads the socket cannot start: {error}"))?;
    Ok(receiver)
}

fn connect(path: &Path) -> Result<Stream, String> {
    let socket = UnixStream::connect(path).map_err(|error| explain(path, &error))?;
    Decoder::new(BufReader::with_capacity(BUFFER, socket)).map_err(|_| {
        format!(
            "{} does not send records: it must be the socket of an exporter live, which accepts only max_clients at a time",
            path.display()
        )
    })
}

/// Adds the remedy to an error of `connect`.
fn explain(path: &Path, error: &io::Error) -> String {
    let remedy = match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => ": start Longwave with the exporter live",
        ErrorKind::PermissionDenied => {
            ": run as root, or as a member of the group of the exporter live (exporters::live::group)"
        }
        _ => "",
    };
    format!("{}: {error}{remedy}", path.display())
}

/// Sends blocks until the receiver is dropped.
fn read(first: Stream, path: &Path, sender: &mpsc::Sender<Feed>) {
    let mut stream = Some(first);
    loop {
        let Some(decoder) = &mut stream else {
            std::thread::sleep(PAUSE);
            let connected = connect(path);
            let is_sent = match connected {
                Ok(decoder) => {
                    stream = Some(decoder);
                    sender
                        .blocking_send(Feed::Restart)
                        .and_then(|()| sender.blocking_send(Feed::Notice(None)))
                }
                Err(why) => sender.blocking_send(Feed::Notice(Some(why))),
            };
            if is_sent.is_err() {
                return;
            }
            continue;
        };
        let feed = feed(decoder.next());
        if matches!(feed, Some(Feed::Notice(_))) {
            stream = None;
        }
        if feed.is_some_and(|feed| sender.blocking_send(feed).is_err()) {
            return;
        }
    }
}

/// Converts a block. `None` if it contains nothing to show.
fn feed(block: Result<Option<Block>, CodecError>) -> Option<Feed> {
    let ended = |why: &str| Some(Feed::Notice(Some(format!("{why}: connecting again"))));
    match block {
        Ok(Some(Block::Records(records))) => Some(Feed::Batch(Batch::records(records))),
        Ok(Some(Block::PassEnd(pass_end))) => Some(Feed::Batch(Batch::PassEnd(pass_end))),
        Ok(Some(Block::Session { .. })) => None,
        Ok(Some(Block::End(_)) | None) => ended("Longwave has stopped"),
        Err(_) => ended("Longwave ended, or this program was too slow to read"),
    }
}
