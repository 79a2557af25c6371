//! Tests of the settings.

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
