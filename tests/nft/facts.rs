//! What the kernel does with a datagram that a machine sends to itself, and what the simulator says: fact by fact.
//!
//! The datagram passes output, postrouting, prerouting and input. A fact is what the ruleset says, and whether the
//! datagram arrives; a counter behind everything else tells it of the kernel. Where no rule looks at `ct` or translates, the
//! kernel tracks nothing and chains that translate do not run (seen here too): the simulator assumes that one does.

use fwc::net::{CtState, Packet, Proto, Space, Verdict};
use fwc::target::nft::artifact::Hook;
use fwc::target::nft::{read, sim};

use crate::loads::{in_namespace, programs};

/// What it shows, the chains (`HOOK PRIORITY [drop]: RULE; RULE`), and whether the datagram to port 9000 arrives.
const FACTS: [(&str, &[&str], bool); 28] = [
    (
        "notrack before tracking makes it untracked",
        &["output -300: udp dport 9000 notrack", "input 0: ct state untracked drop"],
        false,
    ),
    (
        "and nothing else",
        &["output -300: udp dport 9000 notrack", "input 0: ct state new,established,invalid drop"],
        true,
    ),
    (
        "after tracking notrack does nothing",
        &["output 0: udp dport 9000 notrack", "input 0: ct state untracked drop"],
        true,
    ),
    ("the first datagram is new", &["input 0: ct state new drop"], false),
    (
        "what is untracked is not translated",
        &[
            "output -300: notrack",
            "output nat: udp dport 9000 dnat ip to 127.0.0.1:9001",
            "input 0: udp dport 9000 drop",
        ],
        false,
    ),
    (
        "what is tracked is",
        &["output nat: udp dport 9000 dnat ip to 127.0.0.1:9001", "input 0: udp dport 9000 drop"],
        true,
    ),
    (
        "and its original port is remembered",
        &[
            "output nat: udp dport 9000 dnat ip to 127.0.0.1:9001",
            "input 0: meta l4proto udp ct original proto-dst 9000 drop",
        ],
        false,
    ),
    (
        "a drop in a chain that translates drops",
        &["output nat: udp dport 9000 drop", "input 0: ct state invalid drop"],
        false,
    ),
    (
        "what the machine sends to itself no chain at prerouting translates",
        &["prerouting nat: udp dport 9000 drop", "input 0: ct state invalid drop"],
        true,
    ),
    (
        "nor one at input",
        &["input nat: udp dport 9000 snat ip to 127.0.0.5", "input 200: ip saddr 127.0.0.5 drop"],
        true,
    ),
    (
        "a source translated as it was sent is the new one at input",
        &["postrouting nat: udp dport 9000 snat ip to 127.0.0.5", "input 0: ip saddr 127.0.0.5 drop"],
        false,
    ),
    (
        "and the destination that output gave it",
        &["output nat: udp dport 9000 dnat ip to 127.0.0.7", "prerouting 0: ip daddr 127.0.0.7 drop"],
        false,
    ),
    (
        "what output decides before that chain sees the destination as written",
        &["output nat: udp dport 9000 dnat ip to 127.0.0.7", "output -150: ip daddr 127.0.0.7 drop"],
        true,
    ),
    (
        "notrack at prerouting comes too late for what was tracked as it was sent",
        &["prerouting -300: notrack", "input 0: ct state untracked drop"],
        true,
    ),
    (
        "and its state is known there",
        &["prerouting -300: ct state new drop", "input 0: ct state invalid drop"],
        false,
    ),
    (
        "untracked as it was sent, it is there too",
        &["output -300: notrack", "prerouting -300: ct state untracked drop"],
        false,
    ),
    ("an accept ends its own chain alone", &["input -10: accept", "input 10: drop"], false),
    ("a drop is final", &["input -10: drop", "input 10: accept"], false),
    (
        "of equal priorities the last one registered runs first",
        &["input 0: meta mark 7 drop", "input 0: meta mark set 7"],
        false,
    ),
    ("so the first one runs last", &["input 0: meta mark set 7", "input 0: meta mark 7 drop"], true),
    (
        "a mark stays on its way through the machine",
        &["output 0: meta mark set 5", "input 0: meta mark 5 drop"],
        false,
    ),
    ("a return in a base chain is its policy", &["input 0 drop: udp dport 9000 return; accept"], false),
    (
        "after a goto, return goes to the caller of the chain that went",
        &["input 0: jump x; drop", "x: goto y; accept", "y: return"],
        false,
    ),
    (
        "after a jump it goes to that chain",
        &["input 0: jump x; drop", "x: jump y; accept", "y: return"],
        true,
    ),
    ("a map without the key breaks its rule", &["input 0: udp dport vmap { 1 : accept }; drop"], false),
    ("a header that is not there breaks under != too", &["input 0: tcp dport != 22 drop"], true),
    ("names of interfaces are compared as a whole", &["input 0: iifname \"l\" drop"], true),
    ("and match as a whole", &["input 0: iifname \"lo\" drop"], false),
];

