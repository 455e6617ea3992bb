//! Long chains: which of their rules a packet is not asked about changes nothing of what becomes of it.

use fwc::net::{CtState, NatStatus, Packet, Proto};
use fwc::target::nft::artifact::Hook;
use fwc::target::nft::read;
use fwc::target::nft::sim;

use crate::generate::{self, Dice};

const RULESETS: u64 = 60;
const PACKETS: usize = 60;

/// A machine through which packets have gone already tells of every packet what one through which none has gone tells.
#[test]
fn a_packet_is_asked_what_it_would_be_if_all_were() {
    let (mut passed, mut settled, mut found) = (0, 0, 0);
    for seed in 0..RULESETS {
        let mut d = Dice::new(seed);
        let text = long(&mut d);
        let ruleset = read::read(&text).unwrap_or_else(|e| panic!("{e}\n{text}")).ruleset;
        let mut runner = sim::Runner::new(&ruleset);
        for _ in 0..PACKETS {
            let packet = generate::packet(&mut d);
            for hook in [Hook::Prerouting, Hook::Forward] {
                let fresh = sim::run(&ruleset, hook, &packet);
                let again = runner.run(hook, &packet);
                assert_eq!(again, fresh, "seed {seed} {hook:?} {packet:?}\n{text}");
                passed += usize::from(hook == Hook::Prerouting);
                settled += usize::from(hook == Hook::Prerouting && packet.ct_status.dnat);
                found += usize::from(fresh.verdict.verdict().is_some());
            }
        }
    }
    println!("{passed} packets, {settled} of connections whose destination is translated, {found} verdicts");
    assert!(settled > 500 && found > 1_000, "{settled} {found}");
}

/// Behind a translation nobody knows the destination of later packets: every rule that asks for one may be theirs.
#[test]
fn what_the_kernel_has_written_is_unknown_to_a_long_chain_too() {
    let ports: String = (1..=40).map(|port| format!("tcp dport {port} drop\n")).collect();
    let text = format!(
        "table inet t {{ chain to {{ type nat hook prerouting priority -100; tcp dport 80 dnat ip to 10.0.0.2:8080; }}\n\
         chain then {{ type filter hook prerouting priority -50;\n{ports} }} }}"
    );
    let ruleset = read::read(&text).unwrap().ruleset;
    let [src, dst] = ["192.0.2.1", "192.0.2.2"].map(|addr| addr.parse().unwrap());
    let mut packet = Packet::new(src, dst, Proto::TCP, 40_000, 80);
    packet.ct = CtState::Established;
    packet.ct_status = NatStatus { dnat: true, snat: false };
    let fresh = sim::run(&ruleset, Hook::Prerouting, &packet);
    assert_eq!(fresh.verdict.verdict(), None, "{fresh:?}");
    let mut runner = sim::Runner::new(&ruleset);
    for _ in 0..3 {
        assert_eq!(runner.run(Hook::Prerouting, &packet), fresh);
    }
}

/// A chain that translates, long ones before it, behind it and where packets are forwarded, and one that they jump to.
fn long(d: &mut Dice) -> String {
    let mut rules = |jumps: bool| -> String {
        (0..32 + d.below(30)).map(|_| format!("    {}\n", rule(d, jumps))).collect()
    };
    let [more, early, late, through] = [false, true, true, true].map(&mut rules);
    format!(
        "table inet t {{
  set hosts {{ type ipv4_addr; flags interval; elements = {{ 10.0.0.2, 198.51.100.0/24 }} }}
  set ports {{ type inet_service; flags interval; elements = {{ 22, 100-200 }} }}
  set met {{ type ipv4_addr; flags dynamic; size 1024; }}
  chain more {{\n{more}  }}
  chain early {{ type filter hook prerouting priority -150;\n{early}  }}
  chain to {{ type nat hook prerouting priority -100; tcp dport 80 dnat ip to 10.0.0.2:22; }}
  chain late {{ type filter hook prerouting priority -50;\n{late}  }}
  chain through {{ type filter hook forward priority 0;\n{through}  }}
}}"
    )
}

/// A rule that nearly always asks for one address or one port, among other things.
fn rule(d: &mut Dice, jumps: bool) -> String {
    let addresses = ["10.0.0.1", "10.0.0.2", "198.51.100.7", "192.0.2.9"];
    let mut words = Vec::new();
    for _ in 0..d.below(3) {
        words.push(match d.below(18) {
            0 => format!("ip saddr {}", d.pick(&addresses)),
            1 => format!("ip daddr != {}", d.pick(&addresses)),
            2 => format!("tcp sport {}", d.pick(&[22, 80, 443])),
            3 => format!("th dport {}", d.pick(&[22, 53])),
            of => d.pick(&OTHERS)[of % 7].to_owned(),
        });
    }
    let port = if d.one_in(2) { 1 + d.below(400) } else { d.pick(&[22, 53, 80, 443]) };
    let keyed = match d.below(8) {
        0..=2 => format!("tcp dport {port}"),
        3 => format!("udp dport {port}"),
        4 => format!("ip daddr {}", d.pick(&addresses)),
        5 => format!("ip daddr {} tcp dport {port}", d.pick(&addresses)),
        6 => "ip6 daddr 2001:db8::2".to_owned(),
        _ => String::new(),
    };
    let at = d.below(words.len() + 1);
    words.insert(at, keyed);
    let ends = ["drop", "accept", "reject", "return", "jump more"];
    let goes_on = ["counter", "meta mark set 5", "meta mark set 1", "log", "quota over 5 mbytes", "continue"];
    let end = if d.one_in(4) { d.pick(&ends) } else { d.pick(&goes_on) };
    words.push(if end == "jump more" && !jumps { "drop" } else { end }.to_owned());
    words.join(" ")
}

/// What else rules ask before or after it: things that are always answered, and things that are not.
const OTHERS: [[&str; 7]; 2] = [
    [
        "ip daddr @hosts",
        "tcp dport @ports",
        "tcp dport 20-90",
        "tcp dport { 22, 80 }",
        "ip daddr 10.0.0.0/24",
        "iifname \"eth0\"",
        "iifname != \"lo\"",
    ],
    [
        "ct state established",
        "meta mark 5",
        "limit rate 10/second burst 5 packets",
        "ip dscp cs1",
        "update @met { ip saddr limit rate 3/minute burst 7 packets }",
        "iifname \"et*\"",
        "ip daddr 10.0.0.1-10.0.0.9",
    ],
];
