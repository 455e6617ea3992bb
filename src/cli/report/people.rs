//! What is proved of people and of sshds, for people and for programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{At, Telling};
use crate::cli::clean::clean_line;
use crate::cli::render::number;
use crate::verify::{Excuse, PersonProof, Report, WayRound};

impl Telling<'_> {
    /// What is proved of people alone, and whether the rest holds on which it stands.
    #[cfg(feature = "bastion")]
    pub(in crate::cli) fn bastion(self, report: &Report) -> String {
        let mut text = String::new();
        let wrong = || report.points.iter().filter(|proof| !proof.outcome.holds());
        if wrong().count() > 0 {
            let points = number(wrong().count(), "point");
            let _ = writeln!(text, "failed    {points} not what the policy means, so nothing stands on them");
        }
        for proof in wrong() {
            self.failed(&mut text, &format!("{} equals the policy", proof.place), None, &proof.outcome);
        }
        if report.people.is_empty() {
            let _ = writeln!(text, "no machine runs an sshd of the policy");
        }
        self.people(&mut text, report);
        text
    }

    /// One line for what every sshd is told, one for jumps, one for each way round.
    pub(super) fn people(self, text: &mut String, report: &Report) {
        let held = |all: &[PersonProof]| all.iter().filter(|proof| proof.outcome.holds()).count();
        let told = held(&report.people);
        if told > 0 {
            let claims = number(told, "claim");
            let _ = writeln!(
                text,
                "proved    each sshd lets in and lets through whom the policy names: {claims}"
            );
        }
        let jumps = held(&report.bastions.jumps);
        if jumps > 0 {
            let _ = writeln!(
                text,
                "proved    what an sshd opens passes the firewalls: {}",
                number(jumps, "jump")
            );
        }
        for proof in report.people.iter().chain(&report.bastions.jumps) {
            self.failed(text, &proof.claim, None, &proof.outcome);
        }
        for way in &report.bastions.ways {
            self.way_round(text, way);
        }
        for (host, why) in &report.bastions.undecided {
            let _ = writeln!(text, "undecided who reaches the sshd of {}", clean_line(self.name_of(*host)));
            let _ = writeln!(text, "  because {}", clean_line(why));
        }
        for (host, what) in &report.bastions.assuming {
            let host = clean_line(self.name_of(*host));
            let _ = writeln!(text, "proved    no other way round leads to the sshd of {host}");
            let _ = writeln!(text, "  assuming  {what}");
        }
    }

    fn way_round(self, text: &mut String, way: &WayRound) {
        let host = clean_line(self.name_of(way.host));
        let access = way.access.and_then(|id| self.site.access(id));
        let head = match &way.excuse {
            Excuse::None => "refuted   round the bastion, to the sshd of",
            Excuse::BreakGlass(_) => "break-glass, to the sshd of",
            Excuse::Unfiltered => "unfiltered, to the sshd of",
        };
        let _ = writeln!(text, "{head} {host}");
        let _ = writeln!(text, "  packet  {}", self.packet(&way.packet));
        match access {
            Some(access) => {
                let at = self.place(access.span).map(|at| format!("{at}  ")).unwrap_or_default();
                let _ = writeln!(text, "  policy  {at}{}", clean_line(&access.words));
            }
            None => {
                let _ = writeln!(text, "  policy  no statement lets it in");
            }
        }
        if let Excuse::BreakGlass(reason) = &way.excuse {
            let _ = writeln!(text, "  because {}", clean_line(reason));
        }
        for (file, line, rule) in &way.rules {
            let at = format!("{file}:{line}");
            let _ = writeln!(text, "  rule    {}  {}", clean_line(&at), clean_line(rule));
        }
    }

    pub(in crate::cli) fn people_as_json(self, report: &Report) -> Value {
        let proof = |proof: &PersonProof| {
            let person = proof.person.and_then(|id| self.site.person(id)).map(|person| &person.name);
            let head = json!({ "host": self.name_of(proof.host), "person": person, "claim": proof.claim });
            self.with_outcome(head, &proof.outcome, At::Point)
        };
        let way = |way: &WayRound| {
            let access = way.access.and_then(|id| self.site.access(id));
            let (excuse, reason) = match &way.excuse {
                Excuse::None => (None, None),
                Excuse::BreakGlass(reason) => (Some("break-glass"), Some(reason)),
                Excuse::Unfiltered => (Some("unfiltered"), None),
            };
            let rule = |(file, line, rule): &(String, usize, String)| json!({ "file": file, "line": line, "text": rule });
            let rules = way.rules.iter().map(rule);
            let mut told = json!({
                "host": self.name_of(way.host),
                "packet": self.packet(&way.packet),
                "words": access.map(|access| &access.words),
                "excuse": excuse,
                "reason": reason,
                "rules": rules.collect::<Vec<_>>(),
            });
            self.put_place(&mut told, access.map(|access| access.span));
            told
        };
        let assuming = |(host, what): &(crate::model::HostId, &str)| json!({ "host": self.name_of(*host), "assuming": what });
        let undecided = |(host, why): &(crate::model::HostId, String)| json!({ "host": self.name_of(*host), "because": why });
        json!({
            "sshd": report.people.iter().map(proof).collect::<Vec<_>>(),
            "jumps": report.bastions.jumps.iter().map(proof).collect::<Vec<_>>(),
            "ways": report.bastions.ways.iter().map(way).collect::<Vec<_>>(),
            "undecided": report.bastions.undecided.iter().map(undecided).collect::<Vec<_>>(),
            "assuming": report.bastions.assuming.iter().map(assuming).collect::<Vec<_>>(),
        })
    }
}
