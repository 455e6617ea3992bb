//! Bridges: what members of one zone say to each other is filtered as the policy says, in all three forms.
//!
//! Random sites with bridges hold both readings of the meaning and both of the ruleset together; the five denies of the
//! LXC site (B10, B15 to B18) are asked of the kernel, and asked again with the filter taken away.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and tells what it did"
)]

mod common;
mod random;

use std::collections::BTreeMap;
use std::net::IpAddr;

use common::{attempt, compiled, kernel, said};
use fwc::compile::Compiled;
use fwc::forwarding::Forwarding;
use fwc::lab::site::{SiteLab, Start};
use fwc::model::{Bridge, Hook, HostId, Origin, Site};
use fwc::net::{CtState, Packet, Proto, Space, Verdict};
use fwc::spec::{Sets, Spec};
use fwc::verify::{Against, Every, HostRules, Meanings, Outcome, Servers};
use random::{Dice, aim, nat, sketch, words};

/// Packet by packet and as sets: one meaning.
#[test]
fn bridges_mean_the_same_packet_by_packet_and_as_sets() {
    let mut forms = [0usize; 4];
    let counted = (0..400u64).map(|seed| {
        let site = sketch::bridged(seed);
        count(&site, &mut forms);
        compared(seed, &site, aim::packet)
    });
    let [dropped, passed, _] = counted.fold([0; 3], added);
    println!("frames dropped and passed: {dropped}, {passed}; bridges by form: {forms:?}");
    assert!(dropped > 2000 && passed > 2000, "{dropped}, {passed}");
    assert!(forms.iter().all(|n| *n > 50), "{forms:?}");
}

/// S48: what a clause translates crosses bridges of machines that have nothing to do with it.
#[test]
fn translated_flows_over_bridges_mean_the_same_packet_by_packet_and_as_sets() {
    let mut all = [[0usize; 3]; 2];
    for seed in 0..600u64 {
        let sites = [
            (sketch::with_bridges(nat::site(seed), seed), nat::packet as Draw),
            (sketch::with_bridges(nat::balanced(seed), seed), nat::shared),
        ];
        for (all, (site, draw)) in all.iter_mut().zip(sites) {
            *all = added(*all, compared(seed, &site, draw));
        }
    }
    println!("dropped, passed, passed by a clause: dnat and masks {:?}, balancers {:?}", all[0], all[1]);
    assert!(all.iter().all(|[.., by_clause]| *by_clause > 100), "{all:?}");
}

type Draw = fn(&mut Dice, &Site, HostId, Hook) -> Packet;

fn added(all: [usize; 3], more: [usize; 3]) -> [usize; 3] {
    [all[0] + more[0], all[1] + more[1], all[2] + more[2]]
}

/// Both readings of what passes the bridges of a site: the frames that are dropped, pass, and pass by a clause.
fn compared(seed: u64, site: &Site, draw: Draw) -> [usize; 3] {
    let mut passed = [0usize; 3];
    {
        let site = site.clone();
        let (spec, sets) = (Spec::new(&site), Sets::new(&site));
        let mut dice = Dice::new(seed ^ 3);
        for (host, hook, point) in aim::points(&site) {
            if !matches!(hook, Hook::Forward | Hook::Bridge) {
                continue;
            }
            let mut space = Space::default();
            let admitted = sets.at(&point, &mut space).unwrap();
            for _ in 0..100 {
                let mut packet = draw(&mut dice, &site, host, hook);
                if dice.one_in(3) {
                    packet = answer(packet);
                }
                let judged = spec.judge(&point, &packet);
                let said = if space.contains(admitted.accepted, &packet).unwrap() {
                    Verdict::Accept
                } else if space.contains(admitted.rejected, &packet).unwrap() {
                    Verdict::Reject
                } else {
                    Verdict::Drop
                };
                assert_eq!(
                    judged.verdict,
                    said,
                    "seed {seed} at {} {hook:?}: {packet:#?} because {:?}\n{}",
                    site.hosts[host.index()].name,
                    judged.because,
                    words::policy(&site)
                );
                let between_ports = hook == Hook::Bridge || packet.iif == packet.oif;
                if between_ports {
                    passed[usize::from(said == Verdict::Accept)] += 1;
                }
                let by_clause = judged.because.iter().any(|origin| match origin {
                    Origin::Access(id) => site.accesses[id.index()].nat.is_some(),
                    Origin::Default(_) | Origin::Base => false,
                });
                passed[2] += usize::from(between_ports && by_clause && said == Verdict::Accept);
            }
        }
    }
    passed
}

fn count(site: &Site, forms: &mut [usize; 4]) {
    for (.., how) in site.hosts.iter().flat_map(|h| h.bridges()) {
        let form = match how {
            Bridge::BrNetfilter => 0,
            Bridge::Stateful => 1,
            Bridge::Stateless(_) => 2,
            Bridge::Hub => 3,
        };
        forms[form] += 1;
    }
}

