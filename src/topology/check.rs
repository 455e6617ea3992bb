//! What is wrong with the ways a policy needs (S3, S10, S11, S28 to S33), and which statements nothing enforces.
//!
//! At most one finding of a kind for each statement: its first pair of ends, with what to write.

use std::collections::BTreeSet;

use hashbrown::HashSet;

use super::back::{back, is_one, unanswered};
use super::bridges;
use super::conflict::Book;
use super::publics;
use super::reading::{Crossing, multicast, words};
use super::size::Size;
use super::told::{gateway, listed};
use super::translate::{Balanced, Course, Dnat, Mask, Put, Source, Way, at_firewalls, receiver};
use super::trouble::Trouble;
use super::{Blocked, ClassId, Path, Topology, groups, members, own, told};
use crate::diag::{Code, Diagnostic, Findings, code};
use crate::model::{Access, Action, End, Expected, Host, HostId, Nat, Place, Site, Term, ZoneId};
use crate::net::{AddrSet, Family, PortSet, Proto};
use crate::source::Span;

/// Reports every way that is ambiguous, missing or asymmetric, every dynamic leg out of its reach, every clause that
/// nobody can carry out, and every statement that no machine of ours can enforce.
pub fn check(site: &Site, findings: &mut Findings) {
    let mut topology = Topology::new(site);
    let joined = site.joined();
    let mut size = Size::default();
    let several = members::of_several_legs(site);
    let routers = own::routers(site);
    // What nothing tells apart has the same way, and nothing is wrong with it either.
    let mut fine: HashSet<(Alike, Alike, Vec<Family>)> = HashSet::new();
    for (id, access) in site.accesses() {
        groups::check(&mut topology, (id, access), findings);
        if !size.add(&topology, access, findings) {
            return;
        }
        let alike = alike(&topology, access);
        match access.action {
            Action::Allow if alike.as_ref().is_some_and(|pair| fine.contains(pair)) => {}
            Action::Allow => {
                let before = findings.len();
                let need = Need {
                    from: &access.from,
                    to: &access.to,
                    terms: &access.terms,
                    nat: access.nat.as_ref(),
                    span: access.span,
                    words: &access.words,
                    routers: &routers,
                    proved: None,
                };
                if !need.clause(&topology, findings) {
                    continue;
                }
                let unfiltered = need.check(&mut topology, findings);
                members::check(&mut topology, &several, access, findings);
                let waived = access.waives_lint(code::UNFILTERED_ALLOW.as_str());
                // Who waives it speaks for one statement.
                let alike = alike.filter(|_| unfiltered.is_none());
                if let Some((from, to)) = unfiltered.filter(|_| !waived) {
                    findings.push(
                        Diagnostic::warning(
                            code::UNFILTERED_ALLOW,
                            access.span,
                            format!("nothing filters between `{from}` and `{to}`: this is allowed anyway"),
                        )
                        .help(bridges::enforced(site, access)),
                    );
                }
                fine.extend(alike.filter(|_| findings.len() == before));
            }
            Action::Deny => unfiltered_deny(&mut topology, &joined, access, findings),
        }
        bridges::limit(&mut topology, access, findings);
    }
    let book = Book::new(&mut topology);
    book.conflicts(site, findings);
    book.behind(site, findings);
    book.idle(site, findings);
    for expect in site.tests.iter().flat_map(|t| &t.expects) {
        if !size.look(&expect.from, &expect.to, expect.span, findings) {
            return;
        }
        match expect.kind {
            Expected::Allow => {
                let need = Need {
                    from: &expect.from,
                    to: &expect.to,
                    terms: &expect.terms,
                    nat: None,
                    span: expect.span,
                    words: &expect.words,
                    routers: &AddrSet::default(),
                    proved: Some(&book),
                };
                need.check(&mut topology, findings);
            }
            Expected::Deny | Expected::Only => {}
        }
    }
}

/// What of an end decides its ways, where that is not all of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Alike {
    /// A whole zone.
    Zone(ZoneId),
    /// One range of addresses within a class, without one of a machine that we know.
    Class(ClassId),
}

