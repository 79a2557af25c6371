//! `longwave completions` and `longwave man`: made from the description of the command line.

use clap::{Arg, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::{Cli, print};

/// Prints the script that completes commands and flags in `shell`.
pub(super) fn completions(shell: Shell) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "longwave", &mut script);
    print(&String::from_utf8(script)?)
}

/// Prints the man page, in roff. One page describes all commands.
pub(super) fn page() -> anyhow::Result<()> {
    let cli = Cli::command();
    let mut commands = Roff::new();
    commands.control("SH", ["COMMANDS"]);
    for command in cli.get_subcommands() {
        let arguments = command.get_positionals().map(|argument| format!(" [{}]", argument.get_id()));
        commands.control("TP", []);
        commands.text([bold(command.get_name()), roman(arguments.collect::<String>())]);
        commands.text([roman(command.get_about().map(ToString::to_string).unwrap_or_default())]);
        for option in command.get_opts() {
            commands.control("RS", []);
            commands.control("TP", []);
            commands.text([bold(names(option)), roman(values(option))]);
            // The section of options explains those that `longwave` without a command takes, too.
            let is_explained = cli.get_opts().any(|own| own.get_id() == option.get_id());
            let help = option.get_help().filter(|_| !is_explained).map(ToString::to_string);
            commands.text([roman(help.unwrap_or_else(|| "See OPTIONS.".to_owned()))]);
            commands.control("RE", []);
        }
    }
    let (man, mut page) = (Man::new(cli), Vec::new());
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    commands.to_writer(&mut page)?;
    man.render_options_section(&mut page)?;
    man.render_version_section(&mut page)?;
    print(&String::from_utf8(page)?)
}

/// Returns `-f, --file`.
fn names(option: &Arg) -> String {
    let short = option.get_short().map(|short| format!("-{short}"));
    let long = option.get_long().map(|long| format!("--{long}"));
    short.into_iter().chain(long).collect::<Vec<_>>().join(", ")
}

/// Returns ` <PATH>`, or ` <text|json>` if only some values are possible.
fn values(option: &Arg) -> String {
    let possible: Vec<String> =
        option.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
    let named = option.get_value_names().unwrap_or_default().iter().map(ToString::to_string).collect();
    format!(" <{}>", if possible.is_empty() { named } else { possible }.join("|"))
}
