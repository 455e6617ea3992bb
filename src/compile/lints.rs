//! The exact lints as findings: what a policy says needlessly, or to too many. Each is silent where the policy waives it:
//! `{ waive lint CODE "why" }`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use crate::diag::{Code, Diagnostic, Findings, code};
use crate::forwarding::groups;
use crate::model::{Access, AccessId, Action, Bridge, End, Host, Leg, Nat, Place, Site, Term, ZoneId};
use crate::net::{AddrRange, AddrSet, Exhausted, Family, Per, Proto, addr, icmp_begins, icmp_untracked};
use crate::source::Span;
use crate::spec::reading::Readings;
use crate::verify::needless;

/// Looks for all of them, at the time `now` (UTC, nanoseconds since 1970). The site has no errors; `unfiltered` are the places of `deny`s that were said to be enforced in part
/// alone: what nobody stops there is another matter than what nobody allows.
pub fn check(site: &Site, now: u64, unfiltered: &BTreeSet<Span>, findings: &mut Findings) {
    match needless::needless(site, now) {
        Ok(found) => {
            let site_of = (site, &Statements::of(site));
            covered(site_of, &found, findings);
            let itself = "no packet needs this `allow`: it is of a machine to itself";
            let help = "remove it, or check whom it names";
            whole(site_of, &found.itself, code::NEEDLESS_ALLOW, itself, help, findings);
            let denied = "every packet of this `allow` is denied: it admits nothing";
            whole(
                site_of,
                &found.denied,
                code::DENIED_ALLOW,
                denied,
                "remove it, or except from the `deny`",
                findings,
            );
            let filtered = |id: &AccessId| {
                site.access(*id).is_none_or(|access| {
                    !unfiltered.contains(&access.span) && !waives(access, code::UNFILTERED_DENY)
                })
            };
            let idle_denies: Vec<AccessId> = found.idle.iter().copied().filter(filtered).collect();
            let idle = "this `deny` stops nothing: nobody is allowed what it denies";
            exposed(site, &found.exposed, findings);
            undone_limits(site, &found.unlimited, findings);
            whole(site_of, &idle_denies, code::IDLE_DENY, idle, help, findings);
        }
        Err(why) => undecided(site, &why, findings),
    }
    for access in &site.accesses {
        any_to_any(site, access, findings);
        echo_reply(access, findings);
        never_new(site, access, findings);
        one_way(access, findings);
        shared_limit(site, access, findings);
        link_local_senders(site, access, findings);
        extension_header(site, access, findings);
        leases(site, access, findings);
        broadcast(site, access, findings);
        overlapping(access, findings);
    }
}

fn undecided(site: &Site, why: &Exhausted, findings: &mut Findings) {
    let Some(first) = site.accesses.first() else { return };
    let message = format!("which statements are needed is not known: {why}");
    findings.push(
        Diagnostic::warning(code::LINTS_UNDECIDED, first.span, message)
            .help("the policy is compiled and proved all the same"),
    );
}

fn waives(access: &Access, code: Code) -> bool {
    access.waives_lint(code.as_str())
}

/// A statement may be several accesses (S12): what is said of it is true of all of them, and said once.
struct Statements(BTreeMap<Span, Vec<AccessId>>);

impl Statements {
    fn of(site: &Site) -> Self {
        let mut all: BTreeMap<Span, Vec<AccessId>> = BTreeMap::new();
        for (id, access) in site.accesses() {
            all.entry(access.span).or_default().push(id);
        }
        Self(all)
    }

    /// Whether the access is the first of its statement, of which all were `found`.
    fn is_whole(&self, span: Span, id: AccessId, found: &BTreeSet<AccessId>) -> bool {
        let of = self.0.get(&span).map_or(&[][..], Vec::as_slice);
        of.first() == Some(&id) && of.iter().all(|one| found.contains(one))
    }
}

