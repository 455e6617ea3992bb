//! Files replaced durably and at once: whoever looks sees the old one or the new one, after a loss of power too.
//!
//! Write beside the place, fsync, rename over it, fsync the folder (rename(2), fsync(2)).

use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Replaces one file with these permissions: 0o600 lets nobody else read it.
///
/// # Errors
/// When the system refuses; then the place holds what it held.
pub fn replace(path: &Path, text: &[u8], mode: u32) -> io::Result<()> {
    replace_by_steps(path, text, mode, |error| error, &mut |_| Ok(()))
}

/// The same, and `step` is told what comes next: `write`, `fsync`, `rename`, `fsync the folder of`. Where it fails, that
/// is the end.
///
/// # Errors
/// That of `step`, or what `failed` makes of the system's; before the rename the place holds what it held.
pub fn replace_by_steps<E>(
    path: &Path,
    text: &[u8],
    mode: u32,
    failed: impl Fn(io::Error) -> E,
    step: &mut dyn FnMut(&str) -> Result<(), E>,
) -> Result<(), E> {
    // The parent of a name alone is empty, and no folder.
    let named = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = named.unwrap_or_else(|| Path::new("."));
    step("write")?;
    let mut file = tempfile::Builder::new().prefix(".fwc-").tempfile_in(folder).map_err(&failed)?;
    file.write_all(text).map_err(&failed)?;
    file.as_file().set_permissions(Permissions::from_mode(mode)).map_err(&failed)?;
    step("fsync")?;
    file.as_file().sync_all().map_err(&failed)?;
    step("rename")?;
    file.persist(path).map_err(|e| failed(e.error))?;
    step("fsync the folder of")?;
    sync_folder(folder).map_err(failed)
}

/// Makes what was renamed in a folder, or removed from it, last.
///
/// # Errors
/// When the system refuses.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
