//! The proofs over the composition of rulesets, against packets walked one at a time.
//!
//! The walk is written apart from the prover: zone by zone, hook by hook through [`sim::run`] (S25 to S27).
//! `FWC_SITES` sets how many random sites.
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
#[path = "random/compiles.rs"]
mod compiles;
mod random;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

use common::compiled;
use fwc::compile::Compiled;
use fwc::forwarding::{Forwarding, Next, ZoneNext, is_group};
use fwc::model::{Access, Action, End, Expect, Expected, Hook, HostId, LegId, Site, Term, ZoneId};
use fwc::net::{AddrSet, CtState, Family, Packet, Proto, Verdict};
use fwc::source::{FileId, Span};
use fwc::spec::reading::Readings;
use fwc::target::nft::sim;
use fwc::verify::{Counterexample, Outcome, hook_of};
use ipnet::IpNet;
use random::{Dice, aim, sketch, words};

#[derive(Default, Debug)]
struct Count {
    sites: usize,
    held: usize,
    refuted: usize,
    arrivals: usize,
    walked: usize,
}

#[test]
fn proofs_and_packets_agree() {
    let wanted: u64 = std::env::var("FWC_SITES").ok().and_then(|n| n.parse().ok()).unwrap_or(400);
    let (mut count, mut bad) = (Count::default(), Vec::new());
    for seed in 0..wanted {
        let Some((text, compiled)) = compiles::policy(seed, &expects(seed)) else { continue };
        count.sites += 1;
        let tests = compiled.site.tests.iter().flat_map(|t| &t.expects);
        for (expect, proof) in tests.zip(&compiled.report.expects) {
            assert_eq!(expect.words, proof.words);
            let found = match &proof.outcome {
                Outcome::Undecided { reason } => Err(format!("undecided: {reason}")),
                Outcome::Holds => held(seed, &compiled, expect, &mut count),
                Outcome::Refuted(found) => refuted(&compiled, expect, found, &mut count),
            };
            if let Err(why) = found {
                bad.push(format!("seed {seed}: {}: {why}\n{text}", expect.words));
            }
        }
    }
    println!("{count:?}");
    assert!(bad.is_empty(), "{}:\n{}", bad.len(), bad[..bad.len().min(6)].join("\n"));
    assert!(count.held > 50 && count.refuted > 50 && count.walked > 1000, "{count:?}");
}

/// A machine of unknown address has none that another has: what a zone is allowed, less the addresses of who forwards, it is.
#[test]
fn an_unknown_address_is_none_of_the_known_ones() {
    let holds = |others: &str, task: &str| {
        let policy = format!(
            "vpc prod {{ 10.1.0.0/16 }}\nzone app {{ 10.1.10.0/24 }} in prod\nzone db {{ 10.1.20.0/24 }} in prod\n\
             zone office {{ 172.20.0.0/16 }}\nrouter vgw {{ a 10.1.10.254 in app; b 172.20.0.1 in office }}\n{others}\n\
             host task = dynamic in app\nhost rds = 10.1.20.5 in db\n\
             security-group apps = task\nsecurity-group dbs = rds\n{task}\n\
             test \"t\" {{ expect allow postgres from task to rds }}\n"
        );
        compiled(&[("policy.fw".to_owned(), policy)]).report.holds()
    };
    assert!(holds("", "allow postgres from app to dbs"));
    assert!(holds("", "allow postgres from apps to dbs"));
    // What else it may have is asked about.
    assert!(!holds("", "allow postgres from 10.1.10.64/26 to dbs"));
}

