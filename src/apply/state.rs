//! The state directory: what is confirmed, what is on trial, and how to go back.
//!
//! ```text
//! lock                      held (flock(2)) by whoever changes the machine, and by the nft that it started
//! generations/N/            written whole before anything refers to it
//!     apply.nft             what is loaded: the artifact with the mark of its generation, and what was carried over
//!     boot.nft              the same without what was carried over
//!     rollback.nft          back to what was there before
//!     sysctl.conf origins.json
//!     legs.conf             what follows from sysctl.conf for the interfaces
//!     interfaces.json       the legs, as the build has them
//!     record.json           who, from where, of what policy, the parameters that were changed
//!     confirmed-with.nft    every table when it was confirmed
//!     confirmed-with.conf   the parameters of sysctl.conf and legs.conf as they were then
//!     outcome               what became of it, once that is known
//! trial.json                the generation on trial, its watchdog, its deadline; not there: none is
//! confirmed -> generations/N
//! cut                       the boot, and what the other ends of cut connections may have taken up again in it
//! log                       every step
//! ```
//!
//! INVARIANT: a generation is confirmed from the moment `confirmed` points to it, whatever `trial.json` says; so each
//! of the two marks changes by one `rename(2)` or `unlink(2)`, and no order of deaths leaves a third state. `outcome` is
//! written before `trial.json` goes: where that is gone, or damaged, and neither says what became of a generation whose
//! table stands, that one is still on trial.

#![expect(clippy::disallowed_methods, reason = "this is where the state of apply is kept")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};
use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use super::ApplyError;
use super::admin::Connection;
use crate::durable::{self, sync_folder};

/// Where the state is kept unless it is said.
pub const DEFAULT: &str = "/var/lib/fwc";
/// What a generation loads when the machine starts.
pub(super) const BOOT: &str = "boot.nft";
/// How the outcome of a generation begins that was rolled back.
pub(super) const ROLLED_BACK: &str = "rolled back";
/// What takes a generation back.
pub(super) const ROLLBACK: &str = "rollback.nft";
/// The way out where what is confirmed is damaged.
pub const MEND: &str =
    "`fwc apply --i-have-console` and `fwc confirm` put another generation in the place of what is confirmed";
/// How many generations are kept besides the confirmed one and the one on trial.
const KEPT: u64 = 10;

/// A state directory.
#[derive(Clone, Debug)]
pub struct State {
    root: PathBuf,
}

/// The right to change the machine.
#[derive(Debug)]
pub struct Lock {
    /// None of the watchdog, where whoever has the lock does not end.
    file: Option<Flock<File>>,
}

/// What is known of a generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its number.
    pub generation: u64,
    /// The name of the chain that marks it in the table.
    pub mark: String,
    /// The mark of the table before it; none where there was none.
    pub before: Option<String>,
    /// The generation that was confirmed then, 0 where none was; none: an older fwc did not note it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed: Option<u64>,
    /// The machine's name in the policy.
    pub host: String,
    /// The policy's digest, from the manifest.
    pub policy: String,
    /// Who applied it.
    pub by: String,
    /// The connection over which it was applied.
    pub connection: Option<Connection>,
    /// The connections that were open when it was armed, or once it was loaded, where it was applied over one: that they go on
    /// says nothing of new logins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub open: Vec<Connection>,
    /// Whether it is only being loaded: who comes until it is, comes by the old rules, and is not noted yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub loading: bool,
    /// The `nft` that loads and lists.
    pub nft: PathBuf,
    /// The boot during which it was applied; empty: an older fwc did not note it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub boot: String,
    /// The parameters of the kernel that it changed.
    pub parameters: Vec<Parameter>,
    /// What the kernel changed with those by itself, and what it was.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub beside: BTreeMap<String, String>,
    /// What was refused of bridges when it was applied all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bridges: Vec<String>,
    /// The parameters that were not as they are wanted, and were left so.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub left: BTreeSet<String>,
}

