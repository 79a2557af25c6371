use std::time::Duration;

use tokio::sync::mpsc::Sender;

use super::*;
use crate::model::UnixNanos;

/// Makes a sender to a stage whose counters are not checked.
fn to_stage(pipeline: &str, channel: Sender<Batch>) -> StageSender {
    let node = Accounting::default().node(NodeKind::Passage, "", pipeline, Signal::Logs, false);
    StageSender::new(channel, node)
}

/// *Scenario*: a pipeline has ended; a receiver offers updates.
/// *Guarantees*: the updates are counted as dropped.
#[tokio::test]
async fn updates_for_an_ended_pipeline_are_counted() {
    let accounting = Accounting::default();
    let node = accounting.node(NodeKind::Receiver, "gen", "logs", Signal::Logs, false);
    let (sender, input) = channel(1);
    drop(input);
    let output = RecordOutput::new(vec![(Arc::clone(&node), to_stage("logs", sender))]);
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
    let output = RecordOutput::new(vec![(Arc::clone(&node), to_stage("logs", sender))]);
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

/// *Scenario*: six batches wait in the channel of a pipeline, and a receiver waits until there are two. The pipeline reads four of them.
/// *Guarantees*: the receiver waits until then. A pipeline that has ended is not waited for.
#[tokio::test]
async fn a_receiver_waits_until_its_batches_are_read() {
    let (output, mut input) = RecordOutput::pair(8);
    for _ in 0..6 {
        assert_eq!(output.offer_updates(vec![ConnectionRecord::blank()]), Delivered::All);
    }
    for queued in (3..=6).rev() {
        assert_eq!(output.queued(), queued);
        assert!(tokio::time::timeout(Duration::ZERO, output.room(2)).await.is_err());
        input.recv().await.unwrap();
    }
    output.room(2).await;
    drop(input);
    output.room(0).await;
    assert_eq!(output.queued(), 0);
}

/// *Scenario*: between batches, a pipeline is replaced, one is removed and one is added; a batch waits for room in the replaced pipeline.
/// *Guarantees*: each pipeline receives each batch once, the waiting one included; the replaced and the removed pipeline end; the counters of
/// an id continue.
#[tokio::test]
async fn pipelines_are_replaced_between_batches() {
    let accounting = Accounting::default();
    let node = |pipeline: &str| accounting.node(NodeKind::Receiver, "gen", pipeline, Signal::Logs, false);
    let [(a, mut a_input), (old, mut old_input), (new, mut new_input), (b, mut b_input)] =
        std::array::from_fn(|_| channel(1));
    let kept = to_stage("kept", old);
    let output = RecordOutput::new(vec![(node("removed"), to_stage("removed", a)), (node("kept"), kept)]);
    let handle = output.handle();
    let records = || Batch::records(vec![ConnectionRecord::blank(); 3]);
    assert!(output.send(records()).await);
    let waiting = output.send(records());
    tokio::pin!(waiting);
    assert!(futures_util::poll!(&mut waiting).is_pending());
    handle.set(vec![(node("kept"), to_stage("kept", new)), (node("added"), to_stage("added", b))]);
    // The batch waits for room in the pipeline that was removed meanwhile, and passes on to the new one of the second.
    assert_eq!(a_input.recv().await.unwrap().items(), 3);
    assert!(waiting.await);
    assert_eq!(a_input.recv().await.unwrap().items(), 3);
    assert!(a_input.recv().await.is_none());
    assert_eq!(old_input.recv().await.unwrap().items(), 3);
    assert!(old_input.recv().await.is_none());
    assert_eq!(new_input.recv().await.unwrap().items(), 3);
    assert!(b_input.try_recv().is_err());
    assert_eq!(output.offer_updates(vec![ConnectionRecord::blank(); 3]), Delivered::All);
    assert_eq!((new_input.recv().await.unwrap().items(), b_input.recv().await.unwrap().items()), (3, 3));
    assert_eq!((node("kept").outgoing(), node("removed").outgoing(), node("added").outgoing()), (9, 6, 3));
    assert_eq!(accounting.imbalances(), []);
}

/// *Scenario*: a receiver ends; one of its pipelines continues with another receiver.
/// *Guarantees*: the last watermark is the last one only of the other pipeline.
#[tokio::test]
async fn a_watermark_is_not_the_last_if_the_pipeline_continues() {
    let accounting = Accounting::default();
    let node = |pipeline: &str| accounting.node(NodeKind::Receiver, "gen", pipeline, Signal::Logs, false);
    let [(a, mut a_input), (b, mut b_input)] = std::array::from_fn(|_| channel(1));
    let output = RecordOutput::new(vec![(node("a"), to_stage("a", a)), (node("b"), to_stage("b", b))]);
    output.handle().continues(|pipeline| pipeline == "a");
    output.pass_end(PassEnd { tick: UnixNanos(5), last: true });
    for (input, expected) in [(&mut a_input, false), (&mut b_input, true)] {
        let received = input.recv().await.unwrap();
        assert!(matches!(received, Batch::PassEnd(PassEnd { last, .. }) if last == expected), "{received:?}");
    }
}
