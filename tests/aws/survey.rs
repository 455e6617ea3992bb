//! Any file of JSON: is it an answer that is read, does it come back whole from what is printed, was nothing dropped?
//!
//! What a file says is counted here a second time, straight from the JSON and by nothing of fwc: each source and
//! destination with its protocol and ports, each interface with its groups and addresses, each entry.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use fwc::target::aws::artifact::{Canonical, Direction, Document, Group, Peer, Rule};
use fwc::target::aws::print;
use fwc::target::aws::read::{self, Why};
use serde_json::Value;

/// The words by which an answer is known.
const KINDS: [&str; 6] =
    ["SecurityGroups", "SecurityGroupRules", "NetworkInterfaces", "PrefixLists", "Entries", "NetworkAcls"];

/// What became of a file.
#[derive(Debug, PartialEq)]
pub(crate) enum Outcome {
    /// Read, printed, read again: the same.
    Whole { what: String, notes: usize },
    /// No answer that is looked at: another document, or an error that EC2 answered.
    Skipped(String),
    /// An answer that is looked at, refused with a place.
    Refused(String),
    /// fwc is at fault.
    Wrong(String),
}

/// One file, as a line. What is no text is no answer, whatever it is called; what is compressed is not opened.
pub(crate) fn line(path: &Path) -> (Outcome, String) {
    let text = std::fs::read(path).map(String::from_utf8);
    let outcome = match text {
        Err(why) => Outcome::Wrong(format!("cannot be opened: {why}")),
        Ok(Err(why)) if why.as_bytes().starts_with(&[0x1f, 0x8b]) => {
            Outcome::Skipped("compressed (gzip): unpack it first".to_owned())
        }
        Ok(Err(_)) => Outcome::Skipped("no text in UTF-8".to_owned()),
        Ok(Ok(text)) => {
            std::panic::catch_unwind(|| survey(&text)).unwrap_or_else(|_| Outcome::Wrong("panics".to_owned()))
        }
    };
    let words = match &outcome {
        Outcome::Whole { what, notes: 0 } => format!("whole    {what}"),
        Outcome::Whole { what, notes } => format!("whole    {what}, {notes} noted"),
        Outcome::Skipped(why) => format!("skipped  {why}"),
        Outcome::Refused(why) => format!("refused  {why}"),
        Outcome::Wrong(why) => format!("WRONG    {why}"),
    };
    (outcome, words)
}

/// What becomes of a text.
pub(crate) fn survey(text: &str) -> Outcome {
    let all = match read::read_all(text) {
        Ok(all) => all,
        Err(why) => {
            let nothing = match why.why {
                Why::Answer { .. } | Why::Unrecognised => true,
                // Of what looks like an answer nothing is passed over: broken off, or pages one after another.
                Why::Json(_) if why.place.0.is_empty() => !is_like_an_answer(text),
                Why::Expected("an object") if why.place.0.len() < 2 => !is_like_an_answer(text),
                _ => false,
            };
            let said = why.to_string();
            return if nothing { Outcome::Skipped(said) } else { Outcome::Refused(said) };
        }
    };
    let json: Value = match serde_json::from_str(text) {
        Ok(json) => json,
        Err(why) => return Outcome::Wrong(format!("read, but no JSON: {why}")),
    };
    let (mut said, mut had) = (Tally::new(), Tally::new());
    naive_all(&json, &mut said);
    let (mut whats, mut notes) = (Vec::new(), 0);
    for read in &all {
        for (line, count) in taken(&read.document) {
            *had.entry(line).or_default() += count;
        }
        if let Some(wrong) = comes_back(read) {
            return wrong;
        }
        whats.push(what(&read.document));
        notes += read.notes.len();
    }
    if let Some(difference) = differ(&said, &had) {
        return Outcome::Wrong(format!("dropped or changed: {difference}"));
    }
    whats.dedup();
    Outcome::Whole { what: whats.join("; "), notes }
}

