//! A place to ask an sshd questions in: a mount namespace in which another `/etc` may stand, with `/run/sshd`.
//!
//! *Design decisions*. sshd reads absolute paths, and an Include that was rewritten would no longer be the one that is asked
//! about. So other files stand at the real place, in a namespace of mounts that ends with the thread that made it.
//! A stage with a network of its own can run an sshd on the real port that nobody reaches from outside.
//!
//! SECURITY: what runs here runs as root, and the loader and libraries of this machine go by `/etc` too (`ld.so.preload`,
//! `nsswitch.conf`, settings that name modules). So the `/etc` of an image never stands in the place of this machine's: a
//! bare stage has an empty one, into which goes what was asked for by name ([`Stage::put`]) and nothing else.

#![expect(clippy::disallowed_methods, reason = "starts sshd in a namespace of its own")]

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::bounded;

/// Where sshd is.
pub const SSHD: &str = "/usr/sbin/sshd";
/// How long a program may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What of this machine's `/etc` a bare stage has: where the libraries are that its programs need.
const LIBRARIES: [&str; 3] = ["/etc/ld.so.cache", "/etc/ld-musl-x86_64.path", "/etc/ld-musl-aarch64.path"];
/// Where accounts and names are looked up in a bare stage: in its own files, by no module that a tree names and no service
/// of this machine.
const NSSWITCH: &str = "passwd: files\ngroup: files\nhosts: files\nservices: files\n";
/// Through which the C library would ask this machine's cache of names instead.
const CACHES: [&str; 2] = ["/run/nscd", "/var/run/nscd"];

type Job = Box<dyn FnOnce() + Send>;

/// What keeps a question from being asked.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The system refused something.
    #[error("cannot {what}: {source}")]
    System {
        /// What was tried.
        what: String,
        /// Why not.
        source: io::Error,
    },
    /// A program said no.
    #[error("{0}")]
    Said(String),
}

impl StageError {
    pub(crate) fn system(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::System { what, source }
    }
}

/// Whether a stage shares the machine's network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// It does: for questions.
    Shared,
    /// It has one of its own: for an sshd.
    Own,
}

/// What a stage's `/etc` is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Etc {
    /// The machine's, with folders of the first kind at the places of the second.
    Bound(Vec<(PathBuf, PathBuf)>),
    /// What is put there.
    Bare,
}

/// A thread in namespaces of its own.
#[derive(Debug)]
pub struct Stage {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    bare: bool,
}

impl Stage {
    /// A stage in which each pair's first folder stands at the second one's place.
    ///
    /// # Errors
    /// When this process may not make namespaces (be root), or a folder is not there.
    pub fn new(bound: Vec<(PathBuf, PathBuf)>, network: Network) -> Result<Self, StageError> {
        Self::start(Etc::Bound(bound), network)
    }

    /// A stage for files of elsewhere: its `/etc` holds what is put there, and its programs start with an environment of
    /// their own.
    ///
    /// # Errors
    /// When this process may not make namespaces (be root).
    pub fn bare() -> Result<Self, StageError> {
        Self::start(Etc::Bare, Network::Shared)
    }

    fn start(etc: Etc, network: Network) -> Result<Self, StageError> {
        let bare = etc == Etc::Bare;
        let (jobs, inbox) = channel::<Job>();
        let (ready, made) = channel();
        let thread = std::thread::Builder::new()
            .spawn(move || {
                let entered = enter(&etc, network);
                let failed = entered.is_err();
                if ready.send(entered).is_err() || failed {
                    return;
                }
                while let Ok(job) = inbox.recv() {
                    job();
                }
            })
            .map_err(StageError::system("start a thread"))?;
        made.recv().map_err(|_| StageError::Said("the stage ended at once".to_owned()))??;
        Ok(Self { jobs: Some(jobs), thread: Some(thread), bare })
    }

    /// Does something there.
    ///
    /// # Errors
    /// When the stage is gone.
    pub fn within<T: Send + 'static>(
        &self,
        act: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, StageError> {
        let gone = || StageError::Said("the stage is gone".to_owned());
        let (tell, told) = channel();
        let job: Job = Box::new(move || drop(tell.send(act())));
        self.jobs.as_ref().ok_or_else(gone)?.send(job).map_err(|_| gone())?;
        told.recv().map_err(|_| gone())
    }

    /// Runs a program there to its end.
    ///
    /// # Errors
    /// When it cannot be started, or takes too long and is ended.
    pub fn run(&self, program: &str, args: &[String]) -> Result<Output, StageError> {
        self.run_for(program, args, PATIENCE)
    }

    /// The same of one that may take so long.
    ///
    /// # Errors
    /// When it cannot be started, or takes longer and is ended.
    pub fn run_for(&self, program: &str, args: &[String], most: Duration) -> Result<Output, StageError> {
        let mut command = Command::new(program);
        if self.bare {
            // SECURITY: no variable that names something to load, and no settings of a library.
            command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("OPENSSL_CONF", "/dev/null");
            command.current_dir("/");
        }
        command.args(args).env("LC_ALL", "C").stdin(Stdio::null());
        let ended = self
            .within(move || bounded::output(&mut command, most))?
            .map_err(StageError::system(format!("run {program}")))?;
        ended.ok_or_else(|| {
            let asked = [&[program.to_owned()], args].concat().join(" ");
            StageError::Said(format!(
                "`{asked}` did not end within {} seconds, and was ended",
                most.as_secs()
            ))
        })
    }

