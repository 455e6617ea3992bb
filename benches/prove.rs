//! What it costs to prove, and to find what a policy says needlessly; beside z3.
//!
//! `cargo bench --bench prove`; `FWC_BENCH=10000` runs the rows of that size.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a bench measures and tells"
)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a bench that cannot go on fails"
)]

mod common;

use common::draw::{self, Ends, Flow};
use common::lists::{self, Shape};
use common::measure::{self, Run};
use common::peers;
use fwc::net::{Field, PacketSet, Products, RangeSet, Space};

const FWC: &str = env!("CARGO_BIN_EXE_fwc");
const SEED: u64 = 20_261_121;

fn main() {
    if !measure::asked() {
        return;
    }
    crm();
    println!(
        "Policies of 24 zones and one firewall, seed {SEED}: `fwc verify P.fw`, `--against` its ruleset, `fwc check P.fw --timings`"
    );
    for (count, bound) in
        [(1_000, "bound 15 ms wall"), (10_000, "bound 0.15 s wall"), (100_000, "bound 1.5 s wall, 250 MB")]
    {
        for v6 in [false, true] {
            let flows = draw::flows(count, Ends::Prefixes, SEED);
            whole(count, &flows, v6, bound);
        }
        if count <= 10_000 {
            z3(count);
        }
    }
    edits();
    lists();
}

/// Ordered lists that mean the same, as listings of nft: read by the reader of foreign rulesets, composed, compared. Where there is
/// no answer within the budget, it says so and ends with 2.
fn lists() {
    println!(
        "Lists in the shapes of ClassBench, seed {SEED}: `fwc diff A.nft B.nft`, a drop in three of ten rules"
    );
    for (count, bound) in [(10_000, "bound 0.4 s"), (100_000, "bound 8 s, 500 MB, or undecided")] {
        for (name, shape) in Shape::ALL {
            let list = lists::list(shape, count, SEED);
            compared(
                &format!("{count} rules, {name}: two lists equal"),
                &list,
                (lists::equal(&list, SEED), "the same for every packet"),
                bound,
            );
            let edited = lists::edited(&list, count / 2);
            let row = format!("{count} rules, {name}: one rule more, named");
            compared(&row, &list, (edited, "198.51.100.7"), bound);
        }
    }
}

/// `says` is what the answer has to say; anything else but being undecided ends the bench.
fn compared(row: &str, old: &[lists::Rule], (new, says): (Vec<lists::Rule>, &str), bound: &str) {
    if !measure::wanted(row) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for (name, list) in [("a.nft", old), ("b.nft", &new)] {
        std::fs::write(dir.path().join(name), lists::chain(list, false)).unwrap();
    }
    let args = ["diff", "a.nft", "b.nft"].map(str::to_owned).to_vec();
    let (cost, said) = Run { program: FWC, args, dir: dir.path(), fine: &[0, 2] }.median();
    let undecided = said.contains("decision nodes");
    assert!(undecided || said.contains(says), "{row}: {said}");
    measure::row(row, cost, &format!("{}; {bound}", if undecided { "undecided" } else { "as it is" }));
}

/// All hosts, all expectations of the shipped site.
fn crm() {
    if !measure::wanted("verify policies/crm") {
        return;
    }
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let args = ["verify", "policies/crm"].map(str::to_owned).to_vec();
    let (cost, _) = Run { program: FWC, args, dir, fine: &[0] }.median();
    measure::row("verify policies/crm", cost, "bound 0.05 s");
}

fn whole(count: usize, flows: &[Flow], v6: bool, bound: &str) {
    let row = format!("{count} flows, prefixes, IPv{}: verify", if v6 { 6 } else { 4 });
    if !measure::wanted(&row) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("p.fw"), draw::policy(flows, v6)).unwrap();
    let args = ["verify", "p.fw"].map(str::to_owned).to_vec();
    let (cost, said) = Run { program: FWC, args, dir: dir.path(), fine: &[0] }.median();
    assert!(said.contains("proved: 3 points"), "{said}");
    measure::row(&row, cost, bound);
    listed(count, v6, dir.path(), bound);
    let args = ["check", "p.fw", "--timings"].map(str::to_owned).to_vec();
    let (cost, said) = Run { program: FWC, args, dir: dir.path(), fine: &[0] }.median();
    let lints = measure::stage(&said, "exact lints").unwrap();
    let found = said.lines().filter(|line| line.contains("needless-allow")).count();
    measure::row(
        &format!("{count} flows, IPv{}: check, {found} needless found", if v6 { 6 } else { 4 }),
        cost,
        &format!("of it the exact lints {lints:.3} s"),
    );
}

