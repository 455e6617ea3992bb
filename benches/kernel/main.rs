//! What a packet costs in the kernel under the rulesets that `fwc compile` writes, and what loading them costs.
//!
//! `cargo bench --bench kernel`, as root; `FWC_BENCH=WORDS` runs the tables with these words in their names, `FWC_PLOTS=docs/plots` draws
//! what grows. Each ruleset
//! stands in a network namespace of its own, a router between tun devices; `inject.rs`, compiled by `rustc`, writes UDP
//! packets of 64 bytes into it and takes the CPU time of their whole way. No rules is the baseline, in the same run.
#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "a bench measures and tells")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a bench that cannot go on fails; small numbers"
)]

#[path = "../common/dice.rs"]
mod dice;
mod draw;
mod peers;
#[path = "../common/plot.rs"]
mod plot;
mod run;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use draw::{Ends, Family, Flow};
use run::{Costs, Injector};

const FWC: &str = env!("CARGO_BIN_EXE_fwc");
const SEED: u64 = 20_261_121;

fn main() {
    // Only `cargo bench` measures; `cargo test --all-targets` builds this and starts it without the word.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let injector = Injector::build(dir.path());
    let left_out = |table: &str| std::env::var("FWC_BENCH").is_ok_and(|words| !table.contains(&words));
    for (name, table) in TABLES {
        if !left_out(name) {
            println!("\n{name}");
            table(&injector, dir.path());
        }
    }
}

type Table = fn(&Injector, &Path);

const TABLES: [(&str, Table); 3] = [("peers", peers_table), ("sizes", sizes), ("load", load)];

/// 1,000 exact flows between two zones, beside other tools' rules for the same.
fn peers_table(injector: &Injector, dir: &Path) {
    let flows = draw::flows(1_000, 2, Ends::Hosts, SEED);
    let ours = compiled(dir, "exact", &flows, (2, Family::V4));
    let mut sides = vec![("no rules".to_owned(), Vec::new()), ("fwc".to_owned(), run::nft(&ours))];
    sides.extend(peers::all(dir, &flows));
    let mut bare: Option<Costs> = None;
    println!(
        "| | last match | of no rules | insert | of no rules | established | nothing matches | load ms |"
    );
    for (name, load) in sides {
        let costs = match injector.measure((2, Family::V4), &load, &flows) {
            Ok(costs) => costs,
            Err(why) => {
                println!("| {name} | not measured: {why}");
                continue;
            }
        };
        let none = *bare.get_or_insert(costs);
        println!(
            "| {name} | {} | {:.2} | {} | {:.2} | {} | {} | {} |",
            costs.last,
            none.last / costs.last,
            costs.insert,
            none.insert / costs.insert,
            costs.established,
            costs.dropped,
            costs.load / 1_000.0
        );
    }
}

/// Random flows, as their number grows.
fn sizes(injector: &Injector, dir: &Path) {
    let mut lines = Vec::new();
    for count in [10, 100, 1_000] {
        let flows = draw::flows(count, 2, Ends::Hosts, SEED);
        let linear = run::nft(&peers::linear(dir, &flows));
        let costs = injector.measure((2, Family::V4), &linear, &flows).unwrap();
        plot::add(&mut lines, "a linear chain", count, costs.random);
    }
    println!("| zones | flows | random flows | of the smallest | last match | insert | sets | load ms |");
    for (zones, ends, family, name) in [
        (24, Ends::Hosts, Family::V4, "exact"),
        (24, Ends::Hosts, Family::V6, "exact, IPv6"),
        (24, Ends::Prefixes, Family::V4, "prefix"),
        (2, Ends::Hosts, Family::V4, "exact"),
        (2, Ends::Prefixes, Family::V4, "prefix"),
        (2, Ends::Prefixes, Family::V6, "prefix, IPv6"),
    ] {
        let mut smallest: Option<Costs> = None;
        for count in [1_000, 10_000, 100_000] {
            let flows = draw::flows(count, zones, ends, SEED);
            let ruleset = compiled(dir, name, &flows, (zones, family));
            let text = fs::read_to_string(&ruleset).unwrap();
            let sets = text.lines().filter(|l| l.starts_with("\tset ") || l.starts_with("\tmap ")).count();
            let costs = match injector.measure((zones, family), &run::nft(&ruleset), &flows) {
                Ok(costs) => costs,
                Err(why) => {
                    println!("| {zones} | {count} {name} | not measured: {why}");
                    continue;
                }
            };
            let first = *smallest.get_or_insert(costs);
            size(&format!("{zones} | {count} {name}"), costs, Some(first), sets);
            plot::add(&mut lines, &format!("fwc: {name}, {zones} zones"), count, costs.random);
            if count == 100_000 && ends == Ends::Prefixes && zones == 2 && family == Family::V4 {
                // The kernel refuses overlaps: the set holds a few flows less, and those alone are sent.
                let apart = disjoint(&flows);
                let one = one_set(dir, &apart);
                let costs = injector.measure((zones, family), &run::nft(&one), &apart).unwrap();
                size(&format!("{zones} | all of them in one set with intervals"), costs, None, 1);
                plot::add(&mut lines, "one set with intervals, by hand", count, costs.random);
            }
        }
    }
    plot::draw("kernel.svg", "A packet of a flow at random, its connection known", "ns of CPU", &lines);
}

