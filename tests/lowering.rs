//! Random sites: what the lowered rules do to a new connection's first packet is what the policy says of it.
//!
//! A law between `lower` + `opt` and `spec::Spec::judge`, before any target: half the packets are drawn from the corners
//! of the rules, half from the addresses of the site. Sites that the compiler refuses are skipped, and counted.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::needless_range_loop,
    reason = "random sites are made by small indexes"
)]

use fwc::diag::Findings;
use fwc::ir::*;
use fwc::model::*;
use fwc::net::*;
use fwc::source::*;
use std::net::IpAddr;

#[path = "lowering/nat.rs"]
mod nat;

struct L;
impl Loader for L {
    fn load(&mut self, _: &str, _: &str) -> Result<SourceFile, String> {
        Err(String::new())
    }
}
struct G(Random);
impl G {
    fn n(&mut self, n: usize) -> usize {
        self.0.below(n)
    }
    fn yes(&mut self, k: usize) -> bool {
        self.n(k) == 0
    }
    fn pick<T: Clone>(&mut self, v: &[T]) -> T {
        v[self.0.below(v.len())].clone()
    }
}
fn text(g: &mut G) -> String {
    let nz = 2 + g.n(3);
    let mut t = String::new();
    let v6: Vec<bool> = (0..nz).map(|_| g.yes(3)).collect();
    for z in 0..nz {
        t += &format!(
            "zone z{z} {{ 10.0.{z}.0/28{} }}\n",
            if v6[z] { format!(", 2001:db8:{z}::/124") } else { String::new() }
        );
    }
    let rest = g.yes(2);
    if rest {
        t += "zone world { rest }\n";
    }
    let zones: Vec<String> =
        (0..nz).map(|z| format!("z{z}")).chain(rest.then(|| "world".to_string())).collect();
    let addr = |g: &mut G, z: usize, k: usize| -> String {
        if z >= nz {
            return format!("198.51.100.{k}");
        }
        let mut s = format!("10.0.{z}.{k}");
        if v6[z] && !g.yes(4) {
            s += &format!(", 2001:db8:{z}::{k:x}");
        }
        s
    };
    let mut hosts: Vec<(String, Vec<usize>, bool)> = vec![];
    let ng = 1 + g.n(3);
    for k in 0..ng {
        let mut legs: Vec<usize> = (0..zones.len()).filter(|_| g.yes(2)).collect();
        if legs.len() < 2 {
            legs = vec![k % zones.len(), (k + 1) % zones.len()];
        }
        legs.sort();
        legs.dedup();
        let kind = if g.yes(3) { "router" } else { "firewall" };
        t += &format!("{kind} g{k} {{\n");
        for (i, z) in legs.iter().enumerate() {
            let a = if g.yes(6) { "dynamic".to_string() } else { addr(g, *z, k + 1) };
            t += &format!("  eth{i} {a} in {}\n", zones[*z]);
        }
        if kind == "firewall" && g.yes(2) {
            t += &format!("  reject from {}\n", g.pick(&zones));
        }
        t += "}\n";
        hosts.push((format!("g{k}"), legs, true));
    }
    let nh = 1 + g.n(4);
    for k in 0..nh {
        let mut legs: Vec<usize> = vec![g.n(zones.len())];
        if g.yes(2) {
            legs.push(g.n(zones.len()));
        }
        legs.sort();
        legs.dedup();
        if legs.len() == 1 && g.yes(3) && legs[0] < nz {
            t += &format!("host h{k} = 10.0.{}.{} in {}\n", legs[0], k + 8, zones[legs[0]]);
            if g.yes(2) {
                t += &format!("group gg{k} = h{k}\neach gg{k} {{ nftables }}\n");
            }
        } else {
            t += &format!("host h{k} {{\n");
            for (i, z) in legs.iter().enumerate() {
                let a = if g.yes(5) { "dynamic".to_string() } else { addr(g, *z, k + 8) };
                t += &format!("  eth{i} {a} in {}\n", zones[*z]);
            }
            if g.yes(2) {
                t += "  nftables\n";
                if g.yes(2) {
                    t += &format!("  reject from {}\n", g.pick(&zones));
                }
            }
            if g.yes(2) {
                let (gw, gl, _) = g.pick(&hosts.iter().filter(|h| h.2).cloned().collect::<Vec<_>>());
                let z = g.pick(&gl);
                if legs.contains(&z) {
                    t += &format!(
                        "  route {} via {gw}.{}\n",
                        if g.yes(4) { "10.0.0.0/15".into() } else { g.pick(&zones) },
                        zones[z]
                    );
                }
            }
            t += "}\n";
        }
        hosts.push((format!("h{k}"), legs, false));
    }
    let end = |g: &mut G| -> String {
        match g.n(12) {
            0..=3 => g.pick(&zones),
            4..=6 => {
                let h = g.pick(&hosts);
                format!("{}.{}", h.0, zones[g.pick(&h.1)])
            }
            7 | 8 => g.pick(&hosts).0,
            9 => format!("10.0.{}.{}", g.n(nz), g.n(16)),
            10 => format!("10.0.{}.{}/30", g.n(nz), g.n(4) * 4),
            _ => {
                if g.yes(2) {
                    "anywhere".into()
                } else if g.yes(3) {
                    "224.0.0.18".into()
                } else {
                    format!("10.0.{}.8", g.n(nz))
                }
            }
        }
    };
    for i in 0..1 + g.n(4) {
        let deny = g.yes(4);
        let list = |g: &mut G| {
            let mut v = vec![end(g)];
            if g.yes(3) {
                v.push(end(g));
            }
            v.sort();
            v.dedup();
            let mut s = v.join(", ");
            if g.yes(9) {
                s += &format!(" except {}", end(g));
            }
            s
        };
        let svc = match g.n(7) {
            0 => "any",
            1 => "ping",
            2 => "tcp 80-90",
            3 => "udp 53 from 1024-65535",
            4 => "tcp, proto esp",
            5 => "http, ping",
            _ => "http",
        };
        let from = list(g);
        let to = list(g);
        let mut m = vec![];
        if g.yes(6) {
            m.push("log".to_string());
        }
        if g.yes(4) {
            m.push("until 2027-01-31T18:00Z".to_string());
        }
        if deny {
            if g.yes(2) {
                m.push("reject".into());
            }
        } else if g.yes(4) {
            m.push(if g.yes(2) { "limit 5/second" } else { "limit 100/minute burst 7 per source" }.into());
        }
        let m = if m.is_empty() { String::new() } else { format!(" {{ {} }}", m.join("; ")) };
        t += &format!("{} {svc} from {from} to {to}{m}\n", if deny { "deny" } else { "allow" });
        let _ = i;
    }
    t
}
fn holds(c: &Cell, p: &Packet) -> bool {
    let n = |a: IpAddr| fwc::net::addr::number(a);
    let (a, b) = if p.proto == Proto::ICMP || p.proto == Proto::ICMPV6 {
        (u128::from(p.icmp_type), u128::from(p.icmp_code))
    } else {
        (u128::from(p.dport), u128::from(p.sport))
    };
    let original = p.ct_original.map_or((p.dst, p.dport), |t| (t.dst, t.dport));
    let (was, port) = (n(original.0), u128::from(original.1));
    let [proto, to, from] = c.header.map(wide);
    c.family == p.family()
        && (!c.translated || p.ct_status.dnat)
        && [c.ends[0], c.ends[1], proto, to, from, c.before, wide(c.port_before)]
            .iter()
            .zip([n(p.src), n(p.dst), u128::from(p.proto.0), a, b, was, port])
            .enumerate()
            .all(|(at, (s, v))| at >= 5 && !c.translated || s.0 <= v && v <= s.1)
}
fn layers(ls: &[Layer], p: &Packet) -> Option<Verdict> {
    for l in ls {
        let mut es: Vec<&Entry> = l.entries.iter().filter(|e| holds(&e.cell, p)).collect();
        es.sort_by_key(|e| match l.shape(&e.cell) {
            Shape::Translated => (-1, false),
            Shape::Ports { exact } => (0, !exact),
            Shape::Icmp { exact } => (1, !exact),
            Shape::Protocols { exact } => (2, !exact),
            Shape::Odd => (3, false),
        });
        for e in es {
            if let Some(s) = e.steps.iter().find(|s| {
                s.until.is_none_or(|u| p.time < u) && s.limit.is_none_or(|l| !p.exceeded.contains(&l))
            }) {
                return Some(s.verdict);
            }
            match e.refuse {
                Refuse::Always => return Some(Verdict::Drop),
                Refuse::Until(u) if p.time < u => return Some(Verdict::Drop),
                _ => {}
            }
        }
    }
    None
}
fn on(w: &Option<Wire>, i: &Interface) -> bool {
    match w {
        None => true,
        Some(Wire::Any) => i.name() != "lo",
        Some(Wire::Named(n)) => i.name() == n,
    }
}
fn run(pt: &PointRules, p: &Packet) -> Verdict {
    if pt.hook == Hook::Input && p.iif.name() == "lo" || pt.hook == Hook::Output && p.oif.name() == "lo" {
        return Verdict::Accept;
    }
    let out = pt.hook == Hook::Output;
    for (w, f) in &pt.dhcp {
        if on(&Some(w.clone()), if out { &p.oif } else { &p.iif })
            && *f == p.family()
            && p.proto == Proto::UDP
        {
            let (c, s) = if *f == Family::V4 { (68, 67) } else { (546, 547) };
            let (a, b) = if out { (c, s) } else { (s, c) };
            if p.sport == a && p.dport == b && *f == Family::V4 {
                return Verdict::Accept;
            }
        }
    }
    if pt.closed {
        return Verdict::Drop;
    }
    if let Some(v) = layers(&pt.denies, p) {
        return v;
    }
    if pt.itself.contains(if out { p.dst } else { p.src }) {
        return Verdict::Drop;
    }
    for pair in &pt.pairs {
        if on(&pair.inward, &p.iif)
            && on(&pair.outward, &p.oif)
            && !pair.itself.contains(&(p.src, p.dst))
            && let Some(v) = layers(&pair.layers, p)
        {
            return v;
        }
    }
    for (w, s) in &pt.reject {
        if on(&Some(w.clone()), &p.iif) && s.contains(p.src) {
            return Verdict::Reject;
        }
    }
    Verdict::Drop
}
/// How many sites must have got as far as being compared, of [`SEEDS`] tried.
const AT_LEAST: usize = 15;
const SEEDS: u64 = 200;

