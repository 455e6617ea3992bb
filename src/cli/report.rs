//! A proof for people and for programs.
//!
//! *Input*: [`Report`], the [`Site`] and the texts its spans are of. *Output*: strings and JSON values.
//!
//! *Design decisions*. What holds takes one line; what does not comes with a packet a person can read, its way,
//! and at each hop the line of the policy and the line of the artifact. Words, not colours, carry the answer.

mod clamps;
mod frames;
mod people;

use std::fmt::Write as _;
use std::net::IpAddr;

use serde_json::{Value, json};

use crate::model::{Bridge, Hook, HostId, LegId, Point, Site};
use crate::net::{Packet, Translation, Verdict};
use crate::source::{SourceMap, Span};
use crate::verify::{
    Counterexample, Excuse, Hop, Outcome, PointProof, Replies, Report, SettingsProof, Unasked,
};

use super::Exit;
use super::clean::clean_line;
use super::packet::show;
use super::render::number;

/// What a report is told with.
#[derive(Clone, Copy)]
pub(super) struct Telling<'a> {
    /// The names of zones and machines.
    pub(super) site: &'a Site,
    /// The policy's texts.
    pub(super) sources: &'a SourceMap,
    /// What stands before the line number of a rule, where it is not a file of the build.
    pub(super) ruleset: Option<&'a str>,
}

/// What a report means for the exit code: a refutation is the policy's fault, a budget that ran out is fwc's.
pub(super) fn exit(report: &Report) -> Exit {
    let refuted = outcomes(report).any(|o| matches!(o, Outcome::Refuted(_)));
    let round = report.bastions.ways.iter().any(|way| way.excuse == Excuse::None);
    let frames = report.frames.iter().any(|proof| !proof.holds());
    let clamps = report.clamps.iter().any(|proof| !proof.holds());
    if refuted || round || frames || clamps || report.settings.iter().any(|proof| !proof.holds()) {
        Exit::AtFault
    } else if report.holds() {
        Exit::Fine
    } else {
        Exit::Failed
    }
}

/// `proved: 9 points, 12 expectations, 8 claims unasked`
pub(super) fn summary(report: &Report) -> String {
    let all = outcomes(report).count().saturating_add(report.settings.len());
    let all = all.saturating_add(report.frames.len()).saturating_add(report.clamps.len());
    let refuted = outcomes(report).filter(|o| matches!(o, Outcome::Refuted(_))).count();
    let refuted = refuted.saturating_add(report.settings.iter().filter(|proof| !proof.holds()).count());
    let refuted = refuted.saturating_add(report.frames.iter().filter(|proof| !proof.holds()).count());
    let refuted = refuted.saturating_add(report.clamps.iter().filter(|proof| !proof.holds()).count());
    let round = report.bastions.ways.iter().filter(|way| way.excuse == Excuse::None).count();
    let (all, refuted) = (all.saturating_add(round), refuted.saturating_add(round));
    let undecided = outcomes(report).filter(|o| matches!(o, Outcome::Undecided { .. })).count();
    let undecided = undecided.saturating_add(report.bastions.undecided.len());
    let all = all.saturating_add(report.uncompared.len());
    if refuted == 0 && undecided == 0 && report.uncompared.is_empty() {
        let mut parts = vec![number(report.points.len(), "point")];
        if !report.expects.is_empty() {
            parts.push(number(report.expects.len(), "expectation"));
        }
        if !report.unasked.is_empty() {
            parts.push(format!("{} unasked", number(report.unasked.len(), "claim")));
        }
        let people = report.people.len().saturating_add(report.bastions.jumps.len());
        if people > 0 {
            parts.push(format!("{} of sshds", number(people, "claim")));
        }
        return format!("proved: {}", parts.join(", "));
    }
    let mut parts = Vec::new();
    if refuted > 0 {
        parts.push(format!("{refuted} refuted"));
    }
    if undecided > 0 {
        parts.push(format!("{undecided} undecided"));
    }
    if !report.uncompared.is_empty() {
        parts.push(format!("{} not compared", report.uncompared.len()));
    }
    format!("not proved: {} of {all}", parts.join(", "))
}

