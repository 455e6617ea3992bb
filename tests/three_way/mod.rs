//! A site's `probes.txt` before three judges: what the policy means, what the emitted rulesets do, and what the kernel does
//! with them; and the table of all answers in its `README.md`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a probe that cannot be read fails the test"
)]
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "tests read the checkout, and say what they did"
)]
#![allow(clippy::indexing_slicing, reason = "answers are in the order of the questions")]
#![allow(dead_code, reason = "each test file is a crate of its own and uses a part")]

use std::collections::BTreeMap;

use fwc::compile::Compiled;
use fwc::forwarding::Forwarding;
use fwc::lab::reach::fresh_state;
use fwc::lab::site::{Arrived, Stage, Start};
use fwc::lab::{SiteLab, Why};
use fwc::model::{Point, Site};
use fwc::net::{Packet, Verdict};
use fwc::verify::trace::trace;

use crate::common::{self, kernel};
use crate::table::judges::{Judge, judges, refusal};
use crate::table::{self, Probe, keyword, probe};

/// A probe and the three answers to it.
pub(crate) struct Row {
    /// The comment it stands under.
    pub(crate) section: String,
    /// The line, without its verdict.
    pub(crate) question: String,
    pub(crate) expected: &'static str,
    pub(crate) policy: Answer,
    pub(crate) simulator: Answer,
    /// None where no kernel can be asked.
    pub(crate) kernel: Option<Answer>,
}

/// What becomes of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// `accept`, `drop`, `reject`, `lost`; `stopped` where it was seen to go no further, and no more than that;
    /// `never` where the machine's own routes do not bring such a packet to the hook.
    pub(crate) word: &'static str,
    /// Where it was stopped; empty where only one point was asked, or nothing stopped it.
    pub(crate) place: String,
    /// In what way the packet differed from the question.
    pub(crate) as_sent: String,
}

impl Answer {
    pub(crate) fn new(word: &'static str, place: &str) -> Self {
        Self { word, place: place.to_owned(), as_sent: String::new() }
    }

    pub(crate) fn agrees(&self, other: &Self) -> bool {
        let alike =
            |a: &str, b: &str| a == b || (matches!(a, "stopped" | "never") && matches!(b, "drop" | "reject"));
        alike(self.word, other.word) && self.place == other.place
    }

    pub(crate) fn text(&self) -> String {
        let place = if self.place.is_empty() { String::new() } else { format!(" at {}", self.place) };
        format!("{}{place}{}", self.word, self.as_sent)
    }
}

/// Every probe has its verdict in policy, simulator and kernel.
pub(crate) fn all_agree(rows: &[Row]) {
    println!("{}", rendered(rows));
    let mut wrong = Vec::new();
    for row in rows {
        let answers = [Some(&row.policy), Some(&row.simulator), row.kernel.as_ref()];
        let same = answers.into_iter().flatten().all(|answer| answer.agrees(&row.policy));
        if row.policy.word != row.expected || !same {
            wrong.push(format!("{}: {} expected, {answers:?}", row.question, row.expected));
        }
    }
    let asked = rows.iter().filter(|row| row.kernel.is_some()).count();
    println!("{} probes, {asked} of them in the kernel", rows.len());
    assert!(wrong.is_empty(), "{} of {} are wrong:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
    assert!(!kernel() || asked == rows.len());
}

/// The README of a site has the table of what was found.
pub(crate) fn in_the_readme(readme: &str, rows: &[Row]) {
    let path = common::root().join(readme);
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once("```text\n").expect("the README has no table");
    let (written, after) = rest.split_once("```").unwrap();
    let found = rendered(rows);
    if std::env::var("INSTA_UPDATE").is_ok_and(|v| v == "always") && rows.iter().all(|r| r.kernel.is_some()) {
        std::fs::write(&path, format!("{before}```text\n{found}```{after}")).unwrap();
        return;
    }
    // Without a kernel the last column is empty: the rest has to be as it is written.
    let same = |(written, found): (&str, &str)| written.starts_with(found.trim_end());
    let all =
        written.lines().count() == found.lines().count() && written.lines().zip(found.lines()).all(same);
    assert!(all, "{readme} has another table; INSTA_UPDATE=always writes it:\n{found}");
}

// ---- asking ------------------------------------------------------------------------------------------------------

pub(crate) fn rows(compiled: &Compiled, probes_of: &str) -> Vec<Row> {
    let site = &compiled.site;
    let forwarding = Forwarding::new(site);
    let mut all = Vec::new();
    let mut probes = Vec::new();
    for (section, line) in lines(probes_of) {
        let probe = probe(site, &line).unwrap_or_else(|| panic!("{probes_of}: {line}"));
        let mut judges = judges(site, None);
        let policy = meant(judges[0].as_mut(), &probe, &forwarding);
        assert_eq!(policy, meant(judges[1].as_mut(), &probe, &forwarding), "{line}: in sets");
        let question = question(&line, probe.expected);
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
fn lines(probes_of: &str) -> Vec<(String, String)> {
    let text = common::file(probes_of.as_ref()).1;
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
        Stage::BeforeBridge => "bridge",
        Stage::BeforeInput => "input",
        Stage::PastOutput | Stage::PastForward | Stage::PastBridge | Stage::Came | Stage::PastInput => {
            "the wire"
        }
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
