//! From what groups admit to rules of EC2: merged, cut into parts where there are too many, and held to the quotas (S59).
//!
//! *Input*: [`GroupRules`] and the names of the site. *Output*: an [`Estate`] with symbolic ids (`${sg:web}`), one interface for each leg that
//! wears groups. *Design decisions*: what EC2 would refuse is an error here, with the place of the group in the policy; a
//! description is the statement's own words.

mod acl;

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::artifact::Entry;
use super::artifact::{
    Direction, Estate, Group, Icmp, Interface, Peer, Ports, PrefixList, Rule, Strictness, Tag, Traffic,
};
use super::validate::quota::{self, Limits};
use super::{fit, validate};
use crate::diag::{Diagnostic, Findings, code};
use crate::ir::{Admit, Far, GroupRules};
use crate::model::{Access, AccessId, GroupId, HostId, LegId, PinnedList, SecurityGroup, Site, Vpc, Way};
use crate::net::{AddrSet, Family, Proto, RangeSet, Spoken};

pub use acl::{acl_id, acls};

/// The most messages of ICMP that a rule is spelled out for.
const MOST_MESSAGES: usize = 1024;
/// The most characters of a tag's value.
const LONGEST_TAG: usize = 256;

/// The groups of a site as EC2 would describe them; none after an error. What limits they are held to is `limits`.
///
/// `pinned`: whether lists without an id of AWS's become prefix lists of their own.
pub fn emit(
    rules: &[GroupRules],
    site: &Site,
    limits: &Limits,
    pinned: bool,
    findings: &mut Findings,
) -> Option<Estate> {
    let mut emitter = Emitter { site, limits, pinned, estate: Estate::default(), parts: BTreeMap::new() };
    emitter.lists();
    for rules in rules {
        emitter.group(rules, findings);
    }
    emitter.interfaces(findings);
    emitter.estate.groups.sort_by(|a, b| a.id.cmp(&b.id));
    if findings.has_errors() {
        return None;
    }
    emitter.validate(findings);
    (!findings.has_errors()).then_some(emitter.estate)
}

/// The symbolic id of a part of a group; the first is the group.
#[must_use]
pub fn id_of(group: &str, part: usize) -> String {
    match part {
        0 | 1 => format!("${{sg:{group}}}"),
        part => format!("${{sg:{group}.{part}}}"),
    }
}

/// The symbolic id of a list of one family that becomes a prefix list.
fn pinned_id(list: &str, family: Family) -> String {
    format!("${{pl:{list}_{}}}", suffix(family))
}

fn suffix(family: Family) -> &'static str {
    match family {
        Family::V4 => "v4",
        Family::V6 => "v6",
    }
}

/// That something cannot be written: where the first group or list is declared of whose symbolic id, or that of a part, the message
/// speaks.
#[must_use]
pub fn unprintable(site: &Site, message: String) -> Diagnostic {
    let ids = message.split("${").skip(1).filter_map(|rest| rest.split_once('}')).map(|(id, _)| id);
    let declared = |id: &str| match id.split_once(':')? {
        ("sg", name) => {
            let name = name.split_once('.').map_or(name, |(whole, _)| whole);
            site.security_groups.iter().find(|group| group.name == name).map(|group| group.span)
        }
        ("pl", name) => {
            let (name, _family) = name.rsplit_once('_')?;
            site.lists.iter().find(|list| list.name == name).map(|list| list.span)
        }
        _ => None,
    };
    let found = ids.filter_map(declared).next();
    match found {
        Some(span) => Diagnostic::error(code::UNPRINTABLE, span, message),
        None => Diagnostic::global(code::UNPRINTABLE, message),
    }
}

/// The symbolic id of an interface.
#[must_use]
pub fn interface_id(site: &Site, host: HostId, leg: LegId) -> String {
    let zone = site.leg(host, leg).and_then(|leg| site.zone(leg.zone));
    let name = site.host(host).map_or("", |host| host.name.as_str());
    format!("${{eni:{name}.{}}}", zone.map_or("", |zone| zone.name.as_str()))
}

/// The id of a vpc: its own, or a symbolic one.
#[must_use]
pub fn vpc_id(vpc: &Vpc) -> String {
    vpc.id.clone().unwrap_or_else(|| format!("${{vpc:{}}}", vpc.name))
}

struct Emitter<'s> {
    site: &'s Site,
    limits: &'s Limits,
    pinned: bool,
    estate: Estate,
    /// How many parts each group has.
    parts: BTreeMap<GroupId, usize>,
}

