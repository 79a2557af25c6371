//! The extension against an API server that fails.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use longwave_pipeline::component::{Answer, Directory, Extension};
use longwave_pipeline::model::{Endpoint, UnixNanos};
use opentelemetry::metrics::MeterProvider;
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, MetricData, ResourceMetrics};
use opentelemetry_sdk::metrics::reader::MetricReader;
use opentelemetry_sdk::metrics::{ManualReader, SdkMeterProvider};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::fake_api_server::*;
use super::fixture::*;
use crate::kubernetes::KubernetesConfig;
use crate::kubernetes::extension::KubernetesExtension;
use crate::kubernetes::watch::Timing;

/// A running extension.
struct Running {
    directory: Arc<dyn Directory>,
    reader: Reader,
    _meters: SdkMeterProvider,
    _file: tempfile::NamedTempFile,
    stop: CancellationToken,
    ended: tokio::task::JoinHandle<Result<(), longwave_pipeline::component::ComponentError>>,
}

#[derive(Clone, Debug)]
struct Reader(Arc<ManualReader>);

impl MetricReader for Reader {
    fn register_pipeline(&self, pipeline: std::sync::Weak<opentelemetry_sdk::metrics::Pipeline>) {
        self.0.register_pipeline(pipeline);
    }
    fn collect(&self, into: &mut ResourceMetrics) -> opentelemetry_sdk::error::OTelSdkResult {
        self.0.collect(into)
    }
    fn force_flush(&self) -> opentelemetry_sdk::error::OTelSdkResult {
        self.0.force_flush()
    }
    fn shutdown_with_timeout(&self, timeout: Duration) -> opentelemetry_sdk::error::OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }
    fn temporality(
        &self,
        kind: opentelemetry_sdk::metrics::InstrumentKind,
    ) -> opentelemetry_sdk::metrics::Temporality {
        self.0.temporality(kind)
    }
}

/// Returns short waits, with time limits as long as a loaded machine may need.
fn timing() -> Timing {
    Timing {
        backoff: Duration::from_millis(2),
        longest_backoff: Duration::from_millis(20),
        spread: Duration::from_millis(5),
        response: Duration::from_secs(30),
        silence: Duration::from_secs(30),
        watch: Duration::from_secs(300),
    }
}

async fn start(address: SocketAddr, timing: Timing) -> Running {
    start_with(FakeApiServer::kubeconfig(address), timing).await
}

async fn start_with(file: tempfile::NamedTempFile, timing: Timing) -> Running {
    let config = KubernetesConfig {
        kubeconfig: file.path().to_str().unwrap().to_owned(),
        node: "node-1".to_owned(),
        ..KubernetesConfig::default()
    };
    let reader = Reader(Arc::new(ManualReader::builder().build()));
    let meters = SdkMeterProvider::builder().with_reader(reader.clone()).build();
    let mut extension = KubernetesExtension::new(&config, "kubernetes", &meters.meter("test"));
    extension.timing = timing;
    let directory = extension.directory().unwrap();
    let stop = CancellationToken::new();
    let running = Box::new(extension).start(stop.clone()).await.unwrap();
    Running { directory, reader, _meters: meters, _file: file, stop, ended: tokio::spawn(running) }
}

impl Running {
    /// Returns the name of the workload that has the address now, `pending` or `unknown`.
    fn workload(&self, address: &str) -> String {
        let end = Endpoint { address: address.parse().unwrap(), port: 0 };
        match self.directory.workload_of_address(end, UnixNanos::now()) {
            Answer::Known(workload) | Answer::Partial(workload) => workload.name.to_string(),
            Answer::Pending => "pending".to_owned(),
            Answer::Unknown => "unknown".to_owned(),
        }
    }

    /// Waits until the address has the workload `expected`.
    async fn until(&self, address: &str, expected: &str) {
        self.until_that(|| self.workload(address) == expected, expected).await;
    }

