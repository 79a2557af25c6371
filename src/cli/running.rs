//! The Longwave that runs on this host, if it has an exporter `live`.

use std::io::{self, ErrorKind};
use std::path::PathBuf;

use anyhow::bail;
use longwave_exporters::live::DEFAULT_PATH;

use super::check::view::View;

/// Returns the socket from which it sends records. `None` if no process listens there.
///
/// # Errors
/// This user may not connect.
pub(super) fn socket(view: &View) -> anyhow::Result<Option<PathBuf>> {
    accepted(view.connects(DEFAULT_PATH))
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