impl Emitter<'_> {
    /// The prefix lists that rules may name: those that AWS knows, and those that become its own.
    fn lists(&mut self) {
        for list in &self.site.lists {
            let id = list.prefix_list.clone().filter(|_| list.prefix_list.is_some());
            for family in Family::BOTH.into_iter().filter(|family| list.addrs.has(*family)) {
                let id = match (&id, self.pinned) {
                    (Some(id), _) => id.clone(),
                    (None, true) => pinned_id(&list.name, family),
                    (None, false) => continue,
                };
                let entries: Vec<Entry> = networks(&list.addrs.of(family), &AddrSet::empty())
                    .into_iter()
                    .map(|cidr| Entry { cidr, description: None })
                    .collect();
                self.estate.lists.push(PrefixList {
                    id,
                    name: Some(format!("fwc-{}-{}", list.name, suffix(family))),
                    family: Some(family),
                    max_entries: u32::try_from(entries.len()).ok(),
                    entries: Some(entries),
                    ..PrefixList::default()
                });
            }
        }
        self.estate.lists.sort_by(|a, b| a.id.cmp(&b.id));
        self.estate.lists.dedup_by(|a, b| a.id == b.id);
    }

    fn group(&mut self, of: &GroupRules, findings: &mut Findings) {
        let Some(group) = self.site.security_group(of.group) else { return };
        let mut cut: Vec<Vec<Vec<Rule>>> = Vec::new();
        for (way, admits) in [(Way::Ingress, &of.ingress), (Way::Egress, &of.egress)] {
            let mut rules = Vec::new();
            for admit in admits {
                self.rules(admit, of, &mut rules, findings);
            }
            if way == Way::Ingress && !of.without_icmp_errors {
                rules.extend(defaults(&of.families));
            }
            let merged = fit::merged(&unique(rules));
            match self.within(group, way, &merged, admits, findings) {
                Some(parts) => cut.push(parts),
                None => return,
            }
        }
        let [ingress, egress] = cut.as_slice() else { return };
        let count = ingress.len().max(egress.len()).max(1);
        self.parts.insert(of.group, count);
        for part in 1..=count {
            let rules = |parts: &[Vec<Rule>]| parts.get(part.saturating_sub(1)).cloned().unwrap_or_default();
            self.estate.groups.push(self.described(group, of, part, (rules(ingress), rules(egress))));
        }
    }

    fn described(
        &self,
        group: &SecurityGroup,
        of: &GroupRules,
        part: usize,
        (ingress, egress): (Vec<Rule>, Vec<Rule>),
    ) -> Group {
        let vpc = self.site.vpcs.get(group.vpc);
        let vpc = vpc.map(vpc_id);
        let label = if part > 1 { format!("{}.{part}", group.name) } else { group.name.clone() };
        let tag = |key: &str, value: String| Tag { key: key.to_owned(), value };
        let mut tags = vec![tag("Name", label.clone()), tag("managed-by", "fwc".to_owned())];
        let waived = self.waived(of);
        if !waived.is_empty() {
            tags.push(tag("fwc-waived", waived.chars().take(LONGEST_TAG).collect()));
        }
        tags.sort();
        Group {
            id: id_of(&group.name, part),
            name: Some(format!("fwc-{label}")),
            description: Some("managed by fwc".to_owned()),
            vpc,
            tags,
            ingress: Some(ingress),
            egress: Some(egress),
            ..Group::default()
        }
    }

    /// What the statements of a group do without there.
    fn waived(&self, of: &GroupRules) -> String {
        // A statement admits as often as it has ends: its sentence is wanted once.
        let because: BTreeSet<AccessId> =
            of.ingress.iter().chain(&of.egress).map(|admit| admit.because).collect();
        let mut words: Vec<String> = because
            .iter()
            .filter_map(|id| self.site.access(*id))
            .flat_map(|access| {
                access
                    .remarks()
                    .waived_aws
                    .iter()
                    .map(move |(what, _)| format!("{}: {}", what.word(), access.words))
            })
            .collect();
        words.sort();
        words.dedup();
        words.join("; ")
    }

    /// The rules of what is admitted for one statement.
    fn rules(&self, admit: &Admit, of: &GroupRules, out: &mut Vec<Rule>, findings: &mut Findings) {
        let Some(access) = self.site.access(admit.because) else { return };
        let mut put = |peer: Peer, families: &[Family]| match traffics(&admit.what.over(families), families) {
            Ok(all) => {
                out.extend(all.into_iter().map(|t| Rule::new(t, peer.clone()).because(said(&access.words))))
            }
            Err(why) => findings.push(
                Diagnostic::error(
                    code::UNSUPPORTED_ON_AWS,
                    access.span,
                    format!("no rule of a security group says this: {why}"),
                )
                .help("name the types, or say `any`"),
            ),
        };
        match &admit.far {
            Far::Group(group) => {
                if let Some(named) = self.site.security_group(*group) {
                    put(Peer::group(id_of(&named.name, 1)), &of.families);
                }
            }
            Far::Addrs(addrs) => {
                // A rule for what no group filters, or nobody has, would say nothing (S58).
                let addrs = &addrs.difference(&of.idle);
                if let Some(list) = self.list_of(addrs, &of.idle) {
                    for (id, family) in list {
                        put(Peer::list(id), &[family]);
                    }
                    return;
                }
                for net in networks(addrs, &of.idle) {
                    match net {
                        IpNet::V4(net) => put(Peer::V4(net), &[Family::V4]),
                        IpNet::V6(net) => put(Peer::V6(net), &[Family::V6]),
                    }
                }
            }
        }
    }

    /// The prefix lists that hold just these addresses, but for idle ones.
    fn list_of(&self, addrs: &AddrSet, idle: &AddrSet) -> Option<Vec<(String, Family)>> {
        let families = Family::BOTH.into_iter().filter(|family| addrs.has(*family));
        let each = families.map(|family| {
            let part = addrs.of(family);
            let same = |list: &&PrefixList| list.addresses().is_some_and(|own| own.difference(idle) == part);
            let list = self.estate.lists.iter().find(same)?;
            Some((list.id.clone(), family))
        });
        each.collect::<Option<Vec<_>>>().filter(|lists| !lists.is_empty())
    }

    /// The rules of one direction as those of as many parts as it takes; none after an error.
    fn within(
        &self,
        group: &SecurityGroup,
        way: Way,
        rules: &[Rule],
        admits: &[Admit],
        findings: &mut Findings,
    ) -> Option<Vec<Vec<Rule>>> {
        let weigh = |rule: &Rule, family| {
            quota::tally(&self.estate, std::slice::from_ref(rule), family)
                .map_or(usize::MAX, |tally| tally.count)
        };
        let most = self.limits.groups_per_interface.saturating_sub(self.beside(group));
        if let Some(parts) = fit::shards(rules, self.limits.rules, most.max(1), weigh) {
            return Some(parts);
        }
        findings.push(self.too_many(group, way, (rules, most.max(1)), admits));
        None
    }

    /// How many other groups a member wears, at most.
    fn beside(&self, group: &SecurityGroup) -> usize {
        let worn =
            group.members.iter().map(|(host, leg)| self.site.worn(*host, *leg).count().saturating_sub(1));
        worn.max().unwrap_or(0)
    }

    /// Why the rules of one direction fit no `parts` groups: one prefix list that is more than a group takes, prefix lists that do not
    /// divide, or too many rules.
    fn too_many(
        &self,
        group: &SecurityGroup,
        way: Way,
        (rules, parts): (&[Rule], usize),
        admits: &[Admit],
    ) -> Diagnostic {
        if let Some(finding) = self.too_large(group, way, rules) {
            return finding;
        }
        let count = |family| quota::tally(&self.estate, rules, family).map_or(0, |tally| tally.count);
        let [v4, v6] = [count(Family::V4), count(Family::V6)];
        let (family, most) = if v4 >= v6 { ("IPv4", v4) } else { ("IPv6", v6) };
        let (limit, room) = (self.limits.rules, self.limits.rules.saturating_mul(parts));
        let needs =
            format!("the security group `{}` needs {most} rules, {}, {family}", group.name, way.word());
        let mut finding = match most.checked_sub(room).filter(|excess| *excess > 0) {
            Some(excess) => {
                let why = format!("{excess} more than the {room} of {parts} groups of {limit}");
                Diagnostic::error(code::TOO_MANY_RULES, group.span, format!("{needs}: {why}"))
                    .help("name ranges of ports, fewer or larger networks, or a group in place of addresses")
            }
            None => {
                let why = format!("its prefix lists, whole ones, do not fit into {parts} groups of {limit}");
                Diagnostic::error(code::TOO_MANY_RULES, group.span, format!("{needs}, and {why}"))
                    .help("make smaller prefix lists of them: each stands in one group whole")
            }
        };
        if let Some((access, count)) = self.largest(admits) {
            finding =
                finding.also(access.span, format!("most of them, {count} before merging, are for this"));
        }
        finding
    }

    /// Of a prefix list that counts more than a group takes, and so fits none.
    fn too_large(&self, group: &SecurityGroup, way: Way, rules: &[Rule]) -> Option<Diagnostic> {
        let lists = rules.iter().filter_map(|rule| match &rule.peer {
            Peer::List(named) => self.estate.list(&named.id),
            Peer::V4(_) | Peer::V6(_) | Peer::Group(_) => None,
        });
        let mut weights = lists.filter_map(|list| Some((list, quota::weight(list).ok()?)));
        let (list, weight) = weights.find(|(_, weight)| *weight > self.limits.rules)?;
        let family = if list.family == Some(Family::V6) { "IPv6" } else { "IPv4" };
        let known = |pinned: &&PinnedList| {
            let own = Family::BOTH.map(|family| pinned_id(&pinned.name, family));
            pinned.prefix_list.as_ref() == Some(&list.id) || own.contains(&list.id)
        };
        let pinned = self.site.lists.iter().find(known);
        let message = format!(
            "the security group `{}` names the prefix list `{}`, {}, {family}, which counts {weight} rules: more than the {} of a group",
            group.name,
            pinned.map_or(list.id.as_str(), |pinned| pinned.name.as_str()),
            way.word(),
            self.limits.rules
        );
        let instead = match pinned.is_some_and(|pinned| pinned.prefix_list.is_some()) {
            true => "leave `prefix-list` away: its networks are then rules, in as many groups as they take",
            false => {
                "do without `--emit prefix-lists`: its networks are then rules, in as many groups as they take"
            }
        };
        let finding = Diagnostic::error(code::TOO_MANY_RULES, group.span, message)
            .help(format!("make smaller prefix lists of it; or {instead}"));
        Some(match pinned {
            Some(pinned) => finding.also(pinned.span, "the list"),
            None => finding,
        })
    }

    /// The statement for which most rules stand, and how many before merging.
    fn largest(&self, admits: &[Admit]) -> Option<(&Access, usize)> {
        let mut by_access: BTreeMap<AccessId, usize> = BTreeMap::new();
        for admit in admits {
            let rules = match &admit.far {
                Far::Group(_) => 1,
                Far::Addrs(addrs) => networks(addrs, &AddrSet::empty()).len(),
            };
            let each = traffics(&admit.what, &Family::BOTH).map_or(1, |all| all.len().max(1));
            let sum = by_access.entry(admit.because).or_default();
            *sum = sum.saturating_add(rules.saturating_mul(each));
        }
        let (id, count) = by_access.into_iter().max_by_key(|(id, count)| (*count, std::cmp::Reverse(*id)))?;
        Some((self.site.access(id)?, count))
    }

    /// Every leg that wears groups, as an interface that carries all their parts.
    fn interfaces(&mut self, findings: &mut Findings) {
        for (host, leg) in self.site.interfaces() {
            let Some(of) = self.site.leg(host, leg) else { continue };
            let mut groups = Vec::new();
            for id in self.site.worn(host, leg) {
                let Some(group) = self.site.security_group(id) else { continue };
                groups.extend(
                    (1..=self.parts.get(&id).copied().unwrap_or(1)).map(|part| id_of(&group.name, part)),
                );
            }
            if groups.len() > self.limits.groups_per_interface {
                let name = self.site.host(host).map_or("", |host| host.name.as_str());
                let message = format!(
                    "`{name}` would wear {} groups: {} more than the {} that an interface carries",
                    groups.len(),
                    groups.len().saturating_sub(self.limits.groups_per_interface),
                    self.limits.groups_per_interface
                );
                findings.push(
                    Diagnostic::error(code::TOO_MANY_RULES, of.span, message)
                        .label(groups.join(", "))
                        .help("let the machine wear fewer groups, or let those need fewer rules"),
                );
            }
            let mut interface = Interface {
                id: interface_id(self.site, host, leg),
                groups: Some(groups),
                addresses: of.addresses.clone(),
                ..Interface::default()
            };
            let vpc = self.site.vpc_of(of.zone);
            interface.vpc = vpc.and_then(|vpc| vpc.id.clone());
            interface.subnet = self.site.zone(of.zone).map(|zone| format!("${{subnet:{}}}", zone.name));
            self.estate.interfaces.push(interface);
        }
    }

    /// Whatever else EC2 would refuse.
    fn validate(&self, findings: &mut Findings) {
        for offence in validate::estate(&self.estate, self.limits, Strictness::Asked) {
            let message = format!("EC2 would refuse {offence}");
            findings.push(unprintable(self.site, message));
        }
    }
}