fn ruleset(chains: &[&str]) -> String {
    let (mut regular, mut base) = (String::new(), String::new());
    for (at, chain) in chains.iter().enumerate() {
        let (head, rules) = chain.split_once(": ").unwrap();
        let rules: String = rules.split("; ").map(|rule| format!("\t\t{rule}\n")).collect();
        let words: Vec<&str> = head.split(' ').collect();
        match words.as_slice() {
            [name] => regular = format!("\tchain {name} {{\n{rules}\t}}\n{regular}"),
            [hook, "nat"] => {
                let priority = if ["output", "prerouting"].contains(hook) { -100 } else { 100 };
                base += &format!(
                    "\tchain c{at} {{\n\t\ttype nat hook {hook} priority {priority}; policy accept;\n{rules}\t}}\n"
                );
            }
            [hook, priority, policy @ ..] => {
                let policy = policy.first().unwrap_or(&"accept");
                base += &format!(
                    "\tchain c{at} {{\n\t\ttype filter hook {hook} priority {priority}; policy {policy};\n{rules}\t}}\n"
                );
            }
            [] => panic!("{chain}"),
        }
    }
    format!("table inet t {{\n{regular}{base}}}\n")
}

/// The datagram through the simulator, hook after hook.
fn arrives(text: &str) -> bool {
    let rules = read::read(text).unwrap_or_else(|why| panic!("{why}\n{text}")).ruleset;
    let mut packet = Packet::new([127, 0, 0, 1].into(), [127, 0, 0, 1].into(), Proto::UDP, 40_000, 9000);
    for (hook, iif, oif) in [
        (Hook::Output, "", "lo"),
        (Hook::Postrouting, "", "lo"),
        (Hook::Prerouting, "lo", ""),
        (Hook::Input, "lo", ""),
    ] {
        let run = sim::run(&rules, hook, &packet.clone().at(iif, oif));
        match run.verdict.verdict() {
            Some(Verdict::Accept) => packet = run.packet,
            Some(Verdict::Drop | Verdict::Reject) => return false,
            None => panic!("unknown at {hook:?}: {run:?}\n{text}"),
        }
    }
    assert!(matches!(packet.ct, CtState::New | CtState::Untracked));
    true
}

#[test]
fn the_simulator_knows_the_facts() {
    for (what, chains, told) in FACTS {
        assert_eq!(arrives(&ruleset(chains)), told, "{what}");
    }
}

#[test]
fn the_kernel_shows_the_facts() {
    const SCRIPT: &str = "ip link set lo up && \"$1\" -f - && bash -c 'echo x > /dev/udp/127.0.0.1/9000'; \"$1\" list counters";
    const SEEN: &str = "table inet seen {\n\tcounter arrived {\n\t}\n\tchain c {\n\t\ttype filter hook input priority 1000;\n\t\tmeta l4proto udp counter name arrived\n\t}\n}\n";
    let Some((name, nft)) = programs().pop() else { return };
    for (what, chains, told) in FACTS {
        let text = ruleset(chains);
        let said = in_namespace(&nft, SCRIPT, &format!("{text}{SEEN}"));
        let said = said.unwrap_or_else(|why| panic!("{name}: {what}: {why}\n{text}"));
        assert!(said.contains("packets"), "{what}: {said}");
        assert_eq!(said.contains("packets 1 "), told, "{name}: {what}: {said}\n{text}");
    }
}

