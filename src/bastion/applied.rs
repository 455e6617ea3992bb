//! What was put in place, and confirmed: so that `check` sees what became of it.
//!
//! *Design decisions*. The digests of what is applied are written before the first file is changed, and take the place of those
//! before them when it is confirmed: what is taken back leaves the older ones. While a change waits, its own count; so they do where its
//! record was made that of what is confirmed, which is one `rename(2)`, and whoever did it died then.

#![expect(clippy::disallowed_methods, reason = "keeps its record")]

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::apply::build::digest;
use crate::durable;

/// The folder of the record and of the old files.
pub const PLACE: &str = "/var/lib/fwc-bastion";
/// The change that waits to be confirmed.
pub const PENDING: &str = "pending.json";
/// What is confirmed.
const CONFIRMED: &str = "applied.json";
/// The record of the change that was confirmed last: the step that confirms it.
pub const KEPT: &str = "confirmed.json";
/// What is on trial.
const TRIED: &str = "applied-new.json";

/// Files that were put in place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Applied {
    /// By which change.
    id: u64,
    /// By path, with the digest of each.
    files: BTreeMap<String, String>,
}

/// Writes down what is about to be put in place.
///
/// # Errors
/// When the disk refuses.
pub fn tried<'a>(id: u64, files: impl Iterator<Item = (&'a Path, &'a [u8])>) -> io::Result<()> {
    let files = files.map(|(path, text)| (path.display().to_string(), digest(text))).collect();
    let text = serde_json::to_string_pretty(&Applied { id, files })?;
    durable::replace(&Path::new(PLACE).join(TRIED), text.as_bytes(), 0o600)
}

/// That change is confirmed. One that an older fwc began wrote nothing down: then nothing is known of what is in place.
///
/// # Errors
/// When the disk refuses.
pub fn confirmed(id: u64) -> io::Result<()> {
    let (from, to) = (Path::new(PLACE).join(TRIED), Path::new(PLACE).join(CONFIRMED));
    let own = fs::read(&from).ok().and_then(|text| serde_json::from_slice::<Applied>(&text).ok());
    let moved = if own.is_some_and(|own| own.id == id) { fs::rename(from, to) } else { fs::remove_file(to) };
    moved.or_else(|why| if why.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(why) })?;
    durable::sync_folder(Path::new(PLACE))
}

/// Does what whoever confirmed a change died before: says which files are in place. False where there was nothing left to do.
///
/// # Errors
/// When the disk refuses.
pub fn settled() -> io::Result<bool> {
    let at = |name: &str| fs::read(Path::new(PLACE).join(name)).ok();
    match (at(TRIED).as_deref().and_then(id), at(KEPT).as_deref().and_then(id)) {
        (Some(tried), Some(kept)) if tried == kept => confirmed(kept).map(|()| true),
        _ => Ok(false),
    }
}

/// Which change a record is of.
fn id(text: &[u8]) -> Option<u64> {
    serde_json::from_slice::<Value>(text).ok()?.get("id")?.as_u64()
}

/// What is in place by that record, read by `read`; none where nobody says.
///
/// # Errors
/// What cannot be read.
pub fn read(
    mut read: impl FnMut(&str) -> Result<Option<Vec<u8>>, String>,
) -> Result<Option<BTreeMap<String, String>>, String> {
    let mut one = |name: &str| read(&format!("{PLACE}/{name}"));
    let waits = one(PENDING)?.as_deref().and_then(id);
    let kept = one(KEPT)?.as_deref().and_then(id);
    let mut parsed = |name: &str| -> Result<Option<Applied>, String> {
        let Some(text) = one(name)? else { return Ok(None) };
        serde_json::from_slice(&text).map(Some).map_err(|e| format!("{PLACE}/{name} is damaged: {e}"))
    };
    if let Some(id) = waits {
        let tried = parsed(TRIED)?.filter(|tried| tried.id == id);
        return Ok(tried.map(|tried| tried.files));
    }
    // Whoever confirmed it died before the one took the place of the other.
    if let Some(tried) = parsed(TRIED).ok().flatten().filter(|tried| Some(tried.id) == kept) {
        return Ok(Some(tried.files));
    }
    Ok(parsed(CONFIRMED)?.map(|confirmed| confirmed.files))
}
