//! Boxes of packets in the words of a policy: its zones, groups and hosts where they fit, else networks and addresses.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use crate::model::{End, Leg, Site};
use crate::net::addr::AddrRange;
use crate::net::packet::{Per, tcp_flag};
use crate::net::{AddrSet, CtState, Family, Field, PacketBox, RangeSet, Space};

use super::services::{numbers, services};

/// What addresses are called, and which make good examples.
#[derive(Clone, Debug, Default)]
pub struct Names {
    places: BTreeMap<String, AddrSet>,
    /// Addresses to show in packets, best first.
    pub favourites: Vec<IpAddr>,
}

/// Packets, field by field; a field that may have any value says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Region {
    /// `tcp 80`, `icmp type 8 code 0`, `proto 112`.
    pub services: Vec<String>,
    /// Where from: names of the policy, networks, ranges. After `all but`, those that it is not.
    pub from: Vec<String>,
    /// Where to.
    pub to: Vec<String>,
    /// Interfaces by which they come.
    pub iif: Vec<String>,
    /// Interfaces by which they leave.
    pub oif: Vec<String>,
    /// States of connection tracking.
    pub states: Vec<String>,
    /// Anything else, in words.
    pub other: Vec<String>,
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if !self.services.is_empty() {
            parts.push(self.services.join(", "));
        }
        let clauses = [
            ("from ", &self.from),
            ("to ", &self.to),
            ("in by ", &self.iif),
            ("out by ", &self.oif),
            ("ct state ", &self.states),
            ("", &self.other),
        ];
        for (word, values) in clauses {
            if !values.is_empty() {
                parts.push(format!("{word}{}", values.join(", ")));
            }
        }
        if parts.is_empty() { f.write_str("every packet") } else { f.write_str(&parts.join(" ")) }
    }
}

impl Names {
    /// The names of a site: its zones, hosts, legs and groups.
    #[must_use]
    pub fn of(site: &Site) -> Self {
        let mut names = Self { favourites: super::super::favourites(site), ..Self::default() };
        for zone in &site.zones {
            names.add(&zone.name, &zone.addrs);
        }
        for host in &site.hosts {
            names.add(&host.name, &host.address_set());
            for leg in host.legs.iter().filter(|_| host.legs.len() > 1) {
                let zone = site.zone(leg.zone).map_or("", |zone| zone.name.as_str());
                names.add(&format!("{}.{zone}", host.name), &leg.address_set());
            }
        }
        for group in &site.groups {
            let of = |ends: &[End]| {
                let sets = ends.iter().map(|end| end_addresses(site, end));
                sets.fold(AddrSet::empty(), |all, set| all.union(&set))
            };
            names.add(&group.name, &of(&group.members.plus).difference(&of(&group.members.except)));
        }
        names
    }

    /// A name for a set; one that is taken keeps both apart by keeping the first.
    pub fn add(&mut self, name: &str, of: &AddrSet) {
        if !of.is_empty() {
            self.places.entry(name.to_owned()).or_insert_with(|| of.clone());
        }
    }

