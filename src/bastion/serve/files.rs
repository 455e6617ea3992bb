//! The folder of a machine as `compile` writes it, read while people use it.
//!
//! A folder is read twice where it changes meanwhile: what is served is one state of it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::admission::{Admission, Unserved};
use crate::target::sshd::artifact::Server;
use crate::target::sshd::read;

/// The settings, and the folder with a file for each account.
pub const CONFIG: &str = "00-fwc.conf";
const KEYS: &str = "authorized_keys";
/// More is no file of ours.
const MOST_BYTES: u64 = 64 << 20;

/// What says that a folder is as it was: each file with its number, size and times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamp(BTreeMap<PathBuf, (u64, u64, i64, i64)>);

/// How the folder stands; what cannot be read is missing from it.
#[must_use]
pub fn stamp(folder: &Path) -> Stamp {
    let mut all = Stamp::default();
    let keys = key_files(folder).unwrap_or_default();
    for path in keys.into_iter().chain([folder.join(CONFIG)]) {
        if let Ok(meta) = fs::metadata(&path) {
            let times = meta.ctime().saturating_mul(1_000_000_000).saturating_add(meta.ctime_nsec());
            all.0.insert(path, (meta.ino(), meta.size(), meta.mtime(), times));
        }
    }
    all
}

/// Which folder it is, whatever its name; none where there is none.
#[must_use]
pub fn number(folder: &Path) -> Option<(u64, u64)> {
    fs::metadata(folder).ok().map(|meta| (meta.dev(), meta.ino()))
}

/// The files of the accounts.
fn key_files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder.join(KEYS))?;
    let mut all = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    all.sort();
    Ok(all)
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
    let named = |path: &Path| path.strip_prefix(folder).unwrap_or(path).display().to_string();
    let wrong = |path: &Path, what: String| Unserved { file: named(path), what };
    let read = |path: &Path| text(path).map_err(|e| wrong(path, e.to_string()));
    let config = folder.join(CONFIG);
    let config = read::config(&read(&config)?).map_err(|e| wrong(&config, e.to_string()))?;
    let files = match key_files(folder) {
        // Where nobody comes in, `compile` writes no keys. Elsewhere keys that are not there are not *no keys*.
        Err(e) if e.kind() == ErrorKind::NotFound && Admission::admits_nobody(&config) => Vec::new(),
        files => files.map_err(|e| wrong(&folder.join(KEYS), e.to_string()))?,
    };
    let mut server = Server { config, ..Server::default() };
    for path in files {
        let account = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // Written beside and renamed: not there yet.
        if account.starts_with('.') {
            continue;
        }
        let lines = read::keys(&read(&path)?).map_err(|e| wrong(&path, e.to_string()))?;
        server.keys.insert(account, lines);
    }
    Admission::new(&server)
}

fn text(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?.take(MOST_BYTES).read_to_string(&mut text)?;
    Ok(text)
}
