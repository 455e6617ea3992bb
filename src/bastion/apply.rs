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
//! fsync of the folder); (6) sshd checks the real tree and is told to reload, and has to answer. Until [`confirm`] is called
//! from an SSH connection that came afterwards, the watchdog stays. A running sshd keeps its settings and its sessions when the
//! files change; one that is told to reload broken ones ends, which is why (6) checks first.

#![expect(clippy::disallowed_methods, reason = "changes the configuration of sshd, and starts the watchdog")]

pub mod canary;
pub mod daemon;
pub mod put;
pub mod record;
pub mod status;

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::applied;
use super::folder::{self, Folder, NotTaken};
use super::sshd::effective::Effective;
use super::sshd::inspect::{self, Inspection, Tree};
use super::sshd::meant::DROP_IN;
use super::sshd::placed::keys_file;
use super::sshd::stage::{Network, SSHD, Stage, StageError};
use crate::apply::admin::{self, Connection};
use record::{Before, Record, Saved, State};

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
pub fn apply(asked: &Asked, steps: Steps<'_>) -> Result<Vec<PathBuf>, ApplyError> {
    let state = State::open()?;
    let _lock = state.lock()?;
    if state.read()?.is_some() {
        let said =
            "an earlier apply waits: `fwc bastion confirm` keeps it, `fwc bastion rollback` takes it back";
        return Err(ApplyError::Refused(said.to_owned()));
    }
    daemon::can_be_told()?;
    steps("stage")?;
    state.sweep()?;
    let staged = stage(asked, &state)?;
    steps("canary")?;
    match canary::prove(asked, staged.path(), state.work()?.path()) {
        Ok(()) => {}
        Err(ApplyError::Refused(_)) if asked.console => {}
        Err(other) => return Err(other),
    }
    let changes = staged.changes.clone();
    steps("save")?;
    let record = save(asked, &state, &changes)?;
    note(asked, &state, record.id)?;
    let files = changes.iter().map(|change| (change.to.as_path(), change.text.as_slice()));
    applied::tried(record.id, files).map_err(ApplyError::io("write down what is applied"))?;
    steps("arm")?;
    arm(&record)?;
    steps("record")?;
    state.write(&record)?;
    // Were the time over before all is done, what came after it would never be taken back.
    let mut guarded = |what: &str| {
        steps(what)?;
        let waits = state.pending()?.is_some_and(|now| now.id == record.id);
        let late = || ApplyError::Failed("the time was over before all was done".to_owned());
        waits.then_some(()).ok_or_else(late)
    };
    let done = put_all(&changes, &mut guarded)
        .and_then(|()| take_effect(&mut guarded))
        // Who came meanwhile came by the old settings.
        .and_then(|()| note(asked, &state, record.id))
        .and_then(|()| guarded("done"));
    match done {
        Ok(()) => Ok(changes.into_iter().map(|change| change.to).collect()),
        Err(why) => {
            // Or the watchdog has, and was done before the last file was put in place.
            let _ = state.take();
            match restore(&state, &record) {
                Ok(_) => Err(why),
                Err(worse) => {
                    Err(ApplyError::Failed(format!("{why}; and it is not taken back yet: {worse}")))
                }
            }
        }
    }
}

/// Keeps what was applied: the watchdog has nothing left to put back. `connection` is the one that asks, if that is known.
///
/// # Errors
/// Where nothing waits, or it is being taken back, or the caller came by a connection that was there before, which shows nothing.
pub fn confirm(connection: Option<&Connection>, console: bool) -> Result<(), ApplyError> {
    let state = State::open()?;
    let _lock = state.lock()?;
    let late = || ApplyError::Refused("too late: the old files are being put back".to_owned());
    let Some(record) = state.pending()? else {
        let nothing = || ApplyError::Refused("nothing waits to be confirmed".to_owned());
        return Err(if state.is_taken_back() { late() } else { nothing() });
    };
    if !console {
        may_confirm(connection, state.before(record.id)?.as_ref()).map_err(ApplyError::Refused)?;
    }
    if !state.confirm()? {
        return Err(late());
    }
    let unwritten = |e| {
        ApplyError::Failed(format!("it is confirmed and stays, and was not written down for `check`: {e}"))
    };
    applied::confirmed(record.id).map_err(unwritten)
}

