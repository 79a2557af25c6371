use longwave_config::{ConfigPath, Value};

use crate::otlp::grpc::endpoint::GrpcEndpoint;
use crate::otlp::grpc::factory;

fn errors(section: serde_json::Value) -> String {
    let section = Value::from_serialize(&section).unwrap();
    match factory().prepare(&section, &ConfigPath::from("exporters::otlp")) {
        Ok(_) => "fine".to_owned(),
        Err(errors) => format!("{errors}\n"),
    }
}

/// *Scenario*: the forms of an endpoint.
/// *Guarantees*: each is parsed. The scheme selects TLS or plaintext. Without a scheme `tls::insecure` does. `https://` overrides it.
#[test]
fn endpoints() {
    let parse = |text, insecure| {
        let GrpcEndpoint { host, port, tls } = GrpcEndpoint::parse(text, insecure).unwrap();
        (host, port, tls)
    };
    assert_eq!(parse("collector:4317", false), ("collector".into(), 4317, true));
    assert_eq!(parse("collector:4317", true), ("collector".into(), 4317, false));
    assert_eq!(parse("http://10.0.0.1:1/", true), ("10.0.0.1".into(), 1, false));
    assert_eq!(parse("https://c:443", true), ("c".into(), 443, true));
    assert_eq!(parse("[::1]:4317", true), ("::1".into(), 4317, false));
    assert_eq!(GrpcEndpoint::parse("[::1]:4317", true).unwrap().to_string(), "http://[::1]:4317");
}

/// *Scenario*: invalid sections.
/// *Guarantees*: the errors name each mistake, its path, and what to write instead. All mistakes of a section are reported together.
#[test]
fn bad_sections() {
    let bad = [
        serde_json::json!(null),
        serde_json::json!({"endpoint": "collector"}),
        serde_json::json!({"endpoint": "http://collector:4317"}),
        serde_json::json!({"endpoint": "tcp://collector:4317"}),
        serde_json::json!({"endpoint": "https://collector:4318/v1/metrics"}),
        serde_json::json!({"endpoint": "::1:4317"}),
        serde_json::json!({"endpoint": "[::1]"}),
        serde_json::json!({"endpoint": "collector:99999"}),
        serde_json::json!({"endpoint": ":4317"}),
        serde_json::json!({"endpoint": "c:1", "tls": {"cert_file": "a.pem", "server_name_override": "https://c"}}),
        serde_json::json!({"endpoint": "c:1", "tls": {"min_version": "1.1", "insecur": true}}),
        serde_json::json!({"endpoint": "c:1", "headers": {"a b": "x", "token": "line\n", "key-bin": "x", "te": "x"}}),
        serde_json::json!({"endpoint": "c:1", "compression": "zstd", "temporality": "both", "timeout": "5"}),
        serde_json::json!({"endpoint": "c:1", "retry_on_failure": {"multiplier": 0.5}, "sending_queue": {"queue_size": 0}}),
    ];
    let shown: String =
        bad.into_iter().map(|section| format!("{section}\n{}\n", errors(section.clone()))).collect();
    insta::assert_snapshot!("bad_sections", shown);
}

/// *Scenario*: `print-config` shows a section with a token in a header.
/// *Guarantees*: the token is redacted. The defaults are those of the Collector.
#[test]
fn effective_settings_hide_secrets() {
    let section = serde_json::json!({"endpoint": "c:1", "headers": {"authorization": "Bearer hunter2"}});
    let prepared =
        factory().prepare(&Value::from_serialize(&section).unwrap(), &ConfigPath::root()).ok().unwrap();
    let shown = longwave_config::to_yaml(&prepared.effective).unwrap();
    insta::assert_snapshot!("effective", shown);
}
