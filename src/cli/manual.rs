//! `longwave completions` and `longwave man`: made from the description of the command line.

use clap::CommandFactory;
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
    let command = Cli::command();
    let mut commands = Roff::new();
    commands.control("SH", ["COMMANDS"]);
    for command in command.get_subcommands() {
        let arguments = command.get_positionals().map(|argument| format!(" [{}]", argument.get_id()));
        commands.control("TP", []);
        commands.text([bold(command.get_name()), roman(arguments.collect::<String>())]);
        commands.text([roman(command.get_about().map(ToString::to_string).unwrap_or_default())]);
    }
    let (man, mut page) = (Man::new(command), Vec::new());
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    commands.to_writer(&mut page)?;
    man.render_options_section(&mut page)?;
    man.render_version_section(&mut page)?;
    print(&String::from_utf8(page)?)
}
