//! No text makes the reader of nftables, or the simulator of what it read, panic, overflow the stack or take long.
//!
//! Mangles rulesets that fwc writes and some that it does not: the same inputs on every run. `FWC_FUZZ=100000`
//! asks for more of them than the usual 10,000.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and tells what it did"
)]

mod common;
#[path = "random/compiles.rs"]
mod compiles;
mod random;

use fwc::net::{Packet, Proto};
use fwc::target::nft::artifact::{Hook, Ruleset};
use fwc::target::nft::{print, read, sim};
use random::Dice;
use random::mangle::{bounded, count, mangled, worst};

/// What an administrator or another program may have loaded.
const FOREIGN: &str = r#"
table inet filter { # by hand
    comment "a table"
    counter hits { packets 3 bytes 9 }
    set bad { type ipv4_addr . inet_service; flags interval, timeout; elements = { 10.0.0.0/8 . 22-80 timeout 3h expires 2h59m58s } }
    map go { type ifname : verdict; elements = { "eth0" : jump a, "lo" : accept } }
    chain a { tcp dport { 22, 80-90 } tcp flags & (syn|ack) == syn ct state vmap { new : drop, established : accept }; limit rate over 3/minute burst 5 packets log prefix "x: " level warn group 2 drop }
    chain input { type filter hook input priority filter - 5; policy drop; iifname vmap @go; ip saddr . tcp dport @bad counter packets 1 bytes 2 reject with icmpx type port-unreachable comment "no" }
    chain nat { type nat hook prerouting priority dstnat; policy accept; tcp dport 80 dnat ip to 10.0.0.1:8080; masquerade random }
}
table ip old { chain f { type filter hook forward priority 0; policy accept; meta mark and 0xff == 0x1 accept; xt target "X" } }
"#;

/// Reads, and where that can be, runs a packet and prints; how many rules there are. The one call of the reader.
fn reads(text: &str) -> Option<usize> {
    let ruleset: Ruleset = read::read(text).ok()?.ruleset;
    let packet =
        Packet::new([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), Proto::TCP, 40_000, 22).at("eth0", "");
    let _ = sim::run(&ruleset, Hook::Input, &packet);
    // A second copy of a huge one would be this test's memory, not the reader's.
    let small = text.len() < 1 << 20;
    if let Some(printed) = small.then(|| print::print(&ruleset).ok()).flatten() {
        // What can be printed can be read, and says the same.
        let again = read::read(&printed).unwrap_or_else(|why| panic!("does not read back: {why}\n{printed}"));
        assert_eq!(again.ruleset, ruleset, "read(print(x)) is not x:\n{printed}");
    }
    Some(ruleset.tables.iter().flat_map(|t| &t.chains).map(|c| c.rules.len()).sum())
}

fn corpus() -> Vec<String> {
    let mut all = vec![FOREIGN.to_owned()];
    for seed in 0..60 {
        if let Some((_, compiled)) = compiles::policy(seed, "") {
            all.extend(compiled.artifacts.hosts.into_values().map(|rules| rules.text));
        }
    }
    // What nft itself makes of a file of ours, and other people's.
    all.extend(
        [
            include_str!("nft/corpus/own.nft"),
            include_str!("nft/corpus/listing-1.0.6.nft"),
            include_str!("nft/corpus/listing-1.1.3.nft"),
            include_str!("nft/corpus/foreign.nft"),
        ]
        .map(str::to_owned),
    );
    // Small ones, so that a mark hits something.
    all.extend(FOREIGN.lines().map(|line| format!("table inet t {{\n{line}\n}}\n")));
    all
}

#[test]
fn mangled_rulesets() {
    let (corpus, count) = (corpus(), count());
    assert!(
        corpus.len() > 10 && reads(FOREIGN).is_some(),
        "{}: {:?}",
        corpus.len(),
        read::read(FOREIGN).err()
    );
    let (mut dice, mut readable, mut bytes) = (Dice::new(0x9e37), 0, 0);
    for number in 0..count {
        let text = mangled(&corpus, &mut dice);
        bytes += text.len();
        readable += usize::from(bounded(&format!("input {number}"), &text, || reads(&text)).is_some());
    }
    println!(
        "{readable} of {count} mangled rulesets can be read, {} texts in the corpus, {bytes} bytes",
        corpus.len()
    );
    assert!(readable > count / 50, "only {readable} of {count} inputs can be read");
    println!("{}", worst());
}

