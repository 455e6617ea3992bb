//! Random policies that compile: what `resolve` and `topology` refuse is taken out, a line at a time.
#![allow(dead_code, reason = "each test crate uses a part")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and tells what it did"
)]

use std::collections::BTreeSet;

use fwc::compile::Compiled;
use fwc::model::{Access, Action, Site};

use crate::common::{attempt, said};
use crate::random::{Dice, adorn, nat, sketch, words};

/// A random policy without what is refused, compiled; none where nothing is left to filter.
pub(crate) fn policy(seed: u64, more: &str) -> Option<(String, Compiled)> {
    let site = sketch::site(seed);
    let plain = words::policy(&site) + &statements(&site, seed);
    mended(seed, if seed.is_multiple_of(3) { plain } else { adorn::policy(&plain, seed) } + more)
}

/// The same of a site with clauses: wherever they happen to have a way, or behind a door where they do.
pub(crate) fn translated(seed: u64) -> Option<(String, Compiled)> {
    if seed.is_multiple_of(2) {
        return mended(seed, office(seed));
    }
    let site = nat::site(seed);
    mended(seed, words::policy(&site) + &statements(&site, seed))
}

/// Two inner zones behind one or two firewalls, in one family or both, with clauses of every kind.
fn office(seed: u64) -> String {
    let dice = &mut Dice::new(seed ^ 0x0ff1ce);
    let both = dice.one_in(2);
    let addrs = |v4: &str, v6: &str| if both { format!("{v4}, {v6}") } else { v4.to_owned() };
    let door = match dice.below(3) {
        0 => "dynamic".to_owned(),
        _ => addrs("192.0.2.1", "2001:db8:f::1"),
    };
    let mut text = format!(
        "zone lan {{ {} }}\nzone dmz {{ {} }}\nzone world {{ rest }}\n",
        addrs("10.0.0.0/24", "fd00:1::/64"),
        addrs("10.0.1.0/24", "fd00:2::/64"),
    );
    let (lan, dmz) = (addrs("10.0.0.1", "fd00:1::1"), addrs("10.0.1.1", "fd00:2::1"));
    text += &if dice.one_in(3) {
        let inner = addrs("10.0.1.2", "fd00:2::2");
        format!(
            "firewall fw {{ wan {door} in world; dmz {dmz} in dmz }}\nfirewall inner {{ dmz {inner} in dmz; lan {lan} in lan }}\n"
        )
    } else {
        format!("firewall fw {{ wan {door} in world; lan {lan} in lan; dmz {dmz} in dmz }}\n")
    };
    text += &format!(
        "host web = {} in dmz\nhost pc = {} in lan\n",
        addrs("10.0.1.9", "fd00:2::9"),
        addrs("10.0.0.9", "fd00:1::9")
    );
    if dice.one_in(2) {
        text += "each web { nftables; reject from lan }\n"
            .replace("each web", "group servers = web\neach servers")
            .as_str();
    }
    for _ in 0..6 {
        let port = dice.pick(&["tcp 80", "udp 53", "tcp 80-81, udp 80", "tcp 22"]);
        let inside = dice.pick(&["lan", "dmz", "web", "pc", "lan, dmz", "lan except pc"]);
        let target = dice.pick(&["web", "pc", "fw.dmz"]);
        let number = if dice.one_in(2) { " port 8080" } else { "" };
        let hairpin = if dice.one_in(3) { " hairpin" } else { "" };
        text += &match dice.below(8) {
            0 | 1 => format!("allow {port} from {inside} to world masquerade\n"),
            2 => format!("allow {port} from {inside} to world snat to fw.world\n"),
            3 => format!("allow {port} from {inside} to dmz masquerade\n"),
            4 | 5 => format!("allow {port} from world, lan to fw.world dnat to {target}{number}{hairpin}\n"),
            6 => format!("allow {port} from {inside} to {target}\n"),
            _ => format!("deny {port} from {inside}, world to fw, web {{ reject }}\n"),
        };
    }
    text
}

fn mended(seed: u64, mut text: String) -> Option<(String, Compiled)> {
    for _ in 0..12 {
        let (result, findings, sources) = attempt(&[("random.fw".to_owned(), text.clone())]);
        if let Some(compiled) = result {
            return Some((text, compiled));
        }
        let unprintable = findings.sorted().into_iter().any(|d| d.code.as_str() == "unprintable");
        assert!(!unprintable, "seed {seed}: {}\n{text}", said(&findings, &sources));
        let errors = findings.sorted().into_iter().filter(|d| d.severity == fwc::diag::Severity::Error);
        let labels = errors.filter_map(|d| d.primary.as_ref().map(|label| label.span));
        let lines: BTreeSet<usize> = labels.filter_map(|s| sources.position(s)).map(|at| at.line).collect();
        let may_go = |line: &str| {
            let line = line.trim_start();
            ["allow ", "deny ", "route ", "reject ", "log ", "test "]
                .iter()
                .any(|verb| line.starts_with(verb))
        };
        let mend = |(line, at): (&str, usize)| match lines.contains(&at) {
            true if may_go(line) => String::new(),
            // A group is used: what it excepts in vain goes, not the group.
            true if line.starts_with("group ") => {
                format!("{}\n", line.split(" except ").next().unwrap_or(line))
            }
            true | false => format!("{line}\n"),
        };
        let kept: String = text.lines().zip(1..).map(mend).collect();
        if kept == text {
            return None;
        }
        text = kept;
    }
    None
}

/// More statements: most of those drawn have no path and go again.
fn statements(site: &Site, seed: u64) -> String {
    let dice = &mut Dice::new(seed ^ 0x57a7);
    let mut text = String::new();
    for _ in 0..12 {
        let like = dice.pick(&site.accesses);
        let action = if dice.one_in(5) { Action::Deny } else { Action::Allow };
        let (from, to) = (sketch::place(dice, site, action), sketch::place(dice, site, action));
        let access = Access { action, from, to, nat: None, ..like };
        let tail = match action {
            Action::Deny if dice.one_in(2) => " { reject }",
            Action::Allow if dice.one_in(4) => " { limit 10/second burst 3 per source }",
            Action::Allow if dice.one_in(5) => " { limit 10/second burst 1; until 2027-01-01T00:00Z }",
            Action::Allow | Action::Deny => "",
        };
        text += &format!("{}{tail}\n", words::sentence(site, &access));
    }
    text
}
