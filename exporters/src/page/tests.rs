use std::collections::BTreeMap;
use std::sync::Arc;

use longwave_config::{ConfigPath, Secret, Value};
use longwave_pipeline::component::{BasicAuthConfig, Pusher};
use longwave_pipeline::model::{
    Batch, CloseReason, FailReason, FlowKey, Level, Measures, Reporter, Series, SeriesKey, ServiceKey,
    Window, WorkloadKey,
};
use longwave_testing::golden;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::*;
use crate::stdout;
use crate::testing;

/// Returns the measures of a flow whose numbers all differ.
fn measures(sent: u64, failed: u64) -> Measures {
    let mut measures = Measures { active: 7, opened: 5, ..Measures::default() };
    measures.totals.sent_bytes = sent;
    measures.totals.received_bytes = sent / 3;
    measures.totals.sent_segments = sent / 1_000 + 11;
    measures.totals.received_segments = sent / 2_000 + 6;
    measures.totals.retransmits = 2;
    measures.totals.lost = 1;
    measures.count_closed(CloseReason::Fin);
    measures.count_closed(CloseReason::ResetReceived);
    if failed > 0 {
        measures.count_failed(FailReason::Refused, failed);
    }
    measures.rtt.record(0.003);
    measures.rtt.record(0.3);
    measures.min_rtt = Some(0.0025);
    measures
}

/// Returns a series between two workloads of a cluster.
fn series(reporter: Reporter, [source, destination]: [&str; 2], measures: Measures) -> Series {
    of_kind("Deployment", reporter, [source, destination], measures)
}

fn of_kind(kind: &str, reporter: Reporter, [source, destination]: [&str; 2], measures: Measures) -> Series {
    let workload = |name: &str| WorkloadKey {
        name: Some(name.into()),
        kind: Some(kind.into()),
        namespace: Some("".into()),
        ..WorkloadKey::default()
    };
    let key = FlowKey {
        reporter,
        source: workload(source),
        service: ServiceKey::default(),
        destination: workload(destination),
        connection: None,
        folded: None,
    };
    let key = Arc::new(SeriesKey::Flow(key));
    Series { level: Level::Workload, key, created: golden::START, ended: false, measures }
}

fn window(series: Vec<Series>) -> Arc<Window> {
    Arc::new(Window { start: golden::START, end: golden::END, series })
}

/// A running exporter.
struct Fixture {
    exporter: PageExporter,
}

impl Fixture {
    async fn new(config: PageConfig) -> Self {
        let context = testing::context("page", Signal::Metrics, &[("host.name", "node-1")]);
        let exporter =
            PageExporter::new(&PageConfig { endpoint: "127.0.0.1:0".to_owned(), ..config }, &context);
        exporter.server().start().await.unwrap();
        Self { exporter }
    }

    fn add(&mut self, window: &Arc<Window>) {
        self.exporter.encode(&Batch::Window(Arc::clone(window))).unwrap();
    }

    async fn connect(&self, path: &str, headers: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.exporter.server().address().unwrap()).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    /// Returns the head and the body of a response.
    async fn request(&self, path: &str, headers: &str) -> (String, String) {
        let mut stream = self.connect(path, &format!("connection: close\r\n{headers}")).await;
        let mut response = String::new();
        stream.read_to_string(&mut response).await.unwrap();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }

    async fn page(&self, path: &str) -> String {
        let (head, body) = self.request(path, "host: localhost\r\n").await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        body
    }
}

/// Returns the parts of `text` between each `from` and the next `to`.
fn between<'a>(text: &'a str, from: &str, to: &str) -> Vec<&'a str> {
    text.split(from).skip(1).map(|part| part.split(to).next().unwrap_or_default()).collect()
}

