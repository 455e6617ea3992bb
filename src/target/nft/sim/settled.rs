//! Where the kernel translates packets by itself: all but the first of a connection.
//!
//! Chains that translate hang below one hook of the kernel's own, and see the first packet of a connection. What they settle is
//! done there to every later packet too, and to errors that speak of it (`nf_nat_inet_fn`): at prerouting and output to the
//! destination, at input and postrouting to the source. That hook is there at all four as soon as one chain of the family
//! translates. So a rule behind it sees other addresses and ports in the packets of a translated connection than one before it,
//! and which ones, no packet says.

use super::super::artifact::{ChainKind, Expression, Field, Hook, Nat, NatKind, Ruleset, Statement, Table};
use super::{Turn, is_dormant, sees};
use crate::net::{CtState, Direction, Family, Packet};

/// The priority of that hook (`NF_IP_PRI_NAT_DST`, `NF_IP_PRI_NAT_SRC`).
pub(super) fn priority(hook: Hook) -> i32 {
    if matches!(hook, Hook::Prerouting | Hook::Output) { -100 } else { 100 }
}

/// The end of a packet that is written at a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Its destination.
    Destination,
    /// Its source.
    Source,
}

impl End {
    /// The end that is written at a hook, if one is.
    pub(super) fn of(hook: Hook) -> Option<Self> {
        match hook {
            Hook::Prerouting | Hook::Output => Some(Self::Destination),
            Hook::Input | Hook::Postrouting => Some(Self::Source),
            Hook::Forward | Hook::Ingress | Hook::Egress => None,
        }
    }

    /// Whether a field is of that end.
    pub(super) fn has(self, field: Field) -> bool {
        match self {
            Self::Destination => matches!(field, Field::IpDaddr | Field::Ip6Daddr | Field::Dport(_)),
            Self::Source => matches!(field, Field::IpSaddr | Field::Ip6Saddr | Field::Sport(_)),
        }
    }
}

/// The families of which a ruleset translates packets.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Families {
    v4: bool,
    v6: bool,
}

impl Families {
    /// Of a ruleset: of its chains that translate, those in whose table a statement may do so.
    pub(super) fn of(ruleset: &Ruleset) -> Self {
        let mut all = Self::default();
        for table in ruleset.tables.iter().filter(|table| !is_dormant(table)) {
            let bases = table.chains.iter().filter_map(|chain| chain.base.as_ref());
            let mut kinds = bases.map(|base| base.kind);
            let mut statements = table.chains.iter().flat_map(|c| &c.rules).flat_map(|r| &r.statements);
            if kinds.any(|kind| kind == ChainKind::Nat) && statements.any(may_translate) {
                all.v4 |= sees(table.family, Family::V4);
                all.v6 |= sees(table.family, Family::V6);
            }
        }
        all
    }

    /// Whether it translates packets of this one.
    pub(super) fn has(self, family: Family) -> bool {
        match family {
            Family::V4 => self.v4,
            Family::V6 => self.v6,
        }
    }
}

/// Whether a statement translates, or, not being understood, may.
pub(super) fn may_translate(statement: &Statement) -> bool {
    matches!(statement, Statement::Nat(_) | Statement::Unsupported(_))
}

/// The end that the kernel has written before a chain runs, or may have: that at the very priority is taken for one behind it.
pub(super) fn written_before(turn: &Turn<'_>) -> Option<End> {
    let behind = turn.base.kind != ChainKind::Nat && turn.base.priority >= priority(turn.base.hook);
    End::of(turn.base.hook).filter(|_| behind)
}

/// Whether the kernel writes that end of a packet, as its connection was translated: of replies the other end was.
pub(super) fn is_written(end: End, packet: &Packet) -> bool {
    let later = matches!(packet.ct, CtState::Established | CtState::Related);
    let original = packet.ct_direction == Direction::Original;
    let translated = match (end, original) {
        (End::Destination, true) | (End::Source, false) => packet.ct_status.dnat,
        (End::Source, true) | (End::Destination, false) => packet.ct_status.snat,
    };
    later && translated
}

/// Whether a table may have connections announce others (`ct helper`, `ct expectation`, the target `CT` of xtables).
#[must_use]
pub fn announces(table: &Table) -> bool {
    let says =
        |words: &str| ["helper", "expectation", "\"CT\"", "CT "].iter().any(|word| words.contains(word));
    let mut statements = table.chains.iter().flat_map(|c| &c.rules).flat_map(|r| &r.statements);
    table.objects.iter().any(|object| says(&object.head))
        || statements.any(|statement| match statement {
            Statement::Alter(words) | Statement::Unsupported(words) => says(words),
            _ => false,
        })
}

/// A translation of the source in words, where it says by which ports, or how they are chosen: from which one a packet goes on is
/// not modelled.
#[must_use]
pub fn of_source_ports(nat: &Nat) -> Option<String> {
    let of_source = matches!(nat.kind, NatKind::Snat | NatKind::Masquerade);
    if !of_source || nat.port.is_none() && nat.flags.is_empty() {
        return None;
    }
    let mut words = if nat.kind == NatKind::Snat { "snat".to_owned() } else { "masquerade".to_owned() };
    if nat.addr.is_some() || nat.port.is_some() {
        words.push_str(" to ");
    }
    words.push_str(&nat.addr.as_ref().map_or_else(String::new, spelled));
    words.push_str(&nat.port.as_ref().map_or_else(String::new, |port| format!(":{}", spelled(port))));
    nat.flags.iter().for_each(|flag| words.push_str(&format!(" {flag}")));
    Some(words)
}

fn spelled(of: &Expression) -> String {
    match of {
        Expression::Number(number) => number.to_string(),
        Expression::Address(addr) => addr.to_string(),
        Expression::Range(first, last) => format!("{}-{}", spelled(first), spelled(last)),
        other => format!("{other:?}"),
    }
}
