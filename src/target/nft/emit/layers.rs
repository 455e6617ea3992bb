//! Layers as verdict maps, and rules for what no map can hold.
//!
//! Exact keys are a hash, ranges a `pipapo` set with `flags interval`; the hash is asked first. What is keyed by ports
//! always has `meta l4proto` in its key: `th dport` reads whatever follows the IP header.

use std::collections::BTreeMap;

use super::super::artifact::{
    DataType, Element, Expression, Field, Set, SetFlag, Statement, TableFamily, Transport, Verdict,
};
use super::{Draft, DraftChain, DraftSet, Traced, base, names, statements_of};
use crate::ir::{Cell, Entry, FULL, Laid, Layer, Numbers, Ranges, Shape, Split, wide};
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

/// What a lookup asks.
#[derive(Clone, Copy)]
enum By {
    /// Both ends and what the shape has beside them.
    All(Shape),
    /// Both ends: the service was asked before.
    Ends,
}

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
                    let map = map_name(&name, shape, family);
                    if let Some(split) = split {
                        self.split(chain, &map, layer, family, split);
                    } else if let Some(entries) = found.remove(&(shape, family)) {
                        self.lookup(chain, &map, By::All(shape), family, entries.into_iter());
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

    /// First the service, then the others.
    fn split(&mut self, chain: &mut DraftChain, map: &str, layer: &Layer, family: Family, split: &Split) {
        let mut services = Vec::new();
        for (service, ranges) in &split.services {
            let name = names::service(map, *service);
            let mut rules = DraftChain::regular(&name);
            self.ranges(&mut rules, &name, layer, (family, By::Ends), ranges, split.at_once);
            self.chains.push(rules);
            let key = vec![proto(service.proto), Expression::Number(service.port.into())];
            let what = Element::verdict(Expression::Concat(key), Verdict::Jump(name));
            services.push(Traced { what, because: vec![Origin::Base] });
        }
        if !services.is_empty() {
            let by = format!("{map}_services");
            let types = vec![DataType::InetProto, DataType::InetService];
            let mut set = Set::new(by.clone(), types, Some(vec![DataType::Verdict]));
            set.notes.push(why_services(split));
            self.sets.push(DraftSet { set, elements: services });
            let key = [Field::L4proto, Field::Dport(Transport::Any)].map(Expression::Field);
            let asked =
                Statement::VerdictMap { key: Expression::Concat(key.to_vec()), map: Expression::Named(by) };
            chain.push(vec![asked], "those with a prefix or a range, by service", &[]);
        }
        self.ranges(chain, map, layer, (family, By::All(RANGES)), &split.others, split.at_once);
    }

    /// All in one lookup, or first the block of the address, then what stands there; no rule where there are none.
    fn ranges(
        &mut self,
        chain: &mut DraftChain,
        map: &str,
        layer: &Layer,
        (family, keyed): (Family, By),
        ranges: &Ranges,
        at_once: usize,
    ) {
        let (source, blocks) = match ranges {
            Ranges::AtOnce(all) if all.is_empty() => return,
            Ranges::AtOnce(all) => return self.lookup(chain, map, keyed, family, layer.at(all)),
            Ranges::Blocks { source, blocks } => (*source, blocks),
        };
        let mut elements = Vec::new();
        for block in blocks {
            let name = names::block(map, block.range);
            let mut rules = DraftChain::regular(&name);
            self.lookup(&mut rules, &name, keyed, family, layer.at(&block.entries));
            self.chains.push(rules);
            let what = Element::verdict(Expression::addresses(block.range), Verdict::Jump(name));
            elements.push(Traced { what, because: vec![Origin::Base] });
        }
        let by = format!("{map}_blocks");
        let ([src, dst], kind) = ends(family);
        let mut set = Set::new(by.clone(), vec![kind], Some(vec![DataType::Verdict]));
        set.flags = vec![SetFlag::Interval];
        set.notes.push(why_blocks(at_once));
        self.sets.push(DraftSet { set, elements });
        let key = Expression::Field(if source { src } else { dst });
        let asked = Statement::VerdictMap { key, map: Expression::Named(by) };
        chain.push(vec![asked], "those with a prefix or a range, by block", &[]);
    }

    fn lookup<'e>(
        &mut self,
        chain: &mut DraftChain,
        map: &str,
        keyed: By,
        family: Family,
        entries: impl Iterator<Item = &'e Entry>,
    ) {
        let exact = match keyed {
            By::Ends => false,
            By::All(Shape::Ports { exact } | Shape::Icmp { exact } | Shape::Protocols { exact }) => exact,
            By::All(Shape::Odd | Shape::Translated) => return,
        };
        let (both, kind) = ends(family);
        let (mut fields, mut types) = (both.to_vec(), vec![kind.clone(), kind]);
        match (keyed, family) {
            (By::All(Shape::Ports { .. }), _) => {
                fields.extend([Field::L4proto, Field::Dport(Transport::Any)]);
                types.extend([DataType::InetProto, DataType::InetService]);
            }
            (By::All(Shape::Icmp { .. }), Family::V4) => {
                fields.extend([Field::IcmpType, Field::IcmpCode]);
                types.extend([DataType::IcmpType, DataType::Other("icmp_code".to_owned())]);
            }
            (By::All(Shape::Icmp { .. }), Family::V6) => {
                fields.extend([Field::Icmpv6Type, Field::Icmpv6Code]);
                types.extend([DataType::Icmpv6Type, DataType::Other("icmpv6_code".to_owned())]);
            }
            (By::All(Shape::Protocols { .. }), _) => {
                fields.push(Field::L4proto);
                types.push(DataType::InetProto);
            }
            (By::Ends | By::All(Shape::Odd | Shape::Translated), _) => {}
        }
        let mut set = Set::new(map, types, Some(vec![DataType::Verdict]));
        if !exact {
            set.flags = vec![SetFlag::Interval];
        }
        let elements = entries
            .map(|entry| {
                let verdict = self.verdict(entry);
                let what = Element::verdict(key(&entry.cell, keyed), verdict);
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
    }
}

fn why_services(split: &Split) -> String {
    format!(
        "More than {} ranges are slow to ask at once: a service with {} or more has its own.",
        split.at_once, split.of_one
    )
}

fn why_blocks(at_once: usize) -> String {
    format!("More than {at_once} ranges are slow to ask at once: each block of addresses has its own.")
}

/// Source and destination, and their type.
fn ends(family: Family) -> ([Field; 2], DataType) {
    match family {
        Family::V4 => ([Field::IpSaddr, Field::IpDaddr], DataType::Ipv4Addr),
        Family::V6 => ([Field::Ip6Saddr, Field::Ip6Daddr], DataType::Ipv6Addr),
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

fn key(cell: &Cell, keyed: By) -> Expression {
    let mut parts = Vec::with_capacity(4);
    parts.extend([cell.src(), cell.dst()].map(Expression::addresses));
    let octets = |(first, last): Numbers| numbers((first, last.min(255)));
    match keyed {
        By::All(Shape::Ports { .. }) => {
            parts.push(protos(cell));
            parts.push(numbers(cell.to()));
        }
        By::All(Shape::Icmp { .. }) => parts.extend([octets(cell.to()), octets(cell.from())]),
        By::All(Shape::Protocols { .. }) => parts.push(protos(cell)),
        By::Ends | By::All(Shape::Odd | Shape::Translated) => {}
    }
    Expression::Concat(parts)
}

/// Protocols, ports, types or codes.
pub(super) fn numbers(range: Numbers) -> Expression {
    let (first, last) = wide(range);
    Expression::numbers(first, last)
}

fn protos(cell: &Cell) -> Expression {
    cell.proto().map_or_else(|| numbers(cell.protos()), proto)
}

/// Words only for the two that every nft knows without a file of names.
fn proto(proto: Proto) -> Expression {
    match proto {
        Proto::TCP => Expression::word("tcp"),
        Proto::UDP => Expression::word("udp"),
        Proto(number) => Expression::Number(u128::from(number)),
    }
}

/// The matches of a rule for one cell.
fn matches(cell: &Cell, table: TableFamily) -> Vec<Statement> {
    let mut out = Vec::new();
    let ([src, dst], _) = ends(cell.family);
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
        out.push(Statement::is(Field::L4proto, protos(cell)));
    }
    out.extend(asked);
    out
}
