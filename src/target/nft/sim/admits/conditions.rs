//! Comparisons that are not modelled, by their words.
//!
//! `fib daddr type local` depends on the packet and on the machine's routes: nobody here knows whether it holds, but it
//! holds for a packet in two rulesets of one machine or in neither. What draws lots, counts, or looks at something a
//! rule has written is no such thing.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::super::super::artifact::{Element, Expression, Field, Op, Set, Statement, Table};
use super::super::words::{is_flags, one_word};
use super::super::{bounds, fixed, parts, plain_net, stays};
use super::{Done, Mark, Now, Puts};

/// First words of what depends on the packet and the machine alone (nft(8), EXPRESSIONS).
const PLAIN: [&str; 27] = [
    "fib", "ether", "vlan", "arp", "ip", "ip6", "tcp", "udp", "udplite", "sctp", "dccp", "th", "icmp",
    "icmpv6", "igmp", "ah", "esp", "comp", "frag", "hbh", "dst", "mh", "ipsec", "socket", "rt", "exthdr",
    "osf",
];

/// The same of `meta` and `ct`.
const OF_PACKET: [&str; 22] = [
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
    "meta ipsec",
    "meta sdif",
    "meta sdifname",
    "meta hour",
    "meta day",
    "ct helper",
    "ct l3proto",
    "ct protocol",
    "ct expiration",
];

