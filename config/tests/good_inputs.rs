//! Valid configurations and their meaning.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Level, Otlp, Queue, Tls, Window, load_yaml, settings, sources};
use longwave_config::{
    ByteSize, ComponentId, ConfigErrors, ConfigPath, GoDuration, PipelineId, Secret, Signal, Value, decode,
    load, to_yaml,
};

/// *Scenario*: a whole configuration, as in the README.
/// *Guarantees*: sections, ids and pipelines keep their order. `a,b` is a list of ids.
#[test]
fn a_whole_document() {
    let loaded = load_yaml(&["
receivers: {bpf: {interval: 1s}, replay/a: }
processors: {window: }
exporters: {otlp: {endpoint: x}, stdout: }
service:
  extensions: [health_check]
  telemetry: {logs: {level: debug}}
  pipelines:
    metrics: {receivers: [bpf], processors: [window], exporters: 'otlp, stdout'}
    logs/debug: {receivers: [bpf, replay/a], exporters: [stdout]}
"])
    .unwrap();
    let id = |text: &str| text.parse::<ComponentId>().unwrap();
    let document = loaded.document;
    assert_eq!(document.receivers.keys().collect::<Vec<_>>(), [&id("bpf"), &id("replay/a")]);
    assert_eq!(document.receivers.get(&id("replay/a")), Some(&Value::Null));
    assert_eq!(document.service.extensions, [id("health_check")]);
    let metrics = document.service.pipelines.get(&PipelineId::new(Signal::Metrics, "").unwrap()).unwrap();
    assert_eq!(metrics.exporters, [id("otlp"), id("stdout")]);
    let logs = document.service.pipelines.get(&"logs/debug".parse::<PipelineId>().unwrap()).unwrap();
    assert_eq!(logs.receivers, [id("bpf"), id("replay/a")]);
    assert!(logs.processors.is_empty());
    assert_eq!(document.service.telemetry.get("logs").unwrap().get("level"), Some(&Value::from("debug")));
    assert!(loaded.warnings.is_empty());
}

/// *Scenario*: three sources and two `--set`. Maps overlap, lists differ, and a section is set to null.
/// *Guarantees*: maps merge deeply, lists are replaced, null erases. `--set` is applied last, and YAML determines its type.
#[test]
fn sources_merge_in_order() {
    let mut given = sources(&[
        "yaml:{receivers: {bpf: {interval: 1s, ports: [1, 2], keep: 1}}, processors: {window: {a: 1}}}",
        "yaml:{receivers: {bpf: {interval: 2s, ports: [3]}}, processors: }",
        "yaml:exporters::otlp/x.y::endpoint: here",
    ]);
    given.sets =
        ["receivers.bpf.max=5", "exporters::otlp/x.y::tls={insecure: true}"].map(str::to_owned).to_vec();
    insta::assert_snapshot!(to_yaml(&load(&given).unwrap().value).unwrap());
}

/// *Scenario*: anchors and merge keys.
/// *Guarantees*: `<<` adds the keys that the map does not have. If several maps have a key, the first wins.
#[test]
fn merge_keys() {
    let loaded = load_yaml(&["
receivers:
  bpf/base: &base {interval: 1s, ports: [1]}
  bpf/more: &more {interval: 9s, idle: true}
  bpf: {<<: [*base, *more], ports: [2]}
"])
    .unwrap();
    let merged = loaded.document.receivers.get(&"bpf".parse::<ComponentId>().unwrap()).unwrap();
    insta::assert_snapshot!(to_yaml(merged).unwrap());
}

/// *Scenario*: variables that look like numbers, for string fields and for a number field.
/// *Guarantees*: YAML determines the type of a node that is one reference. A string field gets the original text.
#[test]
fn whole_nodes_are_typed_and_keep_their_text() {
    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Both {
        text: String,
        number: u64,
        optional: Option<String>,
        quoted: String,
    }
    let decoded: Both =
        settings("text: ${env:PLAIN}\nnumber: ${PLAIN}\noptional: ${env:NUMBER}\nquoted: ${env:QUOTED}")
            .unwrap();
    let expected = Both {
        text: "42".to_owned(),
        number: 42,
        optional: Some("0123".to_owned()),
        // As in the Collector: text that YAML reads as a string stays unchanged, quotes included.
        quoted: "\"5\"".to_owned(),
    };
    assert_eq!(decoded, expected);
}

/// *Scenario*: references with defaults, nested references, embedded and escaped ones, and a variable that contains a map.
/// *Guarantees*: each expands as in the Collector.
#[test]
fn references_expand() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "from a file\n").unwrap();
    let yaml = format!(
        "exporters:
  otlp:
    whole: ${{env:DURATION}}
    bare: ${{HOST}}
    default: ${{env:UNSET:-4317}}
    default_bare: ${{UNSET:-d}}
    default_empty: '${{env:UNSET:-}}'
    default_unused: ${{env:HOST:-d}}
    default_nested: ${{env:UNSET:-${{env:UNSET2:-deep}}}}
    default_of_empty: '${{env:EMPTY:-d}}'
    embedded: http://${{env:HOST}}:${{env:PORT}}/x
    number_embedded: '1${{env:PLAIN}}'
    nested_name: ${{env:${{env:UNSET:-HOST}}}}
    nested_value: ${{env:TWICE}}
    escaped: $${{env:HOST}} costs $5 $$ $
    dollars: ${{env:DOLLARS}}
    map: ${{env:MAP}}
    inline: '${{yaml:[1, a]}}'
    file: ${{file:{}}}
    key ${{env:HOST}}: keys stay
",
        file.path().display()
    );
    let loaded = load_yaml(&[&yaml]).unwrap();
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    insta::assert_snapshot!(to_yaml(&loaded.value).unwrap());
}

/// *Scenario*: variables that are not set, as a whole value and embedded in a string, and one that is set to the empty string.
/// *Guarantees*: each that is not set gives a warning with its path. As a whole value it is null, so that the default applies.
#[test]
fn unset_variables_warn() {
    let loaded = load_yaml(&["processors:\n  window:\n    interval: ${env:UNSET}\n    max_series: ${env:EMPTY}\nexporters:\n  otlp: {endpoint: 'a${UNSET}b'}\n"])
        .unwrap();
    let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(warnings.join("\n"));
    let window: Window =
        decode(loaded.document.processors.values().next().unwrap(), &ConfigPath::root()).unwrap();
    assert_eq!(window, Window::default());
}

/// *Scenario*: values in a form that is not the usual one for their field.
/// *Guarantees*: `a,b` is accepted as a list, a whole number as a fraction, and null as the default.
#[test]
fn lenient_where_the_collector_is() {
    let window: Window = settings(
        "levels: service,connection\nports: ${env:PORTS}\nratio: 1\nmax_series: 1e3\nmin_age: 1m30s\ninterval:",
    )
    .unwrap();
    let expected = Window {
        levels: vec![Level::Service, Level::Connection],
        ports: vec![80, 443],
        ratio: 1.0,
        max_series: 1000,
        min_age: Some(GoDuration::from_secs(90)),
        ..Window::default()
    };
    assert_eq!(window, expected);
    assert_eq!(settings::<Window>("ports: ${env:PORT}").unwrap().ports, [80]);
    assert_eq!(settings::<Window>("").unwrap(), Window::default());
}

/// *Scenario*: nested settings with sizes, ids, secrets, and a free-form part that refers to a variable.
/// *Guarantees*: all decode. The free-form part keeps the origin of its values.
#[test]
fn nested_settings_decode() {
    let otlp: Otlp = settings(
        "endpoint: ${env:PLAIN}\nheaders: {authorization: 'Bearer ${env:TOKEN}'}\ntls: {insecure: true}\nsending_queue: {size: 64MiB, storage: file_storage/a, num_consumers: 3}\nextra: {a: '${env:NUMBER}', b: [1, null]}",
    )
    .unwrap();
    assert_eq!(otlp.endpoint, "42");
    assert_eq!(otlp.headers["authorization"].expose(), "Bearer s3cr3t-t0k3n");
    assert_eq!(otlp.tls, Tls { insecure: true, ca_file: None });
    let storage = Some("file_storage/a".parse().unwrap());
    let num_consumers = std::num::NonZeroU32::new(3);
    assert_eq!(otlp.sending_queue, Queue { size: ByteSize::mib(64), num_consumers, storage });
    assert_eq!(otlp.extra.get("a").unwrap().as_str(), Some("0123"));
    assert_eq!(otlp.extra.get("b").unwrap().as_list().unwrap().len(), 2);
}

/// *Scenario*: typed settings with a secret are printed, and the tree is printed for debugging.
/// *Guarantees*: the secret is `[REDACTED]` wherever its type is known. Debug output never contains the text of a variable.
#[test]
fn secrets_are_not_shown() {
    let loaded = load_yaml(&["exporters:\n  otlp: {endpoint: a, headers: {x: '${env:TOKEN}'}}\n"]).unwrap();
    assert!(!format!("{loaded:?}").contains("s3cr3t"));
    let settings = loaded.document.exporters.values().next().unwrap();
    let otlp: Otlp = decode(settings, &ConfigPath::root()).unwrap();
    insta::assert_snapshot!(to_yaml(&Value::from_serialize(&otlp).unwrap()).unwrap());
    assert_eq!(format!("{:?} {}", Secret::new("x"), Secret::new("x")), "[REDACTED] [REDACTED]");
}

/// *Scenario*: a secret is used for a number field.
/// *Guarantees*: the error does not quote it.
#[test]
fn errors_do_not_quote_variables() {
    let wrong =
        settings::<Window>("max_series: ${env:TOKEN}\nratio: 'a ${env:TOKEN}'\nidle_records: ${env:TOKEN}");
    assert!(!wrong.unwrap_err().contains("s3cr3t"));
}

/// *Scenario*: a file includes itself once, and twice.
/// *Guarantees*: loading ends with an error that names the node.
#[test]
fn files_that_include_themselves_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("self.yaml");
    for reference in ["a: ${file:SELF}", "a: ${file:SELF}\nb: ${file:SELF}"] {
        std::fs::write(&path, reference.replace("SELF", path.to_str().unwrap())).unwrap();
        let errors: ConfigErrors =
            load_yaml(&[&format!("receivers:\n  bpf: ${{file:{}}}", path.display())]).unwrap_err();
        assert!(errors.to_string().contains("without end"), "{errors}");
    }
}

/// *Scenario*: the tree of a loaded configuration is printed and loaded again.
/// *Guarantees*: the second tree is the same, with its keys in the same order.
#[test]
fn printed_trees_read_back() {
    let first = load_yaml(&[
        "receivers: {bpf: {a: '5', b: 5, c: 'true', d: [1.5, ~], e: '0123', f: \"x\\ny\", g: {}}}",
    ])
    .unwrap();
    let printed = to_yaml(&first.value).unwrap();
    let second = load_yaml(&[&printed]).unwrap().value;
    assert_eq!(second, first.value);
    assert_eq!(format!("{second:?}"), format!("{:?}", first.value), "order of keys");
}

/// *Scenario*: a variable that is set to the empty string, for an optional number, a required number, and a string.
/// *Guarantees*: the optional number keeps its default, the string is empty, and the missing number is reported once.
#[test]
fn empty_variables() {
    #[derive(Debug, serde::Deserialize)]
    struct Mixed {
        text: String,
        optional: Option<u32>,
        #[serde(default)]
        list: Vec<String>,
    }
    let mixed: Mixed = settings("text: ${env:EMPTY}\noptional: ${env:EMPTY}\nlist: ${env:EMPTY}").unwrap();
    assert_eq!((mixed.text.as_str(), mixed.optional, mixed.list.len()), ("", None, 0));

    #[derive(Debug, serde::Deserialize)]
    #[allow(dead_code)]
    struct Needed {
        needed: u32,
    }
    let wrong = settings::<Needed>("needed: ${env:EMPTY}").unwrap_err();
    assert_eq!(wrong, "processors::window: needed: must be set");
}

/// *Scenario*: enums with valid and invalid content, beside another invalid setting.
/// *Guarantees*: valid content decodes. All errors are reported with their paths.
#[test]
fn enums_with_content() {
    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Buckets {
        Exponential,
        Explicit { bounds: Vec<f64> },
        Scale(u8),
    }
    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Histogram {
        buckets: Buckets,
        #[serde(default)]
        other: u8,
    }
    let histogram = |text: &str| settings::<Histogram>(text);
    assert_eq!(histogram("buckets: exponential").unwrap().buckets, Buckets::Exponential);
    assert_eq!(
        histogram("buckets: {explicit: {bounds: [1, 2.5]}}").unwrap().buckets,
        Buckets::Explicit { bounds: vec![1.0, 2.5] }
    );
    let wrong = [
        "buckets: {explicit: {bounds: [x], bound: 1}}\nother: -1",
        "buckets: {scale: 900}\nother: y",
        "buckets: {scales: 9}",
        "buckets: [a]",
        "buckets: {a: 1, b: 2}",
    ];
    let answers = wrong.map(|text| format!("{text}\n-----\n{}\n", histogram(text).unwrap_err()));
    insta::assert_snapshot!(answers.join("\n"));
}

/// *Scenario*: files as editors on Windows write them (a byte order mark, CRLF, UTF-16), and files with several documents, of which the second is
/// not even YAML.
/// *Guarantees*: they mean what they mean for the Collector: the first document counts. Further documents are a warning that names the line.
#[test]
fn files_of_other_editors_and_several_documents() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("longwave.yaml");
    let loaded = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        let loaded = load(&sources(&[path.to_str().unwrap()])).unwrap();
        let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
        (loaded.value, warnings.join("\n").replace(path.to_str().unwrap(), "FILE"))
    };
    let text = "receivers:\n  bpf: {interval: 1s}\nexporters:\n  stdout:\n    note: |\n      a\n      b\n";
    let (plain, none) = loaded(text.as_bytes());
    assert_eq!(none, "");
    let windows = text.replace('\n', "\r\n");
    let utf16 = |unit: fn(u16) -> [u8; 2]| {
        format!("\u{feff}{windows}").encode_utf16().flat_map(unit).collect::<Vec<u8>>()
    };
    for bytes in [
        format!("\u{feff}{text}").into_bytes(),
        windows.clone().into_bytes(),
        format!("\u{feff}{windows}").into_bytes(),
        utf16(u16::to_le_bytes),
        utf16(u16::to_be_bytes),
        format!("---\n{text}").into_bytes(),
        format!("# comment\n---\n{text}...\n").into_bytes(),
    ] {
        assert_eq!(loaded(&bytes), (plain.clone(), String::new()), "{bytes:?}");
    }
    for second in ["receivers: {replay: }\n", "[not yaml", "service:\n---\n"] {
        let (value, warning) = loaded(format!("---\n{text}---\n{second}").as_bytes());
        assert_eq!(value, plain);
        insta::allow_duplicates! {
            insta::assert_snapshot!("several_documents", warning);
        }
    }
}
