use longwave_pipeline::component::ComponentConfig;

use super::*;
use crate::service::factory;

/// *Scenario*: no source, a source named twice, a hold that is too long, a misspelt key; and a sound section.
/// *Guarantees*: each is told with its place and the remedy; what is sound passes.
#[test]
fn bad_settings_are_told() {
    let problems = |yaml| testing::problems(&factory(), "service", yaml);
    insta::assert_snapshot!(problems("{}"));
    insta::assert_snapshot!(problems("{sources: [kubernetes, static, kubernetes], hold: 2m}"));
    insta::assert_snapshot!(problems("{sources: [kubernetes], contrack: false}"));
    assert_eq!(problems("{sources: [kubernetes, docker/2], conntrack: false, hold: 0s}"), "valid");
}

/// *Scenario*: two sources; one of them is not an extension that names anybody.
/// *Guarantees*: both are told to the graph as used; the second stops the start, with its place.
#[test]
fn sources_are_extensions() {
    let bench = Bench::new(0);
    let config = ServiceConfig {
        sources: vec!["first".to_owned(), "health_check".to_owned()],
        conntrack: false,
        ..ServiceConfig::default()
    };
    let named: Vec<_> = config.extensions();
    assert_eq!(named, [("sources", "first".to_owned()), ("sources", "health_check".to_owned())]);
    let error = ServiceProcessor::new(&config, &bench.context).err().unwrap();
    assert_eq!(
        error.to_string(),
        "processors::service: sources: extension \"health_check\" does not resolve names: remove it from `sources`"
    );
}
