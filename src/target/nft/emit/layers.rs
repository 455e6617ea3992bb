//! Layers as verdict maps, and rules for what no map can hold.
//!
//! Exact keys are a hash, ranges a `pipapo` set with `flags interval`; the hash is asked first. What is keyed by ports
//! always has `meta l4proto` in its key: `th dport` reads whatever follows the IP header.

use std::collections::BTreeMap;

use super::super::artifact::{
    DataType, Element, Expression, Field, Set, SetFlag, Statement, TableFamily, Transport, Verdict,
};
use super::{Draft, DraftChain, DraftSet, Traced, base, names, statements_of};
use crate::ir::{Cell, Entry, FULL, Laid, Layer, Numbers, Shape, Split, wide};
use crate::model::Origin;
use crate::net::{AddrRange, Family, Proto};

/// What may be split.
const RANGES: Shape = Shape::Ports { exact: false };

/// In the order in which they are asked.
const SHAPES: [Shape; 6] = [
    Shape::Ports { exact: true },
    Shape::Ports { exact: false },
    Shape::Icmp { exact: true },
    Shape::Icmp { exact: false },
    Shape::Protocols { exact: true },
    Shape::Protocols { exact: false },
];

impl Draft<'_> {
    /// The rules of the layers, in order, into a chain; their maps into the table.
    pub(super) fn layers(&mut self, chain: &mut DraftChain, name: &str, layers: &[Layer]) {
        for layer in layers {
            let name = match layer.kind.word() {
                "" => name.to_owned(),
                word => format!("{name}_{word}"),
            };
            self.translated(chain, layer.entries.iter());
            let mut found: BTreeMap<(Shape, Family), Vec<&Entry>> = BTreeMap::new();
            for entry in &layer.entries {
                found.entry((layer.shape(&entry.cell), entry.cell.family)).or_default().push(entry);
            }
            for shape in SHAPES {
                for family in Family::BOTH {
                    let split = layer.splits.get(&family).filter(|_| shape == RANGES);
                    if let Some(split) = split {
                        self.split(chain, &name, layer, family, split);
                    } else if let Some(entries) = found.remove(&(shape, family)) {
                        let map = map_name(&name, shape, family);
                        self.lookup(chain, &map, shape, family, entries.into_iter());
                        self.explain(layer.laid.get(&(shape, family)));
                    }
                }
            }
            for entry in layer.entries.iter().filter(|e| e.cell.shape() == Shape::Odd) {
                let verdict = self.verdict(entry);
                let mut statements = matches(&entry.cell, self.family);
                statements.push(Statement::Verdict(verdict));
                chain.push(statements, &self.words(&entry.because), &statements_of(&entry.because));
            }
        }
    }

    /// Above the last set: why it is as it is, where its size is the reason.
    fn explain(&mut self, laid: Option<&Laid>) {
        if let (Some(laid), Some(last)) = (laid, self.sets.last_mut()) {
            last.set.notes.push(why(laid));
        }
    }

    /// First the block of the address, then what stands there.
    fn split(&mut self, chain: &mut DraftChain, name: &str, layer: &Layer, family: Family, split: &Split) {
        let map = map_name(name, RANGES, family);
        let (kind, field) = match (family, split.source) {
            (Family::V4, true) => (DataType::Ipv4Addr, Field::IpSaddr),
            (Family::V4, false) => (DataType::Ipv4Addr, Field::IpDaddr),
            (Family::V6, true) => (DataType::Ipv6Addr, Field::Ip6Saddr),
            (Family::V6, false) => (DataType::Ipv6Addr, Field::Ip6Daddr),
        };
        let mut blocks = Vec::new();
        for block in &split.blocks {
            let name = names::block(&map, block.range);
            let mut rules = DraftChain::regular(&name);
            let entries = block.entries.iter().filter_map(|at| layer.entries.get(*at));
            self.lookup(&mut rules, &name, RANGES, family, entries);
            self.chains.push(rules);
            let what = Element::verdict(Expression::addresses(block.range), Verdict::Jump(name));
            blocks.push(Traced { what, because: vec![Origin::Base] });
        }
        let by = format!("{map}_blocks");
        let mut set = Set::new(by.clone(), vec![kind], Some(vec![DataType::Verdict]));
        set.flags = vec![SetFlag::Interval];
        self.sets.push(DraftSet { set, elements: blocks });
        self.explain(layer.laid.get(&(RANGES, family)));
        let asked = Statement::VerdictMap { key: Expression::Field(field), map: Expression::Named(by) };
        chain.push(vec![asked], "those with a prefix or a range, by block", &[]);
    }

    fn lookup<'e>(
        &mut self,
        chain: &mut DraftChain,
        map: &str,
        shape: Shape,
        family: Family,
        entries: impl Iterator<Item = &'e Entry>,
    ) {
        let exact = match shape {
            Shape::Ports { exact } | Shape::Icmp { exact } | Shape::Protocols { exact } => exact,
            Shape::Odd | Shape::Translated => return,
        };
        let (mut fields, mut types) = match family {
            Family::V4 => {
                (vec![Field::IpSaddr, Field::IpDaddr], vec![DataType::Ipv4Addr, DataType::Ipv4Addr])
            }
            Family::V6 => {
                (vec![Field::Ip6Saddr, Field::Ip6Daddr], vec![DataType::Ipv6Addr, DataType::Ipv6Addr])
            }
        };
        match (shape, family) {
            (Shape::Ports { .. }, _) => {
                fields.extend([Field::L4proto, Field::Dport(Transport::Any)]);
                types.extend([DataType::InetProto, DataType::InetService]);
            }
            (Shape::Icmp { .. }, Family::V4) => {
                fields.extend([Field::IcmpType, Field::IcmpCode]);
                types.extend([DataType::IcmpType, DataType::Other("icmp_code".to_owned())]);
            }
            (Shape::Icmp { .. }, Family::V6) => {
                fields.extend([Field::Icmpv6Type, Field::Icmpv6Code]);
                types.extend([DataType::Icmpv6Type, DataType::Other("icmpv6_code".to_owned())]);
            }
            (Shape::Protocols { .. }, _) => {
                fields.push(Field::L4proto);
                types.push(DataType::InetProto);
            }
            (Shape::Odd | Shape::Translated, _) => {}
        }
        let mut set = Set::new(map, types, Some(vec![DataType::Verdict]));
        if !exact {
            set.flags = vec![SetFlag::Interval];
        }
        let elements = entries
            .map(|entry| {
                let verdict = self.verdict(entry);
                let what = Element::verdict(key(&entry.cell, shape), verdict);
                Traced { what, because: statements_of(&entry.because) }
            })
            .collect();
        self.sets.push(DraftSet { set, elements });
        let key = Expression::Concat(fields.into_iter().map(Expression::Field).collect());
        let asked = Statement::VerdictMap { key, map: Expression::Named(map.to_owned()) };
        let comment = if exact { "one lookup for all of them" } else { "those with a prefix or a range" };
        chain.push(vec![asked], comment, &[]);
    }
}

