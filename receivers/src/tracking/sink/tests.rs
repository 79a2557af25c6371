use std::time::Duration;

use longwave_pipeline::component::{Delivered, RecordOutput};
use longwave_pipeline::model::{Batch, ConnectionRecord, PassEnd, UnixNanos};

use super::{MAX_WAITING, PACED_BATCHES, Pipelines, Sink, WaitingEvents};

fn records(from: u64, count: u64) -> Vec<ConnectionRecord> {
    let numbered = (from..from + count).map(|cookie| {
        let mut record = ConnectionRecord::blank();
        record.id.cookie = cookie;
        record
    });
    numbered.collect()
}

/// Scenario: a pipeline that reads nothing while events, an update and a watermark are sent, and then reads everything.
/// Guarantees: every event arrives, in order. The update is refused, and is accepted later. The watermark comes after the events.
#[test]
fn events_wait_for_room_and_the_watermark_waits_for_them() {
    let executor = tokio::runtime::Runtime::new().unwrap();
    let (output, mut input) = RecordOutput::pair(1);
    let mut sink = Pipelines::new(output, executor.handle().clone(), Duration::ZERO);
    for batch in 0..10 {
        sink.give_events(records(batch * 100, 100));
    }
    assert_eq!(sink.offer_updates(records(5_000, 1)), Delivered::None);
    let end = PassEnd { tick: UnixNanos(7), last: false };
    sink.pass_end(end);
    let mut arrived = Vec::new();
    loop {
        sink.send_waiting();
        match input.try_recv() {
            Ok(Batch::Records(batch)) => arrived.extend(batch.iter().map(|record| record.id.cookie)),
            Ok(Batch::PassEnd(found)) => {
                assert_eq!(found, end);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(arrived, (0..1000).collect::<Vec<_>>());
    assert_eq!(sink.offer_updates(records(5_000, 1)), Delivered::All);
}

/// Scenario: a pipeline that never reads, and more events than may wait.
/// Guarantees: the number of waiting events stays bounded; nothing blocks.
#[test]
fn waiting_events_are_bounded() {
    let executor = tokio::runtime::Runtime::new().unwrap();
    let (output, _input) = RecordOutput::pair(1);
    let mut sink = Pipelines::new(output, executor.handle().clone(), Duration::ZERO);
    for batch in 0..200 {
        sink.give_events(records(batch * 1000, 1000));
        assert!(sink.waiting.records <= MAX_WAITING);
    }
}

/// *Scenario*: a pipeline that never reads, and more updates than its channel has room for.
/// *Guarantees*: updates wait only for a limited time while there is room: they are accepted until the channel is full.
#[test]
fn updates_are_accepted_until_the_channel_is_full() {
    let executor = tokio::runtime::Runtime::new().unwrap();
    let capacity = PACED_BATCHES + 3;
    let (output, _input) = RecordOutput::pair(capacity);
    let mut sink = Pipelines::new(output, executor.handle().clone(), Duration::ZERO);
    for _ in 0..capacity {
        assert_eq!(sink.offer_updates(records(0, 1)), Delivered::All);
    }
    assert_eq!(sink.offer_updates(records(0, 1)), Delivered::None);
    assert!(sink.pacing_left.is_zero());
}

/// Scenario: events wait in batches of all sizes, some of them larger than one batch.
/// Guarantees: they are returned in order and complete, batch by batch or all together, with small batches merged.
#[test]
fn waiting_batches_keep_their_order() {
    let sizes = [1, 125, 150, 0, 191, 1, 750, 7, 7];
    let waiting = || {
        let (mut waiting, mut next) = (WaitingEvents::default(), 0);
        for size in sizes {
            waiting.push(records(next, size));
            next += size;
        }
        assert_eq!(waiting.records as u64, next);
        waiting
    };
    let cookies = |records: Vec<ConnectionRecord>| records.into_iter().map(|record| record.id.cookie);
    let all: Vec<u64> = (0..sizes.iter().sum()).collect();

    let mut one_by_one = waiting();
    assert_eq!(one_by_one.batches.len(), 5);
    let mut found = Vec::new();
    while let Some(batch) = one_by_one.pop() {
        found.extend(cookies(batch));
    }
    assert_eq!(found, all);
    assert_eq!(one_by_one.records, 0);

    let mut together = waiting();
    assert_eq!(cookies(together.take()).collect::<Vec<_>>(), all);
    assert!(together.is_empty() && together.records == 0);
}
