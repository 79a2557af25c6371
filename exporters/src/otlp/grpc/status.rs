//! Which gRPC status codes are retryable, by the OTLP specification's table.

use std::time::Duration;

use longwave_pipeline::component::{PushError, one_line};
use prost::Message;
use tonic::{Code, Status};

use crate::otlp::explain::{explain, may_have_arrived};
use crate::otlp::partial_success::{RetryInfo, RpcStatus};

/// Returns whether a retry may succeed. `ResourceExhausted` is retryable only if the server sent `RetryInfo`.
pub fn is_retryable(code: Code, has_retry_info: bool) -> bool {
    match code {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => true,
        Code::ResourceExhausted => has_retry_info,
        _ => false,
    }
}

/// Turns a failed call into an error whose message names `endpoint`.
pub(crate) fn push_error(endpoint: &str, tls: bool, status: &Status) -> PushError {
    use std::error::Error;
    // A status with a source was created on this side: the connection failed and there is no response.
    if let Some(source) = status.source() {
        let message = explain(endpoint, tls, source);
        return PushError::Retryable { message, after: None, may_have_arrived: may_have_arrived(source) };
    }
    let after = retry_delay(status.details());
    let hint = match status.code() {
        Code::Unauthenticated | Code::PermissionDenied => {
            " (do headers or auth carry the right credentials?)"
        }
        Code::Unimplemented => {
            " (does the server have an OTLP receiver on this port, in a pipeline of this signal?)"
        }
        _ => "",
    };
    let text =
        if status.message().is_empty() { status.code().description() } else { &one_line(status.message()) };
    let message = format!("{endpoint}: {:?}: {text}{hint}", status.code());
    if is_retryable(status.code(), after.is_some()) {
        // The server, or a proxy before it, stopped to wait for its own result.
        let may_have_arrived = matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled);
        PushError::Retryable { message, after: after.filter(|wait| !wait.is_zero()), may_have_arrived }
    } else {
        PushError::Permanent(message)
    }
}

/// Returns the delay of `google.rpc.RetryInfo` in `grpc-status-details-bin`; `None` without it.
fn retry_delay(details: &[u8]) -> Option<Duration> {
    let status = RpcStatus::decode(details).ok()?;
    let info = status.details.iter().find(|any| any.type_url.ends_with("/google.rpc.RetryInfo"))?;
    let delay = RetryInfo::decode(info.value.as_slice()).ok()?.retry_delay.unwrap_or_default();
    Some(Duration::new(
        u64::try_from(delay.seconds).unwrap_or(0),
        u32::try_from(delay.nanos).unwrap_or(0).min(999_999_999),
    ))
}
