use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use longwave_config::GoDuration;
use proptest::prelude::*;

use crate::component::*;
use crate::runtime::delivery::SendingQueue;

/// Longer than any run. Time is paused, so that a run that stands still ends immediately.
const DEADLOCK: Duration = Duration::from_secs(1_000_000);

/// Result of one attempt.
#[derive(Clone, Copy, Debug)]
enum Outcome {
    Accepted,
    AcceptedInPart,
    Retryable,
    Permanent,
    Fatal,
    Panic,
}

/// What the attempts of one payload do: how long each takes, and its result. Later attempts are accepted immediately.
type Script = VecDeque<(Duration, Outcome)>;

/// A server that follows scripts.
#[derive(Default)]
struct ScriptedPusher {
    /// By batch and index of the payload.
    scripts: Mutex<BTreeMap<(u64, usize), Script>>,
    /// Batch of each start and end of an attempt.
    events: Mutex<Vec<u64>>,
    /// Batch of each payload that was accepted.
    accepted: Mutex<Vec<u64>>,
    /// Number of attempts that run, and its maximum.
    running: Mutex<(u64, u64)>,
}

/// Records the end of an attempt, also if it is cancelled.
struct RunningAttempt<'a> {
    pusher: &'a ScriptedPusher,
    batch: u64,
}

struct Bench {
    pusher: Arc<ScriptedPusher>,
    node: Arc<Node>,
    accounting: Accounting,
    queue: SendingQueue,
    is_ordered: bool,
    batches: u64,
}

// === impl ScriptedPusher ===

#[async_trait]
impl Pusher for ScriptedPusher {
    async fn push(&self, payload: &Payload) -> Result<Pushed, PushError> {
        let text = std::str::from_utf8(&payload.bytes).unwrap();
        let (batch, index) = text.split_once(' ').unwrap();
        let (batch, index) = (batch.parse().unwrap(), index.parse().unwrap());
        let step = self.scripts.lock().unwrap().get_mut(&(batch, index)).and_then(VecDeque::pop_front);
        let (time, outcome) = step.unwrap_or((Duration::ZERO, Outcome::Accepted));
        let _running = self.start_attempt(batch);
        tokio::time::sleep(time).await;
        let message = "scripted".to_owned();
        match outcome {
            Outcome::Accepted | Outcome::AcceptedInPart => {
                self.accepted.lock().unwrap().push(batch);
                let rejected_items = u64::from(matches!(outcome, Outcome::AcceptedInPart));
                Ok(Pushed { rejected_items, message: None })
            }
            Outcome::Retryable => Err(PushError::Retryable { message, after: None, may_have_arrived: false }),
            Outcome::Permanent => Err(PushError::Permanent(message)),
            Outcome::Fatal => Err(PushError::fatal(message)),
            Outcome::Panic => panic!("{message}"),
        }
    }
}

impl ScriptedPusher {
    fn start_attempt(&self, batch: u64) -> RunningAttempt<'_> {
        self.events.lock().unwrap().push(batch);
        let mut running = self.running.lock().unwrap();
        running.0 += 1;
        running.1 = running.1.max(running.0);
        RunningAttempt { pusher: self, batch }
    }

    /// Fails if an attempt of a batch started before all attempts of the earlier batches had ended.
    fn assert_ordered(&self) {
        let events = self.events.lock().unwrap();
        let inversion = events.windows(2).find(|pair| pair[0] > pair[1]);
        assert!(inversion.is_none(), "{inversion:?} in {events:?}");
    }
}

impl Drop for RunningAttempt<'_> {
    fn drop(&mut self) {
        self.pusher.events.lock().unwrap().push(self.batch);
        self.pusher.running.lock().unwrap().0 -= 1;
    }
}

// === impl Bench ===

impl Bench {
    fn new(queue: QueueConfig, is_ordered: bool) -> Self {
        let retry = RetryConfig {
            initial_interval: GoDuration::from_secs(1),
            max_elapsed_time: GoDuration::from_secs(20),
            ..RetryConfig::default()
        };
        let config = DeliveryConfig { timeout: Duration::from_secs(5), retry, queue };
        let (accounting, pusher) = (Accounting::default(), Arc::new(ScriptedPusher::default()));
        let node = accounting.node(NodeKind::Exporter, "scripted", "", Signal::Metrics, false);
        let dynamic = Arc::clone(&pusher) as Arc<dyn Pusher>;
        let stop = Default::default();
        let queue = SendingQueue::start("scripted", dynamic, config, is_ordered, Arc::clone(&node), &stop);
        Self { pusher, node, accounting, queue, is_ordered, batches: 0 }
    }

    /// Adds a batch with one payload of two items for each script.
    async fn put(&mut self, scripts: Vec<Script>) -> Result<(), ComponentError> {
        let batch = self.batches;
        self.batches += 1;
        let payload = |(index, script): (usize, Script)| {
            self.pusher.scripts.lock().unwrap().insert((batch, index), script);
            Payload { bytes: format!("{batch} {index}").into(), items: 2, traffic_bytes: 10 }
        };
        let payloads: Vec<_> = scripts.into_iter().enumerate().map(payload).collect();
        self.node.add_incoming(2 * payloads.len() as u64);
        // Windows have an order. Neighbouring ones have different delays, as those of different lengths do.
        let delay = if self.is_ordered { Duration::from_millis(batch % 3 * 700) } else { Duration::ZERO };
        self.queue.put_batch(delay, payloads).await
    }
}

/// Fails if the future does not resolve.
async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLOCK, future).await.expect("deadlock")
}

