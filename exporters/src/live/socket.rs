//! Creates the socket with its permissions.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::path::Path;

use tokio::net::UnixListener;

/// Owner and group may connect: to connect needs the permission to write.
const MODE: u32 = 0o660;

/// Listens at `path`. Replaces a socket at which no process listens.
///
/// # Errors
/// What failed, with the remedy: another process listens, something else is there, the group does not exist, or the system refuses.
pub(super) fn listen(path: &Path, group: Option<&str>) -> Result<UnixListener, String> {
    let group = group.map(group_id).transpose()?;
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)
            .map_err(|error| format!("the directory {} cannot be created: {error}", directory.display()))?;
    }
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err("exists and is not a socket: choose another path".to_owned());
        }
        Ok(_) => remove_stale(path)?,
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error.to_string()),
    }
    let listener = UnixListener::bind(path).map_err(|error| format!("cannot listen: {error}"))?;
    // So far, the mode is that of the umask, which usually lets only the owner write. To connect, a process must be allowed to write.
    let protect = || -> io::Result<()> {
        if group.is_some() {
            chown(path, None, group)?;
        }
        fs::set_permissions(path, Permissions::from_mode(MODE))
    };
    protect().map_err(|error| {
        let _ = fs::remove_file(path);
        let remedy = " (to give it to a group, longwave must be root or a member of it; for a systemd unit, set SupplementaryGroups)";
        let remedy = if error.kind() == ErrorKind::PermissionDenied { remedy } else { "" };
        format!("its permissions cannot be set: {error}{remedy}")
    })?;
    Ok(listener)
}

/// Removes the socket of a process that has ended.
fn remove_stale(path: &Path) -> Result<(), String> {
    match UnixStream::connect(path) {
        Ok(_) => {
            Err("another process listens there, perhaps another Longwave: choose another path".to_owned())
        }
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path)
            .map_err(|error| format!("the socket of an earlier process cannot be removed: {error}")),
        Err(error) => Err(format!("exists, and it is unknown whether a process listens there: {error}")),
    }
}

/// Returns the id of a group that is given by name or number.
fn group_id(group: &str) -> Result<u32, String> {
    if let Ok(number) = group.parse() {
        return Ok(number);
    }
    let groups = fs::read_to_string("/etc/group")
        .map_err(|error| format!("group: /etc/group cannot be read: {error}"))?;
    // name:password:gid:members
    let entry = groups.lines().map(|line| line.split(':')).find_map(|mut fields| {
        (fields.next() == Some(group)).then(|| fields.nth(1).and_then(|gid| gid.parse().ok())).flatten()
    });
    entry.ok_or_else(|| {
        format!("group: {group:?} is not in /etc/group: create it (groupadd), or give its number")
    })
}
