//! The file of the audit log: whether what is written to it stands where somebody looks for it.
//!
//! *Design decisions*. It is opened once, by whoever starts the server, and not again: whom it becomes may write no file
//! (landlock), so that whoever breaks it cannot rewrite what older logs say. So a file that was renamed (logrotate) takes the
//! lines on, and that is told; one that was deleted keeps nothing, and what cannot be written does not happen.

use std::fs::{self, File};
use std::io::{Error, ErrorKind, Result, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A log that takes no line once its file is deleted.
#[derive(Debug)]
pub struct Kept(File);

/// Where that file was opened.
#[derive(Debug)]
pub struct Place {
    path: PathBuf,
    file: File,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stands {
    /// It is there, as far as this user may see.
    There,
    /// It is called otherwise: nothing is where it was, or another file.
    Renamed,
    /// Nobody finds it any more.
    Deleted,
}

/// Opens a file to append to, and makes it where there is none; the place of one that may be renamed or deleted.
///
/// # Errors
/// It cannot be opened.
pub fn open(path: &Path) -> Result<(Kept, Option<Place>)> {
    let file = fs::OpenOptions::new().append(true).create(true).open(path)?;
    // A device or a pipe is nobody's to rotate.
    let plain = file.metadata().is_ok_and(|meta| meta.is_file() && meta.nlink() > 0);
    let place = if plain { Some(Place { path: path.to_owned(), file: file.try_clone()? }) } else { None };
    Ok((Kept(file), place))
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        if is_deleted(&self.0) {
            return Err(Error::from(ErrorKind::NotFound));
        }
        self.0.write(bytes)
    }

    fn flush(&mut self) -> Result<()> {
        self.0.flush()
    }
}

/// A file that has no name any more; a pipe has one of its own.
fn is_deleted(file: &File) -> bool {
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.nlink() == 0)
}

impl Place {
    /// How it stands now.
    #[must_use]
    pub fn stands(&self) -> Stands {
        if is_deleted(&self.file) {
            return Stands::Deleted;
        }
        let number = |meta: fs::Metadata| (meta.dev(), meta.ino());
        match (fs::metadata(&self.path).map(number), self.file.metadata().map(number)) {
            (Ok(there), Ok(own)) if there != own => Stands::Renamed,
            (Err(e), _) if e.kind() == ErrorKind::NotFound => Stands::Renamed,
            _ => Stands::There,
        }
    }

    /// Where it was.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}