fn size(what: &str, costs: Costs, first: Option<Costs>, sets: usize) {
    let of = first.map_or(String::new(), |first| format!("{:.2}", costs.random / first.random));
    let load = costs.load / 1_000.0;
    println!("| {what} | {} | {of} | {} | {} | {sets} | {load} |", costs.random, costs.last, costs.insert);
}

/// 100,000 exact elements: what `compile` writes, and a bare map of the same; CPU of nft and of the kernel, the least of five.
fn load(injector: &Injector, dir: &Path) {
    for zones in [2, 24] {
        let flows = draw::flows(100_000, zones, Ends::Hosts, SEED);
        let ours = compiled(dir, "load", &flows, (zones, Family::V4));
        let bare = dir.join("bare.nft");
        let elements: String = flows.iter().map(|f| format!("{} : accept,\n", element(f))).collect();
        fs::write(&bare, format!("table inet bare {{\nmap m {{ type ipv4_addr . ipv4_addr . inet_proto . inet_service : verdict\nelements = {{ {elements} }}\n}}\n}}\n")).unwrap();
        let least = |file: &PathBuf| {
            let times = (0..5).map(|_| injector.load(zones, &run::nft(file)).unwrap());
            times.fold(f64::MAX, f64::min) / 1_000.0
        };
        let (ours, bare) = (least(&ours), least(&bare));
        println!("| {zones} zones | fwc {ours} ms | bare map {bare} ms | {:.2} |", ours / bare);
    }
}

fn element(([from, to], port): &Flow) -> String {
    format!("{} . {} . udp . {port}", draw::net(*from), draw::net(*to))
}

/// What a person would write without the compiler: the connection's state, and one set of everything.
fn one_set(dir: &Path, flows: &[Flow]) -> PathBuf {
    let file = dir.join("one.nft");
    let elements: String = flows.iter().map(|f| format!("{},\n", element(f))).collect();
    let text = format!(
        "table inet one {{\nset s {{ type ipv4_addr . ipv4_addr . inet_proto . inet_service\nflags interval\nelements = {{ {elements} }}\n}}\n\
         chain forward {{ type filter hook forward priority 0; policy drop;\nct state vmap {{ established : accept, related : accept, invalid : drop }}\n\
         ip saddr . ip daddr . meta l4proto . th dport @s accept\n}}\n}}\n"
    );
    fs::write(&file, text).unwrap();
    file
}

/// Those that no other one meets: the kernel refuses overlaps.
fn disjoint(flows: &[Flow]) -> Vec<Flow> {
    let mut by_port: std::collections::BTreeMap<(u16, u64), Vec<Flow>> = std::collections::BTreeMap::new();
    let meets = |a: &(u64, u64, u32), b: &(u64, u64, u32)| {
        let free = a.2.max(b.2);
        a.0 == b.0 && a.1 >> free == b.1 >> free
    };
    for flow in flows {
        // By 256 destinations, the widest there is.
        let shelf = by_port.entry((flow.1, (flow.0[1].0 << 16 | flow.0[1].1) >> 8)).or_default();
        if !shelf.iter().any(|kept| meets(&kept.0[0], &flow.0[0]) && meets(&kept.0[1], &flow.0[1])) {
            shelf.push(*flow);
        }
    }
    by_port.into_values().flatten().collect()
}

/// `ruleset.nft` of the policy of these flows.
fn compiled(dir: &Path, name: &str, flows: &[Flow], (zones, family): (u64, Family)) -> PathBuf {
    // A word: the plan of the injector has blanks between words.
    let of = dir.join(format!("{}-{zones}-{}", name.replace(", ", "-"), flows.len()));
    fs::create_dir_all(&of).unwrap();
    fs::write(of.join("p.fw"), draw::policy(flows, zones, family)).unwrap();
    let done = Command::new(FWC).args(["compile", "p.fw", "-o", "out"]).current_dir(&of).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    of.join("out/hosts/fw/ruleset.nft")
}
