//! Where the maximum segment size of TCP is lowered, for people and for programs (S82).

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::cli::clean::clean_line;
use crate::model::Clamp;
use crate::net::Family;
use crate::verify::{ClampsProof, Report, WrongClamp};

use super::{Telling, some_of};

impl Telling<'_> {
    /// One line for all machines of which it holds; one for each thing that is otherwise.
    pub(super) fn clamps(self, text: &mut String, report: &Report) {
        let held = report.clamps.iter().filter(|proof| proof.holds());
        let held: Vec<String> = held.map(|proof| self.name_of(proof.host).to_owned()).collect();
        if !held.is_empty() {
            let names = clean_line(&some_of(&held));
            let _ = writeln!(text, "proved    the MSS of TCP is lowered where a leg says so: {names}");
        }
        for proof in &report.clamps {
            let name = clean_line(self.name_of(proof.host));
            for wrong in &proof.wrong {
                let _ = writeln!(
                    text,
                    "refuted   the MSS of what {name} forwards {} {}",
                    what(wrong),
                    how(wrong)
                );
            }
        }
    }

    pub(super) fn clamps_as_json(self, proof: &ClampsProof) -> Value {
        let wrong = proof.wrong.iter().map(|wrong| {
            json!({
                "way": if wrong.of.inward { "in" } else { "out" },
                "interface": wrong.of.interface,
                "to": match wrong.of.to { Clamp::Path => None, Clamp::To(size) => Some(size) },
                "families": wrong.families.iter().map(|family| version(*family)).collect::<Vec<_>>(),
                "meant": wrong.meant,
            })
        });
        json!({
            "host": self.name_of(proof.host),
            "outcome": if proof.holds() { "holds" } else { "refuted" },
            "wrong": wrong.collect::<Vec<_>>(),
        })
    }
}

/// ``in by `pppoe0` (IPv4)``
fn what(wrong: &WrongClamp) -> String {
    let way = if wrong.of.inward { "in" } else { "out" };
    let by = wrong
        .of
        .interface
        .as_deref()
        .map_or_else(|| "any interface".to_owned(), |name| format!("`{}`", clean_line(name)));
    let of = match wrong.families.as_slice() {
        [family] => format!(" ({})", version(*family)),
        _ => String::new(),
    };
    format!("{way} by {by}{of}")
}

fn how(wrong: &WrongClamp) -> String {
    let to = match wrong.of.to {
        Clamp::Path => "what its path takes".to_owned(),
        Clamp::To(size) => size.to_string(),
    };
    if wrong.meant {
        format!("is not lowered to {to}, as the leg says")
    } else {
        format!("is lowered to {to}, and no leg says so")
    }
}

fn version(family: Family) -> &'static str {
    match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    }
}
