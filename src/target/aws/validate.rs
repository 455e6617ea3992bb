//! What EC2 would refuse, said before EC2 says it: of what we emit, of what we import, and of every call.
//!
//! The types of [`artifact`](super::artifact) already exclude values that no rule can have; here is what only a whole can
//! offend against: texts, names, duplicates, references, quotas. Every offence is data with its place; nothing is
//! corrected. [`estate`] looks at everything at once, [`call::Api`] at one call after another, as EC2 does.
//!
//! Sources: EC2 API reference, Amazon VPC quotas; where only people's reports tell, `docs/aws.md` says so.

pub mod call;
pub mod quota;
pub mod text;

use std::collections::{BTreeMap, BTreeSet};

use super::artifact::{
    Acl, Direction, Estate, Fault, Group, GroupRef, Icmp, Interface, Offence, Path, Peer, PeerKey,
    PrefixList, Quota, Rule, Strictness, Tag, Traffic,
};
use crate::net::Family;
use quota::Limits;

/// Everything that EC2 would refuse of an estate, in the order of its parts.
///
/// [`Strictness::Asked`]: it is to be made. [`Strictness::Recorded`]: it is there, so that names EC2 keeps to itself are its
/// own, and what reaches into other accounts may be.
#[must_use]
pub fn estate(estate: &Estate, limits: &Limits, how: Strictness) -> Vec<Offence> {
    let mut check = Check { estate, limits, how, offences: Vec::new() };
    for group in &estate.groups {
        check.group(group);
    }
    check.names();
    for interface in &estate.interfaces {
        check.interface(interface);
    }
    for list in &estate.lists {
        check.list(list);
    }
    for acl in &estate.acls {
        check.acl(acl);
    }
    check.limit("security groups in a region", estate.groups.len(), limits.groups, &Path::root());
    check.limit("prefix lists in a region", estate.lists.len(), limits.lists, &Path::root());
    for fault in limits.faults() {
        check.say(&Path::root().key("quotas"), fault);
    }
    check.offences
}

struct Check<'e> {
    estate: &'e Estate,
    limits: &'e Limits,
    how: Strictness,
    offences: Vec<Offence>,
}

