//! Puts rendered files in place so that nobody is locked out: tried first, armed before the first change, taken back unless
//! somebody who logged in anew confirms.
//!
//! *Input*: a folder as `compile` writes it (`00-fwc.conf`, `authorized_keys/ACCOUNT`), the machine. *Output*: the files in
//! place, and a record that a rollback waits on.
//!
//! *Design decisions*. In this order, and each step ends the run if it fails: (1) the new tree is laid over a copy of
//! `/etc/ssh`, where sshd checks it and the whole examination of [`super::sshd`] is run; (2) a canary: an sshd with that tree,
//! in a network of its own, and a real login as the administrator, from the administrator's address; (3) the old files are
//! saved; (4) a watchdog starts, a process of its own session that outlives this one and the SSH connection, and puts the old
//! files back when the time is over and the record, which is written now, still there; (5) each file is replaced at once (write, fsync, rename,
//! fsync of the folder); (6) each sshd that listens checks the real tree with its own options, is told to reload, and has to answer
//! where it listens. Until [`confirm`] is called
//! from an SSH connection that came afterwards, the watchdog stays. A running sshd keeps its settings and its sessions when the
//! files change; one that is told to reload broken ones ends, which is why (6) checks first.

#![expect(clippy::disallowed_methods, reason = "changes the configuration of sshd, and starts the watchdog")]

pub mod canary;
pub mod daemon;
pub mod listeners;
pub mod put;
pub mod record;
pub mod status;

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::applied;
use super::folder::{self, Folder, NotTaken};
use super::sshd::effective::Effective;
use super::sshd::given;
use super::sshd::inspect::{self, Inspection, Tree};
use super::sshd::meant::DROP_IN;
use super::sshd::placed::keys_file;
use super::sshd::stage::{Network, SSHD, Stage, StageError};
use crate::apply::admin::{self, Connection};
use crate::apply::preflight;
use crate::apply::state::uptime;
use listeners::{Listener, Process};
use record::{Before, Record, Saved, Started, State};

/// Files of keys are put below this folder alone: not into homes, which others may write.
const BELOW: &str = "/etc/ssh";

/// What is to be done, and by whom.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The rendered files.
    pub folder: PathBuf,
    /// The account that has to get in afterwards.
    pub admin: String,
    /// The address from which it does.
    pub from: IpAddr,
    /// A private key to try it with; else the agent, else a key made for the try stands in for one that stays.
    pub identity: Option<PathBuf>,
    /// The socket of an agent.
    pub agent: Option<PathBuf>,
    /// How long to wait for `confirm`.
    pub wait: Duration,
    /// Whether a canary that fails stops the run: not for somebody with another way in.
    pub console: bool,
    /// The connection over which it is asked; none where that is not known.
    pub connection: Option<Connection>,
}

/// Why nothing, or not all, was done.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The new files are at fault; nothing was changed.
    #[error("the new files would not do")]
    Findings(Box<Inspection>),
    /// Somebody would be locked out; nothing was changed.
    #[error("{0}")]
    Refused(String),
    /// It could not be done; what was changed was put back.
    #[error("{0}")]
    Failed(String),
    /// sshd could not be asked.
    #[error(transparent)]
    Stage(#[from] StageError),
}

impl From<NotTaken> for ApplyError {
    fn from(why: NotTaken) -> Self {
        match why {
            NotTaken::Refused(why) => Self::Refused(why),
            NotTaken::Unread(why) => Self::Failed(why),
        }
    }
}

impl ApplyError {
    fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |e| Self::Failed(format!("cannot {what}: {e}"))
    }
}

/// Told before each step; what it returns as an error ends the run there.
pub type Steps<'a> = &'a mut dyn FnMut(&str) -> Result<(), ApplyError>;

/// A file that is to stand at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Change {
    to: PathBuf,
    text: Vec<u8>,
}

