//! `fwc diff`: what two rulesets do differently, over all packets. Each side is a policy, a build or a listing.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::model::Site;
use crate::verify::HostRules;
use crate::verify::diff::{
    BRANCHES, Bounds, Change, Diff, Difference, Found, Line, Lines, Names, Region, Side, Unclear,
};

use super::clean::clean_line;
use super::compile::tell_findings;
use super::files::listing_of;
use super::options::{Depends, Format, PolicyArgs};
use super::packet::show;
use super::render::{self, number};
use super::report::put;
use super::request::Request;
use super::{Console, Exit, Failure, aws, engine};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A policy (a file or folder), a folder that `compile` wrote, a listing (`nft list ruleset`, text or JSON),
    /// or a folder of what EC2 answered (`aws ec2 describe-security-groups`, …)
    #[arg(value_name = "OLD")]
    old: PathBuf,

    /// The same
    #[arg(value_name = "NEW")]
    new: PathBuf,

    /// This machine alone; needed where a listing is compared with what has several
    #[arg(long, value_name = "NAME")]
    host: Option<String>,

    /// Exit 1 where anything is let through that was not, 2 where that cannot be told
    #[arg(long)]
    deny_widening: bool,

    /// The most regions of packets that are said of one difference
    #[arg(long, value_name = "N", default_value_t = 16)]
    regions: usize,

    /// The most branches that the decision diagrams of one hook may have, 8 to 20 bytes each and as much again beside
    #[arg(long, value_name = "N", default_value_t = BRANCHES)]
    branches: usize,

    #[command(flatten)]
    depends: Depends,

    /// How the answer is written
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(args: Args, console: &mut Console<'_>) -> Result<Exit, Failure> {
    match [&args.old, &args.new].map(|path| aws::is_recording(path)) {
        [true, true] => return aws::diff(&args.old, &args.new, args.deny_widening, args.format, console),
        [false, false] => {}
        [true, false] | [false, true] => {
            return Err(Failure::new("answers of EC2 are compared with answers of EC2 alone")
                .help("compile the policy, and name its `aws` folder"));
        }
    }
    let mut sides = Vec::new();
    for path in [&args.old, &args.new] {
        match Input::read(path, &args.depends, console)? {
            Some(input) => sides.push(input),
            None => return Ok(Exit::AtFault),
        }
    }
    let (Some(new), Some(old)) = (sides.pop(), sides.pop()) else { return Ok(Exit::Failed) };
    let names = Names::of(&new.site).and(&Names::of(&old.site));
    let bounds = Bounds { regions: args.regions.max(1), ..Bounds::within(args.branches) };
    let mut hosts = Vec::new();
    let nothing = (HostRules::default(), Lines::new());
    for (name, was, is) in paired(&old, &new, args.host.as_deref())? {
        let (before, after) = (was.unwrap_or(&nothing), is.unwrap_or(&nothing));
        let before = Side { rules: &before.0, lines: &before.1 };
        let after = Side { rules: &after.0, lines: &after.1 };
        let diff = engine::diff(before, after, &names, bounds);
        let presence = match (was.is_some(), is.is_some()) {
            (false, true) => Some("has a ruleset now, and had none, which lets everything pass"),
            (true, false) => Some("has no ruleset any more, which lets everything pass"),
            _ => None,
        };
        hosts.push(HostAnswer { name, diff, presence });
    }
    let telling = Telling {
        site: if new.site.zones.is_empty() { &old.site } else { &new.site },
        old: old.named(),
        new: new.named(),
    };
    match args.format {
        Format::Text => console.data(&telling.text(&hosts)),
        Format::Json => console.data(&render::document(&telling.json(&hosts))),
    }
    Ok(exit(&hosts, args.deny_widening))
}

fn exit(hosts: &[HostAnswer], deny_widening: bool) -> Exit {
    let any = |is: fn(&Diff) -> bool| hosts.iter().any(|host| is(&host.diff));
    if deny_widening {
        return match (any(Diff::widens), any(Diff::may_widen)) {
            (true, _) => Exit::AtFault,
            (false, true) => Exit::Failed,
            (false, false) => Exit::Fine,
        };
    }
    if any(|diff| !diff.is_decided()) { Exit::Failed } else { Exit::Fine }
}

