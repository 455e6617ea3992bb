//! What stands beside a ruleset, broken on purpose: `sysctl.conf`, and what a director's IPVS is told. Each change is
//! refused by the reader, or refuted against the policy, or a reason is computed why it is none.

use std::collections::BTreeMap;

use fwc::model::HostId;
use fwc::target::{ipvs, sysctl};
use fwc::verify::{Balancing, misdirected, settings};

use crate::study::{Study, studies};

/// What is said of a broken file.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Said {
    Refuted,
    Unreadable,
    Same(&'static str),
}

#[test]
fn files_beside_the_ruleset_are_held_to_the_policy() {
    let mut counts: BTreeMap<(&str, &str, Said), usize> = BTreeMap::new();
    for study in studies() {
        for host in &study.compiled.hosts {
            for (name, text) in &host.files {
                let file = match name.as_str() {
                    "sysctl.conf" | "ipvs/keepalived.conf" | "ipvs/ipvsadm.rules" => name.as_str(),
                    _ => continue,
                };
                assert_eq!(said(study, host.host, file, text, text), None, "{} {name}", host.name);
                for broken in broken(text) {
                    let said = said(study, host.host, file, text, &broken);
                    let said = said.unwrap_or_else(|| panic!("{} {name}: nobody sees\n{broken}", host.name));
                    *counts.entry((study.site, file, said)).or_default() += 1;
                }
            }
        }
    }
    for ((site, file, said), count) in &counts {
        println!("{site} {file}: {count} {said:?}");
    }
    for file in ["sysctl.conf", "ipvs/keepalived.conf", "ipvs/ipvsadm.rules"] {
        let refuted: usize = counts
            .iter()
            .filter(|((_, f, said), _)| *f == file && *said == Said::Refuted)
            .map(|(_, n)| n)
            .sum();
        assert!(refuted >= 10, "{file}: {counts:?}");
    }
}

/// None: nothing is wrong with it.
fn said(study: &Study, host: HostId, file: &str, whole: &str, text: &str) -> Option<Said> {
    let site = &study.compiled.site;
    match file {
        "sysctl.conf" => {
            let Ok(read) = sysctl::read::read(text) else { return Some(Said::Unreadable) };
            let proof = settings(site, &BTreeMap::from([(host, read.clone())])).remove(0);
            let old = sysctl::read::read(whole).unwrap().settings;
            // One that may be missed where the kernel has none is now one that must be there: it is set all the same.
            let stricter = read.settings.iter().zip(&old).all(|(new, old)| {
                (&new.key, &new.value) == (&old.key, &old.value) && new.optional <= old.optional
            });
            match proof.holds() {
                false => Some(Said::Refuted),
                true if text == whole => None,
                true if stricter && read.settings.len() == old.len() => {
                    Some(Said::Same("it is set all the same"))
                }
                true => None,
            }
        }
        _ => {
            let (read, how) = match file {
                "ipvs/keepalived.conf" => (ipvs::read::keepalived(text), Balancing::Watched),
                _ => (ipvs::read::ipvsadm(text), Balancing::Unwatched),
            };
            match read {
                Err(_) => Some(Said::Unreadable),
                Ok(found) => misdirected(site, host, how, &found).map(|_| Said::Refuted),
            }
        }
    }
}

/// A line left out, said twice, or one word of it another: a number one more, a word of the other kind, nothing at all.
fn broken(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let with = |at: usize, new: Option<String>| {
        let mut lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        match new {
            Some(line) => lines[at] = line,
            None => drop(lines.remove(at)),
        }
        lines.join("\n") + "\n"
    };
    let mut all = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        all.push(with(at, None));
        all.push(with(at, Some(format!("{line}\n{line}"))));
        if let Some(must) = line.strip_prefix('-').filter(|rest| rest.starts_with("net")) {
            all.push(with(at, Some(must.to_owned())));
        } else if line.contains(" = ") {
            all.push(with(at, Some(format!("-{line}"))));
            all.push(with(at, Some(line.replacen("net.", "net.other.", 1))));
        }
        for word in line.split(' ').filter(|word| !word.is_empty()) {
            for other in others(word) {
                all.push(with(at, Some(line.replacen(word, &other, 1))));
            }
        }
    }
    all.retain(|broken| broken != text);
    all
}

fn others(word: &str) -> Vec<String> {
    let swaps = [("-m", "-g"), ("-t", "-u"), ("-A", "-a"), ("rr", "wrr"), ("NAT", "DR"), ("TCP", "UDP")];
    let swapped = swaps.iter().flat_map(|(a, b)| [(*a, *b), (*b, *a)]).filter(|(from, _)| *from == word);
    let mut all: Vec<String> = swapped.map(|(_, to)| to.to_owned()).collect();
    if let Ok(number) = word.parse::<u32>() {
        all.extend([(number + 1).to_string(), number.saturating_sub(1).to_string()]);
    } else if let Ok(at) = word.parse::<std::net::SocketAddrV4>() {
        let next = std::net::Ipv4Addr::from(u32::from(*at.ip()) ^ 1);
        all.extend([format!("{next}:{}", at.port()), format!("{}:{}", at.ip(), at.port() + 1)]);
    } else if let Ok(addr) = word.parse::<std::net::Ipv4Addr>() {
        all.push(std::net::Ipv4Addr::from(u32::from(addr) ^ 1).to_string());
    }
    all
}