/// What is wrong with one answer once it is printed and read again.
fn comes_back(read: &read::Read) -> Option<Outcome> {
    let printed = print::document(&read.document);
    let again = match read::read(&printed) {
        Ok(again) => again,
        Err(why) => return Some(Outcome::Wrong(format!("does not read back: {why}"))),
    };
    let wrong = if sorted(&again.document) != sorted(&read.document) {
        "reads back as something else"
    } else if print::document(&again.document) != printed {
        "prints otherwise the second time"
    } else if canonical(&again.document) != canonical(&read.document) {
        "not canonically equal"
    } else {
        return None;
    };
    Some(Outcome::Wrong(wrong.to_owned()))
}

/// Every answer of a file: pages in a list, the data of a recording.
fn naive_all(json: &Value, tally: &mut Tally) {
    if let Value::Array(pages) = json {
        pages.iter().for_each(|page| naive_all(page, tally));
    } else {
        for (line, count) in naive(json.get("data").unwrap_or(json)) {
            *tally.entry(line).or_default() += count;
        }
    }
}

/// Every file below a folder, by name; links are not followed.
fn every_file(folder: &Path) -> Vec<std::path::PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap_or_else(|why| panic!("{}: {why}", folder.display())) {
            let entry = entry.unwrap();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

/// Whether a text that is no object of JSON has the words of an answer where an answer would have them.
fn is_like_an_answer(text: &str) -> bool {
    let has = |page: &Value| KINDS.iter().any(|kind| page.get(kind).is_some());
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Array(pages)) => pages.iter().any(has),
        Ok(other) => has(&other),
        Err(_) => KINDS.iter().any(|kind| text.contains(&format!("\"{kind}\""))),
    }
}

fn sorted(document: &Document) -> Document {
    match document.clone() {
        Document::Groups(groups) => Document::Groups(groups.into_iter().map(Group::sorted).collect()),
        other => other,
    }
}

fn canonical(document: &Document) -> Vec<(String, Option<Canonical>, Option<Canonical>)> {
    let Document::Groups(groups) = document else { return Vec::new() };
    let form = |group: &Group, direction| group.rules(direction).map(Canonical::of);
    let of = |g: &Group| (g.id.clone(), form(g, Direction::Ingress), form(g, Direction::Egress));
    groups.iter().map(of).collect()
}

fn what(document: &Document) -> String {
    match document {
        Document::Groups(groups) => {
            let rules: usize = groups.iter().map(|group| group.all_rules().count()).sum();
            format!("{} groups, {rules} rules", groups.len())
        }
        Document::Rules(rules) => format!("{} rules", rules.len()),
        Document::Interfaces(interfaces) => format!("{} interfaces", interfaces.len()),
        Document::Lists(lists) => format!("{} prefix lists", lists.len()),
        Document::Entries(entries) => format!("{} entries", entries.len()),
        Document::Acls(acls) => {
            let entries: usize = acls.iter().map(|acl| acl.entries.len()).sum();
            format!("{} network ACLs, {entries} entries", acls.len())
        }
    }
}

// ---- what is said, counted twice ----------------------------------------------------------------------

type Tally = BTreeMap<String, usize>;

fn differ(said: &Tally, taken: &Tally) -> Option<String> {
    let keys = said.keys().chain(taken.keys());
    let count = |of: &Tally, key: &String| of.get(key).copied().unwrap_or(0);
    let odd = keys.into_iter().find(|key| count(said, key) != count(taken, key))?;
    Some(format!("{odd}: said {} times, taken {} times", count(said, odd), count(taken, odd)))
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or("")
}

fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Straight from the JSON.
pub(crate) fn naive(data: &Value) -> Tally {
    let mut tally = Tally::new();
    let mut add = |line: String| *tally.entry(line).or_default() += 1;
    for group in list(data, "SecurityGroups") {
        let id = text(group, "GroupId");
        add(format!("group {id} {} {}", text(group, "GroupName"), text(group, "VpcId")));
        for (key, way) in [("IpPermissions", "in"), ("IpPermissionsEgress", "out")] {
            for permission in list(group, key) {
                let traffic = naive_traffic(permission);
                for (kind, name) in [
                    ("IpRanges", "CidrIp"),
                    ("Ipv6Ranges", "CidrIpv6"),
                    ("PrefixListIds", "PrefixListId"),
                    ("UserIdGroupPairs", "GroupId"),
                ] {
                    for peer in list(permission, kind) {
                        let said = text(peer, "Description");
                        add(format!("{id} {way} {traffic} {} {said:?}", naive_net(text(peer, name))));
                    }
                }
            }
        }
    }
    for rule in list(data, "SecurityGroupRules") {
        let way = if rule["IsEgress"] == true { "out" } else { "in" };
        let group = rule.get("ReferencedGroupInfo").map_or("", |group| text(group, "GroupId"));
        let peers = ["CidrIpv4", "CidrIpv6", "PrefixListId"].map(|key| naive_net(text(rule, key)));
        let peer = peers.concat() + group;
        let (id, said) = (text(rule, "GroupId"), text(rule, "Description"));
        add(format!("{id} {way} {} {peer} {said:?}", naive_traffic(rule)));
    }
    for interface in list(data, "NetworkInterfaces") {
        let id = text(interface, "NetworkInterfaceId");
        add(format!("{id} in {}", text(interface, "SubnetId")));
        for group in list(interface, "Groups") {
            add(format!("{id} carries {}", text(group, "GroupId")));
        }
        let mut own: Vec<&str> = vec![text(interface, "PrivateIpAddress")];
        own.extend(list(interface, "PrivateIpAddresses").iter().map(|a| text(a, "PrivateIpAddress")));
        own.extend(list(interface, "Ipv6Addresses").iter().map(|a| text(a, "Ipv6Address")));
        own.sort_unstable();
        own.dedup();
        for address in own.into_iter().filter(|a| !a.is_empty()) {
            add(format!("{id} has {}", address.parse::<IpAddr>().unwrap()));
        }
    }
    for prefixes in list(data, "PrefixLists") {
        let id = text(prefixes, "PrefixListId");
        add(format!("list {id} {}", prefixes.get("MaxEntries").unwrap_or(&Value::Null)));
        for cidr in list(prefixes, "Cidrs") {
            add(format!("list {id} {}", naive_net(cidr.as_str().unwrap())));
        }
    }
    for entry in list(data, "Entries") {
        add(format!("entry {} {:?}", naive_net(text(entry, "Cidr")), text(entry, "Description")));
    }
    for acl in list(data, "NetworkAcls") {
        for subnet in list(acl, "Associations") {
            add(format!("{} at {}", text(acl, "NetworkAclId"), text(subnet, "SubnetId")));
        }
        for entry in list(acl, "Entries") {
            let way = if entry["Egress"] == true { "out" } else { "in" };
            let net = naive_net(text(entry, "CidrBlock")) + &naive_net(text(entry, "Ipv6CidrBlock"));
            let pair = |of: &str, a: &str, b: &str| {
                entry.get(of).map_or(String::new(), |v| format!(" {}..{}", v[a], v[b]))
            };
            let more = pair("PortRange", "From", "To") + &pair("IcmpTypeCode", "Type", "Code");
            let (number, action) = (&entry["RuleNumber"], text(entry, "RuleAction"));
            let (acl, protocol) = (text(acl, "NetworkAclId"), text(entry, "Protocol"));
            add(format!("{acl} {way} {number} {action} {protocol} {net}{more}"));
        }
    }
    tally
}

/// Protocol and ports as they are meant: numbers of the four as names, an end that is missing or -1 as open.
fn naive_traffic(of: &Value) -> String {
    let number = of["IpProtocol"].as_i64().map(|number| number.to_string());
    let named = match number.as_deref().unwrap_or(text(of, "IpProtocol")) {
        "6" => "tcp",
        "17" => "udp",
        "1" => "icmp",
        "58" => "icmpv6",
        other => other,
    };
    let port = |key: &str| of.get(key).and_then(Value::as_i64).filter(|n| *n != -1);
    match named {
        "tcp" | "udp" => {
            format!("{named} {}-{}", port("FromPort").unwrap_or(0), port("ToPort").unwrap_or(65_535))
        }
        "icmp" | "icmpv6" => {
            format!("{named} {}-{}", port("FromPort").unwrap_or(-1), port("ToPort").unwrap_or(-1))
        }
        other => other.to_owned(),
    }
}

