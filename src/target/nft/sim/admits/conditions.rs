//! Comparisons that are not modelled, by their words.
//!
//! `fib daddr type local` depends on the packet and on the machine's routes: nobody here knows whether it holds, but it
//! holds for a packet in two rulesets of one machine or in neither. What draws lots, counts, or looks at something a
//! rule has written is no such thing.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::super::super::artifact::{Element, Expression, Field, Op, Set, Table};
use super::super::{bounds, fixed, plain_net, stays};
use super::{Done, Mark, Now};

/// First words of what depends on the packet and the machine alone (nft(8), EXPRESSIONS).
const PLAIN: [&str; 35] = [
    "fib",
    "ether",
    "vlan",
    "arp",
    "ip",
    "ip6",
    "tcp",
    "udp",
    "udplite",
    "sctp",
    "dccp",
    "th",
    "icmp",
    "icmpv6",
    "igmp",
    "ah",
    "esp",
    "comp",
    "frag",
    "hbh",
    "dst",
    "mh",
    "ipsec",
    "iiftype",
    "oiftype",
    "iifgroup",
    "oifgroup",
    "skgid",
    "cgroup",
    "rtclassid",
    "pkttype",
    "socket",
    "rt",
    "exthdr",
    "osf",
];

/// The same of `meta` and `ct`.
const OF_PACKET: [&str; 21] = [
    "meta length",
    "meta pkttype",
    "meta iiftype",
    "meta oiftype",
    "meta iifgroup",
    "meta oifgroup",
    "meta iifkind",
    "meta oifkind",
    "meta skgid",
    "meta cgroup",
    "meta rtclassid",
    "meta ibrname",
    "meta obrname",
    "meta sdif",
    "meta sdifname",
    "meta hour",
    "meta day",
    "ct helper",
    "ct l3proto",
    "ct protocol",
    "ct expiration",
];

/// The words of a comparison that is the same for the same packet wherever it stands; none where it is not.
pub(super) fn words<'t>(
    table: &'t Table,
    changing: &mut BTreeMap<&'t str, String>,
    now: Now,
    left: &Expression,
    op: Op,
    right: &Expression,
) -> Option<String> {
    if matches!(now.nat, Done::Translated(_)) || now.altered && is_altered(left) || !is_plain(now, left) {
        return None;
    }
    let left = spelled(table, left)?;
    let right = match right {
        Expression::Named(name) => named(table, name, changing)?,
        other => spelled(table, other)?,
    };
    let mark = match now.mark.words() {
        Some(words) if now.mark != Mark::OWN && left.contains("mark") => format!(" with mark {words}"),
        _ => String::new(),
    };
    let op = match op {
        Op::Implicit => " ",
        Op::Equal => " == ",
        Op::NotEqual => " != ",
        Op::Less => " < ",
        Op::Greater => " > ",
        Op::AtMost => " <= ",
        Op::AtLeast => " >= ",
    };
    Some(format!("`{left}{op}{right}`{mark}"))
}

/// What reads something that a statement may have written ([`Statement::Alter`](super::artifact::Statement::Alter)).
fn is_altered(left: &Expression) -> bool {
    const READ: [&str; 6] = ["option", "dscp", "checksum", "priority", "ct helper", "ct label"];
    match left {
        Expression::Unknown(words) => READ.iter().any(|read| words.contains(read)),
        Expression::Masked(of, _) => is_altered(of),
        Expression::Concat(parts) => parts.iter().any(is_altered),
        _ => false,
    }
}

fn is_plain(now: Now, left: &Expression) -> bool {
    match left {
        Expression::Field(Field::CtMark) => false,
        Expression::Field(Field::Mark) => now.mark.words().is_some(),
        Expression::Field(field) => !(now.untracked && field.is_of_connection()),
        Expression::Masked(of, _) => is_plain(now, of),
        Expression::Concat(parts) => parts.iter().all(|part| is_plain(now, part)),
        Expression::Unknown(words) => {
            let first = words.split(' ').next().unwrap_or_default();
            let mark = words.contains("mark") && now.mark.words().is_none();
            let ct = first == "ct" && now.untracked;
            (PLAIN.contains(&first) || OF_PACKET.contains(&words.as_str())) && !mark && !ct
        }
        _ => false,
    }
}

