use std::time::Duration;

use longwave_config::GoDuration;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tonic::transport::server::TcpIncoming;

use super::*;
use crate::component::{DropReason, NodeKind, Problems, Signal};

/// Returns the counters of a small graph.
fn accounting() -> Accounting {
    let accounting = Accounting::default();
    let receiver = accounting.node(NodeKind::Receiver, "gen", "logs", Signal::Logs, false);
    receiver.add_incoming(10);
    receiver.add_outgoing(7);
    receiver.add_dropped(DropReason::QUEUE_FULL, 3, 300);
    let filter = accounting.node(NodeKind::Processor, "filter", "logs", Signal::Logs, false);
    filter.may_drop(DropReason::FILTERED);
    filter.add_incoming(7);
    filter.add_outgoing(5);
    filter.add_dropped(DropReason::FILTERED, 2, 20);
    let exporter = accounting.node(NodeKind::Exporter, "keep", "", Signal::Logs, false);
    exporter.add_incoming(5);
    exporter.add_outgoing(5);
    accounting
}

fn config(otlp: Option<(OtlpProtocol, String)>) -> MetricConfig {
    let interval = GoDuration::from_secs(3600);
    let otlp = otlp.map(|(protocol, endpoint)| OtlpConfig { endpoint, protocol, interval });
    MetricConfig { address: "127.0.0.1:0".to_owned().into(), otlp, ..MetricConfig::default() }
}

struct ForwardRequests(mpsc::UnboundedSender<ExportMetricsServiceRequest>);

#[tonic::async_trait]
impl MetricsService for ForwardRequests {
    async fn export(
        &self,
        request: tonic::Request<ExportMetricsServiceRequest>,
    ) -> Result<tonic::Response<ExportMetricsServiceResponse>, tonic::Status> {
        let _ = self.0.send(request.into_inner());
        Ok(tonic::Response::new(ExportMetricsServiceResponse::default()))
    }
}

/// Starts a server for one protocol. Returns its endpoint and the requests that it receives.
async fn server(protocol: OtlpProtocol) -> (String, mpsc::UnboundedReceiver<ExportMetricsServiceRequest>) {
    let (sender, arrived) = mpsc::unbounded_channel();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    match protocol {
        OtlpProtocol::Grpc => {
            let service = MetricsServiceServer::new(ForwardRequests(sender));
            let server = tonic::transport::Server::builder().add_service(service);
            tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        }
        OtlpProtocol::HttpProtobuf => {
            let take = move |body: axum::body::Bytes| async move {
                let _ = sender.send(ExportMetricsServiceRequest::decode(body).unwrap());
            };
            let app = axum::Router::new().route("/v1/metrics", axum::routing::post(take));
            tokio::spawn(async move { axum::serve(listener, app).await });
        }
    }
    (endpoint, arrived)
}

/// *Scenario*: self-telemetry is exported to a server by OTLP, over gRPC and over HTTP; then Longwave stops.
/// *Guarantees*: a start inside the async runtime does not panic; the server receives the last state, with names, counts and resource.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn arrives_by_otlp() {
    for protocol in [OtlpProtocol::Grpc, OtlpProtocol::HttpProtobuf] {
        let (endpoint, mut arrived) = server(protocol).await;
        let resource = [("service.name".to_owned(), "longwave".to_owned())];
        let config = config(Some((protocol, endpoint)));
        let telemetry = Telemetry::start(&config, &resource, &accounting()).await.unwrap();
        telemetry.meter().u64_counter("longwave_own").build().add(5, &[]);
        telemetry.shutdown().await;
        let request = tokio::time::timeout(Duration::from_secs(20), arrived.recv()).await.unwrap().unwrap();
        let text = format!("{request:?}");
        for expected in ["longwave_receiver_accepted_records", "longwave_own", "service.name", "queue_full"] {
            assert!(text.contains(expected), "{protocol:?}: no {expected} in {text}");
        }
    }
}