impl Check<'_> {
    fn say(&mut self, place: &Path, fault: Fault) {
        self.offences.push(Offence { place: place.clone(), fault });
    }

    fn ask(&mut self, place: &Path, fault: Option<Fault>) {
        if let Some(fault) = fault {
            self.say(place, fault);
        }
    }

    fn limit(&mut self, what: &'static str, count: usize, limit: usize, place: &Path) {
        if count > limit {
            let quota = Quota { what, direction: None, family: None, count, limit, largest: None };
            self.say(place, Fault::Quota(Box::new(quota)));
        }
    }

    fn group(&mut self, group: &Group) {
        let place = Path::root().key(&group.id);
        if self.how == Strictness::Asked {
            self.ask(&place.key("GroupName"), text::group_name(group.name.as_deref()));
            self.ask(&place.key("Description"), text::group_description(group.description.as_deref()));
        }
        self.tags(&group.tags, &place);
        for direction in Direction::BOTH {
            let place = place.key(direction.word());
            let Some(rules) = group.rules(direction) else {
                if self.how == Strictness::Asked {
                    self.say(&place, Fault::Missing("the list of rules"));
                }
                continue;
            };
            let mut seen: BTreeMap<(Traffic, PeerKey), usize> = BTreeMap::new();
            for (at, rule) in rules.iter().enumerate() {
                self.rule(group, rule, &place.index(at));
                match seen.get(&rule.key()) {
                    Some(first) => {
                        let first = place.index(*first);
                        self.say(&place.index(at), Fault::Duplicate { what: "rule", first });
                    }
                    None => drop(seen.insert(rule.key(), at)),
                }
            }
            for fault in quota::faults(self.estate, group, direction, self.limits) {
                self.say(&place, fault);
            }
        }
    }

    fn rule(&mut self, group: &Group, rule: &Rule, place: &Path) {
        self.ask(&place.key("Description"), rule.description.as_deref().and_then(text::rule_description));
        self.ask(place, rule.family_fault());
        if let Traffic::Icmp(Icmp::NoType(code)) | Traffic::Icmpv6(Icmp::NoType(code)) = rule.traffic {
            self.say(place, Fault::CodeWithoutType(code));
        }
        match &rule.peer {
            Peer::V4(_) | Peer::V6(_) => {}
            Peer::List(list) => {
                if self.estate.list(&list.id).is_none() {
                    self.say(place, Fault::Unknown { kind: "prefix list", id: list.id.clone() });
                }
            }
            Peer::Group(named) => self.ask(place, reference(self.estate, group, named, self.how)),
        }
    }

    /// Names are told apart within a VPC, whatever the case of their letters.
    fn names(&mut self) {
        let mut taken: BTreeMap<(Option<&str>, String), &str> = BTreeMap::new();
        let mut ids: BTreeSet<&str> = BTreeSet::new();
        for group in &self.estate.groups {
            let place = Path::root().key(&group.id);
            if !ids.insert(&group.id) {
                let fault = Fault::Duplicate { what: "id", first: place.clone() };
                self.offences.push(Offence { place: place.clone(), fault });
            }
            let Some(name) = &group.name else { continue };
            let folded = (group.vpc.as_deref(), text::folded(name));
            if let Some(other) = taken.get(&folded) {
                let fault = Fault::NameTaken { name: name.clone(), other: (*other).to_owned() };
                self.offences.push(Offence { place: place.key("GroupName"), fault });
            } else {
                taken.insert(folded, &group.id);
            }
        }
    }

    fn interface(&mut self, interface: &Interface) {
        let place = Path::root().key(&interface.id).key("Groups");
        let Some(groups) = &interface.groups else {
            if self.how == Strictness::Asked {
                self.say(&place, Fault::Missing("the list of groups"));
            }
            return;
        };
        self.limit("groups on an interface", groups.len(), self.limits.groups_per_interface, &place);
        for (at, id) in groups.iter().enumerate() {
            if self.estate.group(id).is_none() {
                self.say(&place.index(at), Fault::Unknown { kind: "security group", id: id.clone() });
            }
            if let Some(first) = groups.iter().position(|other| other == id)
                && first < at
            {
                let first = place.index(first);
                self.say(&place.index(at), Fault::Duplicate { what: "group", first });
            }
        }
    }

    fn list(&mut self, list: &PrefixList) {
        let place = Path::root().key(&list.id);
        self.tags(&list.tags, &place);
        if self.how == Strictness::Asked {
            self.ask(&place.key("PrefixListName"), text::list_name(list.name.as_deref()));
        }
        let entries = list.entries.as_deref().unwrap_or_default();
        if let Some(max) = list.max_entries {
            let max = usize::try_from(max).unwrap_or(usize::MAX);
            self.limit("entries in a prefix list", entries.len(), max, &place.key("Entries"));
        }
        for (at, entry) in entries.iter().enumerate() {
            let place = place.key("Entries");
            let found = Family::of(entry.cidr.addr());
            if let Some(family) = list.family.filter(|family| *family != found) {
                self.say(&place.index(at), Fault::ListFamily { list: family, found });
            }
            self.ask(
                &place.index(at).key("Description"),
                entry.description.as_deref().and_then(text::rule_description),
            );
            let first = entries.iter().position(|other| other.cidr == entry.cidr);
            if let Some(first) = first.filter(|first| *first < at) {
                let first = place.index(first);
                self.say(&place.index(at), Fault::Duplicate { what: "network", first });
            }
        }
    }

    fn acl(&mut self, acl: &Acl) {
        let place = Path::root().key(&acl.id).key("Entries");
        self.tags(&acl.tags, &place);
        for (at, entry) in acl.entries.iter().enumerate() {
            self.ask(&place.index(at), entry.family_fault());
            if let Traffic::Icmp(Icmp::NoType(code)) | Traffic::Icmpv6(Icmp::NoType(code)) = entry.traffic {
                self.say(&place.index(at), Fault::CodeWithoutType(code));
            }
            let same = |other: &super::artifact::AclEntry| {
                (other.direction, other.number) == (entry.direction, entry.number)
            };
            let first = acl.entries.iter().position(same);
            if let Some(first) = first.filter(|first| *first < at) {
                let first = place.index(first);
                self.say(&place.index(at), Fault::Duplicate { what: "rule number", first });
            }
        }
        for fault in quota::acl_faults(acl, self.limits) {
            self.say(&place, fault);
        }
    }

    fn tags(&mut self, tags: &[Tag], place: &Path) {
        for (at, fault) in text::tags(tags, self.how) {
            let place = place.key("Tags");
            self.say(&at.map_or(place.clone(), |at| place.index(at)), fault);
        }
    }
}

/// What is wrong with a reference from a group to another.
pub(super) fn reference(estate: &Estate, from: &Group, named: &GroupRef, how: Strictness) -> Option<Fault> {
    let foreign = named.peering.is_some() || (named.owner.is_some() && named.owner != from.owner);
    match estate.group(&named.id) {
        None if how == Strictness::Recorded && foreign => None,
        None => Some(Fault::Unknown { kind: "security group", id: named.id.clone() }),
        Some(other) if how == Strictness::Asked && other.vpc != from.vpc && named.peering.is_none() => {
            let vpc = other.vpc.clone().unwrap_or_default();
            Some(Fault::Unpeered { group: named.id.clone(), vpc })
        }
        Some(_) => None,
    }
}
