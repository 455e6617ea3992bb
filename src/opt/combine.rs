//! What several statements of one kind make of one packet (S21).
//!
//! Law: a packet that both entries hold is treated by the combination as S21 says: admitted if one of them
//! admits it, so without a limit if one has none, and until the last of their dates; denied until the last of theirs.

use std::collections::BTreeMap;

use crate::ir::{Entry, Refuse, Step};
use crate::model::AccessId;
use crate::net::Limit;

/// The steps and the refusal of both.
pub(super) fn combine(a: &Entry, b: &Entry) -> (Vec<Step>, Refuse) {
    let later = |a: Option<u64>, b: Option<u64>| match (a, b) {
        (Some(a), Some(b)) => Some(a.max(b)),
        (None, _) | (_, None) => None,
    };
    // Of those without a limit (and of equal meters) one that holds as long as any; unlimited first, so that it spends
    // nobody's tokens. A limit is its statement's: where another has an equal one, each keeps its tokens.
    let mut by_limit: BTreeMap<(Option<Limit>, Option<AccessId>), Step> = BTreeMap::new();
    for step in a.steps.iter().chain(&b.steps) {
        by_limit
            .entry((step.limit, step.bucket.filter(|bucket| !bucket.metered).map(|bucket| bucket.of)))
            .and_modify(|kept| {
                let (until, log) = (later(kept.until, step.until), kept.log || step.log);
                *kept = Step { until, log, bucket: kept.bucket.min(step.bucket), ..*kept }
            })
            .or_insert(*step);
    }
    let unlimited = by_limit.get(&(None, None)).map(|s| s.until);
    let forever = unlimited == Some(None);
    let outlived = |step: &Step| match (unlimited, step.until) {
        (None, _) => false,
        (Some(None), _) => true,
        (Some(Some(_)), None) => false,
        (Some(Some(last)), Some(until)) => until <= last,
    };
    let steps = by_limit.values().filter(|s| s.limit.is_none() || !outlived(s)).copied().collect();
    let refuse = if forever { Refuse::Never } else { a.refuse.max(b.refuse) };
    (steps, refuse)
}