/// *Scenario*: the OTLP endpoint is an https URL.
/// *Guarantees*: both protocols support TLS: the start does not fail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn https_is_possible() {
    for protocol in [OtlpProtocol::Grpc, OtlpProtocol::HttpProtobuf] {
        let config = config(Some((protocol, "https://127.0.0.1:1".to_owned())));
        let telemetry = Telemetry::start(&config, &[], &Accounting::default()).await;
        telemetry.unwrap_or_else(|error| panic!("{protocol:?}: {error:?}")).shutdown().await;
    }
}

/// Requests the page. Returns the head and the body of the response.
async fn scrape(telemetry: &Telemetry, accept: &str) -> (String, String) {
    let mut stream = TcpStream::connect(telemetry.address.unwrap()).await.unwrap();
    let request = format!("GET /metrics HTTP/1.0\r\naccept: {accept}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer);
    let (head, page) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.0 200"), "{head}");
    (head.to_owned(), page.to_owned())
}

/// Returns the page without the values of metrics of the process and without times.
fn without_values(page: &str) -> String {
    let hide = |line: &str| match line.rsplit_once(' ') {
        Some((name, _)) if name.starts_with("process_") || name.contains("_created") => format!("{name} #"),
        _ => line.to_owned(),
    };
    page.lines().map(|line| hide(line) + "\n").collect()
}

/// *Scenario*: a client reads the page in each text format.
/// *Guarantees*: the names are the Collector's with Longwave's prefix, `_total` and units; every stage has its id and its pipeline or
/// signal; every reason exists from the start; what a filter excludes is no drop; the resource is `target_info`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_shows_every_stage() {
    let resource = [("service.name".to_owned(), "longwave".to_owned())];
    let telemetry = Telemetry::start(&config(None), &resource, &accounting()).await.unwrap();
    let meter = telemetry.meter();
    let own = meter.f64_histogram("longwave_own").with_unit("s").with_description("Own.");
    let own = own.with_boundaries(vec![0.5]).build();
    own.record(0.25, &[]);
    for accept in ["text/plain", "application/openmetrics-text;version=1.0.0"] {
        let (head, page) = scrape(&telemetry, accept).await;
        assert!(head.contains(accept.split(';').next().unwrap()), "{head}");
        insta::assert_snapshot!(without_values(&page));
    }
    let protobuf =
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
    let (head, page) = scrape(&telemetry, protobuf).await;
    assert!(head.contains("application/vnd.google.protobuf"), "{head}");
    assert!(page.contains("longwave_receiver_accepted_records_total"), "{page}");
    telemetry.shutdown().await;
}

/// *Scenario*: `level: none`, and a component registers an instrument.
/// *Guarantees*: there is no page and no SDK, so that no error about instruments without a reader is logged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn none_is_silent() {
    let config = MetricConfig { level: MetricLevel::None, ..config(None) };
    let telemetry = Telemetry::start(&config, &[], &accounting()).await.unwrap();
    telemetry.meter().u64_observable_gauge("longwave_own").with_callback(|_| {}).build();
    assert!(telemetry.address.is_none() && telemetry.provider.is_none());
    telemetry.shutdown().await;
}

/// *Scenario*: a reload: self-telemetry stops and starts again on the same port, while a client's connection is open.
/// *Guarantees*: the port is free as soon as the stop has returned.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_port_is_free_after_a_stop() {
    let first = Telemetry::start(&config(None), &[], &Accounting::default()).await.unwrap();
    let address = first.address.unwrap();
    let config = MetricConfig { address: address.to_string().into(), ..config(None) };
    let mut reader = TcpStream::connect(address).await.unwrap();
    reader.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    reader.readable().await.unwrap();
    first.shutdown().await;
    for _ in 0..20 {
        let again = Telemetry::start(&config, &[], &Accounting::default()).await;
        again.unwrap_or_else(|error| panic!("{error}")).shutdown().await;
    }
}

/// *Scenario*: another process uses the port of the page. The address is the default, or the configuration sets it.
/// *Guarantees*: the default is only a warning, and self-telemetry runs without the page. An address that the configuration sets is an error.
#[tokio::test]
async fn a_default_port_in_use_is_a_warning() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let default = MetricConfig { address: PageAddress::default_of(&address), ..config(None) };
    let telemetry = Telemetry::start(&default, &[], &Accounting::default()).await.unwrap();
    assert_eq!(telemetry.address, None);
    telemetry.shutdown().await;
    let written = MetricConfig { address: address.into(), ..config(None) };
    assert!(Telemetry::start(&written, &[], &Accounting::default()).await.is_err());
}