/// No rule of a vpc knows another's private addresses unless something joins the two: the proof says that it takes that for granted.
#[test]
fn between_vpcs_private_addresses_are_taken_for_routed() {
    let assuming = |ops: &str, mon: &str| {
        let policy = format!(
            "vpc prod {{ 10.1.0.0/16; gateway internet }}\nzone app {{ 10.1.10.0/24 }} in prod\n{ops}\n\
             zone internet {{ rest }}\nhost app1 = 10.1.10.11 in app\nhost mon = {mon}\n\
             security-group apps = app1\nallow tcp 9100 from mon to apps\n\
             test \"t\" {{ expect allow tcp 9100 from mon to app1 }}\n"
        );
        let done = compiled(&[("policy.fw".to_owned(), policy)]);
        assert!(done.report.holds());
        done.report.expects.iter().flat_map(|proof| proof.assuming.clone()).collect::<Vec<_>>()
    };
    let ops = "vpc ops { 10.3.0.0/16; gateway internet }\nzone ops_net { 10.3.1.0/24 } in ops";
    let said = assuming(ops, "10.3.1.11 in ops_net");
    let joined =
        "`ops` and `prod` route private addresses to each other, as a peering or a transit gateway does";
    assert_eq!(said, [joined]);
    assert_eq!(assuming("", "10.1.10.12 in app"), Vec::<String>::new());
    assert_eq!(assuming(ops, "198.51.100.9 in internet"), Vec::<String>::new());
}

/// S16: ICMP of a type that begins no connection is never `new`, so a rule that lets it pass lets nothing arrive, nor does one that
/// stops it keep anything back.
#[test]
fn what_begins_no_connection_is_neither_let_in_nor_missed() {
    let policy = |rules: &str, expects: &str| {
        let text = format!(
            "zone a {{ 10.1.0.0/24 }}\nzone b {{ 10.2.0.0/24 }}\n\
             firewall fw {{ eth0 10.1.0.1 in a; eth1 10.2.0.1 in b }}\n{rules}\ntest \"t\" {{ {expects} }}\n"
        );
        let done = compiled(&[("policy.fw".to_owned(), text)]);
        done.report
            .expects
            .iter()
            .map(|proof| (proof.words.clone(), proof.outcome.holds()))
            .collect::<BTreeMap<_, _>>()
    };
    let holds = |of: &BTreeMap<String, bool>, words: &str| of[words];
    let found = policy(
        "allow icmp from a to b",
        "expect deny icmp echo-reply from a to b; expect deny icmp type 13 from a to b\n\
         expect only icmp echo-request, icmp type 13, icmp type 15, icmp type 17 from a to b",
    );
    assert!(holds(&found, "expect deny icmp echo-reply from a to b"), "{found:?}");
    assert!(!holds(&found, "expect deny icmp type 13 from a to b"), "{found:?}");
    assert_eq!(found.values().filter(|holds| **holds).count(), 2, "{found:?}");
    let passes = "expect allow icmp from a to b; expect allow icmp echo-reply from a to b";
    for (denied, all) in [("icmp echo-reply", true), ("icmp type 13", false)] {
        let found = policy(&format!("allow icmp from a to b\ndeny {denied} from a to b"), passes);
        assert_eq!(holds(&found, "expect allow icmp from a to b"), all, "{found:?}");
        assert!(!holds(&found, "expect allow icmp echo-reply from a to b"), "{found:?}");
    }
}

/// S58: nothing comes from the router of a vpc, which no policy can name.
#[test]
fn the_router_of_a_vpc_sends_nothing() {
    let policy = "vpc main { 10.50.0.0/16 }\nzone a { 10.50.1.0/24 } in main\nzone b { 10.50.2.0/24 } in main\n\
        host h1 = 10.50.1.6 in a\nsecurity-group sg = h1\nallow tcp 80 from b to sg\n\
        test \"t\" { expect deny tcp 80 from anywhere except b to sg; expect deny tcp 80 from anywhere to sg }\n";
    let done = compiled(&[("policy.fw".to_owned(), policy.to_owned())]);
    let said: Vec<bool> = done.report.expects.iter().map(|proof| proof.outcome.holds()).collect();
    assert_eq!(said, [true, false]);
}

