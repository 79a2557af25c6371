use longwave_config::{ConfigPath, decode};

use super::super::TelemetryConfig;
use super::*;

/// Reads `service::telemetry::resource`, which is written as JSON.
fn resource(section: serde_json::Value) -> Result<ResourceChanges, String> {
    let section = Value::from_serialize(&serde_json::json!({"resource": section})).unwrap();
    let decoded = decode::<TelemetryConfig>(&section, &ConfigPath::from("service::telemetry"));
    decoded
        .map(|config| config.resource)
        .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

/// *Scenario*: the same attributes as a list, which is the Collector's current form, and as a map.
/// *Guarantees*: both are read alike. Numbers become texts.
#[test]
fn both_forms_are_read() {
    let list = serde_json::json!({"attributes": [
        {"name": "team", "value": "a"},
        {"name": "rack", "value": 7},
        {"name": "spot", "value": true},
    ]});
    let map = serde_json::json!({"team": "a", "rack": "7", "spot": "true"});
    assert_eq!(resource(list), resource(map));
    let removed = resource(serde_json::json!({"host.id": null})).unwrap();
    assert_eq!(removed["host.id"], None);
}

/// *Scenario*: both forms together, a schema URL, and values that are no attribute.
/// *Guarantees*: each error names the setting and the remedy.
#[test]
fn bad_resources_are_explained() {
    let errors = [
        serde_json::json!({"team": "a", "attributes": [{"name": "b", "value": "c"}]}),
        serde_json::json!({"schema_url": "https://opentelemetry.io/schemas/1.38.0"}),
        serde_json::json!({"attributes": [{"name": "b", "value": ["c"]}]}),
        serde_json::json!({"attributes": [{"name": "b", "value": "c", "type": "string"}]}),
        serde_json::json!({"team": 1}),
    ];
    let errors: Vec<_> = errors.map(|section| resource(section).unwrap_err()).into();
    insta::assert_snapshot!(errors.join("\n"));
}
