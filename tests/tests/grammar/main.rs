//! `longwave validate` judges configurations as `otelcol validate` does, except where docs/CONFIGURATION.md gives the reason for a difference.
#![allow(clippy::unwrap_used)]

mod case;
mod judge;
mod page;
mod printed;

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use longwave_testing::{harness, tests};
use longwave_tests::collector;

use judge::{Judges, Verdict};

/// *Scenario*: `longwave validate` and `otelcol validate` with each configuration of tests/fixtures/grammar: corner cases of YAML, references to
/// variables and files, several sources, ids, pipelines, durations, and the settings of components that both programs have.
/// *Guarantees*: both give the same verdict. Errors name the same thing. The exceptions are those that docs/CONFIGURATION.md lists with the
/// verdict of each program, and no others.
fn configurations_are_judged_alike() {
    let judges = Judges::new(&collector::binary());
    let cases = case::read_all(&judges);
    assert!(cases.len() >= 300, "only {} configurations found", cases.len());
    let verdicts = judges.verdicts(&cases);
    let mut listed = page::differences();
    let mut wrong = Vec::new();
    for (case, [longwave, collector]) in cases.iter().zip(verdicts) {
        if collector.accepts != case.collector_accepts {
            wrong.push(format!("{}: the fixture expects another verdict of {collector}", case.name));
        }
        match (longwave.accepts == collector.accepts, listed.remove(&case.name)) {
            (false, Some(accepted_by)) if (accepted_by == "Longwave") == longwave.accepts => {}
            (true, None) => {
                if let Some(word) = missing_word(&case.word, [&longwave, &collector]) {
                    wrong.push(format!("{}: not both say {word:?}:\n  {longwave}\n  {collector}", case.name));
                }
            }
            (same, listed) => wrong.push(format!(
                "{}: same verdict: {same}; docs/CONFIGURATION.md says: accepted by {listed:?}\n  {longwave}\n  {collector}",
                case.name
            )),
        }
    }
    assert!(listed.is_empty(), "docs/CONFIGURATION.md lists configurations that do not exist: {listed:?}");
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// Returns `word` if both programs refuse the configuration, but not both mention it.
fn missing_word<'a>(word: &'a str, verdicts: [&Verdict; 2]) -> Option<&'a str> {
    let both_refuse = verdicts.iter().all(|verdict| !verdict.accepts);
    (both_refuse && !verdicts.iter().all(|verdict| verdict.message.contains(word))).then_some(word)
}

/// *Scenario*: `otelcol validate` with the output of `longwave print-config`, in which each component that both programs have is configured.
/// Settings that docs/CONFIGURATION.md lists as Longwave's own are removed, and components that only Longwave has are replaced.
/// *Guarantees*: the Collector accepts it. It refuses each of the settings that are listed as Longwave's own, so that the list has none too many.
fn printed_configurations_are_valid_for_the_collector() {
    let judges = Judges::new(&collector::binary());
    let printed = printed::print(&judges);
    let own = page::own_settings();
    let unused: BTreeSet<_> = own.iter().filter(|path| !printed::has(&printed, path)).collect();
    assert!(unused.is_empty(), "the test configures none of {unused:?}");
    let without = |kept: Option<&String>| {
        let removed = own.iter().filter(|path| Some(*path) != kept);
        printed::without(&printed, removed)
    };
    let verdict = judges.collector_on(&without(None));
    assert!(verdict.accepts, "{verdict}");
    let accepted: BTreeMap<_, _> = own
        .iter()
        .map(|path| (path, judges.collector_on(&without(Some(path)))))
        .filter(|(path, verdict)| verdict.accepts && !is_ignored(path))
        .collect();
    assert!(accepted.is_empty(), "not only Longwave has {:?}", accepted.keys());
}

/// Returns whether the Collector ignores an unknown setting at `path`: those of `otlp_http`, but not of the sections below it.
fn is_ignored(path: &str) -> bool {
    path.strip_prefix("exporters::otlp_http::").is_some_and(|setting| !setting.contains("::"))
}

fn main() -> ExitCode {
    harness::run(tests![configurations_are_judged_alike, printed_configurations_are_valid_for_the_collector])
}