/// A parameter of the kernel that was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameter {
    /// As a path below `/proc/sys`.
    pub key: String,
    /// What it was.
    pub before: String,
    /// What it is to be.
    pub value: String,
}

/// A generation on trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// Which.
    pub generation: u64,
    /// The boot during which it was armed: a reboot ends a trial.
    pub boot: String,
    /// When it is rolled back: milliseconds since that boot.
    pub deadline: u64,
    /// Who rolls it back; none while that is being arranged.
    pub watchdog: Option<super::watchdog::Watchdog>,
}

impl State {
    /// The state directory at a path, made where it is not there.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn open(root: &Path) -> Result<Self, ApplyError> {
        let what = || ApplyError::system(format!("cannot make `{}`", root.display()));
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(root.join("generations")).map_err(what())?;
        let root = fs::canonicalize(root).map_err(what())?;
        Ok(Self { root })
    }

    /// The state directory at a path, for questions: nothing is made, and where there is none nothing was ever applied.
    ///
    /// # Errors
    /// When nobody can say whether there is one.
    pub fn at(root: &Path) -> Result<Self, ApplyError> {
        let what = || ApplyError::system(format!("cannot look for `{}`", root.display()));
        match fs::canonicalize(root) {
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => {
                Ok(Self { root: to_be(root).map_err(what())? })
            }
            found => Ok(Self { root: found.map_err(what())? }),
        }
    }

    /// The state directory by its name, whatever stands there: for the watchdog, who goes on without it.
    #[must_use]
    pub fn named(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Whether the directory is there.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.root.exists()
    }

    /// Refuses a directory that somebody else may write, or exchange for another: what it says of generations, root loads and
    /// runs. Of the folders above it one for everybody is as good where nobody may move what is another's (`/tmp`, sticky).
    ///
    /// # Errors
    /// When it, or a folder above it, is of or for others.
    pub fn is_ours(&self) -> Result<(), ApplyError> {
        let own = nix::unistd::geteuid().as_raw();
        let looked_at = |path: &Path| ApplyError::system(format!("cannot look at `{}`", path.display()));
        let found = |path: &Path| fs::canonicalize(path).map_err(looked_at(path));
        let root = found(&self.root)?;
        // Where it is gone nothing is in it.
        let generations = match fs::canonicalize(self.root.join("generations")) {
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => root.clone(),
            generations => generations.map_err(looked_at(&self.root.join("generations")))?,
        };
        let above = root.ancestors().chain(generations.ancestors()).chain(self.root.ancestors());
        for path in above {
            let meta = fs::symlink_metadata(path).map_err(looked_at(path))?;
            // Whoever may write the folder of a link exchanges it, and that folder is looked at, as is where it leads.
            if meta.is_symlink() {
                continue;
            }
            let is_above = [&root, &generations, &self.root].iter().all(|end| path != end.as_path());
            let is_sticky = is_above && meta.mode() & 0o1000 != 0;
            let why = if meta.uid() != 0 && meta.uid() != own {
                format!("belongs to another user ({})", meta.uid())
            } else if meta.mode() & 0o022 != 0 && !is_sticky {
                format!("may be written by others (mode {:o})", meta.mode() & 0o7777)
            } else {
                continue;
            };
            let (root, path) = (self.root.display(), path.display());
            return Err(ApplyError::Cannot(format!(
                "`{path}` {why}: what is in `{root}` root loads and runs; choose a folder of root, as `{DEFAULT}` is"
            )));
        }
        Ok(())
    }

    /// The directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of a generation.
    #[must_use]
    pub fn generation(&self, number: u64) -> PathBuf {
        self.root.join("generations").join(number.to_string())
    }

    /// Takes the lock, waiting for it up to `patience`.
    ///
    /// # Errors
    /// [`ApplyError::Busy`]; [`ApplyError::NoLock`] when the system refuses.
    pub fn lock(&self, patience: Duration) -> Result<Lock, ApplyError> {
        let path = self.root.join("lock");
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).read(true).write(true).mode(0o600);
        let file = match options.open(&path) {
            // To lock a file takes no right to write it; and where none can be made, the folder does as well.
            Err(why) => {
                let never = why.kind() == std::io::ErrorKind::ReadOnlyFilesystem;
                let folder = |other| if never { File::open(&self.root) } else { Err(other) };
                File::open(&path).or_else(folder).map_err(|_| why)
            }
            file => file,
        };
        let file = file.map_err(cannot_lock(&path))?;
        Self::locked(file, &path, patience)
    }

    /// The same for whoever only asks: no lock is made, and where there is none nobody is waited for.
    ///
    /// # Errors
    /// As [`State::lock`].
    pub fn lock_if_there(&self, patience: Duration) -> Result<Option<Lock>, ApplyError> {
        let path = self.root.join("lock");
        match File::open(&path) {
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => Ok(None),
            file => Self::locked(file.map_err(cannot_lock(&path))?, &path, patience).map(Some),
        }
    }

    fn locked(mut file: File, path: &Path, patience: Duration) -> Result<Lock, ApplyError> {
        let start = Instant::now();
        loop {
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(file) => return Ok(Lock { file: Some(file) }),
                Err((again, nix::errno::Errno::EWOULDBLOCK)) => {
                    if start.elapsed() >= patience {
                        return Err(ApplyError::Busy);
                    }
                    file = again;
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err((_, errno)) => return Err(cannot_lock(path)(errno.into())),
            }
        }
    }

    /// The confirmed generation.
    ///
    /// # Errors
    /// When the link is not one of ours.
    pub fn confirmed(&self) -> Result<Option<u64>, ApplyError> {
        let path = self.root.join("confirmed");
        let target = match fs::read_link(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(ApplyError::system(format!("cannot read `{}`", path.display())))?,
        };
        let number = target.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
        number.map(Some).ok_or_else(|| ApplyError::State(format!("`confirmed` is `{}`", target.display())))
    }

    /// What is known of the confirmed generation.
    ///
    /// # Errors
    /// When that is damaged, with [`MEND`].
    pub fn confirmed_record(&self) -> Result<Option<Record>, ApplyError> {
        let record = self.confirmed().and_then(|number| number.map(|number| self.record(number)).transpose());
        record.map_err(|why| {
            let why = match why {
                ApplyError::State(why) => why,
                why => why.to_string(),
            };
            ApplyError::State(format!("{why}; {MEND}"))
        })
    }

    /// The generation on trial, confirmed ones aside.
    ///
    /// # Errors
    /// When the mark cannot be read.
    pub fn trial(&self) -> Result<Option<Trial>, ApplyError> {
        let trial = self.read::<Trial>("trial.json").map_err(|why| match why {
            ApplyError::State(why) => {
                ApplyError::State(format!("{why}; `fwc rollback` ends what it is about, and removes it"))
            }
            why => why,
        })?;
        // It was confirmed, and whoever did it died before the mark was gone.
        Ok(trial.filter(|trial| !self.is_confirmed(trial.generation)))
    }

    /// What is known of a generation.
    ///
    /// # Errors
    /// When there is no such generation.
    pub fn record(&self, generation: u64) -> Result<Record, ApplyError> {
        self.read(&format!("generations/{generation}/record.json"))?
            .ok_or_else(|| ApplyError::State(format!("generation {generation} has no record")))
    }

    /// What became of a generation, in words; none while it is not known.
    #[must_use]
    pub fn outcome(&self, generation: u64) -> Option<String> {
        fs::read_to_string(self.generation(generation).join("outcome"))
            .ok()
            .map(|text| text.trim().to_owned())
    }

    /// Whether a generation is the confirmed one. Where `confirmed` cannot be read, one whose outcome nobody knows is not, nor is one
    /// that was to be rolled back: its trial must end though nobody can say what was confirmed before it.
    fn is_confirmed(&self, generation: u64) -> bool {
        match self.confirmed() {
            Ok(confirmed) => confirmed == Some(generation),
            Err(_) => self.outcome(generation).is_some_and(|outcome| !outcome.starts_with(ROLLED_BACK)),
        }
    }

    /// Whether a generation is done with: it is confirmed, it is known what became of it, or it is long forgotten.
    #[must_use]
    pub fn is_over(&self, generation: u64) -> bool {
        let is_there = self.generation(generation).exists();
        // Whoever empties the directory during a trial leaves none that is newer.
        let forgotten = !is_there && (generation == 0 || self.last().is_ok_and(|last| last > generation));
        forgotten || self.is_confirmed(generation) || self.outcome(generation).is_some()
    }

    /// Whether a generation was rolled back: its table has no business here any more.
    #[must_use]
    pub fn was_rolled_back(&self, generation: u64) -> bool {
        let outcome = self.outcome(generation);
        let is_confirmed = self.confirmed().ok().flatten() == Some(generation);
        outcome.is_some_and(|outcome| outcome.starts_with(ROLLED_BACK)) && !is_confirmed
    }

    /// The highest number of a generation, be it that of the confirmed one alone; 0 where there was none.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn last(&self) -> Result<u64, ApplyError> {
        // Its folder may be gone: were its number given again, the next one would be confirmed before it is tried.
        let confirmed = self.confirmed().ok().flatten();
        Ok(self.numbers()?.into_iter().chain(confirmed).max().unwrap_or(0))
    }

    /// A file of a generation.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn text(&self, generation: u64, name: &str) -> Result<String, ApplyError> {
        let path = self.generation(generation).join(name);
        fs::read_to_string(&path).map_err(ApplyError::system(format!("cannot read `{}`", path.display())))
    }

    /// What the other ends of connections that were cut during this boot may have taken up again, as it is shown.
    #[must_use]
    pub fn cut(&self) -> BTreeSet<String> {
        let text = fs::read_to_string(self.root.join("cut")).unwrap_or_default();
        let mut lines = text.lines().map(str::to_owned);
        if lines.next() == Some(boot()) { lines.collect() } else { BTreeSet::new() }
    }

    /// Adds to that.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn remember_cut(&self, more: BTreeSet<String>) -> Result<(), ApplyError> {
        let mut all = self.cut();
        all.extend(more);
        let lines: Vec<String> = std::iter::once(boot()).chain(all).collect();
        replace(&self.root.join("cut"), &(lines.join("\n") + "\n"))
    }

    fn numbers(&self) -> Result<Vec<u64>, ApplyError> {
        let path = self.root.join("generations");
        let system = || ApplyError::system(format!("cannot read `{}`", path.display()));
        let mut numbers = Vec::new();
        let entries = match fs::read_dir(&path) {
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => return Ok(numbers),
            entries => entries.map_err(system())?,
        };
        for entry in entries {
            let entry = entry.map_err(system())?;
            numbers.extend(entry.file_name().to_str().and_then(|name| name.parse::<u64>().ok()));
        }
        Ok(numbers)
    }

    fn read<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<Option<T>, ApplyError> {
        let path = self.root.join(name);
        let text = match fs::read_to_string(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(ApplyError::system(format!("cannot read `{}`", path.display())))?,
        };
        serde_json::from_str(&text).map(Some).map_err(|e| ApplyError::State(format!("`{name}`: {e}")))
    }
}

