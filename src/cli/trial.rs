//! `fwc confirm`, `rollback`, `status`, and the watchdog's own hidden command.

use std::collections::BTreeSet;

use crate::apply::change::Confirmed;
use crate::apply::connections::Denied;
use crate::apply::live::Nft;
use crate::apply::state::{Record, State};
use crate::apply::watchdog::Hold;
use crate::apply::{ApplyError, admin, change, connections, live, log, status, watchdog};
use crate::target::nft::artifact::Ruleset;

use super::clean::clean_line;
use super::live::{StateArgs, as_json, ended, failure, never, told};
use super::options::Format;
use super::render;
use super::{Console, Exit, Failure};

#[derive(Debug, clap::Args)]
pub(super) struct ConfirmArgs {
    /// Confirm over a connection that shows nothing of new logins (the one that applied it, one that was open then, one from
    /// this machine itself), or over none; what was applied over none needs no other anyhow
    #[arg(long)]
    i_have_console: bool,

    /// This generation alone: what whoever put it on trial says, who does not want to confirm another's
    #[arg(long, value_name = "N", hide = true)]
    generation: Option<u64>,

    /// End the connections that the new rules would not let start; without it they are listed
    #[arg(long)]
    cut: bool,

    #[command(flatten)]
    state: StateArgs,
}

pub(super) fn confirm(args: &ConfirmArgs, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let state = match args.state.look_at_ours() {
        Ok(state) => state,
        Err(why) => return ended(why, console),
    };
    let connection = admin::connection();
    let by = admin::who(connection.as_ref());
    let Confirmed { record, loaded, undone } =
        match change::confirm(&state, args.generation, connection.as_ref(), &by, args.i_have_console) {
            Ok(confirmed) => confirmed,
            Err(why) => return ended(why, console),
        };
    console.talk(&format!("generation {} of `{}` is confirmed\n", record.generation, record.host));
    // It is, whatever fails now: who hears of a failure takes it for one that will be rolled back.
    for why in undone {
        Failure::new(why).warn("it is confirmed, and not all that follows is done", console);
    }
    let what = if args.cut { "not all ended" } else { "not known" };
    let what = format!("it is confirmed, and what its rules would not let start is {what}");
    match living(&state, (NEW, &loaded), args.cut, console) {
        Ok(Exit::Fine) => {}
        Ok(_) => console.talk(&format!("warning: {what}\n")),
        Err(why) => why.warn(&what, console),
    }
    Ok(Exit::Fine)
}

/// Who rolls back at the end of a trial.
const NOBODY: &str = "the watchdog: nobody confirmed";
/// What denies, as it is called; after a rollback the other.
const NEW: &str = "the new rules";
const OLD: &str = "the rules that are back";
/// So many connections are named in the log; `fwc cut --list` names all.
const LOGGED: usize = 20;

/// The connections that the new rules deny: listed, or ended. At fault where some could not be ended: the other end of one may
/// take it up again, and the rules let it.
fn living(
    state: &State,
    (rules, ruleset): (&str, &Ruleset),
    cut: bool,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let entries = connections::entries().map_err(failure)?;
    let denied = connections::denied(ruleset, &entries).map_err(failure)?;
    // Of an earlier cut: the rules let it start, by the other end; nobody who looks at it alone sees what it is.
    let cut_before = state.cut();
    let named: BTreeSet<String> = denied.iter().map(|denied| denied.entry.to_string()).collect();
    let taken_up = |name: &String| cut_before.contains(name) && !named.contains(name);
    let taken_up: BTreeSet<String> = entries.iter().map(ToString::to_string).filter(taken_up).collect();
    let may_go_on: BTreeSet<String> = denied.iter().filter(|one| one.stays()).map(Denied::taken_up).collect();
    if cut && !may_go_on.is_empty() {
        // Before the first is cut: who is killed meanwhile has forgotten none.
        if let Err(why) = state.remember_cut(may_go_on) {
            failure(why).warn("what is taken up again will not be told later", console);
        }
    }
    let mut stays = !taken_up.is_empty();
    for one in &denied {
        let ended = cut && connections::end(one).map_err(failure)?;
        let did = match (cut, ended) {
            (true, true) => "ended",
            (true, false) => "not ended",
            (false, _) => "goes on",
        };
        let goes_on = if cut { !ended } else { one.stays() };
        let lets = one.again.as_ref().filter(|_| goes_on);
        let lets = lets.map_or_else(String::new, |lets| {
            format!("; its other end may take it up again, by {}", clean_line(lets))
        });
        stays |= goes_on;
        console.data(&format!("{did}: {}, which {rules} deny in {}{lets}\n", one.entry, one.hook));
        if cut {
            log::step(state, &format!("{did} {}{lets}", one.entry));
        }
    }
    for name in taken_up {
        console.data(&format!("goes on: {name}, as the other end of what was cut took it up again\n"));
    }
    if !cut && denied.iter().any(|one| !one.stays()) {
        console.talk("`fwc cut` ends them, and no others\n");
    }
    if stays {
        console.talk(
            "what its other end may take up again goes on with that end's next packet: end it at one of its ends, or narrow \
             what lets it, and cut again\n",
        );
    }
    Ok(if cut && stays { Exit::AtFault } else { Exit::Fine })
}

