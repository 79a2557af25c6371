//! Error messages for wrong configurations. Each snapshot contains the configuration and the message.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::Write;

use common::{Otlp, Window, load_yaml, settings, sources};
use longwave_config::{ConfigError, Sources, load, load_and_check};

fn shown<T: std::fmt::Debug>(written: &str, result: Result<T, String>) -> String {
    let message = result.err().unwrap_or_else(|| "ACCEPTED".to_owned());
    format!("{}\n-----\n{message}", written.replace('\t', "<tab>"))
}

/// *Scenario*: files with invalid YAML.
/// *Guarantees*: the error names file, line, column and the likely cause, on one line.
#[test]
fn broken_yaml() {
    let cases = [
        ("tab", "receivers:\n\tbpf:\n\t\tinterval: 5s\n"),
        ("tab_after_spaces", "receivers:\n  bpf:\n  \tinterval: 5s\n"),
        ("colon_in_value", "receivers:\n  bpf: a: b\n"),
        ("indentation", "receivers:\n  bpf:\n    interval: 5s\n   ports: []\n"),
        ("indentation_deeper", "receivers:\n  bpf:\n    interval: 5s\n      ports: []\n"),
        ("unclosed_quote", "receivers:\n  bpf:\n    name: \"x\n"),
        ("unclosed_bracket", "receivers:\n  bpf:\n    ports: [80, 443\nexporters:\n"),
        ("duplicate_key", "receivers:\n  bpf:\n    interval: 5s\n  replay:\n  bpf:\n"),
        ("list_at_top", "- receivers\n"),
        ("text_at_top", "receivers:bpf\n"),
        ("tag", "receivers:\n  bpf: !include other.yaml\n"),
        ("at_sign", "receivers:\n  bpf:\n    name: @here\n"),
        ("star", "receivers:\n  bpf:\n    endpoint: *:4317\n"),
        ("unknown_anchor", "receivers:\n  bpf: *base\n"),
        ("escape", "receivers:\n  bpf:\n    path: \"C:\\data\"\n"),
        ("merge_of_text", "receivers:\n  bpf:\n    <<: base\n"),
        ("missing_colon", "receivers:\n  bpf\nexporters:\n"),
        ("map_as_key", "receivers:\n  {a: b}: c\n"),
        ("list_as_key", "receivers:\n  [a]: c\n"),
        (
            "billion_laughs",
            "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n",
        ),
        ("empty_file", ""),
        ("only_comments", "# nothing\n---\n# here\n"),
        ("only_null_sections", "receivers:\nservice:\n"),
    ];
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in cases {
        let path = directory.path().join("longwave.yaml");
        std::fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
        let result = load(&sources(&[path.to_str().unwrap()])).map_err(|errors| errors.to_string());
        let result = result.map_err(|text| text.replace(directory.path().to_str().unwrap(), "/etc"));
        insta::assert_snapshot!(format!("yaml_{name}"), shown(text, result));
    }
}

/// *Scenario*: configurations with wrong sections. Each has several errors.
/// *Guarantees*: all errors are reported at once, each with its path. A misspelt name gets a suggestion.
#[test]
fn wrong_sections() {
    let cases = [
        ("unknown_top_level", "recievers: {bpf: }\nserver: {}\nexporters: {stdout: }\n"),
        ("service_keys", "receivers: {bpf: }\nservice:\n  pipeline: {}\n  telemetri: {}\n  foo: 1\n"),
        ("pipeline_keys", "service:\n  pipelines:\n    metrics: {receiver: [bpf], exporters: [stdout]}\n"),
        (
            "signals",
            "service:\n  pipelines:\n    traces: {receivers: [bpf]}\n    metric/a: {}\n    /x: {}\n    logs/: {}\n",
        ),
        ("ids", "receivers:\n  1bpf: \n  b-pf:\n  /x:\n  bpf/:\n  bpf/a b:\n  bpf/$x:\n  '': \n"),
        ("duplicate_after_trimming", "receivers:\n  bpf/a:\n  'bpf / a':\n"),
        (
            "section_kinds",
            "receivers: [bpf]\nprocessors: window\nexporters: {stdout: 5}\nservice:\n  pipelines: [metrics]\n",
        ),
        ("missing_space", "receivers:\n  bpf:\n    interval:5s\n"),
        (
            "id_lists",
            "service:\n  extensions: {a: b}\n  pipelines:\n    metrics: {receivers: [5, {bpf: }], processors: [window/], exporters: true}\n",
        ),
        (
            "everywhere",
            "recievers:\nprocessors: {1: }\nservice:\n  pipelins:\n  pipelines:\n    traces:\n    logs: {exporters: ['a b']}\n",
        ),
    ];
    for (name, text) in cases {
        let result = load_yaml(&[text]).map_err(|errors| errors.to_string());
        insta::assert_snapshot!(format!("section_{name}"), shown(text, result));
    }
}

