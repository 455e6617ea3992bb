//! The folder of a machine as `compile` writes it, read while people use it.
//!
//! A folder is read twice where it changes meanwhile: what is served is one state of it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::admission::{Admission, Unserved};
use crate::target::sshd::artifact::Server;
use crate::target::sshd::read;

/// More is no file of ours.
const MOST_BYTES: u64 = 64 << 20;

/// What says that a folder is as it was: each file with its number, size and times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamp(BTreeMap<PathBuf, (u64, u64, i64, i64)>);

/// How the folder stands; unreadable files are missing from it.
#[must_use]
pub fn stamp(folder: &Path) -> Stamp {
    let mut all = Stamp::default();
    for path in files(folder) {
        if let Ok(meta) = fs::metadata(&path) {
            let times = meta.ctime().saturating_mul(1_000_000_000).saturating_add(meta.ctime_nsec());
            all.0.insert(path, (meta.ino(), meta.size(), meta.mtime(), times));
        }
    }
    all
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = vec![folder.join("00-fwc.conf")];
    let entries = fs::read_dir(folder.join("authorized_keys")).into_iter().flatten().flatten();
    all.extend(entries.map(|entry| entry.path()));
    all.sort();
    all
}

/// Reads a folder, and says how it stood.
///
/// # Errors
/// [`Unserved`]: what cannot be read, is not understood, or changes under the reader.
pub fn load(folder: &Path) -> Result<(Admission, Stamp), Unserved> {
    for _ in 0..3 {
        let before = stamp(folder);
        let admission = read_once(folder);
        if stamp(folder) == before {
            return Ok((admission?, before));
        }
    }
    Err(Unserved { file: folder.display().to_string(), what: "it changes while it is read".to_owned() })
}

fn read_once(folder: &Path) -> Result<Admission, Unserved> {
    let mut server = Server::default();
    for path in files(folder) {
        let name = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
        let wrong = |what: String| Unserved { file: name.clone(), what };
        let text = text(&path).map_err(|e| wrong(e.to_string()))?;
        match name.strip_prefix("authorized_keys/") {
            // Written beside and renamed: not there yet.
            Some(account) if account.starts_with('.') => {}
            Some(account) => {
                let lines = read::keys(&text).map_err(|e| wrong(e.to_string()))?;
                server.keys.insert(account.to_owned(), lines);
            }
            None => server.config = read::config(&text).map_err(|e| wrong(e.to_string()))?,
        }
    }
    Admission::new(&server)
}

fn text(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?.take(MOST_BYTES).read_to_string(&mut text)?;
    Ok(text)
}
