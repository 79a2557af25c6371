use longwave_config::{ConfigPath, Sources, Value};

use super::super::factory;
use super::*;

fn errors(yaml: &str) -> String {
    let text = format!(
        "yaml:{{receivers: {{bpf: {yaml}}}, exporters: {{stdout: }}, service: {{pipelines: {{logs: {{receivers: [bpf], exporters: [stdout]}}}}}}}}"
    );
    let document = longwave_config::load(&Sources::new(vec![text], Vec::new())).unwrap().document;
    let section = document.receivers.iter().next().unwrap().1;
    let path = ConfigPath::root().child("receivers").child("bpf");
    factory().prepare(section, &path).err().map(|errors| errors.to_string()).unwrap_or_default()
}

/// Scenario: no settings at all.
/// Guarantees: the defaults are those of the design, and valid.
#[test]
fn defaults_are_sound() {
    let prepared =
        factory().prepare(&Value::Null, &ConfigPath::root()).map_err(|e| format!("{e:?}")).ok().unwrap();
    insta::assert_snapshot!(longwave_config::to_yaml(&prepared.effective).unwrap());
    let options = Config::default().options(true);
    assert!(options.emit_open && options.connect_time && options.families.v4 && options.families.v6);
}

/// Scenario: every setting out of its range.
/// Guarantees: all are reported, each with its path and a valid value.
#[test]
fn every_bad_value_is_reported() {
    insta::assert_snapshot!(errors(
        "{interval: 1ms, idle_heartbeat: 0, families: [], ports: [0], cgroup: system.slice, max_connections: 0, transitions_ring_size: 5000, samples_ring_size: 2GiB}"
    ));
    insta::assert_snapshot!(errors("{families: [ipv5], intervall: 5s}"));
}

/// Scenario: times at their limits, and a fraction of a second beyond.
/// Guarantees: the limits are accepted, and everything beyond them is reported.
#[test]
fn limits_of_times_are_exact() {
    for yaml in ["{interval: 100ms, holder_age: 0s}", "{interval: 1h, holder_age: 24h}"] {
        assert_eq!(errors(yaml), "");
    }
    insta::assert_snapshot!(errors("{interval: 1h0m0.9s, holder_age: 24h0m0.9s}"));
    insta::assert_snapshot!(errors("{interval: 99.9ms}"));
}
