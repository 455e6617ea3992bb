//! `fwc bastion apply`, `confirm`, `rollback`: rendered files into place, and back.

use std::cell::RefCell;
use std::io::{BufRead, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};

use crate::apply::admin;
use crate::bastion::apply::{self, ApplyError, Asked};
use crate::bastion::folder;
use crate::cli::kind::files_of_sshd;
use crate::cli::options::FindingsFormat;
use crate::cli::render::number;
use crate::cli::{Console, Exit, Failure};

use super::check;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The folder of the machine that `compile` wrote: 00-fwc.conf, authorized_keys/
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,

    /// Who has to get in afterwards; who came by SSH, or used sudo, where not said
    #[arg(long, value_name = "ACCOUNT")]
    admin: Option<String>,

    /// From where; the address of this SSH connection where not said, else 127.0.0.1
    #[arg(long, value_name = "ADDRESS")]
    from: Option<IpAddr>,

    /// A private key to try it with; else the agent, else a key that stays
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,

    /// Seconds until it is taken back unless confirmed
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    rollback_after: u64,

    /// Go on although the try fails: for somebody with another way in
    #[arg(long)]
    i_have_console: bool,

    /// Wait for Enter before each step
    #[arg(long)]
    step: bool,
}

/// Who asks to keep it.
#[derive(Debug, clap::Args)]
pub(super) struct Confirm {
    /// Confirm from a connection that was there before: for somebody with another way in
    #[arg(long)]
    i_have_console: bool,
}

/// The process that puts the old files back.
#[derive(Debug, clap::Args)]
pub(super) struct Watchdog {
    id: u64,
    seconds: u64,
}

pub(super) fn run(args: Args, console: &mut Console<'_>) -> Result<Exit, Failure> {
    files_of_sshd(&args.folder)?;
    if folder::build(&args.folder).is_none() {
        let said = "the folder is in no build: no manifest says that its files are those that were proved\n";
        console.talk(said);
    }
    let asked = asked(&args)?;
    let console = RefCell::new(console);
    let mut steps = |what: &str| {
        if args.step {
            console.borrow_mut().talk(&format!("next: {what}\n"));
            let mut line = String::new();
            let read = std::io::stdin().lock().read_line(&mut line).unwrap_or(0);
            if read == 0 {
                return Err(ApplyError::Failed("stopped: no more input".to_owned()));
            }
        }
        Ok(())
    };
    let mut say = |what: &str| {
        console.borrow_mut().talk(&format!("{}\n", crate::cli::clean::clean_line(what)));
    };
    let outcome = apply::apply(&asked, &mut steps, &mut say);
    let console = console.into_inner();
    match outcome {
        Ok(files) => {
            for file in &files {
                console.data(&format!("{}\n", file.display()));
            }
            console.talk(&format!(
                "{} in place. Log in anew and say `fwc bastion confirm` within {} seconds, or it is taken back.\n",
                number(files.len(), "file"),
                args.rollback_after
            ));
            Ok(Exit::Fine)
        }
        Err(ApplyError::Findings(found)) => {
            check::tell(&found, FindingsFormat::Text, console);
            console.talk("nothing was changed\n");
            Ok(Exit::AtFault)
        }
        Err(ApplyError::Refused(why)) => {
            console.talk(&format!("refused: {}\nnothing was changed\n", crate::cli::clean::clean_line(&why)));
            Ok(Exit::AtFault)
        }
        Err(other) => Err(Failure::new(other.to_string())),
    }
}

#[expect(clippy::disallowed_methods, reason = "who is logged in")]
fn asked(args: &Args) -> Result<Asked, Failure> {
    let var = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let connection = admin::connection();
    let admin =
        args.admin.clone().or_else(|| var("SUDO_USER")).or_else(|| var("LOGNAME")).or_else(|| var("USER"));
    let admin = admin.ok_or_else(|| {
        Failure::new("nobody is named who has to get in afterwards").help("say `--admin ACCOUNT`")
    })?;
    let peer = connection.map(|connection| connection.client.ip());
    Ok(Asked {
        folder: args.folder.clone(),
        admin,
        from: args.from.or(peer).unwrap_or(IpAddr::from([127, 0, 0, 1])),
        identity: args.identity.clone(),
        agent: var("SSH_AUTH_SOCK").map(PathBuf::from),
        wait: Duration::from_secs(args.rollback_after),
        console: args.i_have_console,
        connection,
    })
}

pub(super) fn confirm(args: &Confirm, console: &mut Console<'_>) -> Result<Exit, Failure> {
    match apply::confirm(admin::connection().as_ref(), args.i_have_console) {
        Ok(()) => {
            console.talk("confirmed: it stays\n");
            Ok(Exit::Fine)
        }
        Err(ApplyError::Refused(why)) => {
            console.talk(&format!("refused: {why}\n"));
            Ok(Exit::AtFault)
        }
        Err(other) => Err(Failure::new(other.to_string())),
    }
}

pub(super) fn rollback(console: &mut Console<'_>) -> Result<Exit, Failure> {
    let back = apply::rollback().map_err(|e| Failure::new(e.to_string()))?;
    for file in &back.files {
        console.data(&format!("{}\n", file.display()));
    }
    console.talk(&if back.files.is_empty() {
        "nothing waits to be taken back\n".to_owned()
    } else {
        format!("{} as before\n", number(back.files.len(), "file"))
    });
    back.untold.map_or(Ok(Exit::Fine), |why| Err(Failure::new(why)))
}

/// A session of its own, deaf to what ends the one that started it.
pub(super) fn watchdog(args: &Watchdog) -> Result<Exit, Failure> {
    let mut deaf = SigSet::empty();
    for signal in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM, Signal::SIGPIPE] {
        deaf.add(signal);
    }
    let refused = |e: nix::errno::Errno| Failure::new(format!("the watchdog cannot stand alone: {e}"));
    deaf.thread_block().map_err(refused)?;
    // It leads one already where a shell made it so.
    let _ = nix::unistd::setsid();
    let mut out = std::io::stdout();
    let said = out.write_all(b"armed\n").and_then(|()| out.flush());
    said.map_err(|e| Failure::new(format!("nobody listens: {e}")))?;
    apply::watch(args.id, Duration::from_secs(args.seconds));
    Ok(Exit::Fine)
}
