//! What may stand as a name, a word or a string in nft text, on every version we write for.

use super::Unprintable;

/// Words that some nft from 0.9.8 to 1.1.3 does not take as the name of a chain, because its grammar knows them.
///
/// Found by asking each of them (`add chain inet t WORD`) with every word of its manual and of its library. That
/// the name works in one version says nothing of the next: `in` and `vm` are examples.
#[rustfmt::skip]
pub(in super::super) const RESERVED: [&str; 297] = [
    "accept", "ackseq", "add", "addr", "ah", "all", "and", "arp", "auto-merge", "avgpkt", "bridge",
    "burst", "bypass", "bytes", "cfi", "cgroup", "chain", "chains", "checksum", "classid", "code",
    "comment", "comp", "constant", "continue", "count", "counter", "counters", "cpi", "cpu", "create",
    "ct", "daddr", "day", "dccp", "define", "delete", "describe", "destroy", "device", "devices",
    "direction", "dnat", "doff", "dport", "drop", "dscp", "dst", "dup", "dynamic", "echo", "ecn",
    "element", "elements", "eol", "esp", "ether", "event", "exists", "expectation", "expiration",
    "expires", "export", "exthdr", "fanout", "fib", "flags", "flow", "flowlabel", "flowtable",
    "flowtables", "flush", "frag", "frag-off", "fwd", "gateway", "gc-interval", "ge", "geneve", "get",
    "goto", "gre", "gretap", "group", "handle", "hbh", "hdrlength", "helper", "helpers", "hlen", "hook",
    "hoplimit", "hour", "htype", "ibriport", "ibrname", "icmp", "icmpv6", "icmpx", "id", "igmp", "iif",
    "iifgroup", "iifname", "iiftype", "in", "inc", "include", "index", "inet", "insert", "interval", "ip",
    "ip6", "ipsec", "jhash", "json", "jump", "kind", "l3proto", "label", "last-entry", "le", "left",
    "length", "level", "limit", "limits", "list", "ll", "log", "lsrr", "lt", "map", "maps", "mark",
    "masquerade", "max-delay", "maxseg", "memory", "meta", "meter", "meters", "mh", "minute", "missing",
    "mod", "mode", "monitor", "more-fragments", "mrt", "mss", "mtu", "name", "ne", "netdev", "nexthdr",
    "nexthop", "nftrace", "nh", "nop", "not", "notrack", "num", "numgen", "obriport", "obrname", "offload",
    "offset", "oif", "oifgroup", "oifname", "oiftype", "operation", "option", "options", "or", "original",
    "osf", "out", "over", "packets", "pcp", "performance", "persistent", "pkttype", "plen", "policy",
    "port", "position", "prefix", "priority", "proto-dst", "proto-src", "protocol", "ptr", "ptype",
    "queue", "queue-threshold", "quota", "quotas", "ra", "random", "rate", "redefine", "redirect",
    "reject", "rename", "replace", "reply", "reqid", "reserved", "reserved2", "reset", "return", "right",
    "rr", "rt", "rt0", "rt2", "rtclassid", "rule", "rules", "ruleset", "sack", "sack0", "sack1", "sack2",
    "sack3", "saddr", "sctp", "secmark", "secmarks", "second", "seed", "seg-left", "sequence", "set",
    "sets", "sid", "size", "skgid", "skuid", "snaplen", "snat", "socket", "spi", "spnum", "sport", "srh",
    "ssrr", "state", "status", "symhash", "synproxy", "synproxys", "table", "tables", "tag", "tcp", "th",
    "time", "timeout", "timestamp", "to", "tproxy", "trace", "transparent", "transport", "tsecr", "tsval",
    "ttl", "tunnel", "type", "typeof", "udp", "udplite", "undefine", "until", "update", "urgptr", "used",
    "value", "version", "vlan", "vm", "vmap", "vni", "vtag", "vxlan", "week", "wildcard", "window", "with",
    "wscale", "xt", "zone",
];

