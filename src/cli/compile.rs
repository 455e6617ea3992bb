//! `fwc compile`: proves a policy's artifacts, then writes them. What is not proved is not written.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::compile::Compiled;
use crate::model::{HostId, Site};

use super::files::text_of;
use super::options::{Emit, Format, PolicyArgs};
use super::output::Tree;
use super::render::{self, number};
use super::report::{self, Telling};
use super::request::Request;
use super::{Console, Exit, Failure, manifest};

/// The answer for programs (`docs/json.md`).
const FORMAT: &str = "fwc.compile/1";
/// That of `--check`.
const CHECK: &str = "fwc.compile.check/1";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    policy: PolicyArgs,

    /// Write the build to this folder; `build` where neither this nor --host is said
    #[arg(short, long, value_name = "DIR", conflicts_with = "check")]
    output: Option<PathBuf>,

    /// This machine alone; without --output its ruleset goes to stdout
    #[arg(long, value_name = "NAME")]
    host: Option<String>,

    /// Write nothing: compare this folder with what the policy gives, and exit 1 with the difference
    #[arg(long, value_name = "DIR")]
    check: Option<PathBuf>,

    /// Write security groups in this format too; may be repeated
    #[arg(long, value_enum, value_name = "FORMAT")]
    emit: Vec<Emit>,

    /// How the answer is written
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// What to do with what was proved.
enum Goal {
    Print(HostId),
    Write(PathBuf),
    Compare(PathBuf),
}

pub(super) fn run(args: Args, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let mut request = Request::read(args.policy)?;
    request.options.emit = Emit::formats(&args.emit);
    // One machine's ruleset as text is what was proved: the files for programs would be made for nobody.
    let text_alone = args.host.is_some() && args.output.is_none() && args.check.is_none();
    request.options.proof_alone = text_alone && args.format == Format::Text;
    let otherwise = "nothing is written: what is not proved is not written";
    let answer = if args.check.is_some() { CHECK } else { FORMAT };
    let compiled = match proved(&mut request, args.format.json(answer), otherwise, console) {
        Ok(compiled) => compiled,
        Err(stop) => {
            request.tell_timings(console);
            return stop.exit(&request);
        }
    };
    if !args.emit.is_empty() && compiled.site.security_groups.is_empty() {
        console.talk("note: the policy has no security group: `--emit` writes nothing of any\n");
    }
    let host = args.host.map(|name| host_of(&compiled, &name)).transpose()?;
    let goal = match (args.check, args.output, host) {
        (Some(dir), _, _) => Goal::Compare(dir),
        (None, Some(dir), _) => Goal::Write(dir),
        (None, None, Some(host)) => Goal::Print(host),
        (None, None, None) => Goal::Write(PathBuf::from("build")),
    };
    let tree = || Tree::new(manifest::build(&compiled, &request.sources, &request.options.set, host));
    let exit = match goal {
        Goal::Print(host) => print(&compiled, host, args.format, console),
        Goal::Write(dir) => write(&tree()?, &dir, &compiled, args.format, console)?,
        Goal::Compare(dir) => {
            let only =
                host.and_then(|host| compiled.site.host(host)).map(|host| format!("hosts/{}", host.name));
            compare(&tree()?, (&dir, only.as_deref()), (&args.emit, args.format), console)?
        }
    };
    request.mark("write");
    request.tell_timings(console);
    // The process ends here, and gives all of it back at once.
    std::mem::forget(compiled);
    Ok(exit)
}

/// Why there is nothing to go on with; it has been told.
pub(super) enum Stop {
    /// The policy has errors.
    Errors,
    /// The proof failed.
    Unproved(Exit),
}

impl Stop {
    /// How the run ends.
    pub(super) fn exit(&self, request: &Request) -> Result<Exit, Failure> {
        match self {
            Self::Errors => request.finished(false),
            Self::Unproved(exit) => Ok(*exit),
        }
    }
}

/// Compiles and proves, and tells findings, and a proof that failed with what therefore is not done: to programs as the answer `json`.
pub(super) fn proved(
    request: &mut Request,
    json: Option<&str>,
    otherwise: &str,
    console: &mut Console<'_>,
) -> Result<Compiled, Stop> {
    let compiled = request.compile();
    let failed = compiled.as_ref().filter(|compiled| report::exit(&compiled.report) != Exit::Fine);
    let telling = failed.map(|c| Telling { site: &c.site, sources: &request.sources, ruleset: None });
    match json {
        None => {
            request.tell_findings(console);
            if let (Some(telling), Some(failed)) = (telling, failed) {
                console.talk(&telling.report(&failed.report));
                console.talk(&format!("{otherwise}\n"));
            }
        }
        Some(format) if compiled.is_none() || failed.is_some() => {
            let proof = telling.zip(failed).map(|(telling, failed)| telling.as_json(&failed.report));
            let findings = render::as_json(&request.findings, &request.sources);
            console.data(&render::document(format, json!({ "findings": findings, "proof": proof })));
        }
        Some(_) => request.tell_findings(console),
    }
    let compiled = compiled.ok_or(Stop::Errors)?;
    match report::exit(&compiled.report) {
        Exit::Fine => Ok(compiled),
        exit => Err(Stop::Unproved(exit)),
    }
}

