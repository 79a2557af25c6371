//! [`FilePusher`] encodes requests as configured and appends them to the file.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use longwave_pipeline::component::{
    ComponentError, ExporterContext, Payload, PushError, Pushed, Pusher, Signal,
};

use super::config::{FileConfig, Format};
use super::framing::Framing;
use super::output::OutputFile;
use crate::otlp::Compression;
use crate::otlp::http::transcode;

/// The exporter of one signal.
pub(super) struct FilePusher {
    encoding: Encoding,
    file: Arc<OutputFile>,
    /// Whether this exporter uses the file.
    is_started: AtomicBool,
}

#[derive(Clone, Copy)]
struct Encoding {
    signal: Signal,
    format: Format,
    compression: Compression,
    framing: Framing,
}

// === impl FilePusher ===

impl FilePusher {
    pub(super) fn new(config: &FileConfig, context: &ExporterContext) -> Self {
        let encoding = Encoding {
            signal: context.signal,
            format: config.format,
            compression: config.compression,
            framing: config.framing(),
        };
        let file = OutputFile::shared(&context.id, config);
        Self { encoding, file, is_started: AtomicBool::new(false) }
    }

    #[cfg(test)]
    pub(super) fn file(&self) -> &OutputFile {
        &self.file
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&OutputFile) -> T + Send + 'static,
    ) -> Result<T, String> {
        let file = Arc::clone(&self.file);
        tokio::task::spawn_blocking(move || work(&file)).await.map_err(|error| error.to_string())
    }
}

#[async_trait]
impl Pusher for FilePusher {
    async fn start(&self) -> Result<(), ComponentError> {
        if self.is_started.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let started = self.blocking(OutputFile::start).await.and_then(|started| started);
        started.map_err(|what| {
            self.is_started.store(false, Ordering::Relaxed);
            ComponentError::new(what)
        })
    }

    async fn push(&self, payload: &Payload) -> Result<Pushed, PushError> {
        let (encoding, request) = (self.encoding, payload.bytes.clone());
        let written = self.blocking(move |file| {
            let framed = encoding.encode(request).map_err(PushError::Permanent)?;
            file.append(&framed).map_err(|message| PushError::Retryable {
                message,
                after: None,
                may_have_arrived: false,
            })
        });
        written.await.map_err(PushError::fatal)??;
        Ok(Pushed::default())
    }

    async fn shutdown(&self) -> Result<(), ComponentError> {
        if !self.is_started.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        self.blocking(OutputFile::end).await.and_then(|ended| ended).map_err(ComponentError::new)
    }
}

// === impl Encoding ===

impl Encoding {
    /// Returns the bytes to write for a request in protobuf.
    fn encode(self, request: Bytes) -> Result<Vec<u8>, String> {
        let request = match self.format {
            Format::Json => transcode(request, self.signal)?,
            Format::Proto => request,
        };
        let request = self.compression.compress(&request, 0).map_err(|error| error.to_string())?;
        self.framing.frame(&request)
    }
}