/// A router at home: what it sends on to the world does not come back to it as if the world had sent it.
#[test]
fn a_port_that_a_dynamic_leg_publishes_is_not_open_to_those_behind_it() {
    let policy = |wan: &str| {
        format!(
            r#"
zone internet {{ rest }}
zone home {{ 192.168.1.0/24 }}
zone srv {{ 192.168.2.0/24 }}
firewall rt {{ wan {wan} in internet; lan 192.168.1.1 in home; s 192.168.2.1 in srv }}
host web = 192.168.2.10 in srv
allow http from internet to rt.internet dnat to web
allow any from home to internet masquerade
test "a port for the world" {{
    expect deny http from home to web
    expect deny any from home to rt, srv
    expect only http from internet to web
}}
"#
        )
    };
    for wan in ["203.0.113.5", "dynamic"] {
        let compiled = compiled(&[("home.fw".to_owned(), policy(wan))]);
        assert!(compiled.report.holds(), "{wan}: {:?}", compiled.report.expects);
    }
}

/// Which expectations of a policy hold, in their order.
fn held_of(policy: &str, expects: &[&str]) -> Vec<bool> {
    let words: String = expects.iter().map(|words| format!("expect {words}\n")).collect();
    let compiled = compiled(&[("site.fw".to_owned(), format!("{policy}test \"t\" {{\n{words}}}\n"))]);
    compiled.report.expects.iter().map(|proof| matches!(proof.outcome, Outcome::Holds)).collect()
}

/// What a machine sends itself does not cross its own bridge (S39): whoever asks about its zone asks about that too, though the
/// machine has no other leg.
#[test]
fn what_a_bridge_sends_itself_counts_for_its_zone() {
    let expects = [
        "deny ssh from lan to a",
        "deny any from 10.0.0.1 to a",
        "deny any from anywhere to a",
        "only tcp 80 from lan to a",
        "deny ssh from b to a",
        "only ssh from lan to a",
    ];
    for form in ["br_netfilter", "stateful", "stateless \"an old one\""] {
        let policy = format!(
            "zone lan {{ 10.0.0.0/24 }}\nhost br {{ b0 10.0.0.1 in lan bridge {form}; nftables }}\n\
             host a = 10.0.0.2 in lan\nhost b = 10.0.0.3 in lan\nallow tcp 22 from br to a\n"
        );
        assert_eq!(held_of(&policy, &expects), [false, false, false, false, true, true], "{form}");
    }
}

/// What a clause delivers to the machine that sent it is not meant by an `expect allow` (S35). A clause that does not serve the
/// machine delivers it nothing, and of a leg of unknown address nobody can say that it has the address that is asked about.
#[test]
fn a_published_server_is_asked_for_what_it_sends_to_the_world() {
    let policy = |wan: &str, clause: &str| {
        format!(
            "zone world {{ rest }}\nzone dmz {{ 10.0.0.0/24 }}\n\
             firewall gw {{ wan {wan} in world; dmz 10.0.0.1 in dmz }}\nhost web {{ eth0 10.0.0.2 in dmz; nftables }}\n\
             {clause}\nallow https from dmz except web to world masquerade\n"
        )
    };
    let expects = [
        "allow https from web to 8.8.8.8",
        "allow https from web to world",
        "allow https from dmz to world",
        "deny https from web to world",
        "allow https from web to gw.world",
    ];
    // To an address of the firewall that the clause does not serve it with, the server writes in vain; a dynamic one may be any.
    for (wan, clause) in [
        ("dynamic", "allow https from world to gw.world dnat to web"),
        ("203.0.113.1", "allow https from world to gw.world dnat to web"),
        ("203.0.113.1", "allow https from 198.51.100.0/28 to gw.world dnat to web"),
    ] {
        // A leg of unknown address cannot be asked about from beside it.
        let asked = if wan == "dynamic" { &expects[..4] } else { &expects };
        let held = held_of(&policy(wan, clause), asked);
        assert_eq!(held, [false, false, false, true, false][..asked.len()], "{wan}, {clause}");
    }
    // Served by hairpin: what it sends to itself is not asked about.
    let hairpin = "allow https from world, dmz to gw.world dnat to web hairpin";
    let held = held_of(&policy("203.0.113.1", hairpin), &expects[4..]);
    assert_eq!(held, [true], "{hairpin}");
}

