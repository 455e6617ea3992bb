//! No list, and no row of names that refer to each other, makes fwc panic, overflow the stack or take long.
//!
//! Mangles files of lists: the same inputs on every run. `FWC_FUZZ=100000` asks for more than the usual 10,000.
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
mod random;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use common::Texts;
use fwc::compile::compile;
use fwc::diag::Findings;
use fwc::source::SourceMap;
use random::Dice;
use random::mangle::{bounded, count, mangled, worst};

const POLICY: &str = "zone z { 10.0.0.0/24 }\nzone r { rest }\nfirewall f { eth0 10.0.0.1 in z; eth1 dynamic in r }\n\
                      list l = file \"l.txt\"\nallow tcp 22 from l to f.z\n";

/// Resolves a policy over files; the codes of its errors, none where it can be read.
fn resolved(root: &str, files: BTreeMap<String, String>) -> Vec<&'static str> {
    let (mut sources, mut findings) = (SourceMap::default(), Findings::default());
    let roots = [sources.add("root.fw", root)];
    let mut loader = Texts(files);
    let parsed = fwc::resolve::gather(&mut sources, &roots, &mut loader, &mut findings);
    let site = fwc::resolve::resolve(&parsed, &mut sources, &mut loader, &[], &mut findings);
    for found in findings.sorted() {
        assert!(!found.message.contains(['\n', '\u{202e}', '\0']), "said as it stands: {found:?}");
        if let Some(label) = &found.primary {
            let file = sources.file(label.span.file).map_or("", |f| f.text.as_str());
            assert!(file.get(label.span.start as usize..label.span.end as usize).is_some(), "{found:?}");
        }
    }
    assert_eq!(site.is_some(), !findings.has_errors(), "{:?}", findings.sorted().first());
    let mut codes: Vec<_> = findings.sorted().iter().map(|d| d.code.as_str()).collect();
    codes.dedup();
    codes
}

fn list(text: &str) -> Vec<&'static str> {
    resolved(POLICY, BTreeMap::from([("l.txt".to_owned(), text.to_owned())]))
}

#[test]
fn mangled_lists() {
    let corpus: Vec<String> = [
        "# partners\n198.51.100.0/28\n203.0.113.7\n\n2001:db8:77::/48 # new\n",
        "10.0.0.1\r\n10.0.0.2\r\n",
        "192.0.2.0/24\n192.0.2.128/25\n0.0.0.0/0\n::/0\n",
        "2001:db8::1\n2001:db8:0:0:0:0:0:2\n::ffff:192.0.2.1\n",
    ]
    .map(str::to_owned)
    .to_vec();
    let (count, mut dice, mut readable, mut bytes) = (count(), Dice::new(77), 0, 0);
    for number in 0..count {
        let text = mangled(&corpus, &mut dice);
        bytes += text.len();
        let codes = bounded(&format!("input {number}"), &text, || list(&text));
        readable += usize::from(codes.is_empty());
    }
    println!(
        "{readable} of {count} mangled lists can be read, {} texts in the corpus, {bytes} bytes",
        corpus.len()
    );
    assert!(readable > count / 50, "only {readable} of {count} inputs can be read");
    println!("{}", worst());
}

#[test]
fn named_lists() {
    let mb = 1 << 20;
    let addresses: String =
        (0..1_000_000u32).map(|n| format!("{}\n", Ipv4Addr::from(n * 2 + (11 << 24)))).collect();
    let cases: Vec<(&str, String, bool)> = vec![
        ("empty", String::new(), false),
        ("NUL", "192.0.2.1\n\0\n".into(), false),
        ("bidi", "192.0.2.1\n\u{202e}192.0.2.2\n".into(), false),
        ("a byte order mark", "\u{feff}192.0.2.1\n".into(), false),
        ("no end of line", "192.0.2.1".into(), true),
        ("everything", "0.0.0.0/0\n".into(), true),
        ("everything, ten thousand times", "0.0.0.0/0\n::/0\n".repeat(10_000), true),
        ("everything as a range", "0.0.0.0-255.255.255.255\n".repeat(1000), false),
        ("a 10 MB line", "1".repeat(10 * mb), false),
        ("a 10 MB comment", format!("192.0.2.1 #{}\n", "x".repeat(10 * mb)), true),
        ("10 MB of rubbish", "x\n".repeat(5 * mb), false),
        ("a million that do not join", addresses, true),
        ("a statement", "192.0.2.1 } allow any from anywhere to anywhere\n".into(), false),
        ("a prefix too long", "192.0.2.0/33\n2001:db8::/129\n".into(), false),
        ("bits behind the prefix", "192.0.2.1/24\n".into(), false),
    ];
    for (name, text, good) in &cases {
        let codes = bounded(name, text, || list(text));
        assert_eq!(codes.is_empty(), *good, "{name}: {codes:?}");
    }
    println!("{}", worst());
}