fn whole(
    (site, statements): (&Site, &Statements),
    all: &[AccessId],
    code: Code,
    message: &str,
    help: &str,
    findings: &mut Findings,
) {
    let found: BTreeSet<AccessId> = all.iter().copied().collect();
    for id in all {
        let Some(access) = site.access(*id).filter(|access| !waives(access, code)) else { continue };
        if statements.is_whole(access.span, *id, &found) {
            findings.push(Diagnostic::warning(code, access.span, message.to_owned()).help(help));
        }
    }
}

fn covered((site, statements): (&Site, &Statements), found: &needless::Needless, findings: &mut Findings) {
    let all: BTreeSet<AccessId> = found.covered.iter().map(|(of, _)| *of).collect();
    for (id, by) in &found.covered {
        let code = code::NEEDLESS_ALLOW;
        let Some(access) = site.access(*id).filter(|access| !waives(access, code)) else { continue };
        if !statements.is_whole(access.span, *id, &all) {
            continue;
        }
        let mut finding = Diagnostic::warning(
            code,
            access.span,
            "no packet needs this `allow`: others admit all of it".to_owned(),
        );
        let mut spans: Vec<Span> = by.iter().filter_map(|by| site.access(*by)).map(|by| by.span).collect();
        spans.dedup();
        for span in spans.into_iter().filter(|span| *span != access.span).take(3) {
            finding = finding.also(span, "admitted by this".to_owned());
        }
        findings.push(finding.help("remove it, or waive with the reason to keep it"));
    }
}

/// S21: of several statements for one packet one without a limit lets it pass without one.
fn undone_limits(site: &Site, found: &[(AccessId, Vec<AccessId>)], findings: &mut Findings) {
    let code = code::LIMIT_UNDONE;
    let mut said = BTreeSet::new();
    for (id, by) in found {
        let Some(access) = site.access(*id).filter(|access| !waives(access, code)) else { continue };
        if !said.insert(access.span) {
            continue;
        }
        let message = "part of what this limits is admitted without a limit too, and has none";
        let mut finding = Diagnostic::warning(code, access.span, message);
        let mut spans: Vec<Span> = by.iter().filter_map(|by| site.access(*by)).map(|by| by.span).collect();
        spans.dedup();
        for span in spans.into_iter().take(3) {
            finding = finding.also(span, "without a limit");
        }
        findings
            .push(finding.help("take it out of the other, give that a limit too, or waive with the reason"));
    }
}

