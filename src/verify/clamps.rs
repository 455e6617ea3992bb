//! Where the maximum segment size of TCP is lowered, against the legs that say so (S82).
//!
//! *Input*: the policy and a ruleset that was read. *Output*: what is lowered otherwise, and the rules that write the size in a way
//! that is not followed. *Design decisions*: no packet shows a size, so rules are read by their words. Followed is a rule of a base chain
//! at forward to which every packet comes, that asks for interfaces and for flags and nothing else; any other is named, and not
//! decided.

use std::collections::{BTreeMap, BTreeSet};

use super::artifacts::HostRules;
use crate::model::{Clamp, Host, HostId, Site};
use crate::net::Family;
use crate::net::packet::tcp_flag;
use crate::target::nft::artifact::{
    Chain, ChainKind, Expression, Field, Hook, Op, Place, Rule, Statement, Table, TableFamily,
};
use crate::target::nft::sim;

/// Where the maximum segment size is lowered on one machine, against where it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClampsProof {
    /// The machine.
    pub host: HostId,
    /// What is lowered otherwise: by direction, interface, size.
    pub wrong: Vec<WrongClamp>,
}

impl ClampsProof {
    /// Whether just that is lowered which is to be.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.wrong.is_empty()
    }
}

/// What is not lowered and should be, or the other way round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongClamp {
    /// What is lowered.
    pub of: Lowered,
    /// In these families.
    pub families: Vec<Family>,
    /// Whether a leg says it, and no rule does it; else a rule does it, and no leg says so.
    pub meant: bool,
}

/// What is lowered, and to what.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lowered {
    /// What comes in by the interface; else what leaves by it.
    pub inward: bool,
    /// The interface; none: each, of a machine whose only leg has no name.
    pub interface: Option<String>,
    /// To what.
    pub to: Clamp,
}

type Each = BTreeSet<(Lowered, Family)>;

/// What a ruleset lowers, against a machine's legs; none where neither lowers anything. And the rules that are not followed.
pub(super) fn clamps(site: &Site, host: HostId, rules: &HostRules) -> (Option<ClampsProof>, Vec<String>) {
    let meant = site.host(host).map(meant).unwrap_or_default();
    let (done, unread) = done(rules);
    let mut wrong: BTreeMap<(Lowered, bool), Vec<Family>> = BTreeMap::new();
    for ((of, family), is_meant) in
        meant.difference(&done).map(|one| (one, true)).chain(done.difference(&meant).map(|one| (one, false)))
    {
        wrong.entry((of.clone(), is_meant)).or_default().push(*family);
    }
    let idle = meant.is_empty() && done.is_empty();
    let wrong = wrong.into_iter().map(|((of, meant), families)| WrongClamp { of, families, meant }).collect();
    ((!idle).then_some(ClampsProof { host, wrong }), unread)
}

/// S82: in both families, whichever the zone has.
fn meant(machine: &Host) -> Each {
    let mut all = Each::new();
    for leg in &machine.legs {
        let Some(to) = leg.clamp else { continue };
        // A leg without a name is the only one: what is forwarded comes in by it.
        let ways: &[bool] = if leg.interface.is_some() { &[true, false] } else { &[true] };
        for inward in ways {
            let of = Lowered { inward: *inward, interface: leg.interface.clone(), to };
            all.extend(Family::BOTH.map(|family| (of.clone(), family)));
        }
    }
    all
}

fn done(rules: &HostRules) -> (Each, Vec<String>) {
    let (mut all, mut unread) = (Each::new(), Vec::new());
    for (at, table) in rules.ruleset.tables.iter().enumerate().filter(|(_, table)| !sim::is_dormant(table)) {
        for (chain, of) in table.chains.iter().enumerate() {
            let mut followed = is_followed(table, of);
            for (rule, what) in of.rules.iter().enumerate() {
                if what.statements.iter().any(writes_size) {
                    match lowers(what).filter(|_| followed) {
                        Some(lowered) => all.extend(by_family(table, lowered)),
                        None => unread.push(named(rules, Place::Rule { table: at, chain, rule })),
                    }
                }
                // Behind a rule that decides, or leads elsewhere, not every packet comes.
                followed &= what.statements.iter().all(goes_on);
            }
        }
    }
    (all, unread)
}

fn named(rules: &HostRules, place: Place) -> String {
    let line = rules.lines.line(place).map_or_else(String::new, |line| format!("line {line}, "));
    format!("who is told of another size of segments ({line}`{}`)", rules.ruleset.name_of(place))
}

