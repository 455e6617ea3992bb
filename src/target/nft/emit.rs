//! From rules to an nftables table: one `table inet fwc` for every machine that filters.
//!
//! The way of a packet through it: loopback and connection tracking, the base's DHCP, what is denied, then by its
//! interfaces into the chain of its pair, where verdict maps are asked with one lookup each; what comes back is logged,
//! told, and dropped. A map is one lookup for ten elements and for 100,000, a linear list one for each rule
//! (`docs/performance.md`, In the kernel).
//!
//! Names depend on hooks, interfaces and statements alone and elements stand sorted, one for each pair of items and
//! port range: so one more server adds lines and changes none.

mod base;
mod bridge;
mod clamps;
mod containers;
mod fates;
mod ipvs;
mod layers;
mod names;
mod translate;

use std::collections::BTreeMap;
use std::net::IpAddr;

use hashbrown::HashMap;

use super::artifact::{
    Chain, DataType, Element, Expression, Field, Hook as At, Place, Policy, Rule, Ruleset, Set, Statement,
    Table, TableFamily, Verdict,
};
use crate::diag::Findings;
use crate::ir::{Pair, PointRules, Program, Wire};
use crate::model::{AccessId, Hook, Host, HostId, Origin, Site};
use crate::net::{AddrSet, Family};

/// 7, because a priority is never shared: of equal ones the chain registered last runs first. firewalld sits at
/// +10, foomuuri at +5, docker at 0.
const PRIORITY: i32 = 7;

/// Elements of a table with a comment each. A comment is a quarter of the time that loading an element takes, and is
/// held in the kernel beside it (`docs/performance.md`).
const MOST_COMMENTS: usize = 5000;

/// Which statements a rule or an element comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    /// By the place, sorted.
    places: Vec<(Place, Vec<Origin>)>,
}

impl Origins {
    /// The statements of a place; of an element in a rule, the rule's.
    #[must_use]
    pub fn of(&self, place: Place) -> &[Origin] {
        let place = match place {
            Place::Inline { table, chain, rule, .. } => Place::Rule { table, chain, rule },
            Place::Policy { .. } | Place::Rule { .. } | Place::Element { .. } => place,
        };
        let found = self.places.binary_search_by_key(&place, |(place, _)| *place);
        let found = found.ok().and_then(|at| self.places.get(at));
        found.map(|(_, because)| because.as_slice()).unwrap_or_default()
    }
}

impl IntoIterator for Origins {
    type Item = (Place, Vec<Origin>);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    /// Every place with its statements, sorted by place.
    fn into_iter(self) -> Self::IntoIter {
        self.places.into_iter()
    }
}

/// The ruleset of every machine that filters, by machine. None where something cannot be said.
pub fn emit(
    program: &Program,
    site: &Site,
    findings: &mut Findings,
) -> Option<Vec<(HostId, Ruleset, Origins)>> {
    let mut by_host: BTreeMap<HostId, Vec<&PointRules>> = BTreeMap::new();
    for point in &program.points {
        by_host.entry(point.host).or_default().push(point);
    }
    let mut sayable = true;
    let mut out = Vec::new();
    for (id, points) in by_host {
        let Some(host) = site.host(id) else { continue };
        let mut draft = Draft::new(site, host, TableFamily::Inet);
        for point in &points {
            draft.point(point);
        }
        for translations in program.translations.iter().filter(|t| t.host == id) {
            draft.translations(translations);
        }
        draft.shared();
        sayable &= draft.fates(findings);
        let (mut ruleset, mut origins) = (Ruleset::default(), Origins::default());
        draft.finish(&mut ruleset, &mut origins);
        if host.has_bridge() {
            let mut draft = Draft::new(site, host, TableFamily::Bridge);
            draft.tagged();
            points.iter().filter(|point| point.hook == Hook::Bridge).for_each(|point| draft.bridges(point));
            sayable &= draft.fates(findings);
            draft.finish(&mut ruleset, &mut origins);
        }
        origins.places.sort_by_key(|(place, _)| *place);
        out.push((id, ruleset, origins));
    }
    sayable.then_some(out)
}

