//! The suite of good policies: `tests/suite/pass/*.fw`, many small cases in one file.
//!
//! A case starts at a line `--- name ---` and carries a table of packets, in literal addresses, ports and protocol
//! numbers, never in names of the policy:
//!
//! ```text
//! #= SRC[:port] -> DST PROTO[/port|/type.code] STATE VERDICT [options]
//! #= 198.51.100.7:40000 -> 10.0.3.10 tcp/5432 new   drop
//! #= [2001:db8::7]:40000 -> 2001:db8:3::10 tcp/5432 new   drop
//! ```
//!
//! The packet goes end to end over the site: from the zone (or the machine) that has the source, hop by hop
//! by [`Forwarding`], asking every machine that filters on the way. The verdict is that of the first that
//! does not accept; `lost` where no way leads there. Options: `at HOST HOOK [in IF] [out IF]` for one
//! point alone, `ttl N`, `rst`, `over` (every limit is exceeded), `when 2027-01-01T00:00:00Z`.
//!
//! Each packet is put before every judge of [`judges`]: they are told a point and what it sees.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a case that cannot be read fails the test")]
#![allow(clippy::disallowed_methods, reason = "tests read the checkout")]
#![allow(clippy::indexing_slicing, reason = "a table line that is too short fails the test")]

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use fwc::diag::Findings;
use fwc::forwarding::{Forwarding, Next, ZoneNext};
use fwc::model::{Hook, HostId, LegId, Point, Site};
use fwc::net::packet::tcp_flag;
use fwc::net::{CtState, Interface, Packet, Proto, Space, Verdict};
use fwc::source::{Loader, SourceFile, SourceMap};
use fwc::spec::{Sets, Spec};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// One opinion about what a point does.
trait Judge {
    fn name(&self) -> &'static str;
    fn judge(&mut self, point: &Point, packet: &Packet) -> Verdict;
}

/// Every opinion there is about a site.
fn judges<'s>(site: &'s Site) -> Vec<Box<dyn Judge + 's>> {
    vec![Box::new(Meaning(Spec::new(site))), Box::new(MeaningInSets(Sets::new(site)))]
}

struct Meaning<'s>(Spec<'s>);

impl Judge for Meaning<'_> {
    fn name(&self) -> &'static str {
        "spec"
    }

    fn judge(&mut self, point: &Point, packet: &Packet) -> Verdict {
        self.0.judge(point, packet).verdict
    }
}

struct MeaningInSets<'s>(Sets<'s>);

impl Judge for MeaningInSets<'_> {
    fn name(&self) -> &'static str {
        "spec in sets"
    }

    fn judge(&mut self, point: &Point, packet: &Packet) -> Verdict {
        let mut space = Space::default();
        let admitted = self.0.at(point, &mut space).unwrap();
        match space.contains(admitted.accepted, packet).unwrap() {
            true => Verdict::Accept,
            false if space.contains(admitted.rejected, packet).unwrap() => Verdict::Reject,
            false => Verdict::Drop,
        }
    }
}

