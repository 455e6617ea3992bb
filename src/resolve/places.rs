//! Places: what `from web, nas except s3` stands for once groups are spread out.
//!
//! A spread is a sum of [`Piece`]s, each some items less some others: `a, b except c` is one piece; a group
//! that keeps an exclusion (`lan except printer`) beside a plain item makes two, which are never
//! merged into one exclusion for all. An excluded item that is named in the same words is taken out; one that
//! only shares addresses stays as an exclusion, because how it is read, narrowly or widely, is
//! not decided here.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::rc::Rc;
use std::slice;

use super::groups;
use super::literal;
use super::names::{List, Meaning, Names, wrong_kind};
use crate::diag::{Diagnostic, Findings, code};
use crate::model::{End, Group, Host, HostId, Leg, Place, Zone, ZoneId};
use crate::net::AddrSet;
use crate::source::Span;
use crate::syntax::ast::{self, Name, PlaceKind};

/// How many items and ranges a policy's places may spread out to, all together.
const SPREAD: u64 = 4_000_000;

/// One place, by ids: an [`End`] before machines have legs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Item {
    /// A zone.
    Zone(ZoneId),
    /// A machine.
    Host(HostId),
    /// Its leg in a zone.
    Leg(HostId, ZoneId),
    /// Addresses.
    Addrs(Rc<AddrSet>),
    /// `anywhere`
    Anywhere,
}

impl Item {
    /// What it costs to spread it out once more; a range of a list is a sixteenth of a place.
    fn weight(&self) -> u64 {
        match self {
            Self::Zone(_) | Self::Host(_) | Self::Leg(..) | Self::Anywhere => 1,
            Self::Addrs(set) => {
                let ranges = set.v4.ranges().len().saturating_add(set.v6.ranges().len());
                u64::try_from(ranges).unwrap_or(u64::MAX).div_euclid(16).saturating_add(1)
            }
        }
    }
}

/// Items with what is taken away from them: both ascending, none twice.
pub(super) type Piece<'s> = (&'s [Item], &'s [Item]);

/// What places stand for.
#[derive(Clone, Debug)]
pub(super) enum Spread {
    /// One item, as nearly every place of a policy does: it takes no memory of its own.
    One(Item),
    /// Pieces by what they except: the exclusion, and its items.
    Many(BTreeMap<Vec<Item>, Vec<Item>>),
}

/// What one written place stands for: an item, or the spread of a group.
enum Said {
    Item(Item),
    Spread(Rc<Spread>),
}

impl Default for Spread {
    fn default() -> Self {
        Self::Many(BTreeMap::new())
    }
}

impl Spread {
    /// The pieces, each its items and what is taken away; no items, no piece.
    pub(super) fn pieces(&self) -> impl Iterator<Item = Piece<'_>> {
        let (one, many) = match self {
            Self::One(item) => (Some(slice::from_ref(item)), None),
            Self::Many(by_except) => (None, Some(by_except)),
        };
        let many = many.into_iter().flatten().map(|(except, plus)| (plus.as_slice(), except.as_slice()));
        one.map(|plus| (plus, [].as_slice())).into_iter().chain(many)
    }

    /// Every item of every piece.
    pub(super) fn items(&self) -> impl Iterator<Item = &Item> {
        self.pieces().flat_map(|(plus, _)| plus)
    }

    /// Whether it speaks of nobody.
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::Many(by_except) if by_except.is_empty())
    }

    /// Adds items, less `except`.
    pub(super) fn add(&mut self, plus: impl IntoIterator<Item = Item>, except: BTreeSet<Item>) {
        let mut plus = plus.into_iter().peekable();
        if plus.peek().is_none() {
            return;
        }
        let mut by_except = match mem::take(self) {
            Self::One(item) => BTreeMap::from([(Vec::new(), vec![item])]),
            Self::Many(by_except) => by_except,
        };
        let items = by_except.entry(except.into_iter().collect()).or_default();
        items.extend(plus);
        order(items);
        *self = Self::Many(by_except);
    }
}

