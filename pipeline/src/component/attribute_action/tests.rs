use super::{ActionKind, AttributeAction};

/// *Scenario*: every action, on an attribute that is present and on one that is absent, with a value and with that of another attribute.
/// *Guarantees*: the results are those of the Collector's actions; the order of the attributes stays.
#[test]
fn actions_change_attributes() {
    use ActionKind::{Delete, Insert, Update, Upsert};
    for (action, key, value, from_attribute, expected) in [
        (Insert, "a", Some("x"), None, "a=1 b=2"),
        (Insert, "c", Some("x"), None, "a=1 b=2 c=x"),
        (Update, "a", Some("x"), None, "a=x b=2"),
        (Update, "c", Some("x"), None, "a=1 b=2"),
        (Upsert, "a", Some("x"), None, "a=x b=2"),
        (Upsert, "c", Some("x"), None, "a=1 b=2 c=x"),
        (Delete, "a", None, None, "b=2"),
        (Delete, "c", None, None, "a=1 b=2"),
        (Insert, "c", None, Some("b"), "a=1 b=2 c=2"),
        (Upsert, "a", None, Some("b"), "a=2 b=2"),
        (Upsert, "a", None, Some("c"), "a=1 b=2"),
    ] {
        let change = AttributeAction {
            key: key.to_owned(),
            value: value.map(str::to_owned),
            from_attribute: from_attribute.map(str::to_owned),
            action,
        };
        let mut attributes = vec![("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())];
        change.apply(&mut attributes);
        let found: Vec<String> = attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(found.join(" "), expected, "{change:?}");
    }
}
