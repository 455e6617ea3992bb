//! A place to ask an sshd questions in: a mount namespace in which another tree's `/etc` may stand, with `/run/sshd`.
//!
//! *Design decisions*. sshd reads absolute paths, and an Include that was rewritten would no longer be the one that is asked
//! about. So the tree is bound over the real place, in a namespace of mounts that ends with the thread that made it.
//! A stage with a network of its own can run an sshd on the real port that nobody reaches from outside.

#![expect(clippy::disallowed_methods, reason = "starts sshd in a namespace of its own")]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

/// Where sshd is.
pub const SSHD: &str = "/usr/sbin/sshd";

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

/// A thread in namespaces of its own.
#[derive(Debug)]
pub struct Stage {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Stage {
    /// A stage in which each pair's first folder stands at the second one's place.
    ///
    /// # Errors
    /// When this process may not make namespaces (be root), or a folder is not there.
    pub fn new(bound: Vec<(PathBuf, PathBuf)>, network: Network) -> Result<Self, StageError> {
        let (jobs, inbox) = channel::<Job>();
        let (ready, made) = channel();
        let thread = std::thread::Builder::new()
            .spawn(move || {
                let entered = enter(&bound, network);
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
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
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
    /// When it cannot be started.
    pub fn run(&self, program: &str, args: &[String]) -> Result<Output, StageError> {
        let (program, args) = (program.to_owned(), args.to_owned());
        let what = format!("run {program}");
        self.within(move || {
            Command::new(program).args(args).env("LC_ALL", "C").stdin(Stdio::null()).output()
        })?
        .map_err(StageError::system(what))
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
fn enter(bound: &[(PathBuf, PathBuf)], network: Network) -> Result<(), StageError> {
    let flags = match network {
        Network::Shared => CloneFlags::CLONE_NEWNS,
        Network::Own => CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET,
    };
    let system = |what: String| move |e: nix::errno::Errno| StageError::system(what)(e.into());
    let none = None::<&Path>;
    unshare(flags).map_err(system("make a namespace (this takes root)".to_owned()))?;
    // SECURITY: before this, a mount would be the machine's too.
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .map_err(system("part the mounts".to_owned()))?;
    for (from, to) in bound {
        mount(Some(from), to, none, MsFlags::MS_BIND, none).map_err(system(format!(
            "put {} at {}",
            from.display(),
            to.display()
        )))?;
    }
    // sshd asks for it even to print its settings ("Missing privilege separation directory").
    if !Path::new("/run/sshd").is_dir() {
        mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), Some("mode=755"))
            .map_err(system("make a /run for sshd".to_owned()))?;
        fs::create_dir("/run/sshd").map_err(StageError::system("make /run/sshd"))?;
    }
    Ok(())
}