/// Who has a shell on a machine sends what its rules let their user send, though their sshd opens nothing for them (S65).
#[test]
fn whoever_has_a_shell_sends_what_their_user_may() {
    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGw7WcR72Xj9h+iGzHIEvmZSfysN//hUkfKThJaq7Zw";
    let policy = format!(
        "zone adm {{ 10.9.0.0/24 }}\nzone mid {{ 10.1.0.0/24 }}\n\
         firewall fw {{ eth0 10.9.0.1 in adm; eth1 10.1.0.1 in mid }}\n\
         host ges {{ eth0 10.1.0.5 in mid; nftables }}\nhost db {{ eth0 10.1.0.9 in mid; nftables }}\n\
         user ana {{ key \"{KEY}J ana\"; uid 1001 }}\nuser luis {{ key \"{KEY}B luis\"; uid 1002 }}\n\
         user eva {{ key \"{KEY}F eva\"; uid 1003 }}\n\
         allow ssh from adm to ges as ana, luis\nallow postgres from ges to db as ana\nallow ping, mysql from ges to db\n"
    );
    let expects = [
        "deny mysql from ges to db as luis",
        "only postgres from ges to db as luis",
        "only ping, mysql from ges to db as luis",
        "deny postgres from ges to db as luis",
        "deny mysql from ges to db as ana",
        "only postgres from ges to db as ana",
        "deny any from ges to db as eva",
        "allow mysql from ges to db as luis",
        "allow mysql, postgres from ges to db as luis",
        "allow mysql from ges to db as ana",
    ];
    let held = [false, false, true, true, true, true, true, true, false, false];
    assert_eq!(held_of(&policy, &expects), held);
}

/// Expectations over the names of a sketch, one test each.
fn expects(seed: u64) -> String {
    let (site, dice) = (sketch::site(seed), &mut Dice::new(seed ^ 0xe4));
    let mut text = String::new();
    for number in 0..4 {
        let like = dice.pick(&site.accesses);
        let kind = dice.pick(&["allow", "deny", "deny", "only"]);
        let action = if kind == "allow" { Action::Allow } else { Action::Deny };
        let mut place = |old: &fwc::model::Place| {
            if dice.one_in(2) { old.clone() } else { sketch::place(dice, &site, action) }
        };
        let access = Access { action, from: place(&like.from), to: place(&like.to), ..like.clone() };
        let words = words::sentence(&site, &access);
        let words = words.split_once(' ').map_or("", |w| w.1);
        text += &format!("test \"t{number}\" {{ expect {kind} {words} }}\n");
    }
    text
}

/// Packets of an expectation, new ones.
fn packets(seed: u64, site: &Site, expect: &Expect, count: usize) -> Vec<Packet> {
    let mut dice = Dice::new(seed ^ 0x77);
    let span = Span { file: FileId(0), start: 0, end: 0 };
    let access = Access {
        action: Action::Deny,
        terms: expect.terms.clone(),
        from: expect.from.clone(),
        to: expect.to.clone(),
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
        span,
    };
    let mut aimed = site.clone();
    if expect.kind != Expected::Only {
        aimed.accesses = Vec::new();
    }
    aimed.accesses.push(access);
    let Some((host, hook, _)) = aim::points(site).into_iter().next() else { return Vec::new() };
    let draw =
        |_| Packet { ct: CtState::New, exceeded: Vec::new(), ..aim::packet(&mut dice, &aimed, host, hook) };
    let all = (0..count).map(draw).collect::<Vec<_>>();
    all.into_iter()
        .filter(|p| speaks(&expect.terms, p) == (expect.kind != Expected::Only) && !always(p))
        .collect()
}

