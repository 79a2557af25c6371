use std::collections::BTreeMap;

use longwave_config::{ByteSize, GoDuration, Secret};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Setting;

/// A section.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[allow(dead_code, reason = "only the description is used")]
struct Section {
    /// Time between
    /// two reports.
    interval: GoDuration,
    /// Parts.
    parts: Vec<Part>,
    nested: Nested,
    /// Off by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = 4096)]
    limit: Option<ByteSize>,
    /// Values of headers.
    headers: BTreeMap<String, Secret>,
    /// Which ones.
    which: Vec<Word>,
    /// Not supported.
    #[serde(skip_serializing)]
    #[schemars(skip)]
    old: Option<String>,
}

#[derive(Default, Serialize, Deserialize, JsonSchema)]
struct Part {
    /// Name of the part.
    key: String,
}

/// A section below.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default)]
struct Nested {
    /// Largest number.
    max: u16,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Word {
    /// The first one.
    One,
    /// TCP.
    Two,
}

impl Default for Nested {
    fn default() -> Self {
        Self { max: 1 }
    }
}

impl Default for Section {
    fn default() -> Self {
        Self {
            interval: GoDuration::from_secs(5),
            parts: Vec::new(),
            // Not the default of the type.
            nested: Nested { max: 7 },
            limit: None,
            headers: BTreeMap::new(),
            which: vec![Word::One],
            old: None,
        }
    }
}

/// *Scenario*: a section with every kind of setting.
/// *Guarantees*: each setting that is supported is described once, with its path, kind, default, example and meaning. The default is that of
/// the whole section, also below it.
#[test]
fn each_setting_is_described() {
    let described: Vec<_> = Setting::of::<Section>()
        .iter()
        .map(|setting| {
            let Setting { path, kind, default, example, .. } = setting;
            let text = |value: &Option<String>| value.clone().unwrap_or_default();
            [path.clone(), kind.clone(), text(default), text(example), setting.full_meaning()].join(" | ")
        })
        .collect();
    assert_eq!(
        described,
        [
            "headers | map to secrets |  |  | Values of headers.",
            "interval | duration | 5s |  | Time between two reports.",
            "limit | size |  | 4096 | Off by default.",
            "nested | section |  |  | A section below.",
            "nested::max | number | 7 |  | Largest number.",
            "parts | list of sections |  |  | Parts.",
            "parts::*::key | text |  |  | Name of the part.",
            "which | list of `one`, `two` | [one] |  | Which ones. `one`: the first one. `two`: TCP.",
        ]
    );
}
