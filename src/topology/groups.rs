//! What security groups have to admit: which groups make up the ends of each statement, and what cannot be said so
//! (S53 to S56).
//!
//! A statement is read at every interface by itself; a group has to admit what all its members are to admit alike, and what is
//! left over at some member is `too-coarse`.

use std::collections::{BTreeMap, BTreeSet};

use super::Topology;
use crate::diag::{Diagnostic, Findings, code};
use crate::model::{
    Access, AccessId, Action, End, GroupId, HostId, LegId, Nat, Place, Site, Term, Waiver, Way,
};
use crate::net::{AddrSet, Family, Proto, RangeSet, Spoken};

/// A leg that wears groups.
type Interface = (HostId, LegId);

/// What one group admits for one statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// The group.
    pub group: GroupId,
    /// Which way.
    pub way: Way,
    /// The statement.
    pub access: AccessId,
    /// Far ends by address.
    pub addrs: Vec<(AddrSet, Spoken)>,
    /// Far ends by group.
    pub groups: Vec<(GroupId, Spoken)>,
}

/// Whether some leg that wears a group is at an end.
pub(super) fn meets(site: &Site, end: &End) -> bool {
    site.security_groups.iter().flat_map(|group| &group.members).any(|leg| reads(site, end, *leg))
}

/// Why a statement cannot be said by groups.
enum Trouble {
    /// The leg is in an end, and some that wear the same groups are not.
    Coarse { leg: Interface, near: bool },
    /// Two who wear a group are told apart by a family alone, which one of them has not.
    Family { has: Interface, lacks: Interface, family: Family },
    /// A `deny` reads some of a leg's addresses, or of the addresses it may have, and not the others.
    Partly { leg: Interface, deny: AccessId },
    /// Nobody knows the address, and a group of another vpc cannot be named.
    Unknown { leg: Interface },
}

/// What every group admits, statement by statement; nothing of statements that cannot be said.
pub fn shares(topology: &mut Topology<'_>) -> Vec<Share> {
    let site = topology.site();
    let mut all = Vec::new();
    for (id, access) in site.accesses().filter(|(_, a)| a.action == Action::Allow && a.nat.is_none()) {
        for way in Way::BOTH {
            all.extend(Reader { topology, id, access, way }.shares().unwrap_or_default());
        }
    }
    all
}

/// Reports what groups cannot say of a statement (S54, S56), and what is waived.
pub(super) fn check(topology: &mut Topology<'_>, (id, access): (AccessId, &Access), findings: &mut Findings) {
    let site = topology.site();
    if site.security_groups.is_empty() {
        return;
    }
    let (mut met, mut said) = (false, false);
    for way in Way::BOTH {
        let mut reader = Reader { topology, id, access, way };
        met |= site.interfaces().into_iter().any(|leg| reader.reads_near(leg));
        if access.action == Action::Deny || access.nat.is_some() {
            continue;
        }
        // One reason is enough, of the two ends.
        if let Err(trouble) = reader.shares()
            && !said
        {
            findings.push(say(site, access, &trouble));
            said = true;
        }
    }
    let wears =
        |addr: &std::net::IpAddr| site.owner_of(*addr).is_some_and(|(host, leg)| site.wears(host, leg));
    let translated = match &access.nat {
        Some(Nat::Dnat { to, .. } | Nat::Ipvs { servers: to, .. }) => met || to.iter().any(wears),
        Some(Nat::Masquerade | Nat::Snat(..)) => met,
        None => false,
    };
    if translated {
        let message = "a clause cannot be followed to an end that wears a security group";
        let help =
            "the addresses there would be others than are written: translate between machines without groups";
        findings.push(Diagnostic::error(code::UNSUPPORTED_ON_AWS, access.span, message).help(help));
    }
    if met {
        unsaid(access, findings);
    }
}

