//! `otlp_http`: OTLP over HTTP, as protobuf or JSON.

mod config;
mod connections;
mod json;
mod pusher;
mod response;
mod transport;
mod url;

#[cfg(test)]
mod tests;

pub use config::HttpConfig;
pub use connections::{ConnectionConfig, HttpKeepaliveConfig};
pub(crate) use json::transcode;
pub use pusher::HttpPusher;
pub use response::is_retryable;

use std::sync::Arc;

use longwave_pipeline::component::{About, ExporterFactory, Stability};

use super::SIGNALS;
use super::exporter::OtlpExporter;

/// Returns the factory of `otlp_http`.
pub fn factory() -> ExporterFactory {
    let about = About {
        component_type: "otlp_http",
        aliases: &["otlphttp"],
        stability: Stability::Beta,
        description: "Sends metrics and logs by OTLP over HTTP",
        signals: SIGNALS,
        flow: None,
    };
    ExporterFactory::new(about, |config: &HttpConfig, context| {
        let pusher = HttpPusher::new(config, &context)?;
        config.client.check_batch(&context)?;
        let exporter = OtlpExporter::new(&context, &config.client, Arc::new(pusher)).with_merged_logs();
        Ok(Box::new(exporter.with_storage(&context, &config.client)?))
    })
}
