//! The output of `longwave print-config`, in the Collector's words.

use serde_yaml::{Mapping, Value};

use crate::judge::Judges;

/// A configuration with every component that both programs have. Settings that have no default are set.
const CONFIG: &str = "shared.yaml";

/// Returns what `longwave print-config` prints for it. Components that only Longwave has are replaced.
pub fn print(judges: &Judges) -> Value {
    let mut printed: Value = serde_yaml::from_str(&judges.printed(CONFIG)).unwrap();
    printed["receivers"] = serde_yaml::from_str("{nop: null}").unwrap();
    for pipeline in printed["service"]["pipelines"].as_mapping_mut().unwrap().values_mut() {
        pipeline["receivers"] = Value::Sequence(vec![Value::from("nop")]);
    }
    printed
}

/// Returns whether the configuration has a setting, whose path is joined by `::`.
pub fn has(config: &Value, path: &str) -> bool {
    path.split("::").try_fold(config, |value, key| value.get(key)).is_some()
}

/// Returns the configuration without some settings, as YAML.
pub fn without<'a>(config: &Value, paths: impl Iterator<Item = &'a String>) -> String {
    let mut config = config.clone();
    for path in paths {
        let (parent, key) = path.rsplit_once("::").unwrap();
        let parent = parent.split("::").try_fold(&mut config, |value, key| value.get_mut(key));
        parent.and_then(Value::as_mapping_mut).and_then(|map: &mut Mapping| map.remove(key));
    }
    serde_yaml::to_string(&config).unwrap()
}
