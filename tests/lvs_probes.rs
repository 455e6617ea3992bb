//! The probes of the LVS site, `policies/lvs/probes.txt`, and the traps of a director: each goes red when its fix is
//! taken away.
//!
//! This kernel may lack ip_vs, so what it does in the middle is asked hook by hook: the packet that IPVS would hand to
//! the director's output is made there by a raw socket, tracked, and untracked by a `notrack` rule of the harness.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a probe that cannot be read fails the test")]
#![allow(clippy::disallowed_methods, reason = "tests read the checkout")]
#![allow(clippy::indexing_slicing, reason = "answers are in the order of the questions")]

mod common;
mod table;
mod three_way;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use common::{attempt, compiled, folder, kernel, said};
use fwc::compile::Compiled;
use fwc::forwarding::Forwarding;
use fwc::lab::points;
use fwc::model::{HostId, Site};
use fwc::net::{CtState, Packet, Proto, Verdict};
use fwc::target::nft::read;
use fwc::verify::{self, Meanings, Outcome, Report, Servers};
use table::probe;
use three_way::Row;

const PROBES: &str = "policies/lvs/probes.txt";

/// Asked once, for all tests.
static ROWS: LazyLock<Vec<Row>> = LazyLock::new(|| three_way::rows(&compiled(&lvs()), PROBES));

fn lvs() -> Vec<(String, String)> {
    folder("policies/lvs")
}

/// The site with some of its text written otherwise.
fn but(old: &str, new: &str) -> Vec<(String, String)> {
    let mut texts = lvs();
    assert!(texts[0].1.contains(old), "{old}");
    texts[0].1 = texts[0].1.replace(old, new);
    texts
}

#[test]
fn every_probe_has_its_verdict_in_policy_simulator_and_kernel() {
    three_way::all_agree(&ROWS);
}

/// `lvs` as a plain service and the nodes open to their director alone, as the first sketch of such a site has it.
#[test]
fn trap_ipvs_keeps_the_source_of_the_client() {
    let texts = but(
        "allow lvs from internet to master ipvs nat to web port 8080",
        "allow lvs from internet to master",
    );
    // What the nodes are to get from the internet is then nothing.
    let (result, findings, sources) = attempt(&texts);
    let sketch = result.unwrap_or_else(|| panic!("{}", said(&findings, &sources)));
    let whole = compiled(&lvs());
    for line in [
        "198.51.100.10:40000 -> 192.168.100.2 tcp/8080 new accept at master output out eth0",
        "198.51.100.10:40000 -> 192.168.100.2 tcp/8080 new accept at node1 input in eth0",
    ] {
        assert_eq!(decided(&whole, line), Verdict::Accept, "{line}");
        assert_eq!(decided(&sketch, line), Verdict::Drop, "{line}");
    }
}

/// Without masquerading the answers to a node's own connections go past the director.
#[test]
fn trap_one_legged_nodes_need_masquerade() {
    let (result, findings, sources) = attempt(&but(" to internet masquerade", " to internet"));
    assert!(result.is_none());
    let said = said(&findings, &sources);
    assert!(said.contains("asymmetric-path"), "{said}");
}

/// E2, and the nodes' way back.
#[test]
fn trap_replies_must_cross_the_director() {
    for (old, new) in [
        ("allow lvs from internet to", "allow lvs from internet, lan to"),
        ("; route internet via master.lan", ""),
    ] {
        let (result, findings, sources) = attempt(&but(old, new));
        assert!(result.is_none());
        let said = said(&findings, &sources);
        assert!(said.contains("asymmetric-path"), "{new}: {said}");
    }
}

/// The site under `dr`, where the replies of the nodes go past the director.
fn direct(from: &str) -> Vec<(String, String)> {
    let mut texts = but(
        "allow lvs from internet to master ipvs nat to web port 8080",
        &format!("allow lvs from {from} to master ipvs dr to web"),
    );
    for (old, new) in [
        ("only deno from internet", "only lvs from internet"),
        ("route internet via master.lan", "route internet via gw.lan"),
        ("from nodes to internet masquerade", "from nodes to internet"),
    ] {
        assert!(texts[0].1.contains(old), "{old}");
        texts[0].1 = texts[0].1.replace(old, new);
    }
    texts
}