/// Does it all; returns the files that were changed.
///
/// # Errors
/// See [`ApplyError`]; each leaves a machine that lets in who it let in before.
pub fn apply(asked: &Asked, steps: Steps<'_>, say: &mut dyn FnMut(&str)) -> Result<Vec<PathBuf>, ApplyError> {
    let state = State::open()?;
    let _lock = state.lock()?;
    state.nobody_takes_back()?;
    if state.read()?.is_some() {
        let said = if state.is_taken_back() {
            "an earlier apply is being taken back: `fwc bastion rollback` ends that"
        } else {
            "an earlier apply waits: `fwc bastion confirm` keeps it, `fwc bastion rollback` takes it back"
        };
        return Err(ApplyError::Refused(said.to_owned()));
    }
    applied::settled().map_err(ApplyError::io("write down what is confirmed"))?;
    tried_from_elsewhere(asked, say).or_else(|why| all_the_same(why, asked, say))?;
    let listeners = daemon::ready()?;
    let seats = Seat::of(&listeners, asked.from)?;
    steps("stage")?;
    state.sweep()?;
    let staged = stage(asked, &state, &listeners, &seats)?;
    steps("canary")?;
    match canary::prove(asked, &seats, staged.path(), state.work()?.path()) {
        Ok(()) => {}
        Err(why) => all_the_same(why, asked, say)?,
    }
    let changes = staged.changes.clone();
    steps("save")?;
    let record = save(asked, &state, &changes, &listeners)?;
    note(asked, &state, record.id, (&listeners, true))?;
    let files = changes.iter().map(|change| (change.to.as_path(), change.text.as_slice()));
    applied::tried(record.id, files).map_err(ApplyError::io("write down what is applied"))?;
    steps("arm")?;
    // No later than the watchdog's own, which begins to count as it starts.
    let ends = uptime().map_or(0, |now| now.saturating_add(record.wait.saturating_mul(1000)));
    arm(&record)?;
    steps("record")?;
    state.write(&record)?;
    // Were the time over before all is done, what came after it would never be taken back: the watchdog may have ended before
    // there was a record to see.
    let mut guarded = |what: &str| {
        steps(what)?;
        let in_time = uptime().is_ok_and(|now| now < ends);
        let waits = in_time && state.pending()?.is_some_and(|now| now.id == record.id);
        let late = || ApplyError::Failed("the time was over before all was done".to_owned());
        waits.then_some(()).ok_or_else(late)
    };
    let done = put_all(&changes, &mut guarded)
        .and_then(|()| take_effect(&state, &record, &mut guarded))
        // Who came meanwhile came by the old settings.
        .and_then(|()| note(asked, &state, record.id, (&listeners, false)))
        .and_then(|()| guarded("done"));
    match done {
        Ok(()) => Ok(changes.into_iter().map(|change| change.to).collect()),
        Err(why) => {
            // Or the watchdog has, and was done before the last file was put in place.
            let _ = state.take();
            // No other change begins under this lock.
            let mut progress = Progress { alone: true, ..Progress::default() };
            match restore(&state, &record, &mut progress, Told::OrAgain) {
                Ok(_) => Err(why),
                Err(worse) => Err(ApplyError::Failed(format!(
                    "{why}; and it is not taken back yet: {worse}; it is tried again, and `fwc bastion rollback` ends it"
                ))),
            }
        }
    }
}

/// Goes on where somebody has another way in, and says what would have ended it.
fn all_the_same(why: ApplyError, asked: &Asked, say: &mut dyn FnMut(&str)) -> Result<(), ApplyError> {
    match why {
        ApplyError::Refused(why) if asked.console => {
            say(&format!("refused: {why}"));
            say("going on all the same: --i-have-console");
            Ok(())
        }
        other => Err(other),
    }
}

