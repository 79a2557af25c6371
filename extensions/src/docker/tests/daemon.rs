use std::sync::Arc;
use std::time::Duration;

use longwave_pipeline::component::{Directory, Extension, ExtensionContext, Health};
use longwave_pipeline::model::UnixNanos;
use opentelemetry::metrics::MeterProvider;
use opentelemetry::metrics::noop::NoopMeterProvider;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::super::config::DockerConfig;
use super::super::extension::DockerExtension;
use super::fake_daemon::FakeDaemon;
use super::{end, id, name};

struct RunningExtension {
    directory: Arc<dyn Directory>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl RunningExtension {
    async fn start(daemon: &FakeDaemon) -> Self {
        let config = DockerConfig {
            endpoint: format!("unix://{}", daemon.socket().display()),
            ..DockerConfig::default()
        };
        let context = ExtensionContext {
            id: "docker".to_owned(),
            meter: NoopMeterProvider::new().meter("test"),
            health: Health::default(),
        };
        let extension = DockerExtension::new(&config, &context).unwrap();
        let directory = extension.directory().unwrap();
        let stop = CancellationToken::new();
        let task = Box::new(extension).start(stop.clone()).await.unwrap();
        Self { directory, stop, task: tokio::spawn(async { task.await.unwrap() }) }
    }

    fn name_at(&self, address: &str, at: UnixNanos) -> String {
        name(self.directory.workload_of_address(end(address, 80), at))
    }

    /// Waits until the address has the workload `expected`.
    async fn until(&self, address: &str, expected: &str) {
        let reached = async {
            while self.name_at(address, UnixNanos::now()) != expected {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let reached = tokio::time::timeout(Duration::from_secs(30), reached).await;
        assert!(
            reached.is_ok(),
            "{address} is {:?}, not {expected:?}",
            self.name_at(address, UnixNanos::now())
        );
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

fn listed(digit: char, name: &str, address: &str) -> String {
    format!(
        r#"{{"Id": "{}", "Names": ["/{name}"], "Created": 1, "NetworkSettings": {{"Networks": {{"n": {{"IPAddress": "{address}"}}}}}}}}"#,
        id(digit)
    )
}

fn inspected(digit: char, name: &str, address: &str, started: &str) -> String {
    format!(
        r#"{{"Id": "{}", "Name": "/{name}", "State": {{"Running": true, "StartedAt": "{started}"}},
        "NetworkSettings": {{"Networks": {{"n": {{"IPAddress": "{address}"}}}}}}}}"#,
        id(digit)
    )
}

/// *Scenario*: the daemon is absent at the start and present later. Its stream of events is cut. During the gap one container vanished, one
/// ended at a known time, and one got the address of the first.
/// *Guarantees*: no restart is needed. Each address has the name that was valid at each time, also during the gap.
#[tokio::test]
async fn a_gap_is_repaired() {
    let daemon = FakeDaemon::new();
    let running = RunningExtension::start(&daemon).await;
    running.until("10.0.0.1", "unknown").await;
    daemon.set_list(&format!("[{}, {}]", listed('a', "one", "10.0.0.1"), listed('b', "two", "10.0.0.2")));
    let server = daemon.serve();
    daemon.until_followed(1).await;
    assert_eq!(running.name_at("10.0.0.1", UnixNanos::now()), "one");
    let before = UnixNanos::now();

    daemon.set_list(&format!("[{}]", listed('c', "three", "10.0.0.1")));
    daemon.set_inspection(&id('c'), &inspected('c', "three", "10.0.0.1", "2100-01-01T00:00:00Z"));
    daemon.set_inspection(
        &id('b'),
        &format!(r#"{{"Id": "{}", "Name": "/two", "State": {{"Running": false, "StartedAt": "1970-01-01T00:00:01Z", "FinishedAt": "1970-01-01T00:00:02Z"}}}}"#, id('b')),
    );
    daemon.cut();
    running.until("10.0.0.1", "three").await;
    assert_eq!(running.name_at("10.0.0.1", before), "one");
    assert_eq!(running.name_at("10.0.0.2", UnixNanos(1_500_000_000)), "two");
    assert_eq!(running.name_at("10.0.0.2", UnixNanos(2_000_000_000)), "unknown");
    running.stop().await;
    server.abort();
}

/// *Scenario*: inspections return a body that is not a container, an error, and (as Podman does for one that is being removed) 500 with "no
/// such container". Then a cgroup has the id of a container that no event reported.
/// *Guarantees*: a bad response affects only its container and not the connection. The container without an event is found by its id.
#[tokio::test]
async fn a_bad_response_and_a_missed_event_affect_nothing_else() {
    let daemon = FakeDaemon::new();
    daemon.set_list("[]");
    let server = daemon.serve();
    let running = RunningExtension::start(&daemon).await;
    daemon.until_followed(1).await;
    daemon.set_inspection(&id('a'), r#"{"State": {"Status": "hibernating"}}"#);
    daemon.set_inspection(&id('b'), &inspected('b', "good", "10.0.0.2", "2026-11-21T00:00:00Z"));
    daemon.set_inspection(&id('d'), r#"{"message": "driver failed"}"#);
    daemon.set_inspection(
        &id('e'),
        r#"{"message": "container does not exist in database: no such container"}"#,
    );
    for digit in ['a', 'd', 'e', 'b'] {
        daemon.send(&format!(
            r#"{{"Type": "container", "Action": "start", "Actor": {{"ID": "{}"}}, "timeNano": 1}}"#,
            id(digit)
        ));
    }
    running.until("10.0.0.2", "good").await;
    assert_eq!(daemon.requests("events"), 1);

    daemon.set_inspection(&id('c'), &inspected('c', "missed", "10.0.0.3", "2026-11-21T00:00:00Z"));
    let missed = id('c');
    let cgroup = longwave_pipeline::component::CgroupName { container_id: &missed, ..Default::default() };
    assert_eq!(name(running.directory.workload_of_cgroup(&cgroup, UnixNanos::now())), "pending");
    running.until("10.0.0.3", "missed").await;
    running.stop().await;
    server.abort();
}
