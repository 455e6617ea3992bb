//! The way back where something of the state directory is damaged: no unconfirmed table stands for want of a file.
//!
//! *Design decisions*. What says best what was there comes first: `rollback.nft` of the generation. Where that is gone or not
//! as it was written, what is confirmed is loaded; where nothing is, or that is damaged too, our tables go, as before the first
//! of them. Each of these files says its digest itself ([`sealed`]): one cut between two tables reads like a whole one, and the
//! record may be lost with it.
//! A sound file that nft refuses is no damage: it is tried again. What is not known any more is told, never guessed.

use std::fs;

use crate::target::nft::artifact::Ruleset;

use super::ApplyError;
use super::build::digest;
use super::live::{self, MARK, NAME, Nft, parsed};
use super::state::{BOOT, Lock, ROLLBACK, Record, State, replace};

/// What is loaded instead of a `rollback.nft` that is damaged, in the generation's folder.
const INSTEAD: &str = "instead.nft";

/// What is known of a generation; where its record is damaged, what the table and the other files tell, and what that leaves
/// out.
///
/// # Errors
/// When nft cannot be asked.
pub(super) fn record(state: &State, generation: u64) -> Result<(Record, Option<String>), ApplyError> {
    let why = match state.record(generation) {
        Ok(record) => return Ok((record, None)),
        Err(why) => why,
    };
    let nft = Nft::found()?;
    let marked = |text: &str| parsed(text).ok().as_ref().and_then(live::mark);
    let own = own_mark(generation);
    let mark = marked(&nft.own_text()?).filter(|mark| mark.starts_with(&own));
    let confirmed = state.confirmed().ok().flatten().and_then(|number| state.record(number).ok());
    let unknown = || "unknown".to_owned();
    let record = Record {
        generation,
        mark: mark.unwrap_or(own),
        before: state.text(generation, ROLLBACK).ok().and_then(|text| marked(&text)),
        confirmed: None,
        host: confirmed.map_or_else(unknown, |record| record.host),
        policy: unknown(),
        by: unknown(),
        connection: None,
        open: Vec::new(),
        loading: false,
        nft: nft.path().to_owned(),
        boot: String::new(),
        parameters: Vec::new(),
        beside: Default::default(),
        bridges: Vec::new(),
        left: Default::default(),
    };
    let told = format!(
        "its record is damaged ({why}): which parameters of the kernel it had changed is not known, and they stay as they are \
         (`fwc drift` compares them)"
    );
    Ok((record, Some(told)))
}

/// Whether the table of a generation stands, by its mark alone.
///
/// # Errors
/// When nft cannot be asked.
pub(super) fn stands(generation: u64) -> Result<bool, ApplyError> {
    let mark = live::mark(&parsed(&Nft::found()?.own_text()?)?);
    Ok(mark.is_some_and(|mark| mark.starts_with(&own_mark(generation))))
}

/// What the mark of a generation begins with.
fn own_mark(generation: u64) -> String {
    format!("{MARK}{generation}_")
}

/// A file for nft as a generation keeps it: its first line says whose it is, and the digest of what follows.
pub(super) fn sealed(generation: u64, name: &str, text: &str) -> String {
    format!("{}{}\n{text}", seal(generation, name), digest(text))
}

/// What the first line of such a file begins with.
fn seal(generation: u64, name: &str) -> String {
    format!("# {name} of generation {generation}. What follows: ")
}

/// Whether files of a generation say their digest: an older fwc wrote it into none, and whoever writes it writes it into both.
fn seals(state: &State, generation: u64) -> bool {
    let has = |name| state.text(generation, name).is_ok_and(|text| text.starts_with(&seal(generation, name)));
    has(BOOT) || has(ROLLBACK)
}

/// Whether a file is what was written there; none where it does not say.
fn is_whole(generation: u64, name: &str, text: &str) -> Option<bool> {
    let (said, follows) = text.strip_prefix(&seal(generation, name))?.split_once('\n')?;
    Some(digest(follows) == said)
}

