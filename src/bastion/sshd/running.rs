//! The sshd that run: how each was started, whether it is the one that is asked, and whether it has read its files.
//!
//! *Input*: `/proc`, the PidFile. *Output*: [`Running`].
//!
//! *Design decisions*. sshd is asked as a new process; what one that runs does is told by the answer only where it is the same
//! program, sees the same files and has read them since they changed. It writes its PidFile when it has read them, at a
//! start and at a reload; where that does not name it, all that is known is when it started. Files are as new as their inode
//! says (`ctime`), for a date may be put back or brought along (`mv`, `cp -p`, `rsync`), and of a folder that is when
//! something came into it or left it.

#![expect(clippy::disallowed_methods, reason = "reads what the running sshd was started with, and when")]

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

use super::stage::{SSHD, StageError};

/// One that was told to reload just now has read its files by then.
const PATIENCE: Duration = Duration::from_secs(2);
/// Starts are told in ticks of the system, hundredths of a second.
const TICK: i128 = 10_000_000;
/// So much a start that was reckoned from ticks may be off.
const INEXACT: i128 = 5 * TICK;
const SECOND: i128 = 1_000_000_000;

/// An sshd that listens in this network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Running {
    /// Its number.
    process: String,
    /// What it was started with. It shows that in its title, which parts words by blanks alone.
    pub(super) words: Vec<String>,
}

/// One of root's, or why it does not show what it was started with.
pub(super) type Found = Result<Running, StageError>;

/// What it has not read, and whether telling it to reload would be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Behind {
    pub(super) paths: BTreeSet<PathBuf>,
    pub(super) has_pid_file: bool,
}

/// Every sshd that listens in this network: root's, and those that users run for themselves, each as a remark.
///
/// SECURITY: a title is what any process calls itself, so one of another user is believed in nothing: not even that it listens,
/// unless it has such a socket. What listens for a user lets in that user alone, and nobody's settings are found there.
///
/// # Errors
/// Where `/proc` cannot be read, or one of root's does not show what it was started with.
pub(super) fn listeners() -> Result<(Vec<Running>, Vec<String>), StageError> {
    let (all, of_users) = seen()?;
    Ok((all.into_iter().collect::<Result<_, _>>()?, of_users))
}

/// The same, each for itself: one of root's that does not show what it was started with hides no other.
///
/// # Errors
/// Where `/proc` cannot be read.
pub(super) fn seen() -> Result<(Vec<Found>, Vec<String>), StageError> {
    let here = fs::read_link("/proc/self/ns/net").map_err(StageError::system("read /proc/self/ns/net"))?;
    let (mut all, mut of_users) = (Vec::new(), Vec::new());
    for entry in fs::read_dir("/proc").map_err(StageError::system("read /proc"))? {
        let at = entry.map_err(StageError::system("read /proc"))?.path();
        if !is_sshd(&at) || fs::read_link(at.join("ns/net")).is_ok_and(|net| net != here) {
            continue;
        }
        // One that is gone by now listens no more.
        let Ok(bytes) = fs::read(at.join("cmdline")) else { continue };
        let user = match fs::read_to_string(at.join("status")) {
            Ok(status) => user(&status),
            Err(_) if !at.exists() => continue,
            Err(_) => None,
        };
        let process = at.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (words, is_clear) = match of_process(&bytes) {
            Process::Listener(words) => (words, true),
            Process::Unclear => (Vec::new(), false),
            Process::Other => continue,
        };
        let one = Running { process, words };
        match user {
            Some(user) if listens(&at) => of_users.push(one.of_user(user)),
            Some(_) => {}
            // Its own program may be about to listen; another that does not listen is no sshd of this network.
            None if one.is_asked().is_err() && !listens(&at) => {}
            None if is_clear => all.push(Ok(one)),
            None => all.push(Err(untold(&one.process))),
        }
    }
    Ok((all, of_users))
}

/// Whose a process is, unless it is wholly root's: one that a user started by a set-user-ID program is that user's.
fn user(status: &str) -> Option<u32> {
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    ids.split_whitespace().filter_map(|id| id.parse().ok()).find(|id| *id != 0)
}

