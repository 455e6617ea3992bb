//! Services: what their items mean as terms, by name or spelled out.

use std::cell::RefCell;
use std::collections::BTreeSet;

use hashbrown::HashSet;

use super::names::{List, Names, unknown};
use super::{builtin, cycles, icmp, literal};
use crate::diag::{Diagnostic, Findings, code};
use crate::model::{Term, Terms};
use crate::net::{Family, PortSet, Proto, RangeSet};
use crate::syntax::ast::{IcmpType, IcmpVersion, PortProto, ProtoName, ServiceItem, ServiceKind};

/// The declared services, resolved.
pub(super) struct Services<'a> {
    names: &'a Names<'a>,
    /// By their place in [`Names::services`]; none where an error already spoke of it.
    declared: Vec<Option<Said>>,
    /// What was asked for so far, each once.
    spoken: RefCell<HashSet<Terms>>,
}

/// What items say: terms, and services that others declare. These are put together where somebody speaks of them: if each kept
/// what those that it names have kept, a chain of them would take space by the square of its length.
#[derive(Clone, Default)]
struct Said {
    terms: Vec<Term>,
    /// By their place in [`Names::services`].
    named: Vec<usize>,
}

impl<'a> Services<'a> {
    /// Resolves every declared service.
    pub(super) fn resolve(names: &'a Names<'a>, findings: &mut Findings) -> Self {
        let refers: Vec<Vec<usize>> =
            names.services.iter().map(|s| names.service_refers(s.items.unwrap_or(&[]))).collect();
        let order = cycles::order(&refers);
        let mut services =
            Self { names, declared: vec![None; names.services.len()], spoken: RefCell::default() };
        for cycle in &order.cycles {
            let members = cycle.iter().filter_map(|&n| names.services.get(n));
            if let Some(finding) = cycle_of(members.map(|s| s.name)) {
                findings.push(finding);
            }
        }
        for at in order.order {
            let Some(service) = names.services.get(at) else { continue };
            let name = Some(service.name.text.as_str());
            let said = service.items.and_then(|items| services.said(name, items, findings));
            if let Some(slot) = services.declared.get_mut(at) {
                *slot = said;
            }
        }
        services
    }

    /// What items mean together: sorted, without duplicates; none after a finding.
    pub(super) fn terms(&self, items: &[ServiceItem], findings: &mut Findings) -> Option<Terms> {
        let mut terms = self.whole(self.said(None, items, findings)?)?;
        terms.sort();
        terms.dedup();
        let mut spoken = self.spoken.borrow_mut();
        Some(Terms::clone(spoken.get_or_insert_with(terms.as_slice(), |terms| terms.into())))
    }

    /// What one item means; none after a finding.
    pub(super) fn item(&self, item: &ServiceItem, findings: &mut Findings) -> Option<Vec<Term>> {
        self.whole(self.said_by(item, List::default(), findings)?)
    }

    /// All terms of what was said, with those of every service that it comes to, each once.
    fn whole(&self, said: Said) -> Option<Vec<Term>> {
        let Said { mut terms, named: mut left } = said;
        let mut seen = BTreeSet::new();
        while let Some(at) = left.pop() {
            if seen.insert(at) {
                let said = self.declared.get(at)?.as_ref()?;
                terms.extend_from_slice(&said.terms);
                left.extend_from_slice(&said.named);
            }
        }
        Some(terms)
    }

    /// What items say together; `declared` is what they are given as a name, if any.
    fn said(&self, declared: Option<&str>, items: &[ServiceItem], findings: &mut Findings) -> Option<Said> {
        let list = List { declared, places: &[], services: items };
        // Nearly always it is one.
        if let [item] = items {
            return self.said_by(item, list, findings);
        }
        let each: Vec<Option<Said>> = items.iter().map(|item| self.said_by(item, list, findings)).collect();
        let mut all = Said::default();
        for said in each {
            let said = said?;
            all.terms.extend(said.terms);
            all.named.extend(said.named);
        }
        Some(all)
    }