/// That of both ends of an `allow` from one of those to one, and the families it is of: then its way is theirs, and so is what is
/// wrong with it.
fn alike(topology: &Topology<'_>, access: &Access) -> Option<(Alike, Alike, Vec<Family>)> {
    let of = |place: &Place| match (place.plus.as_slice(), place.except.as_slice()) {
        ([End::Zone(zone)], []) => Some(Alike::Zone(*zone)),
        ([End::Addrs(set)], []) if topology.count_owners(set) == 0 => {
            topology.classes.sole(set).map(Alike::Class)
        }
        _ => None,
    };
    let plain = access.action == Action::Allow && access.nat.is_none();
    let (from, to) = plain.then(|| of(&access.from).zip(of(&access.to))).flatten()?;
    let families = Family::BOTH.into_iter().filter(|family| speaks(&access.terms, *family));
    Some((from, to, families.collect()))
}

/// Whether a service is of a family.
pub(super) fn speaks(terms: &[Term], family: Family) -> bool {
    terms.iter().any(|term| term.speaks(family))
}

struct Need<'p> {
    from: &'p Place,
    to: &'p Place,
    /// What is spoken: only families of it need a way (S4).
    terms: &'p [Term],
    nat: Option<&'p Nat>,
    span: Span,
    words: &'p str,
    /// Who needs no way though a network around them is named (S11).
    routers: &'p AddrSet,
    /// Of an expectation: what statements translate on the way. How their replies come back is the proof's to say.
    proved: Option<&'p Book>,
}

