//! Files of sshd put in their places and taken away, one at a time ([`durable`]).

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
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

/// Copies a folder, modes and owners included, and what links lead to in their places: a change is tried in the copy alone. A link
/// that leads nowhere stays one, and so does one that leads back to a folder above it.
///
/// # Errors
/// When the system refuses.
pub fn copy_tree(from: &Path, to: &Path) -> Result<(), ApplyError> {
    let failed = || ApplyError::io(format!("copy {}", from.display()));
    let meta = match fs::metadata(from) {
        Ok(meta) => meta,
        Err(_) if fs::symlink_metadata(from).is_ok_and(|meta| meta.is_symlink()) => {
            return fs::read_link(from).and_then(|target| symlink(target, to)).map_err(failed());
        }
        // It was removed meanwhile.
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(why) => return Err(failed()(why)),
    };
    let is_link = fs::symlink_metadata(from).is_ok_and(|meta| meta.is_symlink());
    let real = fs::canonicalize(from).map_err(failed())?;
    let above = fs::canonicalize(from.parent().unwrap_or(from)).map_err(failed())?;
    if meta.is_dir() && is_link && above.starts_with(&real) {
        return symlink(&real, to).map_err(failed());
    }
    if meta.is_dir() {
        fs::create_dir_all(to).map_err(failed())?;
        for entry in fs::read_dir(from).map_err(failed())? {
            let entry = entry.map_err(failed())?;
            copy_tree(&entry.path(), &to.join(entry.file_name()))?;
        }
    } else if meta.is_file() {
        fs::copy(from, to).map_err(failed())?;
    } else {
        return Ok(());
    }
    fs::set_permissions(to, meta.permissions()).map_err(failed())?;
    chown(to, Some(meta.uid()), Some(meta.gid())).map_err(failed())
}
