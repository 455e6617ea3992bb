//! Hostile strings in every position of a policy that takes one: a finding, or artifacts that say what those of
//! the harmless twin say.
//!
//! nft has no escape for `"`: the reason `x"; tcp dport 22 accept comment "y` must not load as a second rule.
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

use std::collections::{BTreeMap, BTreeSet};

use common::{Texts, options};
use fwc::compile::{Compiled, Options, compile};
use fwc::diag::Findings;
use fwc::lab::netns::{Netns, available};
use fwc::source::SourceMap;
use fwc::target::nft::artifact::{Ruleset, Statement};
use fwc::target::nft::print;

/// What stands where a hostile string goes, and says nothing.
const HARMLESS: &str = "plain";

/// Each position as a part of the policy, `@` being the string.
const POSITIONS: &[(&str, &str)] = &[
    ("reason", "allow tcp 80 from b to f.a { reason \"@\" }\n"),
    ("owner", "allow tcp 80 from b to f.a { owner \"@\"; log }\n"),
    ("reason of a deny", "deny tcp 80 from b to f.a { reject; log; reason \"@\" }\n"),
    ("waiver", "allow tcp 80 from b to f.a { waive lint unfiltered-allow \"@\" }\n"),
    ("title", "test \"@\" { expect deny tcp 81 from b to f }\n"),
    ("comment", "allow tcp 80 from b to f.a # @\n"),
    ("comment in a sentence", "allow tcp 80 from b # @\n    to f.a { log }\n"),
    ("list file", "list l = file \"@\"\nallow tcp 80 from l to f.a\n"),
    ("list content", "list l = file \"l.txt\"\nallow tcp 80 from l to f.a\n"),
    ("include", "include \"@\"\n"),
    ("value", "var v: service = tcp 80\nallow v from b to f.a { log }\n"),
    ("interface", "host h { @ 10.0.2.7 in b; nftables; log from b }\nallow tcp 80 from a to h\n"),
    (
        "host",
        "host @ = 10.0.2.7 in b\neach gh { nftables; log from a }\ngroup gh = @\nallow tcp 80 from a to @ { log }\n",
    ),
    ("zone", "zone @ { 10.9.0.0/24 }\nhost y = 10.9.0.2 in @\nallow tcp 80 from b to f.a\n"),
    ("group", "group @ = b\nallow tcp 80 from @ to f.a { log }\n"),
    ("service", "service @ = tcp 80\nallow @ from b to f.a { log }\n"),
    ("list", "list @ = 10.0.2.128/25\nallow tcp 80 from @ to f.a { log }\n"),
    ("set name", "var v: service = tcp 80\nallow v from b to f.a\n"),
];

fn hostile() -> Vec<String> {
    let table = [
        "",
        " ",
        "x\"; tcp dport 22 accept comment \"y",
        "\"",
        "\\",
        "\\\"",
        "x\\",
        "a\nb",
        "a\r\nb",
        "\n}\n}\ntable inet z { }\n",
        "$var",
        "$(id)",
        "`id`",
        "#",
        "# x",
        ";",
        "; accept",
        "}",
        "}}",
        "{",
        "@set",
        "*",
        "a,b",
        "a b",
        "..",
        "../../etc/passwd",
        "/etc/passwd",
        "\0",
        "a\u{7}b",
        "\u{7f}",
        "\u{1b}[31mred\u{1b}[0m",
        "\u{1b}]0;title\u{7}",
        "\u{202e}evil",
        "\u{2066}x\u{2069}",
        "caña",
        "日本",
        "\u{feff}",
        "a\u{300}",
        "\u{a0}",
        "' or 1=1",
        "%s%n",
        "--",
        "-",
        "accept",
        "drop",
        "table",
        "lo",
        "any",
        "rest",
        "anywhere",
        "none",
        "eth0",
        "br-lan",
        "a.b",
        "a_b",
        "a@b",
        "0",
        "0x10",
        "1.2.3.4",
        "::1",
        "tcp 22",
        "tcp 22\nallow any from b to a",
    ];
    let mut all: Vec<String> = table.map(str::to_owned).to_vec();
    for (piece, times) in [
        ("a", 15),
        ("a", 16),
        ("a", 63),
        ("a", 64),
        ("a", 127),
        ("a", 128),
        ("a", 129),
        ("a", 255),
        ("a", 256),
        ("a", 10_000),
        ("é", 5_000),
        ("\"", 10_000),
        ("\\", 10_000),
    ] {
        all.push(piece.repeat(times));
    }
    all
}

