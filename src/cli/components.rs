//! `longwave components`: lists the component types in the format of the Collector's `components` command.

use std::fmt::Write;

use longwave_pipeline::component::{About, Factory, Registry};

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
