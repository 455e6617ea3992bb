//! Statements: `allow`, `deny` and `expect`, with their ends spread out and their families checked.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::iter::repeat_n;
use std::mem;

use super::except::{BEFORE, emptied, idle_except};
use super::groups::Worn;
use super::literal;
use super::modifiers::{self, Modifiers};
use super::names::Names;
use super::nat;
use super::places::{Item, Places, Spread};
use super::services::Services;
use super::words::{listed, sentence};
use super::{bastion, people};
use crate::diag::{Diagnostic, Findings, code};
use crate::model::{
    Access, Expect, Expected, Host, HostId, Leg, LegId, Nat, Place, Remarks, Term, Terms, Test, ZoneId,
};
use crate::net::Family;
use crate::source::{SourceMap, Span};
use crate::syntax::ast::{self, ExpectKind, ServiceItem};

/// How the two ends of a statement are read (S12).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// `allow`, `expect allow`
    Narrowly,
    /// `deny`, `expect deny`, `expect only`
    Widely,
}

/// The words of a statement that say who may speak to whom, with what.
struct Sentence<'s> {
    services: &'s [ServiceItem],
    from: &'s ast::Places,
    to: &'s ast::Places,
    reading: Reading,
    span: Span,
}

/// The same, resolved: the terms, and every pair of pieces.
struct Meant {
    terms: Terms,
    pairs: Vec<(Place, Place)>,
}

/// The statements of a policy.
pub(super) struct Statements<'a> {
    names: &'a Names<'a>,
    services: &'a Services<'a>,
    sources: &'a SourceMap,
    worn: Worn<'a>,
    /// By their words.
    pub(super) accesses: Vec<Access>,
    /// By their title.
    pub(super) tests: Vec<Test>,
}

impl<'a> Statements<'a> {
    /// None yet.
    pub(super) fn new(names: &'a Names<'a>, services: &'a Services<'a>, sources: &'a SourceMap) -> Self {
        Self { names, services, sources, worn: Worn::new(names), accesses: Vec::new(), tests: Vec::new() }
    }

    /// Resolves them all and puts them into canonical order.
    pub(super) fn resolve(&mut self, places: &mut Places, findings: &mut Findings) {
        self.accesses.reserve(self.names.accesses.len());
        const NEAR: usize = 32;
        for near in by_words(&self.names.accesses, self.sources).chunks(NEAR) {
            black_box(touched(near));
            for access in near {
                self.access(access, places, findings);
            }
        }
        for (test, span) in &self.names.tests {
            // Of what could not be read that has been said.
            if test.expects.is_empty() && !findings.error_in(test.block) {
                let message = format!("the test `{}` expects nothing", super::words::clean(&test.title.text));
                findings.push(Diagnostic::warning(code::EMPTY_TEST, *span, message).help(
                    "write `expect allow …`, `expect deny …` or `expect only …` in it, or leave it out",
                ));
            }
            let expects = test.expects.iter().flat_map(|e| self.expect(e, places, findings)).collect();
            self.tests.push(Test { title: super::words::clean(&test.title.text), expects, span: *span });
        }
        // A policy is a set: a statement said twice is said once.
        self.accesses = canonical(mem::take(&mut self.accesses), findings);
        self.tests.sort_by_cached_key(|t| (t.title.clone(), words(t)));
    }

    /// Adds what a sentence says; nothing after a finding.
    fn access(&mut self, access: &ast::Access, places: &mut Places, findings: &mut Findings) {
        let people = people::named(self.names, &access.people, findings);
        let modifiers = modifiers::resolve(access.action, &access.modifiers, findings);
        let reading = match access.action {
            ast::Action::Allow => Reading::Narrowly,
            ast::Action::Deny => Reading::Widely,
        };
        let (services, from, to) = (access.services.as_slice(), &access.from, &access.to);
        let said = Sentence { services, from, to, reading, span: access.sentence };
        let Some(meant) = self.meant(&said, places, findings) else { return };
        let nat = match &access.clause {
            Some(clause) => match nat::resolve(clause, &meant.terms, places, findings) {
                Some(nat) if self.translatable(&said, &nat, places, findings) => Some(nat),
                Some(_) | None => return,
            },
            None => None,
        };
        let Some(people) = people else { return };
        let Modifiers { log, reject, limit, until, remarks } = modifiers;
        let words = sentence(self.sources.words(access.sentence));
        let how = match (reading, &nat) {
            (Reading::Widely, _) => bastion::Ssh::Any,
            (Reading::Narrowly, Some(Nat::Dnat { .. } | Nat::Ipvs { .. })) => bastion::Ssh::Plain,
            (Reading::Narrowly, Some(Nat::Masquerade | Nat::Snat(..)) | None) => bastion::Ssh::Each,
        };
        let mut pieces = self.by_port(places, services, meant, how);
        let Some((terms, from, to)) = pieces.pop() else { return };
        let first = self.accesses.len();
        self.accesses.push(Access {
            action: modifiers::action(access.action),
            terms,
            from,
            to,
            nat,
            people,
            named: self.worn.named(&access.from, &access.to),
            meter: None,
            log,
            reject,
            limit,
            until,
            remarked: (remarks != Remarks::default()).then(|| Box::new(remarks)),
            words,
            span: access.sentence,
        });
        // Nearly always it is one piece, and what is large is made where it stays.
        for (terms, from, to) in pieces {
            let Some(like) = self.accesses.get(first).cloned() else { return };
            self.accesses.push(Access { terms, from, to, ..like });
        }
    }