/// The most elements that are spelled out; a comparison with more is not told apart by its words.
const MOST: usize = 64;

fn spelled(table: &Table, of: &Expression) -> Option<String> {
    let each = |parts: &[Expression], between: &str| -> Option<String> {
        let parts: Option<Vec<String>> = parts.iter().map(|part| spelled(table, part)).collect();
        Some(parts?.join(between))
    };
    Some(match of {
        Expression::Field(field) => field.keyword().to_owned(),
        Expression::Masked(of, mask) => format!("{} & {}", spelled(table, of)?, spelled(table, mask)?),
        Expression::Concat(parts) => each(parts, " . ")?,
        Expression::Number(number) => number.to_string(),
        Expression::Address(addr) => addr.to_string(),
        // What else it may mean is another condition.
        Expression::Prefix(net) => plain_net(*net)?.to_string(),
        Expression::Range(first, last) => format!("{}-{}", spelled(table, first)?, spelled(table, last)?),
        Expression::Word(word) | Expression::Unknown(word) => word.clone(),
        // Text has quotes around names where JSON has a word.
        Expression::Text(text) if text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b)) => {
            text.clone()
        }
        Expression::Text(text) => format!("\"{text}\""),
        Expression::Flags(flags) => each(flags, "|")?,
        Expression::Any => "*".to_owned(),
        Expression::Set(of) => enumerated(table, of)?,
        Expression::Named(_) | Expression::Bits { .. } | Expression::Lookup { .. } => return None,
    })
}

fn enumerated(table: &Table, elements: &[Element]) -> Option<String> {
    if elements.len() > MOST || !elements.iter().all(stays) {
        return None;
    }
    let keys: Option<Vec<String>> = elements.iter().map(|e| spelled(table, &e.key)).collect();
    Some(format!("{{ {} }}", keys?.join(", ")))
}

/// A set by what is in it; by its name, and what is in it for good, where rules or time change it. What they put into it
/// is the same in both as long as the same packets put it there ([`Kept`](super::Kept)).
fn named<'t>(table: &'t Table, name: &str, changing: &mut BTreeMap<&'t str, String>) -> Option<String> {
    if let Some(known) = changing.get(name) {
        return Some(known.clone());
    }
    let own = format!("@{name} of {} {}", table.family.keyword(), table.name);
    let Some(set) = table.set(name) else { return Some(own) };
    // What was looked up before decides.
    if bounds(&set.statements) || set.elements.iter().any(|element| bounds(&element.state().statements)) {
        return None;
    }
    if fixed(table, name).is_some() && set.elements.iter().all(stays) {
        return enumerated(table, &set.elements);
    }
    let until = set.timeout.map_or_else(String::new, |time| format!(" for {} ms", time.0));
    let words = format!("{own}{until}{}", lasting(table, set)?);
    changing.insert(set.name.as_str(), words.clone());
    Some(words)
}

/// The elements of a set that changes which time does not take out of it; of many, their number and digest.
fn lasting(table: &Table, set: &Set) -> Option<String> {
    let lasting = set.elements.iter().filter(|element| set.timeout.is_none() && stays(element));
    let spell = |element: &Element| {
        let key = spelled(table, &element.key)?;
        // What a map has for a key may be anything that compares.
        Some(element.data.as_ref().map_or(key.clone(), |data| format!("{key} : {data:?}")))
    };
    let mut keys = lasting.map(spell).collect::<Option<Vec<String>>>()?;
    keys.sort();
    Some(match keys.len() {
        0 => String::new(),
        1..=MOST => format!(" with {{ {} }}", keys.join(", ")),
        many => {
            let digest = Sha256::digest(keys.join(", ").as_bytes());
            let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            format!(" with {many} elements ({digest})")
        }
    })
}