/// *Scenario*: invalid references in a configuration that is otherwise valid.
/// *Guarantees*: the error names the node and the remedy. A reference loop ends.
#[test]
fn wrong_references() {
    let cases = [
        ("unclosed", "${env:TOKEN"),
        ("invalid_name", "${env:1X}"),
        ("empty", "${}"),
        ("scheme", "${vault:secret/x}"),
        ("missing_file", "${file:/nonexistent/token}"),
        ("default_for_file", "${file:/nonexistent/token:-x}"),
        ("loop", "${env:LOOP}"),
        ("spiral", "a ${env:SPIRAL}"),
    ];
    for (name, text) in cases {
        let yaml = format!("exporters:\n  otlp:\n    endpoint: '{text}'\n    list: [a, '{text}']\n");
        let result = load_yaml(&[&yaml]).map_err(|errors| errors.to_string());
        insta::assert_snapshot!(format!("reference_{name}"), shown(&yaml, result));
    }
}

/// *Scenario*: settings of the wrong type, with unknown keys, and with several errors at once.
/// *Guarantees*: every error is reported once, with the path of the field. Consequences of another error are not reported.
#[test]
fn wrong_window_settings() {
    let cases = [
        ("unknown_keys", "intervall: 5s\nmax-series: 5\nfoo: bar"),
        ("duration_unit", "interval: 5sec"),
        ("duration_number", "interval: 5"),
        ("duration_negative", "interval: -1s"),
        ("duration_text", "interval: soon"),
        ("duration_list", "interval: [5s]"),
        ("variant", "levels: [service, workloads, pod]"),
        ("number_text", "max_series: many"),
        ("number_underscore", "max_series: 1_000"),
        ("number_leading_zero", "max_series: 0123"),
        ("number_negative", "max_series: -1"),
        ("number_fraction", "max_series: 1.5"),
        ("number_huge", "max_series: 99999999999999999999999"),
        ("ports", "ports: [80, 70000, http, '-1']"),
        ("ports_text", "ports: 80,x"),
        ("list_from_number", "ports: 80"),
        ("list_from_map", "ports: {a: 1}"),
        ("boolean", "idle_records: yes"),
        ("from_variable", "interval: ${env:BAD_DURATION}\nmax_series: ${env:TOKEN}\nratio: x-${env:TOKEN}"),
        (
            "many",
            "intervall: 1s\ninterval: 5sec\nlevels: [servce]\nmax_series: many\nidle_records: on\nratio: half\nports: [0.5]",
        ),
    ];
    for (name, text) in cases {
        insta::assert_snapshot!(format!("window_{name}"), shown(text, settings::<Window>(text)));
    }
}

/// *Scenario*: errors in nested settings with required fields.
/// *Guarantees*: a missing field is reported with its path. The error for unknown nested keys names their section.
#[test]
fn wrong_nested_settings() {
    let cases = [
        ("missing_endpoint", "tls: {insecure: true}"),
        ("nested_keys", "endpoint: a\ntls: {insecur: true, ca: x}\nsending_queue: {siz: 1}"),
        (
            "nested_values",
            "endpoint: 5\ntls: {insecure: maybe}\nsending_queue: {size: 64M, num_consumers: 0, storage: a b}",
        ),
        ("size_unit", "endpoint: a\nsending_queue: {size: 64MBit}"),
        ("size_negative", "endpoint: a\nsending_queue: {size: -1}"),
        ("section_is_text", "endpoint: a\ntls: on\nsending_queue: size:5"),
        ("headers", "endpoint: a\nheaders: {authorization: [x], b: 5}"),
    ];
    for (name, text) in cases {
        insta::assert_snapshot!(format!("otlp_{name}"), shown(text, settings::<Otlp>(text)));
    }
}

/// *Scenario*: values of `--config` and `--set` that cannot be read.
/// *Guarantees*: all are reported at once, each with its value as it was passed.
#[test]
fn wrong_sources() {
    let given = Sources::new(
        [
            "/nonexistent.yaml",
            "file:/nonexistent2.yaml",
            "env:NOT_SET",
            "https://example.com/x.yaml",
            "yaml:a: [",
            "/",
        ]
        .map(str::to_owned)
        .to_vec(),
        ["a.b", "=5", "a..b=1", "a.b=[1"].map(str::to_owned).to_vec(),
    )
    .with_environment(common::environment);
    let result = load(&given).map_err(|errors| errors.to_string());
    let written = format!("{:?}\n{:?}", given.configs, given.sets);
    insta::assert_snapshot!("sources", shown(&written, result));
}

/// *Scenario*: a section is misspelt, and a value cannot be expanded. The check of the components finds more errors, one of them about
/// that value.
/// *Guarantees*: the errors of the check are reported too, each once, except those that follow from the missing value.
#[test]
fn a_wrong_document_hides_nothing() {
    let text = "yaml:{recivers: , exporters: {otlp: {endpoint: '${env:X'}, stdout: {format: xml}}}";
    let errors = load_and_check(&sources(&[text]), |document| {
        assert_eq!(document.exporters.len(), 2);
        vec![
            ConfigError::new("exporters::otlp", "must be set").field("endpoint"),
            ConfigError::new("exporters::otlp", "must have something"),
            ConfigError::new("exporters::stdout", "unknown value").field("format"),
        ]
    });
    insta::assert_snapshot!(errors.unwrap_err().to_string());
}
