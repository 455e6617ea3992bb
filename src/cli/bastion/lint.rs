//! `fwc bastion lint`: authorized_keys files, line by line.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::bastion::keys::lint::{self, Census};
use crate::bastion::keys::options::Forwarding;
use crate::cli::files::{bytes_of, raw_text_of};
use crate::cli::options::FindingsFormat;
use crate::cli::render::{self, Look, number};
use crate::cli::{Console, Exit, Failure, clean, instant, output};
use crate::diag::Findings;
use crate::source::SourceMap;

/// The answer for programs (`docs/json.md`).
const FORMAT: &str = "fwc.bastion.lint/1";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Files of keys: authorized_keys, or .pub
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// Write every line that names a key in one form, `restrict` first; it means the same to sshd
    #[arg(long)]
    fix: bool,

    /// The time to judge expiry for, UTC: 2027-06-30 or 2027-06-30T18:00Z; now where not said
    #[arg(long, value_name = "TIME", value_parser = instant::instant)]
    at: Option<u64>,

    /// How the answer is written
    #[arg(long, value_enum, default_value_t)]
    format: FindingsFormat,
}

pub(super) fn run(args: &Args, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let mut sources = SourceMap::default();
    let mut fixed = 0usize;
    for path in &args.files {
        let read = |why: String| Failure::new(format!("cannot read `{}`: {why}", path.display()));
        // sshd takes any bytes, in a comment and elsewhere; what is written back would be others.
        let mut text = if args.fix {
            raw_text_of(path)
                .map_err(|why| read(format!("{why}, and `--fix` would change what it does not read")))?
        } else {
            String::from_utf8_lossy(&bytes_of(path).map_err(read)?).into_owned()
        };
        if args.fix {
            let canonical = lint::canonical(&text);
            if canonical != text {
                output::replace(path, &canonical).map_err(|e| Failure::io("write", path, &e))?;
                fixed = fixed.saturating_add(1);
                text = canonical;
            }
        }
        sources.add(path.display().to_string(), text);
    }
    let now = match args.at {
        Some(at) => at,
        None => instant::now(),
    };
    let mut findings = Findings::default();
    let keys = lint::lint(&sources, now / 1_000_000_000, &mut findings);
    match args.format {
        FindingsFormat::Json => {
            let mut document =
                json!({ "keys": keys.iter().map(|key| as_json(key, &sources)).collect::<Vec<_>>() });
            render::extend(&mut document, &findings, &sources);
            console.data(&render::document(FORMAT, document));
        }
        FindingsFormat::Text | FindingsFormat::Short => {
            let look = Look { colour: console.colour_out(), width: console.width() };
            let text = render::findings(&findings, &sources, args.format, look);
            console.data(&text);
            let files = number(args.files.len(), "file");
            let tidied =
                if fixed == 0 { String::new() } else { format!(", {} rewritten", number(fixed, "file")) };
            console.talk(&format!("{} in {files}{tidied}\n", number(keys.len(), "key")));
        }
    }
    Ok(if findings.has_errors() { Exit::AtFault } else { Exit::Fine })
}

/// One key, for programs.
fn as_json(key: &Census, sources: &SourceMap) -> Value {
    let options = &key.entry.options;
    let to = match options.forwarding() {
        Forwarding::Nowhere => json!([]),
        Forwarding::Anywhere => json!(["*:*"]),
        Forwarding::To(all) => all
            .iter()
            .map(|(host, port)| {
                json!(format!("{host}:{}", port.map_or_else(|| "*".to_owned(), |p| p.to_string())))
            })
            .collect(),
    };
    json!({
        "file": sources.file(key.file).map_or("", |file| &file.name),
        "line": sources.position(key.at).map(|at| at.line),
        "type": key.entry.key.kind().word(),
        "bits": key.entry.key.rsa().map(|rsa| rsa.n.bits()),
        "fingerprint": key.entry.key.fingerprint(),
        "owner": clean::clean_line(&key.entry.comment),
        "options": options.canonical(),
        "forwards_to": to,
        "expires": options.expiries.iter().map(|expiry| expiry.text()).reduce(|one, other| format!("{one}, {other}")),
    })
}