/// The words of a comparison that is the same for the same packet wherever it stands; none where it is not. Of two listings
/// each has a time zone of its own.
pub(super) fn words<'t>(
    table: &'t Table,
    changing: &mut BTreeMap<&'t str, String>,
    (now, puts): (Now, &Puts),
    (left, op, right): (&Expression, Op, &Expression),
    listed: Option<&str>,
) -> Option<String> {
    if matches!(now.nat, Done::Translated(_)) || now.altered && is_altered(left) || !is_plain(now, left) {
        return None;
    }
    let zone = match listed {
        Some(side) if is_local(table, left, right) => {
            format!(" in the time zone of the {side} listing (`--utc` says that it is UTC)")
        }
        _ => String::new(),
    };
    let flags = match left {
        Expression::Field(field) => is_flags(*field),
        Expression::Unknown(words) => words.starts_with("ct "),
        Expression::Masked(..) => true,
        _ => false,
    };
    let right = match right {
        Expression::Named(name) => {
            let set = format!("@{name} of {} {}", table.family.keyword(), table.name);
            format!("{}{}", named(table, left, name, changing)?, puts.words(now.put, Some(&set))?)
        }
        other => beside(table, left, other)?,
    };
    let left = spelled(table, left)?;
    let mark = match now.mark.words() {
        Some(words) if now.mark != Mark::OWN && left.contains("mark") => format!(" with mark {words}"),
        _ => String::new(),
    };
    let op = match op {
        Op::Implicit => " ",
        // Of anything but flags one number is asked for in any case.
        Op::Equal if !flags => " ",
        Op::Equal => " == ",
        Op::NotEqual => " != ",
        Op::Less => " < ",
        Op::Greater => " > ",
        Op::AtMost => " <= ",
        Op::AtLeast => " >= ",
    };
    Some(format!("`{left}{op}{right}`{mark}{zone}"))
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

/// Whether a comparison is with a time of day or a date in words, of whatever time zone the ruleset was listed in
/// ([`dates_are_utc`](super::super::super::read::dates_are_utc)).
fn is_local(table: &Table, left: &Expression, right: &Expression) -> bool {
    let in_words = |key: &Expression| is_in_words(left, key);
    match right {
        Expression::Set(elements) => elements.iter().any(|element| in_words(&element.key)),
        Expression::Named(name) => {
            let elements = table.set(name).map_or(&[][..], |set| set.elements.as_slice());
            parts(left).iter().any(is_clock) && elements.iter().any(|element| in_words(&element.key))
        }
        one => in_words(one),
    }
}

fn is_in_words(left: &Expression, value: &Expression) -> bool {
    parts(left).iter().zip(parts(value)).any(|(part, value)| {
        is_clock(part)
            && match value {
                Expression::Number(_) => false,
                Expression::Range(first, last) => {
                    [first, last].iter().any(|end| !matches!(***end, Expression::Number(_)))
                }
                _ => true,
            }
    })
}

fn is_clock(part: &Expression) -> bool {
    match part {
        Expression::Field(field) => *field == Field::Time,
        Expression::Unknown(words) => words == "meta hour",
        _ => false,
    }
}

/// Whether a table compares a clock with words of a time zone that nothing says: the same words may be other times.
#[must_use]
pub fn tells_local_time(table: &Table) -> bool {
    let mut statements = table.chains.iter().flat_map(|c| &c.rules).flat_map(|r| &r.statements);
    statements.any(|statement| match statement {
        Statement::Match { left, right, .. } => is_local(table, left, right),
        Statement::VerdictMap { key, map } => is_local(table, key, map),
        // What is written by the clock, translated by it, or not understood: whether in a time zone is not asked.
        Statement::Mangle { .. }
        | Statement::Nat(_)
        | Statement::SetUpdate { .. }
        | Statement::Alter(_)
        | Statement::Unsupported(_) => {
            let words = format!("{statement:?}");
            ["meta hour", "meta time", "Field(Time)"].iter().any(|clock| words.contains(clock))
        }
        Statement::Verdict(_)
        | Statement::Counter(_)
        | Statement::Log(_)
        | Statement::Limit(_)
        | Statement::Reject(_)
        | Statement::NoTrack => false,
    })
}

/// The most elements that are spelled out; a comparison with more is not told apart by its words.
const MOST: usize = 64;

/// What something is compared with, each constant by the one word for it.
fn beside(table: &Table, left: &Expression, value: &Expression) -> Option<String> {
    let left = if let Expression::Masked(of, _) = left { of } else { left };
    match (left, value) {
        (_, Expression::Set(elements)) => enumerated(table, left, elements),
        (Expression::Concat(fields), Expression::Concat(values)) if fields.len() == values.len() => {
            let each = fields.iter().zip(values).map(|(field, value)| beside(table, field, value));
            Some(each.collect::<Option<Vec<_>>>()?.join(" . "))
        }
        (_, Expression::Range(first, last)) => {
            Some(format!("{}-{}", beside(table, left, first)?, beside(table, left, last)?))
        }
        (_, Expression::Flags(flags)) => {
            let each = flags.iter().map(|flag| beside(table, left, flag));
            let mut each = each.collect::<Option<Vec<_>>>()?;
            each.sort();
            Some(each.join("|"))
        }
        _ => one_word(left, value).or_else(|| spelled(table, value)),
    }
}

pub(super) fn spelled(table: &Table, of: &Expression) -> Option<String> {
    let each = |parts: &[Expression], between: &str| -> Option<String> {
        let parts: Option<Vec<String>> = parts.iter().map(|part| spelled(table, part)).collect();
        Some(parts?.join(between))
    };
    Some(match of {
        Expression::Field(field) => field.keyword().to_owned(),
        Expression::Masked(of, mask) => format!("{} & {}", spelled(table, of)?, beside(table, of, mask)?),
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
        Expression::Set(_) | Expression::Named(_) | Expression::Bits { .. } | Expression::Lookup { .. } => {
            return None;
        }
    })
}

/// The elements of a set, whose order says nothing.
fn enumerated(table: &Table, left: &Expression, elements: &[Element]) -> Option<String> {
    if elements.len() > MOST || !elements.iter().all(stays) {
        return None;
    }
    let mut keys = elements.iter().map(|e| beside(table, left, &e.key)).collect::<Option<Vec<_>>>()?;
    keys.sort();
    Some(format!("{{ {} }}", keys.join(", ")))
}

/// A set by what is in it; by its name, and what is in it for good, where rules or time change it. What they put into it
/// is the same in both as long as the same packets put it there ([`Kept`](super::Kept)).
fn named<'t>(
    table: &'t Table,
    left: &Expression,
    name: &str,
    changing: &mut BTreeMap<&'t str, String>,
) -> Option<String> {
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
        return enumerated(table, left, &set.elements);
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
            format!(" with {many} elements ({})", digest(&keys))
        }
    })
}

/// What tells texts from others.
pub(super) fn digest(texts: &[String]) -> String {
    let digest = Sha256::digest(texts.join(", ").as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
