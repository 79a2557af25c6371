//! `otlp_grpc`: OTLP over gRPC.

mod balancer;
mod config;
pub(super) mod connector;
mod dialer;
mod endpoint;
mod keepalive;
mod passthrough;
pub(super) mod proxy;
mod pusher;
mod resolver;
pub mod status;

#[cfg(test)]
mod tests;

pub use config::{BalancerName, GrpcConfig};
pub use keepalive::KeepaliveConfig;
pub use pusher::GrpcPusher;
pub use resolver::Resolver;

use std::sync::Arc;

use longwave_pipeline::component::{About, ExporterFactory, Stability};

use self::resolver::SystemResolver;
use super::SIGNALS;
use super::exporter::OtlpExporter;

/// Returns the factory of `otlp_grpc`.
pub fn factory() -> ExporterFactory {
    let about = About {
        component_type: "otlp_grpc",
        aliases: &["otlp"],
        stability: Stability::Beta,
        description: "Sends metrics and logs by OTLP over gRPC",
        signals: SIGNALS,
        flow: None,
    };
    ExporterFactory::new(about, |config: &GrpcConfig, context| {
        let pusher = GrpcPusher::new(config, &context, Arc::new(SystemResolver))?;
        config.client.check_batch(&context)?;
        let exporter = OtlpExporter::new(&context, &config.client, Arc::new(pusher)).with_merged_logs();
        Ok(Box::new(exporter.with_storage(&context, &config.client)?))
    })
}