    fn expect(&self, expect: &ast::Expect, places: &mut Places, findings: &mut Findings) -> Vec<Expect> {
        let direct = expect.direct.is_some();
        if let (Some(span), ExpectKind::Allow) = (expect.direct, expect.kind) {
            let message = "an `expect allow` is of what the sender writes already";
            let help = "leave `direct` away: it is for `expect deny` and `expect only`";
            findings.push(Diagnostic::error(code::IDLE_DIRECT, span, message).help(help).fix(span, ""));
        }
        let people = people::named(self.names, &expect.people, findings);
        let (kind, reading) = match expect.kind {
            ExpectKind::Allow => (Expected::Allow, Reading::Narrowly),
            ExpectKind::Deny => (Expected::Deny, Reading::Widely),
            ExpectKind::Only => (Expected::Only, Reading::Widely),
        };
        let (services, from, to) = (expect.services.as_slice(), &expect.from, &expect.to);
        let said = Sentence { services, from, to, reading, span: expect.span };
        let Some(meant) = self.meant(&said, places, findings) else { return Vec::new() };
        let Some(people) = people else { return Vec::new() };
        let words = sentence(self.sources.words(expect.span));
        let how = if kind == Expected::Deny { bastion::Ssh::Any } else { bastion::Ssh::Each };
        let whole = self.by_port(places, services, meant, how).into_iter().map(|(terms, from, to)| Expect {
            kind,
            terms,
            from,
            to,
            direct,
            people: people.clone(),
            words: words.clone(),
            span: expect.span,
        });
        whole.collect()
    }

    /// Every pair of a statement with its terms: `ssh` means another port for some machines (S60).
    fn by_port(
        &self,
        places: &Places,
        services: &[ServiceItem],
        meant: Meant,
        how: bastion::Ssh,
    ) -> Vec<(Terms, Place, Place)> {
        let is_ssh = |item: &&ServiceItem| matches!(&item.kind, ast::ServiceKind::Name(n) if n.text == "ssh");
        let each = repeat_n(meant.terms, meant.pairs.len()).zip(meant.pairs);
        if !services.iter().any(|service| is_ssh(&service)) {
            return each.map(|(terms, (from, to))| (terms, from, to)).collect();
        }
        let others: Vec<_> = services.iter().filter(|service| !is_ssh(service)).cloned().collect();
        let others = self.services.terms(&others, &mut Findings::default());
        let split = each.flat_map(|(terms, (from, to))| {
            let split = bastion::by_port(places.hosts, others.clone(), terms, &to, how);
            split.into_iter().map(move |(terms, to)| (terms, from.clone(), to))
        });
        split.collect()
    }

