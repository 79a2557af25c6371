//! The response to an accepted request, and the protobuf messages of error responses.

use longwave_pipeline::component::{Payload, Pushed};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use prost::Message;

/// Decodes the response to metrics or logs; both have the same fields under the same numbers. A body that is not such a response counts
/// as one that rejects nothing.
pub(crate) fn pushed(body: &[u8], payload: &Payload) -> Pushed {
    let partial =
        ExportMetricsServiceResponse::decode(body).ok().and_then(|response| response.partial_success);
    let Some(partial) = partial else { return Pushed::default() };
    // A cumulative request has more points than its items, and a server may count in its own way.
    let rejected = u64::try_from(partial.rejected_data_points).unwrap_or(0).min(payload.items);
    let message = (!partial.error_message.is_empty()).then_some(partial.error_message);
    Pushed { rejected_items: rejected, message }
}

/// `google.rpc.Status`: content of gRPC's `grpc-status-details-bin` and of HTTP error bodies.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RpcStatus {
    #[prost(int32, tag = "1")]
    pub code: i32,
    #[prost(string, tag = "2")]
    pub message: String,
    #[prost(message, repeated, tag = "3")]
    pub details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Any {
    #[prost(string, tag = "1")]
    pub type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    pub retry_delay: Option<ProtoDuration>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ProtoDuration {
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}
