use super::*;

/// *Scenario*: the default attributes of every level, selected by their names.
/// *Guarantees*: selection and defaults agree; only level `connection` has the attributes of a connection.
#[test]
fn defaults_are_selections() {
    let of = |level: Level, last: &str| {
        let names = SeriesAttributes::names(level);
        let end = names.iter().position(|name| *name == last).unwrap() + 1;
        SeriesAttributes::select(names[..end].iter().copied()).fixed
    };
    assert_eq!(SeriesAttributes::of(Level::Service).fixed, of(Level::Service, key::SERVICE_AMBIGUOUS));
    assert_eq!(SeriesAttributes::of(Level::Workload).fixed, of(Level::Workload, key::DESTINATION_NAMESPACE));
    assert_eq!(SeriesAttributes::of(Level::Connection).fixed, of(Level::Connection, key::CONNECTION_ROLE));
    assert!(!SeriesAttributes::names(Level::Workload).contains(&key::SOURCE_ADDRESS));
    assert!(SeriesAttributes::select([]).has(Attribute::Reporter));
}

/// *Scenario*: names of labels with and without an end and a key.
/// *Guarantees*: a label has a known end, a known kind, and a key if its kind needs one.
#[test]
fn labels_have_an_end_and_a_key() {
    for (name, expected) in [
        ("source.k8s.pod.label.app", true),
        ("destination.k8s.pod.annotation.team", true),
        ("source.container.label.x", true),
        ("destination.container.runtime.name", true),
        ("source.container.image.name", true),
        ("source.k8s.pod.label.", false),
        ("k8s.pod.label.app", false),
        ("source.container.runtime.names", false),
        ("source.k8s.pod.name", false),
    ] {
        assert_eq!(SeriesAttributes::is_label(name), expected, "{name}");
    }
}
