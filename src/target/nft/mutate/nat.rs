//! Translations broken on purpose.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::super::artifact::{
    Expression, Family, Field, Nat, NatKind, Op, Rule, Statement, Transport, Verdict,
};
use crate::net::addr::{addr, number};

/// An address that no site has: the first of a network for documentation (RFC 5737, RFC 3849).
const NOBODY: [(Family, IpAddr); 2] = [
    (Family::V4, IpAddr::V4(Ipv4Addr::new(192, 0, 2, 0))),
    (Family::V6, IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xdead, 0, 0, 0, 0, 0))),
];

/// Every way to break the translation of a rule: not at all, to the neighbour of its address, to the next port, to the
/// port that was written, and another kind of it.
pub(super) fn broken(rule: &Rule, nat: &Nat) -> Vec<(String, Statement)> {
    let mut all = vec![("accept untranslated".to_owned(), Statement::Verdict(Verdict::Accept))];
    let mut add = |name: String, nat: Nat| all.push((name, Statement::Nat(nat)));
    if let Some(Expression::Address(old)) = nat.addr {
        let next = addr(Family::of(old), number(old) ^ 1);
        let changed = Nat { addr: Some(Expression::Address(next)), ..nat.clone() };
        add(format!("translate to {next}"), changed);
    }
    if let Some(Expression::Number(port)) = nat.port {
        let next = if port < 65_535 { port.saturating_add(1) } else { 65_534 };
        let changed = Nat { port: Some(Expression::Number(next)), ..nat.clone() };
        add(format!("translate to port {next}"), changed);
        if nat.addr.is_some() {
            add("leave out the port".to_owned(), Nat { port: None, ..nat.clone() });
        }
    }
    match nat.kind {
        NatKind::Snat => {
            let other = Nat { kind: NatKind::Masquerade, family: None, addr: None, ..nat.clone() };
            add("masquerade instead".to_owned(), other);
        }
        NatKind::Masquerade => {
            let of = family(rule);
            for (family, nobody) in NOBODY.into_iter().filter(|(f, _)| of.is_none_or(|of| of == *f)) {
                let addr = Some(Expression::Address(nobody));
                let other = Nat { kind: NatKind::Snat, family: Some(family), addr, ..nat.clone() };
                add(format!("snat to {nobody} instead"), other);
            }
        }
        NatKind::Dnat | NatKind::Redirect => {}
    }
    all
}

/// The family of the addresses that a rule looks at; none where it looks at none, or both.
fn family(rule: &Rule) -> Option<Family> {
    let of = |word: &str| {
        fields(rule).any(|f| {
            let keyword = f.keyword();
            keyword.starts_with(&format!("{word} ")) || keyword.starts_with(&format!("ct original {word} "))
        })
    };
    match (of("ip"), of("ip6")) {
        (true, false) => Some(Family::V4),
        (false, true) => Some(Family::V6),
        _ => None,
    }
}

/// Whether nft loads the rule: before ports are translated, or those of the original are asked for, a comparison names
/// their protocol (0.9.8 to 1.1.3; one of several fields at once does not).
pub(super) fn loads(rule: &Rule) -> bool {
    let mut named = false;
    for statement in &rule.statements {
        let ports = matches!(statement, Statement::Nat(Nat { port: Some(_), .. }));
        let field = match statement {
            Statement::Match { left: Expression::Field(field), .. }
            | Statement::VerdictMap { key: Expression::Field(field), .. } => Some(*field),
            Statement::Match { left: Expression::Masked(inner, _), .. } => match inner.as_ref() {
                Expression::Field(field) => Some(*field),
                _ => None,
            },
            _ => None,
        };
        let original = matches!(field, Some(Field::CtOriginalProtoSrc | Field::CtOriginalProtoDst));
        if (ports || original) && !named {
            return false;
        }
        let is_one = !matches!(statement, Statement::Match { op: Op::NotEqual, .. });
        named |= field.is_some_and(|field| match field {
            Field::L4proto | Field::IpProtocol => is_one,
            Field::TcpFlags => true,
            Field::Sport(transport) | Field::Dport(transport) => transport != Transport::Any,
            _ => false,
        });
    }
    true
}

/// The fields that a rule compares.
fn fields(rule: &Rule) -> impl Iterator<Item = Field> {
    let parts = |expression: &Expression| match expression {
        Expression::Field(field) => vec![*field],
        Expression::Concat(parts) => {
            let field = |part: &Expression| if let Expression::Field(f) = part { Some(*f) } else { None };
            parts.iter().filter_map(field).collect()
        }
        Expression::Masked(inner, _) => match inner.as_ref() {
            Expression::Field(field) => vec![*field],
            _ => Vec::new(),
        },
        _ => Vec::new(),
    };
    let of = move |statement: &Statement| match statement {
        Statement::Match { left, .. } | Statement::VerdictMap { key: left, .. } => parts(left),
        _ => Vec::new(),
    };
    rule.statements.iter().flat_map(of).collect::<Vec<_>>().into_iter()
}
