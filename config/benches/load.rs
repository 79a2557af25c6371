//! Measures loading a configuration, from YAML text to a document. Contains no assertions.
#![allow(missing_docs, reason = "criterion's macros")]

use criterion::{Criterion, criterion_group, criterion_main};
use longwave_config::{Sources, load};

fn small(c: &mut Criterion) {
    let yaml = concat!("yaml:", include_str!("../examples/collector.yaml")).to_owned();
    let sources = Sources::new(vec![yaml], vec!["receivers.bpf.interval=1s".to_owned()])
        .with_environment(|_: &str| Some("collector:4317".to_owned()));
    c.bench_function("load collector.yaml", |b| {
        b.iter(|| load(&sources).map(|loaded| loaded.warnings.len()))
    });
}

fn large(c: &mut Criterion) {
    let mut yaml = "yaml:receivers: {bpf: }\nexporters:\n".to_owned();
    for number in 0..1000 {
        yaml += &format!(
            "  otlp/{number}: {{endpoint: \"${{env:HOST}}:{number}\", headers: {{a: b, c: $$d}}}}\n"
        );
    }
    yaml += "service: {pipelines: {logs: {receivers: [bpf], exporters: [otlp/0]}}}\n";
    let sources =
        Sources::new(vec![yaml], Vec::new()).with_environment(|_: &str| Some("collector".to_owned()));
    c.bench_function("load 1,000 exporters", |b| {
        b.iter(|| load(&sources).map(|loaded| loaded.warnings.len()))
    });
}

criterion_group!(benches, small, large);
criterion_main!(benches);
