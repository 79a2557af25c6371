//! The Longwave that runs on this host, if it has an exporter `live`.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use anyhow::bail;
use longwave_exporters::live::DEFAULT_PATH;

use super::check::view::View;

/// Returns the `file` that the user gave, else the socket from which the running Longwave sends records. `None` if no process listens there.
///
/// # Errors
/// This user may not connect.
pub(super) fn file_or_socket(file: Option<&Path>, view: &View) -> anyhow::Result<Option<PathBuf>> {
    match file {
        Some(file) => Ok(Some(file.to_owned())),
        None => accepted(view.connects(DEFAULT_PATH)),
    }
}

/// Returns the socket for the result of an attempt to connect to it.
///
/// # Errors
/// This user may not connect.
pub(super) fn accepted(attempt: io::Result<()>) -> anyhow::Result<Option<PathBuf>> {
    match attempt {
        Ok(()) => Ok(Some(DEFAULT_PATH.into())),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => bail!(
            "{DEFAULT_PATH}: a Longwave runs, but this user may not connect: run this command as root, or as a member of the group that \
             exporters::live::group names"
        ),
        Err(_) => Ok(None),
    }
}
