//! The kernel as a judge of points: [`fwc::lab::points`] with the emitted rulesets.

use fwc::compile::Compiled;
use fwc::forwarding::Forwarding;
use fwc::lab::points;

pub(crate) use fwc::lab::points::Asked;

use super::Step;

/// Puts every step before the kernel, in the emitted ruleset of its machine. The answers are in the order of the steps.
pub(crate) fn asked(forwarding: &Forwarding<'_>, compiled: &Compiled, steps: &[Step]) -> Vec<Asked> {
    let texts = compiled.artifacts.iter().map(|(host, rules)| (*host, rules.text.clone())).collect();
    points::ask(forwarding, &texts, steps).unwrap()
}
