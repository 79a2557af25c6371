use crate::testing;
use longwave_config::{ConfigPath, Value};
use longwave_pipeline::component::{BatchConfig, ExporterContext, Signal};

use crate::otlp::TlsConfig;
use crate::otlp::http::{HttpConfig, HttpPusher, factory, url};

fn errors(section: serde_json::Value) -> String {
    let section = Value::from_serialize(&section).unwrap();
    match factory().prepare(&section, &ConfigPath::from("exporters::otlp_http")) {
        Ok(_) => "fine".to_owned(),
        Err(errors) => format!("{errors}\n"),
    }
}

fn context() -> ExporterContext {
    testing::context("otlp_http", Signal::Logs, &[])
}

/// *Scenario*: base URLs with and without a path.
/// *Guarantees*: the signal's path is appended.
#[test]
fn paths_are_appended() {
    let whole = |text, signal| url::of_signal(url::base(text).unwrap(), signal).to_string();
    assert_eq!(whole("http://c:4318", Signal::Metrics), "http://c:4318/v1/metrics");
    assert_eq!(whole("https://c/otlp/", Signal::Logs), "https://c/otlp/v1/logs");
}

/// *Scenario*: invalid sections.
/// *Guarantees*: the errors name each mistake, its path, and what to write instead. They leave out a password in a URL.
#[test]
fn bad_sections() {
    let bad = [
        serde_json::json!({}),
        serde_json::json!({"endpoint": "localhost:4318"}),
        serde_json::json!({"endpoint": "grpc://localhost:4318"}),
        serde_json::json!({"endpoint": "http://c:4318/v1/metrics"}),
        serde_json::json!({"endpoint": "http://"}),
        serde_json::json!({"endpoint": "http://c:4318/?key=1"}),
        serde_json::json!({"endpoint": "http://user:hunter2@c:4318"}),
        serde_json::json!({"metrics_endpoint": "c/v1/metrics", "logs_endpoint": "http://c:x/"}),
        serde_json::json!({"endpoint": "https://c", "tls": {"key_file": "k.pem"}, "headers": {"Content-Type": "x"}}),
    ];
    let shown: String = bad.into_iter().map(|section| errors(section) + "\n").collect();
    assert!(!shown.contains("hunter2"));
    insta::assert_snapshot!("bad_sections", shown);
}

/// *Scenario*: an exporter in a logs pipeline has only `metrics_endpoint`. Others have TLS files that are missing, empty, or not PEM.
/// *Guarantees*: the creation fails with an error that names the key and the file.
#[test]
fn errors_at_creation() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let error = |config: &HttpConfig| match HttpPusher::new(config, &context()) {
        Ok(_) => panic!("was created"),
        Err(e) => e.to_string().replace(directory.path().to_str().unwrap(), "<dir>"),
    };
    let base = HttpConfig { endpoint: "https://localhost".into(), ..HttpConfig::default() };
    let with_ca = |path: String| {
        let mut config = base.clone();
        config.client.tls.ca_file = Some(path);
        config
    };
    let only_metrics = HttpConfig { metrics_endpoint: "http://c".into(), ..HttpConfig::default() };
    let key = file("key.pem", "no key");
    let mut with_key = with_ca(file("unused", ""));
    with_key.client.tls = TlsConfig {
        insecure_skip_verify: true,
        cert_file: Some(key.clone()),
        key_file: Some(key),
        ..Default::default()
    };
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let lines = [
        error(&only_metrics),
        error(&with_ca(directory.path().join("missing.pem").to_str().unwrap().to_owned())),
        error(&with_ca(file("empty.pem", ""))),
        error(&with_ca(file("text.pem", "hello"))),
        error(&with_ca(file("garbage.pem", garbage))),
        error(&with_key),
    ];
    insta::assert_snapshot!("creation", lines.join("\n"));
}

/// *Scenario*: a section with misspelt keys of both structs, and the default configuration.
/// *Guarantees*: the error names the unknown keys and the likely ones. Each field of both structs is a known key.
#[test]
fn unknown_keys() {
    let section = serde_json::json!({"endpoint": "http://c", "metrics_endpont": "x", "timeot": "5s"});
    assert_eq!(
        errors(section),
        "'exporters::otlp_http' has invalid keys: metrics_endpont (did you mean \"metrics_endpoint\"?), \
         timeot (did you mean \"timeout\"?)\n"
    );
    let config = serde_json::to_value(HttpConfig::default()).unwrap();
    for (key, value) in config.as_object().unwrap() {
        assert!(!errors(serde_json::json!({ key: value })).contains("invalid keys"), "{key}");
    }
}