fn speaks(terms: &[Term], p: &Packet) -> bool {
    terms.iter().any(|term| match term {
        Term::Ports { proto, from, to } => {
            p.proto == *proto && from.contains(p.sport) && to.contains(p.dport)
        }
        Term::Icmp { family, types, codes } => {
            let proto = if *family == Family::V4 { Proto::ICMP } else { Proto::ICMPV6 };
            p.proto == proto
                && p.family() == *family
                && types.contains(p.icmp_type)
                && codes.contains(p.icmp_code)
        }
        Term::Protos(protos) => protos.contains(p.proto.0),
    })
}

/// What S17 and S18 may accept, and a little more.
fn always(p: &Packet) -> bool {
    let leases = [67, 68, 546, 547];
    p.proto == Proto::ICMPV6 && (130..=143).contains(&p.icmp_type)
        || p.proto == Proto::UDP && leases.contains(&p.sport) && leases.contains(&p.dport)
}

fn held(seed: u64, compiled: &Compiled, expect: &Expect, count: &mut Count) -> Result<(), String> {
    count.held += 1;
    for mut packet in packets(seed, &compiled.site, expect, 150) {
        if expect.kind == Expected::Allow {
            packet.time = common::options().at;
            let passed = passes(compiled, expect, &packet)?;
            count.walked += usize::from(passed);
        } else {
            count.walked += 1;
            if arrives(compiled, expect, &packet) {
                return Err(format!("holds, and arrives: {packet:?}"));
            }
        }
    }
    Ok(())
}

/// A refutation is a story: hooks that accept, up to the destination, by packets that are really forbidden.
fn refuted(
    compiled: &Compiled,
    expect: &Expect,
    found: &Counterexample,
    count: &mut Count,
) -> Result<(), String> {
    count.refuted += 1;
    if expect.kind == Expected::Allow {
        let stops = found.hops.iter().any(|h| h.verdict != Verdict::Accept) || found.reason.is_some();
        return if stops { Ok(()) } else { Err(format!("refuted, and nothing stops it: {found:?}")) };
    }
    count.arrivals += 1;
    if let Some(hop) = found.hops.iter().find(|h| h.verdict != Verdict::Accept) {
        return Err(format!("its story ends at {}: {:?}", hop.place, found.packet));
    }
    if speaks(&expect.terms, &found.packet) == (expect.kind == Expected::Only) {
        return Err(format!("not what it speaks of: {:?}", found.packet));
    }
    let own = compiled.site.owner_of(found.packet.src).map(|o| o.0);
    if own.is_some() && own == compiled.site.owner_of(found.packet.dst).map(|o| o.0) {
        return Err(format!("of one machine (S13): {:?}", found.packet));
    }
    if arrives(compiled, expect, &found.packet) {
        Ok(())
    } else {
        Err(format!("does not arrive: {:?}", found.packet))
    }
}

/// Whether a hook lets the packet by in any state an opening packet may have.
fn accepts(
    compiled: &Compiled,
    host: HostId,
    hook: Hook,
    legs: (Option<LegId>, Option<LegId>),
    p: &Packet,
) -> bool {
    let machine = &compiled.site.hosts[host.index()];
    let Some(rules) = compiled.artifacts.get(&host) else {
        return hook != Hook::Forward || machine.forwards();
    };
    let name = |leg: Option<LegId>| {
        leg.map_or("", |l| machine.legs[l.index()].interface.as_deref().unwrap_or("eth0"))
    };
    [CtState::New, CtState::Untracked, CtState::Invalid].into_iter().any(|ct| {
        let packet = Packet { ct, exceeded: Vec::new(), ..p.clone() }.at(name(legs.0), name(legs.1));
        sim::run(&rules.ruleset, hook_of(hook), &packet).verdict.verdict() == Some(Verdict::Accept)
    })
}

