//! The order of the calls.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::super::artifact::{Direction, Estate, Group, Icmp, Peer, PeerKey, Ports, Rule, Tag, Traffic};
use super::super::validate::quota;
use super::lists::{Changing, ListCalls, lists};
use super::pair::Paired;
use super::{Obstacle, Phase, Remark, Step, Terms, input};
use crate::net::Family;

/// How the keys of our tags begin, beside the mark and `Name`, which what we make always has.
const OWN_TAGS: &str = "fwc-";

/// What changes in a group and a direction.
struct Change<'e> {
    /// With the id of the live estate, or the symbolic one of a group to be made.
    group: &'e Group,
    is_new: bool,
    direction: Direction,
    /// In both, by what EC2 takes a rule by.
    kept: Vec<&'e Rule>,
    added: Vec<&'e Rule>,
    gone: Vec<&'e Rule>,
    /// References that reach nobody any more, where the same is wanted: EC2 takes both for one rule, so they go first.
    stale: Vec<&'e Rule>,
    /// Kept, with another text.
    told_otherwise: Vec<&'e Rule>,
    /// There for the time being: networks of changing lists that are admitted before and after.
    bridge: Vec<Rule>,
    /// Changed in place: the id of the old rule, the old, the new.
    in_place: Vec<(String, &'e Rule, &'e Rule)>,
}

pub(super) fn order(paired: &Paired<'_>, terms: &Terms) -> Result<(Vec<Step>, Vec<Remark>), Vec<Obstacle>> {
    let mut remarks = Vec::new();
    let calls = lists(paired, terms, &mut remarks)?;
    let defaults = default_egress(&fresh(paired), terms);
    let doomed = doomed(paired, terms);
    let mut changes = changes(paired, &defaults, &mut remarks)?;
    bridge(&mut changes, &calls.changing);
    change_in_place(&mut changes, paired, &calls.changing, terms);
    let mut steps = Vec::new();
    if let Err(obstacle) = arrange(paired, &changes, calls, &doomed, &mut steps) {
        return Err(vec![obstacle]);
    }
    Ok((steps, remarks))
}

/// Groups are made, closed outwards, and left so.
pub(super) fn made(groups: &[Group], terms: &Terms) -> Result<Vec<Step>, Obstacle> {
    let mut steps: Vec<Step> = groups.iter().map(input::create_group).collect();
    for open in default_egress(&groups.iter().collect::<Vec<_>>(), terms) {
        let rules: Vec<&Rule> = open.egress.iter().flatten().collect();
        steps.extend(input::revoke(Phase::Close, &open, Direction::Egress, &rules, &[])?);
    }
    Ok(steps)
}

