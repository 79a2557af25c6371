//! [`Server`]: accepts clients and writes what waits for them.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use longwave_pipeline::component::{ComponentError, ExporterContext};
use longwave_pipeline::model::codec::file_header;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::clients::{ClientBlocks, Clients};
use super::config::LiveConfig;
use super::socket;
use crate::record_blocks;
use crate::server_task::ServerTask;

/// Time for clients to read the rest at the end.
const LAST_READS: Duration = Duration::from_secs(2);
/// Pause after a failed `accept`, for example when no descriptor is free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// The socket, and a task that serves it.
pub(super) struct Server {
    /// `exporters::<id>`, for errors.
    section: String,
    path: PathBuf,
    group: Option<String>,
    host: String,
    clients: Arc<Clients>,
    task: ServerTask,
}

// === impl Server ===

impl Server {
    pub(super) fn new(config: &LiveConfig, context: &ExporterContext, clients: Arc<Clients>) -> Self {
        Self {
            section: format!("exporters::{}", context.id),
            path: config.path.clone(),
            group: config.group.clone(),
            host: record_blocks::host_name(context),
            clients,
            task: ServerTask::default(),
        }
    }

    /// Listens, and serves clients until [`Self::stop`].
    pub(super) async fn start(&self) -> Result<(), ComponentError> {
        let error = |what: &str| {
            ComponentError::new(format!("{}: path: {}: {what}", self.section, self.path.display()))
        };
        let listener = socket::listen(&self.path, self.group.as_deref()).map_err(|what| error(&what))?;
        let mut session = Vec::new();
        record_blocks::start_session(&self.host, &mut session).map_err(|fault| error(&fault.to_string()))?;
        let (section, clients) = (self.section.clone(), Arc::clone(&self.clients));
        self.task.run(serve(section, listener, session, clients, self.task.stopping()));
        Ok(())
    }

    /// Sends the end marks, waits up to [`LAST_READS`] until the clients have read them, and removes the socket.
    pub(super) async fn stop(&self) {
        self.clients.end();
        // Without a task, the file belongs to another process.
        if self.task.stop().await {
            let _ = fs::remove_file(&self.path);
        }
    }
}

async fn serve(
    section: String,
    listener: UnixListener,
    session: Vec<u8>,
    clients: Arc<Clients>,
    stop: CancellationToken,
) {
    let mut writers = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = writers.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                if let Some(blocks) = clients.add(&file_header(), &session) {
                    writers.spawn(write(stream, blocks));
                }
            }
            Err(error) => {
                tracing::warn!(%error, "{section}: cannot accept a client, trying again (are too many files open?)");
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = tokio::time::sleep(ACCEPT_PAUSE) => {}
                }
            }
        }
    }
    let rest = async { while writers.join_next().await.is_some() {} };
    // A client that does not read is cut off.
    let _ = tokio::time::timeout(LAST_READS, rest).await;
}

/// Writes the blocks until the client disconnects, or until the queue has ended.
async fn write(stream: UnixStream, mut client: ClientBlocks) {
    let (mut input, mut output) = stream.into_split();
    let copy = async {
        while let Some(block) = client.blocks.recv().await {
            if output.write_all(&block).await.is_err() {
                return;
            }
            client.waiting.fetch_sub(block.len() as u64, Ordering::Relaxed);
        }
    };
    // Clients send nothing, so that a read ends when the client has gone.
    let gone = async {
        let mut buffer = [0; 64];
        while matches!(input.read(&mut buffer).await, Ok(1..)) {}
    };
    tokio::select! {
        () = copy => {}
        () = gone => {}
    }
}
