use super::super::rules::{NameInterners, Rules};
use super::write_file;

fn error_of(text: &str) -> String {
    let file = write_file(text);
    let path = file.file.to_str().unwrap();
    Rules::read(path, &NameInterners::default()).unwrap_err().to_string().replace(path, "names.yaml")
}

/// *Scenario*: a file with every kind of mistake, many in one rule.
/// *Guarantees*: all are reported together, each with its file, its location and a remedy.
#[test]
fn all_mistakes_are_reported_together() {
    insta::assert_snapshot!(error_of(
        r#"
rules:
  - {cidrs: [10.0.0.1/8, ten], ports: [70000, 0], workload: {kind: Machine}}
  - {cidr: 10.0.0.0/8, service: {name: ""}}
  - {cgroups: [nginx.service], workload: {name: nginx}}
  - {cgroups: [/a], service: {name: a}}
  - {cgroups: [/a], ports: [80], workload: {name: a}}
  - {cidrs: [192.0.2.1]}
rule: []
"#
    ));
}

/// *Scenario*: files that are not files of rules: broken YAML, empty, a list, absent.
/// *Guarantees*: the error names the file, and the line where there is one.
#[test]
fn a_file_without_rules_is_refused_with_its_line() {
    insta::assert_snapshot!(error_of("rules:\n  - {cidrs: [10.0.0.0/8]\n  - a\n"));
    insta::assert_snapshot!(error_of("# nothing\n"));
    insta::assert_snapshot!(error_of("- cidrs: [10.0.0.0/8]\n"));
    insta::assert_snapshot!(
        Rules::read("/nonexistent/names.yaml", &NameInterners::default()).unwrap_err().to_string()
    );
}

/// *Scenario*: a file with an empty list of rules.
/// *Guarantees*: it is accepted.
#[test]
fn an_empty_list_of_rules_is_accepted() {
    assert!(super::rules("rules: []\n").is_empty());
}