/// The steps, in the order that the head of [`super`] gives reasons for.
fn arrange(
    paired: &Paired<'_>,
    changes: &[Change<'_>],
    calls: ListCalls,
    doomed: &[&Group],
    steps: &mut Vec<Step>,
) -> Result<(), Obstacle> {
    let records = &paired.live.records;
    let moving =
        |rule: &Rule| of_list(rule).is_some_and(|id| calls.changing.iter().any(|list| list.id == id));
    steps.extend(calls.create);
    steps.extend(fresh(paired).into_iter().map(input::create_group));
    for change in changes.iter().filter(|change| change.is_new) {
        change.revoke(Phase::Close, |_| true, records, steps)?;
    }
    steps.extend(calls.grow);
    for change in changes {
        steps.extend(input::revoke(Phase::Close, change.group, change.direction, &change.stale, records)?);
    }
    for change in changes {
        change.authorize(Phase::Admit, |rule| !moving(rule), true, steps);
    }
    for change in changes.iter().filter(|change| !change.is_new) {
        change.revoke(Phase::Change, moving, records, steps)?;
    }
    steps.extend(calls.add);
    steps.extend(calls.remove);
    for change in changes {
        change.authorize(Phase::Change, moving, false, steps);
    }
    for change in changes.iter().filter(|change| !change.in_place.is_empty()) {
        let rules: Vec<(String, &Rule)> =
            change.in_place.iter().map(|(id, _, new)| (id.clone(), *new)).collect();
        steps.push(input::modify_rules(change.group, &rules));
    }
    for change in changes.iter().filter(|change| !change.is_new) {
        change.revoke(Phase::Withdraw, |rule| !moving(rule), records, steps)?;
    }
    for change in changes.iter().filter(|change| !change.told_otherwise.is_empty()) {
        steps.push(input::describe_rules(change.group, change.direction, &change.told_otherwise));
    }
    for (live, wanted) in both(paired) {
        steps.extend(tagged(&live.id, &live.tags, &wanted.tags));
    }
    steps.extend(calls.describe);
    // References among what goes are in each other's way.
    for group in doomed {
        for direction in Direction::BOTH {
            let names_doomed = |rule: &&Rule| {
                matches!(&rule.peer, Peer::Group(named)
                    if named.id != group.id && doomed.iter().any(|other| other.id == named.id))
            };
            let rules: Vec<&Rule> =
                group.rules(direction).unwrap_or_default().iter().filter(names_doomed).collect();
            steps.extend(input::revoke(Phase::Delete, group, direction, &rules, records)?);
        }
    }
    steps.extend(doomed.iter().map(|group| input::delete_group(&group.id)));
    steps.extend(calls.delete);
    Ok(())
}

impl Change<'_> {
    fn authorize(
        &self,
        phase: Phase,
        which: impl Fn(&Rule) -> bool,
        with_bridge: bool,
        steps: &mut Vec<Step>,
    ) {
        let modified = |rule: &Rule| self.in_place.iter().any(|(_, _, new)| std::ptr::eq(*new, rule));
        let mut rules: Vec<&Rule> =
            self.added.iter().copied().filter(|rule| which(rule) && !modified(rule)).collect();
        if with_bridge {
            rules.extend(&self.bridge);
        }
        if !rules.is_empty() {
            steps.push(input::authorize(phase, self.group, self.direction, &rules));
        }
    }

    fn revoke(
        &self,
        phase: Phase,
        which: impl Fn(&Rule) -> bool,
        records: &[super::super::artifact::RuleRecord],
        steps: &mut Vec<Step>,
    ) -> Result<(), Obstacle> {
        let modified = |rule: &Rule| self.in_place.iter().any(|(_, old, _)| std::ptr::eq(*old, rule));
        let mut rules: Vec<&Rule> =
            self.gone.iter().copied().filter(|rule| which(rule) && !modified(rule)).collect();
        rules.extend(self.bridge.iter().filter(|rule| which(rule)));
        steps.extend(input::revoke(phase, self.group, self.direction, &rules, records)?);
        Ok(())
    }
}

/// Wanted tags come; of those that are live and not wanted go our own, by key. What others wrote stays.
pub(super) fn tagged(id: &str, live: &[Tag], wanted: &[Tag]) -> Vec<Step> {
    let new: Vec<Tag> = wanted.iter().filter(|tag| !live.contains(tag)).cloned().collect();
    let left = |tag: &&Tag| tag.key.starts_with(OWN_TAGS) && wanted.iter().all(|other| other.key != tag.key);
    let old: Vec<Tag> = live.iter().filter(left).cloned().collect();
    let mut steps = Vec::new();
    if !new.is_empty() {
        steps.push(input::create_tags(id, &new));
    }
    if !old.is_empty() {
        steps.push(input::delete_tags(id, &old));
    }
    steps
}

/// The wanted groups that are not there.
fn fresh<'a>(paired: &'a Paired<'_>) -> Vec<&'a Group> {
    paired.wanted.groups.iter().filter(|group| paired.live.group(&group.id).is_none()).collect()
}

