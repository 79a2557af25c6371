use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use longwave_config::GoDuration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::component::{
    Accounting, BatchConfig, DeliveryConfig, Health, NodeKind, Payload, PushError, Pushed, Pusher,
    QueueConfig, RetryConfig, Signal,
};
use crate::model::ConnectionRecord;

/// A server that is down at first.
#[derive(Default)]
struct Server {
    is_up: AtomicBool,
    received: Mutex<Vec<Bytes>>,
}

#[async_trait]
impl Pusher for Server {
    async fn push(&self, payload: &Payload) -> Result<Pushed, PushError> {
        if self.is_up.load(Ordering::Relaxed) {
            self.received.lock().unwrap().push(payload.bytes.clone());
            return Ok(Pushed::default());
        }
        Err(PushError::Retryable { message: "down".to_owned(), after: None, may_have_arrived: false })
    }
}

/// Encodes each batch of records as one request of a byte for each record.
struct Bytewise {
    server: Arc<Server>,
    batch: Option<BatchConfig>,
}

impl Exporter for Bytewise {
    fn encode(&mut self, batch: &Batch) -> Result<Vec<Payload>, ComponentError> {
        let bytes = vec![0; batch.items() as usize].into();
        Ok(vec![Payload { bytes, items: batch.items(), traffic_bytes: batch.traffic_bytes() }])
    }

    fn delivery(&self) -> DeliveryConfig {
        let retry = RetryConfig { max_elapsed_time: GoDuration::from_secs(0), ..RetryConfig::default() };
        let queue = QueueConfig { batch: self.batch, ..QueueConfig::default() };
        DeliveryConfig { timeout: Duration::ZERO, retry, queue }
    }

    fn pusher(&self) -> Arc<dyn Pusher> {
        Arc::clone(&self.server) as Arc<dyn Pusher>
    }
}

struct Bench {
    server: Arc<Server>,
    accounting: Accounting,
    node: Arc<Node>,
    sender: StageSender,
    stage: JoinHandle<Result<(), ComponentError>>,
}

fn bench(batch: Option<BatchConfig>) -> Bench {
    let (server, accounting) = (Arc::new(Server::default()), Accounting::default());
    let exporter = Box::new(Bytewise { server: Arc::clone(&server), batch });
    let node = accounting.node(NodeKind::Exporter, "otlp", "", Signal::Logs, false);
    let (sender, input) = channel(16, &node);
    let stop = CancellationToken::new();
    let (pusher, delivery) = (exporter.pusher(), exporter.delivery());
    let queue = SendingQueue::start("otlp", pusher, delivery, false, Arc::clone(&node), &stop);
    let progress = Health::default().stage("exporter");
    let stage = tokio::spawn(run_exporter(exporter, input, queue, Arc::clone(&node), progress));
    Bench { server, accounting, node, sender, stage }
}

impl Bench {
    async fn send(&self, records: usize) {
        let batch = Batch::records(vec![ConnectionRecord::blank(); records]);
        self.sender.send(batch).await.unwrap();
    }

    /// Waits until nothing is left to deliver. Time is paused, so that every timer fires immediately.
    async fn settle(&self) {
        for _ in 0..10_000 {
            if self.node.held() == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("still held: {}", self.node.held());
    }

    /// Ends the input, and returns the sizes of the delivered requests.
    async fn end(self) -> Vec<usize> {
        drop(self.sender);
        self.stage.await.unwrap().unwrap();
        assert_eq!(self.accounting.imbalances(), []);
        self.server.received.lock().unwrap().iter().map(Bytes::len).collect()
    }
}

/// *Scenario*: the server is down for ten minutes, while a record arrives every 200 ms. Then it is up.
/// *Guarantees*: with the default settings of log exporters, nothing is dropped and all records arrive. Without merging, the 1,000 positions of the
/// queue do not suffice.
#[tokio::test(start_paused = true)]
async fn merged_requests_survive_ten_minutes() {
    for (batch, expected) in [(Some(BatchConfig::default()), 0), (None, 2000)] {
        let bench = bench(batch);
        for _ in 0..3000 {
            bench.send(1).await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let dropped: u64 = bench.node.dropped().iter().map(|(_, count)| count.items).sum();
        assert_eq!(dropped, expected);
        bench.server.is_up.store(true, Ordering::Relaxed);
        bench.settle().await;
        let sizes = bench.end().await;
        assert_eq!(sizes.iter().sum::<usize>() as u64, 3000 - expected);
        assert!(batch.is_none() || sizes.len() <= 601, "{} requests", sizes.len());
    }
}

/// *Scenario*: a burst of records, more than `min_size`, and a few more before the input ends.
/// *Guarantees*: the burst leaves without a wait. What waits at the end is delivered by the shutdown.
#[tokio::test(start_paused = true)]
async fn a_burst_does_not_wait_and_the_end_flushes() {
    let bench = bench(Some(BatchConfig { min_size: 100, ..BatchConfig::default() }));
    bench.server.is_up.store(true, Ordering::Relaxed);
    let start = tokio::time::Instant::now();
    bench.send(60).await;
    bench.send(60).await;
    bench.send(1).await;
    bench.send(2).await;
    assert_eq!(bench.end().await, [120, 3]);
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}
