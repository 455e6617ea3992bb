//! Fewer rules that mean the same, and one group's rules as several groups': how rules are brought within their quota.
//!
//! Nothing here is believed: after every step the canonical form is compared with that of the rules one started from, and
//! a step that would change it is not taken. A prefix list never saves quota, so none is made.

use super::artifact::{Canonical, Peer, Ports, Rule, Traffic};
use crate::net::Family;

/// The most characters of a description.
const LONGEST: usize = 255;

/// The same rules with fewer of them, where that is so: without those that others hold already, neighbouring ports of one peer
/// as one range, sibling networks of one traffic as their parent. Never more rules than there were.
#[must_use]
pub fn merged(rules: &[Rule]) -> Vec<Rule> {
    let meant = Canonical::of(rules);
    let mut kept = rules.to_vec();
    kept.sort();
    loop {
        let before = kept.len();
        for step in [without_idle, with_ports_joined, with_siblings_joined] {
            let next = step(&kept);
            if next.len() < kept.len() && Canonical::of(&next) == meant {
                kept = next;
            }
        }
        if kept.len() == before {
            return kept;
        }
    }
}

/// Rules as the rules of several groups that an interface carries together, each group within the quota; none where `most`
/// groups do not hold them. `weight` is what a rule counts in a family.
#[must_use]
pub fn shards(
    rules: &[Rule],
    limit: usize,
    most: usize,
    weight: impl Fn(&Rule, Family) -> usize,
) -> Option<Vec<Vec<Rule>>> {
    let weights = |rule: &Rule| Family::BOTH.map(|family| weight(rule, family));
    let mut order: Vec<&Rule> = rules.iter().collect();
    // The heavy ones first, else in the order of the rules: one rule more moves few.
    order.sort_by_key(|rule| std::cmp::Reverse(weights(rule).into_iter().max()));
    let mut shards: Vec<([usize; 2], Vec<Rule>)> = Vec::new();
    for rule in order {
        let adds = weights(rule);
        let sum = |used: [usize; 2]| {
            let [v4, v6] = used;
            let [more4, more6] = adds;
            [v4.saturating_add(more4), v6.saturating_add(more6)]
        };
        let fits = |used: [usize; 2]| sum(used).into_iter().all(|count| count <= limit);
        let may_open = shards.len() < most && fits([0, 0]);
        match shards.iter_mut().find(|(used, _)| fits(*used)) {
            Some((used, of)) => {
                *used = sum(*used);
                of.push(rule.clone());
            }
            None if may_open => shards.push((adds, vec![rule.clone()])),
            None => return None,
        }
    }
    let mut shards: Vec<Vec<Rule>> = shards.into_iter().map(|(_, rules)| rules).collect();
    for shard in &mut shards {
        shard.sort();
    }
    let together = shards.iter().flatten();
    (Canonical::of(together) == Canonical::of(rules)).then_some(shards)
}

/// Without rules that add nothing to the others.
fn without_idle(rules: &[Rule]) -> Vec<Rule> {
    let mut kept = rules.to_vec();
    let mut at = kept.len();
    // From the last: of a network and its part, sorted, the part comes later.
    while let Some(last) = at.checked_sub(1) {
        at = last;
        let Some(rule) = kept.get(at) else { break };
        // Whether it adds anything is decided by those it shares a peer with.
        let near: Vec<&Rule> = kept.iter().filter(|other| share(&other.peer, &rule.peer)).collect();
        let rest = near.iter().copied().filter(|other| !std::ptr::eq(*other, rule));
        if Canonical::of(rest) == Canonical::of(near.iter().copied()) {
            kept.remove(at);
        }
    }
    kept
}

/// Whether two peers may have somebody in common, as the canonical form sees it.
fn share(a: &Peer, b: &Peer) -> bool {
    match (a, b) {
        (Peer::V4(a), Peer::V4(b)) => a.contains(b) || b.contains(a),
        (Peer::V6(a), Peer::V6(b)) => a.contains(b) || b.contains(a),
        (a, b) => a.key() == b.key(),
    }
}

/// Ports of one peer that touch or overlap, as one range.
fn with_ports_joined(rules: &[Rule]) -> Vec<Rule> {
    pairwise(rules, |a, b| {
        if a.peer.key() != b.peer.key() {
            return None;
        }
        let traffic = match (a.traffic, b.traffic) {
            (Traffic::Tcp(a), Traffic::Tcp(b)) => Traffic::Tcp(touching(a, b)?),
            (Traffic::Udp(a), Traffic::Udp(b)) => Traffic::Udp(touching(a, b)?),
            _ => return None,
        };
        Some((traffic, a.peer.clone()))
    })
}

/// Two halves of a network, as the network.
fn with_siblings_joined(rules: &[Rule]) -> Vec<Rule> {
    pairwise(rules, |a, b| {
        if a.traffic != b.traffic {
            return None;
        }
        let peer = match (&a.peer, &b.peer) {
            (Peer::V4(a), Peer::V4(b)) if a != b && a.prefix_len() == b.prefix_len() => {
                Peer::V4(a.supernet().filter(|parent| Some(*parent) == b.supernet())?)
            }
            (Peer::V6(a), Peer::V6(b)) if a != b && a.prefix_len() == b.prefix_len() => {
                Peer::V6(a.supernet().filter(|parent| Some(*parent) == b.supernet())?)
            }
            _ => return None,
        };
        Some((a.traffic, peer))
    })
}

/// Each rule joined with the first of those before it that it can be joined with.
fn pairwise(rules: &[Rule], join: impl Fn(&Rule, &Rule) -> Option<(Traffic, Peer)>) -> Vec<Rule> {
    let mut out: Vec<Rule> = Vec::new();
    for rule in rules {
        let found = out.iter_mut().find_map(|other| join(other, rule).map(|joined| (other, joined)));
        match found {
            Some((other, (traffic, peer))) => {
                let description = both(other.description.as_deref(), rule.description.as_deref());
                *other = Rule { traffic, peer, description };
            }
            None => out.push(rule.clone()),
        }
    }
    out.sort();
    out
}

fn touching(a: Ports, b: Ports) -> Option<Ports> {
    let (low, high) = if a.first() <= b.first() { (a, b) } else { (b, a) };
    let next = u32::from(low.last()).saturating_add(1);
    if u32::from(high.first()) > next {
        return None;
    }
    Ports::new(low.first(), low.last().max(high.last()))
}

/// Whence both come, as far as there is room to say.
fn both(a: Option<&str>, b: Option<&str>) -> Option<String> {
    match (a, b) {
        (Some(a), Some(b)) if a != b => {
            let joined = format!("{a}; {b}");
            Some(if joined.chars().count() <= LONGEST { joined } else { a.to_owned() })
        }
        (Some(one), _) | (None, Some(one)) => Some(one.to_owned()),
        (None, None) => None,
    }
}
