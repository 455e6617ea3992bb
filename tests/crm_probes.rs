//! The probes of the CRM, `policies/crm/probes.txt`: what the policy means, what the emitted rulesets do, and what
//! the kernel does with them.
//!
//! End to end the kernel is asked in a copy of the whole site, in namespaces, with every machine's ruleset loaded; a probe
//! `at HOST HOOK` at a bench of that machine. The table of all answers stands in `policies/crm/README.md`, and this is
//! the test that it is true (`INSTA_UPDATE=always` writes it anew).
#![allow(clippy::unwrap_used, clippy::panic, reason = "a probe that cannot be read fails the test")]
#![allow(clippy::disallowed_methods, reason = "tests read the checkout")]
#![allow(clippy::indexing_slicing, reason = "answers are in the order of the questions")]

mod common;
mod table;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use common::{compiled, crm, kernel};
use fwc::compile::Compiled;
use fwc::forwarding::Forwarding;
use fwc::lab::reach::fresh_state;
use fwc::lab::site::{Arrived, Stage, Start};
use fwc::lab::{SiteLab, Why};
use fwc::model::{Point, Site};
use fwc::net::packet::tcp_flag;
use fwc::net::{Packet, Proto, Verdict};
use fwc::verify::trace::trace;
use table::judges::{Judge, judges, refusal};
use table::{Probe, keyword, probe};

const PROBES: &str = "policies/crm/probes.txt";
const README: &str = "policies/crm/README.md";

/// A probe and the three answers to it.
struct Row {
    /// The comment it stands under.
    section: String,
    /// The line, without its verdict.
    question: String,
    expected: String,
    policy: Answer,
    simulator: Answer,
    /// None where no kernel can be asked.
    kernel: Option<Answer>,
}

/// What becomes of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Answer {
    /// `accept`, `drop`, `reject`, `lost`; `stopped` where it was seen to go no further, and no more than that;
    /// `never` where the machine's own routes do not bring such a packet to the hook.
    word: &'static str,
    /// Where it was stopped; empty where only one point was asked, or nothing stopped it.
    place: String,
    /// In what way the packet differed from the question.
    as_sent: String,
}

impl Answer {
    fn new(word: &'static str, place: &str) -> Self {
        Self { word, place: place.to_owned(), as_sent: String::new() }
    }

    fn agrees(&self, other: &Self) -> bool {
        let alike =
            |a: &str, b: &str| a == b || (matches!(a, "stopped" | "never") && matches!(b, "drop" | "reject"));
        alike(self.word, other.word) && self.place == other.place
    }

    fn text(&self) -> String {
        let place = if self.place.is_empty() { String::new() } else { format!(" at {}", self.place) };
        format!("{}{place}{}", self.word, self.as_sent)
    }
}

/// Asked once, for all tests.
static ROWS: LazyLock<Vec<Row>> = LazyLock::new(|| rows(&compiled(&crm())));

#[test]
fn every_probe_has_its_verdict_in_policy_simulator_and_kernel() {
    println!("{}", rendered(&ROWS));
    let mut wrong = Vec::new();
    for row in ROWS.iter() {
        let answers = [Some(&row.policy), Some(&row.simulator), row.kernel.as_ref()];
        let same = answers.into_iter().flatten().all(|answer| answer.agrees(&row.policy));
        if row.policy.word != row.expected || !same {
            wrong.push(format!("{}: {} expected, {answers:?}", row.question, row.expected));
        }
    }
    let asked = ROWS.iter().filter(|row| row.kernel.is_some()).count();
    println!("{} probes, {asked} of them in the kernel", ROWS.len());
    assert!(wrong.is_empty(), "{} of {} are wrong:\n{}", wrong.len(), ROWS.len(), wrong.join("\n"));
    assert!(!kernel() || asked == ROWS.len());
}

/// The section of a trap: each of its probes is refused by all who were asked.
fn refused(section: &str, at_least: usize) {
    let rows: Vec<&Row> = ROWS.iter().filter(|row| row.section.contains(section)).collect();
    assert!(rows.len() >= at_least, "{section}: {} probes", rows.len());
    for row in rows {
        for answer in [Some(&row.policy), Some(&row.simulator), row.kernel.as_ref()].into_iter().flatten() {
            assert!(matches!(answer.word, "drop" | "stopped"), "{}: {}", row.question, answer.text());
        }
    }
}

#[test]
fn trap_the_side_door_virbr0_is_shut() {
    refused("virbr0", 4);
}

#[test]
fn trap_the_balancer_forwards_nothing() {
    refused("the balancer forwards", 2);
}

#[test]
fn trap_an_echo_reply_is_no_ping() {
    refused("echo-reply", 2);
}

#[test]
fn trap_nothing_is_left_of_the_template() {
    refused("template leftovers", 5);
}

#[test]
fn trap_nobody_is_nagios_by_saying_so() {
    refused("spoofed Nagios", 2);
}

