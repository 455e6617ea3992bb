//! What is so: the state directory and the kernel, read together, whatever died when.

use std::time::Duration;

use crate::target::nft::artifact::Ruleset;
use crate::target::nft::still::is_later;

use super::change::CONFIRMED_WITH;
use super::live::{self, Nft, is_own, parsed};
use super::state::{BOOT, MEND, Record, State, Trial, boot, uptime};
use super::{ApplyError, carry, damage, parameters, scratch};

/// Milliseconds after the end of a trial in which it is still being rolled back.
const LATE: u64 = 2000;

/// What is so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The confirmed generation; none where nothing is, or that is damaged.
    pub confirmed: Option<Record>,
    /// Whether what is confirmed is damaged.
    pub damaged: bool,
    /// The generation on trial.
    pub trial: Option<(Record, Trial)>,
    /// The mark of the table.
    pub mark: Option<String>,
    /// Whether there is a table of ours.
    pub table: bool,
    /// Whether it is not what its mark says.
    pub altered: bool,
    /// What became of the last generation.
    pub last: Option<(u64, String)>,
    /// What of it is as it should not be.
    pub wrong: Vec<String>,
    /// Milliseconds until the trial is rolled back.
    pub left: Option<u64>,
}

/// What is so, read from the state directory and the kernel, whatever died when.
///
/// # Errors
/// When either cannot be read.
pub fn status(state: &State, nft: &Nft) -> Result<Status, ApplyError> {
    // Whoever changes the machine is given the time to end; what never ends is reported as it stands.
    let lock = state.lock_if_there(Duration::from_secs(2));
    let busy = matches!(lock, Err(ApplyError::Busy));
    let mut wrong = Vec::new();
    let confirmed = state.confirmed_record().unwrap_or_else(|why| {
        wrong.push(why.to_string());
        None
    });
    let damaged = !wrong.is_empty();
    let trial = on_trial(state)?;
    let live = parsed(&nft.own_text()?)?;
    let mark = live::mark(&live);
    let table = live.tables.iter().any(is_own);
    let last = state.last()?;
    let last = state.outcome(last).map(|outcome| (last, outcome));
    if busy {
        wrong.push("another run of fwc is changing this machine right now".to_owned());
    }
    let mut left = None;
    match (&trial, &confirmed) {
        (Some((record, trial)), _) => {
            let now = uptime();
            left = now.as_ref().ok().map(|now| trial.deadline.saturating_sub(*now));
            left = left.filter(|_| trial.boot == boot());
            wrong.extend(trial_faults(trial, mark.as_ref() == Some(&record.mark), now));
        }
        (None, Some(record)) if mark.as_ref() != Some(&record.mark) => {
            let there = if table { "another table is loaded" } else { "no table is loaded" };
            wrong.push(format!("generation {} is confirmed, and {there}", record.generation));
        }
        (None, None) if table && !damaged => wrong.push("a table is loaded that nobody confirmed".to_owned()),
        (None, _) => {}
    }
    if let Some(fault) = confirmed.as_ref().and_then(|record| damage::boot_fault(state, record.generation)) {
        wrong.push(format!(
            "{fault}: the machine would start without its rules, or without some; `fwc apply` of its build, and `fwc confirm`, write another"
        ));
    }
    let mut altered = false;
    let loaded = [trial.as_ref().map(|(record, _)| record), confirmed.as_ref()];
    if let Some(record) = loaded.into_iter().flatten().find(|record| mark.as_ref() == Some(&record.mark)) {
        match parameters::of_generation(state, record.generation) {
            Ok(wanted) => wrong.extend(parameters::unshown(&wanted)),
            Err(why) => wrong.push(format!("{why}; {MEND}")),
        }
        let is_on_trial = trial.as_ref().is_some_and(|(tried, _)| tried.generation == record.generation);
        let changed = is_altered(state, nft, record, &live);
        altered = matches!(changed, Ok(true));
        wrong.extend(alteration(record.generation, is_on_trial, changed));
    }
    Ok(Status { confirmed, damaged, trial, mark, table, altered, last, wrong, left })
}

/// The trial, and what it tries.
fn on_trial(state: &State) -> Result<Option<(Record, Trial)>, ApplyError> {
    let Some(trial) = state.trial()? else { return Ok(None) };
    let record = state.record(trial.generation).map_err(|why| match why {
        ApplyError::State(why) => ApplyError::State(format!("{why}; `fwc rollback` ends its trial")),
        why => why,
    })?;
    Ok(Some((record, trial)))
}

/// What of a trial is as it should not be; `now` in milliseconds since the machine started.
fn trial_faults(trial: &Trial, is_loaded: bool, now: Result<u64, ApplyError>) -> Vec<String> {
    let mut wrong = Vec::new();
    let number = trial.generation;
    let is_of_this_boot = trial.boot == boot();
    if !is_of_this_boot {
        wrong.push(format!("a reboot ended the trial of generation {number}: `fwc rollback` says so too"));
    } else if !is_loaded {
        wrong.push(format!("generation {number} is on trial and not loaded: `fwc rollback` ends the trial"));
    }
    match now {
        Err(why) => wrong.push(format!("how long the trial lasts is not known: {why}")),
        Ok(now) if is_of_this_boot && now > trial.deadline.saturating_add(LATE) => {
            let late = now.saturating_sub(trial.deadline) / 1000;
            wrong.push(format!(
                "generation {number} was to be rolled back {late} s ago, and was not: `fwc rollback`"
            ));
        }
        Ok(_) => {}
    }
    match &trial.watchdog {
        Some(watchdog) if is_of_this_boot && !watchdog.is_alive() => {
            wrong.push("its watchdog is gone: `fwc confirm` or `fwc rollback`, nobody else will".to_owned());
        }
        None if is_of_this_boot => {
            wrong.push("it is not known whether a watchdog was armed: `fwc rollback`".to_owned());
        }
        Some(_) | None => {}
    }
    wrong
}

/// Whether somebody changed the table that bears the mark of a generation. What it counts and what passes is no change.
fn is_altered(state: &State, nft: &Nft, record: &Record, live: &Ruleset) -> Result<bool, ApplyError> {
    let confirmed = state.text(record.generation, CONFIRMED_WITH).ok();
    let confirmed = confirmed.and_then(|listing| parsed(&live::own_part(&listing)).ok());
    if confirmed.is_some_and(|confirmed| is_later(live, &confirmed)) {
        return Ok(false);
    }
    // On trial nothing is listed yet, and another nft may list it in other words.
    if let Some(fault) = damage::boot_fault(state, record.generation) {
        return Err(ApplyError::State(fault));
    }
    let expected = scratch::load(nft, &state.text(record.generation, BOOT)?)?;
    Ok(carry::canonical(live) != carry::canonical(&expected))
}

/// What is said of a table that was changed, or of which that is not known.
fn alteration(number: u64, is_on_trial: bool, changed: Result<bool, ApplyError>) -> Option<String> {
    let on = match changed {
        Ok(false) => return None,
        Err(why) => {
            return Some(format!(
                "whether the table of generation {number} is what was loaded is not known: {why}"
            ));
        }
        Ok(true) if is_on_trial => "`fwc rollback` takes it away, and nobody can confirm it",
        Ok(true) => "`fwc drift` says which packets see it, and `fwc apply` of its build loads it anew",
    };
    Some(format!("the table of generation {number} is not what was loaded, though it bears its mark: {on}"))
}
