use std::num::NonZeroU64;
use std::sync::Arc;

use longwave_pipeline::component::{AttributeAction, AttributeEdits};
use longwave_pipeline::model::{
    CloseReason, ConnectionId, ConnectionRecord, End, Endpoint, Event, FailReason, Role, TcpState, Totals,
    UnixNanos,
};

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use prost::Message;

use super::{decoded, resource};
use crate::otlp::encode::LogsEncoder;

fn endpoint(last: u8, port: u16) -> Endpoint {
    Endpoint { address: std::net::Ipv4Addr::new(10, 0, 0, last).into(), port }
}

fn close() -> ConnectionRecord {
    let mut record = ConnectionRecord {
        id: ConnectionId { boot: 0xb007, netns: 1, cookie: 42, generation: 7 },
        event: Event::Close,
        role: Role::Client,
        state: TcpState::LastAck,
        start_known: true,
        local: endpoint(1, 40_000),
        peer: endpoint(2, 80),
        opened: UnixNanos(1_000_000_000),
        age: 2_500_000_000,
        observed: UnixNanos(3_500_000_000),
        totals: Totals { sent_bytes: u64::MAX, received_bytes: 20, ..Totals::default() },
        delta: Totals { sent_bytes: 4, received_bytes: 6, ..Totals::default() },
        end: Some(End::Closed(CloseReason::Fin)),
        ..ConnectionRecord::blank()
    };
    record.round_trip.smoothed = NonZeroU64::new(1_500_000);
    record
}

/// *Scenario*: a close and a failed open.
/// *Guarantees*: the request has the event name, time, severity and all attributes with their types, as the JSON output does.
#[test]
fn a_close_and_a_failure() {
    let fail = ConnectionRecord {
        event: Event::Fail,
        end: Some(End::Failed(FailReason::Errno(71))),
        errno: 71,
        state: TcpState::SynSent,
        round_trip: Default::default(),
        ..close()
    };
    let payloads = LogsEncoder::new(&resource()).encode(&[close(), fail]);
    assert_eq!((payloads.len(), payloads[0].items, payloads[0].traffic_bytes), (1, 2, 20));
    insta::assert_snapshot!("logs", decoded::logs(&payloads[0]));
}

/// *Scenario*: more records than fit into one request, twice. Then no records.
/// *Guarantees*: no request exceeds the limit, items and traffic add up, and records stay in order. Without records there is no request.
#[test]
fn many_records_are_split() {
    const LIMIT: usize = 10_000;
    let mut encoder = LogsEncoder::with_limit(&resource(), LIMIT);
    assert!(encoder.encode(&[]).is_empty());
    let records: Vec<_> = (0..50).map(|i| ConnectionRecord { observed: UnixNanos(i), ..close() }).collect();
    for _ in 0..2 {
        let payloads = encoder.encode(&records);
        assert!(payloads.len() > 2);
        assert!(payloads.iter().all(|payload| payload.bytes.len() <= LIMIT));
        assert_eq!(payloads.iter().map(|payload| payload.items).sum::<u64>(), 50);
        assert_eq!(payloads.iter().map(|payload| payload.traffic_bytes).sum::<u64>(), 500);
        let shown: String = payloads.iter().map(decoded::logs).collect();
        let times = shown.lines().filter_map(|line| line.split_once('/')?.0.parse::<u64>().ok());
        assert!(times.eq(0..50));
    }
}

/// *Scenario*: actions remove an attribute, add one, and copy a number.
/// *Guarantees*: the log record has the changed attributes, each once; its fields, its body and the other attributes stay.
#[test]
fn attributes_are_changed() {
    let action = |yaml: serde_json::Value| serde_json::from_value::<AttributeAction>(yaml).unwrap();
    let edits = AttributeEdits::new(vec![
        action(serde_json::json!({"key": "source.address", "action": "delete"})),
        action(serde_json::json!({"key": "env", "value": "test", "action": "insert"})),
        action(serde_json::json!({"key": "port", "from_attribute": "destination.port", "action": "upsert"})),
        action(serde_json::json!({"key": "network.transport", "value": "TCP", "action": "update"})),
    ]);
    let lines = |encoder: LogsEncoder| {
        let mut encoder = encoder;
        let shown = decoded::logs(&encoder.encode(&[close()])[0]);
        shown.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let plain = lines(LogsEncoder::new(&resource()));
    let changed = lines(LogsEncoder::new(&resource()).with_edits(Arc::new(edits)));
    let only_in = |one: &[String], other: &[String]| {
        one.iter().filter(|line| !other.contains(line)).map(|line| line.trim().to_owned()).collect::<Vec<_>>()
    };
    insta::assert_snapshot!(
        "changed_attributes",
        format!("- {:?}\n+ {:?}", only_in(&plain, &changed), only_in(&changed, &plain))
    );
}

/// *Scenario*: ten records with a limit of four, and the requests appended to one another, as the queue merges them.
/// *Guarantees*: no request has more records than the limit. The merged request decodes to all records in their order, with a resource for each
/// request.
#[test]
fn records_are_limited_and_requests_can_be_merged() {
    let records: Vec<_> = (0..10).map(|i| ConnectionRecord { observed: UnixNanos(i), ..close() }).collect();
    let payloads = LogsEncoder::new(&resource()).with_max_items(4).encode(&records);
    assert_eq!(payloads.iter().map(|payload| payload.items).collect::<Vec<_>>(), [4, 4, 2]);
    let merged: Vec<u8> = payloads.iter().flat_map(|payload| payload.bytes.to_vec()).collect();
    let merged = ExportLogsServiceRequest::decode(&*merged).unwrap();
    assert_eq!(merged.resource_logs.len(), 3);
    assert!(merged.resource_logs.iter().all(|of| of.resource == merged.resource_logs[0].resource));
    let scopes = merged.resource_logs.iter().flat_map(|resource| &resource.scope_logs);
    let times: Vec<u64> =
        scopes.flat_map(|scope| &scope.log_records).map(|record| record.time_unix_nano).collect();
    assert_eq!(times, (0..10).collect::<Vec<_>>());
}