/// Returns the texts of the first two cells of each row of the table, and its numbers.
fn rows(page: &str) -> Vec<([String; 2], Vec<String>)> {
    let table = between(page, "<tbody>", "</tbody>")[0];
    let texts = |row: &str| {
        let links: Vec<_> = between(row, "<a href=", "</a>")
            .into_iter()
            .map(|link| link.split_once('>').unwrap().1.to_owned())
            .collect();
        <[String; 2]>::try_from(links).unwrap_or_default()
    };
    let numbers = |row: &str| between(row, "<data value=\"", "\"").into_iter().map(str::to_owned).collect();
    between(table, "<tr", "</tr>").into_iter().map(|row| (texts(row), numbers(row))).collect()
}

/// Returns the link to the details of the flow from `source`.
fn details(page: &str, source: &str) -> String {
    let links = between(page, "<a href=\"", "</a>");
    let link = links.into_iter().find_map(|link| link.strip_suffix(source)?.strip_suffix("\">")).unwrap();
    link.replace("&amp;", "&")
}

/// *Scenario*: a window with flows that one end reports, and one flow within the host that both ends report.
/// *Guarantees*: the details of each flow have all numbers of the JSON lines of the same window, and the table those of its columns.
#[tokio::test]
async fn numbers_equal_the_json_lines() {
    let mut fixture = Fixture::new(PageConfig::default()).await;
    let window = window(vec![
        series(Reporter::Source, ["web", "db"], measures(1_234_567, 3)),
        series(Reporter::Destination, ["batch", "cart"], measures(98_765, 0)),
        of_kind("Process", Reporter::Source, ["curl", "nginx"], measures(3_000_000_000_000, 0)),
        of_kind("Process", Reporter::Destination, ["curl", "nginx"], measures(4_000, 0)),
    ]);
    fixture.add(&window);
    let page = fixture.page("/").await;
    let web = rows(&page).into_iter().find(|(names, _)| names == &["web", "db"]).unwrap().1;
    assert_eq!(web, ["1234567", "411522", "2", "1", "0.1515", "7", "5", "2", "3"]);
    let batch = rows(&page).into_iter().find(|(names, _)| names == &["batch", "cart"]).unwrap().1;
    assert_eq!(batch[..2], ["32921", "98765"], "from client to server is what the server received");
    for (source, reports) in [("web", 1), ("batch", 1), ("curl", 2)] {
        let page = fixture.page(&details(&page, source)).await;
        let shown = between(&page, "<section", "</section>");
        let lines =
            stdout::json_lines(&window).into_iter().filter(|line| line["source.workload.name"] == *source);
        let lines: Vec<_> = lines.collect();
        assert_eq!((shown.len(), lines.len()), (reports, reports), "{page}");
        for (shown, line) in shown.iter().zip(&lines) {
            let mut numbers = BTreeMap::new();
            for row in between(shown, "<tr><th><abbr", "</tr>") {
                let name = row.split_once('>').unwrap().1.split("</abbr>").next().unwrap();
                let values: Vec<f64> = between(row, "<data value=\"", "\"")
                    .into_iter()
                    .map(|value| value.parse().unwrap())
                    .collect();
                numbers.insert(name, values);
            }
            for (name, values) in &numbers {
                match &line[*name] {
                    serde_json::Value::Number(number) => {
                        assert_eq!(values, &[number.as_f64().unwrap()], "{name}")
                    }
                    histogram => {
                        assert_eq!(histogram["sum"], json!(values[0]), "{name}");
                        assert_eq!(histogram["count"].as_f64(), Some(values[1]), "{name}");
                        assert_eq!(values[2..].iter().sum::<f64>(), values[1], "{name}");
                    }
                }
            }
            let expected = line.as_object().unwrap().iter().filter(|(name, value)| {
                // Totals that are the sum of the reasons.
                let is_sum = ["connections.closed", "connections.failed"].contains(&name.as_str());
                (value.is_number() || value.is_object()) && !is_sum
            });
            assert_eq!(
                numbers.keys().copied().collect::<Vec<_>>(),
                expected.map(|(name, _)| name.as_str()).collect::<Vec<_>>()
            );
        }
    }
}