/// Two listings of this machine: what is different, in words and as data. Each side has a name and a text.
pub(super) fn of_listings(
    host: &str,
    old: (&str, &str),
    new: (&str, &str),
) -> Result<(Diff, String, Value), Failure> {
    let (site, lines) = (Site::default(), Lines::new());
    let (before, after) = (listed(old.0, old.1)?, listed(new.0, new.1)?);
    let bounds = Bounds { regions: 16, ..Bounds::default() };
    let [was, is] = [&before, &after].map(|rules| Side { rules, lines: &lines });
    // Examples are of addresses that the rules speak of.
    let mut names = Names::default();
    names.favourites = spoken_of(old.1);
    let diff = engine::diff(was, is, &names, bounds);
    let hosts = [HostAnswer { name: host.to_owned(), diff: diff.clone(), presence: None }];
    let listing = |name| Named { name, listing: true };
    let telling = Telling { site: &site, old: listing(old.0), new: listing(new.0) };
    Ok((diff, telling.text(&hosts), telling.json(&hosts)))
}

/// The first addresses in a text.
fn spoken_of(text: &str) -> Vec<std::net::IpAddr> {
    let words = text.split(|c: char| !(c.is_ascii_hexdigit() || matches!(c, '.' | ':')));
    let mut found = Vec::new();
    for addr in words.filter_map(|word| word.parse().ok()) {
        if found.len() < 64 && !found.contains(&addr) {
            found.push(addr);
        }
    }
    found
}

/// What is different on one machine.
struct HostAnswer {
    name: String,
    diff: Diff,
    presence: Option<&'static str>,
}

// ---- what is compared ---------------------------------------------------------------------------------

/// One side: the rulesets of machines by their names; one without a name is a listing.
struct Input {
    name: String,
    site: Site,
    hosts: BTreeMap<String, (HostRules, Lines)>,
}

impl Input {
    /// None where a policy has errors, which have been told.
    fn read(path: &Path, depends: &Depends, console: &mut Console<'_>) -> Result<Option<Self>, Failure> {
        let name = path.display().to_string();
        if path.join("manifest.json").is_file() {
            return Self::build(name, path).map(Some);
        }
        if path.is_dir() || path.extension().is_some_and(|ext| ext == "fw") {
            return Self::policy(name, path, depends, console);
        }
        let text = listing_of(path).map_err(|why| Failure::new(format!("cannot read `{name}`: {why}")))?;
        let rules = listed(&name, &text)?;
        let hosts = BTreeMap::from([(String::new(), (rules, Lines::new()))]);
        Ok(Some(Self { name, site: Site::default(), hosts }))
    }

    fn policy(
        name: String,
        path: &Path,
        depends: &Depends,
        console: &mut Console<'_>,
    ) -> Result<Option<Self>, Failure> {
        let policies = vec![path.to_path_buf()];
        let mut request = Request::read(PolicyArgs { policies, depends: depends.clone() })?;
        let compiled = request.compile();
        tell_findings(&request, console);
        let Some(compiled) = compiled else { return Ok(None) };
        if !compiled.report.holds() {
            console.talk(&format!("note: `{}` is not proved; `fwc verify` says why\n", clean_line(&name)));
        }
        let mut hosts = BTreeMap::new();
        for host in &compiled.hosts {
            let Some(rules) = compiled.artifacts.get(&host.host) else { continue };
            let origins = host.files.iter().find(|(file, _)| file == "origins.json");
            let lines = origins.map(|(_, text)| lines_of(text)).unwrap_or_default();
            hosts.insert(host.name.clone(), (rules.clone(), lines));
        }
        Ok(Some(Self { name, site: compiled.site, hosts }))
    }

    fn build(name: String, path: &Path) -> Result<Self, Failure> {
        let text_at = |path: &Path| {
            listing_of(path).map_err(|why| Failure::new(format!("cannot read `{}`: {why}", path.display())))
        };
        let mut hosts = BTreeMap::new();
        for listed_file in super::manifest::listed(&text_at(&path.join("manifest.json"))?)
            .ok_or_else(|| Failure::new(format!("`{name}/manifest.json` is none of fwc's")))?
        {
            let Some(host) =
                listed_file.strip_prefix("hosts/").and_then(|rest| rest.strip_suffix("/ruleset.nft"))
            else {
                continue;
            };
            let file = path.join(&listed_file);
            let rules = listed(&file.display().to_string(), &text_at(&file)?)?;
            let origins = path.join("hosts").join(host).join("origins.json");
            let lines = text_at(&origins).map(|text| lines_of(&text)).unwrap_or_default();
            hosts.insert(host.to_owned(), (rules, lines));
        }
        Ok(Self { name, site: Site::default(), hosts })
    }
}