fn exposed(site: &Site, found: &[needless::Exposed], findings: &mut Findings) {
    let code = code::EXPOSED_PORT;
    type Open = (u128, Vec<&'static str>, BTreeSet<AccessId>);
    let mut by_statement: BTreeMap<AccessId, Open> = BTreeMap::new();
    for needless::Exposed { service, addresses, by, alone } in found {
        // Where no statement does by itself, one speaks for all that open it: the widest.
        let spoken = if *alone { by.len() } else { 1 };
        let (speak, others) = by.split_at_checked(spoken).unwrap_or_default();
        for id in speak {
            let (most, names, beside) = by_statement.entry(*id).or_default();
            *most = (*addresses).max(*most);
            beside.extend(others);
            if !names.contains(&service.name) {
                names.push(service.name);
            }
        }
    }
    for (id, (addresses, names, beside)) in by_statement {
        let Some(access) = site.access(id) else { continue };
        let are = if names.len() == 1 { "is" } else { "are" };
        let message =
            format!("{} {are} open to {addresses} addresses, all statements together", names.join(", "));
        let help = "name who needs it, or put a bastion or a VPN before it";
        let mut finding = Diagnostic::warning(code, access.span, message).help(help);
        let mut spans: Vec<Span> =
            beside.iter().filter_map(|of| site.access(*of)).map(|of| of.span).collect();
        spans.dedup();
        for span in spans.into_iter().filter(|span| *span != access.span).take(3) {
            finding = finding.also(span, "open by this too");
        }
        findings.push(finding);
    }
}

/// Everything, from everywhere, to everywhere.
fn any_to_any(site: &Site, access: &Access, findings: &mut Findings) {
    if !needless::is_any_to_any(site, access) || waives(access, code::ANY_TO_ANY) {
        return;
    }
    let message = "this allows everything from everywhere to everywhere".to_owned();
    let help = "name the services, and one of the ends";
    findings.push(Diagnostic::warning(code::ANY_TO_ANY, access.span, message).help(help));
}

/// `icmp echo-reply` where `ping` is meant.
fn echo_reply(access: &Access, findings: &mut Findings) {
    let names = |asks: bool| {
        access.terms.iter().any(|term| match term {
            Term::Icmp { family, types, .. } => {
                let (request, reply) = if *family == Family::V4 { (8, 0) } else { (128, 129) };
                // All types are named on purpose.
                !types.is_full() && types.contains(if asks { request } else { reply })
            }
            Term::Ports { .. } | Term::Protos(_) => false,
        })
    };
    if access.action == Action::Allow && names(false) && !names(true) && !waives(access, code::ECHO_REPLY) {
        let message = "an echo reply starts nothing: replies follow by themselves".to_owned();
        let help = "write `ping` with the ends exchanged: who asks comes first";
        findings.push(Diagnostic::warning(code::ECHO_REPLY, access.span, message).help(help));
    }
}

/// ICMP types of which none begins a connection, so that no packet of them is ever `new` (S20). Echo replies have a finding of
/// their own.
fn never_new(site: &Site, access: &Access, findings: &mut Findings) {
    if access.action != Action::Allow || waives(access, code::NEVER_NEW) {
        return;
    }
    let by_number = |proto: Proto| {
        let only =
            |term: &Term| matches!(term, Term::Protos(all) if all.ranges().contains(&(proto.0, proto.0)));
        access.terms.iter().any(only)
    };
    for (proto, word, other) in [(Proto::ICMP, "icmp", Family::V6), (Proto::ICMPV6, "icmpv6", Family::V4)] {
        let over = if other == Family::V4 { "IPv4" } else { "IPv6" };
        if by_number(proto) && !untracked(site, access) && speaks(site, access, other) {
            let message = format!(
                "over {over} `proto {}` begins no connection: the kernel calls it `invalid`, and it is dropped",
                proto.0
            );
            let help = format!("write `{word}`: that is of its own family alone");
            findings.push(Diagnostic::warning(code::NEVER_NEW, access.span, message).help(help));
        }
    }
    let named = access.terms.iter().filter_map(|term| match term {
        Term::Icmp { family, types, .. } => Some((*family, types)),
        Term::Ports { .. } | Term::Protos(_) => None,
    });
    let silent = named.filter_map(|(family, types)| {
        let echo = if family == Family::V4 { 0 } else { 129 };
        let (first, _) = types.ranges().first().copied().filter(|(first, _)| *first != echo)?;
        let begins = icmp_begins(family).iter().any(|number| types.contains(*number));
        (!begins).then_some((family, first))
    });
    for (family, first) in silent.filter(|_| !untracked(site, access)).take(1) {
        let word = if family == Family::V4 { "icmp" } else { "icmpv6" };
        let (errors, answers): (&[u8], &[u8]) = match family {
            Family::V4 => (&[3, 11, 12], &[14, 16, 18]),
            Family::V6 => (&[1, 2, 3, 4], &[140]),
        };
        let (what, help) = if errors.contains(&first) {
            (
                "is an error: it belongs to the connection that it speaks of, and passes with it",
                "remove it: errors of what is allowed need no statement",
            )
        } else if answers.contains(&first) {
            ("is an answer: it passes with what asked for it", "allow the question, with the ends exchanged")
        } else if icmp_untracked(family).contains(&first) {
            (
                "is neighbour discovery or of its kind: the kernel does not track it, and no statement admits it",
                "remove it: what a machine needs of it passes without a statement",
            )
        } else {
            (
                "begins no connection: the kernel calls it `invalid`, and it is dropped",
                "name what is asked, such as `ping`, or remove it",
            )
        };
        let message = format!("{word} type {first} {what}");
        findings.push(Diagnostic::warning(code::NEVER_NEW, access.span, message).help(help));
    }
}

/// Whether all that the packets of an access meet may be a bridge that knows no connections (S42), or security groups (S52).
fn untracked(site: &Site, access: &Access) -> bool {
    let bridged =
        |zone: ZoneId| site.bridge_of(zone).is_some_and(|(.., how)| matches!(how, Bridge::Stateless(_)));
    let there = |place: &Place| {
        place.plus.iter().any(|end| match end {
            End::Zone(zone) => bridged(*zone),
            End::Host(host) => {
                site.host(*host).into_iter().flat_map(|h| &h.legs).any(|leg| bridged(leg.zone))
            }
            End::Leg(host, leg) => site.leg(*host, *leg).is_some_and(|leg| bridged(leg.zone)),
            End::Addrs(addrs) => site.zones().any(|(id, zone)| bridged(id) && !zone.addrs.is_disjoint(addrs)),
            End::Anywhere => false,
        })
    };
    let grouped = |place: &Place| {
        place.plus.iter().any(|end| match end {
            End::Host(host) => site
                .host(*host)
                .is_some_and(|of| !of.filters() && of.legs().any(|(leg, _)| site.wears(*host, leg))),
            End::Leg(host, leg) => {
                site.host(*host).is_some_and(|of| !of.filters()) && site.wears(*host, *leg)
            }
            End::Zone(_) | End::Addrs(_) | End::Anywhere => false,
        })
    };
    (there(&access.from) && there(&access.to)) || grouped(&access.from) || grouped(&access.to)
}

/// A limit of what is never answered: conntrack calls a flow of one direction `new` for as long as it lasts, so each of its
/// packets takes a token (S21).
fn one_way(access: &Access, findings: &mut Findings) {
    // By their standards, or by what everybody uses: collectors that send nothing back.
    const SERVICES: [(u16, &str); 8] = [
        (162, "snmp-trap"),
        (514, "syslog"),
        (2_055, "NetFlow"),
        (4_739, "IPFIX"),
        (6_343, "sFlow"),
        (8_125, "statsd"),
        (12_201, "GELF"),
        (25_826, "collectd"),
    ];
    if access.limit.is_none() || access.action != Action::Allow || waives(access, code::ONE_WAY_LIMIT) {
        return;
    }
    let to_groups = access.to.plus.iter().any(|end| match end {
        End::Addrs(addrs) => !addrs.is_disjoint(groups()),
        End::Zone(_) | End::Host(_) | End::Leg(..) | End::Anywhere => false,
    });
    // Of a range that holds others too nobody knows what is sent.
    let one_of = |port: u16| SERVICES.into_iter().find(|(of, _)| *of == port);
    let named = access.terms.iter().find_map(|term| match term {
        Term::Ports { proto, to, .. } if *proto == Proto::UDP => {
            let all = to.ranges().iter().all(|&(first, last)| (first..=last).all(|p| one_of(p).is_some()));
            to.ranges().first().filter(|_| all).and_then(|(first, _)| one_of(*first))
        }
        Term::Ports { .. } | Term::Icmp { .. } | Term::Protos(_) => None,
    });
    let what = match named {
        _ if to_groups => "what is sent to a group",
        Some((_, name)) => name,
        None => return,
    };
    let message = format!("{what} is never answered: this limit counts every packet, no connections");
    let help = "write the rate of its packets, or leave the limit out";
    findings.push(Diagnostic::warning(code::ONE_WAY_LIMIT, access.span, message).help(help));
}

/// A limit for each source, behind a translation of sources: who filters there sees one for all, and keeps one bucket (S21).
fn shared_limit(site: &Site, access: &Access, findings: &mut Findings) {
    let each = access.limit.is_some_and(|limit| limit.per == Per::Source);
    if !each || access.action != Action::Allow || waives(access, code::SHARED_LIMIT) {
        return;
    }
    let (clause, to) = match &access.nat {
        Some(Nat::Masquerade) => ("masquerade", Readings::new(site).wide_place(&access.to)),
        Some(Nat::Snat(..)) => ("snat", Readings::new(site).wide_place(&access.to)),
        Some(Nat::Dnat { to, hairpin: true, .. }) => {
            ("hairpin", AddrSet::from_ranges(to.iter().map(|addr| AddrRange::one(*addr))))
        }
        Some(Nat::Dnat { .. } | Nat::Ipvs { .. }) | None => return,
    };
    let counts =
        |host: &&Host| host.filters() && !host.forwards() && host.legs.iter().any(|leg| leg.is_among(&to));
    if let Some(host) = site.hosts.iter().find(counts) {
        let message = format!(
            "behind `{clause}` `{}` sees one source for many: there they share one bucket of this limit",
            host.name
        );
        let help = "leave `per source` out: the limit is for all of them together then, at each machine";
        findings.push(Diagnostic::warning(code::SHARED_LIMIT, access.span, message).help(help));
    }
}

/// What is sent to a group of a node or a link: the sender's address has the scope of the group, where the sender does not choose
/// another (RFC 6724, section 5, rule 2), and of link-local ones no statement speaks.
fn link_local_senders(site: &Site, access: &Access, findings: &mut Findings) {
    let senders = || access.from.plus.iter().any(|end| may_be(site, end, Family::V6));
    if access.action != Action::Allow || waives(access, code::LINK_LOCAL_SENDERS) {
        return;
    }
    let scoped = |range: &AddrRange| match range.first_addr() {
        IpAddr::V6(group) => matches!(group.segments().first(), Some(0xff01 | 0xff02)),
        IpAddr::V4(_) => false,
    };
    let found = access.to.plus.iter().find_map(|end| match end {
        End::Addrs(addrs) => addrs.ranges().find(scoped),
        End::Zone(_) | End::Host(_) | End::Leg(..) | End::Anywhere => None,
    });
    if let Some(range) = found.filter(|_| senders()) {
        let message = format!(
            "what is sent to `{}` comes from a link-local address, of which no statement speaks",
            range.first_addr()
        );
        let help = "only who binds to another address is let through; a group of a wider scope, such as ff05::/16, is sent to from those";
        findings.push(Diagnostic::warning(code::LINK_LOCAL_SENDERS, access.span, message).help(help));
    }
}

/// `proto 44` and the like: over IPv6 a header before the transport, and what is behind it is the packet's protocol
/// (RFC 8200, section 4; nft(8), `meta l4proto`). Behind 59 is nothing (section 4.7), which no kernel tracks
/// (`nf_conntrack_in`).
fn extension_header(site: &Site, access: &Access, findings: &mut Findings) {
    const NOTHING: u8 = 59;
    const HEADERS: [(u8, &str); 5] = [
        (0, "the Hop-by-Hop Options header"),
        (43, "the Routing header"),
        (44, "the Fragment header"),
        (60, "the Destination Options header"),
        (NOTHING, "No Next Header"),
    ];
    if waives(access, code::EXTENSION_HEADER) || !speaks(site, access, Family::V6) {
        return;
    }
    let named = access.terms.iter().find_map(|term| match term {
        Term::Protos(protos) if !protos.is_full() => HEADERS.iter().find(|(n, _)| protos.contains(*n)),
        Term::Protos(_) | Term::Ports { .. } | Term::Icmp { .. } => None,
    });
    if let Some((number, name)) = named {
        let so = if *number == NOTHING { "such a packet is `invalid`" } else { "no packet is of it" };
        let message = format!("over IPv6 protocol {number} is {name}, and {so}");
        let help = "name the protocol that is behind it, such as `tcp` or `proto 112`";
        findings.push(Diagnostic::warning(code::EXTENSION_HEADER, access.span, message).help(help));
    }
}

/// Whether both ends have an address of a family, or may have one.
fn speaks(site: &Site, access: &Access, family: Family) -> bool {
    let has = |place: &Place| place.plus.iter().any(|end| may_be(site, end, family));
    has(&access.from) && has(&access.to)
}

fn may_be(site: &Site, end: &End, family: Family) -> bool {
    let of_leg = |leg: &Leg| leg.carries(site, family);
    match end {
        End::Zone(zone) => site.zone(*zone).is_some_and(|zone| zone.addrs.has(family)),
        End::Host(host) => site.host(*host).is_some_and(|host| host.legs.iter().any(of_leg)),
        End::Leg(host, leg) => site.leg(*host, *leg).is_some_and(of_leg),
        End::Addrs(addrs) => addrs.has(family),
        End::Anywhere => true,
    }
}

/// DHCP towards a machine that filters: whoever has no address yet asks from 0.0.0.0 (RFC 2131, section 4.1), or over IPv6
/// from a link-local one, and of those no statement speaks.
fn leases(site: &Site, access: &Access, findings: &mut Findings) {
    let asks = |term: &Term| match term {
        // A long range is none of DHCP.
        Term::Ports { proto, to, .. } => {
            *proto == Proto::UDP
                && (to.contains(67) || to.contains(547))
                && !to.contains(1_024)
                && !to.contains(1)
        }
        Term::Protos(_) | Term::Icmp { .. } => false,
    };
    let broadcast = AddrSet::one(IpAddr::V4(Ipv4Addr::BROADCAST));
    // S81: what no statement can say is said of the leg, towards all of its zone.
    let gives = |host: &Host| {
        let mut zones = access.from.plus.iter().map(|end| match end {
            End::Zone(zone) => host.leg_in(*zone).is_some_and(|(_, leg)| leg.serves_dhcp),
            End::Host(_) | End::Leg(..) | End::Addrs(_) | End::Anywhere => false,
        });
        zones.all(|gives| gives)
    };
    let asked_of = |end: &End| match end {
        End::Host(host) | End::Leg(host, _) => {
            site.host(*host).is_some_and(|host| host.filters() && !gives(host))
        }
        End::Addrs(addrs) => addrs.is_subset(&broadcast),
        End::Zone(_) | End::Anywhere => false,
    };
    // Who asks from an address of its own, such as a relay, is a machine.
    let clients = |end: &End| match end {
        End::Zone(_) | End::Anywhere => true,
        End::Addrs(addrs) => addrs.ranges().any(|range| range.first != range.last),
        End::Host(_) | End::Leg(..) => false,
    };
    let asked = access.action == Action::Allow && access.terms.iter().any(asks);
    let named = asked && access.from.plus.iter().any(clients);
    if !named || !access.to.plus.iter().any(asked_of) || waives(access, code::NEW_LEASES) {
        return;
    }
    let message =
        "whoever has no address yet asks from none that a statement speaks of: this admits renewals alone"
            .to_owned();
    let help = "say `serves dhcp` of the leg by which the machine gives leases (dnsmasq); a server that reads frames itself hears them all the same (ISC dhcpd, Kea by raw sockets)";
    findings.push(Diagnostic::warning(code::NEW_LEASES, access.span, message).help(help));
}

/// The last address of a zone's network: every machine there hears it (RFC 919, section 7), none has it.
fn broadcast(site: &Site, access: &Access, findings: &mut Findings) {
    if access.action != Action::Allow || waives(access, code::BROADCAST_ADDRESS) {
        return;
    }
    let named = access.to.plus.iter().flat_map(|end| match end {
        End::Addrs(addrs) => addrs.ranges().filter(|range| range.first == range.last).collect(),
        End::Host(host) => {
            site.host(*host).into_iter().flat_map(|host| &host.legs).flat_map(of_leg).collect()
        }
        End::Leg(host, leg) => site.leg(*host, *leg).into_iter().flat_map(of_leg).collect(),
        End::Zone(_) | End::Anywhere => Vec::new(),
    });
    for addr in
        named.filter(|range| range.family == Family::V4).map(|range| addr::addr(range.family, range.first))
    {
        let last = |net: &&IpNet| net.prefix_len() < 31 && net.broadcast() == addr;
        let found = site.zones.iter().find_map(|zone| Some((zone, zone.nets.iter().find(last)?)));
        let Some((zone, net)) = found else { continue };
        let message = format!(
            "`{addr}` is the last address of `{}` ({net}): sent to all there, and no machine's own",
            zone.name
        );
        let help = "machines that filter take nothing for it in: name 255.255.255.255, which they all hear, or the machines";
        findings.push(Diagnostic::warning(code::BROADCAST_ADDRESS, access.span, message).help(help));
        return;
    }
}

fn of_leg(leg: &Leg) -> Vec<AddrRange> {
    leg.addresses.iter().map(|addr| AddrRange::one(*addr)).collect()
}

/// Two services of one statement that share ports.
fn overlapping(access: &Access, findings: &mut Findings) {
    if waives(access, code::OVERLAPPING_PORTS) || all_apart(&access.terms) {
        return;
    }
    for (at, term) in access.terms.iter().enumerate() {
        for other in access.terms.iter().skip(at.saturating_add(1)) {
            let (Term::Ports { proto, from, to }, Term::Ports { proto: p, from: f, to: t }) = (term, other)
            else {
                continue;
            };
            let shared = to.intersection(t);
            if proto == p
                && !from.is_disjoint(f)
                && let Some(&(first, last)) = shared.ranges().first()
            {
                let ports = if first == last { first.to_string() } else { format!("{first}-{last}") };
                let message = format!("two services of this statement both have {proto} {ports}");
                let help = "say each port once: one of the ranges may be mistyped";
                findings.push(Diagnostic::warning(code::OVERLAPPING_PORTS, access.span, message).help(help));
                return;
            }
        }
    }
}

/// Whether no port stands in two services: nearly always so, and told without comparing each with each.
fn all_apart(terms: &[Term]) -> bool {
    let ports = terms.iter().flat_map(|term| match term {
        Term::Ports { proto, to, .. } => to.ranges().iter().map(|&(a, b)| (*proto, a, b)).collect(),
        Term::Protos(_) | Term::Icmp { .. } => Vec::new(),
    });
    let mut ports: Vec<(Proto, u16, u16)> = ports.collect();
    ports.sort_unstable();
    let next = ports.iter().skip(1);
    ports.iter().zip(next).all(|((proto, _, last), (other, first, _))| proto != other || last < first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{FileId, SourceMap};

    #[test]
    fn a_spent_budget_is_said_and_is_no_error() {
        let mut sources = SourceMap::default();
        let file: FileId = sources.add("a.fw", "allow http from a to b");
        let access = Access {
            action: Action::Allow,
            terms: [].into(),
            from: Place::default(),
            to: Place::default(),
            nat: None,
            log: false,
            reject: false,
            limit: None,
            until: None,
            people: Vec::new(),
            named: None,
            meter: None,
            remarked: None,
            words: String::new(),
            span: Span { file, start: 0, end: 5 },
        };
        let site = Site { accesses: vec![access], ..Site::default() };
        let mut findings = Findings::default();
        undecided(&site, &Exhausted::Nodes(7), &mut findings);
        assert!(!findings.has_errors());
        let said = findings.sorted();
        assert!(said.first().is_some_and(|d| d.code == code::LINTS_UNDECIDED && d.message.contains("7 ")));
    }
}