/// What of the statement groups cannot say, and what is waived of it.
fn unsaid(access: &Access, findings: &mut Findings) {
    let ports = |term: &Term| matches!(term, Term::Ports { from, .. } if !from.is_full());
    let said = [
        (Waiver::Limit, access.limit.is_some(), "limits nothing"),
        (Waiver::Log, access.log, "logs nothing"),
        (Waiver::Reject, access.reject, "only drops: it rejects nothing"),
        (Waiver::SourcePort, access.terms.iter().any(ports), "looks at no source port"),
        (Waiver::Until, access.until.is_some(), "knows no date"),
    ];
    for (waiver, is_said, why) in said {
        if !is_said || access.waives(waiver) {
            continue;
        }
        let word = waiver.word();
        let message = format!("an end of this wears a security group, which {why}");
        let help = format!("say what does it instead: `waive aws {word} \"reason\"`; or leave `{word}` out");
        findings.push(Diagnostic::error(code::UNSUPPORTED_ON_AWS, access.span, message).help(help));
    }
    for (waiver, reason) in access.remarks().waived_aws.iter().filter(|(waiver, _)| waiver.widens()) {
        let message = format!("security groups let more pass than this says: `{}` is waived", waiver.word());
        findings.push(Diagnostic::warning(code::AWS_DEVIATION, access.span, message).help(reason.clone()));
    }
}

fn say(site: &Site, access: &Access, trouble: &Trouble) -> Diagnostic {
    let name = |leg: &Interface| site.host(leg.0).map_or_else(String::new, |host| host.name.clone());
    let worn = |leg: &Interface| {
        let names =
            site.worn(leg.0, leg.1).filter_map(|id| site.security_group(id)).map(|g| format!("`{}`", g.name));
        names.collect::<Vec<_>>().join(", ")
    };
    match trouble {
        Trouble::Coarse { leg, near } => {
            let others = site.worn(leg.0, leg.1).filter_map(|id| site.security_group(id));
            let others: BTreeSet<Interface> =
                others.flat_map(|g| g.members.iter()).filter(|m| *m != leg).copied().collect();
            // Where legs of one machine are told apart, they are called by their own names.
            let legs = others.iter().any(|other| other.0 == leg.0);
            let called = |of: &Interface| {
                let zone = site.leg(of.0, of.1).and_then(|of| site.zone(of.zone));
                let zone = zone.filter(|_| legs && of.0 == leg.0).map(|zone| format!(".{}", zone.name));
                format!("`{}{}`", name(of), zone.unwrap_or_default())
            };
            let (this, groups) = (called(leg), worn(leg));
            let others: BTreeSet<String> = others.iter().map(called).collect();
            let message = if others.is_empty() {
                format!("this means some addresses of {this}, and {groups} has all of them or none")
            } else {
                let others = others.into_iter().collect::<Vec<_>>().join(", ");
                format!("this means {this}, and not alike all who wear {groups} with it: {others}")
            };
            let end = if *near { "would open this to them too" } else { "would let them in too" };
            let mut help = format!(
                "a rule of the group {end}: put those that are meant into a `security-group` of their own, which they may wear beside it"
            );
            if legs {
                help.push_str(
                    "; a machine that is named as a whole speaks by one of its legs, `HOST.ZONE` by that one",
                );
            }
            Diagnostic::error(code::TOO_COARSE, access.span, message).help(help)
        }
        Trouble::Family { has, lacks, family } => {
            let family = if *family == Family::V4 { "IPv4" } else { "IPv6" };
            let (has, groups, lacks) = (name(has), worn(has), name(lacks));
            let message = format!(
                "this means `{has}` over {family} too, and `{lacks}`, which wears {groups} with it, has no {family} address"
            );
            Diagnostic::error(code::TOO_COARSE, access.span, message).help(format!(
                "a rule of the group is for all who wear it: give `{lacks}` an address of {family}, put those that have one \
                 into a `security-group` of their own, or name the addresses of the other family alone"
            ))
        }
        Trouble::Partly { leg, deny } => {
            let message = format!(
                "a `deny` takes some addresses of `{}` from this, and a group has all or none",
                name(leg)
            );
            let mut finding = Diagnostic::error(code::TOO_COARSE, access.span, message)
                .help("let the `deny` name the machine, or all who wear its groups");
            if let Some(deny) = site.access(*deny) {
                finding = finding.also(deny.span, "this one");
            }
            finding
        }
        Trouble::Unknown { leg } => {
            let message =
                format!("the address of `{}` is not known, and its groups are of another vpc", name(leg));
            Diagnostic::error(code::DYNAMIC_LEG, access.span, message)
                .help("name its zone, or give it a static address")
        }
    }
}

/// One statement, as the interfaces of one direction read it.
struct Reader<'r, 's> {
    topology: &'r mut Topology<'s>,
    id: AccessId,
    access: &'r Access,
    way: Way,
}

/// What one interface admits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Admits {
    addrs: Vec<(AddrSet, Spoken)>,
    groups: Vec<(GroupId, Spoken)>,
}