#[derive(Debug, clap::Args)]
pub(super) struct CutArgs {
    /// List them alone
    #[arg(long)]
    list: bool,

    #[command(flatten)]
    state: StateArgs,
}

pub(super) fn cut(args: &CutArgs, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let state = args.state.look()?;
    let ruleset = own().map_err(failure)?;
    living(&state, (NEW, &ruleset), !args.list, console)
}

#[derive(Debug, clap::Args)]
pub(super) struct RollbackArgs {
    /// This generation alone, until it is done, and nothing where it is not on trial: what the watchdog says
    #[arg(long, value_name = "N", hide = true)]
    generation: Option<u64>,

    #[command(flatten)]
    state: StateArgs,
}

pub(super) fn rollback(args: &RollbackArgs, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let connection = admin::connection();
    let by = admin::who(connection.as_ref());
    let done = match args.generation {
        // Nobody stands by who could try again; and what `apply` looked at then may be another's by now: its trial ends all the same.
        Some(generation) => {
            let state = args.state.look_anyway();
            let by = if connection.is_some() { &by } else { NOBODY };
            watchdog::persist(&state, generation, |hold| as_watchdog(&state, generation, by, hold))
                .map(|done| (state, done))
        }
        None => args.state.look_at_ours().and_then(|state| {
            let done = change::roll_back(&state, None, &by)?;
            Ok((state, done))
        }),
    };
    match done {
        Ok((state, Some(record))) => {
            let words = format!("generation {} of `{}` is rolled back\n", record.generation, record.host);
            console.talk(&words);
            if args.generation.is_none()
                && let Err(why) = left_behind(&state, console)
            {
                why.warn("it is rolled back, and what the trial let start is not known", console);
            }
            Ok(Exit::Fine)
        }
        Ok((_, None)) => {
            console.talk("it is not on trial any more: nothing was rolled back\n");
            Ok(Exit::Fine)
        }
        Err(why) => ended(why, console),
    }
}

/// What only the trial let start, and what goes on all the same: established connections do.
fn left_behind(state: &State, console: &mut Console<'_>) -> Result<(), Failure> {
    let ruleset = own().map_err(failure)?;
    // Without rules nothing is denied.
    if !ruleset.tables.is_empty() {
        living(state, (OLD, &ruleset), false, console)?;
    }
    Ok(())
}

/// The same for the log: nobody reads what the watchdog says.
fn log_left_behind(state: &State) -> Result<(), ApplyError> {
    let ruleset = own()?;
    if ruleset.tables.is_empty() {
        return Ok(());
    }
    let denied = connections::denied(&ruleset, &connections::entries()?)?;
    for one in denied.iter().take(LOGGED) {
        log::step(state, &format!("goes on: {}, which {OLD} deny in {}", one.entry, one.hook));
    }
    if let Some(more) = denied.len().checked_sub(LOGGED).filter(|more| *more > 0) {
        log::step(state, &format!("{more} more such connections go on: `fwc cut --list`"));
    }
    Ok(())
}

/// Our tables as they are.
fn own() -> Result<Ruleset, ApplyError> {
    Ok(live::parsed(&Nft::found()?.own_text()?)?)
}

/// One try of the watchdog of a generation.
fn as_watchdog(state: &State, generation: u64, by: &str, hold: Hold) -> Result<Option<Record>, ApplyError> {
    let done = match hold {
        Hold::Locked => change::roll_back(state, Some(generation), by)?,
        Hold::Alone => change::roll_back_alone(state, generation, by)?,
    };
    if done.is_some()
        && let Err(why) = log_left_behind(state)
    {
        log::step(state, &format!("what the trial let start, and goes on, is not known: {why}"));
    }
    Ok(done)
}

#[derive(Debug, clap::Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    state: StateArgs,

    /// How the answer is written
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn status(args: &StatusArgs, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let state = args.state.look()?;
    if !state.is_there() {
        console.talk(&never(&state));
    }
    let nft = Nft::found().map_err(|why| failure(why.into()))?;
    let status = status::status(&state, &nft).map_err(failure)?;
    match args.format {
        Format::Text => console.data(&told(&status)),
        Format::Json => console.data(&render::document("fwc.status/1", as_json(&status))),
    }
    Ok(if status.wrong.is_empty() { Exit::Fine } else { Exit::AtFault })
}

#[derive(Debug, clap::Args)]
pub(super) struct WatchdogArgs {
    #[arg(long)]
    generation: u64,
    #[arg(long)]
    deadline: u64,
    #[arg(long)]
    second: bool,
    #[command(flatten)]
    state: StateArgs,
}

pub(super) fn watch(args: &WatchdogArgs, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let (generation, deadline) = (args.generation, args.deadline);
    if !args.second {
        let ready = watchdog::start(args.state.path(), generation, deadline).map_err(failure)?;
        console.data(&ready);
        return Ok(Exit::Fine);
    }
    let state = args.state.open()?;
    watchdog::detach().map_err(failure)?;
    console.data(&format!("{}\n", watchdog::READY));
    if let Err(why) = console.flush() {
        return Err(Failure::new(clean_line(&why.to_string())));
    }
    watchdog::wait(&state, generation, deadline, |hold| {
        as_watchdog(&state, generation, NOBODY, hold).map(|_| ())
    });
    Ok(Exit::Fine)
}
