//! `fwc fmt`: policy files in the one format.

use std::io;
use std::path::PathBuf;

use serde_json::json;

use crate::diag::Findings;
use crate::source::SourceMap;

use super::clean::clean_line;
use super::files::{bounded, policies, text_of, without_mark};
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
        return stdin(args.check, args.format, console);
    }
    let mut texts = Vec::new();
    for path in policies(&args.policies)? {
        let name = path.display().to_string();
        let text = text_of(&path).map_err(|why| Failure::new(format!("cannot read `{name}`: {why}")))?;
        texts.push((path, text));
    }
    // All are read before any is written: what cannot be done leaves nothing half done.
    let mut outcome = Outcome::default();
    for (path, text) in texts {
        outcome.file(path, &text, args.check, console)?;
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
    broken: Vec<PathBuf>,
}

impl Outcome {
    /// Formats one file; one that has errors is told and left alone.
    fn file(
        &mut self,
        path: PathBuf,
        text: &str,
        check: bool,
        console: &mut Console<'_>,
    ) -> Result<(), Failure> {
        self.files = self.files.saturating_add(1);
        let name = path.display().to_string();
        let Some(formatted) = formatted(&name, text, console) else {
            self.broken.push(path);
            return Ok(());
        };
        if formatted == text {
            return Ok(());
        }
        if check {
            self.differences.push_str(&unified(&name, text, &name, &formatted));
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
                let names = |of: &[PathBuf]| -> Vec<String> {
                    of.iter().map(|path| path.display().to_string()).collect()
                };
                let (changed, broken) = (names(&self.changed), names(&self.broken));
                let told = json!({ "files": self.files, "changed": changed, "broken": broken });
                console.data(&render::document("fwc.fmt/1", told));
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
        if !self.broken.is_empty() || (check && !self.changed.is_empty()) {
            Exit::AtFault
        } else {
            Exit::Fine
        }
    }
}

fn stdin(check: bool, format: Format, console: &mut Console<'_>) -> Result<Exit, Failure> {
    if format == Format::Json {
        return Err(Failure::new("of `-` the answer is the policy itself, which is no JSON"));
    }
    let bytes = bounded(io::stdin().lock(), u64::MAX)
        .map_err(|why| Failure::new(format!("cannot read stdin: {why}")))?;
    let text = String::from_utf8(bytes).map_err(|_| Failure::new("stdin is not UTF-8"))?;
    let text = without_mark(text);
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