impl Admits {
    /// What is admitted of some families.
    fn over(&self, families: &[Family]) -> Self {
        let of = |addrs: &AddrSet| {
            families.iter().fold(AddrSet::empty(), |all, family| all.union(&addrs.of(*family)))
        };
        let addrs = self.addrs.iter().map(|(addrs, what)| (of(addrs), what.over(families)));
        let groups = self.groups.iter().map(|(group, what)| (*group, what.over(families)));
        let mut some = Self { addrs: addrs.collect(), groups: groups.collect() };
        some.addrs.retain(|(addrs, what)| !addrs.is_empty() && !what.is_empty());
        some.groups.retain(|(_, what)| !what.is_empty());
        some
    }
}

impl Reader<'_, '_> {
    fn places(&self) -> (&Place, &Place) {
        match self.way {
            Way::Ingress => (&self.access.to, &self.access.from),
            Way::Egress => (&self.access.from, &self.access.to),
        }
    }

    /// The groups that the sentence names at the near and at the far end.
    fn named(&self) -> (&[GroupId], &[GroupId]) {
        let named = self.access.named();
        match self.way {
            Way::Ingress => (&named.to, &named.from),
            Way::Egress => (&named.from, &named.to),
        }
    }

    fn shares(&mut self) -> Result<Vec<Share>, Trouble> {
        if self.access.waives(Waiver::of(self.way)) {
            return Ok(Vec::new());
        }
        let site = self.topology.site();
        let mut near: BTreeMap<Interface, Admits> = BTreeMap::new();
        for leg in site.interfaces() {
            if self.reads_near(leg) {
                let admits = self.admits(leg)?;
                if admits != Admits::default() {
                    near.insert(leg, admits);
                }
            }
        }
        let whole = site.security_groups().filter_map(|(id, group)| {
            let first = near.get(group.members.first()?)?;
            group.members.iter().all(|m| near.get(m) == Some(first)).then_some((id, first.clone()))
        });
        let whole: BTreeMap<GroupId, Admits> = whole.collect();
        let wanted: BTreeSet<Interface> = near.keys().copied().collect();
        let cover = cover(site, &wanted, self.named().0, |id| whole.contains_key(&id));
        let cover = cover.map_err(|leg| self.apart(leg, &near))?;
        let shares = cover.into_iter().filter_map(|group| {
            let Admits { addrs, groups } = whole.get(&group)?.clone();
            Some(Share { group, way: self.way, access: self.id, addrs, groups })
        });
        Ok(shares.collect())
    }

    /// What tells a near leg from others that wear its groups.
    fn apart(&self, leg: Interface, near: &BTreeMap<Interface, Admits>) -> Trouble {
        let site = self.topology.site();
        let carries = |one: Interface| -> Vec<Family> {
            let of = site.leg(one.0, one.1);
            Family::BOTH.into_iter().filter(|family| of.is_some_and(|of| of.carries(site, *family))).collect()
        };
        let groups = site.worn(leg.0, leg.1).filter_map(|id| site.security_group(id));
        for other in groups.flat_map(|group| &group.members) {
            let (Some(one), Some(another)) = (near.get(&leg), near.get(other)) else { continue };
            let (own, theirs) = (carries(leg), carries(*other));
            let both: Vec<Family> = own.iter().copied().filter(|family| theirs.contains(family)).collect();
            if one == another || one.over(&both) != another.over(&both) {
                continue;
            }
            let more = own.iter().find(|family| !theirs.contains(family));
            let less = || theirs.iter().find(|family| !own.contains(family));
            match (more, less()) {
                (Some(family), _) => return Trouble::Family { has: leg, lacks: *other, family: *family },
                (None, Some(family)) => return Trouble::Family { has: *other, lacks: leg, family: *family },
                (None, None) => {}
            }
        }
        Trouble::Coarse { leg, near: true }
    }

    /// Whether the near place reads a leg at all. Of a leg with several addresses, some of them are enough to be
    /// asked about.
    fn reads_near(&mut self, leg: Interface) -> bool {
        let site = self.topology.site();
        let (near, _) = self.places();
        let Some(of) = site.leg(leg.0, leg.1) else { return false };
        let reads = |end: &End| match end {
            End::Zone(zone) => *zone == of.zone,
            End::Host(host) => *host == leg.0,
            End::Leg(host, l) => (*host, *l) == leg,
            End::Addrs(addrs) => of.addresses.iter().any(|a| addrs.contains(*a)),
            End::Anywhere => true,
        };
        near.plus.iter().any(reads) && !takes_away(site, &near.except, leg)
    }

