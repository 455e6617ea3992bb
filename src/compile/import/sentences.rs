//! Groups, lists and rules as statements of a policy, one a line, each with the rules that it is of.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{Obstacle, rule_words};
use crate::model::{amazons, nobodys};
use crate::net::addr::addr;
use crate::net::{AddrRange, AddrSet, Family};
use crate::syntax::is_reserved;
use crate::target::aws::artifact::{
    Direction, Estate, Group, GroupRef, Icmp, Peer, Ports, PrefixList, Rule, Traffic,
};

/// Why a half of a flow stands alone, as the sentence says it.
const WAIVED: &str = "imported";
/// The longest name that is made: EC2 takes 255 letters with what fwc sets before it.
const LONGEST: usize = 200;
/// The longest comment.
const LONGEST_SAID: usize = 160;

/// Statements, one a line.
#[derive(Default)]
pub(super) struct Sentences {
    lines: Vec<(String, String)>,
}

/// What the first line of the policy says of it.
pub(super) const SAME: &str =
    "# Imported from what EC2 described: compiled, this gives the same security groups again.";

/// The same where groups came back otherwise: `idle` for addresses that nobody has, `left` without rules of empty lists.
pub(super) fn otherwise((idle, left): (bool, bool)) -> &'static str {
    match (idle, left) {
        (false, false) => SAME,
        (true, false) => {
            "# Imported from what EC2 described: compiled, this gives security groups that differ in addresses that nobody has."
        }
        (false, true) => {
            "# Imported from what EC2 described: compiled, this gives security groups that lack the rules of prefix lists without networks."
        }
        (true, true) => {
            "# Imported from what EC2 described: compiled, this gives security groups that differ in addresses that nobody has, and\n\
             # lack the rules of prefix lists without networks."
        }
    }
}

/// IPv4 networks of 256 addresses in 198.18.0.0/15.
const STAND_INS: u16 = 512;

impl Sentences {
    fn push(&mut self, line: impl Into<String>, of: impl Into<String>) {
        self.lines.push((line.into(), of.into()));
    }

    /// The policy.
    pub(super) fn text(&self) -> String {
        self.lines.iter().map(|(line, _)| format!("{line}\n")).collect()
    }

    /// What a line, counted from 1, is of.
    pub(super) fn of(&self, line: usize) -> String {
        let found = line.checked_sub(1).and_then(|at| self.lines.get(at));
        found.map_or_else(|| "the policy".to_owned(), |(_, of)| of.clone())
    }
}

/// What a statement is made of: who at each end, and of which end it speaks alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Ends {
    from: End,
    to: End,
    /// The direction in which a rule was described; none where both halves were.
    alone: Option<Direction>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Group(String),
    List(String),
    Nets(Family, Vec<IpNet>),
}

/// What there is to say, each thing with its name.
pub(super) struct Draft<'e> {
    estate: &'e Estate,
    /// By id.
    names: BTreeMap<String, String>,
    vpcs: Vec<Vpc>,
    notes: Vec<String>,
    rules: BTreeMap<Ends, BTreeMap<Traffic, BTreeSet<String>>>,
}

struct Vpc {
    id: Option<String>,
    name: String,
    blocks: Vec<IpNet>,
    /// The addresses of its router (S50).
    router: AddrSet,
    told: bool,
}

impl<'e> Draft<'e> {
    /// Names everything, and reads every rule.
    pub(super) fn new(
        estate: &'e Estate,
        blocks: &BTreeMap<String, Vec<IpNet>>,
    ) -> Result<Self, Vec<Obstacle>> {
        if estate.groups.is_empty() {
            return Err(vec![Obstacle::Nothing]);
        }
        let mut draft = Self {
            estate,
            names: BTreeMap::new(),
            vpcs: Vec::new(),
            notes: Vec::new(),
            rules: BTreeMap::new(),
        };
        let mut used: BTreeSet<String> = ["internet".to_owned()].into();
        draft.place(blocks, &mut used);
        for group in &estate.groups {
            let known = group.name.as_deref().unwrap_or(&group.id);
            let ours = group.tags.iter().any(|tag| tag.key == "managed-by" && tag.value == "fwc");
            // What fwc emitted is called so again.
            let known = known.strip_prefix("fwc-").filter(|_| ours).unwrap_or(known);
            let name = name(known, &group.id, &mut used);
            draft.names.insert(group.id.clone(), name);
        }
        let mut obstacles = Vec::new();
        for group in &estate.groups {
            draft.group(group, &mut used, &mut obstacles);
        }
        if obstacles.is_empty() { Ok(draft) } else { Err(obstacles) }
    }