/// A rule or an element with where it comes from.
struct Traced<T> {
    what: T,
    because: Vec<Origin>,
}

struct DraftSet {
    set: Set,
    elements: Vec<Traced<Element>>,
}

struct DraftChain {
    chain: Chain,
    rules: Vec<Traced<Rule>>,
}

impl DraftChain {
    fn regular(name: &str) -> Self {
        Self { chain: Chain::regular(name, Vec::new()), rules: Vec::new() }
    }

    fn push(&mut self, statements: Vec<Statement>, comment: &str, because: &[Origin]) {
        let rule = Rule::new(statements).because(comment);
        self.rules.push(Traced { what: rule, because: because.to_vec() });
    }

    fn base(&mut self, statements: Vec<Statement>, comment: &str) {
        self.push(statements, comment, &[Origin::Base]);
    }
}

/// The table of one machine as it grows.
struct Draft<'s> {
    site: &'s Site,
    host: &'s Host,
    /// In which some words are others.
    family: TableFamily,
    sets: Vec<DraftSet>,
    chains: Vec<DraftChain>,
    /// Chains for verdicts that need more than one word, by name.
    fates: BTreeMap<String, fates::Fate>,
    /// The names of those chains, by what they are made of.
    named: HashMap<fates::Asked, String>,
    digests: names::Digests,
    /// Whether something jumps to the chain that rejects.
    told: bool,
    /// Where a denied packet goes on, if it is not dropped: what is no reply may still begin something (S42).
    denied: Option<String>,
}

impl<'s> Draft<'s> {
    fn new(site: &'s Site, host: &'s Host, family: TableFamily) -> Self {
        let (sets, chains, fates, named) = (Vec::new(), Vec::new(), BTreeMap::new(), HashMap::new());
        let digests = names::Digests::default();
        Self { site, host, family, sets, chains, fates, named, digests, told: false, denied: None }
    }
}

