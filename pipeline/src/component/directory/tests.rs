use super::*;

/// *Scenario*: two sources in order, with every pair of answers.
/// *Guarantees*: the first that knows wins, also over an earlier one that may yet learn; what may yet be known stays pending.
#[test]
fn precedence() {
    use Answer::{Known, Pending, Unknown};
    let cases = [
        (Known(1), Known(2), Known(1)),
        (Known(1), Unknown, Known(1)),
        (Pending, Known(2), Known(2)),
        (Pending, Unknown, Pending),
        (Pending, Pending, Pending),
        (Unknown, Known(2), Known(2)),
        (Unknown, Pending, Pending),
        (Unknown, Unknown, Unknown),
    ];
    for (first, second, both) in cases {
        assert_eq!(first.clone().or_else(|| second.clone()), both, "{first:?} then {second:?}");
    }
}

/// *Scenario*: an id that is not there.
/// *Guarantees*: an error that names it.
#[test]
fn unknown_id() {
    let error = Directories::default().get("health_check").err().unwrap();
    assert_eq!(error.to_string(), "extension \"health_check\" names nobody: it cannot be one of the sources");
}
