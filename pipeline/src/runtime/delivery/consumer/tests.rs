use std::sync::Mutex;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::component::{Accounting, NodeKind, QueueConfig, RetryConfig, Signal};

/// A server whose attempts all have one result; `None` for no response.
struct OneResult(Mutex<Option<PushError>>);

#[async_trait]
impl Pusher for OneResult {
    fn endpoint(&self) -> String {
        "https://collector:4318/v1/logs".to_owned()
    }

    async fn push(&self, _: &Payload) -> Result<Pushed, PushError> {
        let result = self.0.lock().unwrap().clone();
        match result {
            Some(error) => Err(error),
            None => std::future::pending().await,
        }
    }
}

async fn failure(result: Option<PushError>, limit: u64) -> String {
    let node = Accounting::default().node(NodeKind::Exporter, "otlp", "", Signal::Logs, false);
    let retry = RetryConfig {
        randomization_factor: 0.0,
        max_elapsed_time: GoDuration::from_secs(limit),
        ..RetryConfig::default()
    };
    let consumer = QueueConsumer {
        pusher: Arc::new(OneResult(Mutex::new(result))),
        config: DeliveryConfig { timeout: Duration::from_secs(5), retry, queue: QueueConfig::default() },
        report: DeliveryReport::new("otlp", node.signal),
        node,
        closing: CancellationToken::new(),
        abandoned: CancellationToken::new(),
        keeps_stored: AtomicBool::new(false),
        storage: Default::default(),
    };
    let payload = Payload { bytes: "x".into(), items: 1, traffic_bytes: 0 };
    let Err(Undelivered::Dropped(reason, message)) = consumer.attempts(&payload).await else {
        panic!("delivered");
    };
    format!("{reason}: {message}")
}

/// *Scenario*: a server that requests a wait of a day, one that is down for longer than `max_elapsed_time`, and one that does not respond.
/// *Guarantees*: the message names what happened: the requested wait, the time since the first attempt, and for a timeout the endpoint, the signal and
/// the limit.
#[tokio::test(start_paused = true)]
async fn messages_name_the_cause() {
    let error = |after| {
        let message = "https://collector:4318/v1/logs: HTTP 503".to_owned();
        Some(PushError::Retryable { message, after, may_have_arrived: false })
    };
    let day = failure(error(Some(Duration::from_secs(86_400))), 300).await;
    let down = failure(error(None), 300).await;
    let silent = failure(None, 8).await;
    insta::assert_snapshot!([day, down, silent].join("\n"));
}