impl Input {
    /// The file that the lines of a machine's ruleset are of.
    fn named(&self) -> Named<'_> {
        Named { name: &self.name, listing: self.hosts.contains_key("") }
    }
}

/// How one side is called in an answer.
#[derive(Clone, Copy)]
struct Named<'a> {
    name: &'a str,
    /// Of one machine, in one file; else a folder with a file for each.
    listing: bool,
}

impl Named<'_> {
    fn file(self, host: &str) -> String {
        if self.listing { self.name.to_owned() } else { format!("hosts/{host}/ruleset.nft") }
    }
}

fn listed(name: &str, text: &str) -> Result<HostRules, Failure> {
    HostRules::listed(text).map_err(|why| {
        Failure::new(format!("`{name}` cannot be read as a ruleset: {why}"))
            .help("give a policy (`.fw`), a folder of `fwc compile`, or what `nft list ruleset` prints")
    })
}

/// `origins.json`: the statements of each line, with their places. What cannot be read names nothing.
fn lines_of(text: &str) -> Lines {
    let value: Value = serde_json::from_str(text).unwrap_or_default();
    let mut lines = Lines::new();
    for entry in value.as_array().map(Vec::as_slice).unwrap_or_default() {
        let number = entry.get("line").and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
        let statements = entry.get("statements").and_then(Value::as_array).map(Vec::as_slice);
        let (Some(number), Some(statements)) = (number, statements) else { continue };
        let words = statements.iter().filter_map(|of| {
            let words = of.get("words")?.as_str()?;
            match (of.get("file").and_then(Value::as_str), of.get("line").and_then(Value::as_u64)) {
                (Some(file), Some(line)) => Some(format!("{file}:{line} {words}")),
                _ => Some(words.to_owned()),
            }
        });
        lines.insert(number, words.collect());
    }
    lines
}

type Pair<'a> = (String, Option<&'a (HostRules, Lines)>, Option<&'a (HostRules, Lines)>);

/// Which ruleset is compared with which.
fn paired<'a>(old: &'a Input, new: &'a Input, host: Option<&str>) -> Result<Vec<Pair<'a>>, Failure> {
    let a_listing = |side: &'a Input| side.hosts.get("");
    let of = |side: &'a Input, name: &str| a_listing(side).or_else(|| side.hosts.get(name));
    let names: Vec<&String> = match (a_listing(old), a_listing(new)) {
        (Some(_), Some(_)) => {
            return Ok(vec![(host.unwrap_or("ruleset").to_owned(), a_listing(old), a_listing(new))]);
        }
        (Some(_), None) => new.hosts.keys().collect(),
        (None, Some(_)) => old.hosts.keys().collect(),
        (None, None) => {
            let mut all: Vec<&String> = old.hosts.keys().chain(new.hosts.keys()).collect();
            all.sort();
            all.dedup();
            all
        }
    };
    let spelled = || names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if let Some(host) = host {
        if !names.iter().any(|name| *name == host) {
            return Err(Failure::new(format!("neither side has a machine `{host}`"))
                .help(format!("there is {}", spelled())));
        }
        return Ok(vec![(host.to_owned(), of(old, host), of(new, host))]);
    }
    let listing = a_listing(old).or(a_listing(new)).is_some();
    if listing && names.len() != 1 {
        return Err(Failure::new("a listing is of one machine, and the other side has several")
            .help(format!("say --host with one of {}", spelled())));
    }
    Ok(names.into_iter().map(|name| (name.clone(), of(old, name), of(new, name))).collect())
}

// ---- what is said -------------------------------------------------------------------------------------

struct Telling<'a> {
    site: &'a Site,
    old: Named<'a>,
    new: Named<'a>,
}

