//! Files replaced durably and at once: whoever looks sees the old one or the new one, after a loss of power too.
//!
//! Write beside the place, fsync, rename over it, fsync the folder (rename(2), fsync(2)).

use std::fs::{File, Metadata, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::Path;

/// Who may do what with a file: its mode, and whose it is. A mode alone makes it the caller's: 0o600 lets nobody else
/// read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights {
    /// The bits of chmod(2).
    pub mode: u32,
    /// User and group; none: the caller's.
    pub owner: Option<(u32, u32)>,
}

impl Rights {
    /// Those of a file that is there.
    #[must_use]
    pub fn of(meta: &Metadata) -> Self {
        Self { mode: meta.permissions().mode() & 0o7777, owner: Some((meta.uid(), meta.gid())) }
    }
}

impl From<u32> for Rights {
    fn from(mode: u32) -> Self {
        Self { mode, owner: None }
    }
}

/// Replaces one file with these rights.
///
/// # Errors
/// When the system refuses, or will not give the file to its owner; then the place holds what it held.
pub fn replace(path: &Path, text: &[u8], rights: impl Into<Rights>) -> io::Result<()> {
    replace_by_steps(path, text, rights.into(), |error| error, &mut |_| Ok(()))
}

/// The same, and `step` is told what comes next: `write`, `fsync`, `rename`, `fsync the folder of`. Where it fails, that
/// is the end.
///
/// # Errors
/// That of `step`, or what `failed` makes of the system's; before the rename the place holds what it held.
pub fn replace_by_steps<E>(
    path: &Path,
    text: &[u8],
    rights: Rights,
    failed: impl Fn(io::Error) -> E,
    step: &mut dyn FnMut(&str) -> Result<(), E>,
) -> Result<(), E> {
    // The parent of a name alone is empty, and no folder.
    let named = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = named.unwrap_or_else(|| Path::new("."));
    step("write")?;
    let mut file = tempfile::Builder::new().prefix(".fwc-").tempfile_in(folder).map_err(&failed)?;
    file.write_all(text).map_err(&failed)?;
    give(file.as_file(), rights).map_err(&failed)?;
    step("fsync")?;
    file.as_file().sync_all().map_err(&failed)?;
    step("rename")?;
    file.persist(path).map_err(|e| failed(e.error))?;
    step("fsync the folder of")?;
    sync_folder(folder).map_err(failed)
}

/// The owner first: to change it takes bits of the mode away (chown(2)).
fn give(file: &File, rights: Rights) -> io::Result<()> {
    let meta = file.metadata()?;
    let other = rights.owner.filter(|owner| *owner != (meta.uid(), meta.gid()));
    if let Some((user, group)) = other {
        let refused = |e: io::Error| io::Error::new(e.kind(), format!("its owner cannot be kept: {e}"));
        fchown(file, Some(user), Some(group)).map_err(refused)?;
    }
    file.set_permissions(Permissions::from_mode(rights.mode))
}

/// Makes what was renamed in a folder, or removed from it, last.
///
/// # Errors
/// When the system refuses.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