/// Whether a login is tried as somebody from elsewhere would come: one from this machine itself shows nothing of others. Where
/// nobody came by ssh that is only said.
fn tried_from_elsewhere(asked: &Asked, say: &mut dyn FnMut(&str)) -> Result<(), ApplyError> {
    let (from, here) = (SocketAddr::new(asked.from, 0), SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 22));
    if !preflight::is_from_here(&Connection { client: from, server: here }) {
        return Ok(());
    }
    match asked.connection.filter(preflight::is_from_here) {
        Some(connection) => Err(ApplyError::Refused(format!(
            "this connection ({connection}) {}, nor does a try from {}: name with `--from` the address from which others come, or say \
             `--i-have-console`",
            preflight::FROM_HERE,
            asked.from
        ))),
        None => {
            say(&format!(
                "remark: the login is tried from {}, this machine itself: `--from ADDRESS` tries another way",
                asked.from
            ));
            Ok(())
        }
    }
}

/// Keeps what was applied: the watchdog has nothing left to put back. `connection` is the one that asks, if that is known.
///
/// # Errors
/// Where nothing waits, or it is being taken back, or something else is in place by now, or the caller came by a connection that
/// was there before, or from this machine itself, which shows nothing.
pub fn confirm(connection: Option<&Connection>, console: bool) -> Result<(), ApplyError> {
    let state = State::open()?;
    let _lock = state.lock()?;
    let late = || ApplyError::Refused("too late: the old files are being put back".to_owned());
    let unwritten = |e| {
        ApplyError::Failed(format!("it is confirmed and stays, and was not written down for `check`: {e}"))
    };
    let Some(record) = state.pending()? else {
        // Whoever confirmed it died then.
        if !state.is_taken_back() && applied::settled().map_err(unwritten)? {
            return Ok(());
        }
        let nothing = || ApplyError::Refused("nothing waits to be confirmed".to_owned());
        return Err(if state.is_taken_back() { late() } else { nothing() });
    };
    if let Some(changed) = record.files.iter().find(|saved| !saved.is_as_applied()) {
        return Err(ApplyError::Refused(format!(
            "`{}` is not what was applied: somebody changed it while it was on trial, and that nobody tried; `fwc bastion rollback`, and \
             apply again",
            changed.path.display()
        )));
    }
    if !console {
        may_confirm(connection, state.before(record.id)?.as_ref()).map_err(ApplyError::Refused)?;
    }
    let on_disk = match state.confirm() {
        Ok(true) => Ok(()),
        Ok(false) => return Err(late()),
        // It is renamed, and nobody takes it back.
        Err(why) if state.pending().is_ok_and(|waits| waits.is_none()) => Err(ApplyError::Failed(format!(
            "it is confirmed and stays, and after a loss of power it may wait to be confirmed again: {why}"
        ))),
        Err(why) => return Err(why),
    };
    applied::confirmed(record.id).map_err(unwritten).and(on_disk)
}

/// Whether a connection came after the new settings; why not.
fn may_confirm(connection: Option<&Connection>, before: Option<&Before>) -> Result<(), String> {
    let shows = "it would live on if nobody could log in any more: confirm from a new one";
    match (connection, before) {
        (_, None) => {
            Err("it is not known which connections were there before: say `--i-have-console`".to_owned())
        }
        (_, Some(before)) if before.loading => {
            Err("its `apply` ended before sshd had read the files: roll it back and apply again, or \
            say `--i-have-console`"
                .to_owned())
        }
        (Some(now), Some(before)) if before.own.as_ref() == Some(now) => {
            Err(format!("this is the connection that applied ({now}), and {shows}"))
        }
        (Some(now), Some(before)) if before.all.contains(now) => {
            Err(format!("this connection ({now}) was there before the new settings, and {shows}"))
        }
        (Some(now), Some(_)) if preflight::is_from_here(now) => Err(format!(
            "this connection ({now}) {}: log in anew from another machine, not through a tunnel, or say `--i-have-console`",
            preflight::FROM_HERE
        )),
        // At a console, where nobody else was there by ssh, or in a terminal that outlives connections (tmux).
        (None, Some(before)) if !before.all.is_empty() => Err(format!(
            "it is not known over which connection this is said, and there are old ones ({}): \
             log in anew and say it there, or say `--i-have-console`",
            before.all.len()
        )),
        (Some(_) | None, Some(_)) => Ok(()),
    }
}

