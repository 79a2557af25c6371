//! `longwave observe`: prints records as they arrive, like `hubble observe` prints flows. It runs a pipeline that it writes from its flags.

use anyhow::anyhow;
use clap::ValueEnum;
use longwave_pipeline::component::Registry;
use longwave_processors::filter::Expression;

use super::check::view::View;
use super::configuration::try_bpf;
use super::default::{self, Names};
use super::{ObserveArgs, SourceArgs};

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

pub(super) fn run(args: &ObserveArgs, registry: &Registry) -> anyhow::Result<()> {
    let receiver = if args.file.is_some() || try_bpf().is_ok() { "bpf" } else { "sock_diag" };
    let sources = SourceArgs { config: configs(args, &View::of_this_process(), receiver)?, set: Vec::new() };
    super::run::run(&sources, registry)
}

/// Returns the values of `--config` for the flags. `receiver`: the one of this host's connections.
///
/// # Errors
/// The expression has a mistake.
pub(super) fn configs(args: &ObserveArgs, view: &View, receiver: &str) -> anyhow::Result<Vec<String>> {
    let text = args.expression.join(" ");
    let expression = match text.trim() {
        "" => None,
        text => Some(text.parse::<Expression>().map_err(|error| anyhow!("\n{}", error.with_caret()))?),
    };
    // A record file has the names of its recording.
    let named_by = if args.file.is_none() { default::names(view) } else { Names::default() };
    Ok(vec![format!("yaml:{}", configuration(args, expression.as_ref(), named_by, receiver))])
}

/// Returns the configuration as YAML. Texts are JSON strings, which YAML includes; `$` is doubled, so that it expands nothing.
fn configuration(
    args: &ObserveArgs,
    expression: Option<&Expression>,
    named_by: Names,
    receiver: &str,
) -> String {
    let quoted = |text: &str| format!("{text:?}").replace('$', "$$");
    let (receiver, settings) = match &args.file {
        Some(file) => ("replay", format!("path: {}", quoted(&file.display().to_string()))),
        None => (receiver, String::new()),
    };
    let Names { mut yaml, extensions, mut processors } = named_by;
    let mut more = format!("receivers: {{{receiver}: {{{settings}}}}}\n");
    if let Some(expression) = expression {
        processors.push(("filter", format!("where: {}", quoted(&expression.to_string()))));
    }
    let (format, pipeline) = match args.output {
        Output::Text => ("text", "logs"),
        Output::Json => ("json", "logs"),
        Output::Table => ("table", "metrics"),
    };
    if args.output == Output::Table {
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
