//! The folder of a machine's sshd as `compile` wrote it: `00-fwc.conf`, `authorized_keys/ACCOUNT`.
//!
//! *Design decisions*. In a build, each file has to be the one that was proved, by the build's manifest, and none may be there
//! that it does not list. A folder that was copied out of its build, or written by hand, has no manifest, and whoever reads it
//! says so.

#![expect(clippy::disallowed_methods, reason = "reads the files that are put in place")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::apply::ApplyError;
use crate::apply::build::Manifest;

/// The settings' name in the folder.
pub const SETTINGS: &str = "00-fwc.conf";
const KEYS: &str = "authorized_keys";
/// The build's folder of machines, and that of an sshd in a machine's.
const HOSTS: &str = "hosts";
const SSH: &str = "ssh";

/// What is in it.
#[derive(Clone, Debug, Default)]
pub struct Folder {
    /// The settings.
    pub settings: Vec<u8>,
    /// Files of keys, by account.
    pub keys: BTreeMap<String, Vec<u8>>,
    /// Whether a manifest lists just these.
    pub is_proved: bool,
}

/// Why it is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// It is not what was proved, or no folder of an sshd.
    #[error("{0}")]
    Refused(String),
    /// The system refused something.
    #[error("{0}")]
    Unread(String),
}

/// Reads it.
///
/// # Errors
/// What cannot be read, is no account's name, or is not what the build's manifest says.
pub fn read(at: &Path) -> Result<Folder, NotTaken> {
    let cannot = |path: &Path| {
        let path = path.display().to_string();
        move |e: std::io::Error| NotTaken::Unread(format!("cannot read {path}: {e}"))
    };
    let name = at.join(SETTINGS);
    let settings = fs::read(&name).map_err(cannot(&name))?;
    let mut folder = Folder { settings, ..Folder::default() };
    let keys = at.join(KEYS);
    if keys.is_dir() {
        for entry in fs::read_dir(&keys).map_err(cannot(&keys))? {
            let entry = entry.map_err(cannot(&keys))?;
            let name = entry.file_name().into_string().unwrap_or_default();
            let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            if name.is_empty() || name.starts_with(['.', '-']) || !name.chars().all(sound) {
                return Err(NotTaken::Refused(format!("`{name}` is no account's name")));
            }
            folder.keys.insert(name, fs::read(entry.path()).map_err(cannot(&entry.path()))?);
        }
    }
    folder.is_proved = proved(at, &folder)?;
    Ok(folder)
}

/// The build that a folder is in, and its name there; none where it is in none.
#[must_use]
pub fn build(at: &Path) -> Option<(PathBuf, String)> {
    let at = fs::canonicalize(at).ok()?;
    let mut above = at.ancestors().skip(1);
    let (machine, hosts, root) = (above.next()?, above.next()?, above.next()?);
    let named = |path: &Path, name: &str| path.file_name().is_some_and(|own| own == name);
    let is_one = named(&at, SSH) && named(hosts, HOSTS) && root.join("manifest.json").exists();
    let host = machine.file_name()?.to_str()?;
    is_one.then(|| (root.to_owned(), format!("{HOSTS}/{host}/{SSH}/")))
}

/// Whether the manifest of a build lists the files, and no others; false where the folder is in no build.
fn proved(at: &Path, folder: &Folder) -> Result<bool, NotTaken> {
    let refused = |why: ApplyError| NotTaken::Refused(why.to_string());
    let Some((root, below)) = build(at) else { return Ok(false) };
    let manifest = Manifest::read(&root).map_err(refused)?;
    let keys = folder.keys.iter().map(|(name, text)| (format!("{KEYS}/{name}"), text));
    let files: BTreeMap<String, &Vec<u8>> = keys
        .chain([(SETTINGS.to_owned(), &folder.settings)])
        .map(|(name, text)| (format!("{below}{name}"), text))
        .collect();
    for (name, text) in &files {
        manifest.proves(name, text).map_err(refused)?;
    }
    let ours =
        |name: &&str| name.strip_prefix(&below).is_some_and(|name| name.starts_with(&format!("{KEYS}/")));
    match manifest.names().filter(ours).find(|name| !files.contains_key(*name)) {
        Some(name) => Err(NotTaken::Refused(format!(
            "`{name}` is in the manifest, and not in the build; compile again"
        ))),
        None => Ok(true),
    }
}
