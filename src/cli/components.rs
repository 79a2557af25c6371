//! `longwave components`: lists the component types in the format of the Collector's `components` command, or the settings of one.

use std::fmt::Write;

use anyhow::bail;
use longwave_config::near_miss;
use longwave_pipeline::component::{About, Factory, Registry, Setting};
use longwave_pipeline::runtime::TelemetryConfig;

use super::print;

pub(super) fn run(registry: &Registry) -> anyhow::Result<()> {
    let mut text = String::new();
    writeln!(text, "buildinfo:\n  command: longwave\n  version: {}", env!("CARGO_PKG_VERSION"))?;
    section(&mut text, "receivers", &registry.receivers)?;
    section(&mut text, "processors", &registry.processors)?;
    section(&mut text, "exporters", &registry.exporters)?;
    section(&mut text, "extensions", &registry.extensions)?;
    print(&text)
}

/// A section of the configuration whose settings can be described: a component type, or `service::telemetry`.
pub(super) struct DescribedSection {
    /// Path, such as `receivers::bpf`.
    pub path: String,
    /// `None` for `service::telemetry`.
    pub about: Option<About>,
    pub settings: Vec<Setting>,
}

/// Returns all sections that have settings, in the order of the data.
pub(super) fn sections(registry: &Registry) -> Vec<DescribedSection> {
    fn of<X, T: ?Sized>(kind: &str, factories: &[Factory<X, T>]) -> Vec<DescribedSection> {
        let sections = factories.iter().map(|factory| DescribedSection {
            path: format!("{kind}::{}", factory.about.component_type),
            about: Some(factory.about),
            settings: (factory.settings)(),
        });
        sections.collect()
    }
    let mut sections = of("receivers", &registry.receivers);
    sections.extend(of("processors", &registry.processors));
    sections.extend(of("exporters", &registry.exporters));
    sections.extend(of("extensions", &registry.extensions));
    let settings = Setting::of::<TelemetryConfig>();
    sections.push(DescribedSection { path: "service::telemetry".to_owned(), about: None, settings });
    sections
}

/// Prints each setting of a component type with its default, type and meaning.
pub(super) fn describe(registry: &Registry, name: &str) -> anyhow::Result<()> {
    let sections = sections(registry);
    let types = |section: &DescribedSection| -> Vec<&'static str> {
        section.about.map_or(vec!["telemetry"], |about| about.types().collect())
    };
    let Some(section) =
        sections.iter().find(|section| types(section).contains(&name) || section.path == name)
    else {
        let known: Vec<_> = sections.iter().flat_map(types).collect();
        match near_miss(name, known.iter().copied()) {
            Some(near) => bail!(
                "there is no component type {name:?}: is {near:?} meant? `longwave components` lists all"
            ),
            None => bail!("there is no component type {name:?}: `longwave components` lists all"),
        }
    };
    let mut text = section.path.clone();
    if let Some(about) = section.about {
        write!(text, ": {}", about.description)?;
    }
    text.push('\n');
    for setting in &section.settings {
        let Setting { path, kind, default, example, .. } = setting;
        let value = default.as_ref().map(|default| format!(" {default}")).unwrap_or_default();
        writeln!(text, "\n{}::{path}:{value}\n    ({kind}) {}", section.path, setting.full_meaning())?;
        if let Some(example) = example {
            writeln!(text, "    Example: {example}")?;
        }
    }
    print(&text)
}

fn section<X, T: ?Sized>(text: &mut String, name: &str, factories: &[Factory<X, T>]) -> std::fmt::Result {
    writeln!(text, "{name}:")?;
    for Factory { about, .. } in factories {
        let About { component_type, aliases, stability, description, signals, .. } = about;
        writeln!(text, "  - name: {component_type}\n    description: {description:?}")?;
        if !aliases.is_empty() {
            writeln!(text, "    aliases: [{}]", aliases.join(", "))?;
        }
        writeln!(text, "    stability:")?;
        if signals.is_empty() {
            writeln!(text, "      extension: {}", stability.as_str())?;
        }
        for signal in *signals {
            writeln!(text, "      {signal}: {}", stability.as_str())?;
        }
    }
    Ok(())
}