/// A network with its host bits cleared by hand; what is none, as it is.
fn naive_net(text: &str) -> String {
    let Some((address, length)) = text.split_once('/') else { return text.to_owned() };
    let Ok(length) = length.parse::<u32>() else { return text.to_owned() };
    if let Ok(v4) = address.parse::<Ipv4Addr>() {
        let kept = u32::from(v4) & u32::MAX.checked_shl(32 - length).unwrap_or(0);
        return format!("{}/{length}", Ipv4Addr::from(kept));
    }
    let v6 = u128::from(address.parse::<Ipv6Addr>().unwrap());
    format!("{}/{length}", Ipv6Addr::from(v6 & u128::MAX.checked_shl(128 - length).unwrap_or(0)))
}

/// The same of what was read.
fn taken(document: &Document) -> Tally {
    let mut tally = Tally::new();
    let mut add = |line: String| *tally.entry(line).or_default() += 1;
    let opt = |text: &Option<String>| text.clone().unwrap_or_default();
    match document {
        Document::Groups(groups) => {
            for group in groups {
                add(format!("group {} {} {}", group.id, opt(&group.name), opt(&group.vpc)));
                for (direction, _, rule) in group.all_rules() {
                    add(rule_line(&group.id, direction, rule));
                }
            }
        }
        Document::Rules(records) => {
            for record in records {
                add(rule_line(&record.group, record.direction, &record.rule));
            }
        }
        Document::Interfaces(interfaces) => {
            for interface in interfaces {
                let id = &interface.id;
                add(format!("{id} in {}", opt(&interface.subnet)));
                for group in interface.groups.iter().flatten() {
                    add(format!("{id} carries {group}"));
                }
                for address in &interface.addresses {
                    add(format!("{id} has {address}"));
                }
            }
        }
        Document::Lists(lists) => {
            for of in lists {
                let max = of.max_entries.map_or("null".to_owned(), |max| max.to_string());
                add(format!("list {} {max}", of.id));
                for entry in of.entries.iter().flatten() {
                    add(format!("list {} {}", of.id, entry.cidr));
                }
            }
        }
        Document::Entries(entries) => {
            for entry in entries {
                add(format!("entry {} {:?}", entry.cidr, opt(&entry.description)));
            }
        }
        Document::Acls(acls) => {
            for acl in acls {
                for association in &acl.associations {
                    add(format!("{} at {}", acl.id, association.subnet));
                }
                for entry in &acl.entries {
                    let object = print::acl_entry(entry);
                    let wrapped = serde_json::json!({ "NetworkAcls": [{ "NetworkAclId": acl.id, "Entries": [object] }] });
                    for (line, count) in naive(&wrapped) {
                        (0..count).for_each(|_| add(line.clone()));
                    }
                }
            }
        }
    }
    tally
}

fn rule_line(id: &str, direction: Direction, rule: &Rule) -> String {
    let way = if direction == Direction::Egress { "out" } else { "in" };
    let ports = rule.traffic.ports().map_or(String::new(), |(from, to)| format!(" {from}-{to}"));
    let peer = match &rule.peer {
        Peer::V4(net) => net.to_string(),
        Peer::V6(net) => net.to_string(),
        Peer::Group(group) => group.id.clone(),
        Peer::List(list) => list.id.clone(),
    };
    let said = rule.description.clone().unwrap_or_default();
    format!("{id} {way} {}{ports} {peer} {said:?}", rule.traffic.protocol())
}

/// `make corpus AWS=DIR`.
#[test]
#[ignore = "a folder of recorded answers: make corpus AWS=DIR"]
fn corpus() {
    let folder = std::env::var("FWC_AWS").expect("FWC_AWS names a folder");
    let (mut counts, mut wrong) = (BTreeMap::new(), 0);
    let files = every_file(Path::new(&folder));
    for file in &files {
        let (outcome, words) = line(file);
        println!("{words}  {}", file.display());
        wrong += usize::from(matches!(outcome, Outcome::Wrong(_)));
        *counts.entry(words.split(' ').next().unwrap_or("").to_owned()).or_insert(0usize) += 1;
    }
    println!("{} files: {counts:?}", files.len());
    assert!(!files.is_empty(), "no file below {folder}");
    assert_eq!(wrong, 0, "{wrong} files are read wrongly");
}