impl Draft<'_> {
    fn point(&mut self, point: &PointRules) {
        let hook = match point.hook {
            Hook::Input => At::Input,
            Hook::Forward => At::Forward,
            Hook::Output => At::Output,
            Hook::Prerouting | Hook::Postrouting | Hook::Bridge => return,
        };
        let name = point.hook.keyword();
        let chain = Chain::filter(name, hook, PRIORITY, Policy::Drop);
        let mut chain = DraftChain { chain, rules: Vec::new() };
        base::first(&mut chain, point);
        self.clamps(point);
        if !point.ports.is_empty() {
            self.chains.push(Self::neighbours_forward(point));
        }
        // The chains that are jumped to stand behind the hook's own.
        let own = self.chains.len();
        self.strict(&mut chain, point);
        self.sent_on(&mut chain, point);
        self.containers(&mut chain, point);
        if point.closed {
            chain.base(dropping(), "a plain machine forwards nothing");
            self.chains.insert(own, chain);
            return;
        }
        if point.ports_only {
            self.ports_only(&mut chain, point);
        }
        if !point.denies.is_empty() {
            let denied = format!("denied_{name}");
            let mut rules = DraftChain::regular(&denied);
            rules
                .chain
                .notes
                .push("What is denied, whatever is allowed and by whatever interface it comes.".to_owned());
            self.layers(&mut rules, &denied, &point.denies);
            self.chains.push(rules);
            let because: Vec<Origin> = Vec::new();
            chain.push(vec![Statement::Verdict(Verdict::Jump(denied))], "denials", &because);
        }
        self.itself(&mut chain, point);
        self.users(&mut chain, point);
        self.dispatch(&mut chain, point.hook, &point.pairs, point.hook.keyword());
        self.defaults(&mut chain, point);
        chain.base(dropping(), "everything else");
        self.chains.insert(own, chain);
    }

    /// S13, at the machine's own hooks.
    fn itself(&self, chain: &mut DraftChain, point: &PointRules) {
        let (of, v4, v6) = match point.hook {
            Hook::Output => {
                ("nothing is sent to an own address but by loopback", Field::IpDaddr, Field::Ip6Daddr)
            }
            Hook::Input | Hook::Forward | Hook::Prerouting | Hook::Postrouting | Hook::Bridge => {
                ("an own address comes by loopback alone", Field::IpSaddr, Field::Ip6Saddr)
            }
        };
        for (family, field) in [(Family::V4, v4), (Family::V6, v6)] {
            if let Some(addrs) = any_of(&point.itself, family) {
                chain.base(vec![Statement::is(field, addrs), Statement::Verdict(Verdict::Drop)], of);
            }
        }
    }

    /// S63: who jumps from here sends what their statements say, and nothing else.
    fn users(&mut self, chain: &mut DraftChain, point: &PointRules) {
        let mut elements = Vec::new();
        for user in &point.confined {
            let name = format!("user_{}", user.uid);
            let mut rules = DraftChain::regular(&name);
            self.dispatch(&mut rules, point.hook, &user.pairs, &name);
            rules.base(dropping(), "who jumps from here sends nothing else");
            self.chains.push(rules);
            let uid = Expression::Number(u128::from(user.uid));
            elements.push(Element::verdict(uid, Verdict::Jump(name)));
        }
        if !elements.is_empty() {
            let (key, map) = (Expression::Field(Field::Skuid), Expression::Set(elements));
            chain.base(vec![Statement::VerdictMap { key, map }], "by the account that jumps from here");
        }
    }

    /// To the chain of the packet's interfaces.
    fn dispatch(&mut self, chain: &mut DraftChain, hook: Hook, pairs: &[Pair], of: &str) {
        let mut elements = Vec::new();
        let mut unnamed: Vec<(&Pair, String)> = Vec::new();
        for pair in pairs {
            let name = names::pair(of, pair.inward.as_ref(), pair.outward.as_ref());
            self.pair(&name, pair);
            let wires: Vec<Expression> = [&pair.inward, &pair.outward]
                .into_iter()
                .flatten()
                .filter_map(|wire| match wire {
                    Wire::Named(name) => Some(Expression::text(name)),
                    Wire::Any => None,
                })
                .collect();
            let sides =
                usize::from(pair.inward.is_some()).saturating_add(usize::from(pair.outward.is_some()));
            if wires.len() < sides {
                unnamed.push((pair, name));
                continue;
            }
            let key = one_or_concat(wires);
            elements.push(Element::verdict(key, Verdict::Jump(name)));
        }
        let key = match hook {
            Hook::Input | Hook::Prerouting => Expression::Field(Field::Iifname),
            Hook::Output | Hook::Postrouting => Expression::Field(Field::Oifname),
            Hook::Forward | Hook::Bridge => {
                Expression::Concat(vec![Expression::Field(Field::Iifname), Expression::Field(Field::Oifname)])
            }
        };
        if !elements.is_empty() {
            let map = match hook {
                // nft 0.9.8 is not to be trusted with concatenations of names in anonymous maps.
                Hook::Forward | Hook::Bridge => {
                    let name = "forward_pairs".to_owned();
                    let keys = vec![DataType::Ifname, DataType::Ifname];
                    let set = Set::new(name.clone(), keys, Some(vec![DataType::Verdict]));
                    let elements = elements
                        .into_iter()
                        .map(|what| Traced { what, because: vec![Origin::Base] })
                        .collect();
                    self.sets.push(DraftSet { set, elements });
                    Expression::Named(name)
                }
                Hook::Input | Hook::Output | Hook::Prerouting | Hook::Postrouting => {
                    Expression::Set(elements)
                }
            };
            chain.base(vec![Statement::VerdictMap { key, map }], "by interface");
        }
        for (pair, name) in unnamed {
            let mut statements = Vec::new();
            for (wire, field) in [(&pair.inward, Field::Iifname), (&pair.outward, Field::Oifname)] {
                match wire {
                    Some(Wire::Named(name)) => statements.push(Statement::is(field, Expression::text(name))),
                    // Input and output have accepted what is by `lo` already.
                    Some(Wire::Any) if hook == Hook::Forward => statements.push(Statement::Match {
                        left: Expression::Field(field),
                        op: super::artifact::Op::NotEqual,
                        right: Expression::text("lo"),
                    }),
                    Some(Wire::Any) | None => {}
                }
            }
            statements.push(Statement::Verdict(Verdict::Jump(name)));
            chain.base(statements, "whatever the interface is called");
        }
    }

    fn pair(&mut self, name: &str, pair: &Pair) {
        let mut chain = DraftChain::regular(name);
        self.twins(&mut chain, name, &pair.itself);
        self.layers(&mut chain, name, &pair.layers);
        self.chains.push(chain);
    }

    /// S13: what two addresses of one machine say to each other is no business of a chain.
    fn twins(&mut self, chain: &mut DraftChain, name: &str, pairs: &[(IpAddr, IpAddr)]) {
        for (family, src, dst, kind) in [
            (Family::V4, Field::IpSaddr, Field::IpDaddr, DataType::Ipv4Addr),
            (Family::V6, Field::Ip6Saddr, Field::Ip6Daddr, DataType::Ipv6Addr),
        ] {
            let twins = pairs.iter().filter(|(a, _)| Family::of(*a) == family);
            let elements: Vec<Traced<Element>> = twins
                .map(|(a, b)| {
                    let key = Expression::Concat(vec![Expression::Address(*a), Expression::Address(*b)]);
                    Traced { what: Element::new(key), because: vec![Origin::Base] }
                })
                .collect();
            if elements.is_empty() {
                continue;
            }
            let set = format!("{name}_itself_{}", names::family(family));
            self.sets.push(DraftSet { set: Set::new(set.clone(), vec![kind.clone(), kind], None), elements });
            let left = Expression::Concat(vec![Expression::Field(src), Expression::Field(dst)]);
            let asked =
                Statement::Match { left, op: super::artifact::Op::Implicit, right: Expression::Named(set) };
            chain.base(
                vec![asked, Statement::Verdict(Verdict::Return)],
                "two addresses of one machine: it does not talk to itself by way of us",
            );
        }
    }

    /// `log from` and `reject from`.
    fn defaults(&self, chain: &mut DraftChain, point: &PointRules) {
        let origin = [Origin::Default(point.host)];
        let prefix = fates::prefix(&self.host.name, &format!("{} drop", point.hook.keyword()));
        for (family, field) in [(Family::V4, Field::IpSaddr), (Family::V6, Field::Ip6Saddr)] {
            if let Some(addrs) = any_of(&point.log, family) {
                // The limit before the log: a flood must not become a flood of the disk.
                let statements = vec![Statement::is(field, addrs), base::log_limit(), fates::log(&prefix)];
                chain.push(statements, "log from", &origin);
            }
        }
        for (wire, sources) in &point.reject {
            for (family, field) in [(Family::V4, Field::IpSaddr), (Family::V6, Field::Ip6Saddr)] {
                let Some(addrs) = any_of(sources, family) else { continue };
                let mut from = Vec::new();
                match wire {
                    Wire::Named(name) => from.push(Statement::is(Field::Iifname, Expression::text(name))),
                    Wire::Any if point.hook == Hook::Forward => from.push(Statement::Match {
                        left: Expression::Field(Field::Iifname),
                        op: super::artifact::Op::NotEqual,
                        right: Expression::text("lo"),
                    }),
                    Wire::Any => {}
                }
                from.push(Statement::is(field, addrs));
                let mut tcp = from.clone();
                tcp.extend(base::reset());
                chain.push(tcp, "reject from", &origin);
                from.push(base::unreachable());
                chain.push(from, "reject from", &origin);
            }
        }
    }

    /// Adds the table to those of the machine.
    fn finish(mut self, ruleset: &mut Ruleset, origins: &mut Origins) {
        let commented = self.quieten();
        let mut table = Table::new(self.family, "fwc");
        let of = ruleset.tables.len();
        let rules = self.chains.iter().map(|draft| draft.rules.len());
        let elements = self.sets.iter().map(|draft| draft.elements.len());
        origins.places.reserve_exact(rules.chain(elements).sum());
        for (at, draft) in std::mem::take(&mut self.chains).into_iter().enumerate() {
            let mut chain = draft.chain;
            for (rule, traced) in draft.rules.into_iter().enumerate() {
                origins.places.push((Place::Rule { table: of, chain: at, rule }, traced.because));
                chain.rules.push(traced.what);
            }
            table.chains.push(chain);
        }
        for (at, draft) in std::mem::take(&mut self.sets).into_iter().enumerate() {
            let mut set = draft.set;
            set.elements.reserve_exact(draft.elements.len());
            for (element, mut traced) in draft.elements.into_iter().enumerate() {
                if commented {
                    traced.what.comment = self.comment(&traced.because);
                }
                origins.places.push((Place::Element { table: of, set: at, element }, traced.because));
                set.elements.push(traced.what);
            }
            table.sets.push(set);
        }
        ruleset.tables.push(table);
    }

    /// Whether elements say what they come from. Nobody reads very many by eye: then it stands in `origins.json`.
    fn quieten(&mut self) -> bool {
        let elements: usize = self.sets.iter().map(|draft| draft.elements.len()).sum();
        if elements <= MOST_COMMENTS {
            return true;
        }
        if let Some(first) = self.sets.first_mut() {
            first.set.notes.push(format!(
                "More than {MOST_COMMENTS} elements: which statement each comes from stands in origins.json alone."
            ));
        }
        false
    }

    /// The comment of an element; none of what the base has.
    fn comment(&self, because: &[Origin]) -> Option<String> {
        match because.first()? {
            Origin::Access(id) => Some(self.words(&[*id])),
            Origin::Default(_) | Origin::Base => None,
        }
    }

    /// The comment for statements: the words of the first, cut to what an nft comment holds (128 bytes).
    fn words(&self, because: &[AccessId]) -> String {
        let words = because.first().and_then(|id| self.site.access(*id)).map_or("", |a| a.words.as_str());
        if words.len() <= 128 && words.is_ascii() {
            return words.to_owned();
        }
        words.chars().filter(char::is_ascii).take(128).collect()
    }
}

fn dropping() -> Vec<Statement> {
    vec![Statement::counter(), Statement::Verdict(Verdict::Drop)]
}

fn one_or_concat(mut parts: Vec<Expression>) -> Expression {
    match (parts.len(), parts.pop()) {
        (1, Some(only)) => only,
        (_, Some(last)) => {
            parts.push(last);
            Expression::Concat(parts)
        }
        (_, None) => Expression::Any,
    }
}

/// The addresses of a family, where there are any: one value, or a set of them.
fn any_of(set: &AddrSet, family: Family) -> Option<Expression> {
    let mut values: Vec<Expression> = set.of(family).ranges().map(Expression::addresses).collect();
    match values.len() {
        0 => None,
        1 => values.pop(),
        _ => Some(Expression::Set(values.into_iter().map(Element::new).collect())),
    }
}

fn statements_of(because: &[AccessId]) -> Vec<Origin> {
    because.iter().map(|id| Origin::Access(*id)).collect()
}