    /// These and those of another policy; what both name differently has no name.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        for (name, set) in &other.places {
            match self.places.get(name) {
                Some(own) if own != set => drop(self.places.remove(name)),
                Some(_) => {}
                None => drop(self.places.insert(name.clone(), set.clone())),
            }
        }
        self.favourites.extend(&other.favourites);
        self
    }

    /// The fewest of these names that make up a set, then what is left of it as networks and ranges.
    #[must_use]
    pub fn name(&self, set: &AddrSet) -> Vec<String> {
        let plain = self.spelled(set);
        let other = alike(&set.complement(), set);
        if other.is_empty() || plain.len() <= 2 {
            return plain;
        }
        let but = self.spelled(&other);
        if but.len() < plain.len() { vec![format!("all but {}", but.join(", "))] } else { plain }
    }

    fn spelled(&self, set: &AddrSet) -> Vec<String> {
        let mut rest = set.clone();
        let mut words = Vec::new();
        let places = self.places.iter().map(|(name, place)| (name.clone(), alike(place, set)));
        let (mut fitting, others): (Vec<_>, Vec<_>) =
            places.filter(|(_, place)| !place.is_empty()).partition(|(_, place)| place.is_subset(set));
        fitting.extend(others.into_iter().filter_map(|(name, place)| self.less(&name, &place, set)));
        while !rest.is_empty() {
            // The place that says most of what is left; of equal ones the first by name.
            let said = |place: &AddrSet| size(&place.intersection(&rest));
            let best = fitting.iter().enumerate().map(|(at, (name, place))| (said(place), name, at));
            let best = best.filter(|(said, ..)| *said > 0);
            let Some((.., at)) = best.max_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(a.1))) else { break };
            let (name, place) = fitting.swap_remove(at);
            rest = rest.difference(&place);
            words.push(name);
        }
        words.sort();
        words.extend(rest.ranges().flat_map(networks));
        words
    }

    /// `clients except fw.clients`: what of a place is in a set, where all that is not has a few names.
    fn less(&self, name: &str, place: &AddrSet, set: &AddrSet) -> Option<(String, AddrSet)> {
        const FEW: usize = 3;
        let (inside, mut hole) = (place.intersection(set), place.difference(set));
        if size(&inside) < 4 {
            return None;
        }
        let mut but = Vec::new();
        while !hole.is_empty() {
            let missing = |of: &AddrSet| !of.is_empty() && of.is_subset(&hole);
            let named = self.places.iter().map(|(name, of)| (name, alike(of, place)));
            let (name, of) = named.filter(|(_, of)| missing(of)).max_by_key(|(_, of)| size(of))?;
            hole = hole.difference(&of);
            but.push(name.clone());
            if but.len() > FEW {
                return None;
            }
        }
        Some((format!("{name} except {}", but.join(", ")), inside))
    }

    /// Whether of what is called so, an address or a leg, the family is plain: not of a place with addresses of both.
    fn tells_family(&self, word: &str) -> bool {
        let place = word.split_once(" except ").map_or(word, |(place, _)| place);
        let both = |of: &AddrSet| Family::BOTH.into_iter().all(|family| of.has(family));
        word.contains(['.', ':']) && !word.starts_with("all but") && !self.places.get(place).is_some_and(both)
    }

    /// A box in words.
    #[must_use]
    pub fn region(&self, space: &Space, one: &PacketBox) -> Region {
        let mut region = Region::default();
        let family = one.family();
        let mut named = false;
        for (field, values) in &one.fields {
            let all = |space: &Space| interfaces(space, values);
            match field {
                Field::Family | Field::Proto | Field::Dport | Field::IcmpType | Field::IcmpCode => {}
                Field::Iif => region.iif = all(space),
                Field::Oif => region.oif = all(space),
                Field::Ct => region.states = states(values),
                Field::Src | Field::Dst | Field::OrigSrc | Field::OrigDst => {
                    let set = addresses(family, values);
                    if set == every(family) {
                        continue;
                    }
                    let words = self.name(&set);
                    named |= words.iter().all(|word| self.tells_family(word));
                    match field {
                        Field::Src => region.from = words,
                        Field::Dst => region.to = words,
                        Field::OrigSrc => region.other.push(format!("first from {}", words.join(", "))),
                        _ => region.other.push(format!("first to {}", words.join(", "))),
                    }
                }
                // What a packet on its way is known to have been sent as.
                Field::SentSrc | Field::SentDst => {
                    let words = self.name(&addresses(family, values)).join(", ");
                    let word = if *field == Field::SentSrc { "sent from" } else { "sent to" };
                    region.other.push(format!("{word} {words}"));
                }
                other => region.other.extend(in_words(space, *other, values)),
            }
        }
        if let (Some(family), false) = (family, named) {
            region.other.push(if family == Family::V4 { "IPv4" } else { "IPv6" }.to_owned());
        }
        region.services = services(one);
        region
    }
}

/// The addresses of an end, read widely.
fn end_addresses(site: &Site, end: &End) -> AddrSet {
    match end {
        End::Zone(zone) => site.zone(*zone).map(|zone| zone.addrs.clone()).unwrap_or_default(),
        End::Host(host) => site.static_addresses_of(*host),
        End::Leg(host, leg) => site.leg(*host, *leg).map(Leg::address_set).unwrap_or_default(),
        End::Addrs(addrs) => addrs.clone(),
        End::Anywhere => AddrSet::full(),
    }
}

/// Those of `set` of a family that `other` has addresses of.
fn alike(set: &AddrSet, other: &AddrSet) -> AddrSet {
    let both = Family::BOTH.into_iter().filter(|family| other.has(*family));
    both.fold(AddrSet::empty(), |all, family| all.union(&set.of(family)))
}

/// How many addresses, as far as that can be counted: enough to tell more from fewer.
fn size(set: &AddrSet) -> u128 {
    set.ranges().fold(0, |sum: u128, range| {
        sum.saturating_add(range.last.saturating_sub(range.first).saturating_add(1))
    })
}

/// A range as networks, if they are few, else as it is.
fn networks(range: AddrRange) -> Vec<String> {
    if range.first == range.last {
        return vec![range.first_addr().to_string()];
    }
    match range.as_net() {
        Some(net) => vec![net.to_string()],
        None => vec![format!("{}-{}", range.first_addr(), range.last_addr())],
    }
}

fn every(family: Option<Family>) -> AddrSet {
    family.map_or_else(AddrSet::full, |family| AddrSet::full().of(family))
}

fn addresses(family: Option<Family>, values: &RangeSet<u128>) -> AddrSet {
    let short = u128::from(u32::MAX);
    let mut ranges = Vec::new();
    for &(first, last) in values.ranges() {
        if family != Some(Family::V6) && first <= short {
            ranges.push(AddrRange { family: Family::V4, first, last: last.min(short) });
        }
        if family != Some(Family::V4) {
            ranges.push(AddrRange { family: Family::V6, first, last });
        }
    }
    AddrSet::from_ranges(ranges)
}