/// What EC2 gives a new group by itself, for each group to be made.
fn default_egress(new: &[&Group], terms: &Terms) -> Vec<Group> {
    let open = |group: &&Group| {
        let mut egress = vec![Rule::new(Traffic::All, Peer::V4(ipnet::Ipv4Net::default()))];
        if group.vpc.as_ref().and_then(|vpc| terms.vpcs.get(vpc)).copied().unwrap_or(false) {
            egress.push(Rule::new(Traffic::All, Peer::V6(ipnet::Ipv6Net::default())));
        }
        Group { egress: Some(egress), ..Group::closed(&group.id) }
    };
    new.iter().map(open).collect()
}

/// Live groups that are ours and not wanted, those that name others before those.
fn doomed<'l>(paired: &Paired<'l>, terms: &Terms) -> Vec<&'l Group> {
    let ours = |group: &&Group| terms.own(group) && paired.wanted.group(&group.id).is_none();
    paired.live.groups.iter().filter(ours).collect()
}

/// Live groups that are wanted, with what is wanted of them.
fn both<'a>(paired: &'a Paired<'_>) -> impl Iterator<Item = (&'a Group, &'a Group)> {
    paired.wanted.groups.iter().filter_map(|wanted| Some((paired.live.group(&wanted.id)?, wanted)))
}

fn changes<'e>(
    paired: &'e Paired<'_>,
    defaults: &'e [Group],
    remarks: &mut Vec<Remark>,
) -> Result<Vec<Change<'e>>, Vec<Obstacle>> {
    let (mut changes, mut obstacles) = (Vec::new(), Vec::new());
    for wanted in &paired.wanted.groups {
        let live = paired.live.group(&wanted.id);
        if live.is_some_and(|live| wanted.description.is_some() && live.description != wanted.description) {
            remarks.push(Remark::Description { id: wanted.id.clone() });
        }
        let Some(before) = live.or_else(|| defaults.iter().find(|group| group.id == wanted.id)) else {
            continue;
        };
        for direction in Direction::BOTH {
            let untold = |id: &str| Obstacle::Untold { id: id.to_owned(), what: "rules" };
            match (before.rules(direction), wanted.rules(direction)) {
                (Some(old), Some(new)) => {
                    changes.push(change(wanted, live.is_none(), direction, old, new));
                }
                (None, _) => obstacles.push(untold(&before.id)),
                (_, None) => obstacles.push(untold(&wanted.id)),
            }
        }
    }
    if obstacles.is_empty() { Ok(changes) } else { Err(obstacles) }
}

fn change<'e>(
    group: &'e Group,
    is_new: bool,
    direction: Direction,
    old: &'e [Rule],
    new: &'e [Rule],
) -> Change<'e> {
    let keys = |rules: &[Rule]| rules.iter().map(Rule::key).collect::<BTreeSet<(Traffic, PeerKey)>>();
    let stale = |rule: &&Rule| matches!(&rule.peer, Peer::Group(named) if named.is_stale());
    let is = keys(new);
    let stale: Vec<&Rule> = old.iter().filter(stale).filter(|rule| is.contains(&rule.key())).collect();
    let mut was = keys(old);
    was.retain(|key| stale.iter().all(|rule| rule.key() != *key));
    let text_of = |key: &(Traffic, PeerKey)| {
        old.iter().find(|rule| rule.key() == *key).and_then(|rule| rule.description.clone())
    };
    let kept: Vec<&Rule> = new.iter().filter(|rule| was.contains(&rule.key())).collect();
    Change {
        group,
        is_new,
        direction,
        told_otherwise: kept
            .iter()
            .copied()
            .filter(|rule| text_of(&rule.key()) != rule.description)
            .collect(),
        kept,
        added: new.iter().filter(|rule| !was.contains(&rule.key())).collect(),
        gone: old.iter().filter(|rule| !is.contains(&rule.key())).collect(),
        stale,
        bridge: Vec::new(),
        in_place: Vec::new(),
    }
}