/// The same packet the other way, as a reply may look.
fn answer(packet: Packet) -> Packet {
    let (src, dst, sport, dport) = (packet.dst, packet.src, packet.dport, packet.sport);
    let icmp_type = match packet.icmp_type {
        8 if packet.proto == Proto::ICMP => 0,
        128 if packet.proto == Proto::ICMPV6 => 129,
        other => other,
    };
    let tcp_flags = if packet.proto == Proto::TCP && packet.tcp_flags == 2 { 18 } else { packet.tcp_flags };
    Packet { src, dst, sport, dport, icmp_type, tcp_flags, ..packet }
}

/// What is emitted for random policies with bridges is what they mean, at every point; what a policy must not say goes.
#[test]
fn random_policies_with_bridges_are_proved() {
    let (mut proved, mut bridges) = (0usize, 0usize);
    let sites = (0..60u64).map(|seed| (seed, sketch::bridged(seed)));
    let translating = (0..60u64).map(|seed| (seed, sketch::with_bridges(nat::site(seed), seed)));
    let balanced = (0..60u64).map(|seed| (seed, sketch::with_bridges(nat::balanced(seed), seed)));
    for (seed, site) in sites.chain(translating).chain(balanced) {
        let Some(compiled) = compiles(&site) else { continue };
        for point in &compiled.report.points {
            let text = words::policy(&site);
            assert!(point.outcome.holds(), "seed {seed}, {}: {:?}\n{text}", point.place, point.outcome);
            let fwc::model::Point::Hook { hook, .. } = &point.point else { continue };
            bridges += usize::from(*hook == Hook::Bridge);
        }
        let unasked = &compiled.report.unasked;
        assert!(unasked.iter().all(|claim| claim.outcome.holds()), "seed {seed}: {unasked:#?}");
        proved += 1;
    }
    println!("{proved} policies, {bridges} points of bridges");
    assert!(proved >= 90 && bridges >= 60, "{proved} policies, {bridges} points of bridges");
}

fn compiles(site: &Site) -> Option<Compiled> {
    let mut text = words::policy(site);
    for _ in 0..12 {
        let (result, findings, sources) = attempt(&[("random.fw".to_owned(), text.clone())]);
        if result.is_some() {
            return result;
        }
        assert!(!said(&findings, &sources).contains("unprintable"), "{}\n{text}", said(&findings, &sources));
        let errors = findings.sorted().into_iter().filter(|d| d.severity == fwc::diag::Severity::Error);
        let spans = errors.filter_map(|d| d.primary.as_ref().map(|label| label.span));
        let lines: Vec<usize> = spans.filter_map(|span| sources.position(span)).map(|at| at.line).collect();
        let may_go = |line: &str| {
            ["allow ", "deny ", "route ", "reject "].iter().any(|w| line.trim_start().starts_with(w))
        };
        let keep = |(at, line): &(usize, &str)| !lines.contains(at) || !may_go(line);
        let kept: String =
            (1..).zip(text.lines()).filter(keep).map(|(_, line)| format!("{line}\n")).collect();
        if kept == text {
            return None;
        }
        text = kept;
    }
    None
}

// ---- the LXC site --------------------------------------------------------------------------------------

const LXC: &str = r#"
zone world { rest }
zone lan { 10.0.0.0/24, fd00:1::/64 }
firewall lxc {
    eth0 192.168.1.232 in world
    lxc0 10.0.0.1, fd00:1::1 in lan bridge HOW
}
host frontend = 10.0.0.2, fd00:1::2 in lan
host backend1 = 10.0.0.3 in lan
host backend2 = 10.0.0.4 in lan
host backoffice = 10.0.0.5 in lan
host mongo1 = 10.0.0.6, fd00:1::6 in lan
host mongo2 = 10.0.0.7 in lan
group backends = backend1, backend2
group app = backends, backoffice
group mongo = mongo1, mongo2, backoffice
service webcache = tcp 8080
allow webcache from frontend to app
allow mongodb from app, mongo to mongo
allow ping from frontend to mongo1
allow any from lxc to lan
test "each machine by its role" {
    expect only webcache from frontend to app
    expect deny any from frontend to mongo2
    expect deny any from app, mongo to backends, frontend
}
"#;

const STATELESS: &str = r#"stateless "this kernel tracks no frames""#;

fn lxc(how: &str) -> Compiled {
    compiled(&[("lxc.fw".to_owned(), LXC.replace("HOW", how))])
}

/// B10, B15, B16, B17, B18: what one member may not say to another.
const DENIES: [(&str, [u8; 4], [u8; 4], u16); 5] = [
    ("B10", [10, 0, 0, 2], [10, 0, 0, 6], 27017),
    ("B15", [10, 0, 0, 3], [10, 0, 0, 4], 8080),
    ("B16", [10, 0, 0, 3], [10, 0, 0, 5], 8080),
    ("B17", [10, 0, 0, 6], [10, 0, 0, 3], 8080),
    ("B18", [10, 0, 0, 2], [10, 0, 0, 3], 22),
];

fn tcp(src: impl Into<IpAddr>, dst: impl Into<IpAddr>, dport: u16) -> Packet {
    Packet::new(src.into(), dst.into(), Proto::TCP, 40_000, dport)
}

