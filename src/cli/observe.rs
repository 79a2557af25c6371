//! `longwave observe`: prints records as they arrive, as `hubble observe` prints flows. It runs a pipeline that it creates from its flags.

use std::io::{Write, stderr};
use std::path::Path;

use anyhow::anyhow;
use clap::ValueEnum;
use longwave_pipeline::component::Registry;
use longwave_processors::filter::Expression;

use super::check::view::View;
use super::configuration::try_bpf;
use super::default::{self, Names};
use super::{ObserveArgs, SourceArgs, running};

/// Format of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// One line for each record.
    #[default]
    Text,
    /// One JSON object for each record.
    Json,
    /// A table of workloads for each window.
    Table,
}

/// Where records come from.
#[derive(Clone, Copy)]
enum Source<'a> {
    /// A record file, or the socket of a running Longwave.
    Replay(&'a Path),
    /// This host, by the receiver of this type.
    Host(&'static str),
}

pub(super) fn run(args: &ObserveArgs, registry: &Registry) -> anyhow::Result<()> {
    let receiver = || match try_bpf() {
        Ok(()) => "bpf",
        Err(reason) => {
            // Logging has not started.
            let _ = writeln!(stderr(), "Warning: {}", default::less_exact(&reason));
            "sock_diag"
        }
    };
    let sources = SourceArgs { config: configs(args, &View::of_this_process(), receiver)?, set: Vec::new() };
    super::run::run(&sources, registry)
}

/// Returns the values of `--config` for the flags. `receiver` returns the type of the receiver for the connections of this host.
///
/// # Errors
/// The expression has a mistake, or a running Longwave does not accept this user.
pub(super) fn configs(
    args: &ObserveArgs,
    view: &View,
    receiver: impl FnOnce() -> &'static str,
) -> anyhow::Result<Vec<String>> {
    let text = args.expression.join(" ");
    let expression = match text.trim() {
        "" => None,
        text => Some(text.parse::<Expression>().map_err(|error| anyhow!("\n{}", error.with_caret()))?),
    };
    let file = running::file_or_socket(args.file.as_deref(), view)?;
    // A record file and a running Longwave have the names already.
    let named_by = if file.is_none() { default::names(view) } else { Names::default() };
    let source = file.as_deref().map_or_else(|| Source::Host(receiver()), Source::Replay);
    Ok(vec![format!("yaml:{}", configuration(source, args.output, expression.as_ref(), named_by))])
}

/// Returns the configuration as YAML. Texts are written as JSON strings, which are valid YAML. `$` is doubled, so that nothing is expanded.
fn configuration(
    source: Source<'_>,
    output: Output,
    expression: Option<&Expression>,
    named_by: Names,
) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string().replace('$', "$$");
    let (receiver, settings) = match source {
        Source::Replay(file) => ("replay", format!("path: {}", quoted(&file.display().to_string()))),
        Source::Host(receiver) => (receiver, String::new()),
    };
    let Names { mut yaml, extensions, mut processors } = named_by;
    let mut more = format!("receivers: {{{receiver}: {{{settings}}}}}\n");
    if let Some(expression) = expression {
        processors.push(("filter", format!("where: {}", quoted(&expression.to_string()))));
    }
    let (format, pipeline) = match output {
        Output::Text => ("text", "logs"),
        Output::Json => ("json", "logs"),
        Output::Table => ("table", "metrics"),
    };
    if output == Output::Table {
        processors.push(("window", "levels: [workload]".to_owned()));
    }
    let ids: Vec<&str> = processors.iter().map(|(id, _)| *id).collect();
    let settings: Vec<String> =
        processors.iter().map(|(id, settings)| format!("{id}: {{{settings}}}")).collect();
    more += &format!(
        "processors: {{{}}}\nexporters: {{stdout: {{format: {format}}}}}\nservice:\n  extensions: [{}]\n  \
         telemetry: {{metrics: {{level: none}}, logs: {{level: warn}}}}\n  \
         pipelines: {{{pipeline}: {{receivers: [{receiver}], processors: [{}], exporters: [stdout]}}}}\n",
        settings.join(", "),
        extensions.join(", "),
        ids.join(", "),
    );
    yaml += &more;
    yaml
}
