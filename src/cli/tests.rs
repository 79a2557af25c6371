#![allow(clippy::unwrap_used)]

use anyhow::{Context, anyhow};
use longwave_config::{Sources, load};

use super::*;

/// *Scenario*: an error whose message quotes its cause, under one that does not.
/// *Guarantees*: each is told once, the outer first.
#[test]
fn causes_are_told_once() {
    let quoting = Err::<(), _>(anyhow!("No such file")).context("receivers::replay: x.lwr: No such file");
    let error = quoting.context("failed to start \"replay\" receiver").unwrap_err();
    assert_eq!(told(&error), "failed to start \"replay\" receiver: receivers::replay: x.lwr: No such file");
}

/// *Scenario*: `print-config` for the embedded configuration and one with every component and its defaults.
/// *Guarantees*: with no secret in it, what is printed is a configuration that means the same.
#[test]
fn what_print_config_prints_can_be_loaded() {
    let every = "
receivers: {bpf: , replay: {path: 'a$$b.lwr'}}
processors: {workload: , filter: {include: {ports: [80]}}, window: }
exporters:
  stdout:
  otlp_grpc: {endpoint: 'localhost:4317', tls: {insecure: true}}
  otlp_http: {endpoint: 'http://localhost:4318'}
  record_file: {path: 0123}
service:
  pipelines:
    metrics: {receivers: [bpf], processors: [workload, filter, window], exporters: [stdout, otlp_grpc]}
    logs: {receivers: [replay], exporters: [record_file, otlp_http]}
";
    let registry = registry();
    let plan = |yaml: &str| {
        let loaded = load(&Sources::new(vec![format!("yaml:{yaml}")], Vec::new())).unwrap();
        let plan = longwave_pipeline::graph::Plan::new(&loaded.document, &registry);
        plan.unwrap_or_else(|errors| panic!("{errors}\n{yaml}"))
    };
    for yaml in [include_str!("../../config/examples/default.yaml"), every] {
        let first = plan(yaml);
        let printed = first.to_yaml().unwrap();
        assert_eq!(plan(&printed).effective, first.effective, "{printed}");
    }
}