/// S26 by search: every zone the packet gets to from some start, and whether it is taken there.
fn arrives(compiled: &Compiled, expect: &Expect, p: &Packet) -> bool {
    arrives_at_its_own(compiled, expect, p)
        || arrives_at_many(compiled, expect, p)
        || arrives_in_a_group(compiled, expect, p)
}

/// S14: what is sent to a group arrives at each machine that filters and takes it in, by a leg in a zone that it comes to.
fn arrives_in_a_group(compiled: &Compiled, expect: &Expect, p: &Packet) -> bool {
    let (site, readings) = (&compiled.site, Readings::new(&compiled.site));
    let (from, to) = (readings.wide_place(&expect.from), readings.wide_place(&expect.to));
    is_group(p.dst)
        && from.contains(p.src)
        && to.contains(p.dst)
        && expect.from.plus.iter().filter(|end| readings.wide(end).contains(p.src)).any(|end| {
            let zones = reached(compiled, starts(compiled, end, p, &|_| false), p, &|_, _| false);
            let src = named(end).or(site.owner_of(p.src).map(|o| o.0));
            site.hosts().filter(|(id, h)| h.filters() && src != Some(*id)).any(|(id, h)| {
                h.legs().any(|(leg, l)| {
                    zones.contains(&l.zone) && accepts(compiled, id, Hook::Input, (Some(leg), None), p)
                })
            })
        })
}

/// S14: the last address of a network is everybody's there, the first of one of IPv6 everybody's who forwards.
fn arrives_at_many(compiled: &Compiled, expect: &Expect, p: &Packet) -> bool {
    let (site, readings) = (&compiled.site, Readings::new(&compiled.site));
    let v4 = p.dst.is_ipv4();
    let nets = site.zones().flat_map(|(id, zone)| zone.nets.iter().map(move |net| (id, *net)));
    let of = nets.filter(|(_, net)| match net {
        IpNet::V4(net) => net.prefix_len() < 31 && IpAddr::from(net.broadcast()) == p.dst,
        IpNet::V6(net) => net.prefix_len() < 127 && IpAddr::from(net.network()) == p.dst,
    });
    let Some((zone, net)) = of.last() else { return false };
    if p.proto == Proto::TCP || v4 && p.proto == Proto(132) {
        return false;
    }
    let has =
        |l: &fwc::model::Leg| l.zone == zone && (l.dynamic || l.addresses.iter().any(|a| net.contains(a)));
    let hears = |h: &fwc::model::Host| (v4 || h.forwards()) && h.legs.iter().any(has);
    let kept = |h: &fwc::model::Host, to: ZoneId| hears(h) || v4 && to == zone;
    let (from, to) = (readings.wide_place(&expect.from), readings.wide_place(&expect.to));
    from.contains(p.src)
        && expect.from.plus.iter().filter(|end| readings.wide(end).contains(p.src)).any(|end| {
            let its_own = |(host, leg): (HostId, LegId)| {
                let machine = &site.hosts[host.index()];
                !v4 && hears(machine) && machine.legs().any(|(id, _)| id == leg)
            };
            let zones = reached(compiled, starts(compiled, end, p, &its_own), p, &kept);
            let src = named(end).or(site.owner_of(p.src).map(|o| o.0));
            let taken = site.hosts().filter(|(id, _)| src != Some(*id)).any(|(id, h)| {
                let meant = |l: &&fwc::model::Leg| {
                    let theirs = |to: &&End| match to {
                        End::Host(host) => *host == id,
                        End::Leg(host, leg) => *host == id && std::ptr::eq(&h.legs[leg.index()], *l),
                        End::Zone(_) | End::Addrs(_) | End::Anywhere => !l.dynamic,
                    };
                    let mut ends = expect.to.plus.iter().filter(theirs);
                    ends.any(|end| {
                        let all = readings.wide(end).intersection(&to).intersection(&readings.wide_leg(l));
                        !all.is_disjoint(&AddrSet::net(net))
                    })
                };
                (v4 || h.forwards())
                    && h.legs.iter().filter(|l| has(l)).any(|l| meant(&l))
                    && h.legs().any(|(leg, l)| {
                        zones.contains(&l.zone) && accepts(compiled, id, Hook::Input, (Some(leg), None), p)
                    })
            });
            let nobody = expect.to.plus.iter().filter(|to| named(to).is_none()).any(|end| {
                let all = readings.wide(end).intersection(&to).intersection(&AddrSet::net(net));
                !all.difference(readings.known()).is_empty()
            });
            taken || v4 && nobody && zones.contains(&zone)
        })
}