/// What was there before a generation, as its `rollback.nft` has it; or how that is damaged.
pub(super) fn before(state: &State, record: &Record) -> Result<Ruleset, String> {
    let text = state.text(record.generation, ROLLBACK).map_err(|why| why.to_string())?;
    if is_whole(record.generation, ROLLBACK, &text) != Some(true) {
        return Err(format!("`{ROLLBACK}` is empty, cut short or not what was written"));
    }
    let before = parsed(&text).map_err(|why| format!("`{ROLLBACK}` cannot be read: {why}"))?;
    if live::mark(&before) != record.before {
        return Err(format!("`{ROLLBACK}` is not what was there before"));
    }
    Ok(before)
}

/// How the `boot.nft` of a generation is damaged; none where it is sound. One that an older fwc wrote is known by its mark, and
/// by its `rollback.nft`, which does not say its digest either.
pub(super) fn boot_fault(state: &State, generation: u64) -> Option<String> {
    let text = match state.text(generation, BOOT) {
        Ok(text) => text,
        Err(why) => return Some(why.to_string()),
    };
    let is_sound = is_whole(generation, BOOT, &text).unwrap_or_else(|| {
        let mark = parsed(&text).ok().as_ref().and_then(live::mark);
        !seals(state, generation) && mark.is_some_and(|mark| mark.starts_with(&own_mark(generation)))
    });
    (!is_sound)
        .then(|| format!("`{BOOT}` of generation {generation} is empty, cut short or not what was written"))
}

/// What is confirmed besides a generation, where its `boot.nft` is sound: its number, that file, its mark.
fn sound(state: &State, generation: u64) -> Option<(u64, String, String)> {
    let number = state.confirmed().ok().flatten().filter(|number| *number != generation)?;
    if boot_fault(state, number).is_some() {
        return None;
    }
    let text = state.text(number, BOOT).ok()?;
    let mark = live::mark(&parsed(&text).ok()?).filter(|mark| mark.starts_with(&own_mark(number)))?;
    Some((number, text, mark))
}

/// After a reboot that ended a generation's trial: what is confirmed is loaded, as the boot unit does it, and what stands is left
/// alone where nothing is, unless it is that generation's. Says so where what is confirmed cannot be loaded.
///
/// # Errors
/// When it is not so then.
pub(super) fn confirmed_again(
    state: &State,
    lock: &Lock,
    nft: &Nft,
    record: &Record,
) -> Result<Option<String>, ApplyError> {
    let there = live::mark(&parsed(&nft.own_text()?)?);
    let is_known = sound(state, record.generation).is_some();
    let done = if is_known || there.as_ref() == Some(&record.mark) {
        Some(instead(state, lock, nft, record.generation)?)
    } else {
        None
    };
    if is_known || matches!(state.confirmed(), Ok(None)) {
        return Ok(None);
    }
    let left = "our tables were left as this boot has them".to_owned();
    Ok(Some(format!("what is confirmed is damaged: {}", done.unwrap_or(left))))
}

/// Loads what is confirmed, or takes our tables away where nothing is; says which.
///
/// # Errors
/// When our tables are not so then.
pub(super) fn instead(state: &State, lock: &Lock, nft: &Nft, generation: u64) -> Result<String, ApplyError> {
    let confirmed = sound(state, generation);
    let wanted = confirmed.as_ref().map(|(_, _, mark)| mark);
    let there = || -> Result<Option<String>, ApplyError> { Ok(live::mark(&parsed(&nft.own_text()?)?)) };
    if wanted.is_none() || there()?.as_ref() != wanted {
        let mut text = String::new();
        for family in nft.own()? {
            text.push_str(&format!("delete table {} {NAME}\n", family.keyword()));
        }
        text.push_str(confirmed.as_ref().map_or("", |(_, text, _)| text));
        let folder = state.generation(generation);
        let path = folder.join(INSTEAD);
        let is_written = fs::create_dir_all(&folder).is_ok() && replace(&path, &text).is_ok();
        // A disk that takes nothing is no reason to leave what nobody confirmed.
        let loaded = if is_written { nft.load_file(&path, lock.share()?) } else { nft.load(&text) };
        if there()?.as_ref() != wanted || (wanted.is_none() && !nft.own()?.is_empty()) {
            loaded?;
            return Err(ApplyError::Cannot("the table before it could not be put back".to_owned()));
        }
    }
    Ok(match confirmed {
        Some((number, _, _)) => format!("what is confirmed, generation {number}, was loaded instead"),
        None => "no generation is confirmed that could be loaded instead: our tables were removed".to_owned(),
    })
}
