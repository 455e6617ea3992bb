//! What the commands that touch this machine share: where the state is, lengths of time, and how refusals are told.

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use crate::apply::preflight::Refusal;
use crate::apply::state::{self, Record, State};
use crate::apply::{ApplyError, status::Status};
use crate::lab::LabError;

use super::clean::clean_line;
use super::kind::of_state;
use super::{Console, Exit, Failure};

/// Where the state of this machine is kept.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct StateArgs {
    /// Where it is kept what is confirmed and what is on trial
    #[arg(long, value_name = "DIR", default_value = state::DEFAULT)]
    state: PathBuf,
}

impl StateArgs {
    /// The state directory, made where it is not there.
    pub(super) fn open(&self) -> Result<State, Failure> {
        of_state(&self.state).and_then(|()| State::open(&self.state)).map_err(failure)
    }

    /// The state directory for questions: nothing is made.
    pub(super) fn look(&self) -> Result<State, Failure> {
        of_state(&self.state).and_then(|()| State::at(&self.state)).map_err(failure)
    }

    /// The same for the watchdog, whose trial ends whatever is there by now.
    pub(super) fn look_anyway(&self) -> State {
        State::at(&self.state).unwrap_or_else(|_| State::named(&self.state))
    }

    /// The same for whoever loads or runs what is in it: where somebody else may write there, nothing is.
    pub(super) fn look_at_ours(&self) -> Result<State, ApplyError> {
        of_state(&self.state)?;
        let state = State::at(&self.state)?;
        if state.is_there() {
            state.is_ours()?;
        }
        Ok(state)
    }

    /// Its path.
    pub(super) fn path(&self) -> &std::path::Path {
        &self.state
    }
}

/// `90s`, `2m`, `1h`; a number alone is seconds.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.strip_suffix(['s', 'm', 'h']) {
        Some(number) => (number, text.chars().last().unwrap_or('s')),
        None => (text, 's'),
    };
    let seconds = match unit {
        'm' => 60,
        'h' => 3600,
        _ => 1,
    };
    let number: u64 = number.parse().map_err(|_| "say a length of time as 90s, 2m or 1h".to_owned())?;
    match number.checked_mul(seconds) {
        Some(seconds @ 5..=86_400) => Ok(Duration::from_secs(seconds)),
        Some(_) | None => Err("between 5s and 24h, please".to_owned()),
    }
}

/// An error of apply, told: refusals and rollbacks are the machine's fault, the rest is what fwc could not do.
pub(super) fn ended(error: ApplyError, console: &mut Console<'_>) -> Result<Exit, Failure> {
    match error {
        ApplyError::Refused(refusals) => {
            console.talk(&refused(&refusals));
            // Of what was asked some leaves a trace: the kernel keeps neighbours that answered.
            console.talk("no rule was loaded, and no parameter set\n");
            Ok(Exit::AtFault)
        }
        error @ (ApplyError::OnTrial(_)
        | ApplyError::NotOnTrial
        | ApplyError::RolledBack(_)
        | ApplyError::Cannot(_)) => {
            console.talk(&format!("error: {}\n", clean_line(&error.to_string())));
            Ok(Exit::AtFault)
        }
        other => Err(failure(other)),
    }
}

/// The reasons, one a line, each help once.
pub(super) fn refused(refusals: &[Refusal]) -> String {
    let mut text = String::new();
    for refusal in refusals {
        let _ = writeln!(text, "refused ({}): {}", refusal.about, clean_line(&refusal.message));
    }
    let mut helps: Vec<&str> = refusals.iter().filter_map(|refusal| refusal.help).collect();
    helps.dedup();
    for help in helps {
        let _ = writeln!(text, "help: {help}");
    }
    text
}

/// What apply cannot do without.
const NEEDS: &str =
    "it needs `nft` and `ip`, and to be root (CAP_NET_ADMIN, and CAP_SYS_ADMIN for the dry run)";

/// What helps where the system refused something; none where what it said is all that can be said.
fn refusal(why: &std::io::Error) -> Option<&'static str> {
    match why.kind() {
        ErrorKind::PermissionDenied if nix::unistd::geteuid().is_root() => Some(
            "root is refused it too: a container without these rights, or a file made immutable (`lsattr`)",
        ),
        ErrorKind::PermissionDenied => Some(NEEDS),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Some("make room there, and try again"),
        _ => None,
    }
}

/// What fwc could not do.
pub(super) fn failure(error: ApplyError) -> Failure {
    let help = match &error {
        ApplyError::Busy => Some(
            "wait for it to end, or end it if it was stopped (Ctrl-Z); the watchdog of a trial does not wait for it",
        ),
        ApplyError::Program(LabError::System { source, .. })
        | ApplyError::System { source, .. }
        | ApplyError::NoLock { source, .. } => refusal(source),
        ApplyError::Program(_) => Some(NEEDS),
        _ => None,
    };
    let failure = Failure::new(error.to_string());
    match help {
        Some(help) => failure.help(help),
        None => failure,
    }
}

/// That there is no state directory: a question about it has its answer, and one whose `--state` is mistyped should see it.
pub(super) fn never(state: &State) -> String {
    format!(
        "nothing was ever applied here: there is no `{}`\n",
        clean_line(&state.root().display().to_string())
    )
}

/// What is so, in words.
pub(super) fn told(status: &Status) -> String {
    let mut text = String::new();
    let mut line = |words: String| {
        let _ = writeln!(text, "{}", clean_line(&words));
    };
    let loaded = |record: &Record| match status.mark.as_ref() == Some(&record.mark) {
        true if status.altered => ", changed since",
        true => ", loaded",
        false => "",
    };
    match &status.confirmed {
        Some(record) => {
            let loaded = loaded(record);
            line(format!("confirmed  generation {} of `{}`{loaded}", record.generation, record.host));
            line(format!("  policy   {}", record.policy));
            line(format!("  applied  by {}", record.by));
        }
        None if status.damaged => line("confirmed  not known".to_owned()),
        None => line("confirmed  none".to_owned()),
    }
    if let Some((record, _)) = &status.trial {
        let loaded = loaded(record);
        line(format!("on trial   generation {} of `{}`{loaded}", record.generation, record.host));
        line(format!("  policy   {}", record.policy));
        line(format!("  applied  by {}", record.by));
        if let Some(left) = status.left {
            line(format!("  left     {} s until it is rolled back", left.div_ceil(1000)));
        }
    } else if let Some((generation, outcome)) = &status.last {
        line(format!("last       generation {generation}: {outcome}"));
    }
    for wrong in &status.wrong {
        line(format!("wrong      {wrong}"));
    }
    text
}

/// The same for programs.
pub(super) fn as_json(status: &Status) -> serde_json::Value {
    serde_json::json!({
        "confirmed": status.confirmed,
        "trial": status.trial.as_ref().map(|(record, _)| record),
        "milliseconds_left": status.left,
        "mark": status.mark,
        "altered": status.altered,
        "last": status.last.as_ref().map(|(generation, outcome)| {
            serde_json::json!({ "generation": generation, "outcome": outcome })
        }),
        "wrong": status.wrong,
    })
}
