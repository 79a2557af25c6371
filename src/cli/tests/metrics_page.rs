//! `docs/METRICS.md`, which is written from the metrics that the code declares and publishes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use longwave_config::{ConfigPath, Value};
use longwave_pipeline::component::cgroup::CgroupPaths;
use longwave_pipeline::component::{
    Accounting, Authenticators, Directories, Directory, DropReason, ExporterContext, ExtensionContext,
    Factory, Health, NodeKind, ProcessorContext, Shared, Signal, Storages,
};
use longwave_pipeline::model::{CloseReason, FailReason, metric};
use longwave_pipeline::runtime::{MetricConfig, Telemetry};
use longwave_receivers::bpf::kernel::{Losses, ProgramStatistics};
use longwave_receivers::sock_diag::initial_counts;
use longwave_receivers::tracking::Stats;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::settings_page::compare;
use crate::cli::registry;

const HEAD: &str = "# Metrics

Every metric of the traffic, and every metric of Longwave itself. `cargo xtask docs` writes this page from what the code declares and publishes.
[DATA.md](DATA.md) explains the meaning of the traffic's metrics and attributes, [OPERATIONS.md](OPERATIONS.md) how to watch Longwave.

## Traffic

`<level>` is `service`, `workload` or `connection`, as `window::levels` names them. Prometheus has underscores instead of dots, and appends the
unit and, for counters, `_total`: `longwave_tcp_workload_sent_bytes_total`. The attributes of series are in
[DATA.md](DATA.md#metrics); those below are in addition.

| metric | kind | unit | attribute | meaning |
|---|---|---|---|---|
";

const SELF: &str = "
## Longwave itself

At `localhost:8888/metrics`, and by OTLP if it is configured. By OTLP names have no `_total` and no unit. Every series exists from the start,
except the histogram of passes, which begins with the first pass.
Labels without values here are ids and names: `receiver`, `processor`, `exporter` and `extension` are ids of components,
`program` is a BPF program.

| metric | kind | unit | labels | meaning |
|---|---|---|---|---|
";

/// One metric of the page of self-telemetry.
#[derive(Default)]
struct PublishedMetric {
    kind: String,
    unit: String,
    text: String,
    /// Values by label.
    labels: BTreeMap<String, BTreeSet<String>>,
}

/// Returns the rows of the traffic's metrics.
fn traffic() -> String {
    let mut rows = String::new();
    for (id, metric) in metric::Id::ALL.into_iter().zip(metric::METRICS) {
        let kind = match metric.kind {
            metric::Kind::Counter => "counter",
            metric::Kind::UpDown => "up-down counter, always cumulative",
            metric::Kind::Histogram => "histogram",
            metric::Kind::Gauge => "gauge",
        };
        let values =
            |names: Vec<String>| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let attribute = match id {
            metric::Id::Closed => {
                let reasons = CloseReason::ALL.iter().map(|reason| reason.as_str().to_owned());
                format!("`longwave.close.reason`: {}", values(reasons.collect()))
            }
            metric::Id::Failed => {
                // Those that have a name of their own.
                let errnos = [111, 110, 113, 104, 99, 0];
                let reasons = errnos.map(FailReason::from_errno).map(|reason| reason.to_string());
                format!("`error.type`: {}, or the name of the errno", values(reasons.to_vec()))
            }
            _ => String::new(),
        };
        let metric::Metric { suffix, unit, description, .. } = metric;
        writeln!(rows, "| `longwave.tcp.<level>.{suffix}` | {kind} | {unit} | {attribute} | {description} |")
            .unwrap();
    }
    rows
}

/// Returns the page of self-telemetry after every component was created, as a scraper gets it.
async fn scrape() -> String {
    let accounting = Accounting::default();
    let config = MetricConfig { address: "127.0.0.1:0".to_owned().into(), ..MetricConfig::default() };
    let telemetry = Telemetry::start(&config, &[], &accounting).await.unwrap();
    create_all(&telemetry, &accounting);
    let mut stream = TcpStream::connect(telemetry.address.unwrap()).await.unwrap();
    let request = "GET /metrics HTTP/1.1\r\nHost: test\r\nAccept: application/openmetrics-text; version=1.0.0\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).await.unwrap();
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    page
}

/// Creates one component of each type that has metrics, and the stages of a pipeline of each signal.
fn create_all(telemetry: &Telemetry, accounting: &Accounting) {
    let (registry, meter, shared) = (registry(), telemetry.meter(), Shared::default());
    let stats = Stats::new(&meter, "bpf", &Arc::new(CgroupPaths::default()));
    stats.record_pass(std::time::Duration::from_millis(1));
    let program = |name| ProgramStatistics {
        name,
        recursion_misses: 0,
        run_cnt: 0,
        run_time_ns: 0,
        translated_bytes: 0,
        verified_instructions: 0,
    };
    let losses = Losses::default();
    stats.update(|stats| {
        stats.programs = ["state", "state_again", "sample"].map(program).to_vec();
        stats.counts.lost = losses.by_reason().collect();
        stats.counts.events = losses.other_events().to_vec();
    });
    let sock_diag = Stats::new(&meter, "sock_diag", &Arc::default());
    sock_diag.update(|stats| stats.counts = initial_counts());

    let storage = tempfile::tempdir().unwrap();
    let mut directories: Vec<(String, Arc<dyn Directory>)> = Vec::new();
    let rules = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(rules.path(), "rules: []").unwrap();
    for (id, settings) in [
        ("kubernetes", serde_json::json!({})),
        ("docker", serde_json::json!({})),
        ("static", serde_json::json!({"file": rules.path()})),
        ("file_storage", serde_json::json!({"directory": storage.path()})),
    ] {
        let context = ExtensionContext { id: id.to_owned(), meter: meter.clone(), health: Health::default() };
        let extension = create(&registry.extensions, id, &settings, context);
        directories.extend(extension.directory().map(|directory| (id.to_owned(), directory)));
    }
    let directories = Directories::new(directories);
    for signal in [Signal::Metrics, Signal::Logs] {
        let pipeline = signal.to_string();
        accounting.node(NodeKind::Receiver, "bpf", &pipeline, signal, false);
        for (id, settings) in [
            ("workload", serde_json::json!({"sources": ["kubernetes", "cgroup"]})),
            ("service", serde_json::json!({"sources": ["kubernetes"]})),
            ("filter", serde_json::json!({"exclude": {"ports": [1]}})),
            ("memory_limiter", serde_json::json!({"check_interval": "1s", "limit_mib": 4000})),
            ("window", serde_json::json!({})),
        ] {
            if id == "window" && signal == Signal::Logs {
                continue;
            }
            let node = accounting.node(NodeKind::Processor, id, &pipeline, signal, id == "window");
            let context = ProcessorContext {
                id: id.to_owned(),
                pipeline: pipeline.clone(),
                node,
                meter: meter.clone(),
                directories: directories.clone(),
                shared: shared.clone(),
            };
            drop(create(&registry.processors, id, &settings, context));
        }
        for id in ["otlp_grpc", "prometheus", "live", "page"] {
            let node = accounting.node(NodeKind::Exporter, id, "", signal, false);
            // As if it had a storage.
            DropReason::OF_STORAGE.into_iter().for_each(|reason| node.may_drop(reason));
            let is_of_signal =
                matches!((id, signal), ("prometheus" | "page", Signal::Metrics) | ("live", Signal::Logs));
            if !is_of_signal {
                continue;
            }
            let context = ExporterContext {
                id: id.to_owned(),
                signal,
                resource: Arc::default(),
                meter: meter.clone(),
                authenticators: Authenticators::default(),
                log_edits: Arc::default(),
                batch: None,
                storages: Storages::default(),
            };
            drop(create(&registry.exporters, id, &serde_json::json!({}), context));
        }
    }
}

/// Creates a component, as the runtime does.
fn create<X: 'static, T: ?Sized + 'static>(
    factories: &[Factory<X, T>],
    component_type: &str,
    settings: &serde_json::Value,
    context: X,
) -> Box<T> {
    let factory = factories.iter().find(|factory| factory.about.component_type == component_type).unwrap();
    let value = Value::from_serialize(settings).unwrap();
    let prepared = factory
        .prepare(&value, &ConfigPath::from(component_type))
        .unwrap_or_else(|errors| panic!("{errors}"));
    (prepared.create)(context).unwrap_or_else(|error| panic!("{component_type}: {error}"))
}

/// Reads a page in the format of OpenMetrics.
fn parse(page: &str) -> BTreeMap<String, PublishedMetric> {
    let mut families: BTreeMap<String, PublishedMetric> = BTreeMap::new();
    for line in page.lines().filter(|line| !line.starts_with("HTTP/")) {
        if let Some((what, rest)) = line.strip_prefix("# ").and_then(|line| line.split_once(' ')) {
            let (name, text) = rest.split_once(' ').unwrap_or((rest, ""));
            let family = families.entry(name.to_owned()).or_default();
            match what {
                "TYPE" => family.kind = text.to_owned(),
                "UNIT" => family.unit = text.to_owned(),
                "HELP" => family.text = text.to_owned(),
                other => panic!("{other}"),
            }
        } else if let Some((name, rest)) = line.split_once('{')
            && let Some((labels, _)) = rest.split_once('}')
        {
            let of = |(family, _): &(&String, &mut PublishedMetric)| name.starts_with(family.as_str());
            let longest = families.iter_mut().filter(of).max_by_key(|(family, _)| family.len());
            let Some((_, family)) = longest else { continue };
            for (label, value) in labels.split("\",").filter_map(|pair| pair.split_once("=\"")) {
                family
                    .labels
                    .entry(label.to_owned())
                    .or_default()
                    .insert(value.trim_end_matches('"').to_owned());
            }
        }
    }
    families
}

/// Returns the rows of Longwave's own metrics.
fn published(page: &str) -> String {
    let mut rows = String::new();
    for (name, PublishedMetric { kind, unit, text, labels }) in parse(page) {
        let name = if kind == "counter" { format!("{name}_total") } else { name };
        let labels: Vec<_> = labels
            .iter()
            // The bounds of histograms.
            .filter(|(label, _)| *label != "le")
            .map(|(label, values)| {
                let is_id =
                    ["receiver", "processor", "exporter", "extension", "pipeline", "signal", "program"]
                        .contains(&label.as_str());
                let values: Vec<_> = values.iter().map(|value| format!("`{value}`")).collect();
                if is_id { format!("`{label}`") } else { format!("`{label}`: {}", values.join(", ")) }
            })
            .collect();
        writeln!(rows, "| `{name}` | {kind} | {unit} | {} | {text} |", labels.join("; ")).unwrap();
    }
    rows
}

/// *Scenario*: one component of each type is created, and the page of self-telemetry is read. The traffic's metrics are declared in the model.
/// *Guarantees*: `docs/METRICS.md` has exactly these metrics, with their kinds, units, labels and meanings.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_page_is_current() {
    compare("METRICS.md", &format!("{HEAD}{}{SELF}{}", traffic(), published(&scrape().await)));
}