/// *Scenario*: ten consumers; 60 windows of up to three requests; a server that takes up to two seconds for an attempt and is unavailable
/// for every third one.
/// *Guarantees*: no request of a window is sent before those of the window before it have arrived. All arrive. Requests of one window are
/// concurrent.
#[tokio::test(start_paused = true)]
async fn windows_arrive_in_order() {
    let mut bench = Bench::new(QueueConfig::default(), true);
    let mut random = fastrand::Rng::with_seed(7);
    for window in 0..60 {
        let mut script = || -> Script {
            let failures = (0..4).take_while(|_| random.u8(..3) == 0).count();
            let outcomes = (0..failures).map(|_| Outcome::Retryable).chain([Outcome::Accepted]);
            outcomes.map(|outcome| (Duration::from_millis(random.u64(..2_000)), outcome)).collect()
        };
        let scripts = (0..=window % 3).map(|_| script()).collect();
        bench.put(scripts).await.unwrap();
    }
    let settled = async {
        while bench.node.held() > 0 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    in_time(settled).await;
    bench.pusher.assert_ordered();
    let expected: Vec<u64> = (0..60).flat_map(|window| (0..=window % 3).map(move |_| window)).collect();
    assert_eq!(*bench.pusher.accepted.lock().unwrap(), expected);
    assert!(bench.node.retries() > 10);
    assert!(bench.pusher.running.lock().unwrap().1 > 1);
    assert_eq!(bench.accounting.imbalances(), []);
}

/// *Scenario*: an exporter without order, and one batch that is retried for a while.
/// *Guarantees*: later batches do not wait for it.
#[tokio::test(start_paused = true)]
async fn without_order_no_batch_waits() {
    let mut bench = Bench::new(QueueConfig::default(), false);
    bench.put(vec![[(Duration::ZERO, Outcome::Retryable)].into()]).await.unwrap();
    for _ in 0..3 {
        bench.put(vec![Script::new()]).await.unwrap();
    }
    while bench.node.held() > 0 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(*bench.pusher.accepted.lock().unwrap(), [1, 2, 3, 0]);
}

/// *Scenario*: the delivery of a window panics while later windows wait for it.
/// *Guarantees*: the shutdown ends and reports the panic. The later windows are delivered.
#[tokio::test(start_paused = true)]
async fn a_panic_does_not_block_later_windows() {
    let mut bench = Bench::new(QueueConfig::default(), true);
    bench.put(vec![[(Duration::from_secs(1), Outcome::Panic)].into()]).await.unwrap();
    for _ in 0..3 {
        bench.put(vec![Script::new()]).await.unwrap();
    }
    in_time(bench.queue.shutdown()).await.unwrap_err();
    assert_eq!(*bench.pusher.accepted.lock().unwrap(), [1, 2, 3]);
}

/// Windows and the pauses after them, in milliseconds.
fn windows() -> impl Strategy<Value = Vec<(Vec<Script>, u64)>> {
    let outcome = prop_oneof![
        8 => Just(Outcome::Accepted),
        1 => Just(Outcome::AcceptedInPart),
        8 => Just(Outcome::Retryable),
        2 => Just(Outcome::Permanent),
    ];
    let time = prop_oneof![Just(0_u64), 1..8_000_u64].prop_map(Duration::from_millis);
    let script = prop::collection::vec_deque((time, outcome), 0..4);
    let window = prop::collection::vec(script, 0..4);
    prop::collection::vec((window, prop_oneof![Just(0), 0..6_000_u64]), 1..30)
}

fn queues() -> impl Strategy<Value = QueueConfig> {
    let sizer = prop_oneof![Just(Sizer::Requests), Just(Sizer::Items), Just(Sizer::Bytes)];
    let waits = (any::<bool>(), prop::bool::weighted(0.2));
    (prop::bool::weighted(0.9), 1..=10_usize, sizer, 1..=16_u64, waits).prop_map(
        |(enabled, num_consumers, sizer, queue_size, (block_on_overflow, wait_for_result))| QueueConfig {
            enabled,
            num_consumers,
            sizer,
            queue_size,
            max_bytes: None,
            block_on_overflow,
            wait_for_result,
            storage: None,
            batch: None,
            spread: None,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// *Scenario*: any windows, queue and number of consumers; attempts that fail in every way or take longer than the timeout; perhaps one
    /// that closes the output; then a shutdown, while deliveries are running.
    /// *Guarantees*: no request of a window is sent before all of the window before it were delivered or dropped. Nothing blocks forever.
    /// Every item is delivered or counted as dropped, and the queue is empty.
    #[test]
    fn any_delivery_keeps_the_order(
        windows in windows(),
        queue in queues(),
        fatal in prop::option::weighted(0.2, 0..30_usize),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut bench = Bench::new(queue, true);
            let put = async {
                for (number, (mut window, pause)) in windows.into_iter().enumerate() {
                    if fatal == Some(number) && let Some(first) = window.first_mut() {
                        first.push_front((Duration::from_millis(300), Outcome::Fatal));
                    }
                    bench.put(window).await?;
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                }
                Ok::<_, ComponentError>(())
            };
            let Bench { queue, pusher, node, accounting, .. } = match in_time(put).await {
                Ok(()) => bench,
                Err(_) => {
                    in_time(bench.queue.abandon()).await;
                    bench.pusher.assert_ordered();
                    assert_eq!(bench.accounting.imbalances(), []);
                    return;
                }
            };
            // An error is the closed output's.
            assert!(in_time(queue.shutdown()).await.is_ok() || fatal.is_some());
            pusher.assert_ordered();
            assert_eq!(accounting.imbalances(), []);
            assert_eq!((node.held(), node.queue_size()), (0, 0));
        });
    }
}