impl<'a> Telling<'a> {
    /// The whole report, for people.
    pub(super) fn report(self, report: &Report) -> String {
        let mut text = String::new();
        self.points(&mut text, report);
        self.expects(&mut text, report);
        self.replies(&mut text, report);
        self.unasked(&mut text, report);
        self.people(&mut text, report);
        self.frames(&mut text, report);
        self.clamps(&mut text, report);
        self.settings(&mut text, report);
        for what in &report.uncompared {
            let _ = writeln!(text, "undecided {}", clean_line(&format!("not compared: {what}")));
        }
        self.waived(&mut text);
        let _ = writeln!(text, "{}", summary(report));
        text
    }

    /// The whole report, for programs.
    pub(super) fn as_json(self, report: &Report) -> Value {
        let points = report.points.iter().map(|proof| {
            let head = json!({ "place": proof.place, "sampled": proof.sampled });
            self.with_outcome(head, &proof.outcome, At::Point)
        });
        let expects = report.expects.iter().map(|proof| {
            let mut head = json!({ "test": proof.test, "words": proof.words, "assuming": proof.assuming });
            self.put_place(&mut head, Some(proof.span));
            self.with_outcome(head, &proof.outcome, At::Start)
        });
        let unasked = report.unasked.iter().map(|proof| {
            let head = json!({ "host": self.name_of(proof.host), "claim": proof.claim });
            self.with_outcome(head, &proof.outcome, At::Point)
        });
        json!({
            "holds": report.holds(),
            "points": points.collect::<Vec<_>>(),
            "expectations": expects.collect::<Vec<_>>(),
            "replies": self.replies_as_json(report),
            "unasked": unasked.collect::<Vec<_>>(),
            "people": self.people_as_json(report),
            "frames": report.frames.iter().map(|proof| self.frames_as_json(proof)).collect::<Vec<_>>(),
            "clamps": report.clamps.iter().map(|proof| self.clamps_as_json(proof)).collect::<Vec<_>>(),
            "settings": report.settings.iter().map(|proof| self.settings_as_json(proof)).collect::<Vec<_>>(),
            "uncompared": report.uncompared,
            "waived": self.waived_as_json(),
            "nodes": report.nodes,
        })
    }

    /// S56: what statements do without at security groups.
    fn waived(self, text: &mut String) {
        for access in &self.site.accesses {
            for (what, reason) in &access.remarks().waived_aws {
                let wider = if what.widens() { ", which lets more pass there" } else { "" };
                let _ = writeln!(
                    text,
                    "waived    {} at security groups{wider}: {}",
                    what.word(),
                    clean_line(&access.words)
                );
                let _ = writeln!(text, "  because {}", clean_line(reason));
            }
        }
    }

    fn waived_as_json(self) -> Vec<Value> {
        let mut all = Vec::new();
        for access in &self.site.accesses {
            for (what, reason) in &access.remarks().waived_aws {
                let mut entry = json!({
                    "words": access.words,
                    "waived": what.word(),
                    "widens": what.widens(),
                    "reason": reason,
                });
                self.put_place(&mut entry, Some(access.span));
                all.push(entry);
            }
        }
        all
    }

