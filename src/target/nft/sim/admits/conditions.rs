//! Comparisons that are not modelled, by their words.
//!
//! `fib daddr type local` depends on the packet and on the machine's routes: nobody here knows whether it holds, but it
//! holds for a packet in two rulesets of one machine or in neither. What draws lots, counts, or looks at something a
//! rule has written is no such thing.

use super::super::super::artifact::{Element, Expression, Field, Op, Table};
use super::super::fixed;
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
pub(super) fn words(
    table: &Table,
    now: Now,
    left: &Expression,
    op: Op,
    right: &Expression,
) -> Option<String> {
    if matches!(now.nat, Done::Translated(_)) || now.altered && is_altered(left) || !is_plain(now, left) {
        return None;
    }
    let left = spelled(table, left)?;
    let right = spelled(table, right)?;
    let mark = match now.mark {
        Mark::Set(mark) if left.contains("mark") => format!(" with mark {mark}"),
        Mark::Own | Mark::Set(_) | Mark::Unclear => String::new(),
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
        Expression::Field(Field::Mark) => now.mark != Mark::Unclear,
        Expression::Field(field) => !(now.untracked && field.is_of_connection()),
        Expression::Masked(of, _) => is_plain(now, of),
        Expression::Concat(parts) => parts.iter().all(|part| is_plain(now, part)),
        Expression::Unknown(words) => {
            let first = words.split(' ').next().unwrap_or_default();
            let mark = words.contains("mark") && now.mark == Mark::Unclear;
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
    let elements = |elements: &[Element]| -> Option<String> {
        if elements.len() > MOST || elements.iter().any(|e| e.timeout.is_some() || e.expires.is_some()) {
            return None;
        }
        let keys: Option<Vec<String>> = elements.iter().map(|e| spelled(table, &e.key)).collect();
        Some(format!("{{ {} }}", keys?.join(", ")))
    };
    Some(match of {
        Expression::Field(field) => field.keyword().to_owned(),
        Expression::Masked(of, mask) => format!("{} & {}", spelled(table, of)?, spelled(table, mask)?),
        Expression::Concat(parts) => each(parts, " . ")?,
        Expression::Number(number) => number.to_string(),
        Expression::Address(addr) => addr.to_string(),
        Expression::Prefix(net) => net.to_string(),
        Expression::Range(first, last) => format!("{}-{}", spelled(table, first)?, spelled(table, last)?),
        Expression::Word(word) | Expression::Unknown(word) => word.clone(),
        // Text has quotes around names where JSON has a word.
        Expression::Text(text) if text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b)) => {
            text.clone()
        }
        Expression::Text(text) => format!("\"{text}\""),
        Expression::Flags(flags) => each(flags, "|")?,
        Expression::Any => "*".to_owned(),
        Expression::Set(of) => elements(of)?,
        // What is in it now is the same in both; by its name where rules or time change it.
        Expression::Named(name) => match fixed(table, name) {
            Some((_, set)) => elements(&set.elements)?,
            None => format!("@{name} of {} {}", table.family.keyword(), table.name),
        },
        Expression::Bits { .. } | Expression::Lookup { .. } => return None,
    })
}