fn interfaces(space: &Space, values: &RangeSet<u128>) -> Vec<String> {
    let known = (1u128..).map_while(|n| space.interface_name(n).map(|name| (n, name)));
    let (inside, outside): (Vec<_>, Vec<_>) = known.partition(|(n, _)| values.contains(*n));
    let names = |of: Vec<(u128, &str)>| of.into_iter().map(|(_, name)| name.to_owned()).collect::<Vec<_>>();
    if values.contains(u128::from(u32::MAX)) {
        // Interfaces that nobody has named are in.
        let but = names(outside);
        return if but.is_empty() { Vec::new() } else { vec![format!("all but {}", but.join(", "))] };
    }
    names(inside)
}

fn states(values: &RangeSet<u128>) -> Vec<String> {
    let held = (0u128..).zip(CtState::ALL).filter(|(n, _)| values.contains(*n));
    held.map(|(_, state)| state.keyword().to_owned()).collect()
}

/// Any other field.
fn in_words(space: &Space, field: Field, values: &RangeSet<u128>) -> Option<String> {
    let on = values.contains(1);
    Some(match field {
        Field::Sport => format!("from port {}", numbers(values, field.last())),
        Field::OrigSport => format!("first from port {}", numbers(values, field.last())),
        Field::OrigDport => format!("first to port {}", numbers(values, field.last())),
        Field::TcpFlags => flags(values),
        Field::Ttl => format!("ttl {}", numbers(values, field.last())),
        Field::CtDirection => if on { "in reply direction" } else { "in original direction" }.to_owned(),
        Field::Dnat => if on { "with a translated destination" } else { "not dnat" }.to_owned(),
        Field::Snat => if on { "with a translated source" } else { "not snat" }.to_owned(),
        Field::Mark => format!("mark {}", numbers(values, field.last())),
        Field::Skuid => {
            let shifted = values.ranges().iter().filter(|(_, last)| *last > 0);
            let shifted = shifted.map(|(first, last)| (first.saturating_sub(1), last.saturating_sub(1)));
            format!("of user {}", numbers(&RangeSet::from_ranges(shifted), field.last().saturating_sub(1)))
        }
        Field::Time => {
            // What holds until a date holds up to the nanosecond before it.
            let each = values.ranges().iter().map(|&(first, last)| match (first, last.saturating_add(1)) {
                (0, end) => format!("until {}", utc(end)),
                (first, _) if last >= field.last() => format!("from {} on", utc(first)),
                (first, end) => format!("from {} until {}", utc(first), utc(end)),
            });
            each.collect::<Vec<_>>().join(" or ")
        }
        Field::Exceeded(_) => {
            let limit = space.limit_of(field)?;
            let word = if on { "over" } else { "within" };
            let each = if limit.per == Per::Source { " for each source" } else { "" };
            format!("{word} {} in {} s, burst {}{each}", limit.rate, limit.unit_seconds, limit.burst)
        }
        Field::Atom(_) => {
            let (_, words) = space.atoms().into_iter().find(|(of, _)| *of == field)?;
            format!("where {}{words}", if on { "" } else { "not " })
        }
        Field::SentSport => format!("sent from port {}", numbers(values, field.last())),
        Field::SentDport => format!("sent to port {}", numbers(values, field.last())),
        Field::Family
        | Field::Iif
        | Field::Oif
        | Field::Ct
        | Field::Proto
        | Field::Dst
        | Field::Src
        | Field::Dport
        | Field::IcmpType
        | Field::IcmpCode
        | Field::OrigSrc
        | Field::OrigDst
        | Field::SentSrc
        | Field::SentDst => return None,
    })
}

/// `2027-06-30T18:00:00Z` for nanoseconds since 1970; with as many digits behind the second as it takes.
fn utc(nanoseconds: u128) -> String {
    let at = i128::try_from(nanoseconds).ok();
    let at = at.and_then(|at| time::OffsetDateTime::from_unix_timestamp_nanos(at).ok());
    let told = at.and_then(|at| at.format(&time::format_description::well_known::Rfc3339).ok());
    told.unwrap_or_else(|| format!("{nanoseconds} ns after 1970"))
}

/// TCP flags as the bits that all of the combinations have, and those that none has.
fn flags(values: &RangeSet<u128>) -> String {
    const NAMES: [&str; 8] = ["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr"];
    let held: Vec<u128> = tcp_flag::combinations().filter(|n| values.contains(*n)).collect();
    let bits = (0u32..).zip(NAMES);
    let (mut set, mut clear) = (Vec::new(), Vec::new());
    for (bit, name) in bits {
        let with = held.iter().filter(|n| *n & (1 << bit) != 0).count();
        if with == held.len() {
            set.push(name);
        } else if with == 0 {
            clear.push(name);
        }
    }
    let free = NAMES.len().saturating_sub(set.len()).saturating_sub(clear.len());
    if held.len() == 1 << free {
        let set = if set.is_empty() { "none".to_owned() } else { set.join("|") };
        let clear = if clear.is_empty() { String::new() } else { format!(", not {}", clear.join("|")) };
        return format!("with flags {set}{clear}");
    }
    format!("with flags {}", numbers(values, Field::TcpFlags.last()))
}