#[test]
fn lowered_rules_do_what_the_policy_says() {
    let (mut compared, mut accepted) = (0usize, 0u64);
    for seed in 0..SEEDS {
        let mut g = G(Random::new(seed));
        let policy = text(&mut g);
        let Some(site) = site(&policy) else { continue };
        compared += 1;
        let program = fwc::lower::lower(&site);
        let spec = fwc::spec::Spec::new(&site);
        let addrs = addresses(&site);
        for pt in &program.points {
            for _ in 0..1000 {
                let Some(p) = packet(&mut g, &site, pt, &addrs) else { continue };
                let mine = run(pt, &p);
                let theirs = spec.judge(&Point::Hook { host: pt.host, hook: pt.hook }, &p);
                assert_eq!(
                    mine, theirs.verdict,
                    "seed {seed}, {:?} of {:?}, {p:?}\n{policy}",
                    pt.hook, pt.host
                );
                accepted += u64::from(mine == Verdict::Accept);
            }
        }
    }
    assert!(
        compared >= AT_LEAST && accepted > 1000,
        "too little was compared: {compared} sites, {accepted} accepted"
    );
}

fn site(policy: &str) -> Option<Site> {
    let mut sources = SourceMap::default();
    let root = sources.add("x.fw", policy);
    let mut findings = Findings::default();
    let files = fwc::resolve::gather(&mut sources, &[root], &mut L, &mut findings);
    let site = fwc::resolve::resolve(&files, &mut sources, &mut L, &[], &mut findings)?;
    fwc::topology::check(&site, &mut findings);
    (!findings.has_errors()).then_some(site)
}