impl Need<'_> {
    /// Reports items that the clause cannot be for (S28); whether the ways are worth a look.
    fn clause(&self, topology: &Topology<'_>, findings: &mut Findings) -> bool {
        let site = topology.site;
        let Some(nat) = self.nat else { return true };
        if let (Nat::Dnat { .. } | Nat::Ipvs { .. }, Some(to)) =
            (nat, self.to.plus.iter().find(|to| !at_firewalls(topology, to)))
        {
            findings.push(self.nowhere(site, nat, ("", &words(site, to))));
            return false;
        }
        let silent = |ends: &[End], others: &[End]| {
            ends.iter().find(|end| !topology.spoken_for(nat, end, others)).map(|end| words(site, end))
        };
        let silent =
            silent(&self.from.plus, &self.to.plus).or_else(|| silent(&self.to.plus, &self.from.plus));
        if let Some(end) = silent {
            let message =
                format!("the clause gives no address of a family that `{end}` shares with the other end");
            findings.push(
                Diagnostic::error(code::FAMILY_MISMATCH, self.span, message)
                    .label(format!("needed by `{}`", self.words))
                    .help("IPv4 and IPv6 are apart: name a target or a leg with an address of that family"),
            );
            return false;
        }
        true
    }

    /// Reports what is wrong; returns the first pair of ends between which nothing filters.
    fn check(&self, topology: &mut Topology<'_>, findings: &mut Findings) -> Option<(String, String)> {
        let (no_from, no_to) = (topology.wide_union(&self.from.except), topology.wide_union(&self.to.except));
        let mut said: BTreeSet<Code> = BTreeSet::new();
        let (mut no_way, mut nor) = (None, told::Nor::default());
        let mut unfiltered = None;
        for from in &self.from.plus {
            let mut served = !matches!(self.nat, Some(Nat::Dnat { .. }));
            for to in &self.to.plus {
                let mut ways: Vec<(Family, Way)> = Vec::new();
                for family in Family::BOTH {
                    let of = topology.ways(self.nat, (from, to), (&no_from, &no_to), family);
                    let of = of.into_iter().filter_map(|way| own::without(self.routers, (from, to), way));
                    ways.extend(of.filter_map(|way| own::meant(topology, way)).map(|way| (family, way)));
                }
                let mut pair: Vec<bool> = Vec::new();
                let needed = ways.iter().filter(|(family, _)| speaks(self.terms, *family));
                for (family, way) in needed {
                    // Without a place for its clause there is a worse finding already.
                    let nowhere = matches!(way.course, Course::Nowhere);
                    pair.push(nowhere || filtered(topology.site, &way.crossing));
                    served |= !matches!(way.course, Course::Unserved);
                    let Some(mut trouble) = self.trouble(topology, way, (from, to)) else { continue };
                    let in_other = ways.iter().any(|(f, way)| f != family && way.crossing.path.is_ok());
                    let ends = || told::parts(topology.site, (from, to), &way.crossing);
                    if !said.insert(trouble.code()) {
                        if trouble.code() == code::NO_PATH && !in_other {
                            nor.also(ends);
                        }
                        continue;
                    }
                    let ends = ends();
                    if let Trouble::NoWay { ends: None, only } = &mut trouble {
                        *only = in_other.then_some(*family);
                    }
                    let finding = self.say(topology, (from, to), (&ends, &way.crossing), &trouble);
                    // Which leg a machine answers by is no matter of its own address.
                    let finding = match &trouble {
                        Trouble::Round { .. } => finding,
                        _ => own::told(topology, (from, to), way, finding),
                    };
                    match &trouble {
                        Trouble::NoWay { ends: None, only: None } => {
                            nor.first(ends);
                            no_way = Some(finding);
                        }
                        _ => findings.push(finding),
                    }
                }
                let worn = || groups::meets(topology.site, from) || groups::meets(topology.site, to);
                if unfiltered.is_none() && !pair.is_empty() && !pair.contains(&true) && !worn() {
                    unfiltered = Some((words(topology.site, from), words(topology.site, to)));
                }
            }
            // Where a way is missing, that was said.
            if !served && !said.contains(&code::NO_PATH) && !said.contains(&code::AMBIGUOUS_ROUTE) {
                let hairpin = self.by_hairpin(topology, from, (&no_from, &no_to));
                let third = self.is_third_side(topology, from);
                findings.push(self.unserved(topology.site, &words(topology.site, from), (hairpin, third)));
            }
        }
        findings.extend(no_way.map(|finding| nor.told(finding)));
        unfiltered
    }

    fn trouble(&self, topology: &mut Topology<'_>, way: &Way, (from, to): (&End, &End)) -> Option<Trouble> {
        let path = match way.crossing.path.as_ref() {
            Ok(path) => path,
            Err(Blocked::Tie { ways, at }) => {
                return Some(Trouble::Tie { ways: ways.clone(), at: *at, back: false, ends: None });
            }
            Err(Blocked::NoWay) => return Some(Trouble::NoWay { ends: None, only: None }),
        };
        let early = match &way.course {
            Course::Plain => None,
            Course::Unserved => return None,
            Course::Nowhere => return Some(Trouble::Nowhere),
            Course::Dnat(dnat) => inner(topology, dnat),
            Course::Balanced(balanced) => unreached(topology.site, balanced),
            Course::Source(source) => behind(topology, &way.crossing, path, source),
        };
        let early = early.or_else(|| dynamic(topology.site, &way.crossing, path));
        let early = early.or_else(|| publics::seen(topology, (self.from, self.to), &way.crossing, path));
        let early = early.or_else(|| unheard(topology, from, &way.crossing));
        if early.is_some() || self.proved.is_some_and(|book| book.translates(&way.crossing)) {
            return early;
        }
        let trouble = back(topology, way, to)?;
        Some(match (trouble, &way.course) {
            (Trouble::Tie { ways, at: Some(at), ends: None, back: true }, course) if !course.is_at(at) => {
                let from = told::parts(topology.site, (from, to), &way.crossing).0;
                let ends = topology.site.host(at).map(|machine| (from, machine.name.clone()));
                Trouble::Tie { ways, at: Some(at), ends, back: true }
            }
            (trouble, _) => trouble,
        })
    }

    /// Whether `hairpin` would serve somebody of an item of `from`: whoever comes by the target's own side.
    fn by_hairpin(&self, topology: &mut Topology<'_>, from: &End, less: (&AddrSet, &AddrSet)) -> bool {
        let Some(Nat::Dnat { to, port, hairpin: false }) = self.nat else { return false };
        let nat = Nat::Dnat { to: to.clone(), port: *port, hairpin: true };
        self.to.plus.iter().any(|to| {
            Family::BOTH.into_iter().filter(|family| speaks(self.terms, *family)).any(|family| {
                let ways = topology.ways(Some(&nat), (from, to), less, family);
                ways.iter().any(|way| matches!(way.course, Course::Dnat(_)))
            })
        })
    }

    /// Whether a firewall stands between an item of `from` and a target: then `hairpin` is nothing to it (S29).
    fn is_third_side(&self, topology: &mut Topology<'_>, from: &End) -> bool {
        let Some(Nat::Dnat { to, .. }) = self.nat else { return false };
        to.iter().any(|target| {
            let target = End::Addrs(AddrSet::one(*target));
            Family::BOTH.into_iter().any(|family| {
                let ways = topology.crossings(from, &target, family);
                let paths = ways.iter().filter_map(|way| way.path.as_ref().as_ref().ok());
                let mut transits = paths.flat_map(|path| &path.transits);
                transits.any(|transit| transit.inward != transit.outward)
            })
        })
    }

    /// `hairpin`: whether saying it would serve them; `third`: whether they are on another side than the target.
    fn unserved(&self, site: &Site, from: &str, (hairpin, third): (bool, bool)) -> Diagnostic {
        let message =
            format!("nobody of `{from}` comes to the firewall by the leg named: this serves nobody there");
        let says = matches!(self.nat, Some(Nat::Dnat { hairpin: true, .. }));
        let help = match (self.unknown_leg(site).filter(|_| !third), hairpin) {
            (Some(leg), _) => format!(
                "the address of `{leg}` is not known, so only who comes in by that leg can be served: give it a static address{}, or take the others out of `from`",
                if says { "" } else { " and say `hairpin`" }
            ),
            (None, true) => "take them out of `from`, name the leg on their side, or say `hairpin`: they are on the target's own side".to_owned(),
            (None, false) => "take them out of `from`; they are served by a statement of their own, with the leg on their side after `to`".to_owned(),
        };
        Diagnostic::error(code::NAT_UNSERVED, self.span, message)
            .label(format!("needed by `{}`", self.words))
            .help(help)
    }

    /// The first leg after `to` whose address is not known.
    fn unknown_leg(&self, site: &Site) -> Option<String> {
        self.to.plus.iter().find_map(|to| {
            let (host, leg) = match to {
                End::Leg(host, leg) => (*host, site.leg(*host, *leg)?),
                End::Host(host) => (*host, site.host(*host)?.legs.first()?),
                End::Zone(_) | End::Addrs(_) | End::Anywhere => return None,
            };
            leg.dynamic.then(|| gateway(site, (host, leg.zone)))
        })
    }

    fn nowhere(&self, site: &Site, nat: &Nat, (from, to): (&str, &str)) -> Diagnostic {
        let (message, help) = match nat {
            Nat::Dnat { .. } => (
                format!("`dnat to` happens at a firewall's leg, and `{to}` is none"),
                "name the leg that has the address clients write: `HOST.ZONE`",
            ),
            Nat::Ipvs { direct, .. } => {
                let far = if *direct { ", and with `dr` every real server is its neighbour" } else { "" };
                (
                    format!(
                        "`ipvs` happens at a firewall's leg with a static address{far}: not so at `{to}`"
                    ),
                    "name the leg that has the address clients write: `HOST.ZONE`; real servers behind routers need `ipvs nat`",
                )
            }
            Nat::Masquerade => (
                format!("no firewall is on the way from `{from}` to `{to}`: nobody can masquerade it"),
                "take that pair out of the statement, or give the way a firewall",
            ),
            Nat::Snat(host, _, named) => {
                let name = site.host(*host).map_or("", |h| h.name.as_str());
                let whose = match named {
                    Some(addr) => format!("`{name}`, which has `{addr}`,"),
                    None => format!("`{name}`"),
                };
                (
                    format!(
                        "{whose} is no firewall on the way from `{from}` to `{to}`: it cannot give it an address"
                    ),
                    "name a leg of a firewall that the flow passes, or one of its addresses",
                )
            }
        };
        Diagnostic::error(code::NAT_WHERE, self.span, message)
            .label(format!("needed by `{}`", self.words))
            .help(help)
    }

    /// `ends` as far as they are of this crossing.
    fn say(
        &self,
        topology: &Topology<'_>,
        (from, to): (&End, &End),
        (ends, crossing): (&(String, String), &Crossing),
        trouble: &Trouble,
    ) -> Diagnostic {
        let site = topology.site;
        let to_group = matches!(to, End::Addrs(set) if set.is_subset(multicast()));
        let hub = || bridges::astray(site, [from, to]);
        let (mut from, mut to) = match trouble {
            Trouble::Tie { .. } | Trouble::NoWay { .. } => ends.clone(),
            _ => (words(site, from), words(site, to)),
        };
        if let Trouble::Tie { ends: Some(ends), .. } | Trouble::NoWay { ends: Some(ends), .. } = trouble {
            (from, to) = ends.clone();
        }
        let what = trouble.code();
        let finding = |message: String| {
            Diagnostic::error(what, self.span, message).label(format!("needed by `{}`", self.words))
        };
        match trouble {
            Trouble::Tie { ways, at, back, .. } => {
                let gateways: Vec<String> = ways.iter().map(|way| gateway(site, *way)).collect();
                let (start, goal) = if *back { (&to, &from) } else { (&from, &to) };
                let way = if *back { "the way back" } else { "the way" };
                finding(format!("{way} from `{start}` to `{goal}` is ambiguous: by {}", listed(&gateways)))
                    .help(told::choose(site, ways, *at, goal))
            }
            Trouble::NoWay { .. } if to_group => {
                finding(format!("`{from}` has several legs, and this does not say by which it speaks to `{to}`"))
                    .help(format!("a group is heard in its sender's zone: write `{from}.ZONE`"))
            }
            Trouble::NoWay { only: Some(family), .. } => {
                let (family, other) = match family {
                    Family::V4 => ("IPv4", "IPv6"),
                    Family::V6 => ("IPv6", "IPv4"),
                };
                finding(format!("there is no way from `{from}` to `{to}` over {family}")).help(format!(
                    "what is between them has a static {family} address on one side at most: give it one on each, or name \
                     the {other} addresses alone"
                ))
            }
            Trouble::NoWay { ends, .. } => {
                let join = || match ends {
                    Some(_) => "join their zones by a firewall or router with a static address on each side".to_owned(),
                    None => told::join(topology, crossing),
                };
                finding(format!("there is no way from `{from}` to `{to}`")).help(hub().unwrap_or_else(join))
            }
            Trouble::NoWayBack => finding(format!("replies find no way from `{to}` to `{from}`"))
                .help("give the members of that zone a gateway with a static address, or a `route PLACE via HOST.ZONE`"),
            Trouble::Asymmetric { there, back, direct, by } => finding(format!(
                "packets from `{from}` to `{to}` pass {}, their replies {}",
                there.told(site, back, false),
                back.told(site, there, true)
            ))
            .help(if let Some(help) = bridges::both_ways(site, there, back) {
                help
            } else if matches!(self.nat, Some(Nat::Ipvs { direct: false, .. })) {
                "the director must see the replies: say `route PLACE via HOST.ZONE` in the real server, take its neighbours out of `from`, or say `ipvs dr`".to_owned()
            } else if *direct {
                "the target answers its neighbour directly: say `hairpin`, and it answers the firewall".to_owned()
            } else {
                by.err_at(site)
            }),
            Trouble::Returned { at, real } => {
                let owner = topology.owners(&AddrSet::one(*real)).first().map(|(_, host, _)| *host);
                let real = owner.map_or_else(|| real.to_string(), |host| words(site, &End::Host(host)));
                let at = words(site, &End::Host(*at));
                finding(format!("replies from `{real}` to `{from}` come back to `{at}`, from its own address"))
                    .help(format!("under `ipvs dr` real servers answer past their director: give `{real}` another gateway by `route PLACE via HOST.ZONE`, or say `ipvs nat`"))
            }
            Trouble::Round { at, came, leads } => {
                let (came, leads) = (gateway(site, (*at, *came)), gateway(site, (*at, *leads)));
                let at = site.host(*at).map_or("", |h| h.name.as_str());
                finding(format!("packets between `{from}` and `{to}` come in by `{came}`, and the way back to their sender is by `{leads}`"))
                    .help(format!("`{at}` says `strict-source`: lead both ways by one leg, by `route PLACE via HOST.ZONE` in the machines beside it, or leave that out"))
            }
            Trouble::Dynamic { host, zone, at } => {
                let leg = gateway(site, (*host, *zone));
                let zone = site.zone(*zone).map_or("", |z| z.name.as_str());
                let at = site.host(*at).map_or("", |h| h.name.as_str());
                finding(format!("the address of `{leg}` is not known, and `{at}` on the way cannot tell it from its neighbours"))
                    .help(format!("name its zone, `{zone}`, or give the leg a static address"))
            }
            Trouble::Unknown { host, zone, at } => {
                let leg = gateway(site, (*host, *zone));
                let at = site.host(*at).map_or("", |h| h.name.as_str());
                finding(format!("the flow gets the address of `{leg}`, which is not known, and `{at}` has to know it"))
                    .help("give the leg a static address, or translate at the last machine that filters")
            }
            Trouble::Several { host, zone, first } => {
                let help = match self.nat {
                    // Which of them a hairpin takes no word says.
                    Some(Nat::Dnat { .. }) => "give the leg one address of the family".to_owned(),
                    _ if of_both(site, (*host, *zone)) => {
                        format!("say which, in a statement for each family: `snat to {first}`")
                    }
                    _ => format!("say which: `snat to {first}`, or another address of the leg"),
                };
                finding(format!("`{}` has several addresses that the flow could get", gateway(site, (*host, *zone))))
                    .help(help)
            }
            Trouble::Public { host, at, worn } => {
                let name = |id: &HostId| site.host(*id).map_or("", |h| h.name.as_str());
                let at = if *worn { format!("the security groups of `{}`", name(at)) } else { format!("`{}`", name(at)) };
                let (rules, else_) = if *worn {
                    ("their", "what goes by the Internet is said to and from the zone after `gateway`")
                } else {
                    ("its", "filter at the vpc alone")
                };
                finding(format!("{at} would see the public address of `{}`, which {rules} rules do not know", name(host)))
                    .help(format!("leave `public` out, where they reach each other by private addresses; else {else_}"))
            }
            Trouble::Nowhere => match self.nat {
                Some(nat) => self.nowhere(site, nat, (&from, &to)),
                None => finding(format!("there is no way from `{from}` to `{to}`")),
            },
        }
    }
}