/// *Scenario*: `sending_queue::batch` and the processor `batch` are absent, equal or different, in pipelines of both signals.
/// *Guarantees*: log requests are merged by default, requests of windows never. The processor's settings apply. If both are set and differ, the
/// error says which to remove.
#[test]
fn batches_are_configured_once() {
    let batch = |min_size| BatchConfig { min_size, ..BatchConfig::default() };
    let created = |own: Option<BatchConfig>, processor, signal| {
        let queue = serde_json::json!({"batch": own.map(|own| serde_json::to_value(own).unwrap())});
        let mut section = serde_json::json!({"endpoint": "http://localhost:4318", "sending_queue": queue});
        if own.is_none() {
            section["sending_queue"] = serde_json::json!({});
        }
        let section = Value::from_serialize(&section).unwrap();
        let prepared = factory().prepare(&section, &ConfigPath::from("exporters::otlp_http")).ok().unwrap();
        let created = (prepared.create)(ExporterContext { batch: processor, signal, ..context() });
        created.map(|exporter| exporter.delivery().queue.batch).map_err(|error| error.to_string())
    };
    assert_eq!(created(None, None, Signal::Logs), Ok(Some(BatchConfig::default())));
    assert_eq!(created(None, None, Signal::Metrics), Ok(None));
    assert_eq!(created(Some(batch(5)), None, Signal::Logs), Ok(Some(batch(5))));
    assert_eq!(created(None, Some(batch(6)), Signal::Logs), Ok(Some(batch(6))));
    assert_eq!(created(Some(batch(6)), Some(batch(6)), Signal::Logs), Ok(Some(batch(6))));
    assert_eq!(created(None, Some(batch(6)), Signal::Metrics), Ok(None));
    insta::assert_snapshot!(
        "batches_differ",
        created(Some(batch(5)), Some(batch(6)), Signal::Logs).unwrap_err()
    );
    let bad = [
        serde_json::json!({"endpoint": "http://c", "sending_queue": {"batch": {"flush_timeout": "0s", "min_size": 10, "max_size": 5, "sizer": "requests"}}}),
        serde_json::json!({"endpoint": "http://c", "sending_queue": {"batch": {"flush_timeout": "0s", "min_size": 10, "max_size": 5}}}),
        serde_json::json!({"endpoint": "http://c", "sending_queue": {"enabled": false, "batch": {}}}),
    ];
    insta::assert_snapshot!("bad_batches", bad.into_iter().map(errors).collect::<String>());
}

/// *Scenario*: settings of connections that are not supported, too large, set twice, or levels that the compression does not have.
/// *Guarantees*: each error has its path and the remedy. The Collector's zero values and defaults are accepted.
#[test]
fn settings_of_connections() {
    let bad = [
        serde_json::json!({"http2_read_idle_timeout": "10s", "http2_ping_timeout": "5s", "force_attempt_http2": true}),
        serde_json::json!({"read_buffer_size": 1024, "write_buffer_size": 1024, "cookies": {}}),
        serde_json::json!({"keepalive": {"idle_conn_timeout": "25h", "max_idle": 1}}),
        serde_json::json!({"keepalive": {"max_idle_conns": 9999999, "max_idle_conns_per_host": 9999999}, "max_conns_per_host": 9999999}),
        serde_json::json!({"keepalive": {}, "idle_conn_timeout": "1s", "max_idle_conns": 1, "max_idle_conns_per_host": 1, "disable_keep_alives": true}),
        serde_json::json!({"idle_conn_timeout": "25h"}),
        serde_json::json!({"compression_params": {"level": 10}}),
        serde_json::json!({"compression": "zstd", "compression_params": {"level": 20}}),
        serde_json::json!({"compression": "snappy", "compression_params": {"level": 1}}),
    ];
    let endpoint = serde_json::json!("http://c:1");
    let shown = bad.map(|mut section| {
        section["endpoint"] = endpoint.clone();
        errors(section)
    });
    insta::assert_snapshot!("settings_of_connections", shown.concat());
    let good = serde_json::json!({
        "endpoint": endpoint,
        "http2_read_idle_timeout": "0s",
        "force_attempt_http2": false,
        "read_buffer_size": 0,
        "cookies": {"enabled": false},
        "max_idle_conns": 0,
        "compression": "zstd",
        "compression_params": {"level": -1},
    });
    assert_eq!(errors(good), "fine");
}
