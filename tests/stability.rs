//! What an edit may change in the artifacts, and what it may not.

mod common;
mod large;

use common::{compiled, crm, file, statements};
use fwc::net::Random;
use fwc::verify::{Meanings, Servers};

/// Adding a server to a group adds lines; it changes and removes none. At most one line per flow that
/// names its group at another host.
#[test]
fn one_more_server_adds_lines_and_changes_none() {
    let before = compiled(&crm());
    let mut texts = crm();
    texts.push(file("policies/crm/options/s4.fw".as_ref()));
    let after = compiled(&texts);
    // Flows that name group `web` or a group it is in, at each other machine.
    let most = [("lb", 1), ("bbdd", 1), ("nas1", 2), ("nas2", 2), ("nas3", 2), ("ges", 1), ("nagios", 2)];
    let names = |c: &fwc::compile::Compiled| c.hosts.iter().map(|h| h.name.clone()).collect::<Vec<_>>();
    let mut expected = names(&before);
    expected.push("s4".to_owned());
    expected.sort();
    assert_eq!(names(&after), expected);
    for old in &before.hosts {
        let new = after.hosts.iter().find(|h| h.name == old.name).unwrap();
        let text = |h: &fwc::compile::HostArtifacts| {
            h.files.iter().find(|f| f.0 == "ruleset.nft").map(|f| f.1.clone()).unwrap()
        };
        let (old_text, new_text) = (text(old), text(new));
        let added = added_lines(&old_text, &new_text)
            .unwrap_or_else(|line| panic!("{}: line changed or removed: {line}", old.name));
        let bound = most.iter().find(|m| m.0 == old.name).map_or(0, |m| m.1);
        assert!(added.len() <= bound, "{}: {added:#?}", old.name);
        if bound > 0 {
            assert!(!added.is_empty(), "{} got nothing for s4", old.name);
        }
    }
}

/// The lines of `new` that are not of `old`, if every line of `old` is still there in its order.
fn added_lines<'t>(old: &'t str, new: &'t str) -> Result<Vec<&'t str>, &'t str> {
    let mut added = Vec::new();
    let mut rest = new.lines();
    for line in old.lines() {
        loop {
            match rest.next() {
                Some(l) if l == line => break,
                Some(l) => added.push(l),
                None => return Err(line),
            }
        }
    }
    added.extend(rest);
    Ok(added)
}

/// Statements shuffled, and spread over several files, 100 ways: identical bytes.
#[test]
fn order_and_files_change_no_byte() {
    let before = compiled(&crm());
    let statements: Vec<String> = crm().iter().flat_map(|(_, text)| statements(text)).collect();
    assert!(statements.len() > 50, "{}", statements.len());
    let mut random = Random::new(20_261_121);
    for round in 0..100 {
        let mut shuffled = statements.clone();
        for at in (1..shuffled.len()).rev() {
            shuffled.swap(at, random.below(at + 1));
        }
        let files = 1 + random.below(6);
        let mut texts: Vec<(String, String)> =
            (0..files).map(|n| (format!("policies/crm/part{n}.fw"), String::new())).collect();
        for statement in shuffled {
            let at = random.below(files);
            texts[at].1.push_str(&statement);
        }
        let after = compiled(&texts);
        assert_eq!(before.hosts.len(), after.hosts.len());
        for (old, new) in before.hosts.iter().zip(&after.hosts) {
            for (a, b) in old.files.iter().zip(&new.files) {
                // Positions are all that may move, and only origins.json has some.
                if a.0 != "origins.json" {
                    assert_eq!(a, b, "round {round}, {}", old.name);
                }
            }
        }
    }
}