/// S52: the default `icmp-errors`, what EC2 can say of it.
fn defaults(families: &[Family]) -> Vec<Rule> {
    let any4 = ipnet::Ipv4Net::default();
    let any6 = ipnet::Ipv6Net::default();
    let rule = |family: &Family| match family {
        Family::V4 => Rule::new(Traffic::Icmp(Icmp::Code(3, 4)), Peer::V4(any4)),
        Family::V6 => Rule::new(Traffic::Icmpv6(Icmp::Code(2, 0)), Peer::V6(any6)),
    };
    families.iter().map(|family| rule(family).because("default icmp-errors: path MTU discovery")).collect()
}

/// Rules that differ by their words alone, as one.
fn unique(mut rules: Vec<Rule>) -> Vec<Rule> {
    rules.sort();
    rules.dedup_by(|a, b| a.key() == b.key());
    rules
}

/// The words of a statement as EC2 takes them.
#[must_use]
pub fn said(words: &str) -> String {
    let takes = |c: char| c.is_ascii_alphanumeric() || ". _-:/()#,@[]+=&;{}!$*".contains(c);
    words.chars().map(|c| if takes(c) { c } else { '_' }).take(validate::text::LONGEST).collect()
}

/// The rules' traffic for what is spoken over some families.
fn traffics(what: &Spoken, families: &[Family]) -> Result<Vec<Traffic>, String> {
    if what.is_empty() {
        return Ok(Vec::new());
    }
    if what.is_all(families) {
        return Ok(vec![Traffic::All]);
    }
    for (odd, name) in [(what.icmp_over_v6, "ICMP over IPv6"), (what.icmpv6_over_v4, "ICMPv6 over IPv4")] {
        if odd {
            return Err(format!("EC2 has no word for {name} by itself"));
        }
    }
    let mut all = Vec::new();
    let ports =
        |set: &RangeSet<u16>| set.ranges().iter().filter_map(|&(a, b)| Ports::new(a, b)).collect::<Vec<_>>();
    all.extend(ports(&what.tcp).into_iter().map(Traffic::Tcp));
    all.extend(ports(&what.udp).into_iter().map(Traffic::Udp));
    all.extend(messages(&what.icmp)?.into_iter().map(Traffic::Icmp));
    all.extend(messages(&what.icmpv6)?.into_iter().map(Traffic::Icmpv6));
    let others = what.others.ranges().iter().flat_map(|&(first, last)| first..=last);
    all.extend(others.map(|number| Traffic::Other(Proto(number))));
    Ok(all)
}

