use longwave_config::{ConfigPath, Value};

use crate::otlp::grpc::endpoint::{GrpcEndpoint, GrpcTarget};
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
        let GrpcEndpoint { target, tls } = GrpcEndpoint::parse(text, insecure).unwrap();
        match target {
            GrpcTarget::Host { host, port } => (host, port, tls),
            GrpcTarget::Unix(path) => (path.display().to_string(), 0, tls),
        }
    };
    assert_eq!(parse("collector:4317", false), ("collector".into(), 4317, true));
    assert_eq!(parse("collector:4317", true), ("collector".into(), 4317, false));
    assert_eq!(parse("http://10.0.0.1:1/", true), ("10.0.0.1".into(), 1, false));
    assert_eq!(parse("https://c:443", true), ("c".into(), 443, true));
    assert_eq!(parse("[::1]:4317", true), ("::1".into(), 4317, false));
    assert_eq!(parse("dns:///collector:4317", false), ("collector".into(), 4317, true));
    assert_eq!(parse("dns:collector:4317", true), ("collector".into(), 4317, false));
    assert_eq!(parse("dns:///[::1]:4317", true), ("::1".into(), 4317, false));
    assert_eq!(parse("unix:///run/c.sock", true), ("/run/c.sock".into(), 0, false));
    assert_eq!(parse("unix:/run/c.sock", false), ("/run/c.sock".into(), 0, true));
    assert_eq!(parse("unix:c.sock", true), ("c.sock".into(), 0, false));
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
        serde_json::json!({"endpoint": "dns://10.0.0.53/collector:4317"}),
        serde_json::json!({"endpoint": "dns://collector:4317"}),
        serde_json::json!({"endpoint": "dns:///collector"}),
        serde_json::json!({"endpoint": "unix://"}),
        serde_json::json!({"endpoint": "unix://run/c.sock"}),
        serde_json::json!({"endpoint": format!("unix:{}", "d/".repeat(60) + "s")}),
        serde_json::json!({"endpoint": "unix:///c.sock", "auth": {"authenticator": "bearertokenauth"}, "tls": {"insecure": true}}),
        serde_json::json!({"endpoint": "c:1", "balancer_name": "ring_hash", "keepalive": {"tme": "1s"}}),
        serde_json::json!({"endpoint": "c:1", "authority": "a b", "user_agent": "a\nb", "write_buffer_size": 999999999}),
        serde_json::json!({"endpoint": "c:1", "authority": "user@c", "keepalive": {"time": "100h", "timeout": "100h"}}),
        serde_json::json!({"endpoint": "c:1", "authority": "a", "tls": {"server_name_override": "b"}}),
        serde_json::json!({"endpoint": "c:1", "read_buffer_size": -1, "wait_for_ready": "perhaps"}),
        serde_json::json!({"endpoint": "c:1", "tls": {"cert_file": "a.pem", "server_name_override": "https://c"}}),
        serde_json::json!({"endpoint": "c:1", "tls": {"min_version": "1.1", "insecur": true}}),
        serde_json::json!({"endpoint": "c:1", "headers": {"a b": "x", "token": "line\n", "key-bin": "x", "te": "x"}}),
        serde_json::json!({"endpoint": "c:1", "compression": "brotli", "temporality": "both", "timeout": "5"}),
        serde_json::json!({"endpoint": "c:1", "compression": "snappy", "tls": {"ca_file": "a", "ca_pem": "b", "reload_interval": "1000h"}}),
        serde_json::json!({"endpoint": "c:1", "headers": [{"name": "a", "value": "1"}, {"name": "a", "value": "2"}]}),
        serde_json::json!({"endpoint": "c:1", "headers": [{"nam": "a"}]}),
        serde_json::json!({"endpoint": "c:1", "headers": "a"}),
        serde_json::json!({"endpoint": "http://c:1", "auth": {"authenticator": "bearertokenauth"}}),
        serde_json::json!({"endpoint": "c:1", "auth": {}}),
        serde_json::json!({"endpoint": "c:1", "auth": {"authenticatr": "bearertokenauth"}}),
        serde_json::json!({"endpoint": "c:1", "retry_on_failure": {"multiplier": 0.5}, "sending_queue": {"queue_size": 0}}),
    ];
    let shown: String =
        bad.into_iter().map(|section| format!("{section}\n{}\n", errors(section.clone()))).collect();
    insta::assert_snapshot!("bad_sections", shown);
}

/// *Scenario*: headers as a map and as a list, an empty text as compression, and certificates as texts.
/// *Guarantees*: both forms of headers mean the same, and `''` means no compression, as in the Collector.
#[test]
fn forms_of_the_collector() {
    let effective = |section: serde_json::Value| {
        let section = Value::from_serialize(&section).unwrap();
        let prepared = factory().prepare(&section, &ConfigPath::root()).map_err(|errors| errors.to_string());
        longwave_config::to_yaml(&prepared.unwrap().effective).unwrap()
    };
    let map = serde_json::json!({"endpoint": "c:1", "headers": {"a": "1", "b": "2"}, "compression": "none"});
    let list = serde_json::json!({"endpoint": "c:1", "headers": [{"name": "b", "value": "2"}, {"name": "a", "value": "1"}], "compression": ""});
    assert_eq!(effective(map), effective(list));
    let pem =
        serde_json::json!({"endpoint": "c:1", "tls": {"ca_pem": "x", "cert_pem": "y", "key_pem": "hunter2"}});
    assert!(!effective(pem).contains("hunter2"));
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
