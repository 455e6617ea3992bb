//! `fwc matrix`: who can reach whom with what, every zone with every zone or machine.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use clap::ValueEnum;
use serde_json::json;

use crate::model::Site;
use crate::verify::questions::{By, Cell, Matrix, Spoken};

use super::check::unanswered;
use super::clean::clean_line;
use super::options::PolicyArgs;
use super::request::Request;
use super::{Console, Exit, Failure, engine, reach, render};

/// The answer for programs (`docs/json.md`).
const FORMAT: &str = "fwc.matrix/1";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    policy: PolicyArgs,

    /// What stands after the arrow: zones or machines
    #[arg(long, value_enum, default_value_t)]
    to: Targets,

    /// This service alone, as a policy says it: "ssh", "tcp 80"
    #[arg(long, value_name = "SERVICE")]
    service: Option<String>,

    /// How the answer is written
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// What zones are asked to reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Targets {
    /// Zones
    #[default]
    Zone,
    /// Machines
    Host,
}

/// How a matrix is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
    /// For spreadsheets
    Csv,
}

pub(super) fn run(args: Args, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let mut request = Request::read(args.policy)?;
    if let Some(service) = &args.service {
        if let Some(odd) = service.chars().find(|c| !(c.is_ascii_alphanumeric() || " _,-".contains(*c))) {
            return Err(Failure::new(format!("`{odd}` is in no service")));
        }
        if service.trim().is_empty() {
            return Err(
                Failure::new("--service names no service").help("say one as a policy does: ssh, \"tcp 80\"")
            );
        }
        let title = reach::TITLE;
        let text = format!("test \"{title}\" {{ expect deny {service} from anywhere to anywhere }}\n");
        request.ask(text, &format!("--service {service}"));
    }
    let compiled = request.prove_for_question();
    let Some(compiled) = compiled else {
        let json = args.format == Format::Json;
        return unanswered(json.then_some((FORMAT, "matrix")), &request, console);
    };
    request.tell_findings(console);
    let only = args.service.as_ref().and_then(|_| reach::asked(&compiled)).map(|asked| asked.terms);
    let by = match args.to {
        Targets::Zone => By::Zone,
        Targets::Host => By::Host,
    };
    let Matrix { cells, assuming } = engine::matrix(&compiled, request.options.at, by, only.as_deref())?;
    request.mark("matrix");
    let mut text = match args.format {
        Format::Text if args.service.is_some() => grid(&compiled.site, &cells),
        Format::Text => list(&compiled.site, &cells),
        Format::Json => document(&compiled.site, &cells, assuming),
        Format::Csv => csv(&compiled.site, &cells),
    };
    let assuming = assuming.map(|what| format!("assuming {what}\n")).unwrap_or_default();
    match args.format {
        Format::Text => text.push_str(&assuming),
        Format::Json => {}
        // A line that is no row has no place among them.
        Format::Csv => console.talk(&assuming),
    }
    console.data(&text);
    request.tell_timings(console);
    Ok(Exit::Fine)
}

fn from<'s>(site: &'s Site, cell: &Cell) -> &'s str {
    site.zone(cell.from).map_or("?", |zone| zone.name.as_str())
}

/// `tcp 80`; `(tcp 80)` where not all of the one reaches all of the other.
fn word(of: &Spoken) -> String {
    let arrow = if of.translated { " translated" } else { "" };
    if of.whole { format!("{}{arrow}", of.service) } else { format!("({}{arrow})", of.service) }
}

/// One line a pair that speaks.
fn list(site: &Site, cells: &[Cell]) -> String {
    let mut text = String::new();
    let speaking: Vec<&Cell> = cells.iter().filter(|cell| !cell.services.is_empty()).collect();
    for cell in &speaking {
        let services: Vec<String> = cell.services.iter().map(word).collect();
        let line = format!("{} -> {}: {}", from(site, cell), cell.to, services.join(", "));
        let _ = writeln!(text, "{}", clean_line(&line));
    }
    let silent = cells.len().saturating_sub(speaking.len());
    let _ = writeln!(
        text,
        "in brackets: not all of the one reaches all of the other; {} of {} pairs do not speak",
        silent,
        cells.len()
    );
    text
}

/// Zones down, places across: `all`, `some` or a dot.
fn grid(site: &Site, cells: &[Cell]) -> String {
    let mut rows: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
    for cell in cells {
        let answer = match cell.services.as_slice() {
            [] => ".",
            all if all.iter().all(|s| s.whole) => "all",
            _ => "some",
        };
        rows.entry(from(site, cell)).or_default().insert(&cell.to, answer);
    }
    let columns: Vec<&str> =
        rows.values().next().map(|row| row.keys().copied().collect()).unwrap_or_default();
    let first = rows.keys().map(|name| name.len()).max().unwrap_or(0).max(4);
    let mut text = format!("{:first$}", "from");
    for column in &columns {
        let _ = write!(text, "  {column}");
    }
    text.push('\n');
    for (name, row) in &rows {
        let _ = write!(text, "{name:first$}");
        for column in &columns {
            let width = column.len();
            let _ = write!(text, "  {:width$}", row.get(column).copied().unwrap_or("."));
        }
        let line = text.trim_end().len();
        text.truncate(line);
        text.push('\n');
    }
    text
}

fn document(site: &Site, cells: &[Cell], assuming: Option<&str>) -> String {
    let cells: Vec<serde_json::Value> = cells
        .iter()
        .filter(|cell| !cell.services.is_empty())
        .map(|cell| {
            let services: Vec<serde_json::Value> = cell
                .services
                .iter()
                .map(|s| json!({ "service": s.service, "whole": s.whole, "translated": s.translated }))
                .collect();
            json!({ "from": from(site, cell), "to": cell.to, "services": services })
        })
        .collect();
    render::document(FORMAT, json!({ "matrix": cells, "assuming": assuming }))
}

/// RFC 4180, one service a line. Names and services hold neither quotes nor line ends; lists of ports hold commas.
fn csv(site: &Site, cells: &[Cell]) -> String {
    let mut text = "from,to,service,whole,translated\r\n".to_owned();
    for cell in cells {
        for s in &cell.services {
            let (from, to) = (from(site, cell), &cell.to);
            let _ = write!(text, "{from},{to},\"{}\",{},{}\r\n", s.service, s.whole, s.translated);
        }
    }
    text
}