/// *Scenario*: a reload with other metrics; the page's address stays, then it changes, and then self-telemetry is turned off.
/// *Guarantees*: a page with the same address is the same socket and shows the new metrics. A page with another address is there before the
/// former one is closed. Without self-telemetry there is none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_replaces_the_metrics() {
    let accounting = Accounting::default();
    let mut telemetry = Telemetry::start(&config(None), &[], &accounting).await.unwrap();
    let address = telemetry.address.unwrap();
    let resource = [("service.name".to_owned(), "changed".to_owned())];
    let next = telemetry.prepare(&config(None), &resource, &accounting).await.unwrap();
    next.meter().u64_observable_gauge("longwave_own").with_callback(|own| own.observe(7, &[])).build();
    assert!(!read_page(address).await.contains("longwave_own 7"));
    telemetry.replace(next).shutdown().await;
    assert_eq!(telemetry.address, Some(address));
    let page = read_page(address).await;
    assert!(page.contains("longwave_own 7") && page.contains("service_name=\"changed\""), "{page}");

    let other = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let moved = MetricConfig { address: other.to_string().into(), ..config(None) };
    let next = telemetry.prepare(&moved, &resource, &accounting).await.unwrap();
    for address in [address, other] {
        read_page(address).await;
    }
    telemetry.replace(next).shutdown().await;
    assert!(TcpStream::connect(address).await.is_err());
    read_page(other).await;

    // The same port with another host, which is discarded, and then one that cannot be bound.
    let all = MetricConfig { address: format!("0.0.0.0:{}", other.port()).into(), ..config(None) };
    let next = telemetry.prepare(&all, &resource, &accounting).await.unwrap();
    telemetry.discard(next).await;
    assert_eq!(telemetry.address, Some(other));
    read_page(other).await;
    let bad = MetricConfig { address: format!("192.0.2.1:{}", other.port()).into(), ..config(None) };
    assert!(telemetry.prepare(&bad, &resource, &accounting).await.is_err());
    assert!(read_page(other).await.contains("service_name=\"changed\""));

    let off = MetricConfig { level: MetricLevel::None, ..moved };
    let next = telemetry.prepare(&off, &resource, &accounting).await.unwrap();
    telemetry.replace(next).shutdown().await;
    assert!(telemetry.address.is_none() && TcpStream::connect(other).await.is_err());
    telemetry.shutdown().await;
}

async fn read_page(address: std::net::SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).await.unwrap();
    page
}

/// Decodes `service::telemetry::metrics`.
fn decoded(metrics: serde_json::Value) -> MetricConfig {
    serde_json::from_value(metrics).unwrap()
}

