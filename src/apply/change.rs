//! The one dangerous thing: plan, arm, load, read back; then confirm, or roll back.
//!
//! `Plan → Armed → on trial → confirmed`. What exists has been checked: a [`Plan`] was loaded into a scratch namespace,
//! and so was the way back; an [`Armed`] has a watchdog. [`Armed::load`] ends in the new table, read back, or in the
//! old one. A death of this process at any step leaves the trial to the watchdog, and the truth to [`super::status`].

#![expect(clippy::disallowed_methods, reason = "sets the kernel's parameters")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::target::nft::artifact::{Ruleset, Table};
use crate::target::nft::read;

use super::admin::{self, Connection};
use super::build::{Build, Leg};
use super::live::{self, Nft, is_own, parsed};
use super::preflight::{self, Refusal};
use super::state::{
    BOOT, Lock, Parameter, ROLLBACK, ROLLED_BACK, Record, State, Trial, boot, replace, uptime,
};
use super::watchdog::{self, Watchdog};
use super::{ApplyError, carry, connections, damage, log, parameters, scratch};

/// How long a command waits for another one to end.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The listing of every table at the moment of the confirmation, in the generation's folder.
pub const CONFIRMED_WITH: &str = "confirmed-with.nft";
/// The file of a generation with the kernel's parameters that it wants as they were when it was confirmed.
pub const CONFIRMED_PARAMETERS: &str = "confirmed-with.conf";
/// The file of a generation with the legs of its build.
const LEGS: &str = "interfaces.json";

/// What would be done, tried in a scratch namespace.
#[derive(Debug)]
pub struct Plan {
    /// What is to be loaded, as it is given to nft.
    pub apply: String,
    /// The same without what was carried over.
    pub boot: String,
    /// The way back.
    pub rollback: String,
    /// Our tables as nft will list them.
    pub expected: Ruleset,
    /// Our tables as nft lists them now.
    pub live: Ruleset,
    /// The record of the generation.
    pub record: Record,
    /// The other files of the generation.
    files: Vec<(&'static str, String)>,
    /// Whether the live tables are these already, and confirmed.
    pub nothing_to_do: bool,
    /// What speaks against it where nobody knows what is confirmed, or whose the live table is: the kernel alone was asked.
    pub unclear: Option<Refusal>,
}

/// Who does it, and how.
#[derive(Clone, Debug)]
pub struct Manner {
    /// The administrator's connection.
    pub connection: Option<Connection>,
    /// Who, in words.
    pub by: String,
    /// Parameters of the kernel to set with the rules.
    pub parameters: Vec<Parameter>,
}

impl Plan {
    /// What applying a build would do here.
    ///
    /// # Errors
    /// When the live tables cannot be read, or the kernel refuses the new ones or the way back.
    pub fn new(state: &State, nft: &Nft, build: &Build, manner: Manner) -> Result<Self, ApplyError> {
        let live_text = nft.own_text()?;
        let live = parsed(&live_text)?;
        let before = live::mark(&live);
        // No number is given twice: the watchdog of one that the state has forgotten would end this one's trial.
        let loaded = before.as_deref().and_then(live::generation).unwrap_or(0);
        let generation = state.last()?.max(loaded).saturating_add(1);
        let mark = carry::mark(generation, &build.digest);
        let marked = carry::marked(&build.ruleset, &mark);
        let gone: Vec<&Table> = live.tables.iter().filter(|old| is_own(old) && !has(&marked, old)).collect();
        let print = |ruleset: &Ruleset| {
            carry::text(ruleset, &gone)
                .map_err(|e| ApplyError::Cannot(format!("this cannot be written: {e}")))
        };
        let apply = print(&carry::carried(&marked, &live))?;
        let boot = print(&marked)?;
        let rollback = back(&live_text, &live, &marked);
        let expected = scratch::load(nft, &apply)?;
        let restored = scratch::load(nft, &rollback)?;
        if carry::canonical(&restored) != carry::canonical(&live) {
            let why = "the way back would not restore the live table: somebody changed it to what nft cannot load again";
            return Err(ApplyError::Cannot(why.to_owned()));
        }
        let same = carry::canonical(&expected) == carry::canonical(&live);
        let is_known = state.confirmed_record().and_then(|confirmed| match &confirmed {
            Some(record) => Ok(Some(&record.mark) == before.as_ref() && as_confirmed(state, record, build)?),
            None => Ok(false),
        });
        let (known, unclear) = match is_known {
            Ok(known) => (known, stray(state, before.as_deref())),
            Err(why) => (false, Some(preflight::unknown_state(&why.to_string()))),
        };
        let nothing_to_do = same && known && manner.parameters.is_empty() && state.trial()?.is_none();
        let wanted = parameters::wanted(build);
        let record = Record {
            generation,
            mark,
            before,
            confirmed: None,
            host: build.host.clone(),
            policy: build.policy.clone(),
            by: manner.by,
            connection: manner.connection,
            open: Vec::new(),
            loading: true,
            nft: nft.path().to_owned(),
            boot: super::state::boot(),
            beside: parameters::beside(&manner.parameters),
            bridges: preflight::bridges(&build.legs, &build.settings)
                .into_iter()
                .map(|one| one.message)
                .collect(),
            left: parameters::left(&wanted, &manner.parameters),
            parameters: manner.parameters,
        };
        let files = vec![
            ("sysctl.conf", build.parameters.clone()),
            (parameters::OF_LEGS, parameters::of_legs_text(build)),
            (LEGS, serde_json::to_string_pretty(&build.legs).unwrap_or_default()),
            ("origins.json", build.origins.clone()),
        ];
        Ok(Self { apply, boot, rollback, expected, live, record, files, nothing_to_do, unclear })
    }