/// One difference, with where it is.
struct Point<'a> {
    host: &'a str,
    hook: &'static str,
    difference: &'a Difference,
}

/// The differences by how packets are treated and by the statements that account for it: a flow is one entry, whatever
/// the number of machines and hooks on its way.
fn flows(hosts: &[HostAnswer]) -> BTreeMap<(Change, Vec<String>), Vec<Point<'_>>> {
    let mut flows: BTreeMap<(Change, Vec<String>), Vec<Point<'_>>> = BTreeMap::new();
    for host in hosts {
        for (hook, difference) in host.diff.differences() {
            let key = (difference.change, difference.statements.clone());
            flows.entry(key).or_default().push(Point { host: &host.name, hook, difference });
        }
    }
    flows
}

impl Telling<'_> {
    fn text(&self, hosts: &[HostAnswer]) -> String {
        let mut text = String::new();
        for host in hosts {
            if let Some(presence) = host.presence {
                let _ = writeln!(text, "`{}` {presence}", clean_line(&host.name));
            }
        }
        for ((change, statements), points) in flows(hosts) {
            let _ = writeln!(text, "{}", words(change));
            for statement in &statements {
                let _ = writeln!(text, "  because {}", clean_line(statement));
            }
            for Point { host, hook, difference } in points {
                let _ = writeln!(text, "  at {} {hook}", clean_line(host));
                regions(&mut text, &difference.regions, difference.more);
                let _ = writeln!(text, "    example {}", clean_line(&show(&difference.witness, self.site)));
                self.lines(&mut text, "was", self.old, host, &difference.was);
                self.lines(&mut text, "now", self.new, host, &difference.now);
            }
        }
        for host in hosts {
            self.undecided(&mut text, host);
        }
        text.push_str(&summary(hosts));
        text
    }

    fn lines(&self, text: &mut String, word: &str, side: Named<'_>, host: &str, lines: &[Line]) {
        for line in lines {
            let number = line.line.map_or_else(String::new, |line| format!(":{line}"));
            let at = format!("{}{number} `{}` {}", side.file(host), line.chain, line.text);
            let _ = writeln!(text, "    {word}     {}", clean_line(&at));
        }
    }

    fn undecided(&self, text: &mut String, host: &HostAnswer) {
        let name = clean_line(&host.name);
        for hook in &host.diff.hooks {
            match &hook.found {
                Found::Undecided { reason, spent } => {
                    let _ = writeln!(text, "undecided at {name} {}: {reason}", hook.hook);
                    if spent.is_some() {
                        text.push_str("    help: `fwc diff --branches N` gives a hook more; or leave out of both the tables\n");
                        text.push_str(
                            "    that both have alike: what is the same without them is the same with them\n",
                        );
                    }
                }
                Found::Compared { unclear, .. } => {
                    for Unclear { change, regions: of, more, witness, because } in unclear {
                        let _ = writeln!(text, "perhaps {}", words(*change));
                        let _ = writeln!(text, "  at {name} {}", hook.hook);
                        regions(text, of, *more);
                        let _ = writeln!(text, "    example {}", clean_line(&show(witness, self.site)));
                        for reason in because {
                            let _ = writeln!(text, "    depends on {}", clean_line(reason));
                        }
                    }
                }
            }
        }
        for what in &host.diff.uncompared {
            let _ = writeln!(text, "not compared on {name}: {}", clean_line(what));
        }
    }

    fn json(&self, hosts: &[HostAnswer]) -> Value {
        let line = |l: &Line| json!({ "line": l.line, "chain": l.chain, "text": l.text });
        let told: Vec<Value> = flows(hosts)
            .into_iter()
            .map(|((change, statements), points)| {
                let points: Vec<Value> = points
                    .iter()
                    .map(|Point { host, hook, difference }| {
                        json!({
                            "host": host,
                            "hook": hook,
                            "regions": difference.regions.iter().map(region_as_json).collect::<Vec<_>>(),
                            "more": difference.more,
                            "example": clean_line(&show(&difference.witness, self.site)),
                            "was": difference.was.iter().map(line).collect::<Vec<_>>(),
                            "now": difference.now.iter().map(line).collect::<Vec<_>>(),
                        })
                    })
                    .collect();
                json!({
                    "change": name(change),
                    "words": words(change),
                    "widens": change.widens(),
                    "statements": statements,
                    "points": points,
                })
            })
            .collect();
        let mut unclear = Vec::new();
        for host in hosts {
            for hook in &host.diff.hooks {
                match &hook.found {
                    Found::Undecided { reason, .. } => {
                        unclear.push(json!({ "host": host.name, "hook": hook.hook, "undecided": reason }));
                    }
                    Found::Compared { unclear: all, .. } => unclear.extend(all.iter().map(|u| {
                        json!({
                            "host": host.name,
                            "hook": hook.hook,
                            "change": name(u.change),
                            "widens": u.change.widens(),
                            "regions": u.regions.iter().map(region_as_json).collect::<Vec<_>>(),
                            "more": u.more,
                            "example": clean_line(&show(&u.witness, self.site)),
                            "depends_on": u.because,
                        })
                    })),
                }
            }
            unclear
                .extend(host.diff.uncompared.iter().map(|w| json!({ "host": host.name, "uncompared": w })));
        }
        let presence = hosts.iter().filter_map(|h| Some(json!({ "host": h.name, "note": h.presence? })));
        json!({
            "old": self.old.name,
            "new": self.new.name,
            "machines": presence.collect::<Vec<_>>(),
            "widens": hosts.iter().any(|h| h.diff.widens()),
            "decided": hosts.iter().all(|h| h.diff.is_decided()),
            "differences": told,
            "unclear": unclear,
        })
    }
}