/// Nodes whose gateway is the director would answer it from its own address.
#[test]
fn trap_under_dr_nodes_answer_past_their_director() {
    let mut texts = direct("internet");
    texts[0].1 = texts[0].1.replace("route internet via gw.lan", "route internet via master.lan");
    let (result, findings, sources) = attempt(&texts);
    assert!(result.is_none());
    let said = said(&findings, &sources);
    assert!(said.contains("come back to `master`, from its own address"), "{said}");
}

/// Under `dr` the replies go past the director, and a client on the nodes' own side is served.
#[test]
fn under_dr_neighbours_are_served_too() {
    let direct = compiled(&direct("internet, lan except nodes"));
    assert!(direct.report.holds());
    for line in [
        "192.168.100.50:40000 -> 192.168.100.1 tcp/8000 new accept",
        "192.168.100.50:40000 -> 192.168.100.1 tcp/8000 new accept at master output out eth0",
        "192.168.100.50:40000 -> 192.168.100.1 tcp/8000 untracked accept at master output out eth0",
        "192.168.100.50:40000 -> 192.168.100.1 tcp/8000 new accept at node1 input in eth0",
    ] {
        assert_eq!(decided(&direct, line), Verdict::Accept, "{line}");
    }
}

/// S43, S7: a machine writes to a director by the leg by which it sends there. Whom that leg is taken away from writes
/// nothing, whatever other legs it has; IPVS is told of no service that nobody writes to.
#[test]
fn who_writes_to_a_director_is_read_by_the_leg_they_send_by() {
    let told = |from: &str| {
        let policy = format!(
            "zone world {{ rest }}\nzone lan {{ 10.0.0.0/24 }}\nzone far {{ 10.0.9.0/24 }}\n\
             firewall lb {{ eth0 192.0.2.1 in world; eth1 10.0.0.1 in lan; eth2 10.0.9.1 in far }}\n\
             host s1 = 10.0.0.11 in lan\nhost c {{ eth0 10.0.0.5 in lan; eth1 10.0.9.5 in far }}\n\
             allow tcp 80 from {from} to lb.far ipvs nat to s1\n\
             allow tcp 81 from world to lb.world ipvs nat to s1\n"
        );
        // What is told is held against the policy (`misdirected`), so a wrong reading of either would not compile.
        let (compiled, findings, sources) = attempt(&[("lb.fw".to_owned(), policy)]);
        let compiled = compiled.unwrap_or_else(|| panic!("{from}: {}", said(&findings, &sources)));
        assert!(compiled.report.holds(), "{from}");
        let files = compiled.hosts.iter().flat_map(|host| &host.files);
        let rules = files.filter(|(name, _)| name.ends_with("ipvsadm.rules")).map(|(_, text)| text);
        let services = |text: &String| {
            text.lines()
                .filter_map(|line| line.strip_prefix("-A -t ")?.split(' ').next().map(str::to_owned))
                .collect()
        };
        rules.flat_map(|text| -> Vec<String> { services(text) }).collect::<Vec<_>>()
    };
    assert_eq!(told("c"), ["10.0.9.1:80", "192.0.2.1:81"]);
    assert_eq!(told("c except c.lan"), ["10.0.9.1:80", "192.0.2.1:81"]);
    assert_eq!(told("c except c.far"), ["192.0.2.1:81"]);
}

/// S49: the packet keeps the address of the director, and `expect deny` follows it into the node all the same.
#[test]
fn under_dr_a_deny_follows_the_packet_into_the_real_server() {
    let texts = direct("internet");
    let dr = |more: &str| {
        let mut texts = texts.clone();
        texts[0].1 += &format!("test \"handed on\" {{ {more} }}\n");
        compiled(&texts).report
    };
    for held in [
        "expect deny lvs from internet to node1 direct",
        "expect deny deno from internet to node1",
        "expect only lvs from internet to node1",
    ] {
        assert!(dr(held).holds(), "{held}");
    }
    for wrong in ["expect deny lvs from internet to node1", "expect only deno from internet to 192.168.100.2"]
    {
        let report = dr(wrong);
        let refuted: Vec<_> = report.expects.iter().filter(|proof| !proof.outcome.holds()).collect();
        let [proof] = refuted.as_slice() else { panic!("{wrong}: {refuted:?}") };
        let Outcome::Refuted(shown) = &proof.outcome else { panic!("{proof:?}") };
        let places: Vec<&str> = shown.hops.iter().map(|hop| hop.place.as_str()).collect();
        let way = ["master input eth0", "master IPVS to 192.168.100.2 (emulated)", "master output -> eth0"];
        assert_eq!(places, [&way[..], &["node1 input eth0"]].concat(), "{wrong}");
        assert_eq!(shown.packet.dst.to_string(), "192.168.100.1");
    }
}