    fn said_by(&self, item: &ServiceItem, list: List<'_>, findings: &mut Findings) -> Option<Said> {
        let terms = match &item.kind {
            ServiceKind::Name(name) => match builtin::terms(&name.text) {
                Some(terms) => terms,
                None => {
                    let at = self.names.service(name, list, findings)?;
                    // Of what is wrong where it is declared an error already spoke.
                    self.declared.get(at)?.as_ref()?;
                    return Some(Said { terms: Vec::new(), named: vec![at] });
                }
            },
            ServiceKind::Ports { proto, to, from } => {
                let proto = match proto {
                    PortProto::Tcp => Proto::TCP,
                    PortProto::Udp => Proto::UDP,
                };
                let to = to.map_or(Some(PortSet::full()), |r| literal::ports(&r, findings));
                let from = from.map_or(Some(PortSet::full()), |r| literal::ports(&r, findings));
                vec![Term::Ports { proto, from: from?, to: to? }]
            }
            ServiceKind::Icmp { version, kind, code } => {
                let codes = code.map_or(RangeSet::full(), RangeSet::one);
                let (family, types) = icmp_types(*version, kind.as_ref(), findings)?;
                vec![Term::Icmp { family, types, codes }]
            }
            ServiceKind::Proto(name) => vec![Term::Protos(RangeSet::one(protocol(name, findings)?))],
            ServiceKind::Any => vec![Term::Protos(RangeSet::full())],
        };
        Some(Said { terms, named: Vec::new() })
    }
}

/// A cycle of definitions, said at the first of them.
pub(super) fn cycle_of<'n>(
    members: impl Iterator<Item = &'n crate::syntax::ast::Name>,
) -> Option<Diagnostic> {
    let members: Vec<_> = members.collect();
    let first = members.first()?;
    let mut way: Vec<String> = members.iter().map(|n| format!("`{}`", n.text)).collect();
    way.push(format!("`{}`", first.text));
    const SHOWN: usize = 8;
    if way.len() > SHOWN {
        way.splice(SHOWN.div_euclid(2)..way.len().saturating_sub(2), ["…".to_owned()]);
    }
    let message = format!("`{}` is defined by itself: {}", first.text, way.join(" is made of "));
    let finding = Diagnostic::error(code::DEFINITION_CYCLE, first.span, message);
    Some(finding.help("break the circle: one of them must not name the next"))
}

fn icmp_types(
    version: IcmpVersion,
    kind: Option<&IcmpType>,
    findings: &mut Findings,
) -> Option<(Family, RangeSet<u8>)> {
    let (family, table) = match version {
        IcmpVersion::V4 => (Family::V4, icmp::V4),
        IcmpVersion::V6 => (Family::V6, icmp::V6),
    };
    let types = match kind {
        None => RangeSet::full(),
        Some(IcmpType::Number(number)) => RangeSet::one(*number),
        Some(IcmpType::Name(name)) => match icmp::number(table, &name.text) {
            Some(number) => RangeSet::one(number),
            None => {
                let noun = match version {
                    IcmpVersion::V4 => "ICMP type",
                    IcmpVersion::V6 => "ICMPv6 type",
                };
                findings.push(unknown(code::UNKNOWN_ICMP_TYPE, noun, name, table.iter().map(|(n, _)| *n)));
                return None;
            }
        },
    };
    Some((family, types))
}

fn protocol(name: &ProtoName, findings: &mut Findings) -> Option<u8> {
    match name {
        ProtoName::Number(number) => Some(*number),
        ProtoName::Name(name) => {
            let found = Proto::by_name(&name.text);
            if found.is_none() {
                let finding = unknown(code::UNKNOWN_PROTOCOL, "protocol", name, Proto::names());
                findings.push(match finding.help {
                    Some(_) => finding,
                    None => finding.help("write its number, such as `proto 112`"),
                });
            }
            found.map(|p| p.0)
        }
    }
}