/// A path to what is not there yet, without links and `..`: as it will be.
fn to_be(path: &Path) -> std::io::Result<PathBuf> {
    let whole = std::path::absolute(path)?;
    let (mut there, mut rest) = (whole.as_path(), Vec::new());
    loop {
        if let Ok(real) = fs::canonicalize(there) {
            return Ok(real.join(rest.iter().rev().collect::<PathBuf>()));
        }
        let unclear =
            || std::io::Error::other("a link that leads nowhere, or `..` behind a folder that is not there");
        // A link that leads nowhere is there itself.
        let name = there.file_name().filter(|_| fs::symlink_metadata(there).is_err()).ok_or_else(unclear)?;
        rest.push(name);
        there = there.parent().ok_or_else(unclear)?;
    }
}

fn cannot_lock(path: &Path) -> impl FnOnce(std::io::Error) -> ApplyError {
    let what = format!("cannot lock `{}`", path.display());
    move |source| ApplyError::NoLock { what, source }
}

/// Changes; whoever makes one has the lock.
impl Lock {
    /// Changes without the lock: for the watchdog alone, when whoever has it does not end (it is stopped, it hangs). Whoever goes on
    /// later finds what became of its generation, and looks for that after every wait.
    #[must_use]
    pub fn without() -> Self {
        Self { file: None }
    }