/// A ruleset that is there already: read, and proved equal to the policy; nothing is compiled.
fn listed(count: usize, v6: bool, dir: &std::path::Path, bound: &str) {
    let done =
        std::process::Command::new(FWC).args(["compile", "p.fw", "-o", "build"]).current_dir(dir).output();
    assert!(done.unwrap().status.success());
    for (file, bound) in [("ruleset.nft", bound), ("ruleset.json", "as JSON")] {
        let listing = format!("build/hosts/fw/{file}");
        let args = ["verify", "p.fw", "--against", &listing].map(str::to_owned).to_vec();
        let (cost, said) = Run { program: FWC, args, dir, fine: &[0] }.median();
        assert!(said.contains("proved: 3 points"), "{said}");
        let family = if v6 { 6 } else { 4 };
        measure::row(&format!("{count} flows, prefixes, IPv{family}: verify --against {file}"), cost, bound);
    }
}

/// That two lists of the same flows are equal, by z3: nothing is compiled, written or read back.
fn z3(count: usize) {
    let row = format!("{count} flows, prefixes: two lists equal, z3 (120 s at most)");
    let Some(z3) = peers::tool("usr/bin/z3").filter(|_| measure::wanted(&row)) else { return };
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("p.smt2"), peers::smt(&draw::flows(count, Ends::Prefixes, SEED))).unwrap();
    let args = ["-T:120", "p.smt2"].map(str::to_owned).to_vec();
    let (cost, said) = Run { program: &z3, args, dir: dir.path(), fine: &[0] }.median();
    let answer = ["unsat", "timeout", "unknown"].into_iter().find(|answer| said.contains(answer));
    measure::row(&row, cost, answer.unwrap());
}

/// One flow more: the set with it, the difference, and a packet that shows it. The rest of the diff is left out:
/// reading both policies is in the rows above.
fn edits() {
    let row = "10000 flows: one flow more, difference and witness";
    if !measure::wanted(row) {
        return;
    }
    let flows = draw::flows(10_200, Ends::Prefixes, SEED);
    let mut space = Space::default();
    let set = |space: &mut Space, flows: &[Flow]| {
        let mut products = Products::default();
        for flow in flows {
            let ends = |(zone, bits, fixed): (u64, u64, u32)| {
                let first = u128::from((10 << 24) | (zone << 16) | bits);
                RangeSet::range(first, first + (1 << (16 - fixed)) - 1)
            };
            products.pin(Field::Family, 0);
            products.pin(Field::Iif, u128::from(flow.from.0) + 1);
            products.pin(Field::Oif, u128::from(flow.to.0) + 1);
            products.pin(Field::Proto, if flow.udp { 17 } else { 6 });
            products.narrow(Field::Src, &ends(flow.from));
            products.narrow(Field::Dst, &ends(flow.to));
            products.pin(Field::Dport, flow.port.into());
            products.push();
        }
        space.sum(&products)
    };
    let old = set(&mut space, &flows[..10_000]);
    let (mut at, mut shown) = (10_000, 0);
    let took = measure::per_turn_of(flows.len() - 10_000, || {
        let one = set(&mut space, &flows[at..=at]);
        let new = space.or(old, one);
        let more: PacketSet = space.minus(new, old);
        shown += usize::from(space.witness(more, &[]).unwrap().is_some());
        at += 1;
    });
    assert!(shown > 150, "{shown} of 200 flows were new");
    println!("{row:<58} {:>8.3} ms CPU   bound 1.5 ms", took.as_secs_f64() * 1_000.0);
}