/// Thousands of ranges, hundreds of hosts: each in the layout for its size, and one flow more is one line more. What leads
/// to a service or a block is under proof like any rule: without it, or with it led elsewhere, the proof fails.
#[test]
fn a_large_policy_is_laid_out_by_size_and_stays_so() {
    let policy = |text: String| vec![("large.fw".to_owned(), text)];
    let before = compiled(&policy(large::policy(4000)));
    assert!(before.report.holds());
    let (host, rules) = before.artifacts.iter().next().unwrap();
    let table = &rules.ruleset.tables[0];
    let set = |name: &str| table.sets.iter().position(|set| set.name == name);
    // 3,000 of IPv4: a service in blocks, one at once, the others at once; 1,000 of IPv6 at once, with their few exact keys
    // among them.
    let services = set("forward_eth1_eth2_ports_ranges_v4_services").unwrap();
    assert_eq!(table.sets[services].elements.len(), 2);
    let blocks = set("forward_eth1_eth2_ports_ranges_v4_tcp_443_blocks").unwrap();
    let first = table.sets[blocks].elements.len();
    assert!((4..=128).contains(&first), "{first} blocks");
    assert!(set("forward_eth1_eth2_ports_ranges_v4_tcp_22").is_some());
    assert!(set("forward_eth1_eth2_ports_ranges_v4").is_some());
    assert!(set("forward_eth1_eth2_ports_v4").is_none());
    assert!(
        set("forward_eth1_eth2_ports_ranges_v6").is_some() && set("forward_eth1_eth2_ports_v6").is_none()
    );
    // Exact keys with two written-out ranges.
    assert!(
        set("forward_eth2_eth3_ports_v4").is_some() && set("forward_eth2_eth3_ports_ranges_v4").is_none()
    );
    assert!(table.sets.len() <= 200, "{} sets", table.sets.len());
    // Who sees the layout switch in a diff is told why, once for each lookup; and in a small policy nobody is told anything.
    for (set, why) in [
        (
            "ports_ranges_v4_services",
            "# More than 2000 ranges are slow to ask at once: a service with 128 or more has its own.",
        ),
        (
            "ports_ranges_v4_tcp_443_blocks",
            "# More than 2000 ranges are slow to ask at once: each block of addresses has its own.",
        ),
        (
            "ports_ranges_v6",
            "# 64 ranges or more, at most one exact key for 4 of them: one lookup asks for both.",
        ),
        ("ports_v4", "# 64 exact keys or more, and ranges that make no more keys than those: written out."),
    ] {
        let said: Vec<&str> =
            rules.text.match_indices(why).filter_map(|(at, _)| rules.text[at..].lines().nth(1)).collect();
        assert!(said.len() == 1 && said[0].contains(set), "{why}: {said:?}");
    }
    let few = large::policy(40)
        .lines()
        .filter(|line| !line.starts_with("allow udp"))
        .collect::<Vec<_>>()
        .join("\n");
    let small = compiled(&policy(few));
    assert!(small.artifacts.iter().all(|(_, rules)| !rules.text.contains("or more")));

    // Among the others, in a block of a service, in a service that is asked at once.
    for port in [8080, 443, 22] {
        let more = large::policy(4000) + &format!("allow tcp {port} from 10.1.9.7 to 10.2.9.0/29\n");
        let after = compiled(&policy(more));
        let text = &after.artifacts.iter().next().unwrap().1.text;
        let added =
            added_lines(&rules.text, text).unwrap_or_else(|line| panic!("changed or removed: {line}"));
        assert_eq!(added.len(), 1, "{port}: {added:#?}");
    }

    let mut broken = Vec::new();
    for (set, change) in [
        (services, "leave out"),
        (services, "lead elsewhere"),
        (blocks, "leave out"),
        (blocks, "lead elsewhere"),
    ] {
        let mut artifacts = before.artifacts.clone();
        let ruleset = &mut artifacts.hosts.get_mut(host).unwrap().ruleset;
        let elements = &mut ruleset.tables[0].sets[set].elements;
        if change == "leave out" {
            elements.remove(1);
        } else {
            elements[1].data = elements[0].data.clone();
        }
        let report = Meanings::of(&before.site).prove(&artifacts, &Servers::new(), common::options().at);
        broken.push((set, change, report.holds()));
    }
    assert!(broken.iter().all(|(_, _, holds)| !holds), "{broken:?}");
}

/// A sentence of thousands of addresses is a line of the ruleset for each of them: what is said of a line is as long as before.
#[test]
fn a_long_sentence_makes_no_long_lines() {
    let site = |words: &str| {
        let zones = "zone a { 10.1.0.0/16 }\nzone b { 10.2.0.0/16 }\nfirewall fw { eth0 10.1.0.1 in a; eth1 10.2.0.1 in b }\n";
        compiled(&[("long.fw".to_owned(), format!("{zones}{words}\n"))])
    };
    let text = |of: &fwc::compile::Compiled, name: &str| {
        of.hosts[0].files.iter().find(|(file, _)| file == name).map(|(_, text)| text.clone()).unwrap()
    };
    let list = |count: usize| (0..count).map(|n| format!("10.1.{}.{}", 1 + n / 100, 2 + n % 100 * 2));
    let long = |count: usize| list(count).collect::<Vec<_>>().join(", ");
    for said in ["allow tcp 1-9 from LIST to b", "allow ssh from LIST to b { limit 10/minute }"] {
        let [few, many] = [100, 1000].map(|count| site(&said.replace("LIST", &long(count))));
        for name in ["origins.json", "ruleset.nft", "ruleset.json"] {
            let (few, many) = (text(&few, name).len(), text(&many, name).len());
            assert!(many < 11 * few, "{name}: {few} bytes for 100 addresses, {many} for 1000");
        }
        let origins = text(&many, "origins.json");
        assert!(origins.lines().all(|line| line.len() < 400), "{origins}");
        assert!(origins.contains(" …"), "{origins}");
    }
    // What fits stands there as it is.
    let short = site("allow tcp 1-9 from 10.1.1.2, 10.1.1.9 to b");
    assert!(text(&short, "origins.json").contains(r#""allow tcp 1-9 from 10.1.1.2, 10.1.1.9 to b""#));
}
