//! Tests of the settings.

use longwave_pipeline::model::{Level, SeriesAttributes};

use super::super::WindowConfig;
use crate::testing::problems;

/// *Scenario*: invalid settings.
/// *Guarantees*: all are reported together, each with its cause and remedy.
#[test]
fn invalid_settings_are_reported() {
    let factory = super::super::factory();
    insta::assert_snapshot!(problems(&factory, "window", "{interval: 0s, levels: [], workload_attributes: [k8s.pod.name]}"), @r#"
    processors::window: interval: 0s is too short for a window (at least 1ms): use the receiver's interval or a multiple of it, for example 5s
    processors::window: levels: must name at least one level, or there is nothing to export (valid values: [service workload connection])
    processors::window: workload_attributes: has nothing to add to: add "workload" to levels, or remove this setting
    "#);
    insta::assert_snapshot!(problems(&factory, "window", "{interval: 10us, levels: [workload, workload], max_series: -1}"), @r#"
    processors::window: max_series: must be a whole number from 0 to 4294967295, found the number -1
    processors::window: interval: 10µs is too short for a window (at least 1ms): use the receiver's interval or a multiple of it, for example 5s
    processors::window: levels: names "workload" twice: name each level once
    "#);
    insta::assert_snapshot!(problems(&factory, "window", "{intervall: 5s, levels: [pod]}"), @r#"
    'processors::window' has invalid keys: intervall (did you mean "interval"?)
    processors::window: levels::0: unknown value "pod" (valid values: [service workload connection])
    "#);
    insta::assert_snapshot!(problems(&factory, "window", "{interval: 5, min_age: long}"), @r#"
    processors::window: interval: time: missing unit in duration "5" (write for example "5s": units are ns, us, ms, s, m, h)
    processors::window: min_age: time: invalid duration "long" (write for example 5s, 1m30s or 300ms)
    "#);
}

/// *Scenario*: an empty section.
/// *Guarantees*: the defaults are valid.
#[test]
fn defaults_are_valid() {
    assert_eq!(problems(&super::super::factory(), "window", "{}"), "valid");
}

/// Returns the settings of a YAML section, and the section that they are written as.
fn parse(yaml: &str) -> (WindowConfig, String) {
    let section =
        longwave_config::Value::from_serialize(&serde_yaml::from_str::<serde_yaml::Value>(yaml).unwrap())
            .unwrap();
    let config: WindowConfig =
        longwave_config::decode(&section, &longwave_config::ConfigPath::from("processors::window")).unwrap();
    let written = serde_yaml::to_string(&config.levels).unwrap();
    (config, written)
}

/// *Scenario*: levels as a list, as one text, and as a map with and without attributes.
/// *Guarantees*: all forms are read, and are written in the shortest form that has everything; the attributes of a level are the selected ones,
/// or its default ones.
#[test]
fn levels_are_a_list_or_a_map() {
    for (yaml, written) in [
        ("{levels: [connection, service]}", "- connection\n- service\n"),
        ("{levels: 'connection, service'}", "- connection\n- service\n"),
        ("{levels: {connection: , service: {}}}", "- connection\n- service\n"),
        (
            "{levels: {workload: , connection: {attributes: [source.address, source.k8s.pod.label.app]}}}",
            "workload: {}\nconnection:\n  attributes:\n  - source.address\n  - source.k8s.pod.label.app\n",
        ),
        ("{levels: {service: {attributes: []}}}", "service:\n  attributes: []\n"),
    ] {
        let (config, found) = parse(yaml);
        assert_eq!(found, written, "{yaml}");
        let again =
            format!("levels:\n{}", written.lines().map(|line| format!("  {line}\n")).collect::<String>());
        assert_eq!(parse(&again).0, config);
        assert_eq!(problems(&super::super::factory(), "window", yaml), "valid");
    }
    let (config, _) = parse(
        "{levels: {workload: , connection: {attributes: [source.address]}}, workload_attributes: [k8s.node.name]}",
    );
    let nodes = ["source.k8s.node.name", "destination.k8s.node.name"];
    let expected = [
        None,
        Some(SeriesAttributes::of(Level::Workload).with(nodes)),
        Some(SeriesAttributes::select(["source.address"])),
    ];
    assert_eq!(Level::ALL.map(|level| config.attributes(level)), expected);
}

/// *Scenario*: attributes that do not exist, that only another level has, that are there twice, and in a wrong place.
/// *Guarantees*: each error has the path, the cause, and the known attributes or the remedy.
#[test]
fn unknown_attributes_are_reported() {
    let factory = super::super::factory();
    insta::assert_snapshot!(problems(&factory, "window", "{levels: {connection: {attributes: [source.adress, k8s.pod.label.app, reporter, reporter]}}}"), @r#"
    processors::window: levels::connection::attributes::0: unknown attribute "source.adress" (did you mean "source.address"?): level connection can have [reporter source.workload.name source.workload.kind source.k8s.namespace.name destination.service.name destination.service.namespace longwave.service.ambiguous destination.workload.name destination.workload.kind destination.k8s.namespace.name source.k8s.pod.name source.k8s.node.name source.container.name destination.k8s.pod.name destination.k8s.node.name destination.container.name source.address source.port destination.address destination.port longwave.connection.id longwave.connection.start_time longwave.connection.role], and {source,destination}.k8s.pod.label.<key>, .k8s.pod.annotation.<key>, .container.label.<key>, .container.image.name and .container.runtime.name
    processors::window: levels::connection::attributes::1: unknown attribute "k8s.pod.label.app": level connection can have [reporter source.workload.name source.workload.kind source.k8s.namespace.name destination.service.name destination.service.namespace longwave.service.ambiguous destination.workload.name destination.workload.kind destination.k8s.namespace.name source.k8s.pod.name source.k8s.node.name source.container.name destination.k8s.pod.name destination.k8s.node.name destination.container.name source.address source.port destination.address destination.port longwave.connection.id longwave.connection.start_time longwave.connection.role], and {source,destination}.k8s.pod.label.<key>, .k8s.pod.annotation.<key>, .container.label.<key>, .container.image.name and .container.runtime.name
    processors::window: levels::connection::attributes: names "reporter" twice: name each attribute once
    "#);
    insta::assert_snapshot!(problems(&factory, "window", "{levels: {workload: {attributes: [source.address, destination.k8s.pod.nam]}}, workload_attributes: [k8s.pod.name]}"), @r#"
    processors::window: workload_attributes: cannot be combined with levels::workload::attributes, which has all attributes: add them there, and remove this setting
    processors::window: levels::workload::attributes::0: only level connection has the attribute "source.address": remove it here
    processors::window: levels::workload::attributes::1: unknown attribute "destination.k8s.pod.nam" (did you mean "destination.k8s.pod.name"?): level workload can have [reporter source.workload.name source.workload.kind source.k8s.namespace.name destination.service.name destination.service.namespace longwave.service.ambiguous destination.workload.name destination.workload.kind destination.k8s.namespace.name source.k8s.pod.name source.k8s.node.name source.container.name destination.k8s.pod.name destination.k8s.node.name destination.container.name], and {source,destination}.k8s.pod.label.<key>, .k8s.pod.annotation.<key>, .container.label.<key>, .container.image.name and .container.runtime.name
    "#);
    insta::assert_snapshot!(problems(&factory, "window", "{levels: {connection: [source.address], workload: {attribute: []}}}"), @r#"
    processors::window: levels::connection: expected a map, found a list
    'processors::window::levels::workload' has invalid keys: attribute (did you mean "attributes"?)
    "#);
    insta::assert_snapshot!(problems(&factory, "window", "{levels: {pod: , service: {attributes: source.address}}}"), @r#"
    processors::window: levels::pod: unknown value "pod" (valid values: [service workload connection])
    processors::window: levels::service::attributes::0: only level connection has the attribute "source.address": remove it here
    "#);
    insta::assert_snapshot!(problems(&factory, "window", "{levels: 5}"), @"processors::window: levels: expected a list of levels, or a map of levels to their settings, found the number 5");
}