    /// What a sentence means; none after a finding.
    fn meant(&self, said: &Sentence, places: &mut Places, findings: &mut Findings) -> Option<Meant> {
        let terms = self.services.terms(said.services, findings);
        let (from, to) = (places.spread(said.from, findings), places.spread(said.to, findings));
        let (mut from, mut to) = (from?, to?);
        if said.reading == Reading::Narrowly {
            let mut narrowed = |end, written| Self::narrowed(places, end, written, findings);
            (from, to) = (narrowed(from, said.from)?, narrowed(to, said.to)?);
        }
        for (end, written) in [(&from, said.from), (&to, said.to)] {
            if end.is_empty() {
                // What could not be read was said to be wrong, here or where the name is declared.
                if !findings.error_in(written.span) && places.names.unread.is_empty() {
                    findings.push(empty_end(written.span, said.span));
                }
                return Some(Meant { terms: terms?, pairs: Vec::new() });
            }
        }
        // Nearly always nothing is wrong, and the items show it without the words that say them.
        let mut good = said.from.except.is_empty() && !from.items().any(is_group)
            || no_sender(places, said.from, findings);
        if said.reading == Reading::Narrowly {
            good &= which_leg(places, said.to, &to, findings);
        } else {
            for (written, end) in [(said.from, &from), (said.to, &to)] {
                good &= told_apart(places, written, end, findings);
            }
        }
        let common = self.common(said, places, &from, &to, findings);
        let terms = terms?;
        let pairs = || {
            if let Some(pair) = places.one(&from).zip(places.one(&to)) {
                return vec![pair];
            }
            let (from, to) = (places.model(&from), places.model(&to));
            let each = repeat_n(to, from.len()).zip(from);
            each.flat_map(|(to, from)| repeat_n(from, to.len()).zip(to)).collect()
        };
        (good && common).then(|| Meant { terms, pairs: pairs() })
    }

    /// An end as an `allow` reads it; none after a finding.
    fn narrowed(
        places: &Places,
        end: Spread,
        written: &ast::Places,
        findings: &mut Findings,
    ) -> Option<Spread> {
        if end.is_empty() {
            return Some(end);
        }
        let left = places.narrowed(end);
        if left.is_none() {
            let span = written.except.iter().map(|place| place.span).reduce(crate::source::Span::to);
            findings.push(emptied(span.unwrap_or(written.span)));
        }
        left
    }

    /// Whether every end, and every service, has a family with the other side (S4).
    fn common(
        &self,
        said: &Sentence,
        places: &Places,
        from: &Spread,
        to: &Spread,
        findings: &mut Findings,
    ) -> bool {
        let (ours, theirs) = (Families::of_all(places, from), Families::of_all(places, to));
        // Where the one end has nothing of the other's family, the other has nothing of its: that is one error.
        if !same_family(places, (said.from, from), (said.to, theirs), findings)
            || !same_family(places, (said.to, to), (said.from, ours), findings)
        {
            return false;
        }
        self.spoken(said, ours.and(theirs), "the two ends share", findings)
    }

    /// Whether every service has a family for which the clause speaks too (S28).
    fn translatable(&self, said: &Sentence, nat: &Nat, places: &mut Places, findings: &mut Findings) -> bool {
        let of_nat = match nat {
            Nat::Dnat { to, .. } | Nat::Ipvs { servers: to, .. } => {
                let has = |family: Family| to.iter().any(|a| Family::of(*a) == family);
                Families { v4: has(Family::V4), v6: has(Family::V6) }
            }
            Nat::Snat(_, _, Some(named)) => {
                let v4 = Family::of(*named) == Family::V4;
                Families { v4, v6: !v4 }
            }
            Nat::Snat(host, leg, None) => Families::of_legs(places, host, |id, _| id == *leg),
            // By which leg, and so in which family, is the way's to say.
            Nat::Masquerade => return true,
        };
        let mut of = |written: &ast::Places| {
            let spread = places.spread(written, &mut Findings::default());
            spread.map_or(Families::NONE, |spread| Families::of_all(places, &spread))
        };
        let left = of(said.from).and(of(said.to)).and(of_nat);
        // An end without a family that the clause has is `topology`'s to name.
        !left.some() || self.spoken(said, left, "the two ends and the clause share", findings)
    }

    /// Whether every service is spoken over one of these families.
    fn spoken(&self, said: &Sentence, left: Families, whose: &str, findings: &mut Findings) -> bool {
        // An end without a family was spoken of where it is declared.
        if !left.some() {
            return true;
        }
        let mut good = true;
        for service in said.services {
            // Ports are spoken over both.
            if matches!(service.kind, ast::ServiceKind::Ports { .. }) {
                continue;
            }
            let Some(terms) = self.services.item(service, &mut Findings::default()) else { continue };
            let of = |term: &Term| Families { v4: term.speaks(Family::V4), v6: term.speaks(Family::V6) };
            let any = terms.iter().any(|term| of(term).and(left).some());
            if !any {
                let message = format!("this service is not spoken over {}, all that {whose}", left.name());
                findings.push(
                    Diagnostic::error(code::FAMILY_MISMATCH, service.span, message)
                        .help("`icmp` is spoken over IPv4, `icmpv6` over IPv6; `ping` is both"),
                );
                good = false;
            }
        }
        good
    }
}