/// Spreads that become one. A list is put in order whenever it has doubled: to join many takes no square.
#[derive(Default)]
struct Joined {
    /// The items by what they except, with how many there were when they were last in order.
    lists: BTreeMap<Vec<Item>, (Vec<Item>, usize)>,
}

impl Joined {
    fn join(&mut self, other: &Spread) {
        for (plus, except) in other.pieces() {
            let (items, ordered) = self.lists.entry(except.to_vec()).or_default();
            items.extend_from_slice(plus);
            if items.len() > ordered.saturating_mul(2) {
                order(items);
                *ordered = items.len();
            }
        }
    }

    fn spread(self) -> Spread {
        let ordered = self.lists.into_iter().map(|(except, (mut items, _))| {
            order(&mut items);
            (except, items)
        });
        Spread::Many(ordered.collect())
    }
}

/// Ascending, none twice.
fn order(items: &mut Vec<Item>) {
    items.sort();
    items.dedup();
}

/// Everything that a place can refer to.
pub(super) struct Places<'a> {
    pub(super) names: &'a Names<'a>,
    pub(super) zones: &'a [Zone],
    pub(super) hosts: &'a [Host],
    lists: &'a [Option<Rc<AddrSet>>],
    /// Groups and variables, by their place in [`Names::defs`]; none where an error already spoke of it.
    pub(super) defs: Vec<Option<Rc<Spread>>>,
    /// Every address of every zone.
    zoned: AddrSet,
    /// Every static address of a machine.
    fixed: AddrSet,
    /// Machines whose statement has an error: what they lack may stand there.
    pub(super) unsure: BTreeSet<HostId>,
    spent: u64,
}

impl<'a> Places<'a> {
    /// Spreads out every group and variable. Without `hosts`, legs are taken on trust.
    pub(super) fn resolve(
        names: &'a Names<'a>,
        zones: &'a [Zone],
        lists: &'a [Option<Rc<AddrSet>>],
        hosts: &'a [Host],
        findings: &mut Findings,
    ) -> Self {
        let zoned = AddrSet::from_ranges(zones.iter().flat_map(|z| z.addrs.ranges()));
        let legs = hosts.iter().flat_map(|h| &h.legs);
        let fixed = legs.flat_map(|l| &l.addresses).map(|a| crate::net::AddrRange::one(*a));
        let defs = vec![None; names.defs.len()];
        let fixed = AddrSet::from_ranges(fixed);
        let statements = (0u32..).map(HostId).zip(&names.hosts);
        let unsure = statements.filter(|(_, (_, span))| findings.error_in(*span)).map(|(id, _)| id).collect();
        let mut places = Self { names, zones, hosts, lists, defs, zoned, fixed, unsure, spent: 0 };
        groups::resolve(&mut places, findings);
        places
    }

    /// The groups as the model shows them.
    pub(super) fn groups(&self) -> Vec<Group> {
        let groups = self.names.defs.iter().zip(&self.defs).filter(|(def, _)| def.group);
        let pieces = groups.flat_map(|(def, spread)| {
            let pieces = spread.iter().flat_map(|s| self.model(s));
            pieces.map(|members| Group { name: def.name.text.clone(), members })
        });
        pieces.collect()
    }

    /// A spread in the words of the model: one place a piece.
    pub(super) fn model(&self, spread: &Spread) -> Vec<Place> {
        let ends = |items: &[Item]| {
            let mut ends = Vec::with_capacity(items.len());
            ends.extend(items.iter().filter_map(|i| self.end(i)));
            ends.sort();
            ends
        };
        spread.pieces().map(|(plus, except)| Place { plus: ends(plus), except: ends(except) }).collect()
    }

    /// The one place that a spread of one item is in the words of the model.
    pub(super) fn one(&self, spread: &Spread) -> Option<Place> {
        let Spread::One(item) = spread else { return None };
        Some(Place { plus: vec![self.end(item)?], except: Vec::new() })
    }

    fn end(&self, item: &Item) -> Option<End> {
        Some(match item {
            Item::Zone(zone) => End::Zone(*zone),
            Item::Host(host) => End::Host(*host),
            Item::Leg(host, zone) => End::Leg(*host, self.hosts.get(host.index())?.leg_in(*zone)?.0),
            Item::Addrs(set) => End::Addrs(AddrSet::clone(set)),
            Item::Anywhere => End::Anywhere,
        })
    }

