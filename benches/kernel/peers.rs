//! The same flows in the words of other tools, and what they make of them.
//!
//! `benches/kernel/peers.sh fetch` brings firewalld and shorewall, `make bench-tools` aerleon. What
//! is not here is said and left out. The linear chain is written by hand.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::draw::{self, Flow};
use crate::run::{file, nft};

/// By name, the steps of a plan that load its rules.
pub(crate) fn all(dir: &Path, flows: &[Flow]) -> Vec<(String, Vec<String>)> {
    let mut out = vec![("a linear chain".to_owned(), nft(&linear(dir, flows)))];
    match aerleon(dir, flows) {
        Ok(ruleset) => out.push(("aerleon".to_owned(), nft(&ruleset))),
        Err(why) => println!("without aerleon: {why}"),
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/kernel/peers.sh");
    match packaged(dir, flows, &script) {
        Ok(()) => {
            for name in ["firewalld", "shorewall"] {
                let cpu = fs::read_to_string(dir.join(name).with_extension("cpu")).unwrap_or_default();
                let spent: f64 = cpu.split_whitespace().filter_map(|part| part.parse::<f64>().ok()).sum();
                println!(
                    "{name} took {spent:.2} s of CPU to make it{}",
                    if name == "firewalld" { " and load it" } else { "" }
                );
            }
            out.push(("firewalld".to_owned(), nft(&dir.join("firewalld.nft"))));
            let load =
                format!("load rules {} restore {}", script.display(), dir.join("shorewall.save").display());
            out.push(("shorewall".to_owned(), vec![load]));
        }
        Err(why) => println!("without firewalld and shorewall: {why}"),
    }
    out
}

fn each(flows: &[Flow]) -> impl Iterator<Item = (String, String, u64, u64, u16)> {
    flows.iter().map(|([from, to], port)| (draw::net(*from), draw::net(*to), from.0, to.0, *port))
}

pub(crate) fn linear(dir: &Path, flows: &[Flow]) -> PathBuf {
    let rules: String = each(flows)
        .map(|(a, b, _, _, p)| format!("ip saddr {a} ip daddr {b} udp dport {p} accept\n"))
        .collect();
    let text = format!(
        "table inet linear {{\nchain forward {{ type filter hook forward priority 0; policy drop;\n\
         ct state vmap {{ established : accept, related : accept, invalid : drop }}\n{rules}}}\n}}\n"
    );
    file(dir, "linear.nft", &text)
}

fn aerleon(dir: &Path, flows: &[Flow]) -> Result<PathBuf, String> {
    let of = dir.join("aerleon");
    fs::create_dir_all(of.join("def")).map_err(|e| e.to_string())?;
    let hosts: BTreeSet<String> = each(flows).flat_map(|(a, b, ..)| [a, b]).collect();
    let mut text = String::from("networks:\n");
    for host in hosts {
        writeln!(text, "  H{}:\n    values:\n      - address: {host}/32", host.replace('.', "_")).unwrap();
    }
    file(&of.join("def"), "networks.yaml", &text);
    let mut text = String::from("services:\n");
    for port in flows.iter().map(|(_, port)| port).collect::<BTreeSet<_>>() {
        writeln!(text, "  P{port}:\n    - protocol: udp\n      port: {port}").unwrap();
    }
    file(&of.join("def"), "services.yaml", &text);
    let mut text =
        String::from("filters:\n- header:\n    targets:\n      nftables: inet forward\n  terms:\n");
    for (at, (a, b, _, _, port)) in each(flows).enumerate() {
        let (a, b) = (a.replace('.', "_"), b.replace('.', "_"));
        writeln!(
            text,
            "  - name: t{at}\n    source-address: H{a}\n    destination-address: H{b}\n    destination-port: P{port}\n    \
             protocol: udp\n    action: accept"
        )
        .unwrap();
    }
    text.push_str("  - name: rest\n    action: deny\n");
    file(&of, "p.yaml", &text);
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench-tools/python/bin/aclgen");
    let program = if own.exists() { own } else { PathBuf::from("aclgen") };
    let args = ["--policy_file", "p.yaml", "--base_directory", ".", "--definitions_directory", "def"];
    let done = Command::new(program).args(args).args(["--output_directory", "."]).current_dir(&of).output();
    let done = done.map_err(|e| format!("aclgen: {e}"))?;
    let ruleset = of.join("p.nft");
    if ruleset.exists() { Ok(ruleset) } else { Err(String::from_utf8_lossy(&done.stderr).into_owned()) }
}

/// The files of firewalld (a policy of rich rules between two zones) and shorewall, and what they make of them.
fn packaged(dir: &Path, flows: &[Flow], script: &Path) -> Result<(), String> {
    for folder in ["firewalld/zones", "firewalld/policies", "shorewall"] {
        fs::create_dir_all(dir.join(folder)).map_err(|e| e.to_string())?;
    }
    for zone in 0..2 {
        let text =
            format!("<zone target=\"DROP\"><short>z{zone}</short><interface name=\"eth{zone}\"/></zone>\n");
        file(&dir.join("firewalld/zones"), &format!("z{zone}.xml"), &text);
        let mut text = format!(
            "<policy target=\"DROP\"><ingress-zone name=\"z{zone}\"/><egress-zone name=\"z{}\"/>\n",
            1 - zone
        );
        for (a, b, _, _, port) in each(flows).filter(|flow| flow.2 == zone) {
            writeln!(
                text,
                "<rule family=\"ipv4\"><source address=\"{a}\"/><destination address=\"{b}\"/>\
                 <port port=\"{port}\" protocol=\"udp\"/><accept/></rule>"
            )
            .unwrap();
        }
        text.push_str("</policy>\n");
        file(&dir.join("firewalld/policies"), &format!("p{zone}.xml"), &text);
    }
    let of = dir.join("shorewall");
    file(&of, "zones", "fw firewall\nz0 ipv4\nz1 ipv4\n");
    file(&of, "interfaces", "?FORMAT 2\nz0 eth0\nz1 eth1\n");
    file(&of, "policy", "all all DROP\n");
    let rules: String = each(flows)
        .map(|(a, b, from, to, port)| format!("ACCEPT z{from}:{a} z{to}:{b} udp {port}\n"))
        .collect();
    file(&of, "rules", &format!("?SECTION NEW\n{rules}"));
    let done = Command::new(script).arg("make").arg(dir).output().map_err(|e| e.to_string())?;
    if done.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&done.stderr).into_owned()) }
}