// ---- around changing lists ----------------------------------------------------------------------------

fn of_list(rule: &Rule) -> Option<&str> {
    match &rule.peer {
        Peer::List(list) => Some(&list.id),
        Peer::V4(_) | Peer::V6(_) | Peer::Group(_) => None,
    }
}

/// Rules of plain networks for what is admitted by one rule with a changing list before, and by another after.
///
/// Two rules that both stay need none: entries come to every list before any goes.
fn bridge(changes: &mut [Change<'_>], changing: &[Changing]) {
    let mut bridges: Vec<Vec<Rule>> = Vec::new();
    for here in changes.iter() {
        let mut rules: Vec<Rule> = Vec::new();
        let (olds, _) = ends(here);
        for old in olds.iter().filter(|old| of_list(old).is_some()) {
            let Some(before) = entries(changing, old).map(|list| &list.before) else { continue };
            for there in changes.iter().filter(|there| there.direction == here.direction && !there.is_new) {
                let (_, news) = ends(there);
                for new in news {
                    let Some(after) = entries(changing, new).map(|list| &list.after) else { continue };
                    let both_stay = stays(here, old) && stays(there, new);
                    let Some(traffic) = meet(old.traffic, new.traffic).filter(|_| !both_stay) else {
                        continue;
                    };
                    for net in before.iter().flat_map(|a| after.iter().filter_map(|b| common(a.cidr, b.cidr)))
                    {
                        let rule = Rule::new(traffic, peer(net));
                        if rule.family_fault().is_none() {
                            rules.push(rule.because("for the time of a change"));
                        }
                    }
                }
            }
        }
        rules.sort();
        rules.dedup();
        let standing = |rule: &Rule| {
            here.kept.iter().chain(&here.added).chain(&here.gone).any(|other| other.key() == rule.key())
        };
        bridges.push(rules.into_iter().filter(|rule| !standing(rule)).collect());
    }
    for (change, bridge) in changes.iter_mut().zip(bridges) {
        if !change.is_new {
            change.bridge = bridge;
        }
    }
}

/// What there is of a group before, and after.
fn ends<'c, 'e>(change: &'c Change<'e>) -> (Vec<&'e Rule>, Vec<&'e Rule>) {
    let with = |more: &'c [&'e Rule]| change.kept.iter().chain(more).copied().collect();
    (with(&change.gone), with(&change.added))
}

fn stays(change: &Change<'_>, rule: &Rule) -> bool {
    change.kept.iter().any(|kept| kept.key() == rule.key())
}

fn entries<'c>(changing: &'c [Changing], rule: &Rule) -> Option<&'c Changing> {
    let id = of_list(rule)?;
    changing.iter().find(|list| list.id == id)
}

fn peer(net: IpNet) -> Peer {
    match net {
        IpNet::V4(net) => Peer::V4(net),
        IpNet::V6(net) => Peer::V6(net),
    }
}

/// The smaller of two networks of which one holds the other.
fn common(a: IpNet, b: IpNet) -> Option<IpNet> {
    if a.contains(&b) {
        Some(b)
    } else if b.contains(&a) {
        Some(a)
    } else {
        None
    }
}