    /// Puts a file below the `/etc` of a bare stage.
    ///
    /// # Errors
    /// When the path leads out of `/etc`, or to a file that was put there by another path with other contents.
    pub fn put(&self, path: &str, bytes: Vec<u8>) -> Result<(), StageError> {
        let failed = StageError::system(format!("put {path} at its place"));
        let path = PathBuf::from(path);
        if !self.bare {
            return Err(StageError::Said("this stage has the machine's own files".to_owned()));
        }
        self.within(move || lay(&path, &bytes))?.map_err(failed)
    }
}

/// Writes a file below `/etc`, with the folders that its path names, those among them that it leaves again.
fn lay(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut at = PathBuf::from("/");
    for part in path.parent().unwrap_or(path).components() {
        match part {
            Component::Normal(name) => at.push(name),
            Component::ParentDir => drop(at.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => continue,
        }
        if at.starts_with("/etc") && !at.is_dir() {
            fs::create_dir(&at)?;
        }
    }
    let name = path.file_name().ok_or_else(|| io::Error::other("it names no file"))?;
    let to = at.join(name);
    if !to.starts_with("/etc") {
        return Err(io::Error::other("it leads out of /etc"));
    }
    match fs::read(&to) {
        Ok(there) if there == bytes => Ok(()),
        Ok(_) => {
            Err(io::Error::other("two paths that lead to several files of the tree would lead to one here"))
        }
        Err(_) => fs::write(&to, bytes),
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Takes this thread into namespaces of its own.
fn enter(etc: &Etc, network: Network) -> Result<(), StageError> {
    let flags = match network {
        Network::Shared => CloneFlags::CLONE_NEWNS,
        Network::Own => CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET,
    };
    let none = None::<&Path>;
    unshare(flags).map_err(refused("make a namespace (this takes root)".to_owned()))?;
    // SECURITY: before this, a mount would be the machine's too.
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .map_err(refused("part the mounts".to_owned()))?;
    match etc {
        Etc::Bound(bound) => {
            for (from, to) in bound {
                mount(Some(from), to, none, MsFlags::MS_BIND, none).map_err(refused(format!(
                    "put {} at {}",
                    from.display(),
                    to.display()
                )))?;
            }
        }
        Etc::Bare => empty_etc()?,
    }
    // sshd asks for it even to print its settings ("Missing privilege separation directory").
    if !Path::new("/run/sshd").is_dir() {
        empty(Path::new("/run"))?;
        fs::create_dir("/run/sshd").map_err(StageError::system("make /run/sshd"))?;
    }
    Ok(())
}

/// An `/etc` with nothing in it but how this machine's libraries are found.
fn empty_etc() -> Result<(), StageError> {
    let kept: Vec<(&str, Vec<u8>)> =
        LIBRARIES.into_iter().filter_map(|path| Some((path, fs::read(path).ok()?))).collect();
    empty(Path::new("/etc"))?;
    for cache in CACHES.into_iter().map(Path::new).filter(|cache| cache.is_dir()) {
        empty(cache)?;
    }
    let own = [("/etc/nsswitch.conf", NSSWITCH.as_bytes().to_vec())];
    for (path, bytes) in kept.into_iter().chain(own) {
        fs::write(path, bytes).map_err(StageError::system(format!("write {path}")))?;
    }
    Ok(())
}

/// Mounts an empty folder over another.
fn empty(at: &Path) -> Result<(), StageError> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("tmpfs"), at, Some("tmpfs"), flags, Some("mode=755"))
        .map_err(refused(format!("make a {} for sshd", at.display())))
}

fn refused(what: String) -> impl FnOnce(nix::errno::Errno) -> StageError {
    move |e| StageError::system(what)(e.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_end_is_ended() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let stage = Stage::new(Vec::new(), Network::Shared).unwrap();
        let most = Duration::from_millis(200);
        let told = stage.run_for("sleep", &["60".to_owned()], most).unwrap_err().to_string();
        assert_eq!(told, "`sleep 60` did not end within 0 seconds, and was ended");
        let said = stage.run_for("sh", &["-c".to_owned(), "echo a; echo b >&2; exit 3".to_owned()], PATIENCE);
        let said = said.unwrap();
        assert_eq!((said.status.code(), &*said.stdout, &*said.stderr), (Some(3), &b"a\n"[..], &b"b\n"[..]));
    }

    #[test]
    fn a_bare_stage_has_nothing_but_what_is_put_there() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let stage = Stage::bare().unwrap();
        stage.put("/etc/ssh/../other/x", b"1".to_vec()).unwrap();
        stage.put("/etc/other/x", b"1".to_vec()).unwrap();
        assert!(stage.put("/etc/other/x", b"2".to_vec()).is_err());
        assert!(stage.put("/etc/../tmp/fwc-x", b"2".to_vec()).is_err());
        let shell = |line: &str| {
            let said = stage.run("sh", &["-c".to_owned(), line.to_owned()]).unwrap();
            String::from_utf8(said.stdout).unwrap()
        };
        let there = shell("cd /etc; find . -type f ! -name 'ld*' | sort; cat ssh/../other/x");
        assert_eq!(there, "./nsswitch.conf\n./other/x\n1");
        assert_eq!(shell("env | grep -c -e ^LD_ -e ^HOME= -e ^CARGO"), "0\n");
        assert!(Path::new("/etc/passwd").exists());
    }
}
