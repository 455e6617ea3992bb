//! `fwc bastion status`: what waits to be confirmed.

use serde_json::json;

use crate::bastion::apply::status::{Status, Waits, status};
use crate::cli::instant;
use crate::cli::options::Format;
use crate::cli::render::{self, number};
use crate::cli::{Console, Exit, Failure};

/// The answer for programs (`docs/json.md`).
const FORMAT: &str = "fwc.bastion.status/1";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How the answer is written
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(args: &Args, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let status = status().map_err(|e| Failure::new(e.to_string()))?;
    match args.format {
        Format::Text => console.data(&told(&status)),
        Format::Json => {
            let waits = status.waits.as_ref().map(|waits| {
                json!({
                    "files": waits.files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>(),
                    "seconds_left": waits.seconds_left,
                    "watchdog": waits.watchdog,
                    "taken_back": waits.is_taken_back,
                })
            });
            console.data(&render::document(FORMAT, json!({ "waits": waits, "wrong": status.wrong })));
        }
    }
    Ok(if status.wrong.is_empty() { Exit::Fine } else { Exit::AtFault })
}

fn told(status: &Status) -> String {
    let Some(waits) = &status.waits else { return "nothing waits to be confirmed\n".to_owned() };
    let Waits { files, seconds_left, watchdog, is_taken_back } = waits;
    let what = if *is_taken_back { "being taken back" } else { "to be confirmed" };
    let mut text = format!("{what}: {}\n", number(files.len(), "file"));
    for file in files {
        text += &format!("  {}\n", file.display());
    }
    if *seconds_left >= 0 && !is_taken_back {
        let left = seconds_left.unsigned_abs();
        let at = instant::now().saturating_add(left.saturating_mul(1_000_000_000));
        text += &format!(
            "until     {}, {} from now\n",
            instant::utc(at),
            number(usize::try_from(left).unwrap_or(usize::MAX), "second")
        );
    }
    let watchdog = watchdog.map_or_else(|| "gone".to_owned(), |process| format!("process {process}"));
    text += &format!("watchdog  {watchdog}\n");
    for wrong in &status.wrong {
        text += &format!("wrong     {wrong}\n");
    }
    text
}