    /// What one statement's places stand for; none after a finding.
    pub(super) fn spread(&mut self, places: &ast::Places, findings: &mut Findings) -> Option<Spread> {
        self.sum(None, &[places], findings)
    }

    /// All before the `except`s of all `parts`, less all after them; none after a finding. `declared` is what they are given
    /// as a name, if any.
    pub(super) fn sum(
        &mut self,
        declared: Option<&str>,
        parts: &[&ast::Places],
        findings: &mut Findings,
    ) -> Option<Spread> {
        let list = List { declared, places: parts, services: &[] };
        // Nearly always it is one place.
        if let [ast::Places { plus, except, span }] = parts
            && let ([place], []) = (plus.as_slice(), except.as_slice())
        {
            let spread = match self.said(place, list, findings)? {
                Said::Item(item) => Spread::One(item),
                Said::Spread(spread) => Rc::unwrap_or_clone(spread),
            };
            self.spend(&spread, Some(*span), findings)?;
            return Some(spread);
        }
        let mut whole = Some(Joined::default());
        for place in parts.iter().flat_map(|p| &p.plus) {
            match (self.item_of(place, list, findings), &mut whole) {
                (Some(spread), Some(whole)) => whole.join(&spread),
                (None, _) => whole = None,
                (Some(_), None) => {}
            }
        }
        let mut taken = Some(Vec::new());
        for place in parts.iter().flat_map(|p| &p.except) {
            match (self.excluded(place, list, findings), &mut taken) {
                (Some(items), Some(taken)) => taken.push((place, items)),
                (None, _) => taken = None,
                (Some(_), None) => {}
            }
        }
        let (whole, taken) = (whole?.spread(), taken?);
        let span = parts.iter().find(|p| !p.except.is_empty()).or(parts.first()).map(|p| p.span);
        let spread = if taken.is_empty() { whole } else { self.less(&whole, &taken, findings)? };
        self.spend(&spread, span, findings)?;
        Some(spread)
    }

    /// What one written place stands for; none after a finding.
    pub(super) fn item(&self, place: &ast::Place, findings: &mut Findings) -> Option<Rc<Spread>> {
        self.item_of(place, List::default(), findings)
    }

    /// The same of one in a list.
    pub(super) fn item_of(
        &self,
        place: &ast::Place,
        list: List<'_>,
        findings: &mut Findings,
    ) -> Option<Rc<Spread>> {
        Some(match self.said(place, list, findings)? {
            Said::Item(item) => Rc::new(Spread::One(item)),
            Said::Spread(spread) => spread,
        })
    }

    fn said(&self, place: &ast::Place, list: List<'_>, findings: &mut Findings) -> Option<Said> {
        let item = match &place.kind {
            PlaceKind::Name(name) => match self.names.place(name, list, findings)? {
                Meaning::Zone(zone) => Item::Zone(zone),
                Meaning::Host(host) => Item::Host(host),
                Meaning::Def(def) => return self.defs.get(def)?.clone().map(Said::Spread),
                Meaning::List(list) => {
                    let set = self.lists.get(list)?.clone()?;
                    if set.is_empty() {
                        return Some(Said::Spread(Rc::new(Spread::default())));
                    }
                    self.addresses(set, place.span, findings)?
                }
                Meaning::Vpc(_) => {
                    let finding = wrong_kind(name, "a vpc", "a place");
                    findings.push(finding.help("name its zones, or machines in them"));
                    return None;
                }
            },
            PlaceKind::Leg(name, zone) => {
                return self.legs(name, zone, list, findings).map(|legs| Said::Spread(Rc::new(legs)));
            }
            PlaceKind::Address(address) => {
                let range = literal::range(address, findings)?;
                self.addresses(Rc::new(AddrSet::range(range)), place.span, findings)?
            }
            PlaceKind::Anywhere => Item::Anywhere,
        };
        Some(Said::Item(item))
    }