    /// What the statement admits at one interface that it reads.
    fn admits(&mut self, leg: Interface) -> Result<Admits, Trouble> {
        let site = self.topology.site();
        let (near, far) = (self.places().0.clone(), self.places().1.clone());
        let Some(of) = site.leg(leg.0, leg.1) else { return Ok(Admits::default()) };
        let families: Vec<Family> = Family::BOTH.into_iter().filter(|f| of.carries(site, *f)).collect();
        let named = near.plus.iter().any(|end| !matches!(end, End::Addrs(_)));
        let own = AddrSet::from_ranges(
            near.plus
                .iter()
                .filter_map(|end| match end {
                    End::Addrs(addrs) => Some(addrs.ranges().collect::<Vec<_>>()),
                    End::Zone(_) | End::Host(_) | End::Leg(..) | End::Anywhere => None,
                })
                .flatten(),
        );
        let except = self.topology.wide_union(&near.except);
        if !named && !of.address_set().is_subset(&own) || !of.dynamic && of.is_among(&except) {
            return Err(Trouble::Coarse { leg, near: true });
        }
        let (by_address, by_group) = self.far_ends(leg, &far)?;
        let what = self.spoken(&families);
        let mut admits = Admits::default();
        let denies: Vec<(AccessId, &Access)> =
            site.accesses().filter(|(_, a)| a.action == Action::Deny && !a.waives(Waiver::Deny)).collect();
        let mut pieces = vec![(self.of_families(&by_address, &families), what.clone())];
        let mut of_groups: Vec<(GroupId, Spoken)> = by_group.iter().map(|id| (*id, what.clone())).collect();
        for (id, deny) in denies {
            let (to_near, to_far) = match self.way {
                Way::Ingress => (&deny.to, &deny.from),
                Way::Egress => (&deny.from, &deny.to),
            };
            if !self.denied(leg, to_near, id)? {
                continue;
            }
            let theirs = self.topology.widely(to_far);
            let silent = spoken(&deny.terms, deny.waives(Waiver::SourcePort)).over(&families);
            let cut = |(addrs, what): (AddrSet, Spoken)| {
                let rest = (addrs.difference(&theirs), what.clone());
                [rest, (addrs.intersection(&theirs), what.less(&silent))]
            };
            pieces = pieces.into_iter().flat_map(cut).collect();
            for (group, what) in &mut of_groups {
                let members = site.security_group(*group).map(|g| g.members.clone()).unwrap_or_default();
                let mut denied = members.iter().map(|member| self.denied(*member, to_far, id));
                let first = denied.next().transpose()?.unwrap_or(false);
                for other in denied {
                    if other? != first {
                        return Err(Trouble::Partly {
                            leg: members.first().copied().unwrap_or(leg),
                            deny: id,
                        });
                    }
                }
                if first {
                    *what = what.less(&silent);
                }
            }
        }
        pieces.retain(|(addrs, what)| !addrs.is_empty() && !what.is_empty());
        of_groups.retain(|(_, what)| !what.is_empty());
        pieces.sort();
        (admits.addrs, admits.groups) = (pieces, of_groups);
        Ok(admits)
    }

    /// Whether a `deny` reads a leg widely: all its addresses, or none.
    fn denied(&self, leg: Interface, place: &Place, deny: AccessId) -> Result<bool, Trouble> {
        let site = self.topology.site();
        let reads = self.topology.widely(place);
        let own = self.topology.wide(&End::Leg(leg.0, leg.1));
        let dynamic = site.leg(leg.0, leg.1).is_some_and(|of| of.dynamic);
        // By name it is meant whatever address it gets.
        let named = place.plus.iter().any(|end| match end {
            End::Host(host) => *host == leg.0,
            End::Leg(host, l) => (*host, *l) == leg,
            End::Zone(_) | End::Addrs(_) | End::Anywhere => false,
        });
        if reads.is_disjoint(&own) {
            Ok(false)
        } else if own.is_subset(&reads) || dynamic && named {
            Ok(true)
        } else {
            Err(Trouble::Partly { leg, deny })
        }
    }