/// Of one whose leg or single address is named as the source: why it would not hear the answer (S38, S80).
fn unheard(topology: &mut Topology<'_>, from: &End, crossing: &Crossing) -> Option<Trouble> {
    let class = crossing.class.filter(|_| matches!(from, End::Leg(..)) || is_one(from))?;
    crossing.senders.iter().find_map(|own| unanswered(topology, own, class))
}

/// What is wrong with the inner way of a `dnat to`.
fn inner(topology: &Topology<'_>, dnat: &Dnat) -> Option<Trouble> {
    let site = topology.site;
    let ends =
        || Some((site.host(dnat.at).map_or_else(String::new, |h| h.name.clone()), dnat.target.to_string()));
    let path = match dnat.inner.as_ref()?.as_ref() {
        Ok(path) => path,
        Err(Blocked::Tie { ways, at }) => {
            return Some(Trouble::Tie { ways: ways.clone(), at: *at, back: false, ends: ends() });
        }
        Err(Blocked::NoWay) => return Some(Trouble::NoWay { ends: ends(), only: None }),
    };
    let receivers = receiver(topology, dnat.target).map(|(host, _)| host);
    let bridges = path.bridged.iter().map(|hop| hop.host);
    let points = path.transits.iter().map(|t| t.host).chain(bridges);
    let points = points.chain(path.end.map(|(host, _)| host)).chain(receivers);
    unknown(site, dnat.mask?, points.collect())
}

