//! `fwc diff`: what two sides do differently, over all packets: rulesets, what sshds are told, security groups. Each side is a
//! policy, a build or a listing.

mod groups;
mod input;
mod people;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::model::Site;
use crate::target::sysctl::artifact::Settings;
use crate::verify::HostRules;
use crate::verify::diff::{
    BRANCHES, Bounds, Change, Diff, Difference, Found, FrameDiff, Line, Lines, Names, Region, Side, Unclear,
};
use crate::verify::logins::{Logins, logins};

use super::clean::clean_line;
use super::options::{Depends, Format, Listed};
use super::packet::show;
use super::render::{self, number};
use super::report::put;
use super::{Console, Exit, Failure, aws, engine, instant};
use groups::Groups;
use input::{Input, Machine, Pair, listed, paired};

/// The answer for programs (`docs/json.md`).
const FORMAT: &str = "fwc.diff/1";

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

    #[command(flatten)]
    listed: Listed,

    /// How the answer is written
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

const NO_LISTING: &str = "--utc says how a listing is read, and neither side is one";

pub(super) fn run(args: Args, console: &mut Console<'_>) -> Result<Exit, Failure> {
    match [&args.old, &args.new].map(|path| aws::is_recording(path)) {
        [true, true] if args.listed.utc => return Err(Failure::new(NO_LISTING)),
        [true, true] => return aws::diff(&args.old, &args.new, args.deny_widening, args.format, console),
        [false, false] => {}
        [is_old, _] => {
            let (answers, other) = if is_old { (&args.old, &args.new) } else { (&args.new, &args.old) };
            let (answers, other) = (answers.display(), other.display());
            let message = format!(
                "`{answers}` has answers of EC2, which are compared with one another alone, and `{other}` has none"
            );
            return Err(Failure::new(message).help(format!(
                "`fwc verify --aws-live {answers}` compares them with a policy; of a build name its `aws` folder"
            )));
        }
    }
    let mut sides = Vec::new();
    // One listing has one time zone, whichever it is.
    let listed = Listed { utc: args.listed.utc || args.old == args.new };
    for path in [&args.old, &args.new] {
        match Input::read(path, &args.depends, (listed, args.format), console)? {
            Some(input) => sides.push(input),
            None => return Ok(Exit::AtFault),
        }
    }
    let (Some(new), Some(old)) = (sides.pop(), sides.pop()) else { return Ok(Exit::Failed) };
    if args.listed.utc && !old.is_listing() && !new.is_listing() {
        return Err(Failure::new(NO_LISTING));
    }
    let names = Names::of(&new.site).and(&Names::of(&old.site));
    let bounds = Bounds { regions: args.regions.max(1), ..Bounds::within(args.branches) };
    let at = args.depends.at.unwrap_or_else(instant::now);
    let mut hosts = Vec::new();
    for pair in paired(&old, &new, args.host.as_deref())? {
        let listings = [old.is_listing(), new.is_listing()];
        hosts.push(HostAnswer::of(pair, listings, &names, (bounds, at)));
    }
    let groups = Groups::of(old.cloud.as_ref(), new.cloud.as_ref(), args.host.as_deref())?;
    if groups.count > 0 && !groups.told {
        console.talk("note: a build does not tell who wears its security groups: that was not compared\n");
    }
    let telling = Telling {
        site: if new.site.zones.is_empty() { &old.site } else { &new.site },
        old: old.named(),
        new: new.named(),
    };
    let answer = Answer { hosts, groups };
    match args.format {
        Format::Text => console.data(&telling.text(&answer)),
        Format::Json => console.data(&render::document(FORMAT, telling.json(&answer))),
    }
    Ok(answer.exit(args.deny_widening))
}

/// Two listings of this machine: what is different, in words and as data. Each side has a name and a text.
pub(super) fn of_listings(
    host: &str,
    old: (&str, &str),
    new: (&str, &str),
) -> Result<(Diff, String, Value), Failure> {
    let (site, lines) = (Site::default(), Lines::new());
    // Whoever listed them here did it in UTC.
    let (before, after) = (listed(old.0, old.1)?.in_utc(), listed(new.0, new.1)?.in_utc());
    let bounds = Bounds { regions: 16, ..Bounds::default() };
    let [was, is] = [&before, &after].map(|rules| Side { rules, lines: &lines });
    // Examples are of addresses that the rules speak of.
    let mut names = Names::default();
    names.favourites = spoken_of(old.1);
    let diff = engine::diff(was, is, &names, bounds);
    let (name, logins) = (host.to_owned(), Logins::default());
    let hosts = vec![HostAnswer { name, diff: diff.clone(), logins, presence: None }];
    let answer = Answer { hosts, groups: Groups::default() };
    let listing = |name| Named { name, listing: true };
    let telling = Telling { site: &site, old: listing(old.0), new: listing(new.0) };
    Ok((diff, telling.text(&answer), telling.json(&answer)))
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
    logins: Logins,
    presence: Option<&'static str>,
}

