use std::time::Duration;

use super::*;
use crate::model::UnixNanos;

/// *Scenario*: a pipeline has ended; a receiver offers updates.
/// *Guarantees*: the updates are counted as dropped.
#[tokio::test]
async fn updates_for_an_ended_pipeline_are_counted() {
    let accounting = Accounting::default();
    let node = accounting.node(NodeKind::Receiver, "gen", "logs", Signal::Logs, false);
    let (sender, input) = channel(1);
    drop(input);
    let output = RecordOutput::new(vec![(Arc::clone(&node), sender)]);
    output.offer_updates(vec![ConnectionRecord::blank(); 3]);
    assert_eq!(node.dropped().iter().map(|(r, c)| (r.0, c.items)).collect::<Vec<_>>(), [("stage_ended", 3)]);
    assert_eq!(accounting.imbalances(), []);
}

/// *Scenario*: a pipeline does not read; a receiver offers updates, sends events and ends a pass.
/// *Guarantees*: nothing blocks; refused updates are counted as deferred, refused events as dropped; the watermark is sent before the next
/// batch.
#[tokio::test]
async fn refused_records_are_counted_and_the_watermark_is_kept() {
    let accounting = Accounting::default();
    let node = accounting.node(NodeKind::Receiver, "gen", "logs", Signal::Logs, false);
    let (sender, mut input) = channel(1);
    let output = RecordOutput::new(vec![(Arc::clone(&node), sender)]);
    let records = || vec![ConnectionRecord::blank(); 3];
    assert_eq!(output.offer_updates(records()), Delivered::All);
    assert_eq!(output.offer_updates(records()), Delivered::None);
    output.give_events(records());
    let tick = UnixNanos(5);
    output.pass_end(PassEnd { tick, last: false });
    let reasons: Vec<_> = node.dropped().into_iter().map(|(reason, count)| (reason.0, count.items)).collect();
    assert_eq!(reasons, [("deferred", 3), ("queue_full", 3)]);
    assert_eq!(input.recv().await.unwrap().items(), 3);
    let reader = tokio::spawn(async move {
        let first = input.recv().await.unwrap();
        (first, input.recv().await.unwrap())
    });
    assert!(
        tokio::time::timeout(Duration::from_secs(5), output.send(Batch::records(records()))).await.unwrap()
    );
    let (first, second) = reader.await.unwrap();
    assert!(matches!(first, Batch::PassEnd(pass) if pass.tick == tick), "{first:?}");
    assert_eq!(second.items(), 3);
    assert_eq!(accounting.imbalances(), []);
}