/// Whether a connection came after the new settings; why not.
fn may_confirm(connection: Option<&Connection>, before: Option<&Before>) -> Result<(), String> {
    let shows = "it would live on if nobody could log in any more: confirm from a new one";
    match (connection, before) {
        (_, None) => {
            Err("it is not known which connections were there before: say `--i-have-console`".to_owned())
        }
        (Some(now), Some(before)) if before.own.as_ref() == Some(now) => {
            Err(format!("this is the connection that applied ({now}), and {shows}"))
        }
        (Some(now), Some(before)) if before.all.contains(now) => {
            Err(format!("this connection ({now}) was there before the new settings, and {shows}"))
        }
        // At a console, where nobody else was there by ssh, or in a terminal that outlives connections (tmux).
        (None, Some(before)) if !before.all.is_empty() => Err(format!(
            "it is not known over which connection this is said, and there are old ones ({}): \
             log in anew and say it there, or say `--i-have-console`",
            before.all.len()
        )),
        (Some(_) | None, Some(_)) => Ok(()),
    }
}

/// Puts the old files back and tells sshd; returns them, empty where nothing waited.
///
/// # Errors
/// When a file cannot be put back, or sshd does not read the old settings: the new keys stay then, and the record for another
/// try.
pub fn rollback() -> Result<Vec<PathBuf>, ApplyError> {
    take_back(None)
}

/// The same by the watchdog, who knows the record by heart where nobody can read it any more.
fn take_back(known: Option<&Record>) -> Result<Vec<PathBuf>, ApplyError> {
    let state = State::open()?;
    let record = match state.read() {
        Ok(None) => return Ok(Vec::new()),
        Ok(Some(record)) => record,
        // No other was begun since: it would have been refused.
        Err(why) => state.saved().ok().flatten().or_else(|| known.cloned()).ok_or(why)?,
    };
    if state.take() { restore(&state, &record) } else { Ok(Vec::new()) }
}