    /// The way of a packet, for people.
    pub(super) fn hops(self, text: &mut String, hops: &[Hop]) {
        for (hop, number) in hops.iter().zip(1usize..) {
            let _ = writeln!(text, "  {number} {}: {}", clean_line(&hop.place), done(hop));
            if let Some(rewrite) = hop.rewrite.as_ref().filter(|rewrite| rewrite.done.is_some()) {
                let _ = writeln!(text, "      before  {}", self.packet(&bare(&rewrite.before)));
                let _ = writeln!(text, "      after   {}", self.packet(&bare(&rewrite.after)));
            }
            if hop.statements.is_empty() {
                let words = match (&hop.rewrite, hop.meant) {
                    (None, Verdict::Accept) => "none is asked for: this passes whatever is said",
                    (None, Verdict::Drop | Verdict::Reject) => "what is not allowed is dropped",
                    (Some(_), _) => "what no clause translates stays as it is",
                };
                let _ = writeln!(text, "      policy  no statement: {words}");
            }
            for (words, span) in &hop.statements {
                let at =
                    span.and_then(|span| self.place(span)).map(|at| format!("{at}  ")).unwrap_or_default();
                let _ = writeln!(text, "      policy  {at}{}", clean_line(words));
            }
            for (line, rule) in &hop.rules {
                let file = self.file_of(hop);
                let _ = writeln!(text, "      rule    {file}:{line}  {}", clean_line(rule.trim()));
            }
        }
    }

    /// The way of a packet, for programs.
    pub(super) fn hops_as_json(self, hops: &[Hop]) -> Value {
        hops.iter()
            .map(|hop| {
                let statements = hop.statements.iter().map(|(words, span)| {
                    let mut value = json!({ "words": words });
                    self.put_place(&mut value, *span);
                    value
                });
                let file = self.file_of(hop);
                let rules =
                    hop.rules.iter().map(|(line, rule)| json!({ "file": file, "line": line, "text": rule }));
                let mut told = json!({
                    "place": hop.place,
                    "verdict": word(hop.verdict),
                    "meant": word(hop.meant),
                    "statements": statements.collect::<Vec<_>>(),
                    "rules": rules.collect::<Vec<_>>(),
                });
                if let (Some(rewrite), Some(object)) = (&hop.rewrite, told.as_object_mut()) {
                    let value = json!({
                        "done": rewrite.done.map(put),
                        "meant": rewrite.meant.map(put),
                        "before": self.packet(&bare(&rewrite.before)),
                        "after": self.packet(&bare(&rewrite.after)),
                    });
                    object.insert("translation".to_owned(), value);
                }
                told
            })
            .collect()
    }

    /// Machines of which the same hooks are proved share a line; what is not has its own.
    fn points(self, text: &mut String, report: &Report) {
        let mut machines: Vec<(String, Vec<String>)> = Vec::new();
        for proof in report.points.iter().filter(|proof| proof.outcome.holds()) {
            let (machine, hook) = self.machine_and_hook(proof);
            match machines.last_mut() {
                Some((last, hooks)) if *last == machine => hooks.push(hook),
                Some(_) | None => machines.push((machine, vec![hook])),
            }
        }
        let mut lines: Vec<(Vec<String>, Vec<String>)> = Vec::new();
        for (machine, hooks) in machines {
            match lines.iter_mut().find(|(same, _)| *same == hooks) {
                Some((_, names)) => names.push(machine),
                None => lines.push((hooks, vec![machine])),
            }
        }
        for (hooks, names) in lines {
            let points = number(hooks.len().saturating_mul(names.len()), "point");
            let _ = writeln!(text, "proved    equal to the policy, every packet: {points}");
            let hooks: Vec<String> = hooks.into_iter().filter(|hook| !hook.is_empty()).collect();
            let of = if hooks.is_empty() { String::new() } else { format!("{} of ", hooks.join(", ")) };
            let _ = writeln!(text, "  {of}{}", clean_line(&some_of(&names)));
        }
        for proof in &report.points {
            self.failed(text, &format!("{} equals the policy", proof.place), None, &proof.outcome);
        }
    }