/// Address families, as a set.
#[derive(Clone, Copy)]
struct Families {
    v4: bool,
    v6: bool,
}

impl Families {
    const NONE: Self = Self { v4: false, v6: false };

    fn of(places: &Places, item: &Item) -> Self {
        let carries = |zone: Option<ZoneId>, host: &HostId| {
            Self::of_legs(places, host, |_, leg| zone.is_none_or(|z| leg.zone == z))
        };
        match item {
            Item::Zone(zone) => places.zones.get(zone.index()).map_or(Self::NONE, |z| Self::of_set(&z.addrs)),
            Item::Addrs(set) => Self::of_set(set),
            Item::Anywhere => Self { v4: true, v6: true },
            Item::Host(host) => carries(None, host),
            Item::Leg(host, zone) => carries(Some(*zone), host),
        }
    }

    /// Of those legs of a machine: of a dynamic one, what its zone has.
    fn of_legs(places: &Places, host: &HostId, which: impl Fn(LegId, &Leg) -> bool) -> Self {
        let legs = places.hosts.get(host.index()).into_iter().flat_map(Host::legs);
        legs.filter(|(id, leg)| which(*id, leg)).fold(Self::NONE, |all, (_, leg)| {
            let zone = places.zones.get(leg.zone.index()).filter(|_| leg.dynamic);
            let dynamic = zone.map_or(Self::NONE, |z| Self::of_set(&z.addrs));
            all.or(dynamic).or(Self::of_set(&leg.address_set()))
        })
    }

    fn of_set(set: &crate::net::AddrSet) -> Self {
        Self { v4: set.has(Family::V4), v6: set.has(Family::V6) }
    }

    fn of_all(places: &Places, spread: &Spread) -> Self {
        spread.items().fold(Self::NONE, |all, item| all.or(Self::of(places, item)))
    }

    fn and(self, other: Self) -> Self {
        Self { v4: self.v4 && other.v4, v6: self.v6 && other.v6 }
    }

    fn or(self, other: Self) -> Self {
        Self { v4: self.v4 || other.v4, v6: self.v6 || other.v6 }
    }

    fn some(self) -> bool {
        self.v4 || self.v6
    }

    fn name(self) -> &'static str {
        match (self.v4, self.v6) {
            (true, true) => "IPv4 and IPv6",
            (true, false) => "IPv4",
            (false, true) => "IPv6",
            (false, false) => "no family",
        }
    }
}

/// The items of each written place that are left after `except`.
fn written<'s>(places: &Places, said: &'s [ast::Place], end: &Spread) -> Vec<(&'s ast::Place, Vec<Item>)> {
    let left: std::collections::BTreeSet<&Item> = end.items().collect();
    let each = said.iter().filter_map(|place| {
        let spread = places.item(place, &mut Findings::default())?;
        Some((place, spread.items().filter(|i| left.contains(i)).cloned().collect()))
    });
    each.collect()
}

/// Reports every item of `said` that shares no family with the other side.
fn same_family(
    places: &Places,
    (said, end): (&ast::Places, &Spread),
    (opposite, other): (&ast::Places, Families),
    findings: &mut Findings,
) -> bool {
    // A machine without legs, or a zone without networks, was spoken of where it is declared.
    let meets = |own: Families| !own.some() || !other.some() || own.and(other).some();
    let fits = |item: &Item| meets(Families::of(places, item));
    if end.items().all(fits) {
        return true;
    }
    let mut good = true;
    for (place, items) in written(places, &said.plus, end) {
        for item in items {
            let own = Families::of(places, &item);
            if meets(own) {
                continue;
            }
            let message = format!(
                "{} has {} alone, the other end {} alone",
                places.call(&item),
                own.name(),
                other.name()
            );
            findings.push(
                Diagnostic::error(code::FAMILY_MISMATCH, place.span, message)
                    .also(opposite.span, format!("{} alone", other.name()))
                    .help("IPv4 and IPv6 do not meet: name ends that share a family"),
            );
            good = false;
        }
    }
    good
}