impl HostAnswer {
    fn of(
        (name, was, is): Pair<'_>,
        listings: [bool; 2],
        names: &Names,
        (bounds, at): (Bounds, u64),
    ) -> Self {
        let nothing = (HostRules::default(), Lines::new());
        let [before, after] = [was, is].map(|machine| machine.and_then(|machine| machine.rules.as_ref()));
        let presence = match (before.is_some(), after.is_some()) {
            (false, true) => Some("has a ruleset now, and had none, which lets everything pass"),
            (true, false) => Some("has no ruleset any more, which lets everything pass"),
            _ => None,
        };
        let [before, after] = [before, after].map(|rules| rules.unwrap_or(&nothing));
        let mut diff = engine::diff(side(before), side(after), names, bounds);
        diff.uncompared.extend(shown(was, is));
        let [old, new] = [was, is].map(|machine| machine.and_then(|machine| machine.server.as_ref()));
        let logins = if listings.contains(&true) {
            Logins { uncompared: untold(old.or(new).is_some()), ..Logins::default() }
        } else {
            let mut logins = logins(old, new, &names.favourites, at);
            logins.uncompared.extend(restarted(was, is));
            logins
        };
        Self { name, diff, logins, presence }
    }

    fn is_decided(&self) -> bool {
        self.diff.is_decided() && self.logins.uncompared.is_empty()
    }

    /// The frames that are treated differently, and those that may be.
    fn frames(&self, certain: bool) -> impl Iterator<Item = &FrameDiff> {
        self.diff.frames.iter().filter(move |frames| frames.because.is_none() == certain)
    }

    fn uncompared(&self) -> impl Iterator<Item = &String> {
        self.diff.uncompared.iter().chain(&self.logins.uncompared)
    }
}

fn side((rules, lines): &(HostRules, Lines)) -> Side<'_> {
    Side { rules, lines }
}

/// A listing says nothing of the sshd that the other side speaks of.
fn untold(spoken_of: bool) -> Vec<String> {
    let what = "who logs in: a listing does not tell what its sshd is told";
    spoken_of.then(|| what.to_owned()).into_iter().collect()
}

/// What takes the place of an sshd is started otherwise, or is no more what does.
fn restarted(was: Option<&Machine>, is: Option<&Machine>) -> Option<String> {
    let [was, is] = [was?, is?].map(|machine| (machine.server.is_some(), &machine.unit));
    let both = was.0 && is.0;
    (both && was.1 != is.1)
        .then(|| "how its jump server is started: ssh/fwc-bastion.service is not the same".to_owned())
}

/// What of a bridge hangs on a parameter: where packets between its ports pass the forward hook on one side alone, what becomes of
/// them there and in `table bridge` together is compared by nobody.
fn shown(was: Option<&Machine>, is: Option<&Machine>) -> Option<String> {
    let [was, is] = [was, is].map(|machine| machine.and_then(|machine| machine.settings.as_ref()));
    let (was, is) = match (was?, is?) {
        (Ok(was), Ok(is)) => (was, is),
        (Err(why), _) | (_, Err(why)) => {
            return Some(format!("what the forward hook is shown of a bridge: sysctl.conf, {why}"));
        }
    };
    let key = |family: &str| format!("net/bridge/bridge-nf-call-{family}");
    let on = |settings: &Settings, family: &&str| settings.value(&key(family)) == Some("1");
    let family = ["iptables", "ip6tables"].into_iter().find(|family| on(was, family) != on(is, family))?;
    let state = if on(is, &family) { "now" } else { "no more" };
    Some(format!(
        "what the ports of its bridge say to each other, which passes the forward hook {state} (sysctl.conf, `{}`): hooks are \
         compared one by one",
        key(family).replace('/', ".")
    ))
}

/// What is different of all machines, and of the groups.
struct Answer {
    hosts: Vec<HostAnswer>,
    groups: Groups,
}

impl Answer {
    fn exit(&self, deny_widening: bool) -> Exit {
        if !deny_widening {
            return if self.is_decided() { Exit::Fine } else { Exit::Failed };
        }
        let widens = self.widens();
        let untold = |host: &HostAnswer| host.diff.may_widen() || !host.logins.uncompared.is_empty();
        let may = self.hosts.iter().any(untold) || !self.groups.is_decided();
        match (widens, may) {
            (true, _) => Exit::AtFault,
            (false, true) => Exit::Failed,
            (false, false) => Exit::Fine,
        }
    }

    fn widens(&self) -> bool {
        let more = |host: &HostAnswer| host.diff.widens() || host.logins.widens();
        self.hosts.iter().any(more) || self.groups.widening() > 0
    }

    fn is_decided(&self) -> bool {
        self.hosts.iter().all(HostAnswer::is_decided) && self.groups.is_decided()
    }