/// Addresses that matter: machines', the edges of zones, outside, nobody's.
fn addresses(site: &Site) -> Vec<IpAddr> {
    let mut addrs: Vec<IpAddr> =
        site.hosts.iter().flat_map(|h| h.legs.iter().flat_map(|l| l.addresses.clone())).collect();
    for z in 0..4u8 {
        addrs.extend([0u8, 3, 5, 15].map(|k| IpAddr::from([10, 0, z, k])));
        addrs.extend(format!("2001:db8:{z}::5").parse::<IpAddr>());
    }
    addrs.extend([[198, 51, 100, 77], [224, 0, 0, 18], [0, 0, 0, 0]].map(IpAddr::from));
    addrs
}

fn packet(g: &mut G, site: &Site, pt: &PointRules, addrs: &[IpAddr]) -> Option<Packet> {
    let host = site.host(pt.host)?;
    let mut wires: Vec<String> =
        host.legs.iter().map(|l| l.interface.clone().unwrap_or_else(|| "ethX".into())).collect();
    wires.push("other".into());
    let (i, o) = match pt.hook {
        Hook::Input => (g.pick(&wires), String::new()),
        Hook::Output => (String::new(), g.pick(&wires)),
        Hook::Prerouting | Hook::Forward | Hook::Postrouting | Hook::Bridge => {
            (g.pick(&wires), g.pick(&wires))
        }
    };
    let pairs: Vec<(&Pair, &Entry)> = pt
        .pairs
        .iter()
        .flat_map(|x| x.layers.iter().flat_map(move |l| l.entries.iter().map(move |e| (x, e))))
        .collect();
    let mut p = if !pairs.is_empty() && g.yes(2) {
        let (pair, entry) = g.pick(&pairs);
        let p = inside(g, &entry.cell);
        if g.yes(5) { p.at(&i, &o) } else { p.at(&wire(pair.inward.as_ref()), &wire(pair.outward.as_ref())) }
    } else {
        let (s, d) = (g.pick(addrs), g.pick(addrs));
        if s.is_ipv4() != d.is_ipv4() {
            return None;
        }
        let p = match g.n(8) {
            0 => Packet::icmp(s, d, g.pick(&[8, 128, 0]), 0),
            1 => Packet::new(s, d, Proto::UDP, g.pick(&[53, 5000, 67]), g.pick(&[53, 68])),
            2 => Packet::new(s, d, Proto::ESP, 0, 0),
            _ => Packet::new(s, d, Proto::TCP, 40000, g.pick(&[80, 85, 90, 22])),
        };
        p.at(&i, &o)
    };
    p.time = if g.yes(3) { u64::MAX } else { 0 };
    if g.yes(2) {
        p.exceeded = site.accesses.iter().filter_map(|a| a.limit).collect();
        p.exceeded.sort();
        p.exceeded.dedup();
        if g.yes(2) {
            p.exceeded.pop();
        }
    }
    Some(p)
}