/// A machine that has artifacts, of those that were compiled.
pub(super) fn host_of(compiled: &Compiled, name: &str) -> Result<HostId, Failure> {
    let all = compiled.hosts.iter().map(|made| (made.host, made.name.as_str()));
    host_among(&compiled.site, &all.collect::<Vec<_>>(), name)
}

/// A machine of these, by name.
pub(super) fn host_among(site: &Site, all: &[(HostId, &str)], name: &str) -> Result<HostId, Failure> {
    if let Some((host, _)) = all.iter().find(|(_, known)| *known == name) {
        return Ok(*host);
    }
    let failure = if site.host_named(name).is_some() {
        Failure::new(format!("`{name}` filters nothing, so it has no ruleset"))
    } else {
        Failure::new(format!("the policy has no machine `{name}`"))
    };
    Err(if all.is_empty() { failure } else { failure.help(format!("these have one: {}", names(all))) })
}

/// The names of machines, for people.
pub(super) fn names(all: &[(HostId, &str)]) -> String {
    all.iter().map(|(_, name)| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn print(compiled: &Compiled, host: HostId, format: Format, console: &mut Console<'_>) -> Exit {
    let files = compiled.hosts.iter().filter(|made| made.host == host).flat_map(|made| &made.files);
    let text = match format {
        Format::Text => compiled.artifacts.get(&host).map(|rules| &rules.text),
        Format::Json => files.into_iter().find(|(name, _)| name == "ruleset.json").map(|(_, text)| text),
    };
    if let Some(text) = text {
        console.data(text);
    }
    console.talk(&format!("{}\n", report::summary(&compiled.report)));
    Exit::Fine
}

fn write(
    tree: &Tree<'_>,
    dir: &Path,
    compiled: &Compiled,
    format: Format,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let written = tree.write(dir)?;
    let shown = super::clean::clean_line(&dir.display().to_string());
    console.talk(&format!("{}\n", report::summary(&compiled.report)));
    if written.changed {
        console.talk(&format!("wrote {} to `{shown}`\n", number(tree.len(), "file")));
    } else {
        console.talk(&format!("`{shown}` is up to date: {}\n", number(tree.len(), "file")));
    }
    for name in &written.removed {
        console.talk(&format!("removed `{}`\n", super::clean::clean_line(name)));
    }
    if format == Format::Json {
        let files: Vec<&str> = tree.files().map(|(name, _)| name).collect();
        let answer = json!({
            "output": dir.display().to_string(),
            "changed": written.changed,
            "files": files,
            "removed": written.removed,
        });
        console.data(&render::document(FORMAT, answer));
    }
    Ok(Exit::Fine)
}

fn compare(
    tree: &Tree<'_>,
    (dir, only): (&Path, Option<&str>),
    (emit, format): (&[Emit], Format),
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let differences = tree.differences(dir, only)?;
    match format {
        Format::Text => {
            for difference in &differences {
                console.data(&difference.text);
            }
        }
        Format::Json => {
            let files: Vec<_> = differences
                .iter()
                .map(|d| json!({ "path": d.path, "kind": d.kind, "difference": d.text }))
                .collect();
            let answer = json!({ "same": differences.is_empty(), "files": files });
            console.data(&render::document(CHECK, answer));
        }
    }
    let shown = super::clean::clean_line(&dir.display().to_string());
    if differences.is_empty() {
        let of = only.map_or(String::new(), |only| format!("`{only}` in "));
        console.talk(&format!("{of}`{shown}` is what the policy gives\n"));
        return Ok(Exit::Fine);
    }
    let differ = if differences.len() == 1 { "differs" } else { "differ" };
    let count = number(differences.len(), "file");
    console.talk(&format!("`{shown}` is not what the policy gives: {count} {differ}\n"));
    if differences.iter().all(|difference| difference.placed) {
        console.talk("note: no rule differs, only where the statements stand in the policy\n");
    }
    let listed = manifest::listed(&text_of(&dir.join(manifest::NAME)).unwrap_or_default());
    let had = Emit::among(&listed.unwrap_or_default());
    if had.iter().any(|one| !emit.contains(one)) {
        let said: Vec<String> = had.iter().map(|one| format!("--emit {}", one.word())).collect();
        let how = if emit.iter().all(|one| had.contains(one)) {
            "say that here too"
        } else {
            "say that, and no other"
        };
        console.talk(&format!("help: `{shown}` was written with `{}`: {how}\n", said.join(" ")));
    }
    Ok(Exit::AtFault)
}