/// A real server to which its director has no way.
fn unreached(site: &Site, balanced: &Balanced) -> Option<Trouble> {
    balanced.reals.iter().find_map(|real| {
        let at = site.host(balanced.at).map_or(String::new(), |h| h.name.clone());
        let ends = Some((at, real.addr.to_string()));
        match real.inner.as_ref() {
            Ok(_) => None,
            Err(Blocked::Tie { ways, at }) => {
                Some(Trouble::Tie { ways: ways.clone(), at: *at, back: false, ends })
            }
            Err(Blocked::NoWay) => Some(Trouble::NoWay { ends, only: None }),
        }
    })
}

/// What is wrong with the address that a flow gets (S30).
fn behind(topology: &Topology<'_>, crossing: &Crossing, path: &Path, source: &Source) -> Option<Trouble> {
    let site = topology.site;
    let after = path.transits.iter().skip(source.position.saturating_add(1)).map(|t| t.host);
    let receivers = crossing.receivers.iter().map(|o| o.host);
    let bridges = path.bridged.iter().filter(|hop| hop.before > source.position).map(|hop| hop.host);
    let points = after.chain(bridges).chain(path.end.map(|(host, _)| host)).chain(receivers).collect();
    // The machine itself can put the address of a dynamic leg only by masquerading.
    let transit = path.transits.get(source.position)?;
    let (mask, out) = (source.mask, transit.outward);
    let zone = site.leg(mask.host, mask.leg).map(|l| l.zone)?;
    if mask.addr == Put::Dynamic && mask.leg != out {
        return Some(Trouble::Unknown { host: mask.host, zone, at: transit.host });
    }
    unknown(site, mask, points)
}