/// `fwc trace` goes on behind the director, and says that nobody but the policy knows.
#[test]
fn a_trace_goes_on_through_the_director() {
    let whole = compiled(&lvs());
    let packet = |port| {
        Packet::new(
            "198.51.100.10".parse().unwrap(),
            "192.168.100.1".parse().unwrap(),
            Proto::TCP,
            40_000,
            port,
        )
    };
    let places = |port| -> Vec<String> {
        let hops = verify::trace::trace(&whole.site, &whole.artifacts, &packet(port)).unwrap();
        hops.into_iter().map(|hop| hop.place).collect()
    };
    assert_eq!(
        places(8000),
        [
            "master input eth0",
            "master IPVS to 192.168.100.2 (emulated)",
            "master output -> eth0",
            "node1 input eth0",
            "master IPVS to 192.168.100.3 (emulated)",
            "master output -> eth0",
            "node2 input eth0",
        ]
    );
    assert_eq!(places(8080), ["master input eth0"]);
}

/// Without the rules for what is untracked, a director with `vs.conntrack = 0` stops what it balances: the proof says so,
/// and the kernel.
#[test]
fn trap_the_drop_of_what_is_invalid_or_untracked_kills_replies() {
    let whole = compiled(&lvs());
    let master = whole.site.host_named("master").unwrap();
    let text = &whole.artifacts[&master].text;
    let untracked: Vec<&str> = text.lines().filter(|line| line.contains("ct state untracked")).collect();
    assert_eq!(untracked.len(), 2, "{untracked:?}");
    let lines = [
        "198.51.100.10:40000 -> 192.168.100.2 tcp/8080 untracked accept at master output out eth0",
        "192.168.100.2:8080 -> 198.51.100.10 tcp/40000 untracked accept at master forward in eth0 out eth0 rst",
    ];
    for rule in untracked {
        let without = text.replace(&format!("{rule}\n"), "");
        let refuted = refuted(&whole, master, &without);
        assert_eq!(refuted.iter().map(|p| p.ct).collect::<Vec<_>>(), [CtState::Untracked], "{rule}");
    }
    if kernel() {
        assert_eq!(in_kernel(&whole.site, master, text, &lines), [Verdict::Accept; 2]);
        let killed: String =
            text.lines().filter(|l| !l.contains("ct state untracked")).map(|l| format!("{l}\n")).collect();
        assert_eq!(in_kernel(&whole.site, master, &killed, &lines), [Verdict::Drop; 2]);
    }
}