/// Reports groups as a source: no packet comes from one (RFC 1122, section 3.2.1.3; RFC 4291, section 2.7).
pub(super) fn no_sender(places: &Places, said: &ast::Places, findings: &mut Findings) -> bool {
    let mut good = true;
    for place in &said.plus {
        let Some(spread) = places.item(place, &mut Findings::default()) else { continue };
        if spread.items().any(is_group) {
            let message = "a multicast group or broadcast address hears, and never sends";
            findings.push(
                Diagnostic::error(code::NOT_UNICAST, place.span, message)
                    .help("name it after `to`; who speaks to it stands after `from`"),
            );
            good = false;
        }
    }
    good
}

/// Whether all of its addresses are multicast or broadcast.
fn is_group(item: &Item) -> bool {
    matches!(item, Item::Addrs(set) if set.is_subset(literal::groups()))
}

/// Reports every machine with several legs that a narrow `to` names as a whole.
fn which_leg(places: &Places, said: &ast::Places, end: &Spread, findings: &mut Findings) -> bool {
    if !end.items().any(|item| matches!(item, Item::Host(_))) {
        return true;
    }
    let mut good = true;
    for (place, items) in written(places, &said.plus, end) {
        for item in items {
            let Item::Host(id) = item else { continue };
            let Some(host) = places.hosts.get(id.index()).filter(|h| h.legs.len() > 1) else { continue };
            let names = |prefix: &str| {
                let legs = host.legs.iter().map(|l| format!("{prefix}.{}", places.zone_name(l.zone)));
                listed(&legs.collect::<Vec<_>>(), "or")
            };
            let finding = match &place.kind {
                ast::PlaceKind::Name(name) if name.text != host.name => {
                    let message = format!("`{}` has a member with several legs, `{}`", name.text, host.name);
                    Diagnostic::error(code::WHICH_LEG, place.span, message)
                        .help(format!("say which: {}", names(&name.text)))
                }
                ast::PlaceKind::Name(_)
                | ast::PlaceKind::Leg(..)
                | ast::PlaceKind::Address(_)
                | ast::PlaceKind::Anywhere => {
                    let message =
                        format!("`{}` has {} legs: this does not say which", host.name, host.legs.len());
                    Diagnostic::error(code::WHICH_LEG, place.span, message)
                        .help(format!("write {}", names(&host.name)))
                }
            };
            findings.push(finding);
            good = false;
            // One member is enough to show what is wrong with a group.
            break;
        }
    }
    good
}

/// Reports an exclusion that, read narrowly, takes nothing away: a machine whose addresses nobody knows (S12).
fn told_apart(places: &Places, said: &ast::Places, end: &Spread, findings: &mut Findings) -> bool {
    let unknown = |item: &Item| match item {
        Item::Host(host) => places.hosts.get(host.index()).is_some_and(|h| h.legs.iter().all(|l| l.dynamic)),
        Item::Leg(host, zone) => {
            let leg = places.hosts.get(host.index()).and_then(|h| h.leg_in(*zone));
            leg.is_some_and(|(_, leg)| leg.dynamic)
        }
        Item::Zone(_) | Item::Addrs(_) | Item::Anywhere => false,
    };
    let mut good = true;
    for place in &said.except {
        let Some(spread) = places.item(place, &mut Findings::default()) else { continue };
        let stays = |item: &Item| end.pieces().any(|(_, except)| except.contains(item));
        if !spread.is_empty() && spread.items().all(|i| unknown(i) && stays(i)) {
            findings.push(
                idle_except(place.span, BEFORE)
                    .help("its address is not known when compiling: exclude its zone"),
            );
            good = false;
        }
    }
    good
}

fn empty_end(end: Span, sentence: Span) -> Diagnostic {
    Diagnostic::warning(code::EMPTY_END, end, "this speaks of nobody, so the statement says nothing")
        .also(sentence, "the statement")
        .help("the group is empty on purpose; it will count once something joins it by `+=`")
}

