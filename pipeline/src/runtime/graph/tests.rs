use std::sync::Arc;

use longwave_config::ConfigErrors;

use super::Plan;
use crate::runtime::Runtime;
use crate::runtime::testing::{World, document};

fn errors(yaml: &str) -> String {
    match Plan::new(&document(yaml), &World::default().registry()) {
        Ok(_) => "no error".to_owned(),
        Err(ConfigErrors(found)) => found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
    }
}

/// *Scenario*: a configuration with a problem in every section.
/// *Guarantees*: all problems are reported together, each with its path, in the Collector's wording.
#[test]
fn reports_everything_at_once() {
    let text = errors(
        "
receivers: {gne: , gen: {every: 0s, record: 5}}
processors: {window: , pass: {records: 2000000}}
exporters: {keep: }
service:
  extensions: [health_check]
  pipelines:
    metrics: {receivers: [gen], processors: [wndow, window/2, pass, pass], exporters: [keep]}
    metrics/empty: {receivers: [], exporters: []}
    logs: {receivers: [gen], processors: [window], exporters: [keep]}
",
    );
    insta::assert_snapshot!(text);
}

/// *Scenario*: a component does not take the type of data that the one before it sends.
/// *Guarantees*: the error names both and the remedy.
#[test]
fn edges_are_typed() {
    let with = |pipelines: &str| {
        errors(&format!(
            "{{receivers: {{gen: }}, processors: {{pass: , window: , window/2: }}, exporters: {{keep: }}, service: {{pipelines: {pipelines}}}}}"
        ))
    };
    let raw = with("{metrics: {receivers: [gen], processors: [pass], exporters: [keep]}}");
    let order = with("{metrics: {receivers: [gen], processors: [window, pass], exporters: [keep]}}");
    let logs = with("{logs: {receivers: [gen], processors: [window], exporters: [keep]}}");
    let twice = with("{metrics: {receivers: [gen], processors: [window, window/2], exporters: [keep]}}");
    insta::assert_snapshot!([raw, order, logs, twice].join("\n"));
}

/// *Scenario*: extensions that are unknown, not started, started twice, misspelled, or invalid; a misspelled built-in name;
/// exporters with such extensions, also one that no pipeline uses.
/// *Guarantees*: each error names the path, the valid values and the most similar one.
#[test]
fn extensions_are_checked() {
    let text = errors(
        "
extensions: {who: , who/2: {every: 0s}, hwo: }
receivers: {gen: }
processors: {pass: {source: who/3}, pass/2: {source: who/2}, pass/3: {source: who}, pass/4: {source: onw}}
exporters: {keep: {source: who}, keep/2: {source: who/3}, keep/3: {source: who/2}}
service:
  extensions: [who, who, whoo]
  pipelines:
    logs: {receivers: [gen], processors: [pass, pass/2, pass/3, pass/4], exporters: [keep]}
",
    );
    insta::assert_snapshot!(text);
}

/// *Scenario*: a document without receivers, exporters and pipelines, with an invalid telemetry address.
/// *Guarantees*: the errors name the missing sections and the invalid key.
#[test]
fn sections_must_be_there() {
    insta::assert_snapshot!(errors("{service: {telemetry: {metrics: {address: nonsense}}}}"));
}

/// *Scenario*: a valid configuration with an exporter that two signals use, and one that no pipeline uses.
/// *Guarantees*: one receiver instance for both pipelines, one exporter instance per signal, a warning for the unused one, and the
/// effective configuration with every default.
#[test]
fn plans_shared_instances() {
    let yaml = "
receivers: {gen: }
processors: {window: }
exporters: {keep: , keep/idle: }
service:
  pipelines:
    metrics: {receivers: [gen], processors: [window], exporters: [keep]}
    logs: {receivers: [gen], exporters: [keep]}
    logs/2: {receivers: [gen], exporters: [keep]}
";
    let plan = Plan::new(&document(yaml), &World::default().registry()).unwrap();
    assert_eq!(plan.receivers.iter().map(|r| r.pipelines.clone()).collect::<Vec<_>>(), [[0, 1, 2]]);
    assert_eq!(plan.exporters.len(), 2);
    assert_eq!(plan.warnings, ["exporters::keep/idle: no pipeline uses it"]);
    insta::assert_snapshot!(longwave_config::to_yaml(&plan.effective).unwrap());
}