    async fn until_that(&self, condition: impl Fn() -> bool, what: &str) {
        for _ in 0..6000 {
            if condition() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("not within 30 s: {what}; {:?}", self.metrics());
    }

    /// Returns the values of all metrics by name and attributes, without the extension's id.
    fn metrics(&self) -> HashMap<String, f64> {
        let mut collected = ResourceMetrics::default();
        self.reader.collect(&mut collected).unwrap();
        let mut found = HashMap::new();
        for metric in collected.scope_metrics().flat_map(|scope| scope.metrics()) {
            let name = metric.name().strip_prefix("longwave_extension_kubernetes_").unwrap();
            let mut put = |attributes: Vec<String>, value: f64| {
                found.insert(format!("{name} {}", attributes.join(" ")), value);
            };
            let text = |attributes: Vec<&opentelemetry::KeyValue>| {
                let mut shown: Vec<_> = attributes
                    .iter()
                    .filter(|kv| kv.key.as_str() != "extension")
                    .map(|kv| (kv.key.as_str().to_owned(), kv.value.to_string()))
                    .collect();
                shown.sort_by_key(|(key, _)| key != "resource");
                shown.into_iter().map(|(_, value)| value).collect()
            };
            match metric.data() {
                AggregatedMetrics::U64(MetricData::Sum(sum)) => {
                    sum.data_points()
                        .for_each(|point| put(text(point.attributes().collect()), point.value() as f64));
                }
                AggregatedMetrics::F64(MetricData::Gauge(gauge)) => {
                    gauge
                        .data_points()
                        .for_each(|point| put(text(point.attributes().collect()), point.value()));
                }
                other => panic!("{name}: {other:?}"),
            }
        }
        found
    }

    fn metric(&self, name: &str) -> f64 {
        self.metrics().get(name).copied().unwrap_or_default()
    }

    async fn end(self) {
        self.stop.cancel();
        self.ended.await.unwrap().unwrap();
    }
}

/// *Scenario*: the kubeconfig's token is in a file that ends in a newline, as `echo` writes it, or in the kubeconfig with one.
/// *Guarantees*: the server accepts it.
#[tokio::test]
async fn tokens_that_end_in_a_newline() {
    let api = FakeApiServer::start(true).await;
    api.put(PODS, &pod(1, "web", "10.244.0.1", 0));
    let token = tempfile::NamedTempFile::new().unwrap();
    let with_newline = format!("{TOKEN}\n");
    std::fs::write(token.path(), &with_newline).unwrap();
    for user in [json!({"tokenFile": token.path()}), json!({"token": with_newline})] {
        let running = start_with(FakeApiServer::kubeconfig_of(api.address, &user), timing()).await;
        running.until("10.244.0.1", "web").await;
        running.end().await;
    }
}

/// *Scenario*: a server that begins to stream a listing and then reports that its store does not support this, as Kubernetes 1.34 on an
/// older etcd does.
/// *Guarantees*: the listing is paged instead, without a wait.
#[tokio::test]
async fn a_store_that_cannot_stream() {
    let api = FakeApiServer::start(true).await;
    api.put(PODS, &pod(1, "web", "10.244.0.1", 0));
    let cannot = "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":500,\"message\":\"a watch stream was requested by the client but the required storage feature RequestWatchProgress is disabled\"}}\n";
    api.fail(PODS, [Fault::Text(cannot)]);
    let running = start(api.address, timing()).await;
    running.until("10.244.0.1", "web").await;
    let requests = api.requests(PODS);
    assert!(
        requests[0].contains_key("sendInitialEvents") && requests[1].contains_key("limit"),
        "{requests:?}"
    );
    assert_eq!(running.metric("errors pods server"), 0.0);
    running.end().await;
}

/// *Scenario*: a server that streams listings, and one that refuses to stream. Pods, services and slices exist at the start, and pods are
/// added and deleted later.
/// *Guarantees*: everything is found in both cases. The second server is paged after one refusal. Later events are applied. The metrics
/// count all of this.
#[tokio::test]
async fn lists_then_follows() {
    for streams in [true, false] {
        let api = FakeApiServer::start(streams).await;
        for number in 1..=600 {
            api.put(
                PODS,
                &pod(
                    number,
                    &format!("web{number}"),
                    &format!("10.244.{}.{}", number / 250, number % 250),
                    0,
                ),
            );
        }
        api.put(SERVICES, &service(1001, "web", "10.96.0.5", 80));
        api.put(SLICES, &slice(1002, "web", 8080, &[("10.244.0.7", 7)]));
        let running = start(api.address, timing()).await;
        running.until("10.244.0.7", "web7").await;
        running.until("10.244.2.100", "web600").await;
        let synced = || {
            ["pods", "services", "endpointslices"]
                .iter()
                .all(|of| running.metric(&format!("synced {of}")) == 1.0)
        };
        running.until_that(synced, "synced").await;
        let frontend = Endpoint { address: "10.96.0.5".parse().unwrap(), port: 80 };
        assert_eq!(
            &*running.directory.service_of_address(frontend, UnixNanos::now()).known().unwrap().name,
            "web"
        );
        let lists = api.requests(PODS).iter().filter(|query| query.contains_key("limit")).count();
        assert_eq!(lists, if streams { 0 } else { 3 });
        assert!(
            api.requests(PODS)
                .iter()
                .all(|query| query["fieldSelector"] == "status.phase!=Succeeded,status.phase!=Failed")
        );

        let before = running.directory.version();
        api.put(PODS, &pod(2001, "late", "10.244.9.1", 0));
        api.delete(PODS, &pod(7, "web7", "10.244.0.7", 0));
        running.until("10.244.9.1", "late").await;
        running.until("10.244.0.7", "pending").await;
        assert!(running.directory.version() > before);
        running.until_that(|| running.metric("objects pods") == 600.0, "objects").await;
        assert_eq!((running.metric("lists pods start"), running.metric("events pods deleted")), (1.0, 1.0));
        assert!(running.metric("received_bytes pods") > 100_000.0 && running.metric("staleness pods") < 30.0);
        running.end().await;
    }
}

/// *Scenario*: watches are cut in the middle, again and again, while pods are added.
/// *Guarantees*: each watch resumes where it was cut. Every pod is found, and nothing is listed again.
#[tokio::test]
async fn cut_watches_are_resumed() {
    let api = FakeApiServer::start(true).await;
    api.put(PODS, &pod(1, "first", "10.244.1.1", 0));
    let running = start(api.address, timing()).await;
    running.until("10.244.1.1", "first").await;
    for number in 2..8 {
        api.cut();
        api.put(PODS, &pod(number, &format!("next{number}"), &format!("10.244.1.{number}"), 0));
        running.until(&format!("10.244.1.{number}"), &format!("next{number}")).await;
    }
    assert_eq!(running.metric("lists pods start"), 1.0);
    assert_eq!(running.metric("lists pods expired"), 0.0);
    assert!(running.metric("errors pods cut") >= 1.0 && running.metric("watches pods") >= 2.0);
    running.end().await;
}

/// *Scenario*: while a watch is cut, pods change and the server drops the watch's version (410), first with streamed listings, then with
/// pages.
/// *Guarantees*: everything is listed again. What vanished in the gap is removed, but not before the listing is complete.
#[tokio::test]
async fn an_expired_version_is_listed_again() {
    for streams in [true, false] {
        let api = FakeApiServer::start(streams).await;
        api.put(PODS, &pod(1, "stays", "10.244.1.1", 0));
        api.put(PODS, &pod(2, "goes", "10.244.1.2", 0));
        let running = start(api.address, timing()).await;
        running.until("10.244.1.2", "goes").await;
        api.delete(PODS, &pod(2, "goes", "10.244.1.2", 0));
        api.put(PODS, &pod(3, "comes", "10.244.1.3", 0));
        running.until("10.244.1.3", "comes").await;
        api.fail(PODS, (0..3).map(|_| Fault::Status(503, 0)));
        api.cut();
        running.until_that(|| running.metric("errors pods server") == 3.0, "three errors").await;
        // The watch may have resumed already, so the server ends it with 410.
        api.put(PODS, &pod(4, "later", "10.244.1.4", 0));
        running.until("10.244.1.4", "later").await;
        api.fail(PODS, [Fault::Status(500, 0), Fault::Text("{\"type\":\"ERROR\",\"object\":{\"code\":410,\"reason\":\"Expired\",\"message\":\"too old\"}}\n")]);
        api.cut();
        running.until_that(|| running.metric("lists pods expired") >= 1.0, "listed again").await;
        running.until("10.244.1.1", "stays").await;
        api.delete(PODS, &pod(1, "stays", "10.244.1.1", 0));
        running.until("10.244.1.1", "pending").await;
        assert_eq!(running.metric("lists pods start"), 1.0);
        assert_eq!(running.workload("10.244.1.4"), "later");
        running.end().await;
    }
}

/// *Scenario*: pods are deleted while the server cannot be reached, and the server drops its log: no event will report them.
/// *Guarantees*: the listing after the gap removes them.
#[tokio::test]
async fn deleted_during_a_gap() {
    let api = FakeApiServer::start(true).await;
    api.put(PODS, &pod(1, "stays", "10.244.1.1", 0));
    api.put(PODS, &pod(2, "goes", "10.244.1.2", 0));
    let running = start(api.address, timing()).await;
    running.until("10.244.1.2", "goes").await;
    // A pod that is deleted while the requests are refused is no longer in the log when the watch resumes.
    api.fail(PODS, (0..20).map(|_| Fault::Status(503, 0)));
    api.cut();
    running.until_that(|| running.metric("errors pods server") >= 1.0, "the gap").await;
    api.delete(PODS, &pod(2, "goes", "10.244.1.2", 0));
    api.compact();
    assert_eq!(running.workload("10.244.1.1"), "stays");
    running.until("10.244.1.2", "pending").await;
    assert_eq!((running.workload("10.244.1.1"), running.metric("objects pods")), ("stays".to_owned(), 1.0));
    assert_eq!(running.metric("lists pods expired"), 1.0);
    running.end().await;
}

/// *Scenario*: pages are slow, and the server drops the listing's version before it is complete.
/// *Guarantees*: the listing starts again with larger pages, and the table keeps its objects.
#[tokio::test]
async fn slow_pages() {
    let api = FakeApiServer::start(false).await;
    for number in 1..=600 {
        api.put(
            PODS,
            &pod(number, &format!("web{number}"), &format!("10.244.{}.{}", number / 250, number % 250), 0),
        );
    }
    api.slow_pages(Duration::from_millis(100));
    let running = start(api.address, timing()).await;
    running
        .until_that(|| api.requests(PODS).iter().any(|query| query.contains_key("continue")), "a second page")
        .await;
    api.compact();
    running.until_that(|| running.metric("synced pods") == 1.0, "synced").await;
    assert_eq!((running.metric("objects pods"), running.metric("errors pods gone")), (600.0, 1.0));
    assert!(api.requests(PODS).iter().any(|query| query.get("limit").is_some_and(|limit| limit == "1000")));
    running.end().await;
}

/// *Scenario*: the server demands to wait a second (429), then responds.
/// *Guarantees*: there is no request before that, and then everything is known.
#[tokio::test]
async fn throttled() {
    let api = FakeApiServer::start(true).await;
    api.put(PODS, &pod(1, "web", "10.244.1.1", 0));
    api.fail(PODS, [Fault::Status(429, 1)]);
    let started = std::time::Instant::now();
    let running = start(api.address, timing()).await;
    running.until("10.244.1.1", "web").await;
    assert!(started.elapsed() >= Duration::from_secs(1), "it is a lower bound: load can only make it longer");
    assert_eq!((running.metric("errors pods throttled"), api.requests(PODS).len()), (1.0, 2));
    running.end().await;
}

/// *Scenario*: at first no process listens at the server's address. Later a server does.
/// *Guarantees*: the start does not fail. Look-ups are pending, then unknown. Once the server is there everything is found, without a
/// restart.
#[tokio::test]
async fn unreachable_at_start() {
    let address = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let running = start(address, timing()).await;
    assert!(["pending", "unknown"].contains(&&*running.workload("10.244.1.1")));
    running.until_that(|| running.metric("errors pods unreachable") >= 5.0, "attempts").await;
    running.until("10.244.1.1", "unknown").await;
    assert_eq!((running.metric("synced pods"), running.metric("objects pods")), (0.0, 0.0));
    assert!(running.metric("staleness pods") > 0.0);
    let api = FakeApiServer::serve(tokio::net::TcpListener::bind(address).await.unwrap(), true);
    api.put(PODS, &pod(1, "web", "10.244.1.1", 0));
    running.until("10.244.1.1", "web").await;
    running.end().await;
}

/// *Scenario*: the server accepts a connection and sends nothing. Then it begins a response and sends nothing more.
/// *Guarantees*: each request ends after its time limit and is sent again.
#[tokio::test]
async fn silence() {
    let api = FakeApiServer::start(true).await;
    api.put(PODS, &pod(1, "web", "10.244.1.1", 0));
    api.fail(PODS, [Fault::Hang, Fault::Mute]);
    let short = Duration::from_millis(300);
    let running = start(api.address, Timing { response: short, silence: short, ..timing() }).await;
    running.until("10.244.1.1", "web").await;
    assert!(running.metric("errors pods silent") >= 2.0);
    running.end().await;
}

/// *Scenario*: the ClusterRole lacks the rule for services (403), the responses for slices are not those of an API server, and a pod cannot
/// be decoded.
/// *Guarantees*: the other objects are found. Each failure is counted under its reason.
#[tokio::test]
async fn one_resource_fails() {
    let api = FakeApiServer::start(true).await;
    let mut unreadable = pod(2, "bad", "10.244.1.2", 0);
    unreadable["spec"] = 5.into();
    api.put(PODS, &unreadable);
    api.put(PODS, &pod(3, "web", "10.244.1.1", 0));
    api.fail(SERVICES, (0..10_000).map(|_| Fault::Status(403, 0)));
    api.fail(SLICES, (0..10_000).map(|_| Fault::Text("<html>\n")));
    let running = start(api.address, timing()).await;
    running.until("10.244.1.1", "web").await;
    running.until_that(|| running.metric("errors services forbidden") >= 2.0, "forbidden").await;
    running.until_that(|| running.metric("errors endpointslices malformed") >= 2.0, "malformed").await;
    assert_eq!((running.metric("synced services"), running.metric("errors pods undecodable")), (0.0, 1.0));
    running.end().await;
}

/// *Scenario*: the file with the credentials does not exist.
/// *Guarantees*: the start fails with the setting and a remedy, since waiting would not help.
#[tokio::test]
async fn no_credentials() {
    let config = KubernetesConfig { kubeconfig: "/nowhere/config".to_owned(), ..KubernetesConfig::default() };
    let extension = KubernetesExtension::new(&config, "kubernetes/2", &opentelemetry::global::meter("test"));
    let error = Box::new(extension).start(CancellationToken::new()).await.err().unwrap().to_string();
    assert!(error.starts_with("extensions::kubernetes/2: kubeconfig: \"/nowhere/config\": "), "{error}");
    assert!(error.ends_with("Is the file there, readable for this user, and the context in it?"), "{error}");
}