    fn expects(self, text: &mut String, report: &Report) {
        let mut tests: Vec<&str> = Vec::new();
        for proof in &report.expects {
            if !tests.contains(&proof.test.as_str()) {
                tests.push(&proof.test);
            }
        }
        for test in tests {
            let of_test = || report.expects.iter().filter(|proof| proof.test == test);
            let (all, held) = (of_test().count(), of_test().filter(|proof| proof.outcome.holds()).count());
            let (answer, count) = if held == all {
                ("proved   ", number(all, "expectation"))
            } else {
                ("failed   ", format!("{held} of {}", number(all, "expectation")))
            };
            let _ = writeln!(text, "{answer} {}: {count}", clean_line(test));
            let mut assumed: Vec<&String> = of_test().flat_map(|proof| &proof.assuming).collect();
            assumed.sort();
            assumed.dedup();
            for assumption in assumed {
                let _ = writeln!(text, "  assuming  {}", clean_line(assumption));
            }
            for proof in of_test() {
                self.failed(text, &proof.words, Some(proof.span), &proof.outcome);
            }
        }
        // S45: no kernel of IPVS was asked, and no rule of ours says what it does.
        for (_, director) in self.site.hosts().filter(|(id, _)| self.site.is_director(*id)) {
            let name = clean_line(&director.name);
            let _ = writeln!(text, "emulated  IPVS of {name}: expectations go through it as the policy says");
        }
    }

    fn replies_as_json(self, report: &Report) -> Vec<Value> {
        let entry = |r: &Replies| {
            let leg = self.site.leg(r.host, r.leg).and_then(|leg| leg.interface.as_deref());
            let words = self.site.access(r.access).map_or("", |access| access.words.as_str());
            json!({ "host": self.name_of(r.host), "bridge": leg, "words": words })
        };
        report.replies.iter().map(entry).collect()
    }

    /// S42: whose replies pass a stateless bridge by their looks alone.
    fn replies(self, text: &mut String, report: &Report) {
        let mut bridges: Vec<(HostId, LegId)> = report.replies.iter().map(|r| (r.host, r.leg)).collect();
        bridges.dedup();
        for (host, leg) in bridges {
            let Some(of) = self.site.leg(host, leg) else { continue };
            let Some(Bridge::Stateless(reason)) = &of.bridge else { continue };
            let name = format!("{} {}", self.name_of(host), of.interface.as_deref().unwrap_or(""));
            let _ = writeln!(text, "stateless {}: {}", clean_line(&name), clean_line(reason));
            let passed = report.replies.iter().filter(|r| (r.host, r.leg) == (host, leg));
            for access in passed.filter_map(|r| self.site.access(r.access)) {
                let _ = writeln!(text, "  replies by their looks alone: {}", clean_line(&access.words));
            }
        }
    }

    /// One line a kind of claim; what does not hold has its own.
    fn unasked(self, text: &mut String, report: &Report) {
        for (kind, claim) in [
            (Unasked::Spoofed, "spoofed sources get nothing in"),
            (Unasked::Unnamed, "nothing enters by an interface that the policy does not name"),
        ] {
            let held = report.unasked.iter().filter(|proof| proof.kind == kind && proof.outcome.holds());
            let held = held.count();
            if held > 0 {
                let _ = writeln!(text, "proved    unasked, {claim}: {}", number(held, "machine"));
            }
        }
        for proof in &report.unasked {
            self.failed(text, &proof.claim, None, &proof.outcome);
        }
    }

    /// One line for all machines whose kernel is told what the proof assumes; one for each parameter that is not.
    fn settings(self, text: &mut String, report: &Report) {
        let held = report.settings.iter().filter(|proof| proof.holds()).count();
        if held > 0 {
            let machines = number(held, "machine");
            let _ = writeln!(text, "proved    sysctl.conf is what the proofs assume: {machines}");
        }
        for proof in &report.settings {
            let file = clean_line(&format!("hosts/{}/sysctl.conf", self.name_of(proof.host)));
            for wrong in &proof.wrong {
                let (key, because) = (clean_line(&wrong.key), wrong.because);
                let is = match (&wrong.found, &wrong.wanted) {
                    (Some(found), Some(wanted)) => format!("is {found}, and {wanted} is assumed"),
                    (None, Some(wanted)) => format!("is not set, and {wanted} is assumed"),
                    (Some(found), None) => format!("is {found}, and nothing is assumed of it"),
                    (None, None) => "is not known".to_owned(),
                };
                let _ = writeln!(text, "refuted   {file}: {key} {}", clean_line(&is));
                let _ = writeln!(text, "  because {because}");
            }
        }
    }

