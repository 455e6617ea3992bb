//! Services: what their items mean as terms, by name or spelled out.

use super::names::{List, Names, unknown};
use super::{builtin, cycles, icmp, literal};
use crate::diag::{Diagnostic, Findings, code};
use crate::model::Term;
use crate::net::{Family, PortSet, Proto, RangeSet};
use crate::syntax::ast::{IcmpType, IcmpVersion, PortProto, ProtoName, ServiceItem, ServiceKind};

/// The declared services, resolved.
pub(super) struct Services<'a> {
    names: &'a Names<'a>,
    /// By their place in [`Names::services`]; none where an error already spoke of it.
    terms: Vec<Option<Vec<Term>>>,
}

impl<'a> Services<'a> {
    /// Resolves every declared service.
    pub(super) fn resolve(names: &'a Names<'a>, findings: &mut Findings) -> Self {
        let refers: Vec<Vec<usize>> =
            names.services.iter().map(|s| names.service_refers(s.items.unwrap_or(&[]))).collect();
        let order = cycles::order(&refers);
        let mut services = Self { names, terms: vec![None; names.services.len()] };
        for cycle in &order.cycles {
            let members = cycle.iter().filter_map(|&n| names.services.get(n));
            if let Some(finding) = cycle_of(members.map(|s| s.name)) {
                findings.push(finding);
            }
        }
        for at in order.order {
            let Some(service) = names.services.get(at) else { continue };
            let name = Some(service.name.text.as_str());
            let terms = service.items.and_then(|items| services.terms_of(name, items, findings));
            if let Some(slot) = services.terms.get_mut(at) {
                *slot = terms;
            }
        }
        services
    }

    /// What items mean together: sorted, without duplicates; none after a finding.
    pub(super) fn terms(&self, items: &[ServiceItem], findings: &mut Findings) -> Option<Vec<Term>> {
        self.terms_of(None, items, findings)
    }

    /// The same; `declared` is what they are given as a name, if any.
    fn terms_of(
        &self,
        declared: Option<&str>,
        items: &[ServiceItem],
        findings: &mut Findings,
    ) -> Option<Vec<Term>> {
        let list = List { declared, places: &[], services: items };
        let mut terms = match items {
            // Nearly always it is one.
            [item] => self.item_of(item, list, findings)?,
            _ => {
                let each: Vec<Option<Vec<Term>>> =
                    items.iter().map(|item| self.item_of(item, list, findings)).collect();
                each.into_iter().collect::<Option<Vec<_>>>()?.into_iter().flatten().collect()
            }
        };
        terms.sort();
        terms.dedup();
        Some(terms)
    }

    /// What one item means; none after a finding.
    pub(super) fn item(&self, item: &ServiceItem, findings: &mut Findings) -> Option<Vec<Term>> {
        self.item_of(item, List::default(), findings)
    }

    fn item_of(&self, item: &ServiceItem, list: List<'_>, findings: &mut Findings) -> Option<Vec<Term>> {
        match &item.kind {
            ServiceKind::Name(name) => match builtin::terms(&name.text) {
                Some(terms) => Some(terms),
                None => self.terms.get(self.names.service(name, list, findings)?)?.clone(),
            },
            ServiceKind::Ports { proto, to, from } => {
                let proto = match proto {
                    PortProto::Tcp => Proto::TCP,
                    PortProto::Udp => Proto::UDP,
                };
                let to = to.map_or(Some(PortSet::full()), |r| literal::ports(&r, findings));
                let from = from.map_or(Some(PortSet::full()), |r| literal::ports(&r, findings));
                Some(vec![Term::Ports { proto, from: from?, to: to? }])
            }
            ServiceKind::Icmp { version, kind, code } => {
                let codes = code.map_or(RangeSet::full(), RangeSet::one);
                icmp_types(*version, kind.as_ref(), findings)
                    .map(|(family, types)| vec![Term::Icmp { family, types, codes }])
            }
            ServiceKind::Proto(name) => {
                protocol(name, findings).map(|proto| vec![Term::Protos(RangeSet::one(proto))])
            }
            ServiceKind::Any => Some(vec![Term::Protos(RangeSet::full())]),
        }
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
