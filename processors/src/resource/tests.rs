//! Tests of `resource`.

use crate::testing::problems;

/// *Scenario*: valid settings, and settings of the Collector's processor that are invalid or that Longwave does not have.
/// *Guarantees*: every problem is reported with its path and the remedy.
#[test]
fn invalid_settings_are_reported() {
    let factory = super::factory();
    assert_eq!(
        problems(
            &factory,
            "resource",
            "{attributes: [{key: a, value: b, action: insert}, {key: c, action: delete}]}"
        ),
        "valid"
    );
    let of = |yaml: &str| problems(&factory, "resource", yaml);
    insta::assert_snapshot!([
        of("{}"),
        of("{attributes: [{key: '', value: '', action: upsert}, {key: a, action: insert}, {key: a, value: b, action: delete}, {key: a, value: b, from_attribute: c, action: update}]}"),
        of("{attributes: [{key: a, action: hash}]}"),
        of("{attributes: [{key: a, value: b}]}"),
        of("{attributes: [{key: a, from_context: b, action: insert}]}"),
    ].join("\n"));
}