    /// Writes the generation, sets the mark of the trial, and arms the watchdog. Nothing has changed yet.
    ///
    /// # Errors
    /// When another generation is on trial, or the watchdog cannot be armed.
    pub fn arm(mut self, state: &State, lock: Lock, within: Duration) -> Result<Armed, ApplyError> {
        nothing_on_trial(state)?;
        self.record.open = open(&self.record);
        self.record.confirmed = state.confirmed().ok().map(Option::unwrap_or_default);
        let generation = self.record.generation;
        let sealed = |name, text| (name, damage::sealed(generation, name, text));
        let ways = [sealed(BOOT, &self.boot), sealed(ROLLBACK, &self.rollback)];
        let others = ways.iter().chain(&self.files).map(|(name, text)| (*name, text.as_str()));
        let files: Vec<(&str, &str)> =
            [("apply.nft", self.apply.as_str())].into_iter().chain(others).collect();
        lock.write(state, &self.record, &files)?;
        let within = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        let deadline = uptime()?.saturating_add(within);
        let mut trial = Trial { generation, boot: boot(), deadline, watchdog: None };
        lock.set_trial(state, &trial)?;
        match watchdog::arm(state, generation, deadline) {
            Ok(watchdog) => trial.watchdog = Some(watchdog),
            Err(why) => {
                lock.end_trial(state, generation, "never loaded: no watchdog could be armed")?;
                return Err(why);
            }
        }
        lock.set_trial(state, &trial)?;
        log::step(state, &said(&self.record, "is armed"));
        Ok(Armed { plan: self, lock, trial })
    }
}

/// A plan with a watchdog. Dropped without [`Armed::load`], the watchdog ends the trial.
#[derive(Debug)]
pub struct Armed {
    plan: Plan,
    lock: Lock,
    trial: Trial,
}

impl Armed {
    /// Replaces our tables in one transaction, reads them back, and sets the parameters. From here on the trial runs.
    ///
    /// # Errors
    /// When the tables are not what they were to be; they are again what they were then.
    pub fn load(self, state: &State) -> Result<Trial, ApplyError> {
        let record = &self.plan.record;
        let nft = Nft::at(&record.nft);
        if let Err(why) = self.goes_on(state) {
            restore(
                state,
                &self.lock,
                (record, None),
                &format!("{ROLLED_BACK} before it was loaded: {why}"),
            )?;
            return Err(ApplyError::RolledBack(why.to_string()));
        }
        if let Some(connection) = &record.connection
            && let Err(why) = connections::track(connection)
        {
            log::step(state, &why.to_string());
        }
        let path = state.generation(record.generation).join("apply.nft");
        let loaded = nft.load_file(&path, self.lock.share()?).map_err(ApplyError::from);
        // Whatever the exit code says: an nft that was killed may have committed.
        let outcome = self
            .goes_on(state)
            .and_then(|()| read_back(&nft, &self.plan))
            .and_then(|()| set(record.parameters.iter().map(|p| (p.key.as_str(), p.value.as_str()))))
            .and_then(|()| set(parameters::kept(&record.beside)))
            .and_then(|()| noted(state, &self.lock, record))
            .and_then(|()| self.goes_on(state));
        if let Err(why) = outcome {
            let why = match loaded {
                Err(refused) => refused.to_string(),
                Ok(()) => why.to_string(),
            };
            restore(state, &self.lock, (record, None), &format!("{ROLLED_BACK} at once: {why}"))?;
            return Err(ApplyError::RolledBack(why));
        }
        log::step(state, &said(record, "is loaded, on trial"));
        Ok(self.trial)
    }

