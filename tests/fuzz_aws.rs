//! No text makes the reader of EC2's answers, or anything that looks at what it read, panic, overflow the stack or take long.
//!
//! Mangles the fixtures: the same inputs on every run. `FWC_FUZZ=100000` asks for more of them than the usual 10,000.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and tells what it did"
)]

mod random;

use fwc::net::{Packet, Proto, Space};
use fwc::target::aws::artifact::{Direction, Document, Group, Strictness};
use fwc::target::aws::validate::call::Api;
use fwc::target::aws::validate::{self, quota::Limits};
use fwc::target::aws::{exposure, print, read, sim};
use random::Dice;
use random::mangle::{bounded, count, mangled};
use serde_json::Value;

/// Reads, and does with it all that can be done; whether it could be read. The one call of the reader.
fn reads(text: &str) -> bool {
    let mut api = Api::default();
    let _ = api.call("authorize-security-group-ingress", None, text);
    let tools = [read::terraform(text), read::cloudformation(text)];
    if let Some(estate) = tools.into_iter().flatten().next() {
        let _ = (print::terraform(&estate), print::cloudformation(&estate));
        return true;
    }
    let Ok(found) = read::read(text) else { return false };
    // A second copy of a huge one would be this test's memory, not the reader's.
    if text.len() > 1 << 20 {
        return true;
    }
    let printed = print::document(&found.document);
    let again = read::read(&printed).unwrap_or_else(|why| panic!("does not read back: {why}\n{printed}"));
    let sorted = |document: Document| match document {
        Document::Groups(groups) => Document::Groups(groups.into_iter().map(Group::sorted).collect()),
        other => other,
    };
    assert_eq!(sorted(again.document), sorted(found.document.clone()), "read(print(x)) is not x:\n{printed}");
    let Ok(estate) = read::gather([(None, found.document)]) else { return true };
    let _ = validate::estate(&estate, &Limits::default(), Strictness::Asked);
    let _ = exposure::exposures(&estate, exposure::Threshold::default());
    let packet = Packet::new([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), Proto::TCP, 40_000, 22);
    for group in &estate.groups {
        let _ = sim::run::symbolic(&[group], Direction::Ingress, &packet, &sim::Roles::default());
        let _ = sim::admits::symbolic(&[group], Direction::Ingress, &mut Space::default());
    }
    for interface in &estate.interfaces {
        let _ = sim::run::grounded(&estate, &interface.id, Direction::Egress, &packet);
    }
    for acl in &estate.acls {
        let _ = sim::acl::run(acl, Direction::Ingress, &packet);
    }
    true
}

fn corpus() -> Vec<String> {
    let mut all = Vec::new();
    for folder in ["fixtures", "sets"] {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/aws").join(folder);
        for entry in std::fs::read_dir(folder).unwrap() {
            all.push(std::fs::read_to_string(entry.unwrap().path()).unwrap());
        }
    }
    for text in all.clone() {
        if let Some(Document::Groups(groups)) = read::read(&text).ok().map(|read| read.document) {
            let estate = fwc::target::aws::artifact::Estate { groups, ..Default::default() };
            all.extend(print::terraform(&estate));
            all.extend(print::cloudformation(&estate));
        }
    }
    all.sort();
    // Answers as often as calls.
    all = [all.clone(), all.clone(), all].concat();
    // Small ones, so that a mark hits something.
    for line in include_str!("aws/corpus/groups.calls").lines().filter(|line| line.contains("IpPermissions"))
    {
        all.extend(line.split_once(' ').map(|(_, json)| json.to_owned()));
    }
    all
}

/// What may stand anywhere, rightly or wrongly.
const SCALARS: &[&str] = &[
    "null",
    "true",
    "-1",
    "0",
    "65536",
    "1e3",
    "\"\"",
    "\"-1\"",
    "\"tcp\"",
    "\"58\"",
    "\"10.0.0.7/8\"",
    "\"::/0\"",
    "\"10.0.0.0/33\"",
    "\"sg-1\"",
    "[]",
    "{}",
    "[null]",
    "9223372036854775808",
    "\"IPv6\"",
    "\"\\u202e\"",
];

