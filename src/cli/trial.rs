//! `fwc confirm`, `rollback`, `status`, and the watchdog's own hidden command.

use crate::apply::change::Confirmed;
use crate::apply::live::Nft;
use crate::apply::state::{Record, State};
use crate::apply::{ApplyError, admin, change, connections, live, log, watchdog};
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

    /// End the connections that the new rules would not let start; without it they are listed
    #[arg(long)]
    cut: bool,

    #[command(flatten)]
    state: StateArgs,
}

pub(super) fn confirm(args: &ConfirmArgs, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let state = args.state.look()?;
    let connection = admin::connection();
    let by = admin::who(connection.as_ref());
    let Confirmed { record, loaded, undone } =
        match change::confirm(&state, connection.as_ref(), &by, args.i_have_console) {
            Ok(confirmed) => confirmed,
            Err(why) => return ended(why, console),
        };
    console.talk(&format!("generation {} of `{}` is confirmed\n", record.generation, record.host));
    // It is, whatever fails now: who hears of a failure takes it for one that will be rolled back.
    for why in undone {
        Failure::new(why).warn("it is confirmed, and not all that follows is done", console);
    }
    if let Err(why) = living(&state, &loaded, args.cut, console) {
        let what = if args.cut { "not all ended" } else { "not known" };
        why.warn(&format!("it is confirmed, and what its rules would not let start is {what}"), console);
    }
    Ok(Exit::Fine)
}

/// The connections that the new rules deny: listed, or ended.
fn living(state: &State, ruleset: &Ruleset, cut: bool, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let entries = connections::entries().map_err(failure)?;
    let denied = connections::denied(ruleset, &entries).map_err(failure)?;
    for (entry, hook) in &denied {
        let did = if cut { "ended" } else { "goes on" };
        console.data(&format!("{did}: {entry}, which the new rules deny in {hook}\n"));
        if cut {
            connections::cut(entry).map_err(failure)?;
            log::step(state, &format!("ended {entry}"));
        }
    }
    if !denied.is_empty() && !cut {
        console.talk("`fwc cut` ends them, and no others\n");
    }
    Ok(Exit::Fine)
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
    let ruleset = Nft::found().and_then(|nft| nft.own_text()).and_then(|text| live::parsed(&text));
    let ruleset = ruleset.map_err(|why| failure(why.into()))?;
    living(&state, &ruleset, !args.list, console)
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
    let state = args.state.look()?;
    let done = match args.generation {
        // Nobody stands by who could try again.
        Some(generation) => watchdog::persist(&state, generation, || as_watchdog(&state, generation)),
        None => change::roll_back(&state, None, &admin::who(admin::connection().as_ref())),
    };
    match done {
        Ok(Some(record)) => {
            let words = format!("generation {} of `{}` is rolled back\n", record.generation, record.host);
            console.talk(&words);
            Ok(Exit::Fine)
        }
        Ok(None) => Ok(Exit::Fine),
        Err(why) => ended(why, console),
    }
}

/// One try of the watchdog of a generation.
fn as_watchdog(state: &State, generation: u64) -> Result<Option<Record>, ApplyError> {
    change::roll_back(state, Some(generation), "the watchdog: nobody confirmed")
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
    let status = change::status(&state, &nft).map_err(failure)?;
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
    watchdog::wait(&state, generation, deadline, || as_watchdog(&state, generation).map(|_| ()));
    Ok(Exit::Fine)
}
