//! The same under translation: sites of firewalls in a row, statements with clauses, each kept if the compiler takes it.

use super::{G, on, packet, run, site};
use fwc::ir::{Numbers, Put, Translation as Rule, Translations, wide};
use fwc::model::{Hook, Point, Site};
use fwc::net::addr::{addr, number};
use fwc::net::*;
use fwc::spec::Spec;
use std::net::IpAddr;

const SITES: u64 = 150;

#[test]
fn translated_rules_do_what_the_policy_says() {
    let (mut clauses, mut accepted, mut translated) = (0, 0u64, 0u64);
    for seed in 0..SITES {
        let mut g = G(Random::new(seed));
        let (policy, site) = policy(&mut g);
        clauses += site.accesses.iter().filter(|a| a.nat.is_some()).count();
        let program = fwc::lower::lower(&site);
        let spec = Spec::new(&site);
        let addrs = addresses(&site);
        for pt in &program.points {
            for _ in 0..300 {
                let Some(mut p) = packet(&mut g, &site, pt, &addrs) else { continue };
                before(&mut g, &mut p, &addrs);
                let mine = run(pt, &p);
                let theirs = spec.judge(&Point::Hook { host: pt.host, hook: pt.hook }, &p).verdict;
                assert_eq!(mine, theirs, "seed {seed}, {:?} of {:?}, {p:?}\n{policy}", pt.hook, pt.host);
                accepted += u64::from(mine == Verdict::Accept && p.ct_status.dnat);
            }
        }
        for (host, machine) in site.hosts().filter(|(_, h)| h.filters()) {
            for hook in [Hook::Prerouting, Hook::Postrouting] {
                let rules = program.translations.iter().find(|t| (t.host, t.hook) == (host, hook));
                for _ in 0..300 {
                    let legs = machine.legs.iter().filter_map(|l| l.interface.clone());
                    let wires: Vec<String> = legs.chain(["other".to_owned()]).collect();
                    let Some(p) = at_nat(&mut g, rules, hook, &wires, &addrs) else { continue };
                    let mine = rules.and_then(|t| put(t, &p));
                    let theirs = spec.translate(host, hook, &p);
                    assert_eq!(mine, theirs, "seed {seed}, {hook:?} of {host:?}, {p:?}\n{policy}");
                    translated += u64::from(mine.is_some());
                }
            }
        }
    }
    assert!(
        clauses > 150 && accepted > 1_000 && translated > 5_000,
        "too little was compared: {clauses} clauses, {accepted} accepted, {translated} translated"
    );
}

/// What the rules of a hook do to a packet.
fn put(translations: &Translations, p: &Packet) -> Option<Translation> {
    if translations.itself.contains(&(p.src, p.dst)) {
        return None;
    }
    let by = if translations.hook == Hook::Prerouting { &p.iif } else { &p.oif };
    let rule = translations.rules.iter().find(|r| on(&Some(r.wire.clone()), by) && holds(r, p))?;
    Some(match rule.put {
        Put::Destination(addr, port) => Translation::Destination { addr, port },
        Put::Source(addr) => Translation::Source(addr),
        Put::Masquerade => Translation::Masquerade,
    })
}

fn holds(rule: &Rule, p: &Packet) -> bool {
    let original = p.ct_original.map_or((p.dst, p.dport), |t| (t.dst, t.dport));
    let (to, from) = if p.proto == Proto::ICMP || p.proto == Proto::ICMPV6 {
        (u16::from(p.icmp_type), u16::from(p.icmp_code))
    } else {
        (p.dport, p.sport)
    };
    let seen = [u16::from(p.proto.0), to, from, original.1];
    rule.family == p.family()
        && rule.src.contains(p.src)
        && rule.dst.contains(p.dst)
        && rule.original.as_ref().is_none_or(|o| p.ct_status.dnat && o.contains(original.0))
        && rule.headers.iter().any(|h| h.iter().zip(seen).all(|(s, v)| (s.0..=s.1).contains(&v)))
}