const BASE: &str = "zone a { 10.0.1.0/24 }\nzone b { 10.0.2.0/24 }\nfirewall f { eth0 10.0.1.1 in a; eth1 10.0.2.1 in b; log from b }\n";

/// Compiles a position with a string in it; none where that is refused.
fn with(position: (&str, &str), string: &str) -> Option<Compiled> {
    let (mut sources, mut findings) = (SourceMap::default(), Findings::default());
    let root = sources.add("root.fw", format!("{BASE}{}", position.1.replace('@', string)));
    let content = if position.0 == "list content" {
        format!("10.0.2.128/25 # {string}\n")
    } else {
        "10.0.2.128/25\n".to_owned()
    };
    let path = if position.0 == "list file" { string } else { "l.txt" };
    let mut files = BTreeMap::from([(path.to_owned(), content)]);
    if position.0 == "include" {
        files.insert(string.to_owned(), "allow tcp 80 from b to f.a\n".to_owned());
    }
    let set = match position.0 {
        "value" if string == HARMLESS => vec![("v".to_owned(), "tcp 80".to_owned())],
        "value" => vec![("v".to_owned(), string.to_owned())],
        "set name" if string != HARMLESS => vec![(string.to_owned(), "tcp 80".to_owned())],
        _ => Vec::new(),
    };
    let options = Options { set, ..options() };
    let compiled = compile(&mut sources, &[root], &mut Texts(files), &options, &mut findings, &|_| {});
    for found in findings.sorted() {
        assert!(!found.message.contains('\n'), "a message of two lines: {found:?}");
    }
    assert_eq!(compiled.is_some(), !findings.has_errors(), "{position:?} {string:?}: silent");
    compiled
}

/// The interface that the policy was read to name: `; eth0` is the end of an empty statement and a name.
fn interface(compiled: &Compiled, string: &str) -> String {
    let (_, host) = compiled.site.hosts().find(|(_, h)| h.name == "h").unwrap();
    let name = host.legs[0].interface.clone().unwrap();
    assert!(string.split([';', ' ', '\n', '\r']).any(|word| word == name), "{string:?} was read as {name:?}");
    name
}

/// The lines of a ruleset without its texts, sorted: own names of chains and sets, and this interface, replaced.
fn lines(ruleset: &Ruleset, interface: &str) -> Vec<Vec<String>> {
    let tables = || ruleset.tables.iter();
    let names: BTreeSet<&str> = tables()
        .flat_map(|t| t.chains.iter().map(|c| &c.name).chain(t.sets.iter().map(|s| &s.name)))
        .map(String::as_str)
        .collect();
    let plain = |word: &str| {
        let word = word.trim_end_matches([',', ';']);
        if names.contains(word.trim_start_matches('@')) {
            "NAME".to_owned()
        } else {
            word.replace(&format!("\"{interface}\""), "\"plain\"")
        }
    };
    let line = |line: &str| {
        let mut words: Vec<String> = line.split_whitespace().map(plain).collect();
        // What stands in braces is in the order of the names.
        if line.contains('{') {
            words.sort();
        }
        words
    };
    let text = print::print(&bare(ruleset.clone())).unwrap();
    let mut all: Vec<Vec<String>> = text.lines().map(line).collect();
    all.sort();
    all
}

/// The ruleset without its texts: comments, notes and log prefixes.
fn bare(mut ruleset: Ruleset) -> Ruleset {
    for table in &mut ruleset.tables {
        table.comment = None;
        for set in &mut table.sets {
            (set.comment, set.notes) = (None, Vec::new());
            set.elements.iter_mut().for_each(|e| e.comment = None);
        }
        for chain in &mut table.chains {
            (chain.comment, chain.notes) = (None, Vec::new());
            for rule in &mut chain.rules {
                (rule.comment, rule.notes) = (None, Vec::new());
                for statement in &mut rule.statements {
                    if let Statement::Log(log) = statement {
                        log.prefix = None;
                    }
                }
            }
        }
    }
    ruleset
}

