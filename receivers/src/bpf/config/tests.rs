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
    factory().prepare(section, &path).map(|_| ()).unwrap_err().to_string()
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

/// Scenario: every setting out of its range at once.
/// Guarantees: all are reported, each with its path and a valid value.
#[test]
fn every_bad_value_is_reported() {
    insta::assert_snapshot!(errors(
        "{interval: 1ms, idle_heartbeat: 0, families: [], ports: [0], cgroup: system.slice, max_connections: 0, transitions_ring_size: 5000, samples_ring_size: 2GiB}"
    ));
    insta::assert_snapshot!(errors("{families: [ipv5], intervall: 5s}"));
}
