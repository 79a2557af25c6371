//! [`Summary`]: the counts of a request, which every verbosity shows.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;

/// Counts of a request, with the names of the Collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Summary {
    Metrics { resources: usize, metrics: usize, points: usize },
    Logs { resources: usize, records: usize },
}

// === impl Summary ===

impl Summary {
    pub(super) fn of_metrics(request: &ExportMetricsServiceRequest) -> Self {
        let scopes = request.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
        let metrics: Vec<_> = scopes.flat_map(|scope| &scope.metrics).collect();
        Self::Metrics {
            resources: request.resource_metrics.len(),
            metrics: metrics.len(),
            points: metrics.into_iter().map(point_count).sum(),
        }
    }

    pub(super) fn of_logs(request: &ExportLogsServiceRequest) -> Self {
        let scopes = request.resource_logs.iter().flat_map(|resource| &resource.scope_logs);
        Self::Logs {
            resources: request.resource_logs.len(),
            records: scopes.map(|scope| scope.log_records.len()).sum(),
        }
    }

    /// Writes the counts to the log.
    pub(super) fn log(self, exporter: &str) {
        match self {
            Self::Metrics { resources, metrics, points } => {
                tracing::info!(
                    exporter,
                    "resource metrics" = resources,
                    metrics,
                    "data points" = points,
                    "Metrics"
                );
            }
            Self::Logs { resources, records } => {
                tracing::info!(exporter, "resource logs" = resources, "log records" = records, "Logs");
            }
        }
    }

    /// Returns the line for the standard output.
    pub(super) fn line(self) -> String {
        match self {
            Self::Metrics { resources, metrics, points } => format!(
                "Metrics\t{{\"resource metrics\": {resources}, \"metrics\": {metrics}, \"data points\": {points}}}\n"
            ),
            Self::Logs { resources, records } => {
                format!("Logs\t{{\"resource logs\": {resources}, \"log records\": {records}}}\n")
            }
        }
    }
}

fn point_count(metric: &Metric) -> usize {
    match &metric.data {
        Some(Data::Gauge(gauge)) => gauge.data_points.len(),
        Some(Data::Sum(sum)) => sum.data_points.len(),
        Some(Data::Histogram(histogram)) => histogram.data_points.len(),
        // Longwave exports no other kinds.
        _ => 0,
    }
}
