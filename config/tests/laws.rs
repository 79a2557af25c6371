//! Property tests: they must pass for every input.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{Otlp, Window, sources};
use longwave_config::{ByteSize, ConfigPath, GoDuration, Map, Sources, Value, decode, load, merge, to_yaml};
use proptest::prelude::*;

/// Generates any tree. Some of its strings look like YAML syntax or like other types.
fn trees() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "[a-z_:{}\\[\\],#&*!|>'\"%@` \n\t-]{0,8}",
        "true|null|0123|1_000|~|5s|1e3|yes|.inf|0x1F|<<",
        "\\PC{0,6}"
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        (-1.0e6..1.0e6).prop_map(Value::Float),
        text.prop_map(Value::Str),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::List),
            maps(inner).prop_map(Value::Map),
        ]
    })
}

fn maps(values: impl Strategy<Value = Value>) -> impl Strategy<Value = Map> {
    let keys = prop_oneof![
        "[a-e]",
        "interval|levels|ports|max_series|endpoint|headers|tls|insecure|sending_queue|size|storage|extra|min_age"
    ];
    prop::collection::vec((keys, values), 0..6).prop_map(|entries| entries.into_iter().collect())
}

fn with_variable(text: &str, variable: String) -> Sources {
    Sources::new(vec![format!("yaml:{text}")], Vec::new())
        .with_environment(move |name: &str| (name == "V").then(|| variable.clone()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// *Scenario*: a variable with any text, including YAML's special characters, is embedded in plain, quoted and flow strings.
    /// *Guarantees*: the result is a string with exactly this text. It adds no key and no element, and has no other type.
    #[test]
    fn embedded_values_never_become_structure(value in "[^$\u{0}]*|[a-z:{}\\[\\],#&*!|>'\"%@` \n\t-]{0,30}") {
        let text = "receivers: {bpf: {a: 'x ${env:V}', b: [\"${env:V} y\"]}}\nexporters:\n  stdout:\n    c: =${env:V}\n    d: 1\n";
        let tree = load(&with_variable(text, value.clone())).unwrap().value;
        let receiver = tree.get("receivers").unwrap().get("bpf").unwrap();
        let exporter = tree.get("exporters").unwrap().get("stdout").unwrap();
        prop_assert_eq!(receiver.as_map().unwrap().len(), 2);
        prop_assert_eq!(exporter.as_map().unwrap().len(), 2);
        let expected = [format!("x {value}"), format!("{value} y"), format!("={value}")];
        let list = receiver.get("b").unwrap().as_list().unwrap();
        prop_assert_eq!(list.len(), 1);
        let found = [receiver.get("a").unwrap(), &list[0], exporter.get("c").unwrap()];
        for (found, expected) in found.into_iter().zip(&expected) {
            prop_assert_eq!(found.plain(), &Value::Str(expected.clone()));
        }
    }

    /// *Scenario*: a variable with dollars and braces in any order, as a whole value and embedded in a string.
    /// *Guarantees*: loading ends, either with a tree of the same keys or with errors.
    #[test]
    fn any_reference_ends(value in "([$]|[{]|[}]|env:V|:-|[a-z]){0,20}") {
        let yaml = "receivers: {bpf: {a: '${env:V}', b: 'x${env:V}'}}";
        if let Ok(loaded) = load(&with_variable(yaml, value)) {
            let receiver = loaded.value.get("receivers").unwrap().get("bpf").unwrap();
            prop_assert_eq!(receiver.as_map().unwrap().len(), 2);
        }
    }

    /// *Scenario*: any text as configuration.
    /// *Guarantees*: loading returns and does not panic. An error always has a message.
    #[test]
    fn any_text_loads_or_fails(text in "[a-c:{}\\[\\],#&*!|>'\"%@`$? \n\t-]{0,60}|\\PC*") {
        if let Err(errors) = load(&sources(&[&format!("yaml:{text}")])) {
            prop_assert!(!errors.0.is_empty());
            prop_assert!(errors.0.iter().all(|error| !error.to_string().is_empty()));
        }
    }

    /// *Scenario*: any tree as settings.
    /// *Guarantees*: decoding returns settings, or at least one error, and no error twice.
    #[test]
    fn any_tree_is_decoded_or_refused(tree in trees(), map in maps(trees())) {
        for value in [&tree, &Value::Map(map)] {
            let results = [
                decode::<Window>(value, &ConfigPath::from("a::b")).err(),
                decode::<Otlp>(value, &ConfigPath::from("a::b")).err(),
            ];
            for errors in results.into_iter().flatten() {
                prop_assert!(!errors.is_empty());
                let mut texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
                texts.sort();
                texts.dedup();
                prop_assert_eq!(texts.len(), errors.len());
            }
        }
    }

    /// *Scenario*: any tree is decoded as a tree, and printed and loaded again.
    /// *Guarantees*: the tree stays the same. So does the order of keys, which `==` ignores.
    #[test]
    fn trees_survive(tree in trees()) {
        let decoded = decode::<Value>(&tree, &ConfigPath::root()).unwrap();
        let converted = Value::from_serialize(&tree).unwrap();
        for same in [decoded, converted] {
            prop_assert_eq!(&same, &tree);
            prop_assert_eq!(format!("{same:?}"), format!("{tree:?}"));
        }
        let map = Value::Map([("exporters".to_owned(), Value::Map([("stdout".to_owned(), Value::Map(
            [("k".to_owned(), tree.clone())].into_iter().collect(),
        ))].into_iter().collect()))].into_iter().collect());
        let printed = to_yaml(&map).unwrap();
        // Printed trees are not escaped: loading would expand a dollar in them.
        if !printed.contains('$') && !printed.contains("<<") {
            let loaded = load(&sources(&[&format!("yaml:{printed}")])).unwrap().value;
            prop_assert_eq!(&loaded, &map);
            prop_assert_eq!(format!("{loaded:?}"), format!("{map:?}"));
        }
    }

    /// *Scenario*: any two maps are merged.
    /// *Guarantees*: merging an empty map or the map itself changes nothing. Values of the later map win. Keys that it does not
    /// have stay.
    #[test]
    fn merging(base in maps(trees()), over in maps(trees())) {
        let (base, over) = (Value::Map(base), Value::Map(over));
        let merged = |a: &Value, b: &Value| { let mut out = a.clone(); merge(&mut out, b.clone()); out };
        prop_assert_eq!(&merged(&base, &Value::Map(Map::new())), &base);
        prop_assert_eq!(&merged(&Value::Map(Map::new()), &base), &base);
        prop_assert_eq!(&merged(&base, &base), &base);
        let both = merged(&base, &over);
        prop_assert_eq!(&merged(&both, &over), &both);
        check_merge(&base, &over, &both)?;
    }

    /// *Scenario*: any duration up to 292 years, and any size.
    /// *Guarantees*: printing and parsing give the same value.
    #[test]
    fn durations_and_sizes_read_back(nanos in prop_oneof![0..=i64::MAX as u64, 0..10_000_000_000u64], bytes in any::<u64>(), shift in 0..64u32) {
        let duration = GoDuration(Duration::from_nanos(nanos));
        prop_assert_eq!(duration.to_string().parse::<GoDuration>().unwrap(), duration);
        for size in [ByteSize(bytes), ByteSize((bytes >> shift) << shift), ByteSize(bytes / 1_000_000 * 1_000_000)] {
            prop_assert_eq!(size.to_string().parse::<ByteSize>().unwrap(), size);
        }
    }

    /// *Scenario*: any text as duration or size.
    /// *Guarantees*: parsing returns and does not panic.
    #[test]
    fn any_text_as_duration(text in "[-+0-9.a-zµ]{0,30}|\\PC*") {
        let _ = text.parse::<GoDuration>();
        let _ = text.parse::<ByteSize>();
    }
}

fn check_merge(base: &Value, over: &Value, both: &Value) -> Result<(), TestCaseError> {
    match (base, over) {
        (Value::Map(base), Value::Map(over)) => {
            let both = both.as_map().unwrap();
            for (key, value) in both {
                match (base.get(key), over.get(key)) {
                    (Some(base), Some(over)) => check_merge(base, over, value)?,
                    (Some(only), None) | (None, Some(only)) => prop_assert_eq!(value, only),
                    (None, None) => prop_assert!(false, "{key} came from nowhere"),
                }
            }
            prop_assert!(base.keys().chain(over.keys()).all(|key| both.contains_key(key)));
        }
        _ => prop_assert_eq!(both, over),
    }
    Ok(())
}

/// *Scenario*: the only element of a list cannot be decoded, and the check requires a list that is not empty. The check also finds an
/// error in another field.
/// *Guarantees*: the element is reported once. The empty list, which only exists because the element was left out, is not reported. The
/// error in the other field is reported.
#[test]
fn a_check_does_not_report_what_was_left_out() {
    #[derive(serde::Deserialize, Default)]
    #[serde(default)]
    struct Settings {
        ports: Vec<u16>,
        limit: u32,
    }
    let loaded = longwave_config::load(&longwave_config::Sources::new(
        vec!["yaml:receivers: {a: {ports: [many], limit: 7}}".to_owned()],
        Vec::new(),
    ))
    .unwrap();
    let section = loaded.value.get("receivers").and_then(|receivers| receivers.get("a")).unwrap();
    let path = longwave_config::ConfigPath::from("receivers::a");
    let errors = longwave_config::decode_and_check(section, &path, |settings: &Settings| {
        let mut found = Vec::new();
        if settings.ports.is_empty() {
            found.push(longwave_config::ConfigError::new(path.clone(), "must not be empty").field("ports"));
        }
        if settings.limit < 10 {
            found.push(longwave_config::ConfigError::new(path.clone(), "must be at least 10").field("limit"));
        }
        found
    })
    .err()
    .unwrap();
    let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(texts.len(), 2, "{texts:?}");
    assert!(texts[0].starts_with("receivers::a: ports::0: "), "{texts:?}");
    assert_eq!(texts[1], "receivers::a: limit: must be at least 10");
}
