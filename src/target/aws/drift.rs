//! What is live against what is wanted: every group and direction that differs, with a packet on which it does.
//!
//! Twice. *Symbolic*: group by group, with the members of groups and lists as roles, so that it holds for whatever interfaces
//! come and go. *Grounded*: interface by interface of the description, all its groups together, with members and networks as
//! they are at that moment; two groups that differ may come to the same there, and what differs there reaches somebody
//! today. What the description does not tell is said and never taken for equal, and so is a rule of which nobody knows what EC2
//! makes of it ([`Unknown::Odd`]). Far ends that nobody is ([`Terms::nobody`]) are not compared.
//!
//! Of two descriptions ([`changes`]) each has its own interfaces: one that came, went or wears other groups differs too, and so
//! does one that lost or got its `SourceDestCheck`.

pub mod effect;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::artifact::{Canonical, Direction, Estate, Group, Peer, PeerKey, PrefixList, Rule, Traffic};
use super::plan::pair::{self, Paired, elsewhere};
use super::plan::{Elsewhere, Foreign, Obstacle, Terms};
use super::sim::admits::{self, Admits, Difference};
use super::sim::{Role, Unknown};
use crate::net::{AddrSet, CtState, Field, Packet, PacketSet, Space};

/// All that differs; equal estates give the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drift {
    /// Wanted groups and prefix lists that are not there.
    pub missing: Vec<String>,
    /// Of two descriptions ([`changes`]): groups that are there and were not.
    pub added: Vec<String>,
    /// Wanted groups that are in another VPC than they are wanted in: nobody who is meant can wear them.
    pub elsewhere: Vec<Elsewhere>,
    /// Groups that carry our mark, in a VPC of the terms, and are not wanted.
    pub left_over: Vec<String>,
    /// Groups whose rules differ in meaning.
    pub groups: Vec<GroupDrift>,
    /// Groups whose rules mean the same and are other rules, or carry other texts.
    pub wording: Vec<(String, Direction)>,
    /// Prefix lists with other networks.
    pub lists: Vec<ListDrift>,
    /// Interfaces at which something else passes.
    pub interfaces: Vec<InterfaceDrift>,
    /// Of two descriptions: interfaces whose `SourceDestCheck` is another one.
    pub checks: Vec<CheckDrift>,
    /// Of two descriptions: interfaces that are reached by other addresses.
    pub reached: Vec<ReachedDrift>,
    /// What could not be compared, and why.
    pub unknown: Vec<(String, Unknown)>,
}

/// A group that lets pass something else, in a direction, for some member of some groups and lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDrift {
    /// Its live id.
    pub group: String,
    /// The direction.
    pub direction: Direction,
    /// What is live and not wanted: a packet that passes and should not. `wider`.
    pub more: Option<Witness>,
    /// What is wanted and not live: a packet that should pass and does not.
    pub less: Option<Witness>,
}

/// A packet, with the role that its far end has for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// None where it is the same for everybody.
    pub role: Option<Role>,
    /// The packet.
    pub packet: Packet,
    /// The rules that let it pass, on the side that does; by their words for people.
    pub by: Vec<Rule>,
}

/// A prefix list with other networks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListDrift {
    /// Its live id.
    pub list: String,
    /// Networks that are live and not wanted.
    pub more: Vec<IpNet>,
    /// Networks that are wanted and not live.
    pub less: Vec<IpNet>,
}

/// An interface at which something else passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceDrift {
    /// Its id.
    pub interface: String,
    /// The direction.
    pub direction: Direction,
    /// A packet that passes and should not.
    pub more: Option<Packet>,
    /// A packet that should pass and does not.
    pub less: Option<Packet>,
}

/// An interface whose `SourceDestCheck` is another one: groups are made of addresses and of who wears what, and one without it
/// sends from addresses of others, and is sent what is theirs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckDrift {
    /// Its id.
    pub interface: String,
    /// Whether it has it now.
    pub is_checked: bool,
}

/// An interface that is in both, and is reached by other addresses than it was: public ones, or ones of IPv6 where it had none.
/// What its groups admit comes to it there too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReachedDrift {
    /// Its id.
    pub interface: String,
    /// The addresses that it has now.
    pub more: Vec<IpAddr>,
    /// Those that it has no more.
    pub less: Vec<IpAddr>,
}

