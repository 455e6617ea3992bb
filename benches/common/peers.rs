//! The same flows in the words of other programs. Each is left out, aloud, where `make bench-tools` was not run.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::draw::{Flow, ZONES, net};

/// A program that `make bench-tools` unpacked.
pub(crate) fn tool(path: &str) -> Option<String> {
    let at = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench-tools").join(path);
    let found = at.exists().then(|| at.display().to_string());
    if found.is_none() {
        println!("without {path}: `make bench-tools` was not run");
    }
    found
}

/// ferm.conf(5), a rule a flow: `ferm --remote --noexec --lines` writes what iptables-restore reads.
pub(crate) fn ferm(flows: &[Flow]) -> String {
    let mut text = String::from("domain ip table filter chain FORWARD {\n    policy DROP;\n");
    text.push_str("    mod state state INVALID DROP;\n    mod state state ESTABLISHED ACCEPT;\n");
    for flow in flows {
        let (from, to) = (net(flow.from, false), net(flow.to, false));
        let (came, left, proto, port) = (flow.from.0, flow.to.0, flow.proto(), flow.port);
        writeln!(
            text,
            "    interface eth{came} outerface eth{left} saddr {from} daddr {to} proto {proto} dport {port} ACCEPT;"
        )
        .unwrap();
    }
    text.push_str("}\n");
    text
}

/// A folder for `aclgen`: definitions of networks and services, and one policy with a term a flow for nftables.
pub(crate) fn aerleon(dir: &Path, flows: &[Flow]) -> Vec<String> {
    let make = |name: &str| -> PathBuf {
        let path = dir.join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    };
    let (definitions, policies, out) = (make("def"), make("policies/pol"), make("out"));
    let (mut networks, mut services) = (String::new(), String::new());
    let mut terms = String::from("header {\n  comment:: \"drawn\"\n  target:: nftables inet forward\n}\n");
    for (at, flow) in flows.iter().enumerate() {
        let (from, to) = (net(flow.from, false), net(flow.to, false));
        let whole = |net: String| if net.contains('/') { net } else { format!("{net}/32") };
        writeln!(networks, "S{at} = {}\nD{at} = {}", whole(from), whole(to)).unwrap();
        writeln!(services, "P{at} = {}/{}", flow.port, flow.proto()).unwrap();
        writeln!(
            terms,
            "term t{at} {{\n  source-address:: S{at}\n  destination-address:: D{at}\n  protocol:: {}\n  destination-port:: P{at}\n  action:: accept\n}}",
            flow.proto()
        )
        .unwrap();
    }
    std::fs::write(definitions.join("n.net"), networks).unwrap();
    std::fs::write(definitions.join("s.svc"), services).unwrap();
    std::fs::write(policies.join("p.pol"), terms).unwrap();
    [
        "--base_directory".to_owned(),
        dir.join("policies").display().to_string(),
        "--definitions_directory".to_owned(),
        definitions.display().to_string(),
        "--output_directory".to_owned(),
        out.display().to_string(),
    ]
    .to_vec()
}

/// SMT-LIB 2: that the flows, and the same backwards with every tenth source network in its two halves, admit the same
/// packets; bit vectors, as SecGuru has it.
pub(crate) fn smt(flows: &[Flow]) -> String {
    let mut text = String::from("(set-logic QF_BV)\n");
    for (name, width) in [("i", 8), ("o", 8), ("s", 32), ("d", 32), ("p", 8), ("t", 16)] {
        writeln!(text, "(declare-const {name} (_ BitVec {width}))").unwrap();
    }
    let number = |(zone, bits, _): (u64, u64, u32)| (10 << 24) | (zone << 16) | bits;
    let mut other: Vec<Flow> = flows.iter().rev().copied().collect();
    for at in (0..flows.len()).step_by(10) {
        let (zone, bits, fixed) = other[at].from;
        if fixed < 16 {
            other[at].from = (zone, bits, fixed + 1);
            other.push(Flow { from: (zone, bits | (1 << (15 - fixed)), fixed + 1), ..other[at] });
        }
    }
    let list = |flows: &mut dyn Iterator<Item = &Flow>| {
        let mut all = String::from("(or");
        for flow in flows {
            let end = |name: &str, end: (u64, u64, u32)| {
                let (number, free) = (number(end), 16 - end.2);
                let top = number >> free;
                if free == 0 {
                    format!("(= {name} (_ bv{number} 32))")
                } else {
                    format!("(= ((_ extract 31 {free}) {name}) (_ bv{top} {}))", 32 - free)
                }
            };
            let proto = if flow.udp { 17 } else { 6 };
            write!(
                all,
                "\n (and (= i (_ bv{} 8)) (= o (_ bv{} 8)) {} {} (= p (_ bv{proto} 8)) (= t (_ bv{} 16)))",
                flow.from.0,
                flow.to.0,
                end("s", flow.from),
                end("d", flow.to),
                flow.port
            )
            .unwrap();
        }
        all.push(')');
        all
    };
    let (one, other) = (list(&mut flows.iter()), list(&mut other.iter()));
    writeln!(text, "(assert (xor {one}\n {other}))\n(check-sat)").unwrap();
    debug_assert!(flows.iter().all(|flow| flow.from.0 < ZONES));
    text
}
