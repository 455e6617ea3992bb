//! `fwc verify --aws-live`: what EC2 described, against the security groups of the policy.
//!
//! Three things are compared, and any of them that is not told is said and never taken for equal: each group by its rules, for any
//! members; each described interface by what passes there now; and who wears what, for every machine whose address the
//! policy knows. Which part of a group holds a rule is nobody's wish: they are worn together.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use serde_json::{Value, json};

use crate::compile::Compiled;
use crate::model::{HostId, LegId};
use crate::net::{AddrSet, Packet, Space};
use crate::target::aws::artifact::{Direction, Estate, Group, Interface};
use crate::target::aws::drift::{Drift, differs, drift};
use crate::target::aws::plan::{Ids, Parts, Terms};
use crate::target::aws::sim::Unknown;
use crate::verify::nobody;

use super::super::clean::clean_line;
use super::super::options::Format;
use super::super::render::{self, number};
use super::super::{Console, Exit, Failure, report};
use super::beside::{Beside, Member, beside};
use super::bound::{bound, limits};
use super::{named, packet_words, witness_words};

/// The answer for programs (`docs/json.md`).
pub(in crate::cli) const FORMAT: &str = "fwc.verify.aws/1";

/// Compares, and prints the answer.
pub(in crate::cli) fn tell(
    compiled: &Compiled,
    live: &Estate,
    format: Format,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    if compiled.site.security_groups.is_empty() {
        return Err(Failure::new("the policy has no security group to compare with"));
    }
    let proved = report::exit(&compiled.report);
    if proved != Exit::Fine {
        console.talk("the policy's own groups are not proved; they are compared all the same\n");
    }
    let answer = Answer::new(compiled, live)?;
    match format {
        Format::Text => console.data(&answer.text()),
        Format::Json => console.data(&render::document(FORMAT, answer.json())),
    }
    Ok(match (answer.exit(), proved) {
        (Exit::Fine, proved) => proved,
        (exit, _) => exit,
    })
}

struct Answer<'l> {
    live: &'l Estate,
    groups: usize,
    drift: Drift,
    worn: Vec<Worn>,
    /// What of the interfaces no proof is about, and an auditor has to know.
    beside: Vec<Beside>,
    /// Machines of which no description of interfaces was there to ask.
    unasked: usize,
}

/// A machine that wears other groups than the policy says, or is not there.
struct Worn {
    machine: String,
    place: Place,
    wears: Vec<String>,
    meant: Vec<String>,
    /// What passes for it that should not, and what should and does not.
    more: Option<(Direction, Packet)>,
    less: Option<(Direction, Packet)>,
    unknown: Option<String>,
}

/// Where a machine was looked for.
enum Place {
    /// At this interface.
    Interface(String),
    /// At one that has this address: there is none.
    Nowhere(IpAddr),
}

impl<'l> Answer<'l> {
    fn new(compiled: &Compiled, live: &'l Estate) -> Result<Self, Failure> {
        let wanted = bound(compiled, live);
        let vpcs = wanted.groups.iter().filter_map(|group| Some((group.vpc.clone()?, false)));
        let terms = Terms {
            vpcs: vpcs.collect(),
            ids: Ids::Said,
            parts: Parts::Together,
            limits: limits(&wanted, live),
            nobody: nobody(&compiled.site),
            ..Terms::default()
        };
        let drift = drift(live, &wanted, &terms).map_err(|obstacles| {
            let all: Vec<String> = obstacles.iter().map(ToString::to_string).collect();
            Failure::new(format!("the groups cannot be told apart: {}", all.join("; ")))
                .help("say which is meant: `security-group NAME = … id \"sg-…\"`")
        })?;
        let mut answer = Self::of(live, &wanted, drift);
        answer.wearers(compiled, &wanted);
        Ok(answer)
    }

    fn of(live: &'l Estate, wanted: &Estate, drift: Drift) -> Self {
        let groups = wanted.groups.len();
        Self { live, groups, drift, worn: Vec::new(), beside: Vec::new(), unasked: 0 }
    }

