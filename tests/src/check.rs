//! Output of `longwave check`.

use std::process::Stdio;

use crate::longwave::command;

/// Runs `longwave check`. Returns its output and whether it succeeded.
pub fn check(wrapper: &[String]) -> (String, bool) {
    let output = command(wrapper).arg("check").stdin(Stdio::null()).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (String::from_utf8_lossy(&text).into_owned(), output.status.success())
}

/// Returns the line of a fact and the remedy below it.
///
/// # Panics
/// If `text` contains no such fact, with the text.
pub fn fact(text: &str, name: &str) -> String {
    let mut lines =
        text.lines().skip_while(|line| !line.get(10..).is_some_and(|line| line.starts_with(name)));
    let first = lines.next().unwrap_or_else(|| panic!("no fact {name:?} in\n{text}"));
    let remedy = lines.next().filter(|line| line.trim_start().starts_with('→')).unwrap_or_default();
    format!("{first}\n{remedy}")
}