/// *Scenario*: `readers` has a page and two exports, over gRPC and over HTTP with a path, with headers and compression.
/// *Guarantees*: the page is served at its address, and both servers get the last state at the stop, with the headers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_of_the_collectors_grammar() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (endpoint, mut by_grpc) = server(OtlpProtocol::Grpc).await;
    let (sender, mut by_http) = mpsc::unbounded_channel();
    let take = move |headers: axum::http::HeaderMap, _: axum::body::Bytes| async move {
        let _ = sender.send(headers);
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let http = listener.local_addr().unwrap();
    let app = axum::Router::new().route("/own/path", axum::routing::post(take));
    tokio::spawn(async move { axum::serve(listener, app).await });
    let page = |port: u16| serde_json::json!({"pull": {"exporter": {"prometheus": {"host": "127.0.0.1", "port": port}}}});
    let export = |otlp: serde_json::Value| serde_json::json!({"periodic": {"interval": 3_600_000, "exporter": {"otlp": otlp}}});
    let config = decoded(serde_json::json!({"readers": [
        page(port),
        export(serde_json::json!({"protocol": "grpc", "endpoint": endpoint.trim_start_matches("http://"), "insecure": true})),
        export(serde_json::json!({
            "protocol": "http/protobuf",
            "endpoint": format!("http://{http}/own/path"),
            "headers": [{"name": "X-Key", "value": "abc"}],
            "compression": "gzip",
            "temporality_preference": "delta",
        })),
    ]}));
    let mut problems = Problems::default();
    TelemetryConfig { metrics: config.clone(), ..TelemetryConfig::default() }.validate(&mut problems);
    assert_eq!(problems.into_errors(&"x".into()).count(), 0);
    let telemetry = Telemetry::start(&config, &[], &accounting()).await.unwrap();
    assert_eq!(telemetry.address.unwrap().port(), port);
    let (_, page) = scrape(&telemetry, "text/plain").await;
    assert!(page.contains("longwave_receiver_accepted_records_total"), "{page}");
    telemetry.shutdown().await;
    let request = tokio::time::timeout(Duration::from_secs(20), by_grpc.recv()).await.unwrap().unwrap();
    assert!(format!("{request:?}").contains("longwave_receiver_accepted_records"));
    let headers = tokio::time::timeout(Duration::from_secs(20), by_http.recv()).await.unwrap().unwrap();
    assert_eq!(headers["x-key"], "abc");
    assert_eq!(headers["content-encoding"], "gzip");
}

/// *Scenario*: invalid elements of `readers`, and readers together with Longwave's own settings.
/// *Guarantees*: each error has the path of the element, and the remedy.
#[test]
fn readers_that_are_refused() {
    let metrics = decoded(serde_json::json!({
        "address": "localhost:1",
        "otlp": {},
        "readers": [
            {},
            {"pull": {}, "periodic": {}},
            {"pull": {"exporter": {"prometheus": {"without_units": true, "without_scope_info": false, "without_type_suffix": true}}}},
            {"pull": {}},
            {"pull": {"exporter": {"prometheus": {"host": "localhost", "port": 1}}}},
            {"periodic": {"interval": 0, "timeout": 999_999_999}},
            {"periodic": {"exporter": {"otlp": {"headers": [{"name": "a b", "value": "c"}], "timeout": 0}}}},
            {"periodic": {"exporter": {"otlp": {"endpoint": "http://"}}}},
        ],
    }));
    let none = decoded(serde_json::json!({"readers": []}));
    let errors = [metrics, none].map(|metrics| {
        let mut problems = Problems::default();
        TelemetryConfig { metrics, ..TelemetryConfig::default() }.validate(&mut problems);
        let errors: Vec<_> =
            problems.into_errors(&"service::telemetry".into()).map(|error| error.to_string()).collect();
        errors.join("\n")
    });
    insta::assert_snapshot!(errors.join("\n"));
}

/// *Scenario*: endpoints of exports, with and without scheme and path.
/// *Guarantees*: the URL is that which the Collector uses. Longwave's own setting `otlp` appends the path as before.
#[test]
fn endpoints_of_exports() {
    let url = |protocol, endpoint: &str, insecure| {
        let endpoint = endpoint.to_owned();
        readers::OtlpReaderConfig { protocol, endpoint, insecure, ..Default::default() }.url()
    };
    let (grpc, http) = (OtlpProtocol::Grpc, OtlpProtocol::HttpProtobuf);
    assert_eq!(url(grpc, "collector:4317", None), "https://collector:4317");
    assert_eq!(url(grpc, "collector:4317", Some(true)), "http://collector:4317");
    assert_eq!(url(grpc, "http://collector:4317", None), "http://collector:4317");
    assert_eq!(url(http, "http://collector:4318", None), "http://collector:4318/v1/metrics");
    assert_eq!(url(http, "collector:4318/", Some(false)), "https://collector:4318/v1/metrics");
    assert_eq!(url(http, "https://collector/a/b", None), "https://collector/a/b");
    let own = config(Some((http, "http://collector:4318/".to_owned())));
    assert_eq!(own.exports().len(), 1);
    assert_eq!(own.exports()[0].1.exporter.otlp.as_ref().unwrap().url(), "http://collector:4318/v1/metrics");
}
