//! Sorts rules into layers.
//!
//! Law: asking the layers in the order of [`Kind`], and going on to the next where no step of a hit holds, decides
//! every packet as all rules at once would. So drops come before rejects; what logs comes before what does not,
//! since a packet is logged if one statement logs it; what is allowed without condition comes before what has one,
//! since it makes the condition idle. Refusing what is over a limit waits for the last layer, because another
//! statement may admit the packet without one.

use std::collections::BTreeMap;

use crate::ir::{Entry, Kind, Refuse};
use crate::net::Verdict;

/// The rules by kind, in the order in which they are asked.
pub(super) fn layers(entries: Vec<Entry>) -> Vec<(Kind, Vec<Entry>)> {
    // Nearly all lists are of one kind, and stay where they are.
    let one = entries.first().and_then(kind).filter(|one| *one != Kind::Logged);
    if let Some(one) = one.filter(|one| entries.iter().all(|entry| kind(entry) == Some(*one))) {
        return vec![(one, entries)];
    }
    let mut out: BTreeMap<Kind, Vec<Entry>> = BTreeMap::new();
    // A logged and limited rule that meets no other can refuse in its own layer.
    let deferred: Vec<bool> = entries
        .iter()
        .map(|e| {
            let waits = kind(e) == Some(Kind::Logged) && e.refuse != Refuse::Never;
            waits && entries.iter().any(|o| o.because != e.because && o.cell.intersection(&e.cell).is_some())
        })
        .collect();
    for (mut entry, deferred) in entries.into_iter().zip(deferred) {
        let Some(kind) = kind(&entry) else { continue };
        if deferred {
            let refusal = Entry { steps: Vec::new(), ..entry.clone() };
            out.entry(Kind::Bounded).or_default().push(refusal);
            entry.refuse = Refuse::Never;
        }
        out.entry(kind).or_default().push(entry);
    }
    out.into_iter().collect()
}

fn kind(entry: &Entry) -> Option<Kind> {
    let step = entry.steps.first()?;
    Some(match (step.verdict, step.log, step.until.is_some(), step.limit.is_some()) {
        (Verdict::Drop, true, _, _) => Kind::DropLogged,
        (Verdict::Drop, false, false, _) => Kind::Drop,
        (Verdict::Drop, false, true, _) => Kind::DropUntil,
        (Verdict::Reject, true, _, _) => Kind::RejectLogged,
        (Verdict::Reject, false, false, _) => Kind::Reject,
        (Verdict::Reject, false, true, _) => Kind::RejectUntil,
        (Verdict::Accept, true, _, _) => Kind::Logged,
        (Verdict::Accept, false, false, false) => Kind::Accept,
        (Verdict::Accept, false, _, _) => Kind::Bounded,
    })
}