/// From machine to machine: whether each packet gets to layer 4.
fn arrive(lab: &mut SiteLab<'_>, site: &Site, packets: &[Packet]) -> Vec<bool> {
    let start = |packet: &Packet| {
        let owner = site.owner_of(packet.src);
        owner.map_or_else(|| Start::Zone(site.zones().last().unwrap().0), |(host, _)| Start::Machine(host))
    };
    let sent: Vec<(Start, Packet)> = packets.iter().map(|p| (start(p), p.clone())).collect();
    lab.send(&sent).unwrap().iter().map(|arrived| arrived.at_layer4).collect()
}

fn rulesets(compiled: &Compiled) -> BTreeMap<HostId, String> {
    compiled.artifacts.iter().map(|(host, rules)| (*host, rules.text.clone())).collect()
}

fn switch(lab: &SiteLab<'_>, host: HostId, value: &str) {
    let netns = lab.netns(host).unwrap();
    let keys = ["bridge/bridge-nf-call-iptables", "bridge/bridge-nf-call-ip6tables"];
    netns.sysctl(&keys.map(|key| (key.to_owned(), value))).unwrap();
}

fn denies() -> Vec<Packet> {
    DENIES.iter().map(|(_, src, dst, port)| tcp(*src, *dst, *port)).collect()
}

/// The trap: without `bridge-nf-call-iptables` no rule of ours sees the frames, and all five denies are gone.
#[test]
fn the_five_denies_hang_on_br_netfilter() {
    if !kernel() {
        return;
    }
    let compiled = lxc("br_netfilter");
    let site = &compiled.site;
    let host = *compiled.artifacts.keys().next().unwrap();
    let forwarding = Forwarding::new(site);
    let mut lab = SiteLab::new(&forwarding, &rulesets(&compiled)).unwrap();
    let allowed = [tcp([10, 0, 0, 2], [10, 0, 0, 3], 8080), tcp([10, 0, 0, 3], [10, 0, 0, 6], 27017)];
    assert_eq!(arrive(&mut lab, site, &denies()), [false; 5], "B10, B15 to B18 with the switch on");
    assert_eq!(arrive(&mut lab, site, &allowed), [true; 2]);
    switch(&lab, host, "0");
    assert_eq!(arrive(&mut lab, site, &denies()), [true; 5], "B10, B15 to B18 with the switch off");
    switch(&lab, host, "1");
    assert_eq!(arrive(&mut lab, site, &denies()), [false; 5]);
}

/// The other trap: the table of the bridge is all that stands between the members, and nothing else decides there.
#[test]
fn the_five_denies_hang_on_the_table_bridge() {
    if !kernel() {
        return;
    }
    let compiled = lxc(STATELESS);
    let site = &compiled.site;
    let host = *compiled.artifacts.keys().next().unwrap();
    let forwarding = Forwarding::new(site);
    let mut lab = SiteLab::new(&forwarding, &rulesets(&compiled)).unwrap();
    let allowed = [tcp([10, 0, 0, 2], [10, 0, 0, 3], 8080), tcp([10, 0, 0, 3], [10, 0, 0, 6], 27017)];
    assert_eq!(arrive(&mut lab, site, &denies()), [false; 5], "B10, B15 to B18 with the table");
    assert_eq!(arrive(&mut lab, site, &allowed), [true; 2]);
    // S41: with the switch on, the forward hook sees the frames too, and drops what only the table knows of.
    switch(&lab, host, "1");
    assert_eq!(arrive(&mut lab, site, &allowed), [false; 2]);
    switch(&lab, host, "0");
    lab.netns(host).unwrap().nft("delete table bridge fwc\n").unwrap();
    assert_eq!(arrive(&mut lab, site, &denies()), [true; 5], "B10, B15 to B18 without the table");
}

/// Without the bridge's word the same policy proves nothing of the kind: every deny and `only` among members fails.
#[test]
fn the_proof_needs_the_bridge() {
    for how in ["br_netfilter", "stateful", STATELESS] {
        assert!(lxc(how).report.holds(), "{how}");
    }
    let hub = compiled(&[("lxc.fw".to_owned(), LXC.replace(" bridge HOW", " hub"))]);
    assert!(hub.report.holds(), "S77");
    assert!(hub.report.frames.is_empty() && !hub.hosts[0].files[0].1.contains("table bridge"), "S77");
    let without = LXC.replace(" bridge HOW", "");
    let (result, ..) = attempt(&[("lxc.fw".to_owned(), without)]);
    let report = result.unwrap().report;
    let failed = report.expects.iter().filter(|e| !e.outcome.holds()).count();
    assert_eq!(failed, report.expects.len());
    // An artifact whose table bridge is missing is refuted at its point.
    let mut compiled = lxc(STATELESS);
    compiled.artifacts.values_mut().for_each(|rules| {
        rules
            .ruleset
            .tables
            .retain(|t| t.name == "fwc" && t.family == fwc::target::nft::artifact::TableFamily::Inet)
    });
    let report = Meanings::of(&compiled.site).prove(&compiled.artifacts, &Servers::new(), 0);
    let red: Vec<&str> =
        report.points.iter().filter(|p| !p.outcome.holds()).map(|p| p.place.as_str()).collect();
    assert_eq!(red, ["lxc bridge"]);
    assert!(report.expects.iter().all(|e| !e.outcome.holds()));
}

