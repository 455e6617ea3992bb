//! Which rules of a long chain have to be asked about a packet: of a thousand port forwards nearly all are for others.
//!
//! A rule is passed over only where it asks for a destination or a port of a known protocol that the packet does not
//! have, and everything that it asks before that has an answer for every packet and leaves nothing behind. Such a rule
//! would have said no, so what becomes of the packet is what it would be if all were asked. Of a packet one end of which
//! somebody has written over, so that nobody knows it, all are asked.

use std::net::IpAddr;

use hashbrown::HashMap;

use super::super::super::artifact::{Chain, Element, Expression, Field, Op, Statement, Table, Transport};
use super::super::words::constant;
use super::super::{plain_net, stays};
use crate::net::Packet;

/// Rules below which a chain is gone through as it stands.
const FEW: usize = 32;

/// What a rule asks for: a destination, a port of a protocol, or both.
type Key = (Option<IpAddr>, Option<(u8, u128)>);

/// The rules of a chain by what they ask for.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    keyed: HashMap<Key, Vec<usize>>,
    /// Those that are asked about every packet.
    always: Vec<usize>,
}

impl Ahead {
    /// Of a chain; `known` are the sets of its table whose contents are what the text says.
    pub(super) fn of(table: &Table, known: &HashMap<&str, usize>, chain: &Chain) -> Self {
        let mut ahead = Self::default();
        let few = chain.rules.len() < FEW;
        let mut plain: HashMap<(Field, &str), bool> = HashMap::new();
        for (at, rule) in chain.rules.iter().enumerate() {
            let mut key: Key = (None, None);
            for statement in rule.statements.iter().take_while(|_| !few) {
                let Statement::Match { left: Expression::Field(field), op, right } = statement else { break };
                let answers = match right {
                    Expression::Named(name) => {
                        let set = || known.get(name.as_str()).and_then(|at| table.sets.get(*at));
                        let all =
                            || set().is_some_and(|set| set.elements.iter().all(|e| is_plain(*field, e)));
                        is_header(*field) && *plain.entry((*field, name.as_str())).or_insert_with(all)
                    }
                    right => is_definite(*field, right),
                };
                if !answers || !matches!(op, Op::Implicit | Op::Equal) {
                    break;
                }
                match (field, right) {
                    (Field::IpDaddr | Field::Ip6Daddr, Expression::Address(addr)) => key.0 = Some(*addr),
                    (Field::Dport(of), Expression::Number(port)) => {
                        key.1 = number(*of).map(|of| (of, *port)).or(key.1);
                    }
                    _ => {}
                }
            }
            match key {
                (None, None) => ahead.always.push(at),
                key => ahead.keyed.entry(key).or_default().push(at),
            }
        }
        ahead
    }

    /// The rules that may be for a packet, in their order.
    pub(super) fn rules(&self, packet: &Packet) -> Vec<usize> {
        let (dst, port) = (Some(packet.dst), Some((packet.proto.0, u128::from(packet.dport))));
        let keys: [Key; 3] = [(dst, port), (dst, None), (None, port)];
        let keyed = keys.iter().filter_map(|key| self.keyed.get(key)).flatten();
        let mut rules: Vec<usize> = keyed.chain(&self.always).copied().collect();
        rules.sort_unstable();
        rules
    }
}

/// Whether a packet has this, or has not, and nothing that it is compared with is unclear while both its ends are its own.
fn is_header(field: Field) -> bool {
    match field {
        Field::IpSaddr | Field::IpDaddr | Field::Ip6Saddr | Field::Ip6Daddr => true,
        Field::Sport(of) | Field::Dport(of) => number(of).is_some(),
        _ => false,
    }
}

/// Whether a comparison with a value has an answer for every packet.
fn is_definite(field: Field, value: &Expression) -> bool {
    match (field, value) {
        (Field::Iifname | Field::Oifname, Expression::Text(_)) => true,
        (field, Expression::Range(first, last)) => {
            is_header(field) && constant(field, first).is_some() && constant(field, last).is_some()
        }
        (field, Expression::Prefix(net)) => {
            let of_field = |addr| constant(field, &Expression::Address(addr)).is_some();
            is_header(field) && plain_net(*net).is_some_and(|net| of_field(net.network()))
        }
        (field, value) => is_header(field) && constant(field, value).is_some(),
    }
}

/// Whether an element of a set is found or not, for every packet.
fn is_plain(field: Field, element: &Element) -> bool {
    is_definite(field, &element.key) && stays(element) && element.data.is_none()
}

/// The number of a protocol; none where the rule does not say which.
fn number(of: Transport) -> Option<u8> {
    match of {
        Transport::Tcp => Some(6),
        Transport::Udp => Some(17),
        Transport::Dccp => Some(33),
        Transport::Sctp => Some(132),
        Transport::Udplite => Some(136),
        Transport::Any => None,
    }
}
