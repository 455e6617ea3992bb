//! The kernel as the last word: rulesets loaded into network namespaces, real packets, and the verdicts read.
//!
//! `spec` says what a policy means and `sim` what a ruleset does; both are ours, and could share a mistake. Here
//! the Linux kernel decides. [`bench`] takes *one* filtering machine and asks each of its hooks about thousands of
//! packets; [`site`] builds the whole site and follows single packets from end to end.
//!
//! SECURITY: everything happens in namespaces that this process makes ([`netns`]). They have no name and no
//! mount: they live as long as a descriptor of this process, so a lab that is killed, even with SIGKILL, leaves
//! nothing behind. No rule is ever loaded into, and no packet ever sent from, the namespace fwc was started in.
//!
//! What a namespace cannot say is in [`reach`]: the packets that routing never brings to a hook.

pub mod bench;
pub mod conntrack;
pub mod craft;
pub mod groups;
pub mod inside;
pub mod machine;
pub mod netns;
pub mod points;
pub mod probe;
pub mod probes;
pub mod reach;
pub mod rights;
pub mod site;
pub mod way;
pub mod wire;

pub use bench::{Bench, Lost, Observed};
pub use reach::{Why, reaches};
pub use site::{Arrived, LiveSite, SiteLab};

/// Why the lab could not do its work. It says nothing of the policy: only that the kernel was not asked.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A program could not be started.
    #[error("cannot start `{command}`: {source}")]
    Start {
        /// The program and its arguments.
        command: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A program ended badly.
    #[error("`{command}` ended with {status}: {stderr}")]
    Command {
        /// The program and its arguments.
        command: String,
        /// Its exit code, or the signal that ended it.
        status: std::process::ExitStatus,
        /// What it wrote to standard error.
        stderr: String,
    },
    /// A program's output is not what it should be.
    #[error("cannot read what `{command}` printed: {detail}")]
    Output {
        /// The program and its arguments.
        command: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The system refused something.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A packet known to be delivered, or known to be accepted, was not: nothing the bench says can be believed.
    #[error("the canary of {at} was not seen {missing}: the harness is not working, so no verdict is given")]
    Canary {
        /// Which hook and family.
        at: String,
        /// Where it should have been.
        missing: String,
    },
    /// The site has no such machine, zone or leg.
    #[error("the site has no {0}")]
    Unknown(String),
    /// A thread of the lab ended in a panic.
    #[error("a thread of the lab ended in a panic while it was to {0}")]
    Thread(String),
}

impl LabError {
    /// Puts a name to what the system refused.
    pub(crate) fn system(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::System { what, source }
    }
}
