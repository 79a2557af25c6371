//! `docs/SETTINGS.md`, which is written from the descriptions of the settings.

use std::fmt::Write;
use std::path::Path;

use longwave_config::{ConfigErrors, ConfigPath, Map, Value, decode};
use longwave_pipeline::component::{Factory, Setting};
use longwave_pipeline::runtime::TelemetryConfig;

use crate::cli::components::{DescribedSection, sections};
use crate::cli::registry;

const HEAD: &str = "# Settings

Every setting of every component, and of `service::telemetry`. `cargo xtask docs` writes this page from the descriptions in the code;
`longwave components bpf` prints a part of it, and `longwave print-config` prints the values of your configuration.
[CONFIGURATION.md](CONFIGURATION.md) explains sources, references and merging.

A duration is a number with a unit, such as `500ms`, `5s` or `1m30s`. A size is a number of bytes, or one with a unit, such as `512KiB`,
`64MiB` or `1GB`. A secret is a text that is never printed. `*` in a path is any element of a list or key of a map. Where there is no default,
the setting is off, or its meaning says what happens without it.
";

/// Returns the page.
fn page() -> String {
    let mut page = HEAD.to_owned();
    let mut kind = "";
    let sections = sections(&registry());
    for section in &sections {
        let (this_kind, name) = section.path.split_once("::").unwrap();
        if this_kind != kind {
            kind = this_kind;
            let mut title = kind.to_owned();
            title[..1].make_ascii_uppercase();
            writeln!(page, "\n## {title}").unwrap();
        }
        writeln!(page, "\n### `{name}`\n").unwrap();
        write_section(&mut page, section);
    }
    page
}

fn write_section(page: &mut String, section: &DescribedSection) {
    if let Some(about) = &section.about {
        let mut line = format!("{}.", about.description);
        if !about.aliases.is_empty() {
            write!(line, " Also called `{}`.", about.aliases.join("`, `")).unwrap();
        }
        if !about.signals.is_empty() {
            let signals: Vec<_> = about.signals.iter().map(ToString::to_string).collect();
            write!(line, " In pipelines of {}.", signals.join(" and ")).unwrap();
        }
        writeln!(page, "{line} Stability: {}.\n", about.stability.as_str()).unwrap();
    }
    writeln!(page, "| setting | type | default | meaning |\n|---|---|---|---|").unwrap();
    for setting in &section.settings {
        let Setting { path, kind, default, example, .. } = setting;
        let default = default.as_ref().map_or_else(|| "–".to_owned(), |text| format!("`{text}`"));
        let mut meaning = setting.full_meaning();
        if let Some(example) = example {
            write!(meaning, " Example: `{example}`").unwrap();
        }
        writeln!(page, "| `{path}` | {kind} | {default} | {} |", meaning.replace('|', "\\|")).unwrap();
    }
}

/// Compares a generated page of `docs` with the committed one, or writes it if `LONGWAVE_UPDATE_DOCS` is set.
pub(super) fn compare(name: &str, page: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
    if std::env::var_os("LONGWAVE_UPDATE_DOCS").is_some() {
        std::fs::write(&path, page).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap();
    let differs = committed.lines().zip(page.lines()).find(|(committed, page)| committed != page);
    assert_eq!(
        differs, None,
        "docs/{name} (left) is not what the code declares (right): run `cargo xtask docs`"
    );
    assert!(
        committed == page,
        "docs/{name} has not all that the code declares, or more: run `cargo xtask docs`"
    );
}

/// *Scenario*: the settings that the components' types and doc comments declare.
/// *Guarantees*: `docs/SETTINGS.md` has exactly these, with their types, defaults and meanings.
#[test]
fn settings_page_is_current() {
    compare("SETTINGS.md", &page());
}

/// *Scenario*: every setting of every component.
/// *Guarantees*: each has a meaning in whole sentences without links into the code, and shows by a default, an example or its type what a
/// value looks like.
#[test]
fn every_setting_is_explained() {
    let mut problems = Vec::new();
    for section in sections(&registry()) {
        for setting in section.settings {
            let path = format!("{}::{}", section.path, setting.path);
            let meaning = setting.full_meaning();
            if !meaning.ends_with(['.', ')']) || meaning.contains("](") || meaning.contains("`None`") {
                problems.push(format!("{path}: meaning: {meaning:?}"));
            }
            let type_shows_values = !setting.words.is_empty()
                || ["boolean", "section"].contains(&setting.kind.as_str())
                || ["secret", "sections"].iter().any(|end| setting.kind.ends_with(end));
            if setting.default.is_none() && setting.example.is_none() && !type_shows_values {
                problems.push(format!("{path}: no default and no example"));
            }
        }
    }
    assert!(
        problems.is_empty(),
        "add to the doc comments, or #[schemars(example = …)]:\n{}",
        problems.join("\n")
    );
}

/// *Scenario*: each example of the page, and each default without an example, as the only setting of its section.
/// *Guarantees*: it is accepted: whatever a component reports is about other settings, which are missing.
#[test]
fn defaults_and_examples_are_accepted() {
    fn prepare<X: 'static, T: ?Sized + 'static>(
        factories: &[Factory<X, T>],
        component_type: &str,
        value: &Value,
        path: &ConfigPath,
    ) -> Option<Result<(), ConfigErrors>> {
        let factory = factories.iter().find(|factory| factory.about.component_type == component_type)?;
        Some(factory.prepare(value, path).map(|_| ()))
    }
    let registry = registry();
    let mut problems = Vec::new();
    for section in sections(&registry) {
        let path = ConfigPath::from(section.path.as_str());
        let name = section.path.split_once("::").unwrap().1;
        for setting in section.settings.iter().filter(|setting| !setting.path.contains('*')) {
            if let Some(text) = setting.example.as_ref().or(setting.default.as_ref()) {
                let value = nested(&setting.path, text);
                let result = prepare(&registry.receivers, name, &value, &path)
                    .or_else(|| prepare(&registry.processors, name, &value, &path))
                    .or_else(|| prepare(&registry.exporters, name, &value, &path))
                    .or_else(|| prepare(&registry.extensions, name, &value, &path))
                    .unwrap_or_else(|| {
                        decode::<TelemetryConfig>(&value, &path).map(|_| ()).map_err(Into::into)
                    });
                let at = format!("{}::{}", section.path, setting.path);
                let errors = result.err().into_iter().flat_map(|errors| errors.0);
                // `requires` is about another setting.
                let refused = errors.filter(|error| {
                    error.full_path().to_string() == at && !error.to_string().contains(": requires ")
                });
                problems.extend(refused.map(|error| format!("{at}: {text}: {error}")));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// Returns a section with one setting. `path` has `::` between its parts, and `text` is YAML.
fn nested(path: &str, text: &str) -> Value {
    let value: serde_json::Value = serde_yaml::from_str(text).unwrap();
    let value = Value::from_serialize(&value).unwrap();
    path.rsplit("::").fold(value, |value, key| Value::Map(Map::from_iter([(key.to_owned(), value)])))
}
