use super::*;

/// *Scenario*: two sources in order, with every pair of answers.
/// *Guarantees*: the first known answer is returned, also if an earlier source is pending; otherwise a pending answer stays pending.
#[test]
fn precedence() {
    use Answer::{Known, Partial, Pending, Unknown};
    let cases = [
        (Known(1), Known(2), Known(1)),
        (Known(1), Unknown, Known(1)),
        (Pending, Known(2), Known(2)),
        (Partial(1), Known(2), Partial(1)),
        (Pending, Partial(2), Partial(2)),
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

/// *Scenario*: an id without a directory.
/// *Guarantees*: the error names the id.
#[test]
fn unknown_id() {
    let error = Directories::default().get("health_check").err().unwrap();
    assert_eq!(
        error.to_string(),
        "extensions::health_check does not resolve names: remove it from `sources`"
    );
}
