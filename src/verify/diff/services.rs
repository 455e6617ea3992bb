//! The services of a box in words: each protocol with what is asked of its header, and of no other's.

use crate::net::{Family, Field, PacketBox, Proto, RangeSet};

/// The most protocols that `every protocol but` names.
const FEW: usize = 8;

/// The services of a box: `tcp 80`, `icmp type 8 code 0`, `proto 112`, `every protocol but tcp`; none where they are all there are.
pub(in crate::verify) fn services(one: &PacketBox) -> Vec<String> {
    let family = one.family();
    let protos = held(one, family);
    let (mut plain, mut services) = (Vec::new(), Vec::new());
    for proto in (0..=255u8).filter(|proto| protos.contains(u128::from(*proto))) {
        match asked(one, family, proto) {
            Some(asked) => services.push((proto, format!("{}{asked}", named(proto)))),
            None => plain.push(proto),
        }
    }
    services.extend(unasked(&plain));
    services.sort_by_key(|(proto, _)| *proto);
    services.into_iter().map(|(_, words)| words).collect()
}

/// The protocols of the packets of a box: what asks for another header's field holds those of which it is 0.
fn held(one: &PacketBox, family: Option<Family>) -> RangeSet<u128> {
    let all = || RangeSet::range(0, Field::Proto.last());
    let mut protos = one.fields.get(&Field::Proto).cloned().unwrap_or_else(all);
    for (field, _) in one.fields.iter().filter(|(_, values)| !values.contains(0)) {
        let Some(having) = field.protocols() else { continue };
        protos = protos.intersection(&having);
        if matches!(field, Field::IcmpType | Field::IcmpCode) {
            let other = [(Family::V4, Proto::ICMPV6), (Family::V6, Proto::ICMP)];
            let other = other.into_iter().filter(|(of, _)| family == Some(*of)).map(|(_, proto)| proto.0);
            protos = protos.difference(&only(&other.collect::<Vec<_>>()));
        }
    }
    protos
}

/// What is asked of the header of a protocol, if anything is.
fn asked(one: &PacketBox, family: Option<Family>, proto: u8) -> Option<String> {
    let values = |field| one.fields.get(&field);
    if Proto(proto).has_ports() {
        let ports = numbers(values(Field::Dport)?, Field::Dport.last());
        return Some(if ports.starts_with("other") { format!(" port {ports}") } else { format!(" {ports}") });
    }
    let of = match Proto(proto) {
        Proto::ICMP => Family::V4,
        Proto::ICMPV6 => Family::V6,
        _ => return None,
    };
    let kinds = [("type", Field::IcmpType), ("code", Field::IcmpCode)];
    let kinds = kinds.into_iter().filter_map(|(word, field)| Some((word, values(field)?)));
    let words: String = kinds.map(|(word, values)| format!(" {word} {}", spelled(values))).collect();
    (!words.is_empty() && family.is_none_or(|family| family == of)).then_some(words)
}

/// Protocols of which all is held, each words with the first of its protocols.
fn unasked(protos: &[u8]) -> Vec<(u8, String)> {
    let rest = RangeSet::range(0, Field::Proto.last()).difference(&only(protos));
    let others: Vec<u8> = (0..=255).filter(|proto| rest.contains(u128::from(*proto))).collect();
    if others.is_empty() {
        return Vec::new();
    }
    let first = protos.first().copied().unwrap_or(0);
    if others.len() <= FEW {
        let others: Vec<String> = others.into_iter().map(named).collect();
        return vec![(first, format!("every protocol but {}", others.join(", ")))];
    }
    if protos.len() > others.len() {
        return vec![(first, format!("every protocol but proto {}", spelled(&rest)))];
    }
    let (known, numbers): (Vec<u8>, Vec<u8>) =
        protos.iter().partition(|proto| Proto(**proto).name().is_some());
    let mut words: Vec<(u8, String)> = known.into_iter().map(|proto| (proto, named(proto))).collect();
    let first = numbers.first().map(|first| (*first, format!("proto {}", spelled(&only(&numbers)))));
    words.extend(first);
    words
}

/// `tcp`, `proto 41`
fn named(proto: u8) -> String {
    Proto(proto).name().map_or_else(|| format!("proto {proto}"), ToOwned::to_owned)
}

fn only(protos: &[u8]) -> RangeSet<u128> {
    RangeSet::from_ranges(protos.iter().map(|proto| (u128::from(*proto), u128::from(*proto))))
}

/// `22,80-90`
fn spelled(values: &RangeSet<u128>) -> String {
    let one = |&(first, last): &(u128, u128)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    values.ranges().iter().map(one).collect::<Vec<_>>().join(",")
}

/// `22,80-90`; of what is nearly all values up to the `last` of its field `other than 22`.
pub(super) fn numbers(values: &RangeSet<u128>, last: u128) -> String {
    let others = RangeSet::range(0, last).difference(values);
    let fewer = !others.is_empty() && others.ranges().len() < values.ranges().len();
    if fewer && values.contains(0) { format!("other than {}", spelled(&others)) } else { spelled(values) }
}