/// What was taken back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TakenBack {
    /// The files that are as before; none where nothing waited.
    pub files: Vec<PathBuf>,
    /// Why sshd goes on by the new settings all the same, or a file stays, and what helps; said once.
    pub untold: Option<String>,
}

/// Puts the old files back and tells sshd. Where it cannot be told that is said, and is over all the same: what is in the way
/// may stay there.
///
/// # Errors
/// When a file cannot be put back: the record stays for another try.
pub fn rollback() -> Result<TakenBack, ApplyError> {
    take_back(None, &mut Progress::default(), Told::OrSaid)
}

/// The same by the watchdog, who knows the record by heart where nobody can read it any more.
fn take_back(known: Option<&Record>, progress: &mut Progress, told: Told) -> Result<TakenBack, ApplyError> {
    let state = State::open()?;
    let _at_work = state.takes_back();
    let record = match state.read() {
        Ok(None) => return Ok(TakenBack::default()),
        // A watchdog takes back its own alone.
        Ok(Some(record)) if known.is_some_and(|own| own.id != record.id) => return Ok(TakenBack::default()),
        Ok(Some(record)) => record,
        // No other was begun since: it would have been refused.
        Err(why) => state.saved().ok().flatten().or_else(|| known.cloned()).ok_or(why)?,
    };
    if state.take() { restore(&state, &record, progress, told) } else { Ok(TakenBack::default()) }
}