/// Before connection tracking nobody knows a state: what looks at it there is no drop and no accept.
#[test]
fn a_state_before_tracking_is_unknown() {
    let text = ruleset(&["output -300: ct state new drop"]);
    let rules = read::read(&text).unwrap().ruleset;
    let packet = Packet::new([127, 0, 0, 1].into(), [127, 0, 0, 1].into(), Proto::UDP, 40_000, 9000);
    assert_eq!(sim::run(&rules, Hook::Output, &packet.at("", "lo")).verdict.verdict(), None);
}

/// A set whose elements come and go: the datagram is dropped while the kernel has it there.
const TIMED: &str = "table inet t {
	set s {
		type ipv4_addr
		flags timeout
		elements = { 127.0.0.1 timeout 1s, 127.0.0.9 timeout 1h }
	}
	chain c {
		type filter hook input priority 0; policy accept;
		udp dport 9000 ip saddr @s drop
	}
}
";

/// What expires is there and then is not, in the kernel; the simulator says neither. What cannot reach the set is decided.
#[test]
fn what_expires_has_two_bounds() {
    for text in [
        TIMED.to_owned(),
        TIMED.replace("timeout 1s", "timeout 1s expires 500ms"),
        TIMED.replace("flags timeout", "flags timeout\n\t\ttimeout 1h").replace(" timeout 1s", ""),
        // The set has no timeout, and a rule adds to it.
        TIMED
            .replace("flags timeout", "flags dynamic")
            .replace(" timeout 1s", "")
            .replace(" timeout 1h", "")
            .replace("\t\tudp dport 9000", "\t\tudp dport 9002 add @s { ip saddr }\n\t\tudp dport 9000"),
    ] {
        let rules = read::read(&text).unwrap_or_else(|why| panic!("{why}\n{text}")).ruleset;
        let here = [127, 0, 0, 1].into();
        let datagram = Packet::new(here, here, Proto::UDP, 40_000, 9000).at("lo", "");
        let other = Packet { dport: 9001, ..datagram.clone() };
        assert_eq!(sim::run(&rules, Hook::Input, &datagram).verdict.verdict(), None, "{text}");
        assert_eq!(sim::run(&rules, Hook::Input, &other).verdict.verdict(), Some(Verdict::Accept), "{text}");
        let mut space = Space::default();
        let admits = sim::admits(&rules, Hook::Input, &mut space).unwrap();
        let bounds = |space: &mut Space, packet: &Packet| {
            let least = space.contains(admits.accepted, packet).unwrap();
            let most = space.or(admits.accepted, admits.unknown);
            (least, space.contains(most, packet).unwrap())
        };
        assert_eq!(bounds(&mut space, &datagram), (false, true), "{text}");
        assert_eq!(bounds(&mut space, &other), (true, true), "{text}");
    }
    const SCRIPT: &str = "send() { bash -c 'echo x > /dev/udp/127.0.0.1/9000'; }
ip link set lo up && \"$1\" -f - && send; \"$1\" list counters | grep packets; sleep 1.1; send; \"$1\" list counters | grep packets";
    let Some((name, nft)) = programs().pop() else { return };
    let seen = "table inet seen {\n\tcounter arrived {\n\t}\n\tchain c {\n\t\ttype filter hook input priority 1000;\n\t\tmeta l4proto udp counter name arrived\n\t}\n}\n";
    let said =
        in_namespace(&nft, SCRIPT, &format!("{TIMED}{seen}")).unwrap_or_else(|why| panic!("{name}: {why}"));
    let counts: Vec<&str> = said.lines().filter_map(|line| line.trim().split(' ').nth(1)).collect();
    assert_eq!(counts, ["0", "1"], "{name}: dropped while it is there, and not after: {said}");
}