    fn settings_as_json(self, proof: &SettingsProof) -> Value {
        let wrong = proof.wrong.iter().map(|wrong| {
            json!({ "key": wrong.key, "wanted": wrong.wanted, "found": wrong.found, "because": wrong.because })
        });
        json!({
            "host": self.name_of(proof.host),
            "outcome": if proof.holds() { "holds" } else { "refuted" },
            "held": proof.held,
            "wrong": wrong.collect::<Vec<_>>(),
        })
    }

    /// What does not hold; nothing where it does.
    fn failed(self, text: &mut String, claim: &str, span: Option<Span>, outcome: &Outcome) {
        let at = span.and_then(|span| self.place(span)).map(|at| format!("  {at}")).unwrap_or_default();
        match outcome {
            Outcome::Holds => {}
            Outcome::Refuted(example) => {
                let _ = writeln!(text, "refuted   {}{at}", clean_line(claim));
                self.counterexample(text, example, if span.is_some() { At::Start } else { At::Point });
            }
            Outcome::Undecided { reason } => {
                let _ = writeln!(text, "undecided {}{at}", clean_line(claim));
                let _ = writeln!(text, "  because {}", clean_line(reason));
            }
        }
    }

    fn counterexample(self, text: &mut String, example: &Counterexample, at: At) {
        let _ = writeln!(text, "  packet  {}", self.example(example, at));
        let _ = writeln!(text, "  meant   {}", word(example.meant));
        let _ = writeln!(text, "  done    {}", word(example.done));
        self.hops(text, &example.hops);
        if matches!(at, At::Start) && example.hops.is_empty() && word(example.done) == "accept" {
            text.push_str("  nothing that filters is on its way\n");
        }
        if let Some(reason) = &example.reason {
            let _ = writeln!(text, "  because {}", clean_line(reason));
        }
    }

    fn with_outcome(self, mut value: Value, outcome: &Outcome, at: At) -> Value {
        let Some(object) = value.as_object_mut() else { return value };
        match outcome {
            Outcome::Holds => {
                object.insert("outcome".to_owned(), json!("holds"));
            }
            Outcome::Refuted(example) => {
                object.insert("outcome".to_owned(), json!("refuted"));
                let told = json!({
                    "packet": self.example(example, at),
                    "meant": word(example.meant),
                    "done": word(example.done),
                    "hops": self.hops_as_json(&example.hops),
                    "reason": example.reason,
                });
                object.insert("counterexample".to_owned(), told);
            }
            Outcome::Undecided { reason } => {
                object.insert("outcome".to_owned(), json!("undecided"));
                object.insert("reason".to_owned(), json!(reason));
            }
        }
        value
    }

    /// The packet of a counterexample. One of a point carries the interfaces that a packet has there; one of an
    /// expectation is as it starts, at no point yet, and its hops say the rest.
    fn example(self, example: &Counterexample, at: At) -> String {
        let packet = &example.packet;
        let (iif, oif) = match example.hops.as_slice() {
            [Hop { point: Point::Hook { hook, .. }, .. }] if at == At::Point => match hook {
                Hook::Prerouting | Hook::Input => (packet.iif.name(), ""),
                Hook::Forward => (packet.iif.name(), packet.oif.name()),
                Hook::Output | Hook::Postrouting => ("", packet.oif.name()),
                Hook::Bridge => ("", ""),
            },
            _ => ("", ""),
        };
        self.packet(&packet.clone().at(iif, oif))
    }

    /// A packet on one line.
    pub(super) fn packet(self, packet: &Packet) -> String {
        clean_line(&show(packet, self.site))
    }

    /// `policy.fw:14`
    pub(super) fn place(self, span: Span) -> Option<String> {
        let (file, at) = (self.sources.file(span.file)?, self.sources.position(span)?);
        Some(clean_line(&format!("{}:{}", file.name, at.line)))
    }