/// nmap asks first whether a host is there (nmap(1), HOST DISCOVERY: echo-request, SYN to 443, ACK to 80, timestamp);
/// one that does not answer is left out. GES answers none of the four, and is open all the same: `nmap -Pn`.
#[test]
fn trap_plain_nmap_does_not_see_ges() {
    let (compiled, c1) = (compiled(&crm()), "10.1.1.11");
    let open = |dst: &str| -> (bool, Vec<u16>) {
        let arrives = |packet: &Packet| {
            trace(&compiled.site, &compiled.artifacts, packet)
                .is_ok_and(|hops| hops.iter().all(|hop| hop.verdict == Verdict::Accept))
        };
        let (src, dst) = (c1.parse().unwrap(), dst.parse().unwrap());
        let tcp = |port| Packet::new(src, dst, Proto::TCP, 40_000, port);
        let ack = Packet { tcp_flags: tcp_flag::ACK, ..tcp(80) };
        let found = [Packet::icmp(src, dst, 8, 0), tcp(443), ack, Packet::icmp(src, dst, 13, 0)];
        let ports = [22, 80, 443, 3000, 5432, 5666, 8001, 24_007, 49_152];
        (found.iter().any(arrives), ports.into_iter().filter(|port| arrives(&tcp(*port))).collect())
    };
    assert_eq!(open("10.1.2.2"), (true, vec![80]), "the balancer");
    assert_eq!(open("10.1.5.52"), (true, vec![80]), "Nagios: the ACK to port 80 finds it");
    assert_eq!(open("10.1.5.51"), (false, vec![22]), "GES");
    for hidden in ["10.1.1.1", "10.1.3.11", "10.1.4.21", "10.1.4.31", "10.1.5.11"] {
        assert_eq!(open(hidden), (false, vec![]), "{hidden}");
    }
}

#[test]
fn the_readme_says_what_was_tried() {
    let path = common::root().join(README);
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once("```text\n").expect("the README has no table");
    let (written, after) = rest.split_once("```").unwrap();
    let found = rendered(&ROWS);
    if std::env::var("INSTA_UPDATE").is_ok_and(|v| v == "always") && ROWS.iter().all(|r| r.kernel.is_some()) {
        std::fs::write(&path, format!("{before}```text\n{found}```{after}")).unwrap();
        return;
    }
    // Without a kernel the last column is empty: the rest has to be as it is written.
    let same = |(written, found): (&str, &str)| written.starts_with(found.trim_end());
    let all =
        written.lines().count() == found.lines().count() && written.lines().zip(found.lines()).all(same);
    assert!(all, "{README} has another table; INSTA_UPDATE=always writes it:\n{found}");
}

// ---- asking ------------------------------------------------------------------------------------------------------

fn rows(compiled: &Compiled) -> Vec<Row> {
    let site = &compiled.site;
    let forwarding = Forwarding::new(site);
    let mut all = Vec::new();
    let mut probes = Vec::new();
    for (section, line) in lines() {
        let probe = probe(site, &line).unwrap_or_else(|| panic!("{PROBES}: {line}"));
        let mut judges = judges(site, None);
        let policy = meant(judges[0].as_mut(), &probe, &forwarding);
        assert_eq!(policy, meant(judges[1].as_mut(), &probe, &forwarding), "{line}: in sets");
        let question = question(&line, &probe.expected);
        let simulator = simulated(compiled, &probe);
        all.push(Row { section, question, expected: probe.expected, policy, simulator, kernel: None });
        probes.push(probe);
    }
    if kernel() {
        for (row, answer) in all.iter_mut().zip(in_kernel(compiled, &forwarding, &probes)) {
            row.kernel = Some(answer);
        }
    }
    all
}

/// Every line of the file with the comment above it; its head ends at the first empty line.
fn lines() -> Vec<(String, String)> {
    let text = common::file(PROBES.as_ref()).1;
    let (_, body) = text.split_once("\n\n").unwrap();
    let mut section = String::new();
    let mut lines = Vec::new();
    for line in body.lines().filter(|line| !line.is_empty()) {
        match line.strip_prefix("# ") {
            Some(comment) => section = comment.to_owned(),
            None => lines.push((section.clone(), line.to_owned())),
        }
    }
    lines
}

fn question(line: &str, verdict: &str) -> String {
    line.split_whitespace().filter(|word| *word != verdict).collect::<Vec<_>>().join(" ")
}

fn meant(judge: &mut dyn Judge, probe: &Probe, forwarding: &Forwarding<'_>) -> Answer {
    let Some(steps) = probe.steps(forwarding) else { return Answer::new("lost", "") };
    match refusal(judge, &steps) {
        None => Answer::new("accept", ""),
        Some((_, verdict)) if probe.at.is_some() => Answer::new(keyword(verdict), ""),
        Some((point, verdict)) => Answer::new(keyword(verdict), &named(forwarding.site(), point)),
    }
}