/// So many bytes of a line, `@` being its number.
fn numbered(line: &str, bytes: usize) -> String {
    let mut text = String::new();
    for number in 0.. {
        if text.len() >= bytes {
            break;
        }
        text += &line.replace('@', &number.to_string());
    }
    text
}

#[test]
fn named_cases() {
    let (deep, mb) = (100_000, 1 << 20);
    let rule = |body: &str| format!("table inet t {{\n chain c {{\n {body}\n }}\n}}\n");
    let cases: Vec<(&str, String)> = vec![
        ("empty", String::new()),
        ("NUL", rule("tcp dport 22 \0 accept")),
        ("bidi", rule("# \u{202e}\n tcp dport 22 accept comment \"\u{202e}\"")),
        ("unterminated string", rule("accept comment \"abc")),
        ("a newline in a string", rule("accept comment \"abc\n\"")),
        (
            "a rule for the elements of a set",
            "table t { set s { type ipv4_addr; counter drop comment \"all\"; } }".to_owned(),
        ),
        ("braces", "{".repeat(deep)),
        ("tables", "table t { ".repeat(deep)),
        ("chains", format!("table t {{ {}", "chain c { ".repeat(deep))),
        ("sets in a rule", rule(&format!("tcp dport {}", "{ ".repeat(deep)))),
        ("parentheses", rule(&format!("tcp flags & {} == syn", "(".repeat(deep)))),
        ("ors", rule(&format!("tcp flags & (syn{}) == syn", "|ack".repeat(deep)))),
        ("ands", rule(&format!("meta mark{} == 1", " and 0xff".repeat(deep)))),
        ("dots", rule(&format!("ip saddr{} @s accept", " . tcp dport".repeat(deep)))),
        ("vmaps in vmaps", rule(&"ct state vmap { new : ".repeat(deep))),
        ("jumps to itself", rule("jump c")),
        ("10 MB line", rule(&"accept ".repeat(10 * mb / 7))),
        ("10 MB word", "a".repeat(10 * mb)),
        ("10 MB string", rule(&format!("accept comment \"{}\"", "a".repeat(10 * mb)))),
        ("1 MB of quotes", "\"".repeat(mb)),
        ("1 MB of ends", ";\n".repeat(mb / 2)),
        ("10 MB of chains", format!("table t {{\n{}}}\n", numbered("chain c@ { }\n", 10 * mb))),
        ("10 MB of sets", format!("table t {{\n{}}}\n", numbered("set s@ { type mark; }\n", 10 * mb))),
        ("10 MB of tables", numbered("table t@\n", 10 * mb)),
        ("tables and their ends", numbered("table t@\n", 5 * mb) + &numbered("delete table t@\n", 5 * mb)),
        ("huge numbers", rule("tcp dport 99999999999999999999999999999999999999999999999 accept")),
        ("huge rate", rule("limit rate 99999999999/second burst 99999999999 packets accept")),
        ("huge time", rule("meta time < \"999999-99-99 99:99:99\" accept")),
        ("huge timeout", "table t { set s { type ipv4_addr; timeout 99999999999999999999d; } }".to_owned()),
        ("priority", "table t { chain c { type filter hook input priority 99999999999; } }".to_owned()),
        ("prefix", rule("ip saddr 10.0.0.0/99999 accept")),
        ("backwards", rule("tcp dport 80-22 ip saddr 10.0.0.9-10.0.0.1 accept")),
        ("include", "include \"/etc/passwd\"\n".to_owned()),
        ("define", "define x = { $x }\ntable t { chain c { tcp dport $x accept } }\n".to_owned()),
    ];
    for (name, text) in &cases {
        println!("{name}");
        bounded(name, text, || reads(text));
    }
    println!("{}", worst());
}

/// Chains that jump in a long row: the kernel refuses more than 16, the simulator must at least end.
#[test]
fn jumps_in_a_row() {
    let mut text =
        "table inet t {\n chain c0 {\n type filter hook input priority 0; policy drop;\n jump c1\n }\n"
            .to_owned();
    for n in 1..20_000 {
        text += &format!(" chain c{n} {{\n jump c{}\n jump c{}\n }}\n", n + 1, n + 1);
    }
    text += " chain c20000 {\n accept\n }\n}\n";
    bounded("a row of jumps", &text, || reads(&text));
}
