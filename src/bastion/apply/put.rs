//! Files of sshd put in their places and taken away, one at a time ([`durable`]).

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::{ApplyError, Steps};
use crate::durable;

/// What new files get: keys are public, and settings are.
pub const MODE: u32 = 0o644;

/// The mode of a file that is there, else [`MODE`].
#[must_use]
pub fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).map_or(MODE, |meta| meta.permissions().mode() & 0o7777)
}

/// Replaces a file, in a folder that is made where there is none.
///
/// # Errors
/// When the system refuses; then the place holds what it held.
pub fn replace(path: &Path, text: &[u8], mode: u32, steps: Steps<'_>) -> Result<(), ApplyError> {
    let failed = || format!("write {}", path.display());
    let folder = path.parent().unwrap_or_else(|| Path::new("/"));
    fs::create_dir_all(folder).map_err(ApplyError::io(failed()))?;
    // sshd reads `*.conf` of its folder, which the temporary name is not.
    durable::replace_by_steps(path, text, mode, |error| ApplyError::io(failed())(error), steps)
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

fn sync(folder: &Path) -> Result<(), ApplyError> {
    durable::sync_folder(folder).map_err(ApplyError::io(format!("write {}", folder.display())))
}