    fn of_families(&self, addrs: &AddrSet, families: &[Family]) -> AddrSet {
        families.iter().fold(AddrSet::empty(), |all, family| all.union(&addrs.of(*family)))
    }

    fn spoken(&self, families: &[Family]) -> Spoken {
        spoken(&self.access.terms, self.access.waives(Waiver::SourcePort)).over(families)
    }

    /// The far ends: addresses, and groups that make up those who wear one.
    fn far_ends(&mut self, leg: Interface, far: &Place) -> Result<(AddrSet, Vec<GroupId>), Trouble> {
        let site = self.topology.site();
        let vpc = vpc_of(site, leg);
        let (mut addrs, mut worn) = (AddrSet::empty(), BTreeSet::new());
        for end in &far.plus {
            let machine = match end {
                End::Host(host) => Some((*host, self.speaks_by(*host, leg))),
                End::Leg(host, l) => Some((*host, Some(*l))),
                End::Zone(_) | End::Addrs(_) | End::Anywhere => None,
            };
            match machine {
                Some((host, Some(l))) if site.wears(host, l) && vpc_of(site, (host, l)) == vpc => {
                    if !takes_away(site, &far.except, (host, l)) && self.speaks_to(leg, (host, l)) {
                        worn.insert((host, l));
                    }
                }
                Some((host, Some(l))) => {
                    let of = site.leg(host, l);
                    if of.is_some_and(|of| of.dynamic) && site.wears(host, l) {
                        return Err(Trouble::Unknown { leg: (host, l) });
                    }
                    let own = of.map(crate::model::Leg::address_set).unwrap_or_default();
                    addrs = addrs.union(&self.by_the_leg(leg, &own));
                }
                Some((_, None)) => {}
                None => {
                    let rest = self.access.waives(Waiver::Rest) && is_rest(site, end);
                    let read = if rest {
                        AddrSet::full()
                    } else {
                        self.topology.kept_back(std::slice::from_ref(end))
                    };
                    // What is in no zone has no way here (S7).
                    let read = if rest { read } else { read.intersection(&zoned(site)) };
                    addrs = addrs.union(&if rest { read } else { self.by_the_leg(leg, &read) });
                }
            }
        }
        let addrs = addrs.difference(&self.topology.wide_union(&far.except));
        let cover = cover(site, &worn, self.named().1, |id| {
            site.security_group(id).is_some_and(|g| g.members.iter().all(|m| worn.contains(m)))
        });
        let mut cover = cover.map_err(|leg| Trouble::Coarse { leg, near: false })?;
        cover.sort_unstable();
        Ok((addrs, cover))
    }

    /// Whether the near machine sends, and is named as a whole alone: then it speaks by the leg towards the far end (S12).
    fn chooses(&self, leg: Interface) -> bool {
        let site = self.topology.site();
        let several = site.host(leg.0).is_some_and(|machine| machine.legs.len() > 1);
        let mut near = self.places().0.plus.iter();
        self.way == Way::Egress
            && several
            && near.all(|end| *end == End::Host(leg.0) || !reads(site, end, leg))
    }

    /// Of far addresses those to which the near machine speaks by this leg.
    fn by_the_leg(&mut self, leg: Interface, addrs: &AddrSet) -> AddrSet {
        if !self.chooses(leg) {
            return addrs.clone();
        }
        let parts = self.topology.classes().divide(addrs);
        let mut by = AddrSet::empty();
        for (class, part) in parts {
            if self.topology.leg_towards(leg.0, class) == Some(leg.1) {
                by = by.union(&part);
            }
        }
        by
    }

    /// The same of a far end that wears a group, whatever its address.
    fn speaks_to(&mut self, leg: Interface, far: Interface) -> bool {
        !self.chooses(leg) || self.leg_to(leg.0, far) == Some(leg.1)
    }

    /// The leg by which a far machine, named as a whole, speaks to the near end.
    fn speaks_by(&mut self, host: HostId, near: Interface) -> Option<LegId> {
        let site = self.topology.site();
        let machine = site.host(host)?;
        if machine.legs.len() == 1 {
            return Some(LegId(0));
        }
        if host == near.0 {
            return Some(near.1);
        }
        self.leg_to(host, near)
    }

    /// The leg by which a machine sends to a leg.
    fn leg_to(&mut self, host: HostId, to: Interface) -> Option<LegId> {
        let towards = self.topology.wide(&End::Leg(to.0, to.1));
        let class = self.topology.classes().divide(&towards).first().map(|(class, _)| *class)?;
        self.topology.leg_towards(host, class)
    }
}

