//! Configurations and values that are downloaded.
#![allow(clippy::unwrap_used)]

use longwave_config::{Sources, load, to_yaml};

fn sources(config: &str) -> Sources {
    Sources::new(vec![config.to_owned()], Vec::new()).with_downloads(|url: &str| match url {
        "https://user:pass@config.example/a.yaml?x=1" => Ok(b"\xef\xbb\xbfreceivers: {bpf: }\r\n".to_vec()),
        "http://config.example/endpoint" => Ok(b"localhost:4317\r\n".to_vec()),
        "http://config.example/number" => Ok(b"5\n".to_vec()),
        "http://config.example/latin1" => Ok(b"a: \xff".to_vec()),
        "http://config.example/broken" => Ok(b"a: [".to_vec()),
        "http://config.example/list" => Ok(b"- a".to_vec()),
        _ => Err("the server responds 404 Not Found".to_owned()),
    })
}

/// *Scenario*: a source that is downloaded, and references to downloads: a whole value, a number, and within a string.
/// *Guarantees*: each has the meaning of a file with this content.
#[test]
fn downloads_are_read_as_files() {
    let load = |config: &str| to_yaml(&load(&sources(config)).unwrap().value).unwrap();
    assert_eq!(load("https://user:pass@config.example/a.yaml?x=1"), "receivers:\n  bpf: null\n");
    let references = "yaml:exporters: {otlp: {endpoint: '${http://config.example/endpoint}', size: '${http://config.example/number}', \
                      url: 'http://${http://config.example/endpoint}/x'}}";
    assert_eq!(
        load(references),
        "exporters:\n  otlp:\n    endpoint: localhost:4317\n    size: 5\n    url: http://localhost:4317/x\n"
    );
}

/// *Scenario*: downloads that fail, are no text, no YAML and no map, as a source and as a reference. The URLs have a password.
/// *Guarantees*: the error names the URL without the password, and the cause. A reference also names its place.
#[test]
fn failed_downloads_are_errors() {
    let error = |config: &str| load(&sources(config)).unwrap_err().to_string();
    for (config, expected) in [
        (
            "https://u:secret@config.example/gone?token=secret",
            "unable to download https://config.example/gone: the server responds 404 Not Found",
        ),
        (
            "http://config.example/latin1",
            "the body of http://config.example/latin1 is not UTF-8 text (at byte 3)",
        ),
        (
            "http://config.example/list",
            "http://config.example/list: expected a map of sections at the top level",
        ),
        ("http://config.example/broken", "http://config.example/broken:2:1: "),
        (
            "yaml:exporters: {otlp: {endpoint: '${https://u:secret@config.example/gone}'}}",
            "exporters::otlp::endpoint: unable to download https://config.example/gone: the server responds 404 Not Found",
        ),
        (
            "yaml:exporters: {otlp: {endpoint: '${https://config.example/gone:-x}'}}",
            "exporters::otlp::endpoint: only a variable can have a default",
        ),
    ] {
        let error = error(config);
        assert!(error.starts_with(expected), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
}