#[test]
fn every_packet_of_every_case() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/pass");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    let (mut wrong, mut cases, mut packets) = (Vec::new(), 0, 0);
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        for case in split(&name, &text) {
            cases += 1;
            packets += case.packets.len();
            wrong.extend(check(&case));
        }
    }
    println!("{cases} cases, {packets} packets");
    assert!(
        wrong.is_empty(),
        "{} of {packets} packets are judged otherwise:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

struct Case {
    name: String,
    policy: String,
    packets: Vec<String>,
}

fn split(file: &str, text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines() {
        let title = line.strip_prefix("--- ").and_then(|l| l.strip_suffix(" ---"));
        if let Some(title) = title {
            let name = format!("{file}: {title}");
            assert!(cases.iter().all(|case| case.name != name), "{name} stands there twice");
            cases.push(Case { name, policy: String::new(), packets: Vec::new() });
        } else if let Some(case) = cases.last_mut() {
            match line.strip_prefix("#= ") {
                Some(packet) => case.packets.push(packet.to_owned()),
                None => case.policy += &format!("{line}\n"),
            }
        }
    }
    cases
}

fn check(case: &Case) -> Vec<String> {
    let site = match resolve(&case.policy) {
        Ok(site) => site,
        Err(findings) => return vec![format!("{}: {findings}", case.name)],
    };
    let forwarding = Forwarding::new(&site);
    let mut judges = judges(&site);
    let mut wrong = Vec::new();
    for line in &case.packets {
        let Probe { packet, at, expected } =
            probe(&site, line).unwrap_or_else(|| panic!("{}: {line}", case.name));
        let steps = match &at {
            Some(point) => Some(vec![(point.clone(), packet.clone())]),
            None => way(&site, &forwarding, &packet),
        };
        for judge in &mut judges {
            let found = match &steps {
                None => "lost",
                Some(steps) => keyword(first_refusal(judge.as_mut(), steps)),
            };
            if found != expected {
                wrong.push(format!("{}: {line}\n    {} says {found}", case.name, judge.name()));
            }
        }
    }
    wrong
}

fn first_refusal(judge: &mut dyn Judge, steps: &[(Point, Packet)]) -> Verdict {
    let verdicts = steps.iter().map(|(point, packet)| judge.judge(point, packet));
    verdicts.into_iter().find(|v| *v != Verdict::Accept).unwrap_or(Verdict::Accept)
}

fn keyword(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Accept => "accept",
        Verdict::Drop => "drop",
        Verdict::Reject => "reject",
    }
}

struct NoFiles;

impl Loader for NoFiles {
    fn load(&mut self, _from: &str, path: &str) -> Result<SourceFile, String> {
        Err(format!("no file `{path}`"))
    }
}

/// Syntax and resolve.
fn resolve(policy: &str) -> Result<Site, String> {
    let (mut sources, mut findings) = (SourceMap::default(), Findings::default());
    let file = sources.add("case.fw", policy);
    let ast = fwc::syntax::parse(&sources, file, &mut findings);
    let site = fwc::resolve::resolve(&[ast], &mut sources, &mut NoFiles, &[], &mut findings);
    let said = || findings.sorted().iter().map(|d| format!("{}: {}", d.code, d.message)).collect::<Vec<_>>();
    site.ok_or_else(|| said().join("; "))
}

// ---- the way of a packet -----------------------------------------------------------------------------

/// Every point on the way, with what it sees; none where no way leads there.
fn way(site: &Site, forwarding: &Forwarding<'_>, packet: &Packet) -> Option<Vec<(Point, Packet)>> {
    let zone = forwarding.zone_of(packet.src)?;
    let mut steps = Vec::new();
    if let Some((host, leg)) = forwarding.owner_of(packet.src) {
        steps.extend(step(site, packet, host, Hook::Output, (None, Some(leg))));
    }
    let mut hop = match forwarding.from_zone(zone, packet.src, packet.dst) {
        ZoneNext::OnLink => {
            steps.extend(arrival(site, forwarding, packet));
            return Some(steps);
        }
        ZoneNext::Via { gateway, gateway_leg } => (gateway, gateway_leg),
        ZoneNext::Ambiguous(_) | ZoneNext::NoRoute => return None,
    };
    for _ in &site.hosts {
        let (host, came) = hop;
        let left = match forwarding.next(host, packet.dst) {
            Next::Local => {
                steps.extend(step(site, packet, host, Hook::Input, (Some(came), None)));
                return Some(steps);
            }
            Next::OnLink { leg } => {
                steps.extend(step(site, packet, host, Hook::Forward, (Some(came), Some(leg))));
                steps.extend(arrival(site, forwarding, packet));
                return Some(steps);
            }
            Next::Via { leg, gateway, gateway_leg } => {
                hop = (gateway, gateway_leg);
                leg
            }
            Next::Ambiguous(_) | Next::NoRoute => return None,
        };
        steps.extend(step(site, packet, host, Hook::Forward, (Some(came), Some(left))));
    }
    None
}