    /// Every machine of a known address wears just its groups, at each interface that has one of its addresses.
    fn wearers(&mut self, compiled: &Compiled, wanted: &Estate) {
        let (ids, nobody) = (live_ids(wanted, self.live), nobody(&compiled.site));
        let mut members = BTreeMap::new();
        // A group that somebody of unknown address wears is anybody's.
        let mut closed: BTreeSet<String> = ids.values().cloned().collect();
        for (host, leg) in compiled.site.interfaces() {
            let Some(of) = compiled.site.leg(host, leg).filter(|of| !of.addresses.is_empty()) else {
                for group in worn(compiled, wanted, (host, leg)) {
                    closed.remove(ids.get(&group.id).unwrap_or(&group.id));
                }
                continue;
            };
            if self.live.interfaces.is_empty() {
                self.unasked = self.unasked.saturating_add(1);
                continue;
            }
            let machine = compiled.site.host(host).map_or("", |host| host.name.as_str());
            let groups = worn(compiled, wanted, (host, leg));
            // An address says which machine it is within its vpc alone.
            let vpcs: BTreeSet<&String> = groups.iter().filter_map(|group| group.vpc.as_ref()).collect();
            let near =
                |i: &&Interface| vpcs.is_empty() || i.vpc.as_ref().is_none_or(|vpc| vpcs.contains(vpc));
            let meant: BTreeSet<String> =
                groups.iter().map(|group| ids.get(&group.id).unwrap_or(&group.id).clone()).collect();
            let all: Vec<&Interface> = self.live.interfaces.iter().filter(near).collect();
            for address in of.addresses.iter().filter(|address| !all.iter().any(|i| has(i, **address))) {
                self.worn.push(Worn::nowhere(machine, *address, &meant));
            }
            for at in all.into_iter().filter(|i| of.addresses.iter().any(|address| has(i, *address))) {
                self.worn.extend(Worn::otherwise(machine, (self.live, at), &meant, &nobody));
                let known = members.entry(at.id.as_str()).or_insert_with(Member::default);
                known.machine = machine;
                known.addresses.extend(&of.addresses);
                known.public.extend(of.public.iter().map(|public| public.address));
            }
        }
        self.beside = beside(self.live, &members, &closed);
    }

    fn exit(&self) -> Exit {
        let differs = !self.drift.groups.is_empty()
            || !self.drift.lists.is_empty()
            || !self.drift.interfaces.is_empty()
            || !self.drift.missing.is_empty()
            || !self.drift.elsewhere.is_empty()
            || !self.drift.left_over.is_empty()
            || !self.worn.is_empty();
        match (differs, self.drift.unknown.is_empty()) {
            (true, _) => Exit::AtFault,
            (false, false) => Exit::Failed,
            (false, true) => Exit::Fine,
        }
    }

    fn text(&self) -> String {
        let mut out = String::new();
        let mut say = |line: String| {
            let _ = writeln!(out, "{}", clean_line(&line));
        };
        for id in &self.drift.missing {
            say(format!("refuted  `{id}` of the policy is not there"));
        }
        for of in &self.drift.elsewhere {
            say(format!("refuted  {of}"));
        }
        for id in &self.drift.left_over {
            say(format!(
                "refuted  {} carries our mark, and the policy has no such group",
                named(self.live, id)
            ));
        }
        for of in &self.drift.groups {
            say(format!("refuted  {} {}", named(self.live, &of.group), of.direction.word()));
            for (witness, what) in
                [(&of.more, "passes and should not"), (&of.less, "should pass and does not")]
            {
                if let Some(witness) = witness {
                    say(format!("    {what}: {}", witness_words(witness, of.direction)));
                }
            }
        }
        for of in &self.drift.lists {
            say(format!("refuted  prefix list {}", of.list));
            for (nets, sign) in [(&of.more, '+'), (&of.less, '-')] {
                for net in nets {
                    say(format!("    {sign} {net}"));
                }
            }
        }
        for of in &self.drift.interfaces {
            say(format!("refuted  interface {} {}", of.interface, of.direction.word()));
            for (packet, what) in
                [(&of.more, "passes and should not"), (&of.less, "should pass and does not")]
            {
                if let Some(packet) = packet {
                    say(format!("    {what}: {}", packet_words(packet, of.direction)));
                }
            }
        }
        for of in &self.worn {
            of.text(&mut say);
        }
        for (of, why) in &self.drift.unknown {
            say(format!("undecided  {of}: {why}"));
        }
        for (group, direction) in &self.drift.wording {
            let group = named(self.live, group);
            say(format!("note: {group} {}: other rules or texts, the same packets", direction.word()));
        }
        for of in &self.beside {
            say(format!("note: {of}"));
        }
        if self.unasked > 0 {
            say(format!(
                "note: no interface is described: who wears what was not compared, of {}",
                number(self.unasked, "machine")
            ));
        }
        if self.exit() == Exit::Fine {
            let interfaces = self.live.interfaces.len();
            say(format!(
                "proved: {} as described, for any members; {} as described",
                number(self.groups, "group"),
                number(interfaces, "interface")
            ));
        }
        out
    }