fn why(laid: &Laid) -> String {
    match laid {
        Laid::WrittenOut { keys } => {
            format!("{keys} exact keys or more, and ranges that make no more keys than those: written out.")
        }
        Laid::Together { ranges, for_a_key } => format!(
            "{ranges} ranges or more, at most one exact key for {for_a_key} of them: one lookup asks for both."
        ),
        Laid::Blocks { ranges } => {
            format!("More than {ranges} ranges are slow to ask at once: each block of addresses has its own.")
        }
    }
}

fn map_name(name: &str, shape: Shape, family: Family) -> String {
    let word = match shape {
        Shape::Ports { exact: true } => "ports",
        Shape::Ports { exact: false } => "ports_ranges",
        Shape::Icmp { exact: true } => "icmp",
        Shape::Icmp { exact: false } => "icmp_ranges",
        Shape::Protocols { exact: true } => "protocols",
        Shape::Protocols { exact: false } => "protocols_ranges",
        Shape::Odd | Shape::Translated => "",
    };
    format!("{name}_{word}_{}", names::family(family))
}

fn key(cell: &Cell, shape: Shape) -> Expression {
    let mut parts = Vec::with_capacity(4);
    parts.extend([cell.src(), cell.dst()].map(Expression::addresses));
    let octets = |(first, last): Numbers| numbers((first, last.min(255)));
    match shape {
        Shape::Ports { .. } => {
            parts.push(proto(cell));
            parts.push(numbers(cell.to()));
        }
        Shape::Icmp { .. } => parts.extend([octets(cell.to()), octets(cell.from())]),
        Shape::Protocols { .. } => parts.push(proto(cell)),
        Shape::Odd | Shape::Translated => {}
    }
    Expression::Concat(parts)
}

/// Protocols, ports, types or codes.
pub(super) fn numbers(range: Numbers) -> Expression {
    let (first, last) = wide(range);
    Expression::numbers(first, last)
}

/// Words only for the two that every nft knows without a file of names.
fn proto(cell: &Cell) -> Expression {
    match cell.proto() {
        Some(Proto::TCP) => Expression::word("tcp"),
        Some(Proto::UDP) => Expression::word("udp"),
        Some(Proto(number)) => Expression::Number(u128::from(number)),
        None => numbers(cell.protos()),
    }
}

/// The matches of a rule for one cell.
fn matches(cell: &Cell, table: TableFamily) -> Vec<Statement> {
    let mut out = Vec::new();
    let (src, dst) = match cell.family {
        Family::V4 => (Field::IpSaddr, Field::IpDaddr),
        Family::V6 => (Field::Ip6Saddr, Field::Ip6Daddr),
    };
    let everyone = |range: AddrRange| range.as_net().is_some_and(|n| n.prefix_len() == 0);
    if everyone(cell.src()) && everyone(cell.dst()) {
        out.push(base::is_family(table, cell.family));
    }
    for (range, field) in [(cell.src(), src), (cell.dst(), dst)] {
        if !everyone(range) {
            out.push(Statement::is(field, Expression::addresses(range)));
        }
    }
    let transport = match cell.proto() {
        Some(Proto::TCP) => Some(Transport::Tcp),
        Some(Proto::UDP) => Some(Transport::Udp),
        Some(Proto(_)) | None => None,
    };
    let ports = [(cell.from(), transport.map(Field::Sport)), (cell.to(), transport.map(Field::Dport))];
    let asked: Vec<Statement> = ports
        .into_iter()
        .filter(|(range, _)| *range != FULL)
        .filter_map(|(range, field)| field.map(|f| Statement::is(f, numbers(range))))
        .collect();
    // `tcp sport` asks for TCP by itself.
    if asked.is_empty() && cell.protos() != (0, 255) {
        out.push(Statement::is(Field::L4proto, proto(cell)));
    }
    out.extend(asked);
    out
}