/// The watchdog: waits, and puts the old files back unless the record is gone or another's by then.
pub fn watch(id: u64, wait: Duration) {
    const TRIES: u32 = 600;
    // Time asleep counts, as `status` counts it. A clock that cannot be read ends the wait.
    let most = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    let deadline = uptime().map_or(0, |now| now.saturating_add(most));
    let saved = || State::open().ok().and_then(|state| state.saved().ok().flatten());
    let own = saved().filter(|record| record.id == id);
    let waiting = || match State::open().and_then(|state| state.read()) {
        Ok(record) => record.is_some_and(|record| record.id == id),
        // Nobody may take it for none: unless the old files are known to be those of another, it is this one.
        Err(_) => saved().is_none_or(|record| record.id == id),
    };
    // It is armed before the record is written: a record of which nobody knows would block the next apply.
    let mut seen = false;
    while uptime().is_ok_and(|now| now < deadline) {
        std::thread::sleep(Duration::from_millis(200));
        let waits = waiting();
        if seen && !waits {
            return;
        }
        seen |= waits;
    }
    // A disk may be full or read-only for a while.
    let mut progress = Progress::default();
    for _ in 0..TRIES {
        if !waiting() || take_back(own.as_ref(), &mut progress, Told::OrAgain).is_ok() {
            return;
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// A copy of `/etc/ssh` with the new files in it.
struct Staged {
    dir: tempfile::TempDir,
    changes: Vec<Change>,
}

impl Staged {
    fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// Lays the new files over a copy, has sshd check it, and examines it.
fn stage(asked: &Asked, state: &State, listeners: &[Listener], seats: &[Seat]) -> Result<Staged, ApplyError> {
    let dir = state.work()?;
    put::copy_tree(Path::new(BELOW), dir.path())?;
    let Folder { settings: text, keys, .. } = folder::read(&asked.folder)?;
    let mut staged = Staged { dir, changes: vec![Change { to: DROP_IN.into(), text }] };
    staged.lay(0)?;
    let place = Stage::new(vec![(staged.path().to_owned(), BELOW.into())], Network::Shared)?;
    let mut new = Vec::new();
    for seat in seats {
        let Some(settings) = settings(&place, seat, &asked.admin, asked.from)? else { continue };
        daemon::has_pid_file("the new sshd", &settings)?;
        daemon::can_be_asked("the new sshd", &settings)?;
        new.push(settings);
    }
    let each: Vec<(&Listener, Effective)> = listeners.iter().zip(new).collect();
    daemon::have_files_of_their_own(&each)?;
    // sshd says where it looks for an account's keys under the new settings.
    for (account, text) in keys {
        let mut places = BTreeSet::new();
        for seat in seats {
            let Some(settings) = settings(&place, seat, &account, asked.from)? else { continue };
            let to = settings.one("authorizedkeysfile").and_then(|all| keys_file(all, &account));
            places.insert(to.filter(|to| to.starts_with(BELOW)).ok_or_else(|| {
                ApplyError::Refused(format!(
                    "the new settings look for the keys of `{account}` outside of {BELOW}, where fwc puts none"
                ))
            })?);
        }
        if places.len() > 1 {
            return Err(ApplyError::Refused(format!(
                "the sshds that run here would look for the keys of `{account}` at several places"
            )));
        }
        let Some(to) = places.pop_first() else { break };
        staged.changes.push(Change { to, text });
        staged.lay(staged.changes.len().saturating_sub(1))?;
    }
    let tree = Tree::new("/".into(), Some(staged.path().to_owned()));
    let found = inspect::inspect_in(&place, tree, &[asked.from])?;
    if found.findings.has_errors() {
        return Err(ApplyError::Findings(Box::new(found)));
    }
    Ok(staged)
}

impl Staged {
    /// Writes one of the changes into the copy.
    fn lay(&self, number: usize) -> Result<(), ApplyError> {
        let Some(change) = self.changes.get(number) else { return Ok(()) };
        let below = change.to.strip_prefix(BELOW).unwrap_or(&change.to);
        // A link that stayed one may lead to the real files.
        let folders = below.ancestors().skip(1).map(|above| self.path().join(above));
        if folders.into_iter().any(|above| above != self.path() && above.is_symlink()) {
            let to = change.to.display();
            return Err(ApplyError::Refused(format!(
                "`{to}` lies behind a symbolic link that leads nowhere, or back"
            )));
        }
        put::replace(&self.path().join(below), &change.text, put::MODE, &mut |_| Ok(()))
    }
}

/// An sshd as somebody meets it: with which options it runs, and where it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seat {
    args: Vec<String>,
    at: SocketAddr,
}

impl Seat {
    /// One of each that listens, in the family of who comes, if it listens in that; else the one that would be started.
    fn of(listeners: &[Listener], from: IpAddr) -> Result<Vec<Self>, ApplyError> {
        let own = if from.is_ipv6() { Ipv6Addr::LOCALHOST.into() } else { IpAddr::from(Ipv4Addr::LOCALHOST) };
        if listeners.is_empty() {
            return Ok(vec![Self { args: given::of_next_start()?.args, at: SocketAddr::new(own, 22) }]);
        }
        let seat = |one: &Listener| {
            let all = one.reached_at();
            let at = all.iter().find(|at| at.is_ipv6() == from.is_ipv6()).or(all.first());
            Self { args: one.args.clone(), at: at.copied().unwrap_or(SocketAddr::new(own, 22)) }
        };
        Ok(listeners.iter().map(seat).collect())
    }
}

/// What sshd says of an account, if it takes its configuration at all.
fn settings(
    place: &Stage,
    seat: &Seat,
    account: &str,
    from: IpAddr,
) -> Result<Option<Effective>, ApplyError> {
    let (laddr, lport) = (seat.at.ip(), seat.at.port());
    let who = format!("user={account},host={from},addr={from},laddr={laddr},lport={lport}");
    let words = ["-T".to_owned(), "-C".to_owned(), who];
    let output = place.run(SSHD, &[&words[..], &seat.args].concat())?;
    Ok(output.status.success().then(|| Effective::read(&String::from_utf8_lossy(&output.stdout))))
}

/// Keeps what the changes replace.
fn save(
    asked: &Asked,
    state: &State,
    changes: &[Change],
    listeners: &[Listener],
) -> Result<Record, ApplyError> {
    let mut files = Vec::new();
    for (number, change) in changes.iter().enumerate() {
        let saved = Saved::of(&change.to, &change.text);
        if saved.was_there {
            let old =
                fs::read(&change.to).map_err(ApplyError::io(format!("read {}", change.to.display())))?;
            state.keep(number, &old)?;
        }
        files.push(saved);
    }
    let listened = Some(listeners.iter().map(|one| one.args.clone()).collect());
    let record = Record { id: record::number(), files, wait: asked.wait.as_secs(), listened };
    state.write_saved(&record)?;
    Ok(record)
}

/// Writes down which connections there are: none of them may confirm. They are those of now and those of an earlier note.
fn note(
    asked: &Asked,
    state: &State,
    id: u64,
    (listeners, loading): (&[Listener], bool),
) -> Result<(), ApplyError> {
    let mut ports = daemon::ports(listeners);
    ports.extend(asked.connection.map(|own| own.server.port()));
    let mut all = state.before(id)?.unwrap_or_default().all;
    for one in admin::open(&ports) {
        if !all.contains(&one) {
            all.push(one);
        }
    }
    state.write_before(&Before { id, own: asked.connection, all, loading })
}

/// Starts the watchdog and waits until it says that it watches.
fn arm(record: &Record) -> Result<(), ApplyError> {
    use std::io::Read;
    let program = std::env::current_exe().map_err(ApplyError::io("find this program"))?;
    let mut child = Command::new(program)
        .args(["bastion", "watchdog", &record.id.to_string(), &record.wait.to_string()])
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(ApplyError::io("start the watchdog"))?;
    let mut said = [0u8; 6];
    let heard = child.stdout.take().map(|mut out| out.read_exact(&mut said));
    match heard {
        Some(Ok(())) if said == *b"armed\n" => Ok(()),
        _ => Err(ApplyError::Failed("the watchdog does not watch".to_owned())),
    }
}

/// With the rights that the canary tried: those of an old file are for the rollback alone.
fn put_all(changes: &[Change], steps: Steps<'_>) -> Result<(), ApplyError> {
    // Keys first: settings that look for them come last.
    for change in changes.iter().rev() {
        let name = change.to.display().to_string();
        put::replace(&change.to, &change.text, put::MODE, &mut |what| steps(&format!("{what} {name}")))?;
    }
    Ok(())
}

/// Whoever listens by now is told. One is started where none did from the beginning, and written down: it goes with the change.
fn take_effect(state: &State, record: &Record, steps: Steps<'_>) -> Result<(), ApplyError> {
    steps("reload")?;
    let now = listeners::all()?;
    let mut told: Vec<Process> = now.iter().map(|one| one.process.clone()).collect();
    if !now.is_empty() {
        daemon::reload(&now)?;
    } else if record.listened.as_ref().is_some_and(Vec::is_empty) {
        let mut began =
            |process: &Process| state.write_started(&Started { id: record.id, process: process.clone() });
        told.extend(daemon::start(None, &mut began)?);
    } else {
        return Err(ApplyError::Failed("sshd has ended meanwhile".to_owned()));
    }
    steps("answer")?;
    let after = listeners::all()?;
    // Each of them: somebody may have no other way in.
    if let Some(gone) = told.iter().find(|one| !after.iter().any(|now| now.process == **one)) {
        return Err(ApplyError::Failed(format!("sshd, process {}, listens no more", gone.pid)));
    }
    daemon::answers(&after)
}

/// How far taking back has come: what is done is not done again, by a watchdog that tries the rest once more. Another may have
/// changed it since.
#[derive(Debug, Default)]
struct Progress {
    /// Whether no other change can have begun.
    alone: bool,
    settings: bool,
    told: bool,
    /// Those that were told.
    heard: Vec<Process>,
    /// Why one of several sshds was not told.
    other: Option<String>,
    keys: bool,
    /// Files of which the old text is gone: they stay as they were applied.
    gone: Vec<PathBuf>,
    /// Keys that stay for want of the settings by which nobody needs them.
    needed: Vec<PathBuf>,
}

impl Progress {
    fn has_no_settings(&self) -> bool {
        self.gone.iter().any(|path| path == Path::new(DROP_IN))
    }

    /// What stays as it was applied, and why.
    fn left(&self) -> Option<String> {
        let named = |of: &[PathBuf]| {
            of.iter().map(|path| format!("`{}`", path.display())).collect::<Vec<_>>().join(", ")
        };
        let needed = if self.needed.is_empty() {
            String::new()
        } else {
            format!(", and with that the keys that such settings look for ({})", named(&self.needed))
        };
        (!self.gone.is_empty()).then(|| {
            format!(
                "what stood in {} before is gone (`{}/old-N`): what was applied stays there{needed}; apply anew what is wanted",
                named(&self.gone),
                applied::PLACE
            )
        })
    }
}

/// What becomes of a record of which sshd could not be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// It waits for another try.
    OrAgain,
    /// It is over, and that is said.
    OrSaid,
}

/// Settings first, then keys: as long as sshd goes by the new settings, who logs in needs the keys that those look for.
fn restore(
    state: &State,
    record: &Record,
    progress: &mut Progress,
    told: Told,
) -> Result<TakenBack, ApplyError> {
    let is_settings = |saved: &Saved| saved.path == Path::new(DROP_IN);
    let files = |settings: bool| -> Vec<(usize, &Saved)> {
        record.files.iter().enumerate().filter(|(_, saved)| is_settings(saved) == settings).collect()
    };
    let paths = |of: &[(usize, &Saved)]| of.iter().map(|(_, saved)| saved.path.clone()).collect::<Vec<_>>();
    // Whoever was held up meanwhile: another may have ended it, and another apply have begun.
    let alone = progress.alone;
    let is_own = || {
        let over = "somebody else has taken it back meanwhile: the rest was left as it is";
        let own = (alone || state.is_of(record.id)).then_some(());
        own.ok_or_else(|| ApplyError::Failed(over.to_owned()))
    };
    if !progress.settings {
        is_own()?;
        for (number, saved) in files(true) {
            if !put_back(state, number, saved)? {
                progress.gone.push(saved.path.clone());
            }
        }
        progress.settings = true;
    }
    if !progress.told {
        match tell_old(state, record, &mut progress.heard) {
            Ok(other) => {
                progress.told = other.is_none() || told == Told::OrSaid;
                progress.other = other.map(|why| why.to_string());
            }
            // It goes by what stands there, as before.
            Err(why) if progress.has_no_settings() => {
                progress.told = told == Told::OrSaid;
                progress.other = Some(why.to_string());
            }
            Err(why) if told == Told::OrAgain => {
                let said = "the old settings are back, and sshd did not read them, so the new keys stay";
                return Err(ApplyError::Failed(format!("{said}: {why}")));
            }
            Err(why) => {
                is_own()?;
                state.forget()?;
                let keys: Vec<String> =
                    paths(&files(false)).iter().map(|path| format!("`{}`", path.display())).collect();
                let untold = format!(
                    "the old settings are back, and sshd did not read them: {why}. As long as it goes by the new settings it needs the new \
                     keys, so they stay ({}); once it is started anew (`systemctl restart ssh`, where systemd runs it) it goes by the \
                     old settings: put the old keys back before that (`{}/old-N`, there until the next apply). Nothing waits any more",
                    keys.join(", "),
                    applied::PLACE
                );
                return Ok(TakenBack { files: paths(&files(true)), untold: Some(untold) });
            }
        }
    }
    if !progress.keys {
        is_own()?;
        let (mut failed, mut lost) = (None, Vec::new());
        progress.needed.clear();
        let no_settings = progress.has_no_settings();
        for (number, saved) in files(false) {
            // Where there was none, the settings that stay have no others.
            if no_settings && !saved.was_there && saved.link.is_none() {
                progress.needed.push(saved.path.clone());
                continue;
            }
            match put_back(state, number, saved) {
                Ok(true) => {}
                Ok(false) => lost.push(saved.path.clone()),
                Err(why) => failed = Some(why),
            }
        }
        if let Some(why) = failed {
            return Err(why);
        }
        progress.gone.extend(lost);
        progress.keys = true;
    }
    let left = progress.left();
    // Nobody reads what the watchdog says: it stays to be told.
    if let (Told::OrAgain, Some(left)) = (told, &left) {
        return Err(ApplyError::Failed(left.clone()));
    }
    // Who has no other way in than by that one waits for it.
    if let (false, Some(why)) = (progress.told, &progress.other) {
        return Err(ApplyError::Failed(format!("one sshd of several was not told: {why}")));
    }
    is_own()?;
    state.forget()?;
    let stays = |path: &PathBuf| progress.gone.contains(path) || progress.needed.contains(path);
    let files = record.files.iter().map(|saved| saved.path.clone()).filter(|path| !stays(path)).collect();
    let is_back = if progress.has_no_settings() {
        "it is taken back but for that"
    } else {
        "the old settings are back"
    };
    let other = progress.other.as_ref().map(|why| {
        format!("{is_back}, and one sshd of several was not told: {why}; start it anew, or stop it")
    });
    let untold = left.map(|left| format!("{left}. Nothing waits any more")).into_iter().chain(other);
    let untold = untold.reduce(|left, other| format!("{left}; {other}"));
    Ok(TakenBack { files, untold })
}

/// Has whoever listens read the old settings. One that this change started is ended; where one listened before and none does
/// any more, it is started again as it was. Where some were told, why another was not: somebody can log in by the old settings,
/// and that needs the old keys.
fn tell_old(
    state: &State,
    record: &Record,
    heard: &mut Vec<Process>,
) -> Result<Option<ApplyError>, ApplyError> {
    // Where some listened it started none, whatever is written there.
    let may_have = record.listened.as_ref().is_none_or(Vec::is_empty);
    let own = if may_have { state.started(record.id) } else { Ok(None) };
    let (mut now, unknown) = listeners::seen()?;
    if let Ok(Some(own)) = &own {
        now.retain(|one| one.process != own.process);
    }
    let (told, failed) = daemon::reload_each(&now, heard);
    // Last: one that does not end, or that nobody can name, holds up no other.
    let stays = match own {
        Ok(own) => own.and_then(|own| daemon::end(&own.process).err()),
        Err(_) if listeners::started()?.is_empty() => None,
        Err(why) => Some(ApplyError::Failed(format!(
            "{why}; an sshd that the change started, where none ran, may go on"
        ))),
    };
    if let (false, Some(why)) = (told, stays.as_ref()) {
        return Err(ApplyError::Failed(why.to_string()));
    }
    match failed.or(unknown).or(stays) {
        None if told => return Ok(None),
        Some(why) if told => return Ok(Some(why)),
        // It may have ended while it was told.
        Some(why) if !listeners::seen()?.0.is_empty() || now.is_empty() => return Err(why),
        None | Some(_) => {}
    }
    match &record.listened {
        // By an older fwc, which did not write it down.
        None => daemon::start(None, &mut |_| Ok(())).map(drop),
        Some(all) => all.iter().try_for_each(|args| daemon::start(Some(args), &mut |_| Ok(())).map(drop)),
    }
    .map(|()| None)
}

/// False where the old text is gone: what stands there stays.
fn put_back(state: &State, number: usize, saved: &Saved) -> Result<bool, ApplyError> {
    if let Some(target) = &saved.link {
        return put::link(&saved.path, target).map(|()| true);
    }
    if !saved.was_there {
        return put::remove(&saved.path).map(|()| true);
    }
    let Some(old) = state.kept(number)? else { return Ok(false) };
    // What is right already is left alone: on a read-only disk nothing was changed either.
    if saved.stands(&old) {
        return Ok(true);
    }
    put::replace(&saved.path, &old, saved.rights(), &mut |_| Ok(())).map(|()| true)
}