    fn json(&self) -> Value {
        let packet = |of: &Option<Packet>, way| of.as_ref().map(|of| packet_words(of, way));
        json!({
            "equal": self.exit() == Exit::Fine,
            "missing": self.drift.missing,
            "elsewhere": self.drift.elsewhere.iter().map(|of| json!({
                "group": of.group, "vpc": of.vpc, "meant": of.meant,
            })).collect::<Vec<_>>(),
            "left_over": self.drift.left_over,
            "groups": self.drift.groups.iter().map(|of| json!({
                "group": of.group, "direction": of.direction.word(),
                "more": of.more.as_ref().map(|w| witness_words(w, of.direction)),
                "less": of.less.as_ref().map(|w| witness_words(w, of.direction)),
            })).collect::<Vec<_>>(),
            "lists": self.drift.lists.iter().map(|of| json!({
                "list": of.list,
                "more": of.more.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "less": of.less.iter().map(ToString::to_string).collect::<Vec<_>>(),
            })).collect::<Vec<_>>(),
            "interfaces": self.drift.interfaces.iter().map(|of| json!({
                "interface": of.interface, "direction": of.direction.word(),
                "more": packet(&of.more, of.direction), "less": packet(&of.less, of.direction),
            })).collect::<Vec<_>>(),
            "worn": self.worn.iter().map(Worn::json).collect::<Vec<_>>(),
            "unknown": self.drift.unknown.iter().map(|(of, why)| json!({
                "of": of, "why": why.to_string(),
            })).collect::<Vec<_>>(),
            "beside": self.beside.iter().map(Beside::json).collect::<Vec<_>>(),
            "not_asked": self.unasked,
        })
    }
}

impl Worn {
    /// No described interface has this address of a machine.
    fn nowhere(machine: &str, address: IpAddr, meant: &BTreeSet<String>) -> Self {
        Self {
            machine: machine.to_owned(),
            place: Place::Nowhere(address),
            wears: Vec::new(),
            meant: meant.iter().cloned().collect(),
            more: None,
            less: None,
            unknown: None,
        }
    }

    /// An interface of a machine that wears other groups than are meant; none where it wears those, or its groups were not
    /// told, which is said of the interface.
    fn otherwise(
        machine: &str,
        (live, at): (&Estate, &Interface),
        meant: &BTreeSet<String>,
        nobody: &AddrSet,
    ) -> Option<Self> {
        let wears = at.groups.clone()?;
        if wears.iter().cloned().collect::<BTreeSet<_>>() == *meant {
            return None;
        }
        let meant: Vec<String> = meant.iter().cloned().collect();
        let mut one = Self {
            machine: machine.to_owned(),
            place: Place::Interface(at.id.clone()),
            wears,
            meant: meant.clone(),
            more: None,
            less: None,
            unknown: None,
        };
        if let Err(why) = one.packets(live, at, meant, nobody) {
            one.unknown = Some(why.to_string());
        }
        Some(one)
    }

    /// What follows of wearing other groups, packets first.
    fn packets(
        &mut self,
        live: &Estate,
        at: &Interface,
        meant: Vec<String>,
        nobody: &AddrSet,
    ) -> Result<(), Unknown> {
        let mut other = live.clone();
        for interface in other.interfaces.iter_mut().filter(|interface| interface.id == at.id) {
            interface.groups = Some(meant.clone());
        }
        let mut space = Space::default();
        for direction in Direction::BOTH {
            let (more, less) = differs((live, &other), (&at.id, direction), nobody, &mut space)?;
            self.more = self.more.take().or(more.map(|packet| (direction, packet)));
            self.less = self.less.take().or(less.map(|packet| (direction, packet)));
        }
        Ok(())
    }

