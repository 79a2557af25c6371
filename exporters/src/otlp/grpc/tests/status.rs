use std::time::Duration;

use longwave_pipeline::component::PushError;
use prost::Message;
use tonic::{Code, Status};

use crate::otlp::grpc::status::{is_retryable, push_error};
use crate::otlp::partial_success::{Any, ProtoDuration, RetryInfo, RpcStatus};

const EVERY_CODE: [(Code, bool); 17] = [
    (Code::Ok, false),
    (Code::Cancelled, true),
    (Code::Unknown, false),
    (Code::InvalidArgument, false),
    (Code::DeadlineExceeded, true),
    (Code::NotFound, false),
    (Code::AlreadyExists, false),
    (Code::PermissionDenied, false),
    (Code::ResourceExhausted, false),
    (Code::FailedPrecondition, false),
    (Code::Aborted, true),
    (Code::OutOfRange, true),
    (Code::Unimplemented, false),
    (Code::Internal, false),
    (Code::Unavailable, true),
    (Code::DataLoss, true),
    (Code::Unauthenticated, false),
];

fn retry_info(delay: Option<(i64, i32)>) -> Vec<u8> {
    let info = RetryInfo { retry_delay: delay.map(|(seconds, nanos)| ProtoDuration { seconds, nanos }) };
    let any = |name: &str, value| Any { type_url: format!("type.googleapis.com/google.rpc.{name}"), value };
    let details = vec![any("Help", vec![1, 2, 3]), any("RetryInfo", info.encode_to_vec())];
    RpcStatus { code: 8, message: "slow down".into(), details }.encode_to_vec()
}

/// *Scenario*: every gRPC code, with and without the server's `RetryInfo`.
/// *Guarantees*: the specification's table applies. `ResourceExhausted` is retryable only with `RetryInfo`.
#[test]
fn the_table_of_codes() {
    for (code, retryable) in EVERY_CODE {
        assert_eq!(is_retryable(code, false), retryable, "{code:?}");
        assert_eq!(is_retryable(code, true), retryable || code == Code::ResourceExhausted, "{code:?}");
    }
}

/// *Scenario*: `RetryInfo` with a delay, without one, with an invalid one, and details that are not protobuf.
/// *Guarantees*: the delay is applied. Without one the usual back-off applies. Nothing panics.
#[test]
fn the_servers_delay() {
    let after = |code, details: Vec<u8>| match push_error(
        "http://c:1",
        false,
        &Status::with_details(code, "slow down", details.into()),
    ) {
        PushError::Retryable { after, message, .. } => {
            assert!(message.starts_with("http://c:1: ") && message.contains("slow down"), "{message}");
            Some(after)
        }
        PushError::Permanent(_) => None,
        PushError::Fatal { message, .. } => panic!("{message}"),
    };
    assert_eq!(
        after(Code::ResourceExhausted, retry_info(Some((2, 500_000_000)))),
        Some(Some(Duration::from_millis(2500)))
    );
    assert_eq!(after(Code::ResourceExhausted, retry_info(None)), Some(None));
    assert_eq!(after(Code::Unavailable, retry_info(Some((1, 0)))), Some(Some(Duration::from_secs(1))));
    assert_eq!(after(Code::Unavailable, retry_info(Some((-5, i32::MIN)))), Some(None));
    assert_eq!(after(Code::Unavailable, vec![0xff; 9]), Some(None));
    assert_eq!(after(Code::ResourceExhausted, vec![0xff; 9]), None);
    assert_eq!(after(Code::InvalidArgument, retry_info(Some((1, 0)))), None);
}