/// Gives some packets a past.
fn before(g: &mut G, p: &mut Packet, addrs: &[IpAddr]) {
    if p.ct_status.dnat || !g.yes(3) {
        return;
    }
    let same: Vec<IpAddr> = addrs.iter().copied().filter(|a| a.is_ipv4() == p.dst.is_ipv4()).collect();
    p.ct_status.dnat = true;
    let dport = if g.yes(2) { p.dport } else { g.pick(&[22, 80, 443, 2222, 8080]) };
    p.ct_original = Some(Tuple { src: p.src, dst: g.pick(&same), sport: p.sport, dport });
}

fn at_nat(
    g: &mut G,
    rules: Option<&Translations>,
    hook: Hook,
    wires: &[String],
    addrs: &[IpAddr],
) -> Option<Packet> {
    let one = rules.filter(|r| !r.rules.is_empty()).map(|r| g.pick(&r.rules));
    let mut wire = g.pick(wires);
    let any = |g: &mut G, set: &AddrSet| {
        let ranges: Vec<AddrRange> = set.ranges().collect();
        let r = g.pick(&ranges);
        match g.n(3) {
            0 => r.first_addr(),
            1 => r.last_addr(),
            _ => addr(r.family, g.0.within(r.first, r.last)),
        }
    };
    let mut p = match one.filter(|_| !g.yes(3)) {
        Some(rule) => {
            let (s, d) = (any(g, &rule.src), any(g, &rule.dst));
            let [proto, to, from, port] = g.pick(&rule.headers);
            let mut within = |range: Numbers| g.0.within(wide(range).0, wide(range).1);
            let (proto, to, from, port) = (within(proto), within(to), within(from), within(port));
            let proto = Proto(u8::try_from(proto).unwrap());
            let mut p = if proto == Proto::ICMP && s.is_ipv4() || proto == Proto::ICMPV6 && s.is_ipv6() {
                Packet::icmp(s, d, u8::try_from(to % 256).unwrap(), u8::try_from(from % 256).unwrap())
            } else {
                Packet::new(s, d, proto, u16::try_from(from).unwrap(), u16::try_from(to).unwrap())
            };
            if let fwc::ir::Wire::Named(name) = &rule.wire
                && !g.yes(5)
            {
                wire.clone_from(name);
            }
            if let Some(original) = &rule.original {
                p.ct_status.dnat = true;
                let dport = u16::try_from(port).unwrap();
                p.ct_original = Some(Tuple { src: p.src, dst: any(g, original), sport: p.sport, dport });
            }
            p
        }
        None => {
            let (s, d) = (g.pick(addrs), g.pick(addrs));
            if s.is_ipv4() != d.is_ipv4() {
                return None;
            }
            Packet::new(
                s,
                d,
                g.pick(&[Proto::TCP, Proto::UDP, Proto::ESP]),
                40_000,
                g.pick(&[80, 443, 22, 2222]),
            )
        }
    };
    if hook == Hook::Postrouting {
        before(g, &mut p, addrs);
    }
    let (i, o) = if hook == Hook::Prerouting { (wire.as_str(), "") } else { ("", wire.as_str()) };
    Some(p.at(i, o))
}

/// A site with statements that the compiler takes, and its text.
fn policy(g: &mut G) -> (String, Site) {
    let mut text = topology(g);
    let mut kept = site(&text).unwrap();
    for _ in 0..16 {
        let longer = format!("{text}{}\n", statement(g));
        if let Some(site) = site(&longer) {
            (text, kept) = (longer, site);
        }
    }
    (text, kept)
}

