//! `fwc fmt`: policy files in the one format.

use std::io;
use std::path::PathBuf;

use serde_json::json;

use crate::diag::Findings;
use crate::source::SourceMap;

use super::clean::clean_line;
use super::files::{bounded, policies, text_of};
use super::options::{FindingsFormat, Format};
use super::render::{self, Look, number};
use super::unified::unified;
use super::{Console, Exit, Failure, engine, output};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Policy files, or folders of them; `policy.fw` where none is named; `-` for stdin to stdout
    #[arg(value_name = "POLICY")]
    policies: Vec<PathBuf>,

    /// Write nothing: show what would change, and exit 1 if anything would
    #[arg(long)]
    check: bool,

    /// How the answer is written
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(args: Args, console: &mut Console<'_>) -> Result<Exit, Failure> {
    if args.policies.iter().any(|path| path.as_os_str() == "-") {
        if args.policies.len() > 1 {
            return Err(Failure::new("`-` is stdin, and stands alone"));
        }
        return stdin(args.check, console);
    }
    let mut outcome = Outcome::default();
    for path in policies(&args.policies)? {
        outcome.file(path, args.check, console)?;
    }
    outcome.tell(args.check, args.format, console);
    Ok(outcome.exit(args.check))
}

/// What became of the files.
#[derive(Default)]
struct Outcome {
    files: usize,
    changed: Vec<PathBuf>,
    differences: String,
    broken: bool,
}

impl Outcome {
    /// Formats one file; one that has errors is told and left alone.
    fn file(&mut self, path: PathBuf, check: bool, console: &mut Console<'_>) -> Result<(), Failure> {
        self.files = self.files.saturating_add(1);
        let name = path.display().to_string();
        let text = text_of(&path).map_err(|why| Failure::new(format!("cannot read `{name}`: {why}")))?;
        let Some(formatted) = formatted(&name, &text, console) else {
            self.broken = true;
            return Ok(());
        };
        if formatted == text {
            return Ok(());
        }
        if check {
            self.differences.push_str(&unified(&name, &text, &name, &formatted));
        } else {
            output::replace(&path, &formatted).map_err(|e| Failure::io("write", &path, &e))?;
        }
        self.changed.push(path);
        Ok(())
    }

    fn tell(&self, check: bool, format: Format, console: &mut Console<'_>) {
        match format {
            Format::Text => console.data(&self.differences),
            Format::Json => {
                let changed: Vec<String> =
                    self.changed.iter().map(|path| path.display().to_string()).collect();
                console.data(&render::document(&json!({ "files": self.files, "changed": changed })));
            }
        }
        let done = if check { "to format" } else { "formatted" };
        for path in &self.changed {
            console.talk(&format!("{done}: {}\n", clean_line(&path.display().to_string())));
        }
        let (changed, files) = (self.changed.len(), number(self.files, "file"));
        console.talk(&format!("{changed} of {files} {done}\n"));
    }

    fn exit(&self, check: bool) -> Exit {
        if self.broken || (check && !self.changed.is_empty()) { Exit::AtFault } else { Exit::Fine }
    }
}

fn stdin(check: bool, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let bytes = bounded(io::stdin().lock(), u64::MAX)
        .map_err(|why| Failure::new(format!("cannot read stdin: {why}")))?;
    let text = String::from_utf8(bytes).map_err(|_| Failure::new("stdin is not UTF-8"))?;
    let Some(formatted) = formatted("<stdin>", &text, console) else {
        return Ok(Exit::AtFault);
    };
    if check {
        console.data(&unified("<stdin>", &text, "<stdin>", &formatted));
        return Ok(if formatted == text { Exit::Fine } else { Exit::AtFault });
    }
    console.data(&formatted);
    Ok(Exit::Fine)
}

/// The text in the one format; its findings are told where it has errors.
fn formatted(name: &str, text: &str, console: &mut Console<'_>) -> Option<String> {
    let (mut sources, mut findings) = (SourceMap::default(), Findings::default());
    let file = sources.add(name, text);
    let formatted = engine::format(&sources, file, &mut findings).filter(|_| !findings.has_errors());
    if formatted.is_none() {
        let look = Look { colour: console.colour_err(), width: console.width() };
        console.talk(&render::findings(&findings, &sources, FindingsFormat::Text, look));
    }
    formatted
}