/// One of the corpus with a few of its values exchanged, doubled, dropped or made odd.
fn twisted(corpus: &[String], dice: &mut Dice) -> String {
    let parsed = serde_json::from_str::<Value>(&dice.pick(corpus));
    let Ok(mut tree) = parsed else { return "{}".to_owned() };
    for _ in 0..=dice.below(3) {
        let count = size(&tree);
        let other = nth(&mut tree, &mut dice.below(count)).map_or(Value::Null, |value| value.clone());
        let Some(at) = nth(&mut tree, &mut dice.below(count)) else { continue };
        match dice.below(5) {
            0 => *at = serde_json::from_str(dice.pick(SCALARS)).unwrap_or(Value::Null),
            1 if size(&other) < 500 => *at = other,
            2 => match at {
                Value::Array(items) if !items.is_empty() => {
                    let item = items[dice.below(items.len())].clone();
                    items.push(item);
                }
                Value::Object(fields) if !fields.is_empty() => {
                    let key = fields.keys().nth(dice.below(fields.len())).unwrap().clone();
                    fields.remove(&key);
                }
                _ => {}
            },
            3 => {
                if let Value::Number(number) = at {
                    *at = Value::from(number.as_i64().unwrap_or(0).wrapping_add(1));
                }
            }
            _ => {
                if let Value::Object(fields) = at {
                    let key =
                        dice.pick(&["FromPort", "Description", "VpcId", "PeeringStatus", "Odd", "Cidrs"]);
                    fields.insert(
                        key.to_owned(),
                        serde_json::from_str(dice.pick(SCALARS)).unwrap_or(Value::Null),
                    );
                }
            }
        }
    }
    tree.to_string()
}

fn children(of: &Value) -> Vec<&Value> {
    match of {
        Value::Array(items) => items.iter().collect(),
        Value::Object(fields) => fields.values().collect(),
        _ => Vec::new(),
    }
}

fn size(of: &Value) -> usize {
    1 + children(of).into_iter().map(size).sum::<usize>()
}

/// The value with this number, in the order of the text.
fn nth<'v>(of: &'v mut Value, number: &mut usize) -> Option<&'v mut Value> {
    if *number == 0 {
        return Some(of);
    }
    *number -= 1;
    match of {
        Value::Array(items) => items.iter_mut().find_map(|item| nth(item, number)),
        Value::Object(fields) => fields.values_mut().find_map(|item| nth(item, number)),
        _ => None,
    }
}

#[test]
fn mangled_answers() {
    let (corpus, count) = (corpus(), count());
    assert!(corpus.len() > 30, "{}", corpus.len());
    let (mut dice, mut readable, mut bytes) = (Dice::new(0xa35), 0, 0);
    for number in 0..count {
        // Broken as text, and broken as a tree: most of the first are no JSON any more.
        let text = if number % 2 == 0 { mangled(&corpus, &mut dice) } else { twisted(&corpus, &mut dice) };
        bytes += text.len();
        readable += usize::from(bounded(&format!("input {number}"), &text, || reads(&text)));
    }
    println!("{readable} of {count} mangled answers can be read, {bytes} bytes");
    assert!(readable > count / 20, "only {readable} of {count} inputs can be read");
}

#[test]
fn named_cases() {
    let (deep, mb) = (100_000, 1 << 20);
    let groups = |inner: &str| format!("{{\"SecurityGroups\":[{inner}]}}");
    let ranges = |n: usize| {
        let ranges = vec!["{\"CidrIp\":\"10.0.0.0/8\"}"; n].join(",");
        groups(&format!(
            "{{\"GroupId\":\"sg-1\",\"IpPermissionsEgress\":[],\"IpPermissions\":[{{\"IpProtocol\":\"-1\",\"IpRanges\":[{ranges}]}}]}}"
        ))
    };
    let address = "{\"PrivateIpAddress\":\"10.0.1.10\",\"Association\":{\"PublicIp\":\"203.0.113.10\"}}";
    let interface = |addresses: &str| {
        format!(
            "{{\"NetworkInterfaces\":[{{\"NetworkInterfaceId\":\"eni-1\",\"PrivateIpAddresses\":[{addresses}]}}]}}"
        )
    };
    let keys: Vec<String> = (0..100_000).map(|n| format!("\"k{n}\":{n}")).collect();
    let cases: Vec<(&str, String)> = vec![
        ("empty", String::new()),
        ("NUL", groups("\0")),
        ("a byte order mark", format!("\u{feff}{}", groups(""))),
        ("brackets", "[".repeat(deep)),
        ("braces", "{\"a\":".repeat(deep)),
        ("groups in groups", "{\"SecurityGroups\":[".repeat(deep)),
        ("an address twice", interface(&format!("{address},{address}"))),
        ("40 levels", format!("{}{}", "{\"data\":".repeat(40), "}".repeat(40))),
        ("100,000 rules", ranges(100_000)),
        ("10 MB of zeros", format!("[{}0]", "0,".repeat(5 * mb))),
        ("10 MB of text", groups(&format!("{{\"GroupId\":\"{}\"}}", "a".repeat(10 * mb)))),
        ("65 MB", " ".repeat(65 * mb)),
        ("100,000 keys", groups(&format!("{{{}}}", keys.join(",")))),
        ("one key 100,000 times", groups(&format!("{{{}\"a\":1}}", "\"a\":1,".repeat(100_000)))),
        ("huge number", groups(&format!("{{\"GroupId\":{}}}", "9".repeat(mb)))),
        ("half a character", groups("{\"GroupId\":\"\\ud800\"}")),
        ("infinity", groups("{\"GroupId\":1e999}")),
    ];
    for (name, text) in &cases {
        println!("{name}");
        bounded(name, text, || reads(text));
    }
    assert!(reads(&ranges(100_000)));
}