/// *Scenario*: the names of metrics in the sources.
/// *Guarantees*: each is in `docs/METRICS.md`: no component registers a metric that the page does not have.
#[test]
fn every_metric_of_the_sources_is_on_the_page() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/METRICS.md")).unwrap();
    let mut names = BTreeSet::new();
    for folder in ["receivers", "processors", "exporters", "extensions", "pipeline"] {
        for source in sources(&root.join(folder).join("src")) {
            let text = std::fs::read_to_string(&source).unwrap();
            for kind in ["receiver_", "processor_", "exporter_", "extension_", "dropped_"] {
                let prefix = format!("\"longwave_{kind}");
                names.extend(text.match_indices(&prefix).map(|(at, _)| {
                    // A name that ends with a placeholder has several forms.
                    text[at + 1..].split(['"', '{']).next().unwrap_or_default().to_owned()
                }));
            }
        }
    }
    assert!(names.len() > 40, "{names:?}");
    let missing: Vec<_> = names.iter().filter(|name| !page.contains(&format!("| `{name}"))).collect();
    assert!(missing.is_empty(), "metrics_page.rs creates no component with {missing:?}");
}

/// Returns the source files below a folder, except those of tests.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "tests" {
            found.extend(sources(&path));
        } else if name.ends_with(".rs") && !name.starts_with("test") {
            found.push(path);
        }
    }
    found
}