/// Each change of a rule of the balancer is refuted: of a port, an address, an interface, a flag, a verdict.
#[test]
fn mutants_of_the_balancer_are_refuted() {
    let whole = compiled(&lvs());
    let mut tried = 0;
    for (name, changes) in [
        (
            "master",
            [
                ("tcp sport 8080 tcp flags", "tcp sport 8081 tcp flags"),
                ("& (syn|ack) != syn", "& (syn|ack) == syn"),
                ("tcp flags & (syn|ack) != syn accept", "accept"),
                ("ct state untracked ip saddr @", "ct state { untracked, invalid } ip saddr @"),
                (
                    "ip daddr 192.168.100.2/31 tcp dport 8080 accept",
                    "ip daddr 192.168.100.2 tcp dport 8080 accept",
                ),
                (
                    "ip daddr 192.168.100.2/31 tcp dport 8080 accept",
                    "ip daddr 192.168.100.0/30 tcp dport 8080 accept",
                ),
                ("ip daddr 192.168.100.2/31 tcp dport 8080 accept", "tcp dport 8080 accept"),
                (
                    "iifname \"eth0\" oifname \"eth0\" ct state untracked",
                    "oifname \"eth0\" ct state untracked",
                ),
                ("ct state untracked ip saddr 192.168.100.2/31", "ip saddr 192.168.100.2/31"),
                (
                    "192.168.100.2 . tcp . 8080 comment \"allow lvs",
                    "192.168.100.4 . tcp . 8080 comment \"allow lvs",
                ),
                ("192.168.100.1 . tcp . 8000 comment", "192.168.100.1 . tcp . 8001 comment"),
            ]
            .as_slice(),
        ),
        (
            "node1",
            [
                (
                    "192.168.100.2 . tcp . 8080 comment \"allow lvs",
                    "192.168.100.2 . tcp . 8081 comment \"allow lvs",
                ),
                (
                    "192.168.100.2 . tcp . 8080 comment \"allow lvs",
                    "192.168.100.2 . udp . 8080 comment \"allow lvs",
                ),
            ]
            .as_slice(),
        ),
    ] {
        let host = whole.site.host_named(name).unwrap();
        let text = &whole.artifacts[&host].text;
        for (old, new) in changes {
            assert!(text.contains(old), "{name} has no `{old}`");
            assert!(
                !refuted(&whole, host, &text.replacen(old, new, 1)).is_empty(),
                "{name}: `{old}` as `{new}`"
            );
            tried += 1;
        }
    }
    assert_eq!(tried, 13);
}

/// Real servers behind a router and behind a firewall, and IPv6: one sentence, every point proved.
#[test]
fn real_servers_may_be_far() {
    let text = r#"zone world { rest }
zone world6 { 2001:db8:f::/64 }
zone front { 10.0.0.0/24, 2001:db8:0::/64 }
zone mid { 10.0.1.0/24, 2001:db8:1::/64 }
zone back { 10.0.2.0/24, 2001:db8:2::/64 }
firewall lb { eth0 192.0.2.1, 2001:db8:f::1 in WORLD; eth1 10.0.0.1, 2001:db8::1 in front }
router r { a 10.0.0.2, 2001:db8::2 in front; b 10.0.1.1, 2001:db8:1::1 in mid }
firewall inner { a 10.0.1.2, 2001:db8:1::2 in mid; b 10.0.2.1, 2001:db8:2::1 in back }
host s1 = 10.0.0.11, 2001:db8::11 in front
host s2 = 10.0.2.12, 2001:db8:2::12 in back
group own = s1, s2
each own { nftables }
allow tcp 80, tcp 443, udp 443 from WORLD to lb.WORLD ipvs nat to own port 8080
test "served" {
    expect allow tcp 80, udp 443 from WORLD to lb.WORLD
    expect deny tcp 80 from WORLD to own
}
"#;
    for (zone, family) in [("world", ", 2001:db8:f::1"), ("world6", "192.0.2.1, ")] {
        let text = text.replace("WORLD", zone).replace(family, "");
        let far = compiled(&[("policy.fw".to_owned(), text)]);
        let report = &far.report;
        assert!(
            report.holds(),
            "{zone}: {:?}",
            report.expects.iter().filter(|e| !e.outcome.holds()).collect::<Vec<_>>()
        );
    }
}

/// S45: an expectation about the director's address goes on to the nodes, whose rulesets decide about it too.
#[test]
fn expectations_go_through_the_director() {
    let whole = compiled(&lvs());
    let node = whole.site.host_named("node2").unwrap();
    let text = &whole.artifacts[&node].text;
    let closed: String =
        text.lines().filter(|l| !l.contains("\"allow lvs")).map(|l| format!("{l}\n")).collect();
    let wrong = |text: &str| -> Vec<String> {
        let expects = proved_with(&whole, node, text).expects.into_iter();
        expects.filter(|proof| !proof.outcome.holds()).map(|proof| proof.words).collect()
    };
    assert_eq!(wrong(text), Vec::<String>::new());
    assert_eq!(wrong(&closed), ["expect allow lvs from internet to master"]);
}