/// *Scenario*: names with HTML, quotes and characters that change the order of the text, also in the search.
/// *Guarantees*: none of them is anything but text, in the table, the map, the details and the search.
#[tokio::test]
async fn names_are_text() {
    let mut fixture = Fixture::new(PageConfig::default()).await;
    let name = "<script>alert(1)</script>\" onload='x' \u{202e}";
    fixture.add(&window(vec![series(Reporter::Source, [name, name], measures(1_000, 0))]));
    let page = fixture.page("/").await;
    let link = between(&page, "<td class=\"name\"><a href=\"", "\"")[0].replace("&amp;", "&");
    let searched = fixture.page("/?search=%22%3E%3Cscript%3Ealert(2)%3C/script%3E").await;
    assert!(searched.contains("No name contains"), "{searched}");
    for page in [page, fixture.page(&link).await, searched] {
        assert!(!page.contains("<script>") && !page.contains('\u{202e}'), "{page}");
        assert!(!page.contains("\" onload"), "{page}");
        assert!(page.contains("&lt;script&gt;alert("), "{page}");
    }
}

/// *Scenario*: requests with another name of the host, from other pages, without a password, and for what does not exist.
/// *Guarantees*: each is refused. Every response has the headers that protect the page. `localhost`, IP addresses, configured names and links
/// from other pages are accepted.
#[tokio::test]
async fn requests_from_elsewhere_are_refused() {
    let auth = BasicAuthConfig { username: "sre".to_owned(), password: Secret::new("secret") };
    let config = PageConfig { allowed_hosts: vec!["Flows.example.com".to_owned()], ..PageConfig::default() };
    let open = Fixture::new(config.clone()).await;
    let locked = Fixture::new(PageConfig { basic_auth: Some(auth), ..config }).await;
    let local = "host: localhost:7070\r\n";
    let cross = "sec-fetch-site: cross-site\r\n";
    let password = "authorization: Basic c3JlOnNlY3JldA==\r\n";
    let cases = [
        (&open, "/", "host: 127.0.0.1:7070\r\n".to_owned(), "200"),
        (&open, "/", "host: [::1]:7070\r\n".to_owned(), "200"),
        (&open, "/", "host: flows.example.com\r\n".to_owned(), "200"),
        (&open, "/", "host: evil.example:7070\r\n".to_owned(), "421"),
        (&open, "/page.js", "host: localhost.evil.example\r\n".to_owned(), "421"),
        (&open, "/", "host: \r\n".to_owned(), "421"),
        (&open, "/events", format!("{local}{cross}sec-fetch-mode: cors\r\n"), "403"),
        (&open, "/", format!("{local}{cross}sec-fetch-mode: navigate\r\n"), "200"),
        (&open, "/metrics", local.to_owned(), "404"),
        (&open, "/?level=pod", local.to_owned(), "400"),
        (&open, "/?flow=x", local.to_owned(), "400"),
        (&locked, "/", local.to_owned(), "401"),
        (&locked, "/", format!("{local}{password}"), "200"),
    ];
    for (fixture, path, headers, status) in cases {
        let (head, _) = fixture.request(path, &headers).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{path} {headers}: {head}");
        assert!(head.contains("content-security-policy: default-src 'none';"), "{head}");
        assert!(
            head.contains("x-content-type-options: nosniff") && !head.contains("access-control"),
            "{head}"
        );
    }
}