fn unknown(site: &Site, mask: Mask, points: Vec<HostId>) -> Option<Trouble> {
    let zone = site.leg(mask.host, mask.leg).map(|l| l.zone)?;
    match mask.addr {
        Put::Known(_) => None,
        Put::Several(first) => Some(Trouble::Several { host: mask.host, zone, first }),
        Put::Dynamic => {
            let at = points.into_iter().find(|h| site.host(*h).is_some_and(Host::filters))?;
            Some(Trouble::Unknown { host: mask.host, zone, at })
        }
    }
}

/// Whether a machine's leg in a zone has static addresses of both families.
fn of_both(site: &Site, (host, zone): (HostId, ZoneId)) -> bool {
    let leg = site.host(host).and_then(|machine| machine.leg_in(zone));
    leg.is_some_and(|(_, leg)| Family::BOTH.into_iter().all(|family| leg.address_set().has(family)))
}

/// S3: a dynamic leg that a machine other than its own would have to know.
fn dynamic(site: &Site, crossing: &Crossing, path: &Path) -> Option<Trouble> {
    if crossing.from_dynamic.is_none() && crossing.to_dynamic.is_none() {
        return None;
    }
    let transits = &path.transits;
    let senders = crossing.senders.iter().map(|o| o.host);
    let end = crossing.path.as_ref().as_ref().ok().and_then(|p| p.end).map(|(host, _)| host);
    let receivers = crossing.receivers.iter().map(|o| o.host).chain(end);
    let points: Vec<HostId> = senders
        .chain(transits.iter().map(|t| t.host))
        .chain(path.bridged.iter().map(|hop| hop.host))
        .chain(receivers)
        .filter(|h| site.host(*h).is_some_and(Host::filters))
        .collect();
    let legs = crossing.from_dynamic.into_iter().map(|leg| (leg, false));
    for ((host, leg), arrives) in legs.chain(crossing.to_dynamic.map(|leg| (leg, true))) {
        // A machine that passes the packet on before it comes to its own dynamic leg would take it in at once.
        let through = arrives && transits.iter().any(|t| t.host == host);
        let other = points.iter().copied().find(|p| *p != host).or(through.then_some(host));
        if let (Some(at), Some(leg)) = (other, site.leg(host, leg)) {
            return Some(Trouble::Dynamic { host, zone: leg.zone, at });
        }
    }
    None
}