    fn summary(&self) -> String {
        let flows = flows(&self.hosts);
        let people = || self.hosts.iter().flat_map(|host| &host.logins.changes);
        let frames = || self.hosts.iter().flat_map(|host| host.frames(true));
        let all = [flows.len(), frames().count(), people().count(), self.groups.differences()];
        let all = all.into_iter().fold(0, usize::saturating_add);
        let widening = flows.keys().filter(|(change, _)| change.widens()).count();
        let frames = frames().filter(|of| of.change.widens()).count();
        let widening = [widening, frames, people().filter(|of| of.allowed).count(), self.groups.widening()];
        let widening = widening.into_iter().fold(0, usize::saturating_add);
        let mut of = number(self.hosts.len(), "machine");
        if self.groups.count > 0 {
            let _ = write!(of, ", {}", number(self.groups.count, "security group"));
        }
        let undecided = !self.is_decided();
        let tail = if undecided {
            "; what is said with `perhaps`, undecided or not compared is not decided"
        } else {
            ""
        };
        if all == 0 {
            let same = if undecided { "no difference is certain" } else { "the same for every packet" };
            return format!("{same}, {of}{tail}\n");
        }
        let widening = if widening == 0 { "none".to_owned() } else { widening.to_string() };
        format!("{}, {widening} let more through, {of}{tail}\n", number(all, "difference"))
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
    fn text(&self, answer: &Answer) -> String {
        let (mut text, hosts) = (String::new(), answer.hosts.as_slice());
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
            for frames in host.frames(true) {
                let _ = writeln!(text, "{}", words(frames.change));
                between_ports(&mut text, &host.name, frames);
            }
        }
        for host in hosts {
            for change in &host.logins.changes {
                people::text(&mut text, &host.name, change, self.site);
            }
        }
        text.push_str(&answer.groups.lines());
        for host in hosts {
            self.undecided(&mut text, host);
        }
        for what in &answer.groups.uncompared {
            let _ = writeln!(text, "not compared: {}", clean_line(what));
        }
        text.push_str(&answer.summary());
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
        for frames in host.frames(false) {
            let _ = writeln!(text, "perhaps {}", words(frames.change));
            between_ports(text, &host.name, frames);
        }
        for what in host.uncompared() {
            let _ = writeln!(text, "not compared on {name}: {}", clean_line(what));
        }
    }

    fn json(&self, answer: &Answer) -> Value {
        let hosts = answer.hosts.as_slice();
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
            .chain(hosts.iter().flat_map(|host| {
                host.frames(true).map(|frames| {
                    json!({
                        "change": name(frames.change),
                        "words": words(frames.change),
                        "widens": frames.change.widens(),
                        "statements": [],
                        "points": [{
                            "host": host.name,
                            "hook": BRIDGE,
                            "regions": [],
                            "more": false,
                            "example": frames.words(),
                            "was": [],
                            "now": [],
                        }],
                    })
                })
            }))
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
            unclear.extend(host.frames(false).map(|frames| {
                json!({
                    "host": host.name,
                    "hook": BRIDGE,
                    "change": name(frames.change),
                    "widens": frames.change.widens(),
                    "regions": [],
                    "more": false,
                    "example": frames.words(),
                    "depends_on": frames.because.as_slice(),
                })
            }));
            unclear.extend(host.uncompared().map(|w| json!({ "host": host.name, "uncompared": w })));
        }
        let presence = hosts.iter().filter_map(|h| Some(json!({ "host": h.name, "note": h.presence? })));
        let mut document = json!({
            "old": self.old.name,
            "new": self.new.name,
            "machines": presence.collect::<Vec<_>>(),
            "widens": answer.widens(),
            "decided": answer.is_decided(),
            "differences": told,
            "unclear": unclear,
        });
        // Listings have neither.
        if let (false, Some(fields)) = (self.old.listing && self.new.listing, document.as_object_mut()) {
            let people = hosts.iter().flat_map(|host| {
                host.logins.changes.iter().map(|change| people::json(&host.name, change, self.site))
            });
            fields.insert("people".to_owned(), people.collect());
            fields.insert("groups".to_owned(), answer.groups.json());
        }
        document
    }
}

/// Where frames pass that are no packets.
const BRIDGE: &str = "bridge";

fn between_ports(text: &mut String, host: &str, frames: &FrameDiff) {
    let _ = writeln!(text, "  at {} {BRIDGE}", clean_line(host));
    let _ = writeln!(text, "    {}", frames.words());
    if let Some(because) = &frames.because {
        let _ = writeln!(text, "    depends on {}", clean_line(because));
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
        let _ = writeln!(text, "    packets … and more: `fwc diff --regions N` shows N of them");
    }
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
        Change::Translated { was: None, now: None } => "translated otherwise".to_owned(),
        Change::Translated { was, now } => {
            format!("newly {}, before {}", translation(now), translation(was))
        }
        Change::Untracked => "newly taken out of connection tracking".to_owned(),
        Change::Tracked => "no longer taken out of connection tracking".to_owned(),
        Change::Marked { was: None, now: None } => "marked otherwise".to_owned(),
        Change::Altered => "altered otherwise".to_owned(),
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
        Change::Altered => "altered",
    }
}