pub(super) fn region_as_json(region: &Region) -> Value {
    json!({
        "words": region.to_string(),
        "services": region.services,
        "from": region.from,
        "to": region.to,
        "iif": region.iif,
        "oif": region.oif,
        "ct_state": region.states,
        "other": region.other,
    })
}

fn regions(text: &mut String, regions: &[Region], more: bool) {
    for region in regions {
        let _ = writeln!(text, "    packets {}", clean_line(&region.to_string()));
    }
    if more {
        let _ = writeln!(text, "    packets … and more; --regions says how many are shown");
    }
}

fn summary(hosts: &[HostAnswer]) -> String {
    let flows = flows(hosts);
    let machines = number(hosts.len(), "machine");
    let undecided = hosts.iter().any(|host| !host.diff.is_decided());
    let tail = if undecided {
        "; what is said with `perhaps`, undecided or not compared is not decided"
    } else {
        ""
    };
    if flows.is_empty() {
        let same = if undecided { "no difference is certain" } else { "the same for every packet" };
        return format!("{same}, {machines}{tail}\n");
    }
    let widening = flows.keys().filter(|(change, _)| change.widens()).count();
    format!(
        "{}, {} let more through, {machines}{tail}\n",
        number(flows.len(), "difference"),
        if widening == 0 { "none".to_owned() } else { widening.to_string() }
    )
}

fn words(change: Change) -> String {
    let translation =
        |to: Option<crate::net::Translation>| to.map_or_else(|| "not translated".to_owned(), put);
    let mark =
        |mark: Option<u32>| mark.map_or_else(|| "the mark it came with".to_owned(), |m| format!("mark {m}"));
    match change {
        Change::Allowed => "newly allowed".to_owned(),
        Change::Denied => "newly denied".to_owned(),
        Change::Told => "newly rejected, before silently dropped".to_owned(),
        Change::Silenced => "newly dropped in silence, before rejected".to_owned(),
        Change::Translated { was, now } => {
            format!("newly {}, before {}", translation(now), translation(was))
        }
        Change::Untracked => "newly taken out of connection tracking".to_owned(),
        Change::Tracked => "no longer taken out of connection tracking".to_owned(),
        Change::Marked { was: None, now: None } => "marked otherwise".to_owned(),
        Change::Marked { was, now } => format!("newly with {}, before with {}", mark(now), mark(was)),
    }
}

fn name(change: Change) -> &'static str {
    match change {
        Change::Allowed => "allowed",
        Change::Denied => "denied",
        Change::Told => "rejected",
        Change::Silenced => "silenced",
        Change::Translated { .. } => "translated",
        Change::Untracked => "untracked",
        Change::Tracked => "tracked",
        Change::Marked { .. } => "marked",
    }
}
