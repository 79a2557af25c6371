//! [`DebugPusher`] writes requests as text.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use longwave_pipeline::component::{
    ComponentError, ExporterContext, Payload, PushError, Pushed, Pusher, Signal,
};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use prost::{DecodeError, Message};

use super::config::{DebugConfig, Verbosity};
use super::sampler::Sampler;
use super::summary::Summary;
use super::{detailed, normal};
use crate::stdout::Writer;

pub(super) struct DebugPusher {
    id: Arc<str>,
    signal: Signal,
    verbosity: Verbosity,
    sampler: Mutex<Sampler>,
    /// `None`: the log.
    stdout: Option<Writer>,
}

/// A request as text.
pub(super) struct Text {
    pub(super) summary: Summary,
    /// Empty with `verbosity: basic`.
    pub(super) details: String,
}

// === impl DebugPusher ===

impl DebugPusher {
    pub(super) fn new(config: &DebugConfig, context: &ExporterContext) -> Self {
        Self::with_output(config, context, (!config.use_internal_logger).then(Writer::to_stdout))
    }

    pub(super) fn with_output(
        config: &DebugConfig,
        context: &ExporterContext,
        stdout: Option<Writer>,
    ) -> Self {
        Self {
            id: context.id.as_str().into(),
            signal: context.signal,
            verbosity: config.verbosity,
            sampler: Mutex::new(Sampler::new(config.sampling_initial, config.sampling_thereafter)),
            stdout,
        }
    }

    fn is_shown(&self) -> bool {
        self.sampler.lock().unwrap_or_else(PoisonError::into_inner).admits(Instant::now())
    }
}

#[async_trait]
impl Pusher for DebugPusher {
    async fn start(&self) -> Result<(), ComponentError> {
        match &self.stdout {
            Some(stdout) => stdout.start().await,
            None => Ok(()),
        }
    }

    async fn push(&self, payload: &Payload) -> Result<Pushed, PushError> {
        if !self.is_shown() {
            return Ok(Pushed::default());
        }
        let (signal, verbosity, request) = (self.signal, self.verbosity, payload.bytes.clone());
        let (id, is_logged) = (Arc::clone(&self.id), self.stdout.is_none());
        // A large request takes long to format, and stderr may block.
        let shown = tokio::task::spawn_blocking(move || {
            let text = Text::new(signal, verbosity, request)?;
            if is_logged {
                text.log(&id);
            }
            Ok::<_, DecodeError>(text)
        });
        let text = shown.await.map_err(|error| PushError::Permanent(error.to_string()))?;
        let text = text.map_err(|error| PushError::Permanent(error.to_string()))?;
        match &self.stdout {
            Some(stdout) => {
                let bytes = (text.summary.line() + &text.details).into();
                stdout.push(&Payload { bytes, ..payload.clone() }).await
            }
            None => Ok(Pushed::default()),
        }
    }

    async fn shutdown(&self) -> Result<(), ComponentError> {
        match &self.stdout {
            Some(stdout) => stdout.shutdown().await,
            None => Ok(()),
        }
    }
}

// === impl Text ===

impl Text {
    /// # Errors
    /// None for requests that the OTLP encoders have made.
    pub(super) fn new(signal: Signal, verbosity: Verbosity, request: Bytes) -> Result<Self, DecodeError> {
        Ok(match signal {
            Signal::Metrics => {
                let request = ExportMetricsServiceRequest::decode(request)?;
                let details = match verbosity {
                    Verbosity::Basic => String::new(),
                    Verbosity::Normal => normal::metrics(&request),
                    Verbosity::Detailed => detailed::metrics(&request),
                };
                Self { summary: Summary::of_metrics(&request), details }
            }
            Signal::Logs => {
                let request = ExportLogsServiceRequest::decode(request)?;
                let details = match verbosity {
                    Verbosity::Basic => String::new(),
                    Verbosity::Normal => normal::logs(&request),
                    Verbosity::Detailed => detailed::logs(&request),
                };
                Self { summary: Summary::of_logs(&request), details }
            }
        })
    }

    fn log(&self, exporter: &str) {
        self.summary.log(exporter);
        if !self.details.is_empty() {
            tracing::info!(exporter, "{}", self.details.trim_end_matches('\n'));
        }
    }
}