    fn put_place(self, value: &mut Value, span: Option<Span>) {
        let place = span.and_then(|span| Some((self.sources.file(span.file)?, self.sources.position(span)?)));
        if let (Some((file, at)), Some(object)) = (place, value.as_object_mut()) {
            object.insert("file".to_owned(), json!(file.name));
            object.insert("line".to_owned(), json!(at.line));
        }
    }

    /// The artifact of a point, by its name in a build.
    fn file_of(self, hop: &Hop) -> String {
        match (self.ruleset.or(hop.file.as_deref()), &hop.point) {
            (Some(file), _) => clean_line(file),
            (None, Point::Hook { host, .. }) => format!("hosts/{}/ruleset.nft", self.name_of(*host)),
            (None, Point::Interface { .. }) => "aws/security-groups.json".to_owned(),
            (None, Point::NetworkAcl { .. }) => "aws/nacl.json".to_owned(),
        }
    }

    fn name_of(self, id: HostId) -> &'a str {
        self.site.host(id).map_or("?", |host| host.name.as_str())
    }

    /// The machine of a point, and what it is of the machine; of an interface, in which file.
    fn machine_and_hook(self, proof: &PointProof) -> (String, String) {
        match &proof.point {
            Point::Hook { host, hook } => (self.name_of(*host).to_owned(), hook.keyword().to_owned()),
            Point::Interface { way, .. } => match proof.place.split_once(&format!(" {}", way.word())) {
                Some((machine, file)) => (machine.to_owned(), format!("{}{file}", way.word())),
                None => (proof.place.clone(), String::new()),
            },
            Point::NetworkAcl { .. } => (proof.place.clone(), String::new()),
        }
    }
}

/// What the packet of a counterexample is: at a point with its interfaces, or on its way through the site.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Point,
    Start,
}

/// The first dozen names, and how many more there are.
fn some_of(names: &[String]) -> String {
    const SHOWN: usize = 12;
    let shown: Vec<&str> = names.iter().take(SHOWN).map(String::as_str).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn outcomes(report: &Report) -> impl Iterator<Item = &Outcome> {
    let points = report.points.iter().map(|proof| &proof.outcome);
    let expects = report.expects.iter().map(|proof| &proof.outcome);
    let people = report.people.iter().chain(&report.bastions.jumps).map(|proof| &proof.outcome);
    points.chain(expects).chain(report.unasked.iter().map(|proof| &proof.outcome)).chain(people)
}

/// What is done to a packet at a hop, and what was meant, where that is not the same.
fn done(hop: &Hop) -> String {
    if let Some(rewrite) = hop.rewrite.as_ref().filter(|_| hop.verdict == hop.meant) {
        let words = |to: Option<Translation>| to.map_or_else(|| "left as it is".to_owned(), put);
        let meant = match rewrite.done == rewrite.meant {
            true => String::new(),
            false => format!(", meant to be {}", words(rewrite.meant)),
        };
        return format!("{}{meant}", words(rewrite.done));
    }
    match hop.meant == hop.verdict {
        true => word(hop.verdict).to_owned(),
        false => format!("{}, meant {}", word(hop.verdict), word(hop.meant)),
    }
}

/// What a translation does, in words.
pub(super) fn put(to: Translation) -> String {
    match to {
        Translation::Destination { addr, port: None } => format!("sent to {addr}"),
        Translation::Destination { addr: addr @ IpAddr::V4(_), port: Some(port) } => {
            format!("sent to {addr}:{port}")
        }
        Translation::Destination { addr, port: Some(port) } => format!("sent to [{addr}]:{port}"),
        Translation::Source(addr) => format!("sent from {addr}"),
        Translation::Masquerade => "sent from the address of its interface".to_owned(),
    }
}

/// A packet without the interfaces of the hook it is at, which the hop names.
fn bare(packet: &Packet) -> Packet {
    packet.clone().at("", "")
}

/// A verdict in a word.
pub(super) fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Accept => "accept",
        Verdict::Drop => "drop",
        Verdict::Reject => "reject",
    }
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