impl Drift {
    /// Whether what is live admits what is wanted, and all could be compared.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.admits_the_same()
            && self.missing.is_empty()
            && self.left_over.is_empty()
            && self.wording.is_empty()
    }

    /// Whether nothing passes that should not, nor the other way round; whatever else is there or is told otherwise.
    #[must_use]
    pub fn admits_the_same(&self) -> bool {
        self.groups.is_empty()
            && self.lists.is_empty()
            && self.interfaces.is_empty()
            && self.checks.is_empty()
            && self.reached.is_empty()
            && self.unknown.is_empty()
            && self.missing.is_empty()
            && self.elsewhere.is_empty()
    }
}

/// Compares a live estate with a wanted one. A live group is the wanted one by its id, or by its name in its VPC; whose
/// it is does not matter here.
///
/// # Errors
/// [`Obstacle`]: it cannot be told which live thing is the wanted one.
pub fn drift(live: &Estate, wanted: &Estate, terms: &Terms) -> Result<Drift, Vec<Obstacle>> {
    // What else is live is whoever's it is.
    compared(live, wanted, terms, Wearers::Live).map(|drift| Drift { added: Vec::new(), ..drift })
}

/// Compares what is described with what was: `more` is what passes now and did not. Who wears what is compared where both
/// describe interfaces.
///
/// # Errors
/// [`Obstacle`]: it cannot be told which thing is which.
pub fn changes(is: &Estate, was: &Estate) -> Result<Drift, Vec<Obstacle>> {
    let told = !is.interfaces.is_empty() && !was.interfaces.is_empty();
    changes_where(is, was, told)
}

/// The same, where it is known whether both tell who wears what: of a policy that has no group, nobody does.
///
/// # Errors
/// As [`changes`].
pub fn changes_where(is: &Estate, was: &Estate, told: bool) -> Result<Drift, Vec<Obstacle>> {
    compared(is, was, &Terms::default(), if told { Wearers::Each } else { Wearers::Untold })
}

/// Who wears what is wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wearers {
    /// Whoever wears it now: what is wanted are groups, whoever their members are.
    Live,
    /// Whoever wears it now, of two descriptions that do not both tell.
    Untold,
    /// Each side's own interfaces.
    Each,
}

fn compared(live: &Estate, wanted: &Estate, terms: &Terms, wearers: Wearers) -> Result<Drift, Vec<Obstacle>> {
    let terms = Terms { foreign: Foreign::Adopt, ..terms.clone() };
    let paired = pair::pair(live, wanted, &terms)?;
    let mut drift = Drift::default();
    let mut space = Space::default();
    for wanted in &paired.wanted.groups {
        match live.group(&wanted.id) {
            None => drift.missing.push(wanted.id.clone()),
            Some(group) => {
                // The interfaces of a description are those of its own groups.
                drift.elsewhere.extend(elsewhere(group, wanted).filter(|_| wearers == Wearers::Live));
                drift.group(group, wanted, &terms.nobody, &mut space);
            }
        }
    }
    let ours = live.groups.iter().filter(|group| terms.own(group));
    let unwanted = ours.filter(|group| paired.wanted.group(&group.id).is_none());
    let unpaired = live.groups.iter().filter(|group| paired.wanted.group(&group.id).is_none());
    drift.added = unpaired.map(|group| group.id.clone()).collect();
    drift.left_over = unwanted.map(|group| group.id.clone()).collect();
    drift.lists(&paired, wearers);
    drift.interfaces(&paired, wearers, &terms.nobody, &mut space);
    if wearers == Wearers::Each {
        drift.checks(paired.live, wanted);
        drift.reached(paired.live, wanted);
    }
    Ok(drift)
}

impl Drift {
    fn group(&mut self, live: &Group, wanted: &Group, nobody: &AddrSet, space: &mut Space) {
        for direction in Direction::BOTH {
            let (Some(is), Some(meant)) = (live.rules(direction), wanted.rules(direction)) else {
                let why = Unknown::Rules { group: live.id.clone(), direction };
                self.unknown.push((live.id.clone(), why));
                continue;
            };
            if odd(is) != odd(meant) {
                self.unknown.push((live.id.clone(), Unknown::Odd { group: live.id.clone(), direction }));
            }
            match differ((live, wanted), direction, nobody, space) {
                Err(why) if self.unknown.contains(&(live.id.clone(), why.clone())) => {}
                Err(why) => self.unknown.push((live.id.clone(), why)),
                Ok((None, None)) => {
                    if odd(is) == odd(meant) && words(is) != words(meant) {
                        self.wording.push((live.id.clone(), direction));
                    }
                }
                Ok((more, less)) => {
                    self.groups.push(GroupDrift { group: live.id.clone(), direction, more, less });
                }
            }
        }
    }