/// Names that refer to names that refer to names: an error or an answer, never the end of the stack.
#[test]
fn rows_and_rings_of_names() {
    let deep = 20_000;
    let row = |kind: &str, mark: &str, first: &str, last: usize| -> String {
        let mut text = format!("{kind} {mark}0 = {first}\n");
        text.extend((1..=last).map(|n| format!("{kind} {mark}{n} = {mark}{}\n", n - 1)));
        text
    };
    let ring = |kind: &str, mark: &str| {
        let mut text = format!("{kind} {mark}0 = {mark}{deep}\n");
        text.extend((1..=deep).map(|n| format!("{kind} {mark}{n} = {mark}{}\n", n - 1)));
        text
    };
    let excepts: String = (1..=deep).map(|n| format!("group x{n} = z except x{}\n", n - 1)).collect();
    let doubled: String = (1..=40)
        .map(|n| format!("group d{n} = d{p}, d{p}b\ngroup d{n}b = d{p}b, d{p}\n", p = n - 1))
        .collect();
    let sums: String =
        (1..=30).map(|n| format!("group e{n} = e{}, s{n}\ngroup s{n} = z except f\n", n - 1)).collect();
    let cases: Vec<(&str, String)> = vec![
        ("a row of groups", row("group", "g", "z", deep)),
        ("a ring of groups", ring("group", "g")),
        ("a row of services", row("service", "s", "tcp 22", deep)),
        ("a ring of services", ring("service", "s")),
        ("a row of excepts", format!("group x0 = f\n{excepts}")),
        ("doubled at each step", format!("group d0 = f\ngroup d0b = z\n{doubled}")),
        ("sums of exclusions", format!("group e0 = z except f\n{sums}allow tcp 22 from e30 to e30\n")),
    ];
    for (name, text) in &cases {
        let text = format!("{POLICY}{text}");
        let files = BTreeMap::from([("l.txt".to_owned(), "192.0.2.1\n".to_owned())]);
        let codes = bounded(name, name, || resolved(&text, files));
        println!("{name}: {codes:?}");
        assert!(!name.contains("ring") || !codes.is_empty(), "{name}");
    }
}

#[test]
fn rows_and_rings_of_includes() {
    let deep = 20_000;
    let row: BTreeMap<String, String> =
        (0..deep).map(|n| (format!("f{n}.fw"), format!("include \"f{}.fw\"\n", n + 1))).collect();
    let mut ring = row.clone();
    ring.insert(format!("f{deep}.fw"), "include \"f0.fw\"\n".to_owned());
    let mut ends = row;
    ends.insert(format!("f{deep}.fw"), "zone z { rest }\n".to_owned());
    for (name, files) in [("a row of includes", ends), ("a ring of includes", ring)] {
        let codes = bounded(name, name, || resolved("include \"f0.fw\"\n", files));
        assert_eq!(codes, ["too-large"], "{name}");
    }
    // As many as a policy may have: the cycle itself is found.
    let small: BTreeMap<String, String> =
        (0..999).map(|n| (format!("f{n}.fw"), format!("include \"f{}.fw\"\n", (n + 1) % 999))).collect();
    let codes = bounded("an include cycle", "", || resolved("include \"f0.fw\"\n", small));
    assert_eq!(codes, ["include-cycle"]);
    let own = BTreeMap::from([("root.fw".to_owned(), "include \"root.fw\"\n".to_owned())]);
    let codes = bounded("a file that includes itself", "", || resolved("include \"root.fw\"\n", own));
    assert_eq!(codes, ["include-cycle"]);
    println!("{}", worst());
}