/// Two firewalls in a row, a router at the side, some hosts that filter.
fn topology(g: &mut G) -> String {
    let six = g.yes(2);
    let both = |v4: &str, v6: &str| if six { format!("{v4}, {v6}") } else { v4.to_owned() };
    let wan = match g.n(4) {
        0 => "dynamic".to_owned(),
        1 => "198.51.100.1, 198.51.100.2".to_owned(),
        _ => both("198.51.100.1", "2001:db8:ffff::1"),
    };
    let dmz_of_inner = if g.yes(4) { "dynamic".to_owned() } else { both("10.0.1.2", "2001:db8:1::2") };
    format!(
        "zone world {{ rest }}\nzone dmz {{ {} }}\nzone lan {{ {} }}\nzone side {{ 10.0.3.0/28 }}\n\
         firewall outer {{ wan {wan} in world; eth0 {} in dmz }}\n\
         firewall inner {{ eth0 {dmz_of_inner} in dmz; eth1 {} in lan{} }}\n\
         router r {{ eth0 10.0.1.3 in dmz; eth1 10.0.3.1 in side }}\n\
         host web = {} in dmz\nhost app = {} in lan\nhost db {{ eth0 10.0.2.9 in lan; eth1 10.0.1.9 in dmz }}\n\
         host side1 = 10.0.3.8 in side\ngroup filtering = {}\neach filtering {{ nftables }}\n",
        both("10.0.1.0/28", "2001:db8:1::/124"),
        both("10.0.2.0/28", "2001:db8:2::/124"),
        both("10.0.1.1", "2001:db8:1::1"),
        both("10.0.2.1", "2001:db8:2::1"),
        if g.yes(3) { "; reject from dmz" } else { "" },
        both("10.0.1.8", "2001:db8:1::8"),
        both("10.0.2.8", "2001:db8:2::8"),
        g.pick(&["web", "app", "web, app, side1", "db"]),
    )
}

fn statement(g: &mut G) -> String {
    let plain = [
        "world",
        "dmz",
        "lan",
        "side",
        "web",
        "app",
        "db.lan",
        "outer.dmz",
        "inner.lan",
        "10.0.1.0/29",
        "inner.dmz",
        "anywhere",
    ];
    let services =
        ["http", "https, ssh", "tcp 8000-8010", "ping", "any", "dns", "tcp 2222", "proto esp, http"];
    let mut from = g.pick(&plain).to_owned();
    if g.yes(3) {
        from = format!("{from}, {}", g.pick(&plain));
    }
    if g.yes(6) {
        from += &format!(" except {}", g.pick(&plain));
    }
    let service = g.pick(&services);
    let modifiers = g.pick(&[
        "",
        "",
        "",
        " { log }",
        " { limit 5/second }",
        " { until 2027-01-31T18:00Z }",
        " { log; limit 9/minute }",
    ]);
    if g.yes(6) {
        let to = g.pick(&plain);
        return format!("deny {service} from {from} to {to}{}", g.pick(&["", " { reject }", " { log }"]));
    }
    match g.n(4) {
        0 | 1 => {
            let doors = [
                "outer.world",
                "outer.world",
                "outer.dmz",
                "inner.dmz",
                "inner.lan",
                "198.51.100.1",
                "outer.world except 198.51.100.2",
            ];
            let targets = [
                "web",
                "app",
                "10.0.2.7",
                "inner.dmz",
                "outer.dmz",
                "side1",
                "db.lan",
                "203.0.113.9",
                "inner.lan",
            ];
            let port = if g.yes(3) { g.pick(&[" port 80", " port 22"]) } else { "" };
            let hairpin = if g.yes(3) { " hairpin" } else { "" };
            format!(
                "allow {service} from {from} to {} dnat to {}{port}{hairpin}{modifiers}",
                g.pick(&doors),
                g.pick(&targets)
            )
        }
        2 => {
            let how = [
                "masquerade",
                "masquerade",
                "snat to outer.world",
                "snat to outer.dmz",
                "snat to inner.dmz",
                "snat to 198.51.100.1",
                "snat to 198.51.100.2",
                "snat to 10.0.1.2",
                "snat to 2001:db8:1::2",
            ];
            format!("allow {service} from {from} to {} {}{modifiers}", g.pick(&plain), g.pick(&how))
        }
        _ => format!("allow {service} from {from} to {}{modifiers}", g.pick(&plain)),
    }
}

fn addresses(site: &Site) -> Vec<IpAddr> {
    let mut addrs: Vec<IpAddr> =
        site.hosts.iter().flat_map(|h| h.legs.iter().flat_map(|l| l.addresses.clone())).collect();
    for zone in 1..4u8 {
        addrs.extend([5u8, 7, 15].map(|k| IpAddr::from([10, 0, zone, k])));
        addrs.extend(format!("2001:db8:{zone}::5").parse::<IpAddr>());
    }
    addrs.extend([[203, 0, 113, 9], [198, 51, 100, 77], [8, 8, 8, 8]].map(IpAddr::from));
    addrs.sort_by_key(|a| (a.is_ipv6(), number(*a)));
    addrs.dedup();
    addrs
}