/// S41, S42: what is not IP passes, and nothing else with it. Taken away, narrower or wider, the rule that says so is
/// refuted.
#[test]
fn what_is_not_ip_passes_and_nothing_else_with_it() {
    const RULE: &str = "meta protocol != ip meta protocol != ip6 accept";
    const ARP: u16 = 0x0806;
    const OTHER: u16 = 0xffff;
    for how in ["stateful", STATELESS] {
        let compiled = lxc(how);
        let (&host, rules) = compiled.artifacts.iter().next().unwrap();
        let held = &compiled.report.frames;
        assert!(held.len() == 1 && held[0].holds() && held[0].kinds == 14, "{how}: {held:?}");
        let proved = |text: String| {
            let report = Against::new(&compiled.site, host).report(&HostRules::listed(&text).unwrap());
            let stopped: Vec<u16> = report.frames[0].wrong.iter().map(|wrong| wrong.ethertype).collect();
            let red: Vec<String> =
                report.points.into_iter().filter(|p| !p.outcome.holds()).map(|p| p.place).collect();
            (stopped, red)
        };
        let without: Vec<&str> = rules.text.lines().filter(|line| !line.contains(RULE)).collect();
        assert_eq!(without.len() + 1, rules.text.lines().count(), "{how}");
        assert_eq!(proved(without.join("\n") + "\n"), (vec![ARP, OTHER], vec![]), "{how}: taken away");
        for (instead, stopped, red) in [
            (RULE, vec![], vec![]),
            ("meta protocol arp accept", vec![OTHER], vec![]),
            ("meta protocol != ip meta protocol != ip6 meta protocol != arp accept", vec![ARP], vec![]),
            ("meta protocol != ip meta protocol != ip6 drop", vec![ARP, OTHER], vec![]),
            ("meta protocol != ip accept", vec![], vec!["lxc bridge"]),
            ("meta protocol != ip6 accept", vec![], vec!["lxc bridge"]),
            ("accept", vec![], vec!["lxc bridge"]),
        ] {
            let (found, points) = proved(rules.text.replace(RULE, instead));
            assert_eq!(
                (found, points),
                (stopped, red.iter().map(|p| p.to_string()).collect()),
                "{how}: {instead}"
            );
        }
    }
}

/// Replies and ICMP errors get back over a stateless bridge; a bare SYN from the same port does not; neighbours find each
/// other by ARP and neighbour discovery.
#[test]
fn what_a_stateless_bridge_takes_for_replies() {
    if !kernel() {
        return;
    }
    let compiled = lxc(STATELESS);
    let site = &compiled.site;
    let forwarding = Forwarding::new(site);
    let mut lab = SiteLab::new(&forwarding, &rulesets(&compiled)).unwrap();
    let host = *compiled.artifacts.keys().next().unwrap();
    let point = fwc::model::Point::Hook { host, hook: Hook::Bridge };
    let spec = Spec::new(site);
    let v6 = |text: &str| text.parse::<IpAddr>().unwrap();
    let from =
        |port, flags| Packet { sport: 8080, tcp_flags: flags, ..tcp([10, 0, 0, 3], [10, 0, 0, 2], port) };
    let icmp = |src: IpAddr, dst: IpAddr, kind| Packet::icmp(src, dst, kind, 0);
    let (front, back): (IpAddr, IpAddr) = ([10, 0, 0, 2].into(), [10, 0, 0, 3].into());
    let mongo: IpAddr = [10, 0, 0, 6].into();
    let packets = [
        (from(40_000, 18), true), // SYN and ACK: an answer
        (from(22, 16), true),     // the wider part: any port of who may ask
        (from(40_000, 2), false), // a bare SYN
        (Packet { sport: 8081, ..from(40_000, 16) }, false),
        (icmp(front, mongo, 8), true),
        (icmp(mongo, front, 0), true),
        (icmp(mongo, front, 8), false),
        (icmp(back, front, 3), true),
        (icmp(v6("fd00:1::2"), v6("fd00:1::6"), 128), true),
        (icmp(v6("fd00:1::6"), v6("fd00:1::2"), 129), true),
        (icmp(v6("fd00:1::6"), v6("fd00:1::2"), 2), true), // packet too big
        (icmp(v6("fd00:1::6"), v6("fd00:1::2"), 128), false),
        // To nobody we know: ARP and neighbour discovery have to cross the bridge first.
        (tcp([10, 0, 0, 1], [10, 0, 0, 77], 80), true),
        (tcp([10, 0, 0, 6], [10, 0, 0, 77], 80), false),
    ];
    for (packet, meant) in &packets {
        if packet.src != IpAddr::from([10, 0, 0, 1]) {
            let judged = spec.judge(&point, &Packet { ct: CtState::New, ..packet.clone() });
            assert_eq!(judged.verdict == Verdict::Accept, *meant, "{packet:?}");
        }
    }
    let sent: Vec<Packet> = packets.iter().map(|(packet, _)| packet.clone()).collect();
    let wanted: Vec<bool> = packets.iter().map(|(_, meant)| *meant).collect();
    assert_eq!(arrive(&mut lab, site, &sent), wanted);
}

