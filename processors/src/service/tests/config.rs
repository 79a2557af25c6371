use longwave_pipeline::component::ComponentConfig;

use super::*;
use crate::service::factory;

/// *Scenario*: no source, a source named twice, a hold that is too long, a misspelt key; and a valid section.
/// *Guarantees*: each mistake is reported with its path and the remedy. The valid section is accepted.
#[test]
fn bad_settings_are_reported() {
    let problems = |yaml| testing::problems(&factory(), "service", yaml);
    insta::assert_snapshot!(problems("{}"));
    insta::assert_snapshot!(problems("{sources: [kubernetes, static, kubernetes], hold: 2m}"));
    insta::assert_snapshot!(problems("{sources: [kubernetes], contrack: false}"));
    assert_eq!(problems("{sources: [kubernetes, docker/2], conntrack: false, hold: 0s}"), "valid");
}

/// *Scenario*: two sources; the second is not an extension that resolves names.
/// *Guarantees*: both are returned as used extensions. Creating the processor fails with an error that names the second.
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
        "processors::service: sources: extensions::health_check does not resolve names: remove it from `sources`"
    );
}