/// Messages by type and code: whole types where all their codes are meant.
fn messages(set: &RangeSet<u16>) -> Result<Vec<Icmp>, String> {
    if set.is_full() {
        return Ok(vec![Icmp::All]);
    }
    let mut all = Vec::new();
    for kind in 0..=u8::MAX {
        let first = u16::from(kind) << 8;
        let of_kind = RangeSet::range(first, first | 0xff);
        let here = set.intersection(&of_kind);
        if here == of_kind {
            all.push(Icmp::Type(kind));
            continue;
        }
        let codes = here.ranges().iter().flat_map(|&(a, b)| a..=b);
        all.extend(codes.map(|message| Icmp::Code(kind, u8::try_from(message & 0xff).unwrap_or(0))));
        if all.len() > MOST_MESSAGES {
            return Err(format!("it is more than {MOST_MESSAGES} messages of ICMP"));
        }
    }
    Ok(all)
}

/// The fewest networks that hold all of `addrs`, and beside them nothing but what is idle.
fn networks(addrs: &AddrSet, idle: &AddrSet) -> Vec<IpNet> {
    let mut nets = addrs.union(idle).networks();
    nets.retain(|net| !AddrSet::net(*net).is_disjoint(addrs));
    nets
}

/// The direction of EC2's word for a way.
#[must_use]
pub fn direction(way: Way) -> Direction {
    match way {
        Way::Ingress => Direction::Ingress,
        Way::Egress => Direction::Egress,
    }
}