    /// The groups that were compiled for one that was described, as that one: its parts together, references by ids.
    pub(super) fn live(&self, made: &Estate, group: &Group) -> Group {
        let mut whole = Group::closed(&group.id);
        for part in self.parts(made, group) {
            for direction in Direction::BOTH {
                let rules = part.rules(direction).unwrap_or_default().iter().cloned().map(|mut rule| {
                    if let Peer::Group(of) = &mut rule.peer
                        && let Some(id) = self.id_of(named(&of.id).unwrap_or_default())
                    {
                        id.clone_into(&mut of.id);
                    }
                    rule
                });
                whole.rules_mut(direction).get_or_insert_default().extend(rules);
            }
        }
        whole
    }

    /// What was compiled of a group: several where one does not hold its rules.
    pub(super) fn parts<'g>(
        &self,
        made: &'g Estate,
        group: &Group,
    ) -> impl Iterator<Item = &'g Group> + use<'g> {
        let own = self.names.get(&group.id).cloned().unwrap_or_default();
        made.groups.iter().filter(move |part| named(&part.id) == Some(own.as_str()))
    }

    fn id_of(&self, name: &str) -> Option<&str> {
        self.names.iter().find(|(_, known)| known.as_str() == name).map(|(id, _)| id.as_str())
    }

    /// The VPCs, each with a block: what was told, and otherwise addresses that nobody has.
    fn place(&mut self, blocks: &BTreeMap<String, Vec<IpNet>>, used: &mut BTreeSet<String>) {
        let ids: BTreeSet<Option<String>> =
            self.estate.groups.iter().map(|group| group.vpc.clone()).collect();
        let alone = ids.len() == 1;
        for (at, id) in (0u16..=u16::MAX).zip(ids) {
            let told = id.as_ref().and_then(|id| blocks.get(id)).filter(|nets| !nets.is_empty());
            let mut nets = told.cloned().unwrap_or_default();
            // RFC 2544 and RFC 3849 keep these for benchmarks and for documents.
            let [high, low] = at.to_be_bytes();
            let stand_in = (
                Ipv4Net::new([198, 18 | (high & 1), low, 0].into(), 24).map(IpNet::V4),
                Ipv6Net::new(
                    [0x2001, 0xdb8, 0xff00 | u16::from(low), u16::from(high) << 8, 0, 0, 0, 0].into(),
                    56,
                )
                .map(IpNet::V6),
            );
            if let (true, Ok(v4)) = (nets.is_empty() && at < STAND_INS, stand_in.0) {
                nets.push(v4);
            }
            let lacks = |nets: &[IpNet]| !nets.iter().any(|net| matches!(net, IpNet::V6(_)));
            if let (true, Ok(v6)) = (lacks(&nets), stand_in.1) {
                nets.push(v6);
            }
            let known = id.as_deref().unwrap_or("vpc-unknown");
            match (told, &id) {
                (None, Some(id)) => self.notes.push(format!(
                    "no answer tells the block of `{id}` (describe-vpcs): the policy has a stand-in of addresses nobody has"
                )),
                (None, None) => self.notes.push("groups without `VpcId` are taken as of one vpc".to_owned()),
                (Some(told), _) if lacks(told) => self.notes.push(format!(
                    "`{known}` has no block of IPv6, and its rules may speak of it: the policy has a stand-in"
                )),
                (Some(_), _) => {}
            }
            let name = name(if alone { "main" } else { known }, known, used);
            used.insert(format!("{name}-net"));
            // The first address after that of each network with more than two addresses.
            let ranges = nets.iter().map(|net| AddrRange::net(*net));
            let routed = ranges.filter(|range| range.last.saturating_sub(range.first) > 2);
            let router = routed.fold(AddrSet::default(), |all, range| {
                all.union(&AddrSet::one(addr(range.family, range.first.saturating_add(1))))
            });
            self.vpcs.push(Vpc { id, name, blocks: nets, router, told: told.is_some() });
        }
    }

    fn group(&mut self, group: &Group, used: &mut BTreeSet<String>, obstacles: &mut Vec<Obstacle>) {
        for direction in Direction::BOTH {
            let Some(rules) = group.rules(direction) else {
                obstacles.push(Obstacle::Untold { group: group.id.clone(), direction });
                continue;
            };
            for rule in rules {
                if let Err(why) = self.rule(group, direction, rule, used) {
                    let rule = rule_words(rule);
                    obstacles.push(Obstacle::Rule { group: group.id.clone(), direction, rule, why });
                }
            }
        }
    }

    fn rule(
        &mut self,
        group: &Group,
        direction: Direction,
        rule: &Rule,
        used: &mut BTreeSet<String>,
    ) -> Result<(), String> {
        if let Some(fault) = rule.family_fault() {
            return Err(fault.to_string());
        }
        let far = match &rule.peer {
            Peer::V4(net) => End::Nets(Family::V4, vec![IpNet::V4(*net)]),
            Peer::V6(net) => End::Nets(Family::V6, vec![IpNet::V6(*net)]),
            Peer::Group(of) => End::Group(self.referenced(group, of)?),
            Peer::List(of) => match self.list(&of.id, used)? {
                Some(name) => End::List(name),
                None => return Ok(()),
            },
        };
        let idle = nobody(rule.traffic, &far).or_else(|| self.router_alone(group, &far));
        if let Some(why) = idle {
            let at = format!("`{}` {}, {}", group.id, direction.word(), rule_words(rule));
            self.notes.push(format!("{at}: {why}, so it is left out"));
            return Ok(());
        }
        let near = End::Group(self.names.get(&group.id).cloned().unwrap_or_default());
        let said = rule.description.clone().unwrap_or_default();
        self.half(direction, (near, far), rule.traffic, said);
        Ok(())
    }

    /// Why a rule admits nobody, where its far end is the router of another vpc: nothing goes to or from it (S58), and no
    /// way leads from it.
    fn router_alone(&self, group: &Group, far: &End) -> Option<&'static str> {
        let End::Nets(_, nets) = far else { return None };
        let others = self.vpcs.iter().filter(|vpc| vpc.id != group.vpc);
        let routers = others.fold(AddrSet::default(), |all, vpc| all.union(&vpc.router));
        let all = nets.iter().all(|net| AddrSet::net(*net).is_subset(&routers));
        all.then_some("it is the address of a vpc's router, which is nobody's far end")
    }

    /// Keeps half a flow; with the other half, if that is there already, it is a whole one.
    fn half(&mut self, direction: Direction, (near, far): (End, End), traffic: Traffic, said: String) {
        let ends = |alone| match direction {
            Direction::Ingress => Ends { from: far.clone(), to: near.clone(), alone },
            Direction::Egress => Ends { from: near.clone(), to: far.clone(), alone },
        };
        let opposite = match direction {
            Direction::Ingress => Direction::Egress,
            Direction::Egress => Direction::Ingress,
        };
        let mut words: BTreeSet<String> = [said].into();
        let other = ends(Some(opposite));
        let met = self.rules.get_mut(&other).and_then(|of| of.remove(&traffic));
        let whole = self.rules.get(&ends(None)).is_some_and(|of| of.contains_key(&traffic));
        let alone = if met.is_some() || whole { None } else { Some(direction) };
        words.extend(met.unwrap_or_default());
        self.rules.entry(ends(alone)).or_default().entry(traffic).or_default().extend(words);
    }

    fn referenced(&self, group: &Group, of: &GroupRef) -> Result<String, String> {
        if of.is_stale() {
            return Err("the reference is stale: the peering it goes over is not active".to_owned());
        }
        if of.peering.is_some() {
            return Err("a group behind a peering has no name in a policy".to_owned());
        }
        let Some(named) = self.estate.group(&of.id) else {
            return Err(format!("no answer describes the group `{}`", of.id));
        };
        if named.vpc != group.vpc {
            return Err(format!("`{}` is of another vpc, whose groups have no name here", of.id));
        }
        Ok(self.names.get(&of.id).cloned().unwrap_or_default())
    }

    /// The name of a prefix list, which needs its networks; none where it has none.
    fn list(&mut self, id: &str, used: &mut BTreeSet<String>) -> Result<Option<String>, String> {
        let known = self.estate.list(id);
        let Some(entries) = known.and_then(|list| list.entries.as_ref()) else {
            return Err(format!("the networks of `{id}` were not told (get-managed-prefix-list-entries)"));
        };
        if entries.is_empty() {
            self.notes.push(format!(
                "`{id}` has no networks, and no policy names such a list: the rules that do are left out. They admit nobody until \
                 it has some; as long as they are there `verify --aws-live` refutes them, and `plan` takes them away"
            ));
            return Ok(None);
        }
        if !self.names.contains_key(id) {
            let told = known.and_then(|list| list.name.as_deref()).unwrap_or(id);
            self.names.insert(id.to_owned(), name(told, id, used));
        }
        Ok(self.names.get(id).cloned())
    }

    /// The statements.
    pub(super) fn sentences(&self) -> (Sentences, Vec<String>) {
        let mut out = Sentences::default();
        let groups = match self.estate.groups.len() {
            1 => "1 group".to_owned(),
            groups => format!("{groups} groups"),
        };
        out.push(SAME, "the policy");
        out.push(
            format!("# {groups}. A rule is half a flow: `waive aws egress` and `ingress` say that the other"),
            "",
        );
        out.push("# half was not described. Merge what is meant as a flow, name who is meant, and add expectations.", "");
        out.push("", "");
        for vpc in &self.vpcs {
            self.vpc(vpc, &mut out);
        }
        out.push("zone internet { rest }", "the policy");
        out.push("", "");
        for (id, name) in &self.names {
            if let Some(list) = self.estate.list(id) {
                out.push(list_line(list, name), format!("the prefix list `{id}`"));
            }
        }
        let mut used: BTreeSet<String> =
            self.names.values().cloned().chain(["internet".to_owned()]).collect();
        used.extend(self.vpcs.iter().flat_map(|vpc| [vpc.name.clone(), net_of(vpc)]));
        for group in &self.estate.groups {
            let Some(of) = self.names.get(&group.id) else { continue };
            let Some(vpc) = self.vpcs.iter().find(|vpc| vpc.id == group.vpc) else { continue };
            let member = name(&format!("{of}-member"), of, &mut used);
            let at = format!("the group `{}`", group.id);
            let told =
                group.name.as_deref().filter(|told| told != of).map(|told| format!("  # {}", said(told)));
            out.push(format!("host {member} = dynamic in {}", net_of(vpc)), at.clone());
            let id = if is_id(&group.id, "sg-") { format!(" id \"{}\"", group.id) } else { String::new() };
            out.push(format!("security-group {of} = {member}{id}{}", told.unwrap_or_default()), at);
        }
        out.push("", "");
        self.accesses(&mut out);
        (out, self.notes.clone())
    }

    fn vpc(&self, vpc: &Vpc, out: &mut Sentences) {
        let nets: Vec<String> = vpc.blocks.iter().map(ToString::to_string).collect();
        let nets = nets.join(", ");
        let at = format!("the vpc `{}`", vpc.name);
        if !vpc.told {
            out.push(
                "# No answer told this block: a stand-in of addresses nobody has. Write the real one.",
                "",
            );
        }
        let id = vpc.id.as_ref().filter(|id| is_id(id, "vpc-"));
        let id = id.map(|id| format!("; id \"{id}\"")).unwrap_or_default();
        out.push(
            format!(
                "vpc {} {{ {nets}{id}; gateway internet; waive aws icmp-errors \"{WAIVED}\" }}",
                vpc.name
            ),
            at.clone(),
        );
        out.push(format!("zone {} {{ {nets} }} in {}", net_of(vpc), vpc.name), at);
    }

    fn accesses(&self, out: &mut Sentences) {
        // Peers of one group with the same traffic and the same words are one sentence.
        type Whose = (End, Option<Direction>, Option<Family>, bool, BTreeMap<Traffic, BTreeSet<String>>);
        let mut together: BTreeMap<Whose, Vec<Ends>> = BTreeMap::new();
        for (ends, what) in self.rules.iter().filter(|(_, what)| !what.is_empty()) {
            let inwards = ends.alone != Some(Direction::Egress);
            let (near, far) = if inwards { (&ends.to, &ends.from) } else { (&ends.from, &ends.to) };
            let family = if let End::Nets(family, _) = far { Some(*family) } else { None };
            let list = matches!(far, End::List(_));
            together
                .entry((near.clone(), ends.alone, family, list, what.clone()))
                .or_default()
                .push(ends.clone());
        }
        let mut near_before = None;
        for ((near, alone, ..), all) in together {
            if near_before.as_ref().is_some_and(|before| *before != near) {
                out.push("", "");
            }
            near_before = Some(near.clone());
            let Some(what) = all.first().and_then(|ends| self.rules.get(ends)) else { continue };
            let inwards = alone != Some(Direction::Egress);
            let far: Vec<String> = all.iter().map(|e| place(if inwards { &e.from } else { &e.to })).collect();
            let (near, far) = (place(&near), far.join(", "));
            let (from, to) = if inwards { (far, near) } else { (near, far) };
            let services: Vec<String> = what.keys().map(|traffic| service(*traffic)).collect();
            let waive = match alone {
                None => String::new(),
                Some(Direction::Ingress) => format!(" {{ waive aws egress \"{WAIVED}\" }}"),
                Some(Direction::Egress) => format!(" {{ waive aws ingress \"{WAIVED}\" }}"),
            };
            let texts: BTreeSet<&str> = what.values().flatten().map(String::as_str).collect();
            let texts: Vec<&str> = texts.into_iter().filter(|text| !text.is_empty()).collect();
            if !texts.is_empty() {
                out.push(format!("# {}", said(&texts.join("; "))), "");
            }
            let sentence = format!("allow {} from {from} to {to}", services.join(", "));
            out.push(format!("{sentence}{waive}"), format!("`{sentence}`"));
        }
    }
}