/// E19: with the option a second director is heard, and without it nobody (E16).
#[test]
fn a_second_director_speaks_vrrp() {
    let mut texts = lvs();
    texts.push(common::file("policies/lvs/options/vrrp.fw".as_ref()));
    let (one, two) = (compiled(&lvs()), compiled(&texts));
    assert!(two.report.holds());
    let heard = "192.168.100.4 -> 224.0.0.18 112 new accept at master input in eth0";
    assert_eq!(decided(&two, heard), Verdict::Accept);
    assert_eq!(decided(&one, heard), Verdict::Drop);
    let said = "192.168.100.4 -> 224.0.0.18 112 new accept at backup output out eth0";
    assert_eq!(decided(&two, said), Verdict::Accept);
    let node = "192.168.100.2 -> 224.0.0.18 112 new accept at master input in eth0";
    assert_eq!(decided(&two, node), Verdict::Drop);
}

/// Both files of the director, whole.
#[test]
fn what_ipvs_is_told() {
    let texts = but(" nat to web port 8080", " nat to web port 8080 { reason \"} virtual_server # x\" }");
    let compiled = compiled(&texts);
    let master = compiled.hosts.iter().find(|host| host.name == "master").unwrap();
    let file = |name: &str| &master.files.iter().find(|(of, _)| of == name).unwrap().1;
    assert_eq!(
        file("ipvs/ipvsadm.rules"),
        "-A -t 192.168.100.1:8000 -s rr\n\
         -a -t 192.168.100.1:8000 -r 192.168.100.1:8080 -m -w 1\n\
         -a -t 192.168.100.1:8000 -r 192.168.100.2:8080 -m -w 1\n\
         -a -t 192.168.100.1:8000 -r 192.168.100.3:8080 -m -w 1\n"
    );
    let real = |last: u8| {
        format!(
            "    real_server 192.168.100.{last} 8080 {{\n        weight 1\n        TCP_CHECK {{\n            \
             connect_timeout 3\n        }}\n    }}\n"
        )
    };
    assert_eq!(
        *file("ipvs/keepalived.conf"),
        format!(
            "# Written by fwc. For keepalived: include it from /etc/keepalived/keepalived.conf.\n\n\
             # allow lvs from internet to master ipvs nat to web port 8080\n\
             virtual_server 192.168.100.1 8000 {{\n    delay_loop 5\n    lb_algo rr\n    lb_kind NAT\n    \
             protocol TCP\n{}{}{}}}\n",
            real(1),
            real(2),
            real(3)
        )
    );
}

/// The packets that refute the points of a site, one machine's ruleset written otherwise.
fn refuted(compiled: &Compiled, host: HostId, text: &str) -> Vec<Packet> {
    let points = proved_with(compiled, host, text).points.into_iter().map(|proof| proof.outcome);
    points
        .filter_map(|outcome| match outcome {
            Outcome::Refuted(shown) => Some(shown.packet),
            Outcome::Holds | Outcome::Undecided { .. } => None,
        })
        .collect()
}

fn proved_with(compiled: &Compiled, host: HostId, text: &str) -> Report {
    let mut artifacts = compiled.artifacts.clone();
    let reading = read::read(text).unwrap();
    let rules = artifacts.get_mut(&host).unwrap();
    (rules.text, rules.ruleset, rules.lines) = (text.to_owned(), reading.ruleset, reading.lines);
    Meanings::of(&compiled.site).prove(&artifacts, &Servers::new(), common::options().at)
}

fn decided(compiled: &Compiled, line: &str) -> Verdict {
    let probe = probe(&compiled.site, line).unwrap();
    let forwarding = Forwarding::new(&compiled.site);
    let steps = probe.steps(&forwarding).unwrap();
    let mut judges = table::judges::judges(&compiled.site, Some(compiled));
    table::judges::refusal(judges[2].as_mut(), &steps).map_or(Verdict::Accept, |(_, verdict)| verdict)
}

fn in_kernel(site: &Site, host: HostId, text: &str, lines: &[&str]) -> Vec<Verdict> {
    let forwarding = Forwarding::new(site);
    let steps: Vec<_> =
        lines.iter().flat_map(|line| probe(site, line).unwrap().steps(&forwarding).unwrap()).collect();
    let texts = BTreeMap::from([(host, text.to_owned())]);
    let asked = points::ask(&forwarding, &texts, &steps).unwrap();
    asked.iter().map(|a| a.seen.verdict().unwrap_or_else(|| panic!("{:?}: {:?}", a.packet, a.seen))).collect()
}