    fn lists(&mut self, paired: &Paired<'_>, wearers: Wearers) {
        for wanted in &paired.wanted.lists {
            let live = paired.live.list(&wanted.id);
            let (is, meant) = (live.and_then(PrefixList::addresses), wanted.addresses());
            let (is, meant) = match (live, is, meant) {
                (_, Some(is), Some(meant)) => (is, meant),
                // Of which nobody tells or wishes the networks it is a role. What a description did not tell is not nothing.
                (None, _, None) | (Some(_), None, None) => continue,
                (_, _, None) if wearers == Wearers::Live => continue,
                (Some(_), ..) => {
                    self.unknown.push((wanted.id.clone(), Unknown::List(wanted.id.clone())));
                    continue;
                }
                (None, ..) => {
                    self.missing.push(wanted.id.clone());
                    continue;
                }
            };
            let (more, less) = (is.difference(&meant).networks(), meant.difference(&is).networks());
            if !more.is_empty() || !less.is_empty() {
                self.lists.push(ListDrift { list: wanted.id.clone(), more, less });
            }
        }
    }

    /// Interface by interface, all groups together: those of nobody's wish as they are, on both sides.
    fn interfaces(&mut self, paired: &Paired<'_>, wearers: Wearers, nobody: &AddrSet, space: &mut Space) {
        let meant = match wearers {
            Wearers::Live | Wearers::Untold => meant(paired),
            Wearers::Each => paired.wanted.clone(),
        };
        let both = paired.live.interfaces.iter().chain(&meant.interfaces);
        let all: BTreeSet<&String> = both.map(|interface| &interface.id).collect();
        for interface in all {
            for direction in Direction::BOTH {
                match differs((paired.live, &meant), (interface, direction), nobody, space) {
                    Ok((None, None)) => {}
                    Ok((more, less)) => {
                        let interface = interface.clone();
                        self.interfaces.push(InterfaceDrift { interface, direction, more, less });
                    }
                    // What is not told is mostly so both ways.
                    Err(why) if self.unknown.contains(&(interface.clone(), why.clone())) => {}
                    Err(why) => self.unknown.push((interface.clone(), why)),
                }
            }
        }
    }
}

impl Drift {
    /// Whether each interface handles packets that are not its own. One that was not there did not.
    fn checks(&mut self, is: &Estate, was: &Estate) {
        for interface in &is.interfaces {
            let before = was.interface(&interface.id);
            let was_checked = before.map_or(Some(true), |before| before.source_dest_check);
            match (was_checked, interface.source_dest_check) {
                (Some(was), Some(is_checked)) if was != is_checked => {
                    self.checks.push(CheckDrift { interface: interface.id.clone(), is_checked });
                }
                (Some(_), Some(_)) | (None, None) => {}
                (Some(_), None) if before.is_none() => {}
                (Some(_), None) | (None, Some(_)) => {
                    let id = interface.id.clone();
                    self.unknown.push((id.clone(), Unknown::SourceDestCheck(id)));
                }
            }
        }
    }
}

impl Drift {
    /// By which addresses each interface is reached from where its private ones mean nothing.
    fn reached(&mut self, is: &Estate, was: &Estate) {
        for interface in &is.interfaces {
            let Some(before) = was.interface(&interface.id) else { continue };
            let both = [before, interface];
            let first_of_six = both.iter().any(|one| !one.addresses.iter().any(IpAddr::is_ipv6));
            let [was, is] = both.map(|one| -> BTreeSet<IpAddr> {
                let six = one.addresses.iter().copied().filter(|addr| first_of_six && addr.is_ipv6());
                one.public.iter().map(|(_, outer)| IpAddr::V4(*outer)).chain(six).collect()
            });
            if was != is {
                let more = is.difference(&was).copied().collect();
                let less = was.difference(&is).copied().collect();
                self.reached.push(ReachedDrift { interface: interface.id.clone(), more, less });
            }
        }
    }
}

/// A packet that passes at an interface and should not, and one that should and does not. Nothing starts at one that is not
/// there; that answers pass is no difference.
///
/// # Errors
/// [`Unknown`].
pub fn differs(
    (live, meant): (&Estate, &Estate),
    (interface, direction): (&str, Direction),
    nobody: &AddrSet,
    space: &mut Space,
) -> Result<(Option<Packet>, Option<Packet>), Unknown> {
    let mut of = |estate: &Estate| match estate.interface(interface) {
        Some(_) => admits::grounded(estate, interface, direction, space),
        None => Ok(space.ct(&[CtState::Established])),
    };
    let (is, should) = (of(live)?, of(meant)?);
    let somebody = somebody(direction, nobody, space);
    let (more, less) = (space.minus(is, should), space.minus(should, is));
    let (more, less) = (space.and(more, somebody), space.and(less, somebody));
    Ok((space.witness(more, &[])?, space.witness(less, &[])?))
}