fn filtered(site: &Site, crossing: &Crossing) -> bool {
    let filters = |host: HostId| site.host(host).is_some_and(Host::filters);
    let on_the_way = crossing.path.as_ref().as_ref().is_ok_and(|p| {
        p.transits.iter().any(|t| filters(t.host))
            || !p.bridged.is_empty()
            || p.end.is_some_and(|(host, _)| filters(host))
    });
    // Without a path there is a worse finding already.
    crossing.path.is_err() || on_the_way || !crossing.senders.is_empty() || !crossing.receivers.is_empty()
}

/// A `deny` between two ends that nothing of ours separates: routers pass it, and neither machine filters.
/// Where that holds of a part alone, it is said and no error: who filters itself is denied all the same, and so is who would
/// open it through an sshd of ours (S62).
fn unfiltered_deny(topology: &mut Topology<'_>, joined: &[ZoneId], access: &Access, findings: &mut Findings) {
    const HELP: &str = "put `nftables` into one of the machines, a firewall between them, or `bridge HOW` on the leg they hang on";
    let site = topology.site;
    let mut partly = None;
    for from in &access.from.plus {
        for to in &access.to.plus {
            let (a, b) = (Side::of(topology, from), Side::of(topology, to));
            let one = a.machine.is_some() && a.machine == b.machine;
            if one || a.filters == Some(true) || b.filters == Some(true) || !meet(site, joined, &a, &b) {
                continue;
            }
            let filter = a.filters.is_some() || b.filters.is_some();
            let opened = is_opened(topology, (from, to), access);
            let (from, to) = (words(site, from), words(site, to));
            if filter || opened {
                partly.get_or_insert((from, to, filter, opened));
                continue;
            }
            let message = format!("nothing of ours separates `{from}` from `{to}`: this denies nothing");
            findings.push(Diagnostic::error(code::UNFILTERED_DENY, access.span, message).help(HELP));
            return;
        }
    }
    let waived = access.waives_lint(code::UNFILTERED_DENY.as_str());
    let Some((from, to, filter, opened)) = partly.filter(|_| !waived) else { return };
    let (but, others) = match (filter, opened) {
        (true, false) => ("machines that filter themselves", "between all others"),
        (true, true) => {
            ("machines that filter themselves, and an sshd that opens it to nobody", "of all else")
        }
        (false, _) => ("an sshd that opens it to nobody", "of all else"),
    };
    let message =
        format!("nothing of ours separates `{from}` from `{to}` but {but}: {others} this denies nothing");
    findings.push(Diagnostic::warning(code::UNFILTERED_DENY, access.span, message).help(HELP));
}