/// Whether a process has a socket of TCP that listens (proc(5)). Where that is not seen, it may.
fn listens(at: &Path) -> bool {
    const LISTEN: &str = "0A";
    let Ok(open) = fs::read_dir(at.join("fd")) else { return at.exists() };
    let Ok(tables) = fs::read_to_string(at.join("net/tcp")) else { return at.exists() };
    let tables = tables + &fs::read_to_string(at.join("net/tcp6")).unwrap_or_default();
    let listening = tables.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let inode = fields.get(9)?;
        (*fields.get(3)? == LISTEN).then(|| format!("socket:[{inode}]"))
    });
    let listening: BTreeSet<String> = listening.collect();
    open.flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .any(|to| to.to_str().is_some_and(|to| listening.contains(to)))
}

impl Running {
    /// As people call it.
    pub(crate) fn name(&self) -> String {
        format!("the running sshd, process {}", self.process)
    }

    /// What is said of one that a user runs.
    fn of_user(&self, user: u32) -> String {
        let program = fs::read_link(self.at().join("exe")).unwrap_or_default();
        format!(
            "process {} of user {user} listens as an sshd of their own (`{}`): it lets in nobody but them, and was not asked about",
            self.process,
            program.display()
        )
    }

    pub(crate) fn process(&self) -> &str {
        &self.process
    }

    fn at(&self) -> PathBuf {
        Path::new("/proc").join(&self.process)
    }

    /// Whether it is the program that is asked, or was before a package replaced that.
    ///
    /// # Errors
    /// Where it is not: it may read other files, and of another release the same ones otherwise.
    pub(super) fn is_asked(&self) -> Result<(), StageError> {
        let exe = self.at().join("exe");
        let theirs = match file(&exe, true) {
            // It is gone by now.
            Ok(None) => return Ok(()),
            theirs => theirs
                .map_err(StageError::system(format!("see which program process {} is", self.process)))?,
        };
        let ours = file(Path::new(SSHD), true).map_err(StageError::system(format!("read {SSHD}")))?;
        let name = fs::read_link(&exe).unwrap_or_default().display().to_string();
        let usual = fs::canonicalize(SSHD).unwrap_or_else(|_| SSHD.into());
        if theirs == ours || name.strip_suffix(" (deleted)").is_some_and(|name| Path::new(name) == usual) {
            return Ok(());
        }
        Err(StageError::Said(format!(
            "{}, is another program than {SSHD}, which would be asked: `{name}`, perhaps of a container. What it lets in is not \
             known: ask it (`/proc/{}/exe -T`), or stop it",
            self.name(),
            self.process
        )))
    }

    /// Whether it sees the same files, in whatever mounts.
    ///
    /// # Errors
    /// Where it does not.
    pub(crate) fn sees(&self, looked_at: &BTreeSet<PathBuf>) -> Result<(), StageError> {
        for path in looked_at {
            let below = path.strip_prefix("/").unwrap_or(path);
            let theirs = file(&self.at().join("root").join(below), false).ok().flatten();
            if theirs == file(path, false).ok().flatten() || !self.at().join("root").exists() {
                continue;
            }
            return Err(StageError::Said(format!(
                "{}, sees other files than fwc: its `{}` is another, perhaps a container's. What it lets in is not known: run fwc \
                 where it runs (`nsenter --target {} --mount`), or stop it",
                self.name(),
                path.display(),
                self.process
            )));
        }
        Ok(())
    }

