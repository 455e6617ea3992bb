//! The way back where something of the state directory is damaged: no unconfirmed table stands for want of a file.
//!
//! *Design decisions*. What says best what was there comes first: `rollback.nft` of the generation. Where that is gone or cut
//! short, what is confirmed is loaded; where nothing is, or that is damaged too, our tables go, as before the first of them.
//! A sound file that nft refuses is no damage: it is tried again. What is not known any more is told, never guessed.

use std::fs;

use crate::target::nft::artifact::Ruleset;

use super::ApplyError;
use super::live::{self, MARK, NAME, Nft, parsed};
use super::state::{Lock, Record, State, replace};

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
        before: state.text(generation, "rollback.nft").ok().and_then(|text| marked(&text)),
        host: confirmed.map_or_else(unknown, |record| record.host),
        policy: unknown(),
        by: unknown(),
        connection: None,
        open: Vec::new(),
        nft: nft.path().to_owned(),
        boot: String::new(),
        parameters: Vec::new(),
        beside: Default::default(),
        left: Default::default(),
    };
    let told = format!(
        "its record is damaged ({why}): which parameters of the kernel it had changed is not known, and they stay as they are \
         (`fwc drift` compares them)"
    );
    Ok((record, Some(told)))
}

/// What the mark of a generation begins with.
fn own_mark(generation: u64) -> String {
    format!("{MARK}{generation}_")
}

/// What was there before a generation, as its `rollback.nft` has it; or how that is damaged.
pub(super) fn before(state: &State, record: &Record, is_lost: bool) -> Result<Ruleset, String> {
    let text = state.text(record.generation, "rollback.nft").map_err(|why| why.to_string())?;
    // Each one takes at least one table away before it adds any.
    if !text.contains("delete table ") {
        return Err("`rollback.nft` is empty, or cut short".to_owned());
    }
    let before = parsed(&text).map_err(|why| format!("`rollback.nft` is damaged: {why}"))?;
    if !is_lost && live::mark(&before) != record.before {
        return Err("`rollback.nft` is not what was there before".to_owned());
    }
    Ok(before)
}

/// Loads what is confirmed, or takes our tables away where nothing is; says which.
///
/// # Errors
/// When our tables are not so then.
pub(super) fn instead(state: &State, lock: &Lock, nft: &Nft, generation: u64) -> Result<String, ApplyError> {
    let sound = |number: &u64| {
        let text = state.text(*number, "boot.nft").ok()?;
        let mark = live::mark(&parsed(&text).ok()?).filter(|mark| mark.starts_with(&own_mark(*number)))?;
        Some((*number, text, mark))
    };
    let confirmed = state.confirmed().ok().flatten().filter(|number| *number != generation);
    let confirmed = confirmed.as_ref().and_then(sound);
    let wanted = confirmed.as_ref().map(|(_, _, mark)| mark);
    let there = || -> Result<Option<String>, ApplyError> { Ok(live::mark(&parsed(&nft.own_text()?)?)) };
    if wanted.is_none() || there()?.as_ref() != wanted {
        let mut text = String::new();
        for family in nft.own()? {
            text.push_str(&format!("delete table {} {NAME}\n", family.keyword()));
        }
        text.push_str(confirmed.as_ref().map_or("", |(_, text, _)| text));
        let folder = state.generation(generation);
        fs::create_dir_all(&folder)
            .map_err(ApplyError::system(format!("cannot make `{}`", folder.display())))?;
        let path = folder.join(INSTEAD);
        replace(&path, &text)?;
        let loaded = nft.load_file(&path, lock.share()?);
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