    /// Addresses as a place: some of them are in a zone, or all are groups, which are heard in their sender's (S14).
    fn addresses(&self, set: Rc<AddrSet>, span: Span, findings: &mut Findings) -> Option<Item> {
        if !set.is_disjoint(&self.zoned) || set.is_subset(literal::groups()) {
            return Some(Item::Addrs(set));
        }
        // What a person means by IPv4 written as IPv6.
        let mut ranges = set.ranges();
        let one = ranges.next().filter(|_| ranges.next().is_none()).and_then(|range| range.as_net());
        let v4 = one.and_then(literal::mapped);
        let set = v4.map_or(set.clone(), |v4| Rc::new(AddrSet::net(v4)));
        if set.is_subset(&literal::never()) {
            // No zone may claim them (S2).
            let message = "these addresses are never in a zone: of no machine, of `lo`, or of every link";
            findings.push(Diagnostic::error(code::UNZONED_ADDRESS, span, message).help(
                "no statement speaks of them: neighbour discovery passes without one, and so does DHCP of a leg that is `dynamic` or `serves dhcp`",
            ));
            return None;
        }
        let message = "these addresses are in no zone";
        if let Some(v4) = v4.filter(|_| !set.is_disjoint(&self.zoned)) {
            let v4 =
                if v4.prefix_len() == v4.max_prefix_len() { v4.addr().to_string() } else { v4.to_string() };
            let help = format!("write `{v4}`: no packet has an address of IPv4 in this form");
            findings.push(Diagnostic::error(code::UNZONED_ADDRESS, span, message).help(help));
            return None;
        }
        // Where something of a zone could not be read, they may be in that.
        if self.names.lacks_networks() {
            return None;
        }
        findings.push(
            Diagnostic::error(code::UNZONED_ADDRESS, span, message).help(
                "declare the zone that holds them; `zone internet { rest }` holds what no other claims, but nothing link-local \
                 (169.254.0.0/16) beside a vpc: that is a zone of its own",
            ),
        );
        None
    }

    /// `HOST.ZONE` or `GROUP.ZONE`.
    fn legs(&self, name: &Name, zone: &Name, list: List<'_>, findings: &mut Findings) -> Option<Spread> {
        let target = self.names.zone(zone, findings);
        let owner = self.names.place(name, list, findings)?;
        let (target, mut spread) = (target?, Spread::default());
        match owner {
            Meaning::Host(host) => {
                self.has_leg(host, target, name, findings)?;
                spread.add([Item::Leg(host, target)], BTreeSet::new());
            }
            Meaning::Def(def) => {
                for (plus, except) in self.defs.get(def)?.clone()?.pieces() {
                    let legs: Vec<_> =
                        plus.iter().map(|i| self.leg_of_member(i, target, name, findings)).collect();
                    let except = except.iter().cloned().collect();
                    spread.add(legs.into_iter().collect::<Option<Vec<Item>>>()?, except);
                }
            }
            Meaning::Zone(_) | Meaning::List(_) | Meaning::Vpc(_) => {
                let message =
                    format!("`{}` has no legs: only a machine or a group of machines has", name.text);
                findings.push(Diagnostic::error(code::WRONG_KIND, name.span, message));
                return None;
            }
        }
        Some(spread)
    }

    fn leg_of_member(
        &self,
        item: &Item,
        zone: ZoneId,
        group: &Name,
        findings: &mut Findings,
    ) -> Option<Item> {
        match item {
            Item::Host(host) => self.has_leg(*host, zone, group, findings).map(|()| Item::Leg(*host, zone)),
            Item::Leg(_, other) if *other == zone => Some(item.clone()),
            Item::Zone(_) | Item::Leg(..) | Item::Addrs(_) | Item::Anywhere => {
                let message =
                    format!("`{}` has a member, {}, that is no machine", group.text, self.call(item));
                findings.push(
                    Diagnostic::error(code::WRONG_KIND, group.span, message)
                        .help("only a machine, or a group of machines, has a leg in a zone"),
                );
                None
            }
        }
    }