/// *Scenario*: a processor reads what another one sets, which is before it, after it, or absent.
/// *Guarantees*: the wrong order is an error, the absence a warning, and both name the setting and the remedy; the right order is neither.
#[test]
fn processors_run_after_those_that_they_read_from() {
    let with = |pipeline: &str| {
        format!(
            "{{receivers: {{gen: }}, processors: {{pass: , pass/reader: {{reads: true}}}}, exporters: {{keep: }}, service: {{pipelines: \
             {{logs/a: {{receivers: [gen], processors: {pipeline}, exporters: [keep]}}}}}}}}"
        )
    };
    insta::assert_snapshot!(errors(&with("[pass/reader, pass]")), @"service::pipelines::logs/a: reads of processors::pass/reader needs processors::pass to run first: move it before processors::pass/reader");
    let warnings = |pipeline: &str| {
        Plan::new(&document(&with(pipeline)), &World::default().registry()).unwrap().warnings
    };
    assert_eq!(warnings("[pass, pass/reader]"), [""; 0]);
    insta::assert_snapshot!(warnings("[pass/reader]").join("\n"), @r"
    processors::pass: no pipeline uses it
    service::pipelines::logs/a: reads of processors::pass/reader needs a processor of the type pass. Without it, names are unknown unless a record file has them: add one before processors::pass/reader
    ");
}

/// *Scenario*: an exporter in two pipelines of a signal, of which one or both change the resource, and in one of another signal.
/// *Guarantees*: different changes for one instance of an exporter are an error that names both pipelines and the remedy. Each instance
/// sends the resource with the changes of its pipelines, in their order.
#[test]
fn exporters_send_the_resource_of_their_pipelines() {
    let with = |second: &str| {
        format!(
            "{{receivers: {{gen: }}, processors: {{window: , pass: {{resource: [{{key: a, value: x, action: insert}}]}}, pass/2: {{resource: \
             [{{key: b, from_attribute: a, action: upsert}}]}}}}, exporters: {{keep: {{fail: log resource}}}}, service: {{pipelines: {{logs: \
             {{receivers: [gen], processors: [pass, pass/2], exporters: [keep]}}, logs/2: {{receivers: [gen], processors: {second}, \
             exporters: [keep]}}, metrics: {{receivers: [gen], processors: [window], exporters: [keep]}}}}}}}}"
        )
    };
    insta::assert_snapshot!(errors(&with("[pass]")), @"service::pipelines::logs/2: exporters::keep is also in service::pipelines::logs, which changes the resource in another way: use the same resource processors in both, or another exporter such as exporters::keep/2");
    let world = World::default();
    let plan = Plan::new(&document(&with("[pass, pass/2]")), &world.registry()).unwrap();
    let resource = Arc::new(vec![("host.name".to_owned(), "h".to_owned())]);
    Runtime::dry_run(&plan, &resource).unwrap();
    let sent: Vec<String> = world.logged().into_iter().filter(|line| line.contains("sends")).collect();
    assert_eq!(
        sent,
        [
            r#"keep of logs sends [("host.name", "h"), ("a", "x"), ("b", "x")]"#,
            r#"keep of metrics sends [("host.name", "h")]"#
        ]
    );
}

/// *Scenario*: a configuration with a text that contains `$`.
/// *Guarantees*: the output of `print-config` loads as the same configuration.
#[test]
fn the_effective_configuration_can_be_read_again() {
    let yaml = "
receivers: {gen: {fail: 'a$$b $${env:NOT_SET} 5s'}}
processors: {window: }
exporters: {keep: {fail: '0123'}}
service:
  telemetry: {metrics: {otlp: {endpoint: 'http://localhost:1'}}, resource: {rack: 'a$$b', host.id: null}}
  pipelines: {metrics: {receivers: [gen], processors: [window], exporters: [keep]}}
";
    let registry = World::default().registry();
    let plan = Plan::new(&document(yaml), &registry).unwrap();
    let printed = plan.to_yaml().unwrap();
    let again = Plan::new(&document(&printed), &registry).unwrap();
    assert_eq!(again.effective, plan.effective, "{printed}");
    assert_eq!(again.to_yaml().unwrap(), printed);
}

/// *Scenario*: a processor that should be the first is the first, and the second.
/// *Guarantees*: only the second order has a warning, with the remedy.
#[test]
fn a_processor_that_should_be_first_has_a_warning() {
    let warnings = |pipeline: &str| {
        let yaml = format!(
            "{{receivers: {{gen: }}, processors: {{pass: , pass/first: {{first: true}}}}, exporters: {{keep: }}, service: {{pipelines: \
             {{logs/a: {{receivers: [gen], processors: {pipeline}, exporters: [keep]}}}}}}}}"
        );
        Plan::new(&document(&yaml), &World::default().registry()).unwrap().warnings
    };
    assert_eq!(warnings("[pass/first, pass]"), [""; 0]);
    insta::assert_snapshot!(warnings("[pass, pass/first]").join("\n"), @"service::pipelines::logs/a: processors::pass/first should be the first: what the processors before it store is not limited (move it before processors::pass)");
}
