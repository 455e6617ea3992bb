//! `fwc verify --beside`: what a machine's other tables do to what the policy lets pass, in words and as data.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::net::Packet;
use crate::verify::beside::{Beside, Effect};

use super::Exit;
use super::clean::clean_line;
use super::report::Telling;

/// A drop is a fault of what stands beside; what is not understood is no answer.
pub(super) fn exit(found: &[Beside]) -> Exit {
    let any = |effects: &[Effect]| found.iter().any(|f| effects.contains(&f.effect));
    if any(&[Effect::Drops, Effect::Rejects, Effect::Untracks]) {
        Exit::AtFault
    } else if any(&[Effect::Unclear, Effect::Unseen]) {
        Exit::Failed
    } else {
        Exit::Fine
    }
}

/// One paragraph a finding.
pub(super) fn text(telling: Telling<'_>, host: &str, found: &[Beside]) -> String {
    let listing = telling.ruleset.unwrap_or("the listing");
    let mut text = String::new();
    let drops =
        |f: &Beside| matches!(f.effect, Effect::Drops | Effect::Rejects | Effect::Unclear | Effect::Unseen);
    if !found.iter().any(drops) {
        let _ = writeln!(text, "no table of {listing} drops what the policy lets pass on `{host}`");
    }
    for one in found {
        let (chain, hook) = (clean_line(&one.chain), one.hook.keyword());
        let _ = writeln!(text, "{hook}: `{chain}` {}", words(&one.effect));
        if let Some(packet) = &one.packet {
            let _ = writeln!(text, "  packet  {}", telling.packet(packet));
        }
        let place = one.line.map_or_else(|| listing.to_owned(), |line| format!("{listing}:{line}"));
        let _ = writeln!(text, "  rule    {place}  {}", clean_line(&one.text));
        let _ = writeln!(text, "  {}", reason(&one.effect));
    }
    text
}

/// The same for programs.
pub(super) fn as_json(telling: Telling<'_>, found: &[Beside]) -> Value {
    let one = |f: &Beside| {
        let packet = f.packet.as_ref().map(|packet: &Packet| telling.packet(packet));
        json!({
            "hook": f.hook.keyword(), "chain": f.chain, "line": f.line, "rule": f.text,
            "effect": name(&f.effect), "packet": packet,
        })
    };
    found.iter().map(one).collect()
}

fn name(effect: &Effect) -> &'static str {
    match effect {
        Effect::Drops => "drops",
        Effect::Rejects => "rejects",
        Effect::Unclear => "unclear",
        Effect::Redirects => "redirects",
        Effect::Masks => "masks",
        Effect::Untracks => "untracks",
        Effect::Unseen => "not-compared",
    }
}

fn words(effect: &Effect) -> &'static str {
    match effect {
        Effect::Drops => "drops what the policy lets pass",
        Effect::Rejects => "rejects what the policy lets pass",
        Effect::Unclear => "has something that fwc does not understand",
        Effect::Redirects => "translates destinations",
        Effect::Masks => "translates sources",
        Effect::Untracks => "takes packets out of connection tracking",
        Effect::Unseen => "is not compared",
    }
}

fn reason(effect: &Effect) -> &'static str {
    match effect {
        Effect::Drops | Effect::Rejects => {
            "because a drop in any base chain is final: no accept of ours brings the packet back"
        }
        Effect::Unclear => "so nobody can say what becomes of packets that come to it",
        Effect::Redirects => "so the policy sees the new destination; `docker` reads the original one",
        Effect::Masks => "so machines behind this one see another source",
        Effect::Untracks => "and the policy's ruleset drops what is not tracked",
        Effect::Unseen => "so it may stop what the policy lets pass, or hand it on past the policy's ruleset",
    }
}