    /// Without the lock, says that a generation is rolled back before it is, so that nobody confirms it meanwhile.
    pub fn claim(&self, state: &State, generation: u64, outcome: &str) {
        if self.file.is_none() {
            // Where nothing can be written, nothing is confirmed either.
            let _ = replace(&state.generation(generation).join("outcome"), &format!("{outcome}\n"));
        }
    }

    /// Takes that back where it was confirmed before.
    pub fn disclaim(&self, state: &State, generation: u64) {
        if self.file.is_none() {
            let _ =
                replace(&state.generation(generation).join("outcome"), "confirmed as its time was over\n");
        }
    }

    /// A second descriptor of the lock: as long as the program that has it runs, the lock is held.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn share(&self) -> Result<File, ApplyError> {
        let file = self.file.as_ref().map_or_else(|| File::open("/dev/null"), |file| file.try_clone());
        file.map_err(ApplyError::system("cannot share the lock"))
    }

    /// Writes a new generation, whole, under the next number.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn write(&self, state: &State, record: &Record, files: &[(&str, &str)]) -> Result<(), ApplyError> {
        let path = state.generation(record.generation);
        let system = || ApplyError::system(format!("cannot write `{}`", path.display()));
        let parent = state.root.join("generations");
        let stage = tempfile::Builder::new().prefix(".new-").tempdir_in(&parent).map_err(system())?;
        let json = serde_json::to_string_pretty(record).unwrap_or_default();
        for (name, text) in files.iter().copied().chain([("record.json", json.as_str())]) {
            let mut file = File::create(stage.path().join(name)).map_err(system())?;
            file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(system())?;
        }
        sync_folder(stage.path()).map_err(system())?;
        fs::rename(stage.path(), &path).map_err(system())?;
        // It has its place now.
        let _ = stage.keep();
        sync_folder(&parent).map_err(system())
    }

    /// Replaces what is known of a generation.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn note(&self, state: &State, record: &Record) -> Result<(), ApplyError> {
        let json = serde_json::to_string_pretty(record).unwrap_or_default();
        replace(&state.generation(record.generation).join("record.json"), &json)
    }

    /// Sets the mark of the trial.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn set_trial(&self, state: &State, trial: &Trial) -> Result<(), ApplyError> {
        let text = serde_json::to_string_pretty(trial).unwrap_or_default();
        replace(&state.root.join("trial.json"), &text)
    }

    /// Ends the trial, and says what became of it.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn end_trial(&self, state: &State, generation: u64, outcome: &str) -> Result<(), ApplyError> {
        let path = state.root.join("trial.json");
        let system = || ApplyError::system(format!("cannot remove `{}`", path.display()));
        // It may be gone, and the trial has to end all the same.
        let folder = state.generation(generation);
        fs::create_dir_all(&folder)
            .map_err(ApplyError::system(format!("cannot make `{}`", folder.display())))?;
        replace(&folder.join("outcome"), &format!("{outcome}\n"))?;
        match fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(system()(e)),
            Ok(()) | Err(_) => {}
        }
        sync_folder(&state.root).map_err(system())
    }

    /// Removes a mark of the trial that cannot be read, once nothing is on trial.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn clear_damaged(&self, state: &State) -> Result<(), ApplyError> {
        if !matches!(state.read::<Trial>("trial.json"), Err(ApplyError::State(_))) {
            return Ok(());
        }
        let path = state.root.join("trial.json");
        fs::remove_file(&path)
            .and_then(|()| sync_folder(&state.root))
            .map_err(ApplyError::system(format!("cannot remove `{}`", path.display())))
    }

    /// Makes a generation the confirmed one. From here on it is, whatever happens.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn confirm(&self, state: &State, generation: u64) -> Result<(), ApplyError> {
        let path = state.root.join("confirmed");
        let system = || ApplyError::system(format!("cannot write `{}`", path.display()));
        let stage = state.root.join(".confirmed-new");
        let _ = fs::remove_file(&stage);
        std::os::unix::fs::symlink(format!("generations/{generation}"), &stage).map_err(system())?;
        // A copy of the directory that followed links has a folder there, which no link can replace.
        if fs::symlink_metadata(&path).is_ok_and(|there| there.is_dir()) {
            let aside = state.root.join(format!("confirmed-until-{generation}"));
            fs::rename(&path, aside).map_err(system())?;
        }
        fs::rename(&stage, &path).and_then(|()| sync_folder(&state.root)).map_err(system())
    }

    /// Makes what was confirmed before it the confirmed one again: its trial ended first.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn unconfirm(&self, state: &State, before: Option<u64>) -> Result<(), ApplyError> {
        let path = state.root.join("confirmed");
        match before {
            Some(before) => self.confirm(state, before),
            None => fs::remove_file(&path)
                .and_then(|()| sync_folder(&state.root))
                .map_err(ApplyError::system(format!("cannot remove `{}`", path.display()))),
        }
    }

    /// Forgets generations of long ago, and what a run that died left half written.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn prune(&self, state: &State) -> Result<(), ApplyError> {
        let kept = [state.confirmed()?, state.trial()?.map(|trial| trial.generation)];
        let last = state.last()?;
        for number in state.numbers()? {
            if number.saturating_add(KEPT) < last && !kept.contains(&Some(number)) {
                let path = state.generation(number);
                fs::remove_dir_all(&path)
                    .map_err(ApplyError::system(format!("cannot remove `{}`", path.display())))?;
            }
        }
        let left = fs::read_dir(state.root.join("generations")).into_iter().flatten().flatten();
        for entry in left.filter(|e| e.file_name().to_string_lossy().starts_with(".new-")) {
            let _ = fs::remove_dir_all(entry.path());
        }
        Ok(())
    }
}

/// The time of day: UTC nanoseconds since 1970, as `meta time` has it (nft(8)).
#[must_use]
pub fn now() -> u64 {
    u64::try_from(time::OffsetDateTime::now_utc().unix_timestamp_nanos()).unwrap_or(u64::MAX)
}

/// Milliseconds since the machine was booted, time asleep included: no step of the clock moves a deadline. Of the kernel itself:
/// a file can be gone, or empty (`/proc/uptime` of a container is another program's).
///
/// # Errors
/// When the kernel does not say. Nobody may wait then.
pub fn uptime() -> Result<u64, ApplyError> {
    let unclear = "cannot read the clock since boot";
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME).map_err(|e| ApplyError::system(unclear)(e.into()))?;
    u64::try_from(Duration::from(now).as_millis()).map_err(|_| ApplyError::Cannot(unclear.to_owned()))
}

/// What tells this boot from the one before.
#[must_use]
pub fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// Replaces one file: a reader sees the old text or the new one. It is for its owner alone.
pub(super) fn replace(path: &Path, text: &str) -> Result<(), ApplyError> {
    durable::replace(path, text.as_bytes(), 0o600)
        .map_err(ApplyError::system(format!("cannot write `{}`", path.display())))
}