/// The packets whose far end somebody may be.
fn somebody(direction: Direction, nobody: &AddrSet, space: &mut Space) -> PacketSet {
    let far = match direction {
        Direction::Ingress => Field::Src,
        Direction::Egress => Field::Dst,
    };
    space.address(far, &nobody.complement())
}

/// The rules of which nobody knows what EC2 makes of them: ICMP of one family for a network of the other, which no call takes
/// and a recording may have.
fn odd(rules: &[Rule]) -> BTreeSet<(Traffic, PeerKey)> {
    rules.iter().filter(|rule| rule.family_fault().is_some()).map(Rule::key).collect()
}

/// The live estate with the rules and networks that are wanted.
fn meant(paired: &Paired<'_>) -> Estate {
    let mut meant = paired.live.clone();
    for group in &mut meant.groups {
        if let Some(wanted) = paired.wanted.group(&group.id) {
            group.ingress.clone_from(&wanted.ingress);
            group.egress.clone_from(&wanted.egress);
        }
    }
    // What a wanted rule names and is still to be made has no members yet.
    let new = paired.wanted.groups.iter().filter(|group| paired.live.group(&group.id).is_none());
    meant.groups.extend(new.cloned());
    for list in &paired.wanted.lists {
        match meant.lists.iter_mut().find(|live| live.id == list.id) {
            Some(live) if list.entries.is_some() => live.entries.clone_from(&list.entries),
            Some(_) => {}
            None => meant.lists.push(list.clone()),
        }
    }
    meant
}

/// What the live group has more, and what it has less.
fn differ(
    (live, wanted): (&Group, &Group),
    direction: Direction,
    nobody: &AddrSet,
    space: &mut Space,
) -> Result<(Option<Witness>, Option<Witness>), Unknown> {
    let form = |group: &Group| group.rules(direction).map(Canonical::of);
    // The form knows ids and no peerings: a stale reference is one to it, and means nobody.
    let stale = |group: &Group| {
        let mut rules = group.rules(direction).unwrap_or_default().iter();
        rules.any(|rule| matches!(&rule.peer, Peer::Group(named) if named.is_stale()))
    };
    if form(live) == form(wanted) && !stale(live) && !stale(wanted) {
        return Ok((None, None));
    }
    let somebody = somebody(direction, nobody, space);
    let mut of = |group: &Group| -> Result<Admits, Unknown> {
        let mut all = admits::symbolic(&[group], direction, space)?;
        for set in all.roles.values_mut().chain([&mut all.anyone]) {
            *set = space.and(*set, somebody);
        }
        Ok(all)
    };
    let (is, should) = (of(live)?, of(wanted)?);
    let mut found = BTreeMap::new();
    // What the second side has and the first has not comes first: ask both ways round.
    for (key, (one, other, side)) in [("more", (&should, &is, live)), ("less", (&is, &should, wanted))] {
        if let Some(Difference { role, packet, wider: true }) = one.difference(other, space)? {
            let by = by(side, direction, role.as_ref(), &packet)?;
            found.insert(key, Witness { role, packet, by });
        }
    }
    Ok((found.remove("more"), found.remove("less")))
}

/// The rules of a group that let a packet pass.
fn by(
    group: &Group,
    direction: Direction,
    role: Option<&Role>,
    packet: &Packet,
) -> Result<Vec<Rule>, Unknown> {
    let roles = super::sim::Roles(role.into_iter().cloned().collect());
    let mut by = Vec::new();
    for rule in group.rules(direction).unwrap_or_default() {
        let mut alone = Group::closed(&group.id);
        *alone.rules_mut(direction) = Some(vec![rule.clone()]);
        let run = super::sim::run::symbolic(&[&alone], direction, packet, &roles)?;
        if run.verdict == crate::net::Verdict::Accept {
            by.push(rule.clone());
        }
    }
    Ok(by)
}

/// Rules in an order, texts included.
fn words(rules: &[Rule]) -> Vec<(PeerKey, Traffic, Option<String>)> {
    let mut words: Vec<_> =
        rules.iter().map(|rule| (rule.peer.key(), rule.traffic, rule.description.clone())).collect();
    words.sort();
    words
}
