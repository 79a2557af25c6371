use super::*;

/// *Scenario*: the names of all metrics at all levels.
/// *Guarantees*: no name is another one's prefix. A backend that nests names at their dots could store only one of the two.
#[test]
fn no_name_is_the_prefix_of_another() {
    let names: Vec<&str> = METRICS.iter().flat_map(|metric| metric.names).collect();
    for one in &names {
        let longer =
            names.iter().find(|other| other.strip_prefix(one).is_some_and(|rest| rest.starts_with('.')));
        assert_eq!(longer, None, "{one}");
    }
}