fn arrival(site: &Site, forwarding: &Forwarding<'_>, packet: &Packet) -> Option<(Point, Packet)> {
    let (host, leg) = forwarding.owner_of(packet.dst)?;
    step(site, packet, host, Hook::Input, (Some(leg), None))
}

fn step(
    site: &Site,
    packet: &Packet,
    host: HostId,
    hook: Hook,
    (came, left): (Option<LegId>, Option<LegId>),
) -> Option<(Point, Packet)> {
    let name = |leg: Option<LegId>| match leg.map(|leg| site.leg(host, leg)) {
        Some(Some(leg)) => Interface::named(leg.interface.as_deref().unwrap_or("eth0")),
        Some(None) | None => Interface::Unset,
    };
    let mut packet = packet.clone();
    (packet.iif, packet.oif) = (name(came), name(left));
    site.host(host)?.filters().then_some((Point::Hook { host, hook }, packet))
}

// ---- reading a line of the table ---------------------------------------------------------------------

struct Probe {
    packet: Packet,
    at: Option<Point>,
    expected: &'static str,
}

fn probe(site: &Site, line: &str) -> Option<Probe> {
    let words: Vec<&str> = line.split('#').next()?.split_whitespace().collect();
    let [src, "->", dst, proto, state, verdict, options @ ..] = words.as_slice() else { return None };
    let (src, sport) = source(src)?;
    let mut packet = header(src, dst.parse().ok()?, sport, proto)?;
    packet.ct = CtState::ALL.into_iter().find(|s| s.keyword() == *state)?;
    let expected = ["accept", "drop", "reject", "lost"].into_iter().find(|v| v == verdict)?;
    let mut at = None;
    let mut rest = options.iter();
    while let Some(option) = rest.next() {
        match *option {
            "at" => {
                let host = site.host_named(rest.next()?)?;
                let wanted = rest.next()?;
                let hooks = [Hook::Input, Hook::Forward, Hook::Output];
                let hook = hooks.into_iter().find(|h| h.keyword() == *wanted)?;
                at = Some(Point::Hook { host, hook });
            }
            "in" => packet.iif = Interface::named(*rest.next()?),
            "out" => packet.oif = Interface::named(*rest.next()?),
            "ttl" => packet.ttl = rest.next()?.parse().ok()?,
            "rst" => packet.tcp_flags = tcp_flag::RST | tcp_flag::ACK,
            "over" => packet.exceeded = site.accesses.iter().filter_map(|a| a.limit).collect(),
            "when" => {
                let time = OffsetDateTime::parse(rest.next()?, &Rfc3339).ok()?;
                packet.time = u64::try_from(time.unix_timestamp_nanos()).ok()?;
            }
            _ => return None,
        }
    }
    Some(Probe { packet, at, expected })
}

fn source(text: &str) -> Option<(IpAddr, u16)> {
    match text.parse::<SocketAddr>() {
        Ok(both) => Some((both.ip(), both.port())),
        Err(_) => Some((text.parse().ok()?, 40_000)),
    }
}

fn header(src: IpAddr, dst: IpAddr, sport: u16, proto: &str) -> Option<Packet> {
    let (name, detail) = proto.split_once('/').unwrap_or((proto, ""));
    let number = Proto::by_name(name).or_else(|| name.parse().ok().map(Proto))?;
    let own_icmp = if src.is_ipv4() { Proto::ICMP } else { Proto::ICMPV6 };
    if number == own_icmp {
        let (kind, code) = detail.split_once('.').unwrap_or((detail, "0"));
        return Some(Packet::icmp(src, dst, kind.parse().ok()?, code.parse().ok()?));
    }
    let port = if detail.is_empty() { Some(0) } else { detail.parse().ok() };
    (src.is_ipv4() == dst.is_ipv4()).then(|| Packet::new(src, dst, number, sport, port.unwrap_or(0)))
}