fn is_followed(table: &Table, chain: &Chain) -> bool {
    let at_forward = chain.base.as_ref().is_some_and(|base| {
        base.hook == Hook::Forward && base.kind == ChainKind::Filter && base.devices.is_empty()
    });
    at_forward && !families(table).is_empty()
}

fn families(table: &Table) -> &'static [Family] {
    match table.family {
        TableFamily::Inet => &Family::BOTH,
        TableFamily::Ip => &[Family::V4],
        TableFamily::Ip6 => &[Family::V6],
        TableFamily::Arp | TableFamily::Bridge | TableFamily::Netdev => &[],
    }
}

fn by_family(table: &Table, lowered: Vec<Lowered>) -> impl Iterator<Item = (Lowered, Family)> {
    let families = families(table);
    lowered.into_iter().flat_map(|of| families.iter().map(move |family| (of.clone(), *family)))
}

/// What nft and xtables write the maximum segment size with; `reset tcp option` takes it away.
fn writes_size(statement: &Statement) -> bool {
    match statement {
        Statement::Alter(words) | Statement::Unsupported(words) => {
            words.contains("maxseg") && (words.contains("set") || words.contains("mangle"))
                || words.contains("reset tcp option")
                || words.contains("TCPMSS")
                || words.contains("TCPOPTSTRIP")
        }
        _ => false,
    }
}

/// Whether every packet that comes to a statement goes on to the next rule at the latest.
fn goes_on(statement: &Statement) -> bool {
    matches!(
        statement,
        Statement::Match { .. }
            | Statement::Counter(_)
            | Statement::Log(_)
            | Statement::Limit(_)
            | Statement::Alter(_)
    )
}

/// What a rule lowers, if it does that alone: of segments that begin or answer, by interfaces.
fn lowers(rule: &Rule) -> Option<Vec<Lowered>> {
    let (mut by, mut begins, mut to) = (None, false, None);
    for statement in &rule.statements {
        match statement {
            // What stands behind it changes nothing of it.
            Statement::Counter(_) => {}
            _ if to.is_some() => return None,
            Statement::Match { left: Expression::Field(field), op: Op::Implicit | Op::Equal, right } => {
                match field {
                    Field::Iifname if by.is_none() => by = Some((true, names(right)?)),
                    Field::Oifname if by.is_none() => by = Some((false, names(right)?)),
                    Field::L4proto if *right == Expression::word("tcp") => {}
                    _ => return None,
                }
            }
            Statement::Match { left: Expression::Masked(of, mask), op: Op::Equal, right }
                if **of == Expression::Field(Field::TcpFlags) =>
            {
                // Nobody sends FIN or RST with SYN: tracking calls it invalid.
                let only = tcp_flag::FIN | tcp_flag::SYN | tcp_flag::RST;
                let mask = flags(mask)?;
                begins = mask & !only == 0 && flags(right)? == tcp_flag::SYN && mask & tcp_flag::SYN != 0;
                if !begins {
                    return None;
                }
            }
            Statement::Alter(words) => {
                to = Some(match words.strip_prefix("tcp option maxseg size set ")? {
                    "rt mtu" => Clamp::Path,
                    size => Clamp::To(size.parse().ok()?),
                });
            }
            _ => return None,
        }
    }
    let to = to.filter(|_| begins)?;
    let Some((inward, names)) = by else {
        return Some(vec![Lowered { inward: true, interface: None, to }]);
    };
    let lowered = |name: String| Lowered { inward, interface: Some(name), to };
    Some(names.into_iter().map(lowered).collect())
}

/// The interfaces of a comparison; none where one is a wildcard, or in a set with a name.
fn names(of: &Expression) -> Option<Vec<String>> {
    match of {
        Expression::Text(name) | Expression::Word(name) if !name.ends_with('*') => Some(vec![name.clone()]),
        Expression::Set(elements) => {
            let each: Option<Vec<Vec<String>>> = elements.iter().map(|element| names(&element.key)).collect();
            Some(each?.into_iter().flatten().collect())
        }
        _ => None,
    }
}

fn flags(of: &Expression) -> Option<u8> {
    match of {
        Expression::Number(number) => u8::try_from(*number).ok(),
        Expression::Flags(all) => all.iter().try_fold(0, |sum, one| Some(sum | flags(one)?)),
        Expression::Word(word) => Some(match word.as_str() {
            "fin" => tcp_flag::FIN,
            "syn" => tcp_flag::SYN,
            "rst" => tcp_flag::RST,
            _ => return None,
        }),
        _ => None,
    }
}