/// A name of a table, chain or set: what nft reads as one word, and as no word of its own.
pub(super) fn name(what: &'static str, name: &str) -> Result<(), Unprintable> {
    let fault = |why| Err(Unprintable { what, text: name.to_owned(), why });
    let mut chars = name.chars();
    if !chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_') {
        return fault("it does not start with a letter");
    }
    if !chars.all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')) {
        return fault("it has characters other than letters, digits, `_`, `-` and `.`");
    }
    if name.len() > 63 {
        return fault("it is longer than 63 characters");
    }
    if RESERVED.binary_search(&name).is_ok() {
        return fault("it is a word of the nft language");
    }
    Ok(())
}

/// A symbol such as `established` or `echo-request`.
pub(super) fn word(what: &'static str, word: &str) -> Result<(), Unprintable> {
    let mut chars = word.chars();
    let first = chars.next().is_some_and(|c| c.is_ascii_alphabetic());
    // Words that join or start expressions: as a value they would make another statement of what follows.
    let joins = [
        "and", "comment", "ct", "eq", "ge", "gt", "ip", "ip6", "le", "lshift", "lt", "map", "meta", "ne",
        "not", "or", "rshift", "set", "th", "vmap", "xor",
    ];
    if joins.contains(&word) {
        return Err(Unprintable { what, text: word.to_owned(), why: "it is a word of the nft language" });
    }
    if first && chars.all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')) {
        return Ok(());
    }
    Err(Unprintable { what, text: word.to_owned(), why: "it is not one word" })
}

/// A string between double quotes, or behind `#`.
pub(super) fn quotable(what: &'static str, text: &str, max: usize) -> Result<(), Unprintable> {
    let fault = |why| Err(Unprintable { what, text: text.to_owned(), why });
    if text.contains('"') {
        return fault("nft has no way to write a double quote inside a string");
    }
    if text.contains('\\') {
        return fault("a backslash means different things to different readers");
    }
    if text.chars().any(|c| !c.is_ascii() || c.is_ascii_control()) {
        return fault("it has characters that are not printable ASCII");
    }
    if text.len() > max {
        return fault("it is too long");
    }
    Ok(())
}

/// A log prefix: nft replaces `$name` in it (tried), and 1.1 refuses an empty one.
pub(super) fn prefix(text: &str) -> Result<(), Unprintable> {
    let fault = |why| Err(Unprintable { what: "log prefix", text: text.to_owned(), why });
    if text.contains('$') {
        return fault("nft would put a variable in the place of `$`");
    }
    if text.is_empty() {
        return fault("it is empty");
    }
    Ok(())
}

/// Text that was read and not understood: written back only where it cannot reach beyond its place.
pub(super) fn raw(text: &str) -> Result<(), Unprintable> {
    let fault = |why| Err(Unprintable { what: "statement", text: text.to_owned(), why });
    if text.trim().is_empty() {
        return fault("it is empty");
    }
    if text.chars().any(|c| !c.is_ascii() || c.is_ascii_control() || c == '\\') {
        return fault("it has characters that are not printable ASCII");
    }
    let (mut depth, mut quoted) = (0usize, false);
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            _ if quoted => {}
            '{' => depth = depth.saturating_add(1),
            '}' => match depth.checked_sub(1) {
                Some(outer) => depth = outer,
                None => return fault("it closes a brace it did not open"),
            },
            '#' => return fault("it would turn what follows into a comment"),
            ';' if depth == 0 => return fault("it is more than one statement"),
            _ => {}
        }
    }
    if depth > 0 || quoted {
        return fault("it leaves a brace or a string open");
    }
    Ok(())
}

/// The inside of an object's braces, in which `;` separates.
pub(super) fn body(text: &str) -> Result<(), Unprintable> {
    if text.is_empty() { Ok(()) } else { raw(&format!("{{{text}}}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_words_are_sorted_for_the_search() {
        assert!(RESERVED.is_sorted());
        assert!(name("chain name", "input").is_ok());
        assert!(name("chain name", "in").is_err());
    }

    #[test]
    fn a_string_cannot_end_early() {
        assert!(quotable("comment", "x\"; tcp dport 22 accept comment \"y", 128).is_err());
        assert!(quotable("comment", "a\\", 128).is_err());
        assert!(quotable("comment", "a\nb", 128).is_err());
        assert!(quotable("comment", "caf\u{e9}", 128).is_err());
        assert!(quotable("comment", "a # { ; } $x", 128).is_ok());
        assert!(prefix("$x").is_err());
        assert!(raw("a; accept").is_err());
        assert!(raw("a } b {").is_err());
    }
}