fn simulated(compiled: &Compiled, probe: &Probe) -> Answer {
    let Some(point) = &probe.at else {
        return match trace(&compiled.site, &compiled.artifacts, &probe.packet) {
            Err(_) => Answer::new("lost", ""),
            Ok(hops) => match hops.iter().find(|hop| hop.verdict != Verdict::Accept) {
                None => Answer::new("accept", ""),
                Some(hop) => Answer::new(keyword(hop.verdict), &named(&compiled.site, &hop.point)),
            },
        };
    };
    let mut judges = judges(&compiled.site, Some(compiled));
    Answer::new(keyword(judges[2].judge(point, &probe.packet)), "")
}

fn named(site: &Site, point: &Point) -> String {
    match point {
        Point::Hook { host, hook } => format!("{} {}", site.host(*host).unwrap().name, hook.keyword()),
        other => format!("{other:?}"),
    }
}

fn in_kernel(compiled: &Compiled, forwarding: &Forwarding<'_>, probes: &[Probe]) -> Vec<Answer> {
    let rulesets: BTreeMap<_, _> =
        compiled.artifacts.iter().map(|(host, rules)| (*host, rules.text.clone())).collect();
    let ways: Vec<(Start, Packet)> =
        probes.iter().filter(|probe| probe.at.is_none()).map(|probe| way_of(forwarding, probe)).collect();
    let mut arrivals = SiteLab::new(forwarding, &rulesets).unwrap().send(&ways).unwrap().into_iter();
    let points: Vec<_> =
        probes.iter().filter(|probe| probe.at.is_some()).flat_map(|p| p.steps(forwarding).unwrap()).collect();
    let mut verdicts = table::kernel::asked(forwarding, compiled, &points).into_iter();
    let answer = |probe: &Probe| match &probe.at {
        None => arrived(&compiled.site, &arrivals.next().unwrap()),
        Some(_) => {
            let asked = verdicts.next().unwrap();
            if let Some(why) = asked.impossible() {
                assert_eq!(why, Why::OtherWay, "{:?}", asked.packet);
                return Answer { as_sent: " (no route by that way)".to_owned(), ..Answer::new("never", "") };
            }
            let seen = asked.seen.verdict().unwrap_or_else(|| panic!("{:?}: {:?}", asked.packet, asked.seen));
            let mut changes = Vec::new();
            if asked.packet.ct != probe.packet.ct {
                changes.push(format!("as {}", asked.packet.ct.keyword()));
            }
            if asked.packet.dst != probe.packet.dst {
                changes.push(format!("to {}", asked.packet.dst));
            }
            let as_sent =
                if changes.is_empty() { String::new() } else { format!(" ({})", changes.join(", ")) };
            Answer { as_sent, ..Answer::new(keyword(seen), "") }
        }
    };
    probes.iter().map(answer).collect()
}

/// A probe starts at the leg that has its source, or else in the zone.
fn way_of(forwarding: &Forwarding<'_>, probe: &Probe) -> (Start, Packet) {
    let packet = &probe.packet;
    assert_eq!(fresh_state(packet), packet.ct, "{packet:?} is not in that state when it is sent");
    let start = match forwarding.owner_of(packet.src) {
        Some((host, leg)) => Start::Leg(host, leg),
        None => Start::Zone(forwarding.zone_of(packet.src).unwrap()),
    };
    (start, packet.clone())
}

fn arrived(site: &Site, arrived: &Arrived) -> Answer {
    if arrived.at_layer4 {
        return Answer::new("accept", "");
    }
    let Some(last) = arrived.last() else { return Answer::new("lost", "") };
    let hook = match last.stage {
        Stage::BeforeOutput => "output",
        Stage::BeforeForward => "forward",
        Stage::BeforeInput => "input",
        Stage::PastOutput | Stage::PastForward | Stage::Came | Stage::PastInput => "the wire",
    };
    let host = last.host.map_or("nobody", |host| &site.host(host).unwrap().name);
    Answer::new("stopped", &format!("{host} {hook}"))
}

// ---- the table ---------------------------------------------------------------------------------------------------

fn rendered(rows: &[Row]) -> String {
    let cells = |row: &Row| {
        let kernel = row.kernel.as_ref().map_or_else(String::new, Answer::text);
        [row.question.clone(), row.policy.text(), row.simulator.text(), kernel]
    };
    let head = ["", "policy", "simulator", "kernel"].map(str::to_owned);
    let all: Vec<[String; 4]> = std::iter::once(head.clone()).chain(rows.iter().map(cells)).collect();
    let widths = [0, 1, 2].map(|at| all.iter().map(|row| row[at].len()).max().unwrap_or(0) + 2);
    let line = |[q, p, s, k]: &[String; 4]| {
        let text = format!("{q:a$}{p:b$}{s:c$}{k}", a = widths[0], b = widths[1], c = widths[2]);
        format!("{}\n", text.trim_end())
    };
    let mut text = line(&head);
    let mut section = "";
    for row in rows {
        if row.section != section {
            section = &row.section;
            text += &format!("# {section}\n");
        }
        text += &line(&cells(row));
    }
    text
}
