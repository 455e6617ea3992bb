//! `fwc import aws`: a policy of what EC2 answered. What no sentence says is named, and then there is no policy.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use serde_json::json;

use crate::compile::import::import;
use crate::durable;
use crate::target::aws::artifact::Estate;

use super::clean::clean_line;
use super::instant::now;
use super::options::Format;
use super::render::{self, number};
use super::{Console, Exit, Failure, aws};

/// The answer for programs (`docs/json.md`).
const FORMAT: &str = "fwc.import/1";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    from: From,
}

#[derive(Debug, clap::Subcommand)]
enum From {
    /// Security groups as EC2 described them: a folder of answers (`aws ec2 describe-security-groups`, …)
    Aws(Aws),
}

#[derive(Debug, clap::Args)]
struct Aws {
    /// The folder, or one file
    #[arg(value_name = "DIR")]
    dir: PathBuf,

    /// The groups of this vpc alone
    #[arg(long, value_name = "ID")]
    vpc: Option<String>,

    /// Write the policy here, where no file is yet; to stdout otherwise
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// How the answer is written
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(args: Args, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let From::Aws(args) = args.from;
    if let Some(path) = args.output.as_deref().filter(|path| path.exists()) {
        return Err(Failure::new(format!("`{}` is there already", path.display()))
            .help("name a file that is not, or remove it"));
    }
    let mut estate = aws::recording(&args.dir, console)?;
    let blocks = aws::blocks(&args.dir)?;
    if let Some(vpc) = &args.vpc {
        of_vpc(&mut estate, vpc)?;
    }
    let imported = match import(&estate, &blocks, now()) {
        Ok(imported) => imported,
        Err(obstacles) => {
            let words: Vec<String> = obstacles.iter().map(|why| clean_line(&why.to_string())).collect();
            for word in &words {
                console.talk(&format!("error: {word}\n"));
            }
            console.talk(
                "help: nothing is written: a policy has to say all that was described, or it is none\n",
            );
            if args.format == Format::Json {
                console.data(&render::document(FORMAT, json!({ "policy": null, "obstacles": words })));
            }
            return Ok(Exit::AtFault);
        }
    };
    for (what, lines) in [("note", &imported.notes), ("warning", &imported.warnings)] {
        for line in lines {
            console.talk(&format!("{what}: {}\n", clean_line(line)));
        }
    }
    if let Some(path) = &args.output {
        write(path, &imported.text)?;
    }
    let equal = imported.groups.saturating_sub(imported.idle).saturating_sub(imported.left);
    let mut summary = format!(
        "imported {} with {}; compiled and proved again: {equal} canonically equal",
        number(imported.groups, "group"),
        number(imported.rules, "rule")
    );
    if imported.idle > 0 {
        summary = format!("{summary}, {} equal but for addresses that nobody has", imported.idle);
    }
    if imported.left > 0 {
        summary = format!("{summary}, {} without rules of prefix lists that have no networks", imported.left);
    }
    if imported.cut > 0 {
        summary = format!("{summary}; {} of them in parts", imported.cut);
    }
    console.talk(&format!("{summary}\n"));
    match (args.format, &args.output) {
        (Format::Json, _) => console.data(&render::document(
            FORMAT,
            json!({
                "policy": imported.text,
                "output": args.output.as_ref().map(|path| path.display().to_string()),
                "groups": imported.groups,
                "rules": imported.rules,
                "canonically_equal": equal,
                "in_parts": imported.cut,
                "notes": imported.notes,
                "warnings": imported.warnings,
                "obstacles": [],
            }),
        )),
        (Format::Text, None) => console.data(&imported.text),
        (Format::Text, Some(path)) => {
            console.talk(&format!("wrote `{}`\n", clean_line(&path.display().to_string())));
        }
    }
    Ok(Exit::Fine)
}

/// The groups of one vpc; what they name elsewhere stays unknown.
fn of_vpc(estate: &mut Estate, vpc: &str) -> Result<(), Failure> {
    let known: std::collections::BTreeSet<&str> =
        estate.groups.iter().filter_map(|group| group.vpc.as_deref()).collect();
    if !known.contains(vpc) {
        let known: Vec<&str> = known.into_iter().collect();
        return Err(Failure::new(format!("no group is of the vpc `{vpc}`"))
            .help(format!("there are groups of {}", known.join(", "))));
    }
    estate.groups.retain(|group| group.vpc.as_deref() == Some(vpc));
    let ids: Vec<String> = estate.groups.iter().map(|group| group.id.clone()).collect();
    estate.records.retain(|record| ids.contains(&record.group));
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    durable::replace(path, text.as_bytes(), 0o644).map_err(|why| Failure::io("write", path, &why))
}

/// The blocks of VPCs by id.
pub(super) type Blocks = BTreeMap<String, Vec<IpNet>>;
