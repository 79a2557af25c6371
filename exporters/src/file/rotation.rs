//! Names of backups, and which of them are removed.
//!
//! `connections.json` becomes `connections-2026-11-29T07-04-58.123.json`, as in the Collector. The time is in UTC, so the order of the names
//! is the order of the backups.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use longwave_pipeline::model::{Rfc3339, UnixNanos};

use super::config::RotationConfig;

/// A digit for each `0`, otherwise the character itself.
const PATTERN: &str = "0000-00-00T00-00-00.000";
/// Names to try if backups of the same milliseconds exist.
const MAX_NAMES: u64 = 1000;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Renames the file and puts `next` at its path. There is a file at `path` at any moment. If this fails, `path` is as before.
///
/// # Errors
/// The file cannot be renamed.
pub(super) fn replace(path: &Path, next: &Path, now: UnixNanos) -> io::Result<()> {
    let backup = link_backup(path, now)?;
    fs::rename(next, path).inspect_err(|_| {
        // The file keeps its name, so this one is only a second.
        let _ = fs::remove_file(&backup);
    })?;
    sync_directory(path)
}

/// Adds the name of a backup to the file.
fn link_backup(path: &Path, now: UnixNanos) -> io::Result<PathBuf> {
    let mut last = io::Error::from(ErrorKind::AlreadyExists);
    for millis in 0..MAX_NAMES {
        let backup = backup_path(path, UnixNanos(now.0.saturating_add(millis * 1_000_000)));
        match fs::hard_link(path, &backup) {
            Ok(()) => return Ok(backup),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

/// Makes the new names durable. File systems without this operation are as durable as they can be.
fn sync_directory(path: &Path) -> io::Result<()> {
    let _ = File::open(directory(path)).and_then(|directory| directory.sync_all());
    Ok(())
}

/// Removes the backups that are too many or too old. Returns how many were removed.
///
/// # Errors
/// The directory cannot be listed, or a backup cannot be removed.
pub(super) fn remove_old(path: &Path, rotation: &RotationConfig, now: UnixNanos) -> io::Result<usize> {
    let (prefix, suffix) = around_time(path);
    let mut backups = Vec::new();
    for entry in fs::read_dir(directory(path))? {
        let name = entry?.file_name();
        let time = name.to_str().and_then(|name| name.strip_prefix(&prefix)?.strip_suffix(&suffix));
        backups.extend(time.filter(|time| is_time(time)).map(str::to_owned));
    }
    backups.sort_unstable_by(|one, other| other.cmp(one));
    let oldest = (rotation.max_days > 0).then(|| {
        let age = u64::try_from((DAY * u32::try_from(rotation.max_days).unwrap_or(u32::MAX)).as_nanos());
        time_of(UnixNanos(now.0.saturating_sub(age.unwrap_or(u64::MAX))))
    });
    let mut removed = 0;
    for (index, time) in backups.iter().enumerate() {
        let is_too_old = oldest.as_ref().is_some_and(|oldest| time < oldest);
        if index >= rotation.max_backups || is_too_old {
            fs::remove_file(directory(path).join(format!("{prefix}{time}{suffix}")))?;
            removed += 1;
        }
    }
    Ok(removed)
}

pub(super) fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Returns the path of the file that is prepared to be the next one.
pub(super) fn next_path(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".next");
    name.into()
}

fn backup_path(path: &Path, time: UnixNanos) -> PathBuf {
    let (prefix, suffix) = around_time(path);
    directory(path).join(format!("{prefix}{}{suffix}", time_of(time)))
}

/// Returns what the name of a backup has before and after its time.
fn around_time(path: &Path) -> (String, String) {
    let text = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    let suffix = path.extension().map_or_else(String::new, |extension| format!(".{}", text(Some(extension))));
    (format!("{}-", text(path.file_stem())), suffix)
}

/// Formats the time for a name: RFC 3339 with milliseconds, without `:` and the zone.
fn time_of(time: UnixNanos) -> String {
    let mut text = Rfc3339(time).to_string().replace(':', "-");
    text.truncate(PATTERN.len());
    text
}

fn is_time(text: &str) -> bool {
    text.len() == PATTERN.len()
        && text.bytes().zip(PATTERN.bytes()).all(|(byte, pattern)| match pattern {
            b'0' => byte.is_ascii_digit(),
            _ => byte == pattern,
        })
}