/// Sends a SYN from port 8080 of 10.0.0.3 to port 22 of 10.0.0.2 in two parts, `$1` by which interface and `$2` to whom on the link: of IPv4, the flags in
/// the second part, and others in the padding of the first; of IPv6, the first part as an error of ICMPv6 by its padding.
const PARTS: &str = r#"
import socket, struct, sys, time
link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); link.bind((sys.argv[1], 0))
there = bytes.fromhex(sys.argv[2].replace(':', '')) + link.getsockname()[4]
def summed(data):
    total = sum(struct.unpack('!%dH' % (len(data) // 2), data))
    while total >> 16: total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff
def syn(ends):
    head = struct.pack('!HHIIBBHHH', 8080, 22, 1000, 8080 << 16 | 22, 0xa0, 2, 1000, 0, 0) + bytes([1]) * 20
    pseudo = ends + struct.pack('!II', len(head), 6)
    return head[:16] + struct.pack('!H', summed(pseudo + head)) + head[18:]
def four(part, field, padding=b''):
    ends = socket.inet_aton('10.0.0.3') + socket.inet_aton('10.0.0.2')
    head = struct.pack('!BBHHHBBH', 0x45, 0, 20 + len(part), 7, field, 64, 6, 0) + ends
    link.send(there + b'\x08\x00' + head[:10] + struct.pack('!H', summed(head)) + head[12:] + part + padding)
whole = syn(socket.inet_aton('10.0.0.3') + socket.inet_aton('10.0.0.2'))
four(whole[:8], 0x2000, struct.pack('!IBBHHH', 0, 0xa0, 0x10, 0, 0, 0) + bytes(20))
four(whole[8:], 1)
ends = socket.inet_pton(socket.AF_INET6, 'fd00:1::6') + socket.inet_pton(socket.AF_INET6, 'fd00:1::2')
def six(part, kind, field, padding=b''):
    head = struct.pack('!IHBB', 6 << 28, 8 + len(part), 44, 64) + ends + struct.pack('!BBHI', kind, 0, field, 7)
    link.send(there + b'\x86\xdd' + head + part + padding)
pad = lambda count: bytes([1, count - 2]) + bytes(count - 2)
error = bytes([1, 0]) + bytes(30)
six(bytes([60, 1]) + pad(6), 60, 1, pad(8) + bytes([58, 0]) + pad(6) + error)
six(pad(8) + bytes([6, 0]) + pad(6) + syn(ends), 58, 8)
time.sleep(0.3)
"#;

/// What comes in by an interface: parts of IPv4, parts of IPv6, and answers from port 22.
fn counting(port: &str) -> String {
    format!(
        "table netdev seen {{\n counter parts4 {{\n }}\n counter parts6 {{\n }}\n counter answers {{\n }}\n chain c {{\n \
         type filter hook ingress device \"{port}\" priority 0; policy accept;\n \
         ip frag-off & 0x3fff != 0 counter name parts4\n exthdr frag exists counter name parts6\n \
         tcp sport 22 counter name answers\n }}\n}}\n"
    )
}

/// S42 (b) by its looks is a reply that starts no connection: nor does one in parts, of which no frame shows it.
#[test]
fn no_connection_starts_in_parts_over_a_stateless_bridge() {
    if !kernel() {
        return;
    }
    let compiled = lxc(STATELESS);
    let site = &compiled.site;
    let host = *compiled.artifacts.keys().next().unwrap();
    let forwarding = Forwarding::new(site);
    let mut lab = SiteLab::new(&forwarding, &rulesets(&compiled)).unwrap();
    let named = |name: &str| site.hosts().find(|(_, machine)| machine.name == name).unwrap().0;
    let (to, from) = (named("frontend"), named("backend1"));
    for member in [to, from] {
        let port = lab.ports(member)[0].name.clone();
        lab.netns(member).unwrap().nft(&counting(&port)).unwrap();
    }
    let sends = |lab: &SiteLab<'_>| -> [u64; 3] {
        let (there, here) = (lab.netns(to).unwrap(), lab.netns(from).unwrap());
        let link = there.run("ip", &["-o", "link", "show", &lab.ports(to)[0].name], "").unwrap();
        let mac = link.split("link/ether ").nth(1).unwrap().split(' ').next().unwrap();
        here.run("python3", &["-", &lab.ports(from)[0].name, mac], PARTS).unwrap();
        let counted = |netns: &fwc::lab::netns::Netns, name: &str| {
            let said = netns.run("nft", &["reset", "counter", "netdev", "seen", name], "").unwrap();
            said.split("packets ").nth(1).unwrap().split(' ').next().unwrap().parse::<u64>().unwrap()
        };
        [counted(there, "parts4"), counted(there, "parts6"), counted(here, "answers")]
    };
    assert_eq!(sends(&lab), [0, 0, 0], "parts at the receiver, and its answers");
    // Without the two rules the connection of IPv4 comes through and is answered, and of IPv6 the part that looks like an error (this
    // kernel takes the header of IPv6 for what would stand in the other).
    let without = |text: &String| {
        let kept = text.lines().filter(|line| !line.contains("a fragment of"));
        kept.map(|line| format!("{line}\n")).collect::<String>()
    };
    let open = rulesets(&compiled).iter().map(|(host, text)| (*host, without(text))).collect();
    lab.load(&open).unwrap();
    switch(&lab, host, "0");
    assert_eq!(sends(&lab), [2, 1, 1], "without the two rules");
}

/// Sends a datagram to port 53 of 10.0.0.2 and of fd00:1::2 from 10.0.0.6 and fd00:1::6 behind each of these tags, `$1` by which
/// interface and `$2` to whom on the link.
const TAGGED: &str = r#"
import socket, struct, sys, time
link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); link.bind((sys.argv[1], 0))
ends = bytes.fromhex(sys.argv[2].replace(':', '')) + link.getsockname()[4]
def summed(data):
    total = sum(struct.unpack('!%dH' % (len(data) // 2), data))
    while total >> 16: total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff
def datagram(addresses):
    head = struct.pack('!HHHH', 40000, 53, 8, 0)
    return head[:6] + struct.pack('!H', summed(addresses + struct.pack('!II', 8, 17) + head))
four = socket.inet_aton('10.0.0.6') + socket.inet_aton('10.0.0.2')
head = struct.pack('!BBHHHBBH', 0x45, 0, 28, 7, 0, 64, 17, 0) + four
four = b'\x08\x00' + head[:10] + struct.pack('!H', summed(head)) + head[12:] + datagram(four)
six = socket.inet_pton(socket.AF_INET6, 'fd00:1::6') + socket.inet_pton(socket.AF_INET6, 'fd00:1::2')
six = b'\x86\xdd' + struct.pack('!IHBB', 6 << 28, 8, 17, 64) + six + datagram(six)
customer, provider = b'\x81\x00\x00\x00', b'\x88\xa8\x00\x00'
for tags in (b'', customer, provider, customer * 2, provider + customer, customer * 3):
    for carried in (four, six): link.send(ends + tags + carried)
time.sleep(0.3)
"#;

/// S76: a frame behind a tag of VLAN 0 is for its receiver one without, and no other rule has seen what it carries.
#[test]
fn nothing_behind_a_tag_of_a_vlan_passes_a_bridge() {
    if !kernel() {
        return;
    }
    for (how, switched, open) in [(STATELESS, "0", [3, 3]), ("br_netfilter", "1", [5, 5])] {
        let compiled = lxc(how);
        let site = &compiled.site;
        let host = *compiled.artifacts.keys().next().unwrap();
        let forwarding = Forwarding::new(site);
        let mut lab = SiteLab::new(&forwarding, &rulesets(&compiled)).unwrap();
        let named = |name: &str| site.hosts().find(|(_, machine)| machine.name == name).unwrap().0;
        let (to, from) = (named("frontend"), named("mongo1"));
        let heard = "table inet heard {\n counter four {\n }\n counter six {\n }\n chain c {\n \
                     type filter hook input priority 0; policy accept;\n \
                     ip daddr 10.0.0.2 udp dport 53 counter name four\n \
                     ip6 daddr fd00:1::2 udp dport 53 counter name six\n }\n}\n";
        lab.netns(to).unwrap().nft(heard).unwrap();
        let sends = |lab: &SiteLab<'_>| -> [u64; 2] {
            let (there, here) = (lab.netns(to).unwrap(), lab.netns(from).unwrap());
            let link = there.run("ip", &["-o", "link", "show", &lab.ports(to)[0].name], "").unwrap();
            let mac = link.split("link/ether ").nth(1).unwrap().split(' ').next().unwrap();
            here.run("python3", &["-", &lab.ports(from)[0].name, mac], TAGGED).unwrap();
            ["four", "six"].map(|name| {
                let said = there.run("nft", &["reset", "counter", "inet", "heard", name], "").unwrap();
                said.split("packets ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap()
            })
        };
        assert_eq!(sends(&lab), [0, 0], "{how}");
        let without = |text: &String| {
            let kept = text.lines().filter(|line| !line.contains("ether type"));
            kept.map(|line| format!("{line}\n")).collect::<String>()
        };
        let texts = rulesets(&compiled).iter().map(|(host, text)| (*host, without(text))).collect();
        lab.load(&texts).unwrap();
        switch(&lab, host, switched);
        assert_eq!(sends(&lab), open, "{how}, without the rule");
    }
}

/// The proof asks for it, of every form: the rule taken away, narrower, behind what lets a frame pass, and one that stops packets.
#[test]
fn a_bridge_that_lets_a_tag_pass_is_refuted() {
    const RULE: &str = "ether type { 33024, 34984 } counter drop";
    for (how, by_chain) in [("br_netfilter", false), ("stateful", true), (STATELESS, true)] {
        let compiled = lxc(how);
        let (&host, rules) = compiled.artifacts.iter().next().unwrap();
        assert!(compiled.report.frames[0].holds(), "{how}: {:?}", compiled.report.frames);
        let with = |instead: &str| {
            let text = rules.text.replace(RULE, instead);
            assert_ne!(text, rules.text);
            let report = Against::new(&compiled.site, host).report(&HostRules::listed(&text).unwrap());
            assert_eq!(report.uncompared, Vec::<String>::new(), "{how}: {instead}");
            let points = report.points.iter().all(|point| point.outcome.holds());
            (report.frames[0].clone(), points)
        };
        for (instead, tags) in [
            ("counter accept", vec![0x8100, 0x88a8]),
            ("ether type 8021q drop", vec![0x88a8]),
            ("ether type 8021ad drop", vec![0x8100]),
            ("meta protocol { 8021q, 8021ad } drop", vec![0x8100, 0x88a8]),
            ("ether type { 8021q, 8021ad } accept", vec![0x8100, 0x88a8]),
            ("ether type { 8021q, 8021ad } drop", vec![]),
            ("ether type { 0x8100, 0x88a8, 0x9100 } drop", vec![]),
        ] {
            let (frames, points) = with(instead);
            let mut found: Vec<u16> = frames.wrong.iter().filter_map(|wrong| wrong.tag).collect();
            found.dedup();
            assert_eq!((found, points), (tags, true), "{how}: {instead}");
        }
        let (frames, points) = with("drop");
        assert!(!frames.holds(), "{how}: {frames:?}");
        assert_eq!(points, !by_chain, "{how}");
        assert_eq!(matches!(frames.packets, Every::But(_)), !by_chain, "{how}: {frames:?}");
    }
}

/// The proof asks for it: without either rule, with one of them too narrow or too late, the frames are refuted.
#[test]
fn fragments_that_may_pass_a_stateless_bridge_are_refuted() {
    let compiled = lxc(STATELESS);
    let (&host, rules) = compiled.artifacts.iter().next().unwrap();
    let [four, six] = ["ip protocol tcp ip frag-off & 16383 != 0", "exthdr frag exists"];
    let found = |text: &str| {
        let report = Against::new(&compiled.site, host).report(&HostRules::listed(text).unwrap());
        report.frames[0].fragments.clone()
    };
    assert_eq!(found(&rules.text), Every::Holds);
    let late = {
        let line = rules.text.lines().find(|line| line.contains(six)).unwrap();
        let without = rules.text.replace(&format!("{line}\n"), "");
        let errors = without.lines().rfind(|line| line.contains("icmpv6 type")).unwrap().to_owned();
        without.replace(&errors, &format!("{errors}\n{line}"))
    };
    for text in [
        rules.text.replace(four, "meta mark 77"),
        rules.text.replace(six, "meta mark 77"),
        rules.text.replace("& 16383", "& 8191"),
        rules.text.replace(four, "ip protocol tcp ip saddr 10.0.0.6 ip frag-off & 16383 != 0"),
        late,
    ] {
        assert_ne!(text, rules.text);
        assert!(matches!(found(&text), Every::But(_)), "{text}");
    }
    // What tracks connections puts fragments together before its rules see them.
    let stateful = lxc("stateful");
    assert_eq!(stateful.report.frames[0].fragments, Every::Holds);
    assert!(!stateful.artifacts.values().next().unwrap().text.contains("frag"));
}

/// Every chain sees such a frame, and one that surely drops it is enough (S41): a chain that tracks connections, of which nobody knows what
/// it does with a fragment, is nothing to the one that does not.
#[test]
fn fragments_beside_a_stateful_bridge_are_those_of_the_stateless_one() {
    let [four, six] =
        ["ip protocol tcp ip frag-off & 16383 != 0 counter drop", "exthdr frag exists counter drop"];
    let legs =
        [r#"br1 10.1.0.1, fd00:1::1 in l1 bridge FORM"#, r#"br2 10.2.0.1, fd00:2::1 in l2 bridge FORM"#];
    for (first, second) in [("stateful", STATELESS), (STATELESS, "stateful")] {
        let legs = [legs[0].replace("FORM", first), legs[1].replace("FORM", second)].join("; ");
        let compiled = compiled(&[(
            "two.fw".to_owned(),
            format!(
                "zone l1 {{ 10.1.0.0/24, fd00:1::/64 }}\nzone l2 {{ 10.2.0.0/24, fd00:2::/64 }}\nfirewall fw {{ {legs} }}\n\
                 host a = 10.1.0.2, fd00:1::2 in l1\nhost b = 10.1.0.3, fd00:1::3 in l1\n\
                 host c = 10.2.0.2, fd00:2::2 in l2\nhost d = 10.2.0.3, fd00:2::3 in l2\n\
                 allow ssh from a to b, c\nallow udp 53 from c to d, a\n"
            ),
        )]);
        let (&host, rules) = compiled.artifacts.iter().next().unwrap();
        let found = |text: &str| {
            let report = Against::new(&compiled.site, host).report(&HostRules::listed(text).unwrap());
            report.frames[0].fragments.clone()
        };
        assert_eq!(compiled.report.frames[0].fragments, Every::Holds, "{first}, {second}");
        assert_eq!(found(&rules.text), Every::Holds);
        let chain = if first == "stateful" { "chain bridge_br2 {" } else { "chain bridge_br1 {" };
        for text in [
            rules.text.replace(four, "counter"),
            rules.text.replace(six, "counter"),
            rules
                .text
                .replace(four, "ip protocol tcp ip saddr 10.2.0.3 ip frag-off & 16383 != 0 counter drop"),
            rules.text.replace("& 16383", "& 8191"),
            rules.text.replace(four, "ip protocol tcp ip frag-off & 16383 != 0 counter accept"),
            rules.text.replace(six, "exthdr frag exists counter accept"),
            // The chain that stops them is at another hook.
            {
                let (before, after) = rules.text.split_once(chain).unwrap();
                format!("{before}{chain}{}", after.replacen("hook forward", "hook output", 1))
            },
        ] {
            assert_ne!(text, rules.text);
            assert!(matches!(found(&text), Every::But(_)), "{first}, {second}: {text}");
        }
    }
}

/// S38 holds for what is bridged too: the first packet passes, and what its sender sends after the reply comes by another leg than
/// the one that leads back.
#[test]
fn what_follows_a_reply_over_a_bridge_meets_strict_source() {
    let text = "zone lan { 10.1.1.0/24 }\nzone far { 10.1.2.0/24 }\nzone wan { 10.1.3.0/24 }\n\
        firewall b { br0 10.1.1.1 in lan bridge br_netfilter; e1 10.1.3.1 in wan; strict-source; route far via g2.wan }\n\
        router g1 { a 10.1.1.2 in lan; b 10.1.2.1 in far }\nrouter g2 { a 10.1.3.2 in wan; b 10.1.2.2 in far }\n\
        host s { e 10.1.1.5 in lan; route far via g1.lan }\nhost x { e 10.1.2.5 in far; route lan via g1.far }\n\
        allow tcp 81 from x to s\ntest \"t\" { expect allow tcp 81 from x to s }\n";
    let found = |text: &str| {
        let (result, findings, sources) = attempt(&[("strict.fw".to_owned(), text.to_owned())]);
        let report = result.unwrap_or_else(|| panic!("{}", said(&findings, &sources))).report;
        match report.expects.into_iter().next().unwrap().outcome {
            Outcome::Refuted(found) => found.reason,
            other => Some(format!("{other:?}")),
        }
    };
    let reason = "what follows the reply is stopped at `b` forward (`strict-source`)";
    assert_eq!(found(text).as_deref(), Some(reason));
    assert_eq!(found(&text.replace(" strict-source;", "")).as_deref(), Some("Holds"));
}

/// `stateful` cannot be loaded here (this kernel refuses `ct state` in `table bridge`): its text is at least what our
/// reader takes, and says nothing that a bridge has not.
#[test]
fn the_forms_say_only_what_a_bridge_knows() {
    for (how, tracks) in [("stateful", true), (STATELESS, false)] {
        let compiled = lxc(how);
        let text = &compiled.artifacts.values().next().unwrap().text;
        let bridge = text.split("table bridge fwc {").nth(1).unwrap();
        assert_eq!(bridge.contains("ct state"), tracks, "{bridge}");
        for word in ["reject", "ibrname", "obrname", "iifname", "oifname", "nfproto"] {
            assert!(!bridge.contains(word), "{word}: {bridge}");
        }
        if !tracks {
            assert!(!bridge.contains(" ct "), "{bridge}");
        }
    }
}

/// nft takes the stateful text for what it is: all that is refused here is refused by the kernel, which tracks no frames.
#[test]
fn nft_reads_the_stateful_text() {
    if !kernel() {
        return;
    }
    let compiled = lxc("stateful");
    let netns = fwc::lab::netns::Netns::new().unwrap();
    match netns.nft(&compiled.artifacts.values().next().unwrap().text) {
        Ok(()) => println!("this kernel tracks frames"),
        Err(why) => {
            let why = why.to_string();
            let errors: Vec<&str> = why.split("Error: ").skip(1).map(|e| e.lines().next().unwrap()).collect();
            assert!(
                !errors.is_empty() && errors.iter().all(|e| *e == "Could not process rule: Protocol error"),
                "{why}"
            );
        }
    }
}

/// Each is said: the `allow`s whose replies pass so, and the expectations that hold but for them.
#[test]
fn a_stateless_bridge_says_what_it_takes_for_replies() {
    let (result, findings, sources) = attempt(&[("lxc.fw".to_owned(), LXC.replace("HOW", STATELESS))]);
    let report = result.unwrap().report;
    let site = lxc(STATELESS).site;
    let words: Vec<&str> =
        report.replies.iter().map(|r| site.access(r.access).unwrap().words.as_str()).collect();
    assert_eq!(
        words,
        [
            "allow mongodb from app, mongo to mongo",
            "allow ping from frontend to mongo1",
            "allow webcache from frontend to app"
        ]
    );
    let said = said(&findings, &sources);
    assert!(said.contains("stateless-replies") || said.contains("takes for replies"), "{said}");
    assert_eq!(common::checked(&[("lxc.fw".to_owned(), LXC.replace("HOW", STATELESS))]).0, said);
    let covered: Vec<&str> =
        report.expects.iter().filter(|e| !e.replies.is_empty()).map(|e| e.words.as_str()).collect();
    assert_eq!(covered, ["expect deny any from app, mongo to backends, frontend"]);
    for how in ["br_netfilter", "stateful"] {
        let report = lxc(how).report;
        assert!(report.replies.is_empty() && report.expects.iter().all(|e| e.replies.is_empty()), "{how}");
    }
}