/// The name in a symbolic id: `${sg:web}`, and of a part `${sg:web.2}`.
fn named(id: &str) -> Option<&str> {
    let inner = id.strip_prefix("${sg:")?.strip_suffix('}')?;
    Some(inner.split_once('.').map_or(inner, |(name, _)| name))
}

fn net_of(vpc: &Vpc) -> String {
    format!("{}-net", vpc.name)
}

fn list_line(list: &PrefixList, name: &str) -> String {
    let nets: Vec<String> = list.entries.iter().flatten().map(|entry| entry.cidr.to_string()).collect();
    format!("list {name} = {} prefix-list \"{}\"", nets.join(", "), list.id)
}

/// Why a rule admits nobody, where that is so (S58).
fn nobody(traffic: Traffic, far: &End) -> Option<&'static str> {
    if matches!(traffic, Traffic::Icmp(Icmp::NoType(_)) | Traffic::Icmpv6(Icmp::NoType(_))) {
        return Some("a code of no type matches nothing");
    }
    let End::Nets(_, nets) = far else { return None };
    let idle = nobodys().union(&amazons());
    let all = nets.iter().all(|net| AddrSet::net(*net).is_subset(&idle));
    all.then_some("nobody is at the other end, or no group filters who is")
}

fn place(end: &End) -> String {
    match end {
        End::Group(name) | End::List(name) => name.clone(),
        End::Nets(_, nets) => nets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}

fn service(traffic: Traffic) -> String {
    let ports = |word: &str, ports: Ports| match (ports.first(), ports.last()) {
        _ if ports == Ports::ALL => word.to_owned(),
        (first, last) if first == last => format!("{word} {first}"),
        (first, last) => format!("{word} {first}-{last}"),
    };
    let message = |word: &str, of: Icmp| match of {
        Icmp::All | Icmp::NoType(_) => word.to_owned(),
        Icmp::Type(kind) => format!("{word} type {kind}"),
        Icmp::Code(kind, code) => format!("{word} type {kind} code {code}"),
    };
    match traffic {
        Traffic::All => "any".to_owned(),
        Traffic::Tcp(of) => ports("tcp", of),
        Traffic::Udp(of) => ports("udp", of),
        Traffic::Icmp(of) => message("icmp", of),
        Traffic::Icmpv6(of) => message("icmpv6", of),
        Traffic::Other(proto) => format!("proto {}", proto.0),
    }
}

/// A name of the language for a name of AWS, one that nothing else has.
fn name(told: &str, id: &str, used: &mut BTreeSet<String>) -> String {
    let letter = |c: char| match c.to_ascii_lowercase() {
        c @ ('a'..='z' | '0'..='9' | '_' | '-') => c,
        _ => '-',
    };
    let clean = |text: &str| -> String {
        let text: String = text.chars().map(letter).take(LONGEST).collect();
        text.trim_matches('-').to_owned()
    };
    let mut base = clean(told);
    if base.is_empty() {
        base = clean(id);
    }
    if !base.starts_with(|c: char| c.is_ascii_lowercase() || c == '_') || is_reserved(&base) {
        base = format!("g-{base}");
    }
    let mut name = base.clone();
    let mut number = 2usize;
    // Beside a vpc stands its net, beside a group its member.
    while !used.insert(name.clone()) {
        name = format!("{base}-{number}");
        number = number.saturating_add(1);
    }
    name
}

/// Whether the language takes it for an id of AWS.
fn is_id(id: &str, prefix: &str) -> bool {
    let digits = id.strip_prefix(prefix).unwrap_or("");
    matches!(digits.len(), 8 | 17) && digits.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'))
}

/// A text of AWS within a comment: one line, nothing that a terminal would act on.
fn said(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '_' }).collect();
    text.chars().take(LONGEST_SAID).collect::<String>().trim().to_owned()
}