    /// Whether the trial goes on: this process, or the nft that it waited for, may have been stopped for as long as anybody likes,
    /// and the watchdog does not wait for it.
    fn goes_on(&self, state: &State) -> Result<(), ApplyError> {
        let is_past = uptime()? >= self.trial.deadline;
        if is_past || state.outcome(self.trial.generation).is_some() {
            return Err(ApplyError::Cannot("its trial ended before it was loaded".to_owned()));
        }
        Ok(())
    }
}

/// The connections that show nothing of new logins, where one is asked for.
fn open(record: &Record) -> Vec<Connection> {
    let port = |connection: &Connection| admin::open(&BTreeSet::from([connection.server.port()]));
    record.connection.as_ref().map(port).unwrap_or_default()
}

/// Notes that a generation is loaded, and once more who is there: who came while it was being loaded came by the old rules.
fn noted(state: &State, lock: &Lock, record: &Record) -> Result<(), ApplyError> {
    let all: BTreeSet<Connection> = record.open.iter().copied().chain(open(record)).collect();
    lock.note(state, &Record { open: all.into_iter().collect(), loading: false, ..record.clone() })
}

/// Whether a change may begin: nothing is on trial, with a mark or without.
///
/// # Errors
/// When something is; when nobody can say.
pub fn nothing_on_trial(state: &State) -> Result<(), ApplyError> {
    let marked = state.trial()?.map(|trial| trial.generation);
    marked
        .map_or_else(|| unmarked(state, None), |trial| Ok(Some(trial)))?
        .map_or(Ok(()), |trial| Err(ApplyError::OnTrial(trial)))
}

/// A live table with the mark of a generation that the state does not know, although each is written there before it is loaded.
fn stray(state: &State, mark: Option<&str>) -> Option<Refusal> {
    let mark = mark?;
    let record = live::generation(mark).and_then(|number| state.record(number).ok());
    let known = record.is_some_and(|record| record.mark == mark);
    (!known).then(|| preflight::stray(mark, state.root()))
}

/// Whether what a build wants of the kernel is what is confirmed, and is so but for what was left otherwise then.
fn as_confirmed(state: &State, record: &Record, build: &Build) -> Result<bool, ApplyError> {
    let is_wanted = parameters::is_wanted_by(state, record.generation, build)?;
    let has_legs = state.generation(record.generation).join(LEGS).exists();
    let boots = damage::boot_fault(state, record.generation).is_none();
    Ok(is_wanted && has_legs && boots && parameters::turned(state, record)?.iter().all(|turned| turned.known))
}

fn read_back(nft: &Nft, plan: &Plan) -> Result<(), ApplyError> {
    let live = parsed(&nft.own_text()?)?;
    if live::mark(&live).as_ref() != Some(&plan.record.mark) {
        return Err(ApplyError::Cannot("the table does not carry the mark of its generation".to_owned()));
    }
    if carry::canonical(&live) != carry::canonical(&plan.expected) {
        return Err(ApplyError::Cannot("the table is not the one that was loaded".to_owned()));
    }
    Ok(())
}

/// What `apply` would refuse now of the bridges of a generation, confirmed or on trial, and did not when it was applied.
///
/// # Errors
/// When its files cannot be read.
pub fn bridges_turned(state: &State, record: &Record) -> Result<Vec<String>, ApplyError> {
    // An older fwc wrote none.
    if !state.generation(record.generation).join(LEGS).exists() {
        return Ok(Vec::new());
    }
    let legs: Vec<Leg> = serde_json::from_str(&state.text(record.generation, LEGS)?)
        .map_err(|why| ApplyError::State(format!("{LEGS}: {why}")))?;
    let now = preflight::bridges(&legs, &parameters::of_generation(state, record.generation)?);
    Ok(now.into_iter().map(|one| one.message).filter(|one| !record.bridges.contains(one)).collect())
}

/// Confirms the generation on trial (`only` that one, where it is said), and says it with our tables as they are. `connection` is the one that confirms, which
/// must be newer than the trial.
///
/// # Errors
/// When nothing is on trial, when its table is not loaded, when a parameter or a bridge is not as it was, or when the connection is the one that applied it, was open
/// then, came while it was loaded, or comes from this machine itself (`console` overrides that).
pub fn confirm(
    state: &State,
    only: Option<u64>,
    connection: Option<&Connection>,
    by: &str,
    console: bool,
) -> Result<Confirmed, ApplyError> {
    let lock = to_end(state, None)?.ok_or(ApplyError::NotOnTrial)?;
    let trial = state.trial()?.ok_or(ApplyError::NotOnTrial)?;
    if let Some(only) = only.filter(|only| *only != trial.generation) {
        let there = trial.generation;
        return Err(ApplyError::Cannot(format!(
            "generation {only} is not on trial any more: {there} is, of somebody else"
        )));
    }
    let record = state.record(trial.generation)?;
    if let (Some(applied), false) = (&record.connection, console) {
        if record.loading {
            let why = "its `apply` ended before it had noted who logged in while it was loaded";
            let what = "roll it back and apply again, or say `--i-have-console`";
            return Err(ApplyError::Cannot(format!("{why}: {what}")));
        }
        shows_a_login(applied, &record.open, connection)?;
    }
    let nft = Nft::at(&record.nft);
    // One listing: what is compared is what is kept.
    let listing = nft.all_text()?;
    let loaded = parsed(&live::own_part(&listing))?;
    if live::mark(&loaded).as_ref() != Some(&record.mark) {
        let why = format!("generation {} is on trial and not loaded: roll it back", trial.generation);
        return Err(ApplyError::Cannot(why));
    }
    let expected = scratch::load(&nft, &state.text(trial.generation, BOOT)?)?;
    if carry::canonical(&loaded) != carry::canonical(&expected) {
        let why = "somebody changed the table while it was on trial: roll it back, and apply again";
        return Err(ApplyError::Cannot(why.to_owned()));
    }
    let undone = parameters::undone(state, &record)?;
    if !undone.is_empty() {
        let (undone, what) = (undone.join("; "), "set it again, or roll the trial back and apply again");
        return Err(ApplyError::Cannot(format!(
            "parameters of the kernel were changed while it was on trial: {undone}: {what}"
        )));
    }
    let turned = bridges_turned(state, &record)?;
    if !turned.is_empty() {
        let (turned, what) = (turned.join("; "), "set it back, or roll the trial back and apply again");
        return Err(ApplyError::Cannot(format!(
            "`apply` would refuse now what it did not then: {turned}: {what}"
        )));
    }
    // What `fwc drift` compares with: other people's tables too, as they were when this was found good.
    replace(&state.generation(trial.generation).join(CONFIRMED_WITH), &listing)?;
    let parameters = parameters::as_they_are(parameters::of_generation(state, trial.generation)?);
    replace(&state.generation(trial.generation).join(CONFIRMED_PARAMETERS), &parameters)?;
    // The watchdog does not wait for a process that was stopped.
    if state.was_rolled_back(trial.generation) {
        return Err(ApplyError::Cannot("its trial is over: the watchdog rolls it back".to_owned()));
    }
    let before = state.confirmed().ok().flatten();
    let confirmed = match lock.confirm(state, trial.generation) {
        Err(why) if state.confirmed().ok().flatten() != Some(trial.generation) => return Err(why),
        confirmed => confirmed,
    };
    // It may have begun between the two: it looks again after its own mark, and so does this. Neither keeps what the other gives up:
    // the watchdog looks once more when this has ended.
    if state.outcome(trial.generation).is_some_and(|outcome| outcome.starts_with(ROLLED_BACK)) {
        lock.unconfirm(state, before)?;
        let why = "its trial ended while it was being confirmed: look at `fwc status`, and apply again";
        return Err(ApplyError::Cannot(why.to_owned()));
    }
    // From here on it is, and nobody rolls it back: what cannot be done any more is no reason to say otherwise.
    let ended = lock.end_trial(state, trial.generation, &format!("confirmed by {by}"));
    if let Some(watchdog) = &trial.watchdog {
        watchdog.end();
    }
    log::step(state, &said(&record, &format!("is confirmed by {by}")));
    let left = [confirmed, ended, lock.prune(state)];
    let undone = left.into_iter().filter_map(|done| Some(done.err()?.to_string())).collect();
    Ok(Confirmed { record, loaded, undone })
}

/// A generation that was confirmed.
#[derive(Debug)]
pub struct Confirmed {
    /// What is known of it.
    pub record: Record,
    /// Our tables as they are.
    pub loaded: Ruleset,
    /// What could not be done after the confirmation.
    pub undone: Vec<String>,
}

/// Whether a confirmation over a connection shows that one can log in: it must have begun after what `applied` it, and
/// after those that were `open` then, and on another machine.
fn shows_a_login(
    applied: &Connection,
    open: &[Connection],
    connection: Option<&Connection>,
) -> Result<(), ApplyError> {
    let why = match connection {
        None => {
            "it is not known over which connection this is confirmed: log in anew, or say `--i-have-console`"
        }
        Some(same) if same == applied => {
            "this is the connection that applied it, which shows nothing: log in anew and confirm there"
        }
        Some(older) if open.contains(older) => {
            "this connection was open before the trial, which shows nothing of new ones: log in anew and confirm there"
        }
        Some(local) if preflight::is_from_here(local) => {
            let what = "log in anew from another machine, not through a tunnel, or say `--i-have-console`";
            return Err(ApplyError::Cannot(format!("this connection {}: {what}", preflight::FROM_HERE)));
        }
        Some(_) => return Ok(()),
    };
    Err(ApplyError::Cannot(why.to_owned()))
}

/// Rolls the trial back. `only`: that generation, and nothing where it is not on trial (the watchdog's question).
///
/// # Errors
/// When nothing is on trial (and no generation was named), when the old table cannot be loaded, or a parameter not be
/// taken back, or something of the state directory was damaged, so that what stands now is not all that was there.
pub fn roll_back(state: &State, only: Option<u64>, by: &str) -> Result<Option<Record>, ApplyError> {
    match to_end(state, only)? {
        Some(lock) => {
            settle(state, &lock, only)?;
            rolled_back(state, &lock, only, by)
        }
        None if only.is_some() => Ok(None),
        None => Err(ApplyError::NotOnTrial),
    }
}

/// Ends what a confirmation began that came too late, and whose process died then: the watchdog had rolled its generation back, and
/// the link says that it is confirmed. What was confirmed before it is again.
fn settle(state: &State, lock: &Lock, only: Option<u64>) -> Result<(), ApplyError> {
    let confirmed = state.confirmed().ok().flatten();
    let Some(generation) = confirmed.filter(|number| only.is_none_or(|only| only == *number)) else {
        return Ok(());
    };
    let ended = state.outcome(generation).is_some_and(|outcome| outcome.starts_with(ROLLED_BACK));
    if !ended || damage::stands(generation)? {
        return Ok(());
    }
    let Ok(Record { confirmed: Some(before), .. }) = state.record(generation) else { return Ok(()) };
    lock.unconfirm(state, (before > 0).then_some(before))?;
    let said = "was rolled back before it was confirmed: what was confirmed before it is again";
    log::step(state, &format!("generation {generation} {said}"));
    Ok(())
}

/// The same of one generation where whoever has the lock does not end: the watchdog's last resort.
///
/// # Errors
/// As [`roll_back`].
pub fn roll_back_alone(state: &State, generation: u64, by: &str) -> Result<Option<Record>, ApplyError> {
    rolled_back(state, &Lock::without(), Some(generation), by)
}

fn rolled_back(
    state: &State,
    lock: &Lock,
    only: Option<u64>,
    by: &str,
) -> Result<Option<Record>, ApplyError> {
    let (number, watchdog) = match (on_trial(state, only)?, only) {
        (Some(found), _) => found,
        (None, Some(_)) => return Ok(None),
        (None, None) => {
            lock.clear_damaged(state)?;
            return Err(ApplyError::NotOnTrial);
        }
    };
    let outcome = format!("{ROLLED_BACK} by {by}");
    lock.claim(state, number, &outcome);
    if only.is_some() && state.confirmed().ok().flatten() == Some(number) {
        lock.disclaim(state, number);
        return Ok(None);
    }
    let (record, lost) = damage::record(state, number)?;
    let restored = restore(state, lock, (&record, lost), &outcome);
    if let (Some(watchdog), None) = (&watchdog, only)
        && state.outcome(record.generation).is_some()
    {
        watchdog.end();
    }
    restored.map(|()| Some(record))
}

/// The lock, to end a trial; none where there is no state directory, and nothing was ever put on trial. Its file may be gone
/// though a generation is on trial: somebody took it for a stale one. So may the whole directory be; the watchdog, who was told
/// its generation (`only`), knows better, and asks the kernel.
fn to_end(state: &State, only: Option<u64>) -> Result<Option<Lock>, ApplyError> {
    if let (Some(generation), false) = (only, state.is_there())
        && damage::stands(generation)?
    {
        // Where no lock can be, it is done without.
        State::open(state.root()).map_err(ApplyError::into_no_lock)?;
    }
    if state.is_there() { state.lock(PATIENCE).map(Some) } else { Ok(None) }
}

/// The generation that is to be rolled back (`only`, if it is that one), with its watchdog where that is known.
fn on_trial(state: &State, only: Option<u64>) -> Result<Option<(u64, Option<Watchdog>)>, ApplyError> {
    match state.trial() {
        Ok(Some(trial)) if only.is_none_or(|only| only == trial.generation) => {
            Ok(Some((trial.generation, trial.watchdog)))
        }
        Ok(Some(_)) => Ok(None),
        Ok(None) => Ok(unmarked(state, only)?.map(|generation| (generation, None))),
        // Whatever became of the table: if nobody knows the end of the generation, this is it.
        Err(_) => {
            let generation = only.map_or_else(|| state.last(), Ok)?;
            Ok(if state.is_over(generation) { None } else { Some((generation, None)) })
        }
    }
}

/// A generation whose table stands, and of which nobody knows what became, although no mark says that it is on trial:
/// somebody removed `trial.json`. Or it was rolled back, and whoever was stopped while it loaded it went on. `only`, or else the
/// last one.
fn unmarked(state: &State, only: Option<u64>) -> Result<Option<u64>, ApplyError> {
    let generation = only.map_or_else(|| state.last(), Ok)?;
    if state.is_over(generation) && !state.was_rolled_back(generation) {
        return Ok(None);
    }
    let (record, _) = damage::record(state, generation)?;
    let live = parsed(&Nft::at(&record.nft).own_text()?)?;
    Ok((live::mark(&live).as_ref() == Some(&record.mark)).then_some(generation))
}

/// Puts back what was there before a generation, whatever is there now, and ends its trial. `lost`: what is not known of it,
/// where its record is damaged.
///
/// # Errors
/// When the table cannot be put back, and then the trial goes on; when a parameter cannot, or something was damaged, and
/// then it is over: the table is what it is about, and another try would fail like this one.
fn restore(
    state: &State,
    lock: &Lock,
    (record, lost): (&Record, Option<String>),
    outcome: &str,
) -> Result<(), ApplyError> {
    // Forwarding is off again before the rules that it was turned on for are gone.
    let back = if is_of_another_boot(state, record) { Ok(()) } else { take_back(record) };
    let instead = put_back(state, lock, record)?;
    let parameters = back.err().map(|why| format!("not every parameter: {why}"));
    let but: Vec<String> = lost.into_iter().chain(instead).chain(parameters).collect();
    let but = but.join("; ");
    let whole = if but.is_empty() { outcome.to_owned() } else { format!("{outcome}; but {but}") };
    // A disk that takes nothing: the table is what it is about.
    lock.end_trial(state, record.generation, &whole).map_err(|why| {
        let is_back = format!("what was there before generation {} is back", record.generation);
        ApplyError::Cannot(format!("{is_back}, and it cannot be noted: {why}"))
    })?;
    log::step(state, &said(record, &whole));
    if but.is_empty() {
        return Ok(());
    }
    Err(ApplyError::Cannot(format!("generation {} is rolled back, but {but}", record.generation)))
}

/// The tables that were there before a generation; says so where others had to do.
fn put_back(state: &State, lock: &Lock, record: &Record) -> Result<Option<String>, ApplyError> {
    let nft = Nft::at(&record.nft);
    // A reboot ended the trial: `rollback.nft` is of another boot, and this one has what is confirmed.
    if is_of_another_boot(state, record) {
        return damage::confirmed_again(state, lock, &nft, record);
    }
    let before = match damage::before(state, record) {
        Ok(before) => before,
        Err(why) => {
            let done = damage::instead(state, lock, &nft, record.generation)?;
            return Ok(Some(format!("{why}: {done}")));
        }
    };
    let now = || -> Result<Ruleset, ApplyError> { Ok(parsed(&nft.own_text()?)?) };
    let there = now()?;
    if live::mark(&there).as_ref() == Some(&record.mark) || !is_as_before(&there, &before, record) {
        let path = state.generation(record.generation).join(ROLLBACK);
        let loaded = nft.load_file(&path, lock.share()?);
        if !is_in_place_of(&now()?, &before, record) {
            loaded?;
            return Err(ApplyError::Cannot("the table before it could not be put back".to_owned()));
        }
    }
    Ok(None)
}

/// Whether our tables are those that there were, so that nothing is to be put back. One with a mark goes by that: what it
/// counted since, and what passes through its sets, is newer than what was listed. One without is known by what it says, and
/// none is not the same as one without a mark.
fn is_as_before(there: &Ruleset, before: &Ruleset, record: &Record) -> bool {
    let is_known = record.before.is_some() || carry::canonical(there) == carry::canonical(before);
    is_known && is_in_place_of(there, before, record)
}

/// Whether as many of our tables are there as there were, with the same mark or none.
fn is_in_place_of(there: &Ruleset, before: &Ruleset, record: &Record) -> bool {
    live::mark(there) == record.before
        && there.tables.len() == before.tables.len()
        && before.tables.iter().all(|table| has(there, table))
}

/// The listing of our tables as a file that puts them back, and takes away those that were not there.
fn back(listing: &str, live: &Ruleset, new: &Ruleset) -> String {
    let mut names: Vec<(&'static str, &str)> = Vec::new();
    for table in new.tables.iter().chain(&live.tables).filter(|t| is_own(t)) {
        let name = (table.family.keyword(), table.name.as_str());
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let mut text = String::from("# What was there before, as nft listed it.\n");
    for (family, name) in names {
        text.push_str(&format!("add table {family} {name}\ndelete table {family} {name}\n"));
    }
    text + &read::loadable(listing)
}

fn has(ruleset: &Ruleset, table: &Table) -> bool {
    ruleset.tables.iter().any(|t| t.family == table.family && t.name == table.name)
}

/// Sets parameters of the kernel, all that can be; the first that could not is the error.
fn set<'a>(parameters: impl Iterator<Item = (&'a str, &'a str)>) -> Result<(), ApplyError> {
    let mut result = Ok(());
    for (key, value) in parameters {
        let path = Path::new("/proc/sys").join(key);
        // SECURITY: the key comes from a file whose digest is in the manifest, and still stays below `net`.
        let inside = key.starts_with("net/") && !key.split('/').any(|part| part == "..");
        let written = if inside {
            fs::write(&path, value)
        } else {
            Err(std::io::Error::other("it is none of the network"))
        };
        let written = written.map_err(ApplyError::system(format!("cannot set {key} to {value}")));
        if result.is_ok() {
            result = written;
        }
    }
    result
}

/// Sets parameters to what they were, and after them what the kernel changes with them. Those of an interface that is gone
/// went with it.
fn take_back(record: &Record) -> Result<(), ApplyError> {
    let set_then = record.parameters.iter().map(|p| (p.key.as_str(), p.before.as_str()));
    let beside = record.beside.iter().map(|(key, was)| (key.as_str(), was.as_str()));
    set(set_then.chain(beside).filter(|(key, _)| !parameters::went_with_its_interface(key)))
}

/// Whether a reboot has ended a trial: what the parameters were before it was so in another boot, and this one has begun
/// with what is confirmed. The record says it too: a crash may have taken the mark of the trial with it.
fn is_of_another_boot(state: &State, record: &Record) -> bool {
    let trial = state.trial().ok().flatten();
    let marked = trial.is_some_and(|trial| trial.generation == record.generation && trial.boot != boot());
    marked || !record.boot.is_empty() && record.boot != boot()
}

fn said(record: &Record, what: &str) -> String {
    let Record { generation, host, policy, by, .. } = record;
    format!("generation {generation} of `{host}` {what} (policy {policy}, applied by {by})")
}