/// What decides the order of accesses, everything but spans.
type Key<'k> = (
    (&'k str, crate::model::Action, &'k [Term], &'k Place, &'k Place, &'k Option<Nat>),
    (bool, bool, Option<crate::model::Limit>, Option<u64>),
    (&'k Option<String>, &'k Option<String>, &'k [(String, String)]),
    (&'k [crate::model::PersonId], &'k Option<String>),
);

/// In canonical order, none twice: which `allow` is, is told.
fn canonical(mut all: Vec<Access>, findings: &mut Findings) -> Vec<Access> {
    let by = |a: &Access, b: &Access| a.words.cmp(&b.words).then_with(|| order(a).cmp(&order(b)));
    // They are large, and there may be very many: what is sorted is where they stand, by their first words, and each is
    // moved once.
    let common = common_start(all.iter().map(|access| access.words.as_str()));
    let mut sorted: Vec<([u64; 4], usize, &Access)> =
        all.iter().enumerate().map(|(at, access)| (first_words(&access.words, common), at, access)).collect();
    sorted.sort_unstable_by(|(x, m, a), (y, n, b)| {
        x.cmp(y).then_with(|| by(a, b).then(a.span.cmp(&b.span)).then(m.cmp(n)))
    });
    let mut goes: Vec<usize> = vec![0; sorted.len()];
    for (to, (_, from, _)) in sorted.into_iter().enumerate() {
        goes.get_mut(from).into_iter().for_each(|slot| *slot = to);
    }
    for at in 0..all.len() {
        while let Some(to) = goes.get(at).copied().filter(|to| *to != at) {
            all.swap(at, to);
            goes.swap(at, to);
        }
    }
    let mut said = BTreeSet::new();
    all.dedup_by(|again, first| {
        if by(again, first).is_ne() {
            return false;
        }
        let waived = again.waives_lint(code::NEEDLESS_ALLOW.as_str());
        let told = again.action == crate::model::Action::Allow && again.span != first.span && !waived;
        // One sentence may be several of them.
        if told && said.insert(again.span) {
            let message = "no packet needs this `allow`: it is said already, in the same words";
            let finding = Diagnostic::warning(code::NEEDLESS_ALLOW, again.span, message);
            findings.push(finding.also(first.span, "said here").help("remove one of the two"));
        }
        true
    });
    all.shrink_to_fit();
    all
}

/// Nearly in the order in which [`canonical`] leaves them: what is resolved one after another lies side by side, and is gone through
/// so ever after.
fn by_words<'x>(all: &[&'x ast::Access], sources: &SourceMap) -> Vec<&'x ast::Access> {
    let words = |access: &ast::Access| sources.words(access.sentence);
    let common = common_start(all.iter().map(|access| words(access)));
    let mut sorted: Vec<([u64; 4], usize, &ast::Access)> = all
        .iter()
        .enumerate()
        .map(|(at, access)| (first_words(words(access), common), at, *access))
        .collect();
    sorted.sort_unstable_by_key(|(first, at, _)| (*first, *at));
    sorted.into_iter().map(|(.., access)| access).collect()
}

/// A number of no meaning, for which the memory of all of these is asked at once: they lie apart, and one after another each would be
/// waited for, which takes a third of the time to resolve 100,000.
fn touched(all: &[&ast::Access]) -> u32 {
    let ends = |access: &ast::Access| {
        let ends = [&access.from, &access.to].map(|end| end.plus.first().map_or(0, |place| place.span.start));
        let service = access.services.first().map_or(0, |service| service.span.start);
        ends.iter().fold(service, |sum, start| sum ^ start)
    };
    all.iter().fold(0, |sum, access| sum ^ ends(access))
}

/// With how many bytes all of these begin alike.
fn common_start<'w>(mut all: impl Iterator<Item = &'w str>) -> usize {
    let Some(first) = all.next() else { return 0 };
    all.fold(first.len(), |common, other| {
        let pairs = first.bytes().zip(other.bytes()).take(common);
        pairs.take_while(|(a, b)| a == b).count()
    })
}

/// The 32 bytes of these words behind so many, as numbers that ascend as the words do. Behind the end are zeros, which no words
/// have.
fn first_words(words: &str, behind: usize) -> [u64; 4] {
    let mut bytes = [0u8; 32];
    let words = words.as_bytes().get(behind..).unwrap_or_default();
    bytes.iter_mut().zip(words).for_each(|(to, from)| *to = *from);
    let mut chunks = bytes.chunks_exact(8);
    [(); 4].map(|()| chunks.next().and_then(|chunk| chunk.try_into().ok()).map_or(0, u64::from_be_bytes))
}

fn order(a: &Access) -> Key<'_> {
    let said = a.remarks();
    (
        (&a.words, a.action, &a.terms, &a.from, &a.to, &a.nat),
        (a.log, a.reject, a.limit, a.until),
        (&said.reason, &said.owner, &said.waived),
        (&a.people, &said.break_glass),
    )
}

fn words(test: &Test) -> Vec<String> {
    test.expects.iter().map(|e| e.words.clone()).collect()
}
