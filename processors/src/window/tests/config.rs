//! The settings.

use longwave_pipeline::component::ComponentConfig;

use crate::testing::problems;

/// *Scenario*: settings that cannot work.
/// *Guarantees*: each is named with its cause and remedy, all at once.
#[test]
fn mistakes_are_named() {
    let factory = super::super::factory();
    insta::assert_snapshot!(problems(&factory, "window", "{interval: 0s, levels: []}"), @"");
    insta::assert_snapshot!(problems(&factory, "window", "{interval: 10us, levels: [workload, workload], max_series: -1}"), @"");
    insta::assert_snapshot!(problems(&factory, "window", "{intervall: 5s, levels: [pod]}"), @"");
    insta::assert_snapshot!(problems(&factory, "window", "{interval: 5, min_age: long}"), @"");
}

/// *Scenario*: no settings at all.
/// *Guarantees*: the defaults are valid.
#[test]
fn defaults_are_valid() {
    let mut found = Default::default();
    super::WindowConfig::default().validate(&mut found);
    assert_eq!(problems(&super::super::factory(), "window", "{}"), "valid");
}