/// What is spoken by the terms of a statement.
fn spoken(terms: &[Term], any_source: bool) -> Spoken {
    terms.iter().fold(Spoken::default(), |all, term| {
        all.union(&match term {
            // Without a waiver it is an error.
            Term::Ports { from, .. } if !from.is_full() && !any_source => Spoken::default(),
            Term::Ports { proto, to, .. } if *proto == Proto::TCP => {
                Spoken { tcp: to.clone(), ..Spoken::default() }
            }
            Term::Ports { to, .. } => Spoken { udp: to.clone(), ..Spoken::default() },
            Term::Icmp { family, types, codes } => {
                let ranges = types.ranges().iter().flat_map(|&(first, last)| first..=last);
                let messages = ranges.flat_map(|kind| {
                    let number = move |code: u8| u16::from(kind) << 8 | u16::from(code);
                    codes.ranges().iter().map(move |&(a, b)| (number(a), number(b))).collect::<Vec<_>>()
                });
                let messages = RangeSet::from_ranges(messages);
                match family {
                    Family::V4 => Spoken { icmp: messages, ..Spoken::default() },
                    Family::V6 => Spoken { icmpv6: messages, ..Spoken::default() },
                }
            }
            Term::Protos(protos) => Spoken::protocols(protos),
        })
    })
}

/// Groups that make up some interfaces (S54): every whole one that is named, and for who is then left the largest first, of those the
/// first by name; else one that is left over.
///
/// A named one is there even if the others have all its members: who wears it alone tomorrow is meant too, and whoever wears only
/// another one is not. So who wears what has no say in where a sentence that names its groups is said.
fn cover(
    site: &Site,
    wanted: &BTreeSet<Interface>,
    named: &[GroupId],
    whole: impl Fn(GroupId) -> bool,
) -> Result<Vec<GroupId>, Interface> {
    let mut usable: Vec<(GroupId, &Vec<Interface>)> = site
        .security_groups()
        .filter(|(id, g)| whole(*id) && !g.members.is_empty())
        .map(|(id, g)| (id, &g.members))
        .collect();
    usable.sort_by_key(|(id, members)| (!named.contains(id), std::cmp::Reverse(members.len()), *id));
    let (mut left, mut picked) = (wanted.clone(), Vec::new());
    for (id, members) in usable {
        if named.contains(&id) || members.iter().any(|m| left.contains(m)) {
            left.retain(|leg| !members.contains(leg));
            picked.push(id);
        }
    }
    left.first().map_or(Ok(picked), |leg| Err(*leg))
}

/// Whether an exclusion, read widely, takes a leg away (S12).
fn takes_away(site: &Site, except: &[End], leg: Interface) -> bool {
    except.iter().any(|end| match end {
        End::Addrs(addrs) => {
            let own = site.leg(leg.0, leg.1).map(|of| of.addresses.clone()).unwrap_or_default();
            !own.is_empty() && own.iter().all(|a| addrs.contains(*a))
        }
        End::Zone(_) | End::Host(_) | End::Leg(..) | End::Anywhere => reads(site, end, leg),
    })
}

fn reads(site: &Site, end: &End, leg: Interface) -> bool {
    match end {
        End::Zone(zone) => site.leg(leg.0, leg.1).is_some_and(|of| of.zone == *zone),
        End::Host(host) => *host == leg.0,
        End::Leg(host, l) => (*host, *l) == leg,
        End::Addrs(addrs) => {
            site.leg(leg.0, leg.1).is_some_and(|of| of.addresses.iter().any(|a| addrs.contains(*a)))
        }
        End::Anywhere => true,
    }
}

fn zoned(site: &Site) -> AddrSet {
    AddrSet::from_ranges(site.zones.iter().flat_map(|zone| zone.addrs.ranges()))
}

fn is_rest(site: &Site, end: &End) -> bool {
    match end {
        End::Zone(zone) => site.zone(*zone).is_some_and(|zone| zone.rest),
        End::Anywhere => true,
        End::Host(_) | End::Leg(..) | End::Addrs(_) => false,
    }
}

fn vpc_of(site: &Site, (host, leg): Interface) -> Option<usize> {
    let zone = site.leg(host, leg)?.zone;
    site.vpcs.iter().position(|vpc| vpc.zones.contains(&zone))
}
