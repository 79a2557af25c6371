use std::io::Read;
use std::sync::Arc;

use flate2::read::GzDecoder;
use longwave_config::{GoDuration, Secret};
use longwave_pipeline::component::{BasicAuthConfig, Exporter, Pusher, Signal};
use longwave_pipeline::model::{Batch, UnixNanos, Window};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{context, key, plain, series};
use crate::prometheus::PrometheusConfig;
use crate::prometheus::endpoint::Endpoint;
use crate::prometheus::exporter::PrometheusExporter;

/// Sends a request and returns the response's head and body.
async fn get(endpoint: &Endpoint, path: &str, headers: &str) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(endpoint.address().unwrap()).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = Vec::new();
    stream.read_to_end(&mut response).await.unwrap();
    let end = response.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
    (String::from_utf8(response[..end].to_vec()).unwrap(), response[end + 4..].to_vec())
}

fn local(config: PrometheusConfig) -> PrometheusConfig {
    PrometheusConfig { endpoint: "127.0.0.1:0".to_owned(), ..config }
}

async fn started(config: PrometheusConfig) -> Arc<Endpoint> {
    let endpoint = Arc::new(Endpoint::new(&local(config), &context(), UnixNanos(0)));
    endpoint.start().await.unwrap();
    endpoint
}

/// *Scenario*: an exporter encodes a window and is scraped in three formats, one of them compressed. Another path is requested.
/// *Guarantees*: the payload accounts for all points. Each response has the media type that was accepted. After the shutdown nothing
/// listens.
#[tokio::test]
async fn serves_what_it_encoded() {
    let mut exporter = PrometheusExporter::new(&local(plain()), &context());
    let window = Window { start: UnixNanos(0), end: UnixNanos(5), series: vec![series(&key("web"), 100, 1)] };
    let batch = Batch::Window(Arc::new(window));
    let payloads = exporter.encode(&batch).unwrap();
    assert_eq!(payloads.iter().map(|payload| payload.items).sum::<u64>(), batch.items());
    let endpoint = exporter.endpoint();
    endpoint.start().await.unwrap();
    assert!(endpoint.push(&payloads[0]).await.is_ok());

    let (head, body) = get(&endpoint, "/metrics", "").await;
    assert!(
        head.starts_with("HTTP/1.1 200") && head.contains("content-type: text/plain; version=0.0.4"),
        "{head}"
    );
    assert!(String::from_utf8(body).unwrap().contains("longwave_tcp_workload_sent_bytes_total{"));

    let accept =
        "accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\naccept-encoding: gzip\r\n";
    let (head, body) = get(&endpoint, "/metrics", accept).await;
    assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{head}");
    assert!(head.contains("content-encoding: gzip"), "{head}");
    let mut text = String::new();
    GzDecoder::new(&*body).read_to_string(&mut text).unwrap();
    assert!(text.ends_with("# EOF\n"), "{text}");

    let protobuf = "accept: application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited\r\n";
    let (head, _) = get(&endpoint, "/metrics", protobuf).await;
    assert!(head.contains("content-type: application/vnd.google.protobuf"), "{head}");

    assert!(get(&endpoint, "/", "").await.0.starts_with("HTTP/1.1 404"));
    assert_eq!(endpoint.scrapes(), 3);
    endpoint.shutdown().await.unwrap();
    assert!(TcpStream::connect(endpoint.address().unwrap()).await.is_err());
}

/// *Scenario*: `basic_auth` is set. Requests have no credentials, wrong ones and the right ones.
/// *Guarantees*: only the last gets the page. The others get a challenge and are not counted as scrapes.
#[tokio::test]
async fn basic_auth() {
    let auth = BasicAuthConfig { username: "prometheus".into(), password: Secret::new("secret") };
    let endpoint = started(PrometheusConfig { basic_auth: Some(auth), ..plain() }).await;
    // base64 of `prometheus:secreT` and of `prometheus:secret`.
    let wrong = "authorization: Basic cHJvbWV0aGV1czpzZWNyZVQ=\r\n";
    let right = "authorization: Basic cHJvbWV0aGV1czpzZWNyZXQ=\r\n";
    for headers in ["", wrong] {
        let (head, _) = get(&endpoint, "/metrics", headers).await;
        assert!(head.starts_with("HTTP/1.1 401") && head.contains("www-authenticate: Basic"), "{head}");
    }
    assert!(get(&endpoint, "/metrics", right).await.0.starts_with("HTTP/1.1 200"));
    assert_eq!(endpoint.scrapes(), 1);
    endpoint.shutdown().await.unwrap();
}

/// *Scenario*: a stop with `final_scrape_timeout`, after a window that was not scraped. Then a scrape comes.
/// *Guarantees*: the stop waits for the scrape, which gets the window, and then completes.
#[tokio::test]
async fn a_stop_waits_for_the_last_scrape() {
    let config = PrometheusConfig { final_scrape_timeout: GoDuration::from_secs(600), ..plain() };
    let endpoint = started(config).await;
    get(&endpoint, "/metrics", "").await;
    let window = Window { start: UnixNanos(0), end: UnixNanos(5), series: vec![series(&key("web"), 100, 1)] };
    endpoint.add(&window, std::time::Instant::now());
    let stop = endpoint.shutdown();
    tokio::pin!(stop);
    // The stop waits, because it has been polled once and is pending.
    assert!(futures_util::poll!(&mut stop).is_pending());
    let (scrape, stopped) = tokio::join!(get(&endpoint, "/metrics", ""), stop);
    assert!(String::from_utf8(scrape.1).unwrap().contains("} 100\n"));
    assert!(stopped.is_ok());
}

/// *Scenario*: the address is in use.
/// *Guarantees*: the error names the setting, the cause and the remedy.
#[tokio::test]
async fn an_address_in_use() {
    let first = started(plain()).await;
    let address = first.address().unwrap();
    let config = PrometheusConfig { endpoint: address.to_string(), ..plain() };
    let error = Endpoint::new(&config, &context(), UnixNanos(0)).start().await.unwrap_err().to_string();
    let expected = "exporters::prometheus: endpoint: cannot listen on ADDRESS: Address already in use (os error 98) (another process listens \
                    there: choose another port)";
    assert_eq!(error.replace(&format!("{:?}", address.to_string()), "ADDRESS"), expected);
    first.shutdown().await.unwrap();
}

/// *Scenario*: the exporter gets a signal that it does not support.
/// *Guarantees*: it only exports metrics.
#[test]
fn metrics_only() {
    assert_eq!(crate::prometheus::factory().about.signals, &[Signal::Metrics]);
}
