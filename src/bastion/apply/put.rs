//! One file replaced durably and at once: whoever looks sees the old one or the new one, after a loss of power too.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::{ApplyError, Steps};

/// What new files get: keys are public, and settings are.
pub const MODE: u32 = 0o644;

/// The mode of a file that is there, else [`MODE`].
#[must_use]
pub fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).map_or(MODE, |meta| meta.permissions().mode() & 0o7777)
}

/// Writes beside the place, fsyncs, renames, fsyncs the folder.
///
/// # Errors
/// When the system refuses; then the place holds what it held.
pub fn replace(path: &Path, text: &[u8], mode: u32, steps: Steps<'_>) -> Result<(), ApplyError> {
    let failed = || format!("write {}", path.display());
    let folder = path.parent().unwrap_or_else(|| Path::new("/"));
    fs::create_dir_all(folder).map_err(ApplyError::io(failed()))?;
    steps("write")?;
    // sshd reads `*.conf` of its folder, which this name is not.
    let mut file =
        tempfile::Builder::new().prefix(".fwc-").tempfile_in(folder).map_err(ApplyError::io(failed()))?;
    file.write_all(text).map_err(ApplyError::io(failed()))?;
    file.as_file().set_permissions(Permissions::from_mode(mode)).map_err(ApplyError::io(failed()))?;
    steps("fsync")?;
    file.as_file().sync_all().map_err(ApplyError::io(failed()))?;
    steps("rename")?;
    file.persist(path).map_err(|e| ApplyError::io(failed())(e.error))?;
    steps("fsync the folder of")?;
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

fn sync(folder: &Path) -> Result<(), ApplyError> {
    let failed = format!("write {}", folder.display());
    File::open(folder).and_then(|dir| dir.sync_all()).map_err(ApplyError::io(failed))
}
