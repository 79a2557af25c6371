//! Units of systemd in a cgroup's path.

use longwave_pipeline::component;

use super::Named;

/// Number of hex digits from which the last part of a unit's name is taken for an id of one launch.
const MIN_LAUNCH_DIGITS: usize = 32;
/// Number of characters of a UUID.
const UUID_CHARACTERS: usize = 36;

/// Returns the innermost service or scope. A unit that is a single launch gives way to the unit or slice that contains it.
pub(super) fn innermost(parts: &[&str]) -> Option<Named> {
    let mut is_in_launch = false;
    for index in (0..parts.len()).rev() {
        let part = parts[index];
        if let Some(unit) = stem(part) {
            let name = stable_name(part, unit, &parts[..index]);
            if !is_launch_name(name) {
                return Some(named(name));
            }
            is_in_launch = true;
        } else if let Some(slice) = part.strip_suffix(".slice").filter(|_| is_in_launch)
            && !parts[..index].iter().any(|part| stem(part).is_some())
        {
            return Some(named(slice));
        }
    }
    None
}

/// Returns true if the innermost service or scope is a single launch.
pub(super) fn is_launch(parts: &[&str]) -> bool {
    let innermost = parts.iter().rposition(|part| stem(part).is_some());
    innermost.is_some_and(|index| {
        let part = parts[index];
        stem(part).is_some_and(|unit| is_launch_name(stable_name(part, unit, &parts[..index])))
    })
}

/// Returns the workload of a unit. `name` has escapes, and no suffix.
pub(super) fn named(name: &str) -> Named {
    // systemd writes `_` before names that the kernel has files for.
    let name = name.strip_prefix('_').unwrap_or(name);
    Named { name: unescape(name), kind: "SystemdUnit", ..Named::default() }
}

/// Returns a service's or scope's name without its suffix.
pub(super) fn stem(part: &str) -> Option<&str> {
    part.strip_suffix(".service").or(part.strip_suffix(".scope"))
}

/// Returns the part of a unit's name that is the same in the next launch. `above` are the parts above the unit.
///
/// Desktops name the units of applications `app-<launcher>-<application>-<random>.scope` and
/// `app-<launcher>-<application>@<random>.service`, where the launcher is optional and `-` is escaped.
fn stable_name<'a>(part: &str, unit: &'a str, above: &[&str]) -> &'a str {
    let unit = without_launch_id(unit);
    if part.ends_with(".scope") {
        let Some(rest) = unit.strip_prefix("app-") else { return unit };
        // The id of the launch may have been removed already.
        let has_id = stem(part).is_some_and(|whole| whole.len() == unit.len());
        let application =
            if has_id { rest.rsplit_once('-').map(|(application, _)| application) } else { Some(rest) };
        return application.map_or(unit, last_word);
    }
    let is_of_user = above.iter().any(|part| part.starts_with("user@") && part.ends_with(".service"));
    let is_application = unit.starts_with("app-") || unit.starts_with("dbus-:");
    match unit.split_once('@') {
        Some((application, _)) if is_of_user && is_application => last_word(application),
        _ => unit,
    }
}

fn last_word(text: &str) -> &str {
    text.rsplit_once('-').map_or(text, |(_, last)| last)
}

/// Removes a UUID or a long hex number from the end: `snap.firefox.firefox-<uuid>`, `libpod-conmon-<id>`.
fn without_launch_id(unit: &str) -> &str {
    if let Some((rest, last)) =
        unit.len().checked_sub(UUID_CHARACTERS).and_then(|at| unit.split_at_checked(at))
        && let Some(rest) = rest.strip_suffix(['-', '.'])
        && is_uuid(last)
        && !rest.is_empty()
    {
        return rest;
    }
    match unit.rsplit_once('-') {
        Some((rest, last)) if last.len() >= MIN_LAUNCH_DIGITS && is_hex(last) && !rest.is_empty() => rest,
        _ => unit,
    }
}

/// Returns true for the names of units in which anything may run: login sessions (`session-42`), transient units without a chosen name
/// (`run-r<hex>`, `run-u7`, `run-p81-i92`, `run-4711`), and tabs of terminals.
fn is_launch_name(name: &str) -> bool {
    if matches!(name, "vte-spawn" | "tmux-spawn") {
        return true;
    }
    if let Some(session) = name.strip_prefix("session-") {
        // Sessions that are not audited have a letter before their number.
        return is_number(session.strip_prefix('c').unwrap_or(session));
    }
    let Some(run) = name.strip_prefix("run-") else { return false };
    if let Some(random) = run.strip_prefix('r') {
        return random.len() >= MIN_LAUNCH_DIGITS / 2 && is_hex(random);
    }
    let run = run.strip_prefix(['u', 'p']).unwrap_or(run);
    !run.is_empty() && run.split('-').all(|word| is_number(word.strip_prefix('i').unwrap_or(word)))
}

/// Replaces systemd's escapes, `\x2d` and so on. Bytes that are not UTF-8 become U+FFFD.
pub(super) fn unescape(text: &str) -> String {
    component::unescape(text, "\\x", 2, 16)
}

pub(super) fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

pub(super) fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Returns true for 8-4-4-4-12 hex digits.
pub(super) fn is_uuid(text: &str) -> bool {
    const LENGTHS: [usize; 5] = [8, 4, 4, 4, 12];
    text.split('-').count() == LENGTHS.len()
        && text.split('-').zip(LENGTHS).all(|(word, length)| word.len() == length && is_hex(word))
}
