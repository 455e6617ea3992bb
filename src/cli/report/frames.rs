//! What is no packet on bridges, for people and for programs: frames that are not IP, and fragments.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::Telling;
use crate::cli::clean::clean_line;
use crate::cli::render::number;
use crate::net::Packet;
use crate::net::Verdict;
use crate::target::nft::sim::Outcome;
use crate::verify::{Every, FramesProof, Report, WrongFrame};

impl Telling<'_> {
    /// One line for all machines whose bridges let pass what is not IP; one for each kind of frames that does not pass.
    pub(super) fn frames(self, text: &mut String, report: &Report) {
        let held = report.frames.iter().filter(|proof| proof.holds()).count();
        if held > 0 {
            let machines = number(held, "machine");
            let _ = writeln!(
                text,
                "proved    unasked, ARP and whatever else is not IP passes between the ports of a bridge, and nothing with the tag of a \
                 VLAN: {machines}"
            );
        }
        for proof in &report.frames {
            let name = clean_line(self.name_of(proof.host));
            for wrong in &proof.wrong {
                let (frames, done) = (kind(wrong), done(&wrong.done));
                let _ = writeln!(text, "refuted   {frames} between the ports of a bridge of {name} {done}");
                let because = match wrong.tag {
                    None => "it is no packet, and members find each other by it (S41, S42)",
                    Some(_) => {
                        "with the tag of VLAN 0 a member takes it for a frame without, past every filter (S76)"
                    }
                };
                let _ = writeln!(text, "  because {because}");
            }
            if let Some(done) = packets(&proof.packets) {
                let _ = writeln!(text, "refuted   packets between the ports of a bridge of {name}: {done}");
                let _ = writeln!(
                    text,
                    "  because the forward hook decides about them, and no table before it (S40)"
                );
            }
            if let Some(done) = fragments(&proof.fragments) {
                let _ = writeln!(text, "refuted   fragments between the ports of a bridge of {name}: {done}");
                let _ = writeln!(
                    text,
                    "  because nothing puts them together there: they may arrive as anything (S42)"
                );
            }
        }
    }

    pub(super) fn frames_as_json(self, proof: &FramesProof) -> Value {
        let wrong = proof.wrong.iter().map(
            |wrong| json!({ "ethertype": wrong.ethertype, "frames": kind(wrong), "done": done(&wrong.done) }),
        );
        json!({
            "host": self.name_of(proof.host),
            "outcome": if proof.holds() { "holds" } else { "refuted" },
            "kinds": proof.kinds,
            "wrong": wrong.collect::<Vec<_>>(),
            "packets": packets(&proof.packets),
            "fragments": fragments(&proof.fragments),
        })
    }
}

fn kind(wrong: &WrongFrame) -> String {
    let carried = if wrong.arp { "ARP".to_owned() } else { format!("EtherType 0x{:04x}", wrong.ethertype) };
    match wrong.tag {
        None => carried,
        Some(tag) => format!("{carried} behind a tag 0x{tag:04x}"),
    }
}

/// What is wrong with packets, if anything is.
fn packets(done: &Every) -> Option<String> {
    contrary(done, "be stopped", "all pass")
}

/// What is wrong with fragments, if anything is.
fn fragments(done: &Every) -> Option<String> {
    contrary(done, "pass", "one passes")
}

/// What one packet may do that none may; or that nobody knows whether it is so.
fn contrary(done: &Every, may: &str, whether: &str) -> Option<String> {
    match done {
        Every::Holds => None,
        Every::But(packet) => {
            let Packet { src, dst, .. } = packet.as_ref();
            Some(format!("one from {src} to {dst} may {may}"))
        }
        Every::Undecided => Some(format!("nobody knows whether {whether}")),
    }
}

fn done(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Decided(Verdict::Accept) => "passes".to_owned(),
        Outcome::Decided(Verdict::Drop | Verdict::Reject) => "is dropped".to_owned(),
        Outcome::Unknown(why) => format!("meets {why}: nobody knows whether it passes"),
    }
}
