//! What it costs to compile and prove a policy of many flows, whole process.
//!
//! `cargo bench --bench compile`; `FWC_BENCH=10000` runs the rows of that size, `FWC_PLOTS=docs/plots` draws them.
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

use common::draw::{self, Ends};
use common::measure::{self, Cost, Run};
use common::peers;
use common::plot::{self, Line};

const FWC: &str = env!("CARGO_BIN_EXE_fwc");
const SEED: u64 = 20_261_121;

fn main() {
    if !measure::asked() {
        return;
    }
    println!("Policies of 24 zones and one firewall, seed {SEED}: `fwc compile P.fw -o DIR --timings`");
    let mut lines = Vec::new();
    for (count, bound) in [
        (100, ""),
        (1_000, ""),
        (10_000, "bound 0.2 s, compiling 0.05 s, 60 MB"),
        (100_000, "bound 3 s, compiling 0.6 s, 250 MB"),
    ] {
        for (ends, name) in [(Ends::Hosts, "hosts"), (Ends::Prefixes, "prefixes")] {
            let flows = draw::flows(count, ends, SEED);
            for v6 in [false, true] {
                let row = format!("{count} flows, {name}, IPv{}", if v6 { 6 } else { 4 });
                if measure::wanted(&row) {
                    let cost = ours(&row, &draw::policy(&flows, v6), bound);
                    let line = format!("fwc, with its proof: {name}, IPv{}", if v6 { 6 } else { 4 });
                    plot::add(&mut lines, &line, count, cost.cpu.as_secs_f64());
                }
            }
        }
        let row = format!("{count} flows, named hosts, IPv4");
        if count <= 10_000 && measure::wanted(&row) {
            ours(&row, &draw::named(&draw::flows(count, Ends::Hosts, SEED), false), "");
        }
        if count <= 10_000 {
            theirs(count, &mut lines);
        }
    }
    plot::draw("compile.svg", "Compiling a policy, whole process", "CPU seconds", &lines);
}

/// What others take to compile the same flows; they prove nothing.
fn theirs(count: usize, lines: &mut Vec<Line>) {
    let flows = draw::flows(count, Ends::Hosts, SEED);
    let dir = tempfile::tempdir().unwrap();
    if let Some(ferm) =
        peers::tool("usr/sbin/ferm").filter(|_| measure::wanted(&format!("{count} flows, ferm")))
    {
        std::fs::write(dir.path().join("ferm.conf"), peers::ferm(&flows)).unwrap();
        let args =
            [ferm.as_str(), "--remote", "--noexec", "--lines", "ferm.conf"].map(str::to_owned).to_vec();
        let (cost, said) = Run { program: "perl", args, dir: dir.path(), fine: &[0] }.median();
        assert!(said.matches("-A FORWARD").count() >= count, "ferm says {} bytes", said.len());
        measure::row(&format!("{count} flows, ferm"), cost, "");
        plot::add(lines, "ferm, which proves nothing", count, cost.cpu.as_secs_f64());
    }
    // Quadratic or nearly: a second of it says enough.
    let aerleon = peers::tool("python/bin/aclgen").filter(|_| count <= 1_000);
    if let Some(aclgen) = aerleon.filter(|_| measure::wanted(&format!("{count} flows, aerleon"))) {
        let args = peers::aerleon(dir.path(), &flows);
        std::fs::create_dir_all(dir.path().join("out")).unwrap();
        let (cost, _) = Run { program: &aclgen, args, dir: dir.path(), fine: &[0] }.median();
        let written: u64 = std::fs::read_dir(dir.path().join("out"))
            .unwrap()
            .map(|file| file.unwrap().metadata().unwrap().len())
            .sum();
        assert!(written > 50 * count as u64, "aerleon wrote {written} bytes");
        measure::row(&format!("{count} flows, aerleon"), cost, "");
        plot::add(lines, "aerleon, which proves nothing", count, cost.cpu.as_secs_f64());
    }
}

/// The whole, and of it what is not proving: everything but the stages `prove` and `exact lints`, which both ask the
/// prover.
fn ours(row: &str, policy: &str, bound: &str) -> Cost {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("p.fw"), policy).unwrap();
    let args = ["compile", "p.fw", "-o", "out", "--timings"].map(str::to_owned).to_vec();
    let run = Run { program: FWC, args, dir: dir.path(), fine: &[0] };
    let (cost, said) = run.median();
    assert!(said.contains("proved: 3 points"), "{said}");
    let of = |name| measure::stage(&said, name).unwrap();
    let compiling = of("all") - of("prove") - of("exact lints");
    measure::row(row, cost, &format!("compiling {compiling:.3} s; {bound}"));
    cost
}