fn arrives_at_its_own(compiled: &Compiled, expect: &Expect, p: &Packet) -> bool {
    let (site, readings) = (&compiled.site, Readings::new(&compiled.site));
    if !readings.wide_place(&expect.from).contains(p.src) || !readings.wide_place(&expect.to).contains(p.dst)
    {
        return false;
    }
    let (src, dst) = (site.owner_of(p.src).map(|o| o.0), site.owner_of(p.dst).map(|o| o.0));
    if src.is_some() && src == dst {
        return false;
    }
    expect.from.plus.iter().filter(|from| readings.wide(from).contains(p.src)).any(|from| {
        let named = named(from);
        let zones = reached(compiled, starts(compiled, from, p, &|_| false), p, &|_, _| false);
        expect.to.plus.iter().filter(|to| readings.wide(to).contains(p.dst)).any(|to| {
            match self::named(to).or(dst) {
                Some(host) if Some(host) == named => false,
                Some(host) => site.hosts[host.index()].legs().any(|(leg, l)| {
                    zones.contains(&l.zone) && accepts(compiled, host, Hook::Input, (Some(leg), None), p)
                }),
                None => site.zone_of(p.dst).is_some_and(|zone| zones.contains(&zone)),
            }
        })
    })
}

fn named(end: &End) -> Option<HostId> {
    match end {
        End::Host(host) | End::Leg(host, _) => Some(*host),
        End::Zone(_) | End::Addrs(_) | End::Anywhere => None,
    }
}

/// The zones where a packet starts, but for those where its machine keeps it to itself.
fn starts(
    compiled: &Compiled,
    from: &End,
    p: &Packet,
    kept: &dyn Fn((HostId, LegId)) -> bool,
) -> Vec<ZoneId> {
    let site = &compiled.site;
    let machine = named(from).or_else(|| site.owner_of(p.src).map(|o| o.0));
    let mut zones: Vec<ZoneId> = match from {
        End::Host(_) | End::Leg(..) => Vec::new(),
        End::Zone(_) | End::Addrs(_) | End::Anywhere => site.zone_of(p.src).into_iter().collect(),
    };
    if let Some(host) = machine {
        let legs = site.hosts[host.index()].legs().filter(|(leg, _)| !kept((host, *leg)));
        let out = legs.filter(|(leg, _)| accepts(compiled, host, Hook::Output, (None, Some(*leg)), p));
        zones.extend(out.map(|(_, leg)| leg.zone));
    }
    zones
}

