//! `fwc bastion check`: the settings of sshd as they take effect.

use std::net::IpAddr;
use std::path::PathBuf;

use serde_json::json;

use crate::bastion::sshd::inspect::{Inspection, inspect};
use crate::cli::kind::files_of_sshd;
use crate::cli::options::FindingsFormat;
use crate::cli::render::{self, Look, number};
use crate::cli::{Console, Exit, Failure};

/// The answer for programs (`docs/json.md`).
const FORMAT: &str = "fwc.bastion.check/1";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What `compile` wrote for the machine's sshd, to compare with what is in place; else what was applied is
    #[arg(value_name = "FOLDER")]
    folder: Option<PathBuf>,

    /// A folder that stands for `/`: an image, or a copy of a machine's files
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,

    /// An address to ask about besides those that the configuration names; may be repeated
    #[arg(long, value_name = "ADDRESS")]
    from: Vec<IpAddr>,

    /// How the answer is written
    #[arg(long, value_enum, default_value_t)]
    format: FindingsFormat,
}

pub(super) fn run(args: &Args, console: &mut Console<'_>) -> Result<Exit, Failure> {
    if let Some(folder) = &args.folder {
        files_of_sshd(folder)?;
    }
    let inspection = inspect(args.root.as_deref(), &args.from, args.folder.as_deref());
    let inspection = inspection.map_err(|e| Failure::new(e.to_string()))?;
    tell(&inspection, args.format, console);
    Ok(if inspection.findings.has_errors() { Exit::AtFault } else { Exit::Fine })
}

/// The findings, and how much was asked.
pub(super) fn tell(inspection: &Inspection, format: FindingsFormat, console: &mut Console<'_>) {
    let Inspection { findings, sources, answers, compared, .. } = inspection;
    if format == FindingsFormat::Json {
        let mut document = json!({ "asked": answers.iter().map(|(c, open)| json!({
            "user": c.user, "host": c.host, "addr": c.addr, "laddr": c.laddr, "lport": c.lport, "rdomain": c.rdomain,
            "without_a_key": open.iter().map(|way| way.name().0).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(), "compared": compared });
        render::extend(&mut document, findings, sources);
        console.data(&render::document(FORMAT, document));
        return;
    }
    let look = Look { colour: console.colour_out(), width: console.width() };
    console.data(&render::findings(findings, sources, format, look));
    console.talk(&format!("sshd was asked about {}\n", number(answers.len(), "connection")));
    if let Some(what) = compared {
        console.talk(&format!("its files were compared with {what}\n"));
    }
}
