use super::*;
use crate::component::ActionKind;

fn action(action: ActionKind, key: &str, value: Option<&str>, from: Option<&str>) -> AttributeAction {
    AttributeAction {
        key: key.to_owned(),
        value: value.map(str::to_owned),
        from_attribute: from.map(str::to_owned),
        action,
    }
}

/// *Scenario*: actions on a number, an unknown name, a text that is renamed, and a key that is removed and added again.
/// *Guarantees*: a copy keeps its type. An unknown name is absent for every action: `update` and copies have no effect, `insert` sets it. No key
/// is visited twice, and attributes that no action names are visited as they are.
#[test]
fn edits_are_visited() {
    use ActionKind::{Delete, Insert, Update, Upsert};
    let attributes = |visit: &mut dyn FnMut(&str, AttributeValue<'_>)| {
        visit("port", AttributeValue::Int(443));
        visit("name", AttributeValue::Unknown);
        visit("kind", AttributeValue::Unknown);
        visit("pod", AttributeValue::Str("cart-0"));
        visit("address", AttributeValue::Text(&std::net::Ipv4Addr::LOCALHOST));
        visit("other", AttributeValue::Float(0.5));
    };
    let edits = AttributeEdits::new(vec![
        action(Insert, "copy", None, Some("port")),
        action(Update, "name", Some("x"), None),
        action(Insert, "kind", Some("Deployment"), None),
        action(Insert, "from_unknown", None, Some("name")),
        action(Upsert, "instance", None, Some("pod")),
        action(Delete, "pod", None, None),
        action(Delete, "address", None, None),
        action(Insert, "address", Some("none"), None),
    ]);
    let mut found = Vec::new();
    edits.for_each(&|visit| attributes(visit), &mut |key, value| {
        found.push(format!("{key}={:?}", OwnedValue::from(value)))
    });
    let half = 0.5_f64.to_bits();
    assert_eq!(
        found,
        [
            "port=Int(443)".to_owned(),
            "name=Unknown".to_owned(),
            "kind=Str(\"Deployment\")".to_owned(),
            "address=Str(\"none\")".to_owned(),
            format!("other=Float({half})"),
            "copy=Int(443)".to_owned(),
            "instance=Str(\"cart-0\")".to_owned(),
        ]
    );
}
