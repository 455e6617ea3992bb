//! Rules onto the machine that this runs on, such that nobody is locked out for longer than the trial lasts.
//!
//! *Input*: the artifacts of one machine ([`build`]), the live tables, who administers ([`admin`]). *Output*: the
//! machine's own tables are the new ones, on trial; then confirmed, or as they were.
//!
//! *Design decisions*. One transaction replaces the own tables, `inet fwc` and `bridge fwc`, and nothing else. Before it
//! a watchdog is armed that does not depend on this process, its terminal or its connection ([`watchdog`]). What is
//! true is read from the kernel: the table carries the number of its generation, and what a program's exit code says is
//! never believed (an `nft` that was killed may have committed: tried). The state directory ([`state`]) has two marks, each
//! set by one `rename(2)`: the generation on trial, and the confirmed one. Whatever dies when, [`status::status`] compares
//! them with the table.
//!
//! SECURITY: nothing here opens what a file does not say; refusals ([`preflight`]) are made before anything is armed.

pub mod admin;
pub mod boot;
pub mod build;
pub mod carry;
pub mod change;
pub mod connections;
mod damage;
pub mod ingress;
mod ip;
pub mod live;
pub mod lockout;
pub mod log;
mod neighbours;
pub mod parameters;
pub mod preflight;
pub mod scratch;
mod sockets;
pub mod state;
pub mod status;
pub mod watchdog;

use crate::lab::LabError;

/// Why nothing was done, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Another run of fwc, or an `nft` that it started, has the lock.
    #[error("another run of fwc is changing this machine")]
    Busy,
    /// Nobody can have the lock, whoever has it.
    #[error("{what}: {source}")]
    NoLock {
        /// What was tried.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A generation is on trial.
    #[error("generation {0} is on trial: confirm it or roll it back first")]
    OnTrial(u64),
    /// Nothing is on trial.
    #[error("nothing is on trial")]
    NotOnTrial,
    /// It would be unsafe; no rule was loaded, and no parameter set.
    #[error("{} of this machine speak against it", .0.len())]
    Refused(Vec<preflight::Refusal>),
    /// The build is not one that was written by fwc, or not for this machine.
    #[error("{0}")]
    Build(String),
    /// The table did not become what it was to become; it is again what it was.
    #[error("rolled back at once: {0}")]
    RolledBack(String),
    /// The state directory says something that this fwc does not understand.
    #[error("the state directory is damaged: {0}")]
    State(String),
    /// What was asked for cannot be done as things stand.
    #[error("{0}")]
    Cannot(String),
    /// The system refused something.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A program that fwc starts failed, or a scratch namespace could not be made.
    #[error(transparent)]
    Program(#[from] LabError),
}

impl ApplyError {
    /// What the system refused, where it keeps anybody from having the lock.
    fn into_no_lock(self) -> Self {
        match self {
            Self::System { what, source } => Self::NoLock { what, source },
            other => other,
        }
    }

    /// Puts a name to what the system refused.
    pub(crate) fn system(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::System { what, source }
    }
}