/// Whether packets come from the one to the other past nothing but routers.
fn meet(site: &Site, joined: &[ZoneId], a: &Side, b: &Side) -> bool {
    let bridged = |zone: &ZoneId| site.bridge_of(*zone).is_some();
    let apart = |x: &ZoneId| b.zones.iter().any(|y| joined.get(x.index()) != joined.get(y.index()));
    !a.zones.is_empty()
        && !b.zones.is_empty()
        && !a.zones.iter().chain(&b.zones).any(bridged)
        && !a.zones.iter().any(apart)
}

/// Whether people may open something that a `deny` reads between two of its items, from a machine with an sshd of ours (S62).
fn is_opened(topology: &Topology<'_>, (from, to): (&End, &End), deny: &Access) -> bool {
    let site = topology.site;
    let (near, far) = (topology.wide(from), topology.wide(to));
    let opens = |term: &Term, ports: &PortSet| match term {
        Term::Ports { proto, to, .. } => *proto == Proto::TCP && !to.is_disjoint(ports),
        Term::Protos(protos) => protos.contains(Proto::TCP.0),
        Term::Icmp { .. } => false,
    };
    let speaks = |jump: &Access| {
        jump.terms.iter().any(|term| match term {
            Term::Ports { to, .. } => deny.terms.iter().any(|of| opens(of, to)),
            Term::Protos(_) => deny.terms.iter().any(|of| opens(of, &PortSet::full())),
            Term::Icmp { .. } => false,
        })
    };
    let through = |jump: &Access| {
        let mut hosts = site.hosts().map(|(host, _)| host).filter(|host| site.jumps_from(jump, *host));
        hosts.any(|host| !topology.wide(&End::Host(host)).is_disjoint(&near))
    };
    let mut jumps = site.accesses.iter().filter(|access| !access.people.is_empty());
    jumps.any(|jump| speaks(jump) && !topology.wide_union(&jump.to.plus).is_disjoint(&far) && through(jump))
}

struct Side {
    zones: BTreeSet<ZoneId>,
    machine: Option<HostId>,
    /// Whether all of it filters what it sends and takes in, or, if anything of it does, not all.
    filters: Option<bool>,
}

impl Side {
    fn of(topology: &Topology<'_>, end: &End) -> Self {
        let site = topology.site;
        let worn = groups::meets(site, end);
        let filters = |host: HostId| worn || site.host(host).is_some_and(Host::filters);
        let all_or_none = |filters: bool| filters.then_some(true);
        match end {
            End::Zone(zone) => {
                let some = site.hosts.iter().any(|h| h.filters() && h.leg_in(*zone).is_some());
                let filters = (some || worn).then_some(false);
                Self { zones: BTreeSet::from([*zone]), machine: None, filters }
            }
            End::Host(host) => Self {
                zones: site.host(*host).into_iter().flat_map(|h| h.legs.iter().map(|l| l.zone)).collect(),
                machine: Some(*host),
                filters: all_or_none(filters(*host)),
            },
            End::Leg(host, leg) => Self {
                zones: site.leg(*host, *leg).into_iter().map(|l| l.zone).collect(),
                machine: Some(*host),
                filters: all_or_none(filters(*host)),
            },
            End::Addrs(set) => {
                let zones = topology.classes.divide(set).into_iter();
                let zones = zones.filter_map(|(c, _)| topology.classes.class(c).map(|c| c.zone)).collect();
                let owners = topology.owners(set);
                let filtering = owners.iter().filter(|(_, host, _)| filters(*host)).count();
                let all = set.ranges().map(|range| range.last.saturating_sub(range.first).saturating_add(1));
                let all = all.fold(0u128, u128::saturating_add) == filtering as u128;
                Self { zones, machine: None, filters: (worn || filtering > 0).then_some(all) }
            }
            End::Anywhere => Self {
                zones: site.zones().map(|(id, _)| id).collect(),
                machine: None,
                // Whoever writes it means whatever is separated.
                filters: all_or_none(worn || site.hosts.iter().any(Host::filters)),
            },
        }
    }
}