    /// What it has not read of what was looked at, if anything.
    pub(super) fn behind(&self, looked_at: &BTreeSet<PathBuf>, pid_file: Option<&str>) -> Option<Behind> {
        let begun = Instant::now();
        loop {
            let behind = self.behind_now(looked_at, pid_file)?;
            if begun.elapsed() > PATIENCE {
                return Some(behind);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn behind_now(&self, looked_at: &BTreeSet<PathBuf>, pid_file: Option<&str>) -> Option<Behind> {
        let written = pid_file.and_then(|file| self.written(Path::new(file)));
        // One that is gone by now goes by nothing.
        let read = written.or_else(|| self.started())?;
        let newer = |path: &PathBuf| changed(path).filter(|(_, when)| *when > read).map(|(path, _)| path);
        let paths: BTreeSet<PathBuf> = looked_at.iter().filter_map(newer).collect();
        (!paths.is_empty()).then_some(Behind { paths, has_pid_file: written.is_some() })
    }

    /// When it wrote its PidFile; none where that names another, or is of a time to come, since the clock was put back.
    fn written(&self, file: &Path) -> Option<i128> {
        if fs::read_to_string(file).ok()?.trim() != self.process {
            return None;
        }
        let meta = fs::metadata(file).ok()?;
        let (when, part) = (nanoseconds(meta.mtime(), meta.mtime_nsec()), meta.mtime_nsec());
        // A file system that knows whole seconds.
        let when = if part == 0 { when.saturating_add(SECOND).saturating_sub(1) } else { when };
        (when <= clock(ClockId::CLOCK_REALTIME)?.saturating_add(SECOND)).then_some(when)
    }

    /// When it started (proc(5)): a reload does not change that.
    fn started(&self) -> Option<i128> {
        let stat = fs::read_to_string(self.at().join("stat")).ok()?;
        let (_, behind) = stat.rsplit_once(')')?;
        let ticks: i128 = behind.split_whitespace().nth(19)?.parse().ok()?;
        let age = clock(ClockId::CLOCK_BOOTTIME)?.saturating_sub(ticks.saturating_mul(TICK));
        Some(clock(ClockId::CLOCK_REALTIME)?.saturating_sub(age).saturating_add(INEXACT))
    }
}

/// Which file a path is, the last link followed or not; none where there is none.
fn file(path: &Path, follow: bool) -> io::Result<Option<(u64, u64)>> {
    match if follow { fs::metadata(path) } else { fs::symlink_metadata(path) } {
        Ok(meta) => Ok(Some((meta.dev(), meta.ino()))),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// When a path last became what it is. Of one that is not there, the folder in which it would be; but `/etc` itself, where
/// something comes and goes all the time.
fn changed(path: &Path) -> Option<(PathBuf, i128)> {
    let (there, meta) = path.ancestors().find_map(|path| Some((path, fs::symlink_metadata(path).ok()?)))?;
    let busy = there != path && (there == Path::new("/etc") || there == Path::new("/"));
    (!busy).then(|| (there.to_owned(), nanoseconds(meta.ctime(), meta.ctime_nsec())))
}

fn nanoseconds(seconds: i64, part: i64) -> i128 {
    i128::from(seconds).saturating_mul(SECOND).saturating_add(i128::from(part))
}

fn clock(which: ClockId) -> Option<i128> {
    clock_gettime(which).ok().map(|now| nanoseconds(now.tv_sec(), now.tv_nsec()))
}

/// Whether a process runs sshd, by whatever name it was started.
fn is_sshd(at: &Path) -> bool {
    let by_file = fs::read_link(at.join("exe")).is_ok_and(|exe| {
        let name = exe.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.trim_end_matches(" (deleted)") == "sshd"
    });
    by_file || fs::read_to_string(at.join("comm")).is_ok_and(|name| name.trim() == "sshd")
}

/// What a process of sshd is, by its command line.
#[derive(Debug, PartialEq, Eq)]
enum Process {
    /// It listens, started with these words.
    Listener(Vec<String>),
    /// A session, a question to sshd, or one that has ended.
    Other,
    /// It listens, and does not show with what: its title is longer than the room for it, or no text.
    Unclear,
}

fn of_process(bytes: &[u8]) -> Process {
    if bytes.iter().all(|byte| *byte == 0) {
        return Process::Other;
    }
    let line = String::from_utf8_lossy(bytes);
    let words: Vec<String> = match title(&line) {
        Some(title) => match title.split_once(" [listener]") {
            Some((started, _)) => started.split_whitespace().map(ToOwned::to_owned).collect(),
            // sshd is started by its whole path, so that what was cut off has another first letter than a session's.
            None if title.starts_with('/') => return Process::Unclear,
            None => return Process::Other,
        },
        // Before it has set its title.
        None => line.trim_end_matches('\0').split('\0').map(ToOwned::to_owned).collect(),
    };
    if str::from_utf8(bytes).is_err() {
        return Process::Unclear;
    }
    let behind = words.get(1..).unwrap_or_default();
    if behind.iter().any(|word| matches!(word.as_str(), "-t" | "-T" | "-G" | "-R" | "-i")) {
        return Process::Other;
    }
    Process::Listener(behind.to_vec())
}

/// What stands behind the program's name, which is that of the link by which it was started.
fn title(line: &str) -> Option<&str> {
    let (name, title) = line.split_once(": ")?;
    (!name.contains(['/', '\0'])).then_some(title)
}

fn untold(process: &str) -> StageError {
    StageError::Said(format!(
        "the running sshd, process {process}, does not show what it was started with, and settings of the command line beat \
         the files: restart it from an environment with more variables (its title has no other room), or stop it"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_told_from_its_sessions() {
        let listens =
            |text: &str| Process::Listener(text.split_whitespace().map(ToOwned::to_owned).collect());
        for (line, what) in [
            ("sshd: /usr/sbin/sshd -D -p 1 [listener] 0 of 10-100 startups\0\0", listens("-D -p 1")),
            ("/usr/sbin/sshd\0-D\0", listens("-D")),
            ("sshd-mgmt: /run/sshd-mgmt -D [listener] 0 of", listens("-D")),
            ("/usr/sbin/sshd\0-o\0Banner: /x\0", listens("-o Banner: /x")),
            ("sshd: ana [priv]", Process::Other),
            ("sshd: [accepted]", Process::Other),
            ("/usr/sbin/sshd\0-T\0", Process::Other),
            ("", Process::Other),
            ("sshd: /usr/sbin/sshd -D -f /etc/other [liste\0", Process::Unclear),
        ] {
            let joined = |of: Process| match of {
                Process::Listener(words) => words.join(" "),
                other => format!("{other:?}"),
            };
            assert_eq!(joined(of_process(line.as_bytes())), joined(what), "{line}");
        }
        assert_eq!(of_process(b"sshd: j\xf6rg [priv]\0"), Process::Other);
        assert_eq!(of_process(b"sshd: /usr/sbin/sshd -f /\xf6 [listener] 0 of"), Process::Unclear);
    }

    #[test]
    fn what_is_not_there_is_as_new_as_the_folder_that_lacks_it() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "x").unwrap();
        let of = |name: &str| changed(&dir.path().join(name)).unwrap().0;
        assert_eq!(of("file"), dir.path().join("file"));
        assert_eq!(of("none"), dir.path());
        assert_eq!(of("none/at/all"), dir.path());
        assert_eq!(changed(Path::new("/etc/fwc-no-such-folder/x")), None);
    }

    #[test]
    fn a_process_is_as_old_as_it_is() {
        let own = Running { process: std::process::id().to_string(), words: Vec::new() };
        let dir = tempfile::tempdir().unwrap();
        let (file, pid_file) = (dir.path().join("file"), dir.path().join("pid"));
        let now = clock(ClockId::CLOCK_REALTIME).unwrap();
        let age = now - own.started().unwrap();
        assert!(age > -INEXACT && age < 86_400 * SECOND, "{age}");
        // Another's is not looked at; its own says when it read.
        fs::write(&pid_file, "1\n").unwrap();
        assert_eq!(own.written(&pid_file), None);
        fs::write(&file, "x").unwrap();
        fs::write(&pid_file, format!("{}\n", own.process)).unwrap();
        let looked_at = BTreeSet::from([file.clone()]);
        assert_eq!(own.behind_now(&looked_at, pid_file.to_str()), None);
        std::thread::sleep(Duration::from_millis(30));
        fs::write(&file, "y").unwrap();
        let behind = own.behind_now(&looked_at, pid_file.to_str()).unwrap();
        assert_eq!(behind, Behind { paths: looked_at, has_pid_file: true });
    }
}
