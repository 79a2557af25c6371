use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::ExportPhase;
use crate::component::*;
use crate::model::{UnixNanos, Window};
use crate::runtime::delivery::SendingQueue;
use crate::runtime::testing::{KeepPusher, World};

const DELAY: Duration = Duration::from_secs(3);

fn window(start: u64, length: u64) -> Window {
    Window { start: UnixNanos(start), end: UnixNanos(start.saturating_add(length)), series: Vec::new() }
}

/// Starts a queue whose server accepts everything.
fn queue(config: QueueConfig) -> (World, Arc<Node>, SendingQueue) {
    let (world, accounting) = (World::default(), Accounting::default());
    let node = accounting.node(NodeKind::Exporter, "keep", "", Signal::Metrics, false);
    let pusher = Arc::new(KeepPusher { id: "keep".into(), fail: String::new(), world: world.clone() });
    let retry = RetryConfig::default();
    let config = DeliveryConfig { timeout: Duration::from_secs(5), retry, queue: config };
    let queue = SendingQueue::start("keep", pusher, config, true, Arc::clone(&node), &Default::default());
    (world, node, queue)
}

fn payloads(count: u8) -> Vec<Payload> {
    (0..count).map(|number| Payload { bytes: vec![number].into(), items: 1, traffic_bytes: 1 }).collect()
}

/// *Scenario*: 5,000 nodes whose names differ in a number, as those of a node pool do.
/// *Guarantees*: each tenth of the spread has about a tenth of the nodes (within 20 %). The same name always has the same phase.
#[test]
fn phases_are_spread_evenly() {
    for prefix in ["node-", "ip-10-0-", "gke-prod-pool-1-a1b2c3-"] {
        let mut tenths = [0_u32; 10];
        for number in 0..5000 {
            let name = format!("{prefix}{number}");
            let share = ExportPhase::of_name(&name).share;
            assert_eq!(share.to_bits(), ExportPhase::of_name(&name).share.to_bits());
            tenths[(share * 10.0) as usize] += 1;
        }
        assert!(tenths.iter().all(|count| (400..=600).contains(count)), "{prefix}: {tenths:?}");
    }
}

/// *Scenario*: resources with several names, with one, and with none.
/// *Guarantees*: the name of the Kubernetes node takes precedence over that of the host. Without a name there is no delay.
#[test]
fn the_node_has_the_phase_of_its_name() {
    let share = |pairs: &[(&str, &str)]| {
        let resource: Vec<_> =
            pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        ExportPhase::of(&resource).share
    };
    let of_name = |name| ExportPhase::of_name(name).share;
    assert_ne!(of_name("a"), of_name("b"));
    assert_eq!(share(&[("host.name", "a"), ("k8s.node.name", "b")]), of_name("b"));
    assert_eq!(share(&[("service.name", "x"), ("host.name", "a")]), of_name("a"));
    assert_eq!(share(&[("service.name", "x")]), 0.0);
}

proptest! {
    /// *Scenario*: any name, two adjacent windows of any length, any spread, and any time at which a window arrives.
    /// *Guarantees*: the delay is less than the length of the window and at most the spread. A window is due before the next one ends, and
    /// one that arrives a whole interval late does not wait.
    #[test]
    fn no_window_is_later_than_one_interval(
        name in ".*",
        start in 0..u64::MAX / 4,
        length in 1..u64::MAX / 4,
        spread in 0..u64::MAX / 4,
        late in 0..u64::MAX / 4,
    ) {
        let (phase, window, spread) = (ExportPhase::of_name(&name), window(start, length), Duration::from_nanos(spread));
        let at = |nanos: u64| phase.delay(&window, spread, UnixNanos(nanos));
        let end = window.end.0;
        let longest = at(end);
        prop_assert!(longest <= spread && longest <= Duration::from_nanos(length));
        prop_assert_eq!(at(end + late), longest.saturating_sub(Duration::from_nanos(late)));
        prop_assert_eq!(at(end + length), Duration::ZERO);
        prop_assert_eq!(at(start), longest);
    }
}

/// *Scenario*: three windows with a delay, each added before the first one is due.
/// *Guarantees*: nothing is sent before the first one is due, and then all of them in their order.
#[tokio::test(start_paused = true)]
async fn windows_wait_and_keep_their_order() {
    let (world, node, mut queue) = queue(QueueConfig::default());
    let start = tokio::time::Instant::now();
    for number in 0..3_u8 {
        node.add_incoming(1);
        let payload = Payload { bytes: vec![number].into(), items: 1, traffic_bytes: 1 };
        queue.put_batch(DELAY, vec![payload]).await.unwrap();
    }
    tokio::time::sleep(DELAY - Duration::from_millis(10)).await;
    assert_eq!(node.outgoing(), 0);
    while node.held() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(start.elapsed() < DELAY + Duration::from_secs(1));
    }
    assert_eq!(node.outgoing(), 3);
    let delivered: Vec<u8> = world.delivered.lock().unwrap().iter().map(|bytes| bytes[0]).collect();
    assert_eq!(delivered, [0, 1, 2]);
}

/// *Scenario*: a queue is shut down while a window waits; the pipeline waits for the result; there is no queue; a window has more requests than
/// half the queue, or than the whole queue.
/// *Guarantees*: everything is delivered without any delay, and nothing is dropped.
#[tokio::test(start_paused = true)]
async fn nothing_waits_that_must_not() {
    let default = QueueConfig::default;
    let cases = [
        ("shutdown", default(), 3),
        ("result", QueueConfig { wait_for_result: true, ..default() }, 3),
        ("no queue", QueueConfig { enabled: false, ..default() }, 3),
        ("half full", QueueConfig { queue_size: 4, ..default() }, 3),
        ("larger", QueueConfig { queue_size: 4, ..default() }, 20),
    ];
    for (case, config, count) in cases {
        let (_, node, mut queue) = queue(config);
        let start = tokio::time::Instant::now();
        node.add_incoming(u64::from(count));
        queue.put_batch(DELAY, payloads(count)).await.unwrap();
        if case == "half full" {
            while node.held() > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        queue.shutdown().await.unwrap();
        assert!(start.elapsed() < DELAY / 2, "{case}: {:?}", start.elapsed());
        assert_eq!((node.outgoing(), node.dropped().len()), (u64::from(count), 0), "{case}");
    }
}