/// *Scenario*: a browser follows the windows. Then the exporter stops.
/// *Guarantees*: each new window arrives as the content of the page. The stop ends the stream and does not wait for the browser. Nothing
/// listens then.
#[tokio::test]
async fn events_bring_each_window() {
    let mut fixture = Fixture::new(PageConfig::default()).await;
    let mut lines = BufReader::new(fixture.connect("/events", "host: localhost\r\n").await).lines();
    while lines.next_line().await.unwrap().unwrap() != "" {}
    for name in ["first", "second"] {
        fixture.add(&window(vec![series(Reporter::Source, [name, "db"], measures(1_000, 0))]));
        let data = loop {
            let line = lines.next_line().await.unwrap().unwrap();
            if let Some(data) = line.strip_prefix("data: ") {
                break data.to_owned();
            }
        };
        assert_eq!(rows(&data).len(), 1);
        assert_eq!(rows(&data)[0].0, [name, "db"]);
    }
    let server = fixture.exporter.server();
    server.shutdown().await.unwrap();
    let rest = async { while lines.next_line().await.unwrap().is_some() {} };
    rest.await;
    assert!(TcpStream::connect(server.address().unwrap()).await.is_err());
}

/// *Scenario*: 300 flows, one of which fails; orders, a search, and all rows.
/// *Guarantees*: at most 200 rows are shown, and the last one sums up the others. The failing flow is on the map, and is first when the table
/// is sorted by failures. The totals are those of all flows, also during a search.
#[tokio::test]
async fn many_flows_are_summed_up() {
    let mut fixture = Fixture::new(PageConfig::default()).await;
    assert!(fixture.page("/").await.contains("Waiting for the first window"));
    fixture.add(&window(Vec::new()));
    assert!(fixture.page("/").await.contains("No TCP connections in this window"));
    let name = |index: u64| format!("client-{index:03}");
    let flow = |index: u64| {
        let mut measures = measures(1_000 * (index + 1), u64::from(index == 5));
        measures.totals.retransmits = 0;
        series(Reporter::Source, [&name(index), "db"], measures)
    };
    let window = window((0..300).map(flow).collect());
    fixture.add(&window);
    let page = fixture.page("/").await;
    let shown = rows(&page);
    assert_eq!(shown.len(), 201);
    assert_eq!(shown[0].0, [name(299), "db".to_owned()]);
    let sum: u64 = shown.iter().map(|(_, numbers)| numbers[0].parse::<u64>().unwrap()).sum();
    assert_eq!(sum, (1..=300).map(|index| index * 1_000).sum::<u64>());
    assert!(page.contains(&format!("<data value=\"{sum}\">")) && page.contains("… and 100 more"), "{page}");
    let map = between(&page, "<svg viewBox", "</svg>")[0];
    assert_eq!(map.matches("class=\"band ").count(), 24);
    assert!(map.contains("class=\"band bad\"") && map.contains(&format!("<title>{} → db", name(5))), "{map}");
    assert!(page.contains("276 more flows are only in the table."), "{page}");
    assert_eq!(rows(&fixture.page("/?all=1").await).len(), 300);
    assert_eq!(rows(&fixture.page("/?sort=failed").await)[0].0[0], name(5));
    assert_eq!(rows(&fixture.page("/?sort=source").await)[0].0[0], name(0));
    let found = fixture.page("/?search=CLIENT-01").await;
    assert_eq!(rows(&found).len(), 10);
    assert!(found.contains(&format!("<data value=\"{sum}\">")), "{found}");
    let gone = fixture.page("/?flow=0").await;
    assert!(gone.contains("This flow is not in the last window"), "{gone}");
}

/// *Scenario*: settings that cannot work.
/// *Guarantees*: each is refused with its path and the remedy.
#[test]
fn bad_settings_are_explained() {
    let problems = |section: serde_json::Value| {
        let section = Value::from_serialize(&section).unwrap();
        let prepared = factory().prepare(&section, &ConfigPath::from("exporters::page"));
        prepared.err().map(|errors| errors.to_string()).unwrap_or_default()
    };
    let section = json!({
        "endpoint": "7070", "tls": {"cert_file": ""}, "basic_auth": {"username": ""}, "allowed_hosts": ["https://flows.example.com"],
    });
    insta::assert_snapshot!(problems(section));
    assert_eq!(problems(json!({})), "");
}
