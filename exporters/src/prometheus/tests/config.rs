use longwave_config::{ConfigPath, Value};

use crate::prometheus::factory;

/// *Scenario*: invalid sections.
/// *Guarantees*: the errors name each mistake, its path, and what to write instead.
#[test]
fn bad_sections() {
    let bad = [
        serde_json::json!({"endpoint": "9464"}),
        serde_json::json!({"tls": {"cert_file": "/etc/tls/cert.pem"}}),
        serde_json::json!({"basic_auth": {"username": "a:b"}}),
        serde_json::json!({"naming": "otlp"}),
        serde_json::json!({"translation_strategy": "underscores"}),
        serde_json::json!({"const_labels": {"my-team": "a", "le": "1", "__name__": "x"}}),
        serde_json::json!({"metric_expiration": "0s", "cluster_domain": ""}),
        serde_json::json!({"resource_to_telemetry_conversion": true, "namespace": "x"}),
    ];
    let errors = bad.map(|section| {
        let section = Value::from_serialize(&section).unwrap();
        match factory().prepare(&section, &ConfigPath::from("exporters::prometheus")) {
            Ok(_) => "fine".to_owned(),
            Err(errors) => errors.to_string(),
        }
    });
    insta::assert_snapshot!(errors.join("\n"));
}

/// *Scenario*: an empty section.
/// *Guarantees*: the defaults are valid.
#[test]
fn defaults_are_valid() {
    let section = Value::from_serialize(&serde_json::json!({})).unwrap();
    assert!(factory().prepare(&section, &ConfigPath::from("exporters::prometheus")).is_ok());
}
