//! `encoding: json`: requests and responses in OTLP's JSON.

use bytes::Bytes;
use longwave_pipeline::component::{Payload, Pushed, Signal};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use prost::Message;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Content type of requests and responses.
pub(crate) const JSON: &str = "application/json";

/// Returns a request in JSON. The queue has it as protobuf, which is smaller.
///
/// # Errors
/// None for requests that this exporter has encoded.
pub(crate) fn transcode(request: Bytes, signal: Signal) -> Result<Bytes, String> {
    match signal {
        Signal::Metrics => convert::<ExportMetricsServiceRequest>(request),
        Signal::Logs => convert::<ExportLogsServiceRequest>(request),
    }
}

fn convert<R: Message + Default + Serialize + DeserializeOwned>(request: Bytes) -> Result<Bytes, String> {
    let request = R::decode(request).map_err(|error| error.to_string())?;
    let mut value = serde_json::to_value(&request).map_err(|error| error.to_string())?;
    remove_nulls(&mut value);
    serde_json::to_vec(&value).map(Bytes::from).map_err(|error| error.to_string())
}

/// Removes fields that are absent in the request. The Collector refuses `"min": null`.
fn remove_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(remove_nulls);
        }
        Value::Array(elements) => elements.iter_mut().for_each(remove_nulls),
        _ => {}
    }
}

/// Reads the response to an accepted request. A body that is not such a response counts as one that rejects nothing.
pub(super) fn pushed(body: &[u8], payload: &Payload) -> Pushed {
    let response: Value = serde_json::from_slice(body).unwrap_or_default();
    let partial = &response["partialSuccess"];
    // 64-bit numbers are texts in OTLP's JSON, but parsers accept numbers too.
    let number = |key: &str| partial[key].as_u64().or_else(|| partial[key].as_str()?.parse().ok());
    let rejected = number("rejectedDataPoints").or_else(|| number("rejectedLogRecords")).unwrap_or(0);
    let message = partial["errorMessage"].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    Pushed { rejected_items: rejected.min(payload.items), message }
}

/// Returns the message of an error response (`google.rpc.Status`).
pub(super) fn reason(body: &[u8]) -> Option<String> {
    let status: Value = serde_json::from_slice(body).ok()?;
    Some(status["message"].as_str()?.to_owned())
}