    fn text(&self, say: &mut dyn FnMut(String)) {
        let interface = match &self.place {
            Place::Interface(id) => id,
            Place::Nowhere(address) => {
                say(format!("refuted  no described interface has {address}, of `{}`", self.machine));
                return;
            }
        };
        let wears = match self.wears.as_slice() {
            [] => "no group, which lets everything pass".to_owned(),
            some => some.join(", "),
        };
        let meant = self.meant.join(", ");
        say(format!("refuted  `{}` ({interface}) wears {wears}; meant: {meant}", self.machine));
        for (packet, what) in [(&self.more, "passes for it"), (&self.less, "does not pass for it")] {
            if let Some((direction, packet)) = packet {
                say(format!("    {what}: {} {}", direction.word(), packet_words(packet, *direction)));
            }
        }
        if let Some(why) = &self.unknown {
            say(format!("    what follows is not known: {why}"));
        }
    }

    fn json(&self) -> Value {
        let packet = |of: &Option<(Direction, Packet)>| of.as_ref().map(|(way, p)| packet_words(p, *way));
        let (interface, address) = match &self.place {
            Place::Interface(id) => (Some(id), None),
            Place::Nowhere(address) => (None, Some(address)),
        };
        json!({
            "machine": self.machine, "interface": interface, "address": address, "wears": self.wears, "meant": self.meant,
            "more": packet(&self.more), "less": packet(&self.less), "unknown": self.unknown,
        })
    }
}

/// How many machines of known addresses wear other groups than the policy says; none where no interface is described.
pub(super) fn differently_worn(compiled: &Compiled, live: &Estate) -> Option<usize> {
    if live.interfaces.is_empty() {
        return None;
    }
    let wanted = bound(compiled, live);
    let mut answer = Answer::of(live, &wanted, Drift::default());
    answer.wearers(compiled, &wanted);
    Some(answer.worn.iter().map(|of| &of.machine).collect::<BTreeSet<_>>().len())
}

/// The live id of each wanted group that is there: by its own id, or its name in its vpc, as `drift` has it.
fn live_ids(wanted: &Estate, live: &Estate) -> BTreeMap<String, String> {
    let folded = |name: &Option<String>| name.as_ref().map(|name| name.to_lowercase());
    let found = |group: &Group| {
        let by_id = live.group(&group.id);
        let same = |other: &&Group| other.vpc == group.vpc && folded(&other.name) == folded(&group.name);
        by_id.or_else(|| live.groups.iter().find(same)).map(|other| other.id.clone())
    };
    wanted.groups.iter().filter_map(|group| Some((group.id.clone(), found(group)?))).collect()
}

/// Whether an interface has an address: its own, of a prefix that is delegated to it, or one that is translated to its own.
fn has(interface: &Interface, address: IpAddr) -> bool {
    let public = |(_, outer): &(IpAddr, Ipv4Addr)| IpAddr::V4(*outer) == address;
    interface.addresses.contains(&address)
        || interface.prefixes.iter().any(|prefix| prefix.contains(&address))
        || interface.public.iter().any(public)
}

/// The wanted groups that a machine wears, all parts of them.
fn worn<'w>(compiled: &Compiled, wanted: &'w Estate, (host, leg): (HostId, LegId)) -> Vec<&'w Group> {
    let names: Vec<String> = compiled
        .site
        .worn(host, leg)
        .filter_map(|id| compiled.site.security_group(id))
        .map(|group| group.name.clone())
        .collect();
    // A group keeps its name (`fwc-web`, `fwc-web.2`) whatever its id is.
    let of = |group: &&Group| {
        let label = group.name.as_deref().and_then(|name| name.strip_prefix("fwc-")).unwrap_or_default();
        names.iter().any(|name| label.split_once('.').map_or(label, |(name, _)| name) == name)
    };
    wanted.groups.iter().filter(of).collect()
}