/// What would be 2^32 if it were written out.
#[test]
fn expansions_of_two_to_the_thirty_two() {
    let apart = |first: u32, count: u32| -> String {
        (0..count).map(|n| format!("{}\n", Ipv4Addr::from(first + 2 * n))).collect()
    };
    let site = "zone z { 10.0.0.0/8 }\nzone y { 172.16.0.0/12 }\nzone r { rest }\n\
                firewall f { eth0 10.0.0.1 in z; eth1 dynamic in r; eth2 172.16.0.1 in y; log from r }\n";
    let lists = "list l = file \"l.txt\"\nlist m = file \"m.txt\"\n";
    // Each group is the one before it, twice: 2^32 times the first in the end.
    let doubled: String =
        (1..=32).map(|n| format!("group g{n} = g{p}, h{p}\ngroup h{n} = h{p}, g{p}\n", p = n - 1)).collect();
    let services: String = (1..=32)
        .map(|n| format!("service s{n} = s{p}, t{p}\nservice t{n} = t{p}, s{p}\n", p = n - 1))
        .collect();
    let cases = [
        (
            "2^32 addresses",
            "list l = file \"l.txt\"\nallow tcp 22 from l to f.z\n".to_owned(),
            "0.0.0.0/0\n".to_owned(),
            String::new(),
        ),
        (
            "2^16 ports, twice",
            "allow tcp 0-65535, udp 0-65535 from z to y\n".to_owned(),
            String::new(),
            String::new(),
        ),
        (
            "2^32 by doubling groups",
            format!("group g0 = z\ngroup h0 = z\n{doubled}allow tcp 22 from g32 to y\n"),
            String::new(),
            String::new(),
        ),
        (
            "2^32 by doubling services",
            format!("service s0 = tcp 22\nservice t0 = udp 22\n{services}allow s32 from z to y\n"),
            String::new(),
            String::new(),
        ),
        (
            "2^16 addresses to 2^16 addresses",
            format!("{lists}allow tcp 22 from l to m\n"),
            apart(0x0a01_0000, 1 << 16),
            apart(0xac11_0000, 1 << 16),
        ),
        (
            "2^16 addresses but 2^16 addresses",
            format!("{lists}group e = l except m\nallow tcp 22 from e to y\n"),
            apart(0x0a01_0000, 1 << 16),
            apart(0x0a01_0000, 1 << 16),
        ),
    ];
    for (name, text, l, m) in cases {
        let files = BTreeMap::from([("l.txt".to_owned(), l), ("m.txt".to_owned(), m)]);
        let told = bounded(name, "", || compiles(&format!("{site}{text}"), files));
        println!("{name}: {told:?}");
        let too_large = name == "2^16 addresses to 2^16 addresses";
        assert_eq!(told.0.contains(&"too-large"), too_large, "{name}: {told:?}");
    }
    println!("{}", worst());
}

/// Compiles a policy over files; the codes of its findings, and the bytes of its rulesets.
fn compiles(root: &str, files: BTreeMap<String, String>) -> (Vec<&'static str>, usize) {
    let (mut sources, mut findings) = (SourceMap::default(), Findings::default());
    let roots = [sources.add("root.fw", root)];
    let (mut loader, options) = (Texts(files), common::options());
    let done = compile(&mut sources, &roots, &mut loader, &options, &mut findings, &|_| {});
    assert_eq!(done.is_some(), !findings.has_errors());
    if let Some(done) = &done {
        assert!(done.report.holds(), "not proved");
    }
    let codes = findings.sorted().iter().map(|d| d.code.as_str()).collect();
    (codes, done.iter().flat_map(|d| &d.hosts).map(|h| h.files[0].1.len()).sum())
}

/// The bounds bite: what takes more than it may fails.
#[test]
fn the_bound_of_memory_bites() {
    let hog = || bounded("a hog", "", || std::hint::black_box(vec![1u8; 600 << 20]).len());
    let caught = std::panic::catch_unwind(hog).expect_err("600 MB are too much");
    let said = caught.downcast_ref::<String>().cloned().unwrap_or_default();
    assert!(said.starts_with("a hog took ") && said.contains(" kB"), "{said}");
}