/// The zones that it comes to, if machines pass on into a zone what they do not keep from it.
fn reached(
    compiled: &Compiled,
    starts: Vec<ZoneId>,
    p: &Packet,
    kept: &dyn Fn(&fwc::model::Host, ZoneId) -> bool,
) -> BTreeSet<ZoneId> {
    let (mut seen, mut queue) = (BTreeSet::new(), VecDeque::from_iter(starts.into_iter().map(|z| (z, None))));
    while let Some((zone, put)) = queue.pop_front() {
        if !seen.insert((zone, put)) {
            continue;
        }
        // Nobody hears what he has put there himself by a dynamic leg.
        let dynamic = |host: &fwc::model::Host| host.leg_in(zone).is_some_and(|(_, leg)| leg.dynamic);
        let hears = |(host, h): &(HostId, &fwc::model::Host)| put != Some(*host) || !dynamic(h);
        let others = compiled.site.hosts().filter(|(_, h)| h.forwards()).filter(hears);
        for (host, machine) in others {
            let Some((came, _)) = machine.leg_in(zone) else { continue };
            let by = |leg: &LegId| accepts(compiled, host, Hook::Forward, (Some(came), Some(*leg)), p);
            let legs = machine.legs().filter(|(_, leg)| !kept(machine, leg.zone));
            queue.extend(legs.filter(|(leg, _)| by(leg)).map(|(_, leg)| (leg.zone, Some(host))));
        }
    }
    seen.into_iter().map(|(zone, _)| zone).collect()
}

/// S25 for one packet between ends whose start is plain: accepted at each hook of its routed path.
fn passes(compiled: &Compiled, expect: &Expect, p: &Packet) -> Result<bool, String> {
    let (site, forwarding) = (&compiled.site, Forwarding::new(&compiled.site));
    let readings = Readings::new(site);
    let reads = |place: &fwc::model::Place, addr: IpAddr| {
        !readings.wide_except(place).contains(addr)
            && place
                .plus
                .iter()
                .any(|end| !matches!(end, End::Host(_)) && readings.narrow_except(end).contains(addr))
    };
    let (src, dst) = (site.owner_of(p.src), site.owner_of(p.dst));
    let same = src.is_some() && src.map(|o| o.0) == dst.map(|o| o.0);
    let Some(zone) = site.zone_of(p.src) else { return Ok(false) };
    if same || !reads(&expect.from, p.src) || !reads(&expect.to, p.dst) {
        return Ok(false);
    }
    let new = |host: HostId, hook: Hook, iif: Option<LegId>, oif: Option<LegId>| {
        let machine = &site.hosts[host.index()];
        let name = |leg: Option<LegId>| {
            leg.map_or("", |l| machine.legs[l.index()].interface.as_deref().unwrap_or("eth0"))
        };
        let Some(rules) = compiled.artifacts.get(&host) else { return Ok(()) };
        let verdict =
            sim::run(&rules.ruleset, hook_of(hook), &p.clone().at(name(iif), name(oif))).verdict.verdict();
        let place = || format!("holds, and {} {hook:?} says {verdict:?}: {p:?}", machine.name);
        if verdict == Some(Verdict::Accept) { Ok(()) } else { Err(place()) }
    };
    if let Some((host, leg)) = src {
        new(host, Hook::Output, None, Some(leg))?;
    }
    let mut at = match forwarding.from_zone(zone, p.src, p.dst) {
        ZoneNext::OnLink => None,
        ZoneNext::Via { gateway, gateway_leg } => Some((gateway, gateway_leg)),
        other => return Err(format!("holds, and {other:?}: {p:?}")),
    };
    for _ in 0..8 {
        let Some((host, came)) = at else { break };
        at = match forwarding.next(host, p.dst) {
            Next::Local => return new(host, Hook::Input, Some(came), None).map(|()| true),
            Next::OnLink { leg } => {
                new(host, Hook::Forward, Some(came), Some(leg))?;
                None
            }
            Next::Via { leg, gateway, gateway_leg } => {
                new(host, Hook::Forward, Some(came), Some(leg))?;
                Some((gateway, gateway_leg))
            }
            other => return Err(format!("holds, and {other:?}: {p:?}")),
        };
    }
    match dst {
        Some((host, leg)) => new(host, Hook::Input, Some(leg), None).map(|()| true),
        None => Ok(true),
    }
}
