//! Which answers of a gRPC server are worth another attempt: the OTLP specification's table.

use std::time::Duration;

use longwave_pipeline::component::PushError;
use prost::Message;
use tonic::{Code, Status};

use crate::otlp::explain::explain;
use crate::otlp::success::{RetryInfo, RpcStatus};

/// May another attempt succeed? `ResourceExhausted` only where the server says when.
pub fn is_retryable(code: Code, says_when: bool) -> bool {
    match code {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => true,
        Code::ResourceExhausted => says_when,
        _ => false,
    }
}

/// What a failed call means. `endpoint` is named in the message.
pub(crate) fn push_error(endpoint: &str, tls: bool, status: &Status) -> PushError {
    use std::error::Error;
    // A status with a source was made on this side: the connection failed, the server said nothing.
    if let Some(source) = status.source() {
        return PushError::Retryable { message: explain(endpoint, tls, source), after: None };
    }
    let after = retry_delay(status.details());
    let hint = match status.code() {
        Code::Unauthenticated | Code::PermissionDenied => " (do headers carry the right credentials?)",
        Code::Unimplemented => {
            " (does the server have an OTLP receiver on this port, in a pipeline of this signal?)"
        }
        _ => "",
    };
    let text = if status.message().is_empty() { status.code().description() } else { status.message() };
    let message = format!("{endpoint}: {:?}: {text}{hint}", status.code());
    if is_retryable(status.code(), after.is_some()) {
        PushError::Retryable { message, after: after.filter(|wait| !wait.is_zero()) }
    } else {
        PushError::Permanent(message)
    }
}

/// The server's wish in `grpc-status-details-bin`; absent without a `google.rpc.RetryInfo`.
fn retry_delay(details: &[u8]) -> Option<Duration> {
    let status = RpcStatus::decode(details).ok()?;
    let info = status.details.iter().find(|any| any.type_url.ends_with("/google.rpc.RetryInfo"))?;
    let delay = RetryInfo::decode(info.value.as_slice()).ok()?.retry_delay.unwrap_or_default();
    Some(Duration::new(
        u64::try_from(delay.seconds).unwrap_or(0),
        u32::try_from(delay.nanos).unwrap_or(0).min(999_999_999),
    ))
}