/// A packet at a corner of a cell, or anywhere in it.
fn inside(g: &mut G, c: &Cell) -> Packet {
    let at = |g: &mut G, r: AddrRange| match g.n(4) {
        0 | 1 => r.first_addr(),
        2 => r.last_addr(),
        _ => fwc::net::addr::addr(r.family, g.0.within(r.first, r.last)),
    };
    let (s, d) = (at(g, c.src()), at(g, c.dst()));
    let mut number = |range: Numbers| g.0.within(wide(range).0, wide(range).1);
    let proto = Proto(u8::try_from(number(c.protos())).unwrap());
    let (a, b) = (number(c.to()), number(c.from()));
    let icmp = proto == Proto::ICMP && s.is_ipv4() || proto == Proto::ICMPV6 && s.is_ipv6();
    let mut p = if icmp {
        Packet::icmp(s, d, u8::try_from(a % 256).unwrap(), u8::try_from(b % 256).unwrap())
    } else {
        Packet::new(s, d, proto, u16::try_from(b).unwrap(), u16::try_from(a).unwrap())
    };
    if c.translated {
        let port = number(c.port_before);
        let dst = at(g, AddrRange { family: c.family, first: c.before.0, last: c.before.1 });
        p.ct_status.dnat = true;
        p.ct_original = Some(Tuple { src: p.src, dst, sport: p.sport, dport: u16::try_from(port).unwrap() });
    }
    p
}

fn wire(wire: Option<&Wire>) -> String {
    match wire {
        None => String::new(),
        Some(Wire::Any) => "ethX".into(),
        Some(Wire::Named(name)) => name.clone(),
    }
}