/// The watchdog: waits, and puts the old files back unless the record is gone or another's by then.
pub fn watch(id: u64, wait: Duration) {
    const TRIES: u32 = 600;
    let begun = std::time::Instant::now();
    let saved = || State::open().ok().and_then(|state| state.saved().ok().flatten());
    let own = saved().filter(|record| record.id == id);
    let waiting = || match State::open().and_then(|state| state.read()) {
        Ok(record) => record.is_some_and(|record| record.id == id),
        // Nobody may take it for none: unless the old files are known to be those of another, it is this one.
        Err(_) => saved().is_none_or(|record| record.id == id),
    };
    // It is armed before the record is written: a record of which nobody knows would block the next apply.
    let mut seen = false;
    while begun.elapsed() < wait {
        std::thread::sleep(Duration::from_millis(200));
        let waits = waiting();
        if seen && !waits {
            return;
        }
        seen |= waits;
    }
    // A disk may be full or read-only for a while.
    for _ in 0..TRIES {
        if !waiting() || take_back(own.as_ref()).is_ok() {
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
fn stage(asked: &Asked, state: &State) -> Result<Staged, ApplyError> {
    let dir = state.work()?;
    copy_tree(Path::new(BELOW), dir.path()).map_err(ApplyError::io(format!("copy {BELOW}")))?;
    let Folder { settings: text, keys, .. } = folder::read(&asked.folder)?;
    let mut staged = Staged { dir, changes: vec![Change { to: DROP_IN.into(), text }] };
    staged.lay(0)?;
    let place = Stage::new(vec![(staged.path().to_owned(), BELOW.into())], Network::Shared)?;
    if let Some(new) = settings(&place, &asked.admin, asked.from)? {
        daemon::has_pid_file(&new)?;
    }
    // sshd says where it looks for an account's keys under the new settings.
    for (account, text) in keys {
        let Some(settings) = settings(&place, &account, asked.from)? else { break };
        let to = settings.one("authorizedkeysfile").and_then(|all| keys_file(all, &account));
        let Some(to) = to.filter(|to| to.starts_with(BELOW)) else {
            return Err(ApplyError::Refused(format!(
                "the new settings look for the keys of `{account}` outside of {BELOW}, where fwc puts none"
            )));
        };
        staged.changes.push(Change { to, text });
        staged.lay(staged.changes.len().saturating_sub(1))?;
    }
    let tree = Tree::new("/".into(), Some(staged.path().to_owned()));
    let found = inspect::inspect_in(&place, tree, None, &[asked.from])?;
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
        put::replace(&self.path().join(below), &change.text, put::MODE, &mut |_| Ok(()))
    }
}

/// What sshd says of an account, if it takes its configuration at all.
fn settings(place: &Stage, account: &str, from: IpAddr) -> Result<Option<Effective>, ApplyError> {
    let who = format!("user={account},host={from},addr={from},laddr=127.0.0.1,lport=22");
    let output = place.run(SSHD, &["-T".to_owned(), "-C".to_owned(), who])?;
    Ok(output.status.success().then(|| Effective::read(&String::from_utf8_lossy(&output.stdout))))
}

/// Keeps what the changes replace.
fn save(asked: &Asked, state: &State, changes: &[Change]) -> Result<Record, ApplyError> {
    let mut files = Vec::new();
    for (number, change) in changes.iter().enumerate() {
        let saved = Saved::of(&change.to);
        if saved.was_there {
            let old =
                fs::read(&change.to).map_err(ApplyError::io(format!("read {}", change.to.display())))?;
            state.keep(number, &old)?;
        }
        files.push(saved);
    }
    let record = Record { id: record::number(), files, wait: asked.wait.as_secs() };
    state.write_saved(&record)?;
    Ok(record)
}

/// Writes down which connections there are: none of them may confirm. They are those of now and those of an earlier note.
fn note(asked: &Asked, state: &State, id: u64) -> Result<(), ApplyError> {
    let mut ports = daemon::ports()?;
    ports.extend(asked.connection.map(|own| own.server.port()));
    let mut all = state.before(id)?.unwrap_or_default().all;
    for one in admin::open(&ports) {
        if !all.contains(&one) {
            all.push(one);
        }
    }
    state.write_before(&Before { id, own: asked.connection, all })
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

fn take_effect(steps: Steps<'_>) -> Result<(), ApplyError> {
    steps("reload")?;
    daemon::reload()?;
    steps("answer")?;
    daemon::answers()
}

/// Settings first, then keys: as long as sshd goes by the new settings, who logs in needs the keys that those look for.
fn restore(state: &State, record: &Record) -> Result<Vec<PathBuf>, ApplyError> {
    let settings = |saved: &Saved| saved.path == Path::new(DROP_IN);
    for (number, saved) in record.files.iter().enumerate().filter(|(_, saved)| settings(saved)) {
        put_back(state, number, saved)?;
    }
    let told = daemon::reload().and_then(|()| daemon::answers());
    told.map_err(|why| {
        let said = "the old settings are back, and sshd did not read them, so the new keys stay";
        ApplyError::Failed(format!("{said}: {why}"))
    })?;
    let mut failed = None;
    for (number, saved) in record.files.iter().enumerate().filter(|(_, saved)| !settings(saved)) {
        failed = put_back(state, number, saved).err().or(failed);
    }
    if let Some(why) = failed {
        return Err(why);
    }
    state.forget()?;
    Ok(record.files.iter().map(|saved| saved.path.clone()).collect())
}

fn put_back(state: &State, number: usize, saved: &Saved) -> Result<(), ApplyError> {
    if let Some(target) = &saved.link {
        return put::link(&saved.path, target);
    }
    if !saved.was_there {
        return put::remove(&saved.path);
    }
    let old = state.kept(number)?;
    // What is right already is left alone: on a read-only disk nothing was changed either.
    if saved.stands(&old) {
        return Ok(());
    }
    put::replace(&saved.path, &old, saved.rights(), &mut |_| Ok(()))
}

/// Copies a folder, modes and owners included.
fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::{MetadataExt, chown};
    let meta = fs::metadata(from)?;
    if meta.is_dir() {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            copy_tree(&entry.path(), &to.join(entry.file_name()))?;
        }
    } else if meta.is_file() {
        fs::copy(from, to)?;
    } else {
        return Ok(());
    }
    fs::set_permissions(to, meta.permissions())?;
    chown(to, Some(meta.uid()), Some(meta.gid()))
}
