//! Files of sshd put in their places and taken away, one at a time ([`durable`]).

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::{ApplyError, Steps};
use crate::durable::{self, Rights};

/// What new files get: keys are public, and settings are. sshd reads keys as the one who logs in.
pub const MODE: u32 = 0o644;
/// What new folders get, for the same reason.
const FOLDER: u32 = 0o755;

/// Replaces a file, in a folder that is made where there is none.
///
/// # Errors
/// When the system refuses; then the place holds what it held.
pub fn replace(
    path: &Path,
    text: &[u8],
    rights: impl Into<Rights>,
    steps: Steps<'_>,
) -> Result<(), ApplyError> {
    let failed = || format!("write {}", path.display());
    make(path.parent().unwrap_or_else(|| Path::new("/"))).map_err(ApplyError::io(failed()))?;
    // sshd reads `*.conf` of its folder, which the temporary name is not.
    durable::replace_by_steps(path, text, rights.into(), |error| ApplyError::io(failed())(error), steps)
}

/// Makes a folder, and those above it, that everybody may read: under a umask of 077 it would shut out all but root.
/// Folders that are there stay as they are.
fn make(folder: &Path) -> std::io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(above) = folder.parent() {
        make(above)?;
    }
    fs::create_dir(folder)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(FOLDER))
}

/// Puts a symbolic link in its place; one that stands is left alone.
///
/// # Errors
/// When the system refuses; then the place holds what it held.
pub fn link(path: &Path, target: &Path) -> Result<(), ApplyError> {
    if fs::read_link(path).is_ok_and(|now| now == target) {
        return Ok(());
    }
    let failed = || format!("write {}", path.display());
    let folder = path.parent().unwrap_or_else(|| Path::new("/"));
    make(folder).map_err(ApplyError::io(failed()))?;
    let made = tempfile::Builder::new().prefix(".fwc-").make_in(folder, |name| symlink(target, name));
    let made = made.map_err(ApplyError::io(failed()))?;
    made.persist(path).map_err(|e| ApplyError::io(failed())(e.error))?;
    sync(folder)
}

/// Takes a file away; one that is not there is no error.
///
/// # Errors
/// When the system refuses.
pub fn remove(path: &Path) -> Result<(), ApplyError> {
    // A read-only disk refuses to remove even what is not there.
    if fs::symlink_metadata(path).is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound) {
        return Ok(());
    }
    match fs::remove_file(path) {
        Ok(()) => sync(path.parent().unwrap_or_else(|| Path::new("/"))),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(ApplyError::io(format!("remove {}", path.display()))(e)),
    }
}

/// Has a folder's entries on the disk.
///
/// # Errors
/// When the system refuses.
pub fn sync(folder: &Path) -> Result<(), ApplyError> {
    durable::sync_folder(folder).map_err(ApplyError::io(format!("write {}", folder.display())))
}
