//! What `except` takes away: never nothing, never everything.

use std::collections::BTreeSet;

use super::names::List;
use super::places::{Item, Places, Spread};
use crate::diag::{self, Diagnostic, Findings, code};
use crate::model::{Host, HostId};
use crate::net::AddrSet;
use crate::source::Span;
use crate::syntax::ast;

/// The most items that a finding names.
const NAMED: usize = 3;
/// What it says of more.
pub(super) const BEFORE: &str = "what stands before `except`";

impl Places<'_> {
    /// What a place after `except` takes away, item by item.
    pub(super) fn excluded(
        &self,
        place: &ast::Place,
        list: List<'_>,
        findings: &mut Findings,
    ) -> Option<BTreeSet<Item>> {
        let spread = self.item_of(place, list, findings)?;
        if spread.pieces().any(|(_, except)| !except.is_empty()) {
            let message = "what stands after `except` has an exclusion of its own";
            findings.push(
                Diagnostic::error(code::NESTED_EXCEPT, place.span, message)
                    .help("name the members to take away one by one"),
            );
            return None;
        }
        Some(spread.items().cloned().collect())
    }

    /// `whole` less what is taken away.
    pub(super) fn less(
        &self,
        whole: &Spread,
        taken: &[(&ast::Place, BTreeSet<Item>)],
        findings: &mut Findings,
    ) -> Option<Spread> {
        let away: BTreeSet<Item> = taken.iter().flat_map(|(_, items)| items.iter().cloned()).collect();
        let all: BTreeSet<Item> = whole.items().cloned().collect();
        let addrs = self.union(whole.items());
        let mut idle = false;
        for (place, items) in taken {
            let takes = items.iter().any(|i| all.contains(i) || !self.addrs(i).is_disjoint(&addrs));
            if self.grounded() && !takes && !items.is_empty() && !whole.is_empty() {
                findings.push(self.helped(idle_except(place.span, &self.called(whole)), items));
                idle = true;
            }
        }
        let mut left = Spread::default();
        for (plus, except) in whole.pieces() {
            let struck = |item: &&Item| away.contains(*item) && self.is_one_reading(item);
            let plus: Vec<Item> = plus.iter().filter(|item| !struck(item)).cloned().collect();
            let mine = self.union(&plus);
            let stays = away.iter().filter(|i| !self.addrs(i).is_disjoint(&mine)).cloned();
            let except: BTreeSet<Item> = except.iter().cloned().chain(stays).collect();
            // Of what a `deny` reads something may be left where nothing is of what an `allow` does (S12).
            let taken = || self.united(except.iter().map(|item| self.narrow(item)));
            let remains = except.is_empty() || !self.grounded() || !mine.is_subset(&taken());
            if remains {
                left.add(plus, except);
            }
        }
        if left.is_empty() && !whole.is_empty() && !idle {
            let span = taken.iter().map(|(p, _)| p.span).reduce(crate::source::Span::to);
            findings.extend(span.map(emptied));
            return None;
        }
        (!idle).then_some(left)
    }

    /// The same as an `allow` reads it (S12): less what `except`, read widely, takes away whole. None where nothing is left.
    pub(super) fn narrowed(&self, spread: Spread) -> Option<Spread> {
        if !self.grounded() || spread.pieces().all(|(_, except)| except.is_empty()) {
            return Some(spread);
        }
        let mut left = Spread::default();
        for (plus, except) in spread.pieces() {
            let taken = self.union(except);
            let stays = |item: &&Item| except.is_empty() || !self.addrs(item).is_subset(&taken);
            let plus: Vec<Item> = plus.iter().filter(stays).cloned().collect();
            if !plus.is_empty() {
                left.add(plus, except.iter().cloned().collect());
            }
        }
        (!left.is_empty()).then_some(left)
    }

    /// A place in words, where they are few.
    fn called(&self, whole: &Spread) -> String {
        let names: Vec<String> =
            whole.items().take(NAMED.saturating_add(1)).map(|item| self.call(item)).collect();
        if (1..=NAMED).contains(&names.len()) { diag::listed(&names, "and") } else { BEFORE.to_owned() }
    }

    /// An idle `except` of what is a machine's all the same, by its public address.
    fn helped(&self, idle: Diagnostic, items: &BTreeSet<Item>) -> Diagnostic {
        let written = self.union(items.iter().filter(|item| matches!(item, Item::Addrs(_))));
        let publics = self.hosts.iter().flat_map(|host| {
            host.legs.iter().flat_map(|leg| &leg.public).map(move |public| (host, public.address))
        });
        let mut of = publics.filter(|(_, public)| written.contains(*public));
        match of.next() {
            Some((host, public)) => idle.help(format!(
                "`{public}` is the public address of `{}`; who stands here is known by private ones: remove it, or name the machine",
                host.name
            )),
            None => idle.help("remove it, or name what it should be taken from"),
        }
    }

    /// Whether machines have their legs: before, what has which address is not known. Those of vpcs follow the declared ones.
    fn grounded(&self) -> bool {
        self.hosts.len() >= self.names.hosts.len()
    }

    /// Whether an item taken from itself leaves nothing, however both are read (S12). Before machines have their legs nobody
    /// knows, and it is taken for so.
    fn is_one_reading(&self, item: &Item) -> bool {
        !self.grounded() || self.addrs(item).is_subset(&self.narrow(item))
    }

    /// The addresses of an item after `except`, read narrowly.
    fn narrow(&self, item: &Item) -> AddrSet {
        let host = |host: &HostId| self.hosts.get(host.index());
        match item {
            Item::Zone(_) => self.addrs(item).difference(&self.forwarders()),
            Item::Host(of) => host(of).map(Host::address_set).unwrap_or_default(),
            Item::Leg(of, zone) => host(of)
                .and_then(|host| host.leg_in(*zone))
                .map(|(_, leg)| leg.address_set())
                .unwrap_or_default(),
            Item::Addrs(set) => AddrSet::clone(set),
            Item::Anywhere => {
                self.united(self.zones.iter().map(|zone| zone.addrs.clone())).difference(&self.forwarders())
            }
        }
    }

    /// The static addresses of machines that forward.
    fn forwarders(&self) -> AddrSet {
        self.united(self.hosts.iter().filter(|host| host.forwards()).map(Host::address_set))
    }

    fn union<'i>(&self, items: impl IntoIterator<Item = &'i Item>) -> AddrSet {
        self.united(items.into_iter().map(|item| self.addrs(item)))
    }

    fn united(&self, sets: impl Iterator<Item = AddrSet>) -> AddrSet {
        AddrSet::from_ranges(sets.flat_map(|set| set.ranges().collect::<Vec<_>>()))
    }
}

/// An `except` that takes everything away.
pub(super) fn emptied(span: Span) -> Diagnostic {
    Diagnostic::error(code::EMPTIED_PLACES, span, "this takes everything away: nobody is left")
        .help("a rule about nobody is a mistake; name fewer after `except`, or remove the statement")
}

/// An `except` that takes nothing away from a place.
pub(super) fn idle_except(span: Span, from: &str) -> Diagnostic {
    Diagnostic::error(code::IDLE_EXCEPT, span, format!("this takes nothing away from {from}"))
}