    fn has_leg(&self, host: HostId, zone: ZoneId, said: &Name, findings: &mut Findings) -> Option<()> {
        // Before machines have legs there is nothing to compare with.
        let Some(machine) = self.hosts.get(host.index()) else { return Some(()) };
        if machine.leg_in(zone).is_some() {
            return Some(());
        }
        if self.unsure.contains(&host) {
            return None;
        }
        let (name, zone) = (&machine.name, self.zone_name(zone));
        let message = if *name == said.text {
            format!("`{name}` has no leg in `{zone}`")
        } else {
            format!("`{name}`, a member of `{}`, has no leg in `{zone}`", said.text)
        };
        let zones: Vec<String> = machine.legs.iter().map(|l| self.zone_name(l.zone).to_owned()).collect();
        let finding = Diagnostic::error(code::NO_SUCH_LEG, said.span, message);
        findings.push(match zones.as_slice() {
            [] => finding,
            zones => finding.help(format!("it has one in {}", super::words::listed(zones, "and"))),
        });
        None
    }

    /// Every address an item can have, read widely (S3 for dynamic legs).
    pub(super) fn addrs(&self, item: &Item) -> AddrSet {
        match item {
            Item::Zone(zone) => self.zone_addrs(*zone),
            Item::Host(host) => {
                let legs = self.hosts.get(host.index()).into_iter().flat_map(|h| &h.legs);
                legs.fold(AddrSet::empty(), |set, leg| set.union(&self.leg_addrs(leg)))
            }
            Item::Leg(host, zone) => {
                let leg = self.hosts.get(host.index()).and_then(|h| h.leg_in(*zone));
                leg.map_or_else(AddrSet::empty, |(_, leg)| self.leg_addrs(leg))
            }
            Item::Addrs(set) => AddrSet::clone(set),
            Item::Anywhere => AddrSet::full(),
        }
    }

    fn leg_addrs(&self, leg: &Leg) -> AddrSet {
        if leg.dynamic { self.zone_addrs(leg.zone).difference(&self.fixed) } else { leg.address_set() }
    }

    fn zone_addrs(&self, zone: ZoneId) -> AddrSet {
        self.zones.get(zone.index()).map(|z| z.addrs.clone()).unwrap_or_default()
    }

    /// The name of a zone.
    pub(super) fn zone_name(&self, zone: ZoneId) -> &str {
        self.zones.get(zone.index()).map_or("", |z| z.name.as_str())
    }

    /// The name of a machine.
    pub(super) fn host_name(&self, host: HostId) -> &str {
        self.names.hosts.get(host.index()).map_or("", |(h, _)| h.name.text.as_str())
    }

    /// An item as a person calls it.
    pub(super) fn call(&self, item: &Item) -> String {
        match item {
            Item::Zone(zone) => format!("`{}`", self.zone_name(*zone)),
            Item::Host(host) => format!("`{}`", self.host_name(*host)),
            Item::Leg(host, zone) => format!("`{}.{}`", self.host_name(*host), self.zone_name(*zone)),
            Item::Addrs(set) => match (set.ranges().next(), set.ranges().nth(1)) {
                (Some(range), None) => match range.as_net() {
                    Some(net) if net.prefix_len() == net.max_prefix_len() => format!("`{}`", net.addr()),
                    Some(net) => format!("`{net}`"),
                    None => format!("`{}-{}`", range.first_addr(), range.last_addr()),
                },
                (None | Some(_), None | Some(_)) => "a list of addresses".to_owned(),
            },
            Item::Anywhere => "`anywhere`".to_owned(),
        }
    }

    /// Counts what was spread out; none, with a finding, once it is too much.
    fn spend(&mut self, spread: &Spread, span: Option<Span>, findings: &mut Findings) -> Option<()> {
        let items = spread.pieces().flat_map(|(plus, except)| plus.iter().chain(except));
        self.spent = self.spent.saturating_add(items.map(Item::weight).sum());
        if self.spent <= SPREAD {
            return Some(());
        }
        // Said once: what follows would be as large.
        if self.spent < u64::MAX {
            self.spent = u64::MAX;
            let message = "the groups and lists of this policy spread out to more than 4,000,000 places";
            findings.extend(span.map(|span| {
                Diagnostic::error(code::TOO_LARGE, span, message)
                    .help("name zones or networks rather than lists")
            }));
        }
        None
    }
}