/// What two rules have in common beside their peers.
pub(super) fn meet(a: Traffic, b: Traffic) -> Option<Traffic> {
    let nothing = |of| matches!(of, Traffic::Icmp(Icmp::NoType(_)) | Traffic::Icmpv6(Icmp::NoType(_)));
    if nothing(a) || nothing(b) {
        return None;
    }
    let ports = |a: Ports, b: Ports| Ports::new(a.first().max(b.first()), a.last().min(b.last()));
    match (a, b) {
        (Traffic::All, other) | (other, Traffic::All) => Some(other),
        (Traffic::Tcp(a), Traffic::Tcp(b)) => ports(a, b).map(Traffic::Tcp),
        (Traffic::Udp(a), Traffic::Udp(b)) => ports(a, b).map(Traffic::Udp),
        (Traffic::Icmp(a), Traffic::Icmp(b)) => message(a, b).map(Traffic::Icmp),
        (Traffic::Icmpv6(a), Traffic::Icmpv6(b)) => message(a, b).map(Traffic::Icmpv6),
        (Traffic::Other(a), Traffic::Other(b)) => (a == b).then_some(Traffic::Other(a)),
        (
            Traffic::Tcp(_) | Traffic::Udp(_) | Traffic::Icmp(_) | Traffic::Icmpv6(_) | Traffic::Other(_),
            _,
        ) => None,
    }
}

fn message(a: Icmp, b: Icmp) -> Option<Icmp> {
    match (a, b) {
        (Icmp::NoType(_), _) | (_, Icmp::NoType(_)) => None,
        (Icmp::All, other) | (other, Icmp::All) => Some(other),
        (Icmp::Type(a), Icmp::Type(b)) => (a == b).then_some(Icmp::Type(a)),
        (Icmp::Type(kind), Icmp::Code(of, code)) | (Icmp::Code(of, code), Icmp::Type(kind)) => {
            (kind == of).then_some(Icmp::Code(of, code))
        }
        (Icmp::Code(..), Icmp::Code(..)) => (a == b).then_some(a),
    }
}

// ---- within the quota ---------------------------------------------------------------------------------

/// Where old and new rules together exceed the quota, as many old ones become new ones in place as it takes.
fn change_in_place(changes: &mut [Change<'_>], paired: &Paired<'_>, changing: &[Changing], terms: &Terms) {
    let estate = Estate {
        lists: paired.wanted.lists.iter().chain(&paired.live.lists).cloned().collect(),
        ..Estate::default()
    };
    for change in changes.iter_mut().filter(|change| !change.is_new) {
        while !fits(change, &estate, terms) {
            let Some(pair) = next_pair(change, paired, changing) else { break };
            change.in_place.push(pair);
        }
    }
}

fn fits(change: &Change<'_>, estate: &Estate, terms: &Terms) -> bool {
    let new = |rule: &&&Rule| !change.in_place.iter().any(|(_, _, new)| std::ptr::eq(*new, **rule));
    let rules: Vec<Rule> = change
        .kept
        .iter()
        .chain(&change.gone)
        .chain(change.added.iter().filter(new))
        .map(|rule| (*rule).clone())
        .chain(change.bridge.iter().cloned())
        .collect();
    // What is not known does not fit anywhere else either: the rehearsal says so.
    let count = |family| quota::tally(estate, &rules, family).map_or(0, |tally| tally.count);
    Family::BOTH.into_iter().all(|family| count(family) <= terms.limits.rules)
}

/// An old rule with an id and a new one of the same kind of peer, neither of a changing list.
fn next_pair<'e>(
    change: &Change<'e>,
    paired: &Paired<'_>,
    changing: &[Changing],
) -> Option<(String, &'e Rule, &'e Rule)> {
    let moving = |rule: &Rule| entries(changing, rule).is_some();
    let olds = change.gone.iter().copied().filter(|old| {
        !moving(old) && !change.in_place.iter().any(|(_, taken, _)| std::ptr::eq(*taken, *old))
    });
    for old in olds {
        let Some(id) = input::record(&paired.live.records, change.group, change.direction, old)
            .and_then(|record| record.id.clone())
        else {
            continue;
        };
        let new = change.added.iter().copied().find(|new| {
            !moving(new)
                && std::mem::discriminant(&new.peer) == std::mem::discriminant(&old.peer)
                && !change.in_place.iter().any(|(_, _, taken)| std::ptr::eq(*taken, *new))
        });
        if let Some(new) = new {
            return Some((id, old, new));
        }
    }
    None
}
