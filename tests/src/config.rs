//! Configurations for the binary. They are written as JSON, which is YAML too.

use serde_json::{Value, json};

/// Returns the configuration bpf → stdout, which prints one JSON line per record.
pub fn logs(receiver: Value) -> Value {
    logs_of("bpf", receiver)
}

/// Returns the configuration `id` → stdout, which prints one JSON line per record.
pub fn logs_of(id: &str, receiver: Value) -> Value {
    json!({
        "receivers": {id: receiver},
        "exporters": {"stdout": {"format": "json"}},
        "service": {"pipelines": {"logs": {"receivers": [id], "exporters": ["stdout"]}}},
    })
}

/// Returns the configuration bpf → window → stdout and bpf → stdout, which prints every series and every record of the same run.
pub fn logs_and_windows(receiver: Value, window: Value) -> Value {
    json!({
        "receivers": {"bpf": receiver},
        "processors": {"workload": {"sources": ["cgroup"]}, "window": window},
        "exporters": {"stdout/logs": {"format": "json"}, "stdout/metrics": {"format": "json"}},
        "service": {"pipelines": {
            "logs": {"receivers": ["bpf"], "exporters": ["stdout/logs"]},
            "metrics": {"receivers": ["bpf"], "processors": ["workload", "window"], "exporters": ["stdout/metrics"]},
        }},
    })
}

/// Merges `extra` into `base`: maps are merged, everything else is replaced.
pub fn merged(mut base: Value, extra: Value) -> Value {
    merge(&mut base, extra);
    base
}

fn merge(base: &mut Value, extra: Value) {
    match (base, extra) {
        (Value::Object(base), Value::Object(extra)) => {
            for (key, value) in extra {
                merge(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, extra) => *base = extra,
    }
}