#[test]
fn a_finding_or_the_rules_of_the_harmless_twin() {
    let (mut refused, mut same, mut values, mut texts) = (0, 0, 0, Vec::new());
    for &position in POSITIONS {
        let twin = with(position, HARMLESS).unwrap_or_else(|| panic!("{} has no twin", position.0));
        let named = ["interface", "host", "zone", "group", "service", "list"].contains(&position.0);
        for string in hostile() {
            // A comment ends with its line: what follows is what its author wrote.
            if position.0.starts_with("comment") && string.contains(['\n', '\r']) {
                continue;
            }
            let Some(found) = with(position, &string) else {
                refused += 1;
                continue;
            };
            // A value is meant to change the rules: they are those of the same words in the policy.
            let written = (position.0 == "value").then(|| {
                let words = ("value as it is written", "var v: service = @\nallow v from b to f.a { log }\n");
                values += 1;
                with(words, &string).unwrap_or_else(|| panic!("{string:?} is a value of --set alone"))
            });
            let twin = written.as_ref().unwrap_or(&twin);
            {
                assert_eq!(found.artifacts.len(), twin.artifacts.len(), "{} {string:?}", position.0);
                for host in &found.hosts {
                    let hers = if host.name == string { HARMLESS } else { &host.name };
                    let other = twin.hosts.iter().find(|h| h.name == hers || h.name == host.name);
                    let other =
                        other.unwrap_or_else(|| panic!("{} {string:?}: {}", position.0, host.name)).host;
                    let (a, b) = (&found.artifacts[&host.host].ruleset, &twin.artifacts[&other].ruleset);
                    // A name is in the sums that chains of their own are called by; an interface stands in the rules,
                    // and in the order of chains and elements.
                    if named {
                        let own = if position.0 == "interface" && host.name == "h" {
                            interface(&found, &string)
                        } else {
                            HARMLESS.to_owned()
                        };
                        assert_eq!(lines(a, &own), lines(b, HARMLESS), "{} {string:?}", position.0);
                    } else {
                        assert_eq!(bare(a.clone()), bare(b.clone()), "{} {string:?}", position.0);
                    }
                }
            }
            assert!(found.report.holds(), "{} {string:?} is not proved", position.0);
            for host in &found.hosts {
                let text = &host.files[0].1;
                assert!(
                    text.is_ascii() && !text.contains(|c: char| c.is_control() && !['\n', '\t'].contains(&c)),
                    "{string:?}"
                );
                texts.push((position.0, string.clone(), text.clone()));
            }
            same += 1;
        }
    }
    println!("{refused} refused, {same} the same as their twins, {values} of them values");
    assert!(refused > 100 && same > 100 && values > 0, "{refused} {same} {values}");
    loads(&texts);
}

/// A sample through the kernel: as many rules as the text was proved to have.
fn loads(texts: &[(&str, String, String)]) {
    if let Err(why) = available() {
        let required = std::env::var_os("FWC_REQUIRE_KERNEL").is_some_and(|v| v == "1");
        assert!(!required, "no kernel to ask: {why}");
        return;
    }
    let netns = Netns::new().unwrap();
    for (position, string, text) in texts.iter().step_by(texts.len().div_ceil(60).max(1)) {
        netns.nft(text).unwrap_or_else(|why| panic!("{position} {string:?}: {why}\n{text}"));
        let listed = netns.run("nft", &["-j", "list", "ruleset"], "").unwrap();
        let rules = listed.matches("{\"rule\":").count();
        let read = fwc::target::nft::read::read(text).unwrap().ruleset;
        let meant: usize = read.tables.iter().flat_map(|t| &t.chains).map(|c| c.rules.len()).sum();
        assert_eq!(rules, meant, "{position} {string:?}\n{text}");
    }
}
