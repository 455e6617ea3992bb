//! What goes wrong with translation in practice, by name: a ruleset that does what the policy says is broken in the way
//! people break it by hand, and the proof must go red, each time at the point itself and at what somebody expected.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "tests read the checkout")]
#![allow(clippy::indexing_slicing, reason = "a ruleset that is not there fails the test")]

mod common;

use common::{compiled, options};
use fwc::compile::Compiled;
use fwc::net::Translation;
use fwc::target::nft::artifact::{Expression, Field, Hook, Ruleset, Statement};
use fwc::target::nft::{print, read};
use fwc::verify::{Counterexample, HostRules, Meanings, Outcome, Report, Servers};

/// System B: containers behind one host.
const CONTAINERS: &str = r#"
zone world { rest }
zone lan { 10.0.0.0/24 }
firewall lxc { eth0 192.168.1.232 in world; lxc0 10.0.0.1 in lan }
host frontend = 10.0.0.2 in lan
host backend1 = 10.0.0.3 in lan
allow http, https from world to lxc.world dnat to frontend
allow ssh from world to lxc.world
allow any from lan to world masquerade
test "as it is used" {
    expect allow http, https from world to lxc.world
    expect only http, https from world to lan
    expect only http, https, ssh from world to lxc
    expect deny any from world to lan direct
    expect deny tcp 8080, tcp 27017 from world to lxc, lan
    expect allow http, https, dns, ntp from lan to world
    expect deny any from lan to lxc
    expect only http, https from world to frontend
    expect deny any from world to backend1
}
"#;

/// System E: nodes with one leg, whose way out is the director's.
const NODES: &str = r#"
zone lan { 192.168.100.0/24 }
zone internet { rest }
router gw { lan 192.168.100.254 in lan; wan dynamic in internet }
firewall master { eth0 192.168.100.1 in lan }
host node1 = 192.168.100.2 in lan
host node2 = 192.168.100.3 in lan
group nodes = node1, node2
each nodes { nftables; route internet via master.lan }
allow dns, ntp, http, https from nodes to internet masquerade
test "nodes update themselves" {
    expect allow https from nodes to internet
    expect deny smtp from nodes to internet
    expect deny any from internet to nodes
}
"#;

/// A published port for the neighbours of its server too.
const HAIRPIN: &str = r#"
zone world { rest }
zone lan { 10.0.0.0/24 }
firewall fw { eth0 192.0.2.1 in world; eth1 10.0.0.1 in lan }
host web { eth0 10.0.0.2 in lan; nftables }
allow tcp 8080 from world, lan to fw.world dnat to web port 80 hairpin
test "served" {
    expect allow tcp 8080 from world, lan to fw.world
    expect only tcp 80 from world to web
    expect deny tcp 8080 from world to web
}
"#;

#[test]
fn they_are_proved_as_they_are() {
    for policy in [CONTAINERS, NODES, HAIRPIN] {
        let compiled = site(policy);
        let places: Vec<&str> = compiled.report.points.iter().map(|p| p.place.as_str()).collect();
        assert!(places.iter().any(|place| place.ends_with("routing")), "{places:?}");
        assert!(compiled.report.expects.len() > 2);
    }
}

/// B20, B21: `tcp dport { 80, 443 } dnat to …` without interface and addresses.
#[test]
fn unscoped_dnat_captures_what_the_containers_start() {
    let report = broken(CONTAINERS, "lxc", |ruleset| {
        strip(ruleset, Some(Hook::Prerouting), &[Field::Iifname, Field::IpSaddr, Field::IpDaddr]);
    });
    let found = refuted_point(&report, "lxc prerouting");
    let rewrite = found.hops[0].rewrite.as_ref().unwrap();
    assert_eq!(rewrite.meant, None, "{found:?}");
    assert!(matches!(rewrite.done, Some(Translation::Destination { .. })), "{found:?}");
    let found = refuted(&report, "expect allow http, https, dns, ntp from lan to world");
    assert!(found.hops.iter().any(|hop| hop.place == "lxc prerouting lxc0"), "{found:?}");
}

/// B6: whoever is on the outer wire can write the private address.
#[test]
fn without_ct_status_dnat_a_neighbour_gets_in_by_himself() {
    let report = broken(CONTAINERS, "lxc", |ruleset| {
        strip(ruleset, None, &[Field::CtStatus, Field::CtOriginalIpDaddr]);
    });
    refuted_point(&report, "lxc forward");
    let found = refuted(&report, "expect deny any from world to lan direct");
    assert_eq!(found.packet.dst, "10.0.0.2".parse::<std::net::IpAddr>().unwrap());
    assert!(found.hops.iter().all(|hop| hop.rewrite.is_none()), "{found:?}");
}

/// The accept without the translation, the translation without the accept.
#[test]
fn both_halves_of_a_sentence_are_needed() {
    let report = broken(CONTAINERS, "lxc", |ruleset| without_nat(ruleset, Hook::Prerouting));
    refuted_point(&report, "lxc prerouting");
    refuted(&report, "expect allow http, https from world to lxc.world");
    let report = broken(CONTAINERS, "lxc", |ruleset| {
        for chain in ruleset.tables.iter_mut().flat_map(|t| &mut t.chains) {
            chain.rules.retain(|rule| !asks(&rule.statements, &[Field::CtStatus]));
        }
    });
    refuted_point(&report, "lxc forward");
    let found = refuted(&report, "expect allow http, https from world to lxc.world");
    assert_eq!(found.reason.as_deref(), Some("stopped at `lxc` forward"));
    assert!(found.hops[0].rewrite.is_some(), "{found:?}");
}

/// E14: a node with one leg gets its answers straight from the router, past the director that sent its packets.
#[test]
fn nodes_with_one_leg_need_masquerade() {
    let report = broken(NODES, "master", |ruleset| without_nat(ruleset, Hook::Postrouting));
    refuted_point(&report, "master postrouting");
    let found = refuted(&report, "expect allow https from nodes to internet");
    assert_eq!(
        found.reason.as_deref(),
        Some("the reply does not pass the firewalls that saw the packet"),
        "{found:?}"
    );
}

/// A member of a zone that has a leg beside who asks answers by that one, past the firewall that let the question through.
#[test]
fn a_member_of_several_legs_answers_by_its_own_routes() {
    let policy = |to: &str| {
        format!(
            "zone mgmt {{ 10.1.5.0/24 }}\nzone data {{ 10.1.4.0/24 }}\n\
             firewall fw {{ eth1 10.1.5.1 in mgmt; eth2 10.1.4.1 in data }}\n\
             host s1 {{ eth0 10.1.5.11 in mgmt; eth1 10.1.4.11 in data }}\n\
             allow http from mgmt to data\ntest \"t\" {{ expect allow http from mgmt to {to} }}\n"
        )
    };
    for to in ["data", "10.1.4.11"] {
        let found = compiled(&[("policy.fw".to_owned(), policy(to))]);
        let found = refuted(&found.report, &format!("expect allow http from mgmt to {to}"));
        assert_eq!(
            found.reason.as_deref(),
            Some("the reply does not pass the firewalls that saw the packet"),
            "{found:?}"
        );
        assert_eq!(found.packet.dst.to_string(), "10.1.4.11", "{found:?}");
    }
    let others = compiled(&[("policy.fw".to_owned(), policy("data except s1"))]);
    assert!(others.report.holds(), "{:?}", red(&others.report));
}

/// What a policy says, proved of its site with other routes: a machine's all by another gateway, each in a zone.
fn rerouted(policy: &str, host: &str, via: (&str, &str)) -> Report {
    let whole = compiled(&[("policy.fw".to_owned(), policy.to_owned())]);
    assert!(whole.report.holds(), "{:?}", red(&whole.report));
    let mut site = whole.site.clone();
    let gateway = site.hosts().find(|(_, machine)| machine.name == via.0).unwrap().0;
    let zone = site.zones().find(|(_, zone)| zone.name == via.1).unwrap().0;
    let machine = site.hosts.iter_mut().find(|machine| machine.name == host).unwrap();
    machine.routes.iter_mut().for_each(|route| (route.gateway, route.zone) = (gateway, zone));
    Meanings::of(&site).prove(&whole.artifacts, &Servers::new(), options().at)
}

/// A hub, and a bridge that tracks, which packets pass in transit and their replies do not: the connection never comes about.
#[test]
fn what_tracks_on_a_link_sees_replies_too() {
    for how in ["hub", "bridge br_netfilter"] {
        for (machine, via) in [("r3", ("r1", "alt")), ("r1", ("r3", "alt"))] {
            let policy = format!(
                "zone za {{ 10.1.0.0/24 }}\nzone zb {{ 10.2.0.0/24 }}\nzone alt {{ 10.3.0.0/24 }}\nzone road {{ 10.8.0.0/24 }}\n\
                 firewall h {{ wg0 10.8.0.1 in road {how} }}\n\
                 router r1 {{ e0 10.1.0.1 in za; e1 10.8.0.2 in road; e2 10.3.0.2 in alt; route zb via r3.road }}\n\
                 router r3 {{ e0 10.2.0.1 in zb; e1 10.8.0.3 in road; e2 10.3.0.3 in alt; route za via r1.road }}\n\
                 allow ssh from za to zb\ntest \"t\" {{ expect allow ssh from za to zb }}\n"
            );
            let found = rerouted(&policy, machine, via);
            let found = refuted(&found, "expect allow ssh from za to zb");
            let reason = "the reply does not pass the firewalls that saw the packet";
            assert_eq!(found.reason.as_deref(), Some(reason), "{how}, {machine}: {found:?}");
        }
    }
}

/// What a policy says, proved of its site where a machine has none of its routes.
fn unrouted(policy: &str, host: &str) -> Report {
    let whole = site(policy);
    let mut site = whole.site.clone();
    site.hosts.iter_mut().filter(|machine| machine.name == host).for_each(|machine| machine.routes.clear());
    Meanings::of(&site).prove(&whole.artifacts, &Servers::new(), options().at)
}

/// S80: a machine that filters drops, in IPv4, what it has no one way back to, before its hooks: a director, which answers nobody
/// itself, and who hears the answer.
#[test]
fn a_machine_without_a_way_back_hears_nothing() {
    let director = "zone a { 10.1.0.0/24 }\nzone d { 10.4.0.0/24 }\n\
        firewall r0 { e0 10.1.0.1 in a; e1 10.4.0.1 in d }\nfirewall r1 { e0 10.1.0.2 in a; e1 10.4.0.2 in d }\n\
        firewall m { e0 10.4.0.3 in d; route a via r0.d }\nhost c { e0 10.1.0.9 in a; route d via r0.a }\n\
        host s { e0 10.4.0.20 in d; route a via r0.d; nftables }\nallow tcp 80 from c to m ipvs dr to s\n\
        test \"t\" { expect allow tcp 80 from c to m }\n";
    let sender = "zone a { 10.1.0.0/24 }\nzone b { 10.2.0.0/24 }\nzone d { 10.4.0.0/24 }\n\
        firewall f0 { e0 10.1.0.1 in a; e1 10.2.0.1 in b; e2 10.4.0.1 in d }\nhost h = 10.4.0.6 in d\n\
        host r { e0 10.1.0.4 in a; e1 10.2.0.4 in b; nftables; route d via f0.a }\n\
        allow http from r.b to h\ntest \"t\" { expect allow http from r.b to h }\n";
    let cases = [
        (
            director,
            "m",
            "expect allow tcp 80 from c to m",
            "`m` drops it: it has no one way back to its source (`rp_filter`)",
        ),
        (
            sender,
            "r",
            "expect allow http from r.b to h",
            "`r` drops the reply: it has no one way back to its source (`rp_filter`)",
        ),
    ];
    for (policy, host, words, reason) in cases {
        let found = unrouted(policy, host);
        assert_eq!(refuted(&found, words).reason.as_deref(), Some(reason), "{found:?}");
        let six = ["1", "2", "4"].iter().fold(policy.replace("/24", "/64"), |text, n| {
            text.replace(&format!("10.{n}.0."), &format!("fd0{n}::"))
        });
        let found = unrouted(&six.replace("::0/64", "::/64"), host);
        assert!(found.holds(), "{:?}", red(&found));
    }
}

/// A router or firewall answers by its own routes, whichever of its addresses is written, by itself or in a list.
#[test]
fn a_gateway_answers_by_its_own_routes() {
    let (lost, deaf) = (
        "no routed path back: several routes are equally short",
        "`r` drops it: it has no one way back to its source (`rp_filter`)",
    );
    for (role, to, reason) in
        [("router", "10.1.0.3", lost), ("firewall", "10.1.0.3", deaf), ("router", "10.1.0.3, 10.1.0.9", lost)]
    {
        let policy = format!(
            "zone a {{ 10.1.0.0/24 }}\nzone b {{ 10.2.0.0/24 }}\nzone c {{ 10.3.0.0/24 }}\nlist met = {to}\n\
             firewall f0 {{ e0 10.1.0.1 in a; e1 10.2.0.1 in b; e2 10.3.0.1 in c }}\n\
             {role} r {{ e0 10.3.0.3 in c; e1 10.1.0.3 in a; route b via f0.a }}\nhost h {{ e0 10.2.0.4 in b }}\n\
             allow http from h to met\ntest \"t\" {{ expect allow http from h to met }}\n"
        );
        let found = unrouted(&policy, "r");
        let found = refuted(&found, "expect allow http from h to met");
        assert_eq!(found.reason.as_deref(), Some(reason), "{role}: {found:?}");
    }
}

/// Under `ipvs dr` a real server answers from the director's address: by way of the director itself nothing comes of it.
#[test]
fn under_dr_nothing_is_answered_through_the_director() {
    let policy = "zone world { rest }\nzone lan { 10.0.0.0/24 }\nfirewall lb { eth0 192.0.2.1 in world; eth1 10.0.0.1 in lan }\n\
        router gw { eth0 192.0.2.2 in world; eth1 10.0.0.2 in lan }\n\
        host s1 { eth0 10.0.0.11 in lan; route world via gw.lan }\nallow tcp 80 from world to lb.world ipvs dr to s1\n\
        test \"t\" { expect allow tcp 80 from world to lb.world }\n";
    let found = rerouted(policy, "s1", ("lb", "lan"));
    let found = refuted(&found, "expect allow tcp 80 from world to lb.world");
    let reason = "the reply does not pass the firewalls that saw the packet";
    assert_eq!(found.reason.as_deref(), Some(reason), "{found:?}");
}

/// The target answers its neighbour, who has never written to it.
#[test]
fn without_the_hairpin_address_the_target_answers_its_neighbour() {
    let report = broken(HAIRPIN, "fw", |ruleset| without_nat(ruleset, Hook::Postrouting));
    refuted_point(&report, "fw postrouting");
    let found = refuted(&report, "expect allow tcp 8080 from world, lan to fw.world");
    assert!(found.packet.src.to_string().starts_with("10.0.0."), "{found:?}");
}

/// The port is translated at the firewall and served at the target: both say the same.
#[test]
fn a_forgotten_port_is_stopped_at_the_target() {
    let report = broken(HAIRPIN, "fw", |ruleset| {
        for statement in statements(ruleset, None) {
            if let Statement::Nat(nat) = statement {
                nat.port = None;
            }
        }
    });
    refuted_point(&report, "fw prerouting");
    refuted(&report, "expect allow tcp 8080 from world, lan to fw.world");
}

/// A translation for everybody is one for those who lie about their address; the forward hook alone holds them off.
#[test]
fn a_spoofed_source_gets_nothing_in_by_a_translation() {
    let report = broken(CONTAINERS, "lxc", |ruleset| {
        strip(ruleset, None, &[Field::IpSaddr]);
    });
    let spoofed = report.unasked.iter().find(|proof| !proof.outcome.holds());
    let Some(Outcome::Refuted(found)) = spoofed.map(|proof| &proof.outcome) else {
        panic!("nothing unasked is refuted: {:?}", report.unasked)
    };
    assert!(found.hops.iter().any(|hop| hop.rewrite.is_some()), "{found:?}");
}

// ---- breaking -----------------------------------------------------------------------------------------------

fn site(policy: &str) -> Compiled {
    let compiled = compiled(&[("trap.fw".to_owned(), policy.to_owned())]);
    assert!(compiled.report.holds(), "{:#?}", red(&compiled.report));
    compiled
}

/// The proof of a site of which one ruleset is changed.
fn broken(policy: &str, host: &str, change: impl FnOnce(&mut Ruleset)) -> Report {
    let compiled = site(policy);
    let id = compiled.site.host_named(host).unwrap();
    let mut artifacts = compiled.artifacts.clone();
    let mut ruleset = artifacts[&id].ruleset.clone();
    change(&mut ruleset);
    assert_ne!(ruleset, artifacts[&id].ruleset, "nothing was broken:\n{}", artifacts[&id].text);
    let text = print::print(&ruleset).unwrap();
    let reading = read::read(&text).unwrap_or_else(|why| panic!("{why}:\n{text}"));
    println!("{text}");
    artifacts.insert(id, HostRules { text, ruleset: reading.ruleset, lines: reading.lines });
    let report = Meanings::of(&compiled.site).prove(&artifacts, &Servers::new(), options().at);
    println!("{:#?}", red(&report));
    report
}

/// Takes the matches on some fields away, in the chains of a hook or in all.
fn strip(ruleset: &mut Ruleset, hook: Option<Hook>, fields: &[Field]) {
    for chain in ruleset.tables.iter_mut().flat_map(|t| &mut t.chains) {
        if hook.is_none() || chain.base.as_ref().map(|base| base.hook) == hook {
            for rule in &mut chain.rules {
                rule.statements.retain(|s| !asks(std::slice::from_ref(s), fields));
            }
        }
    }
}

fn asks(statements: &[Statement], fields: &[Field]) -> bool {
    statements.iter().any(|statement| match statement {
        Statement::Match { left: Expression::Field(field), .. } => fields.contains(field),
        _ => false,
    })
}

fn statements(ruleset: &mut Ruleset, hook: Option<Hook>) -> impl Iterator<Item = &mut Statement> {
    let chains = ruleset.tables.iter_mut().flat_map(|t| &mut t.chains);
    let chains = chains.filter(move |c| hook.is_none() || c.base.as_ref().map(|base| base.hook) == hook);
    chains.flat_map(|chain| &mut chain.rules).flat_map(|rule| &mut rule.statements)
}

/// Takes the rules that translate away.
fn without_nat(ruleset: &mut Ruleset, hook: Hook) {
    for chain in ruleset.tables.iter_mut().flat_map(|t| &mut t.chains) {
        if chain.base.as_ref().is_some_and(|base| base.hook == hook) {
            chain.rules.retain(|rule| !rule.statements.iter().any(|s| matches!(s, Statement::Nat(_))));
        }
    }
}

// ---- what went red --------------------------------------------------------------------------------------------

fn red(report: &Report) -> Vec<String> {
    let points = report.points.iter().map(|p| (p.place.as_str(), &p.outcome));
    let expects = report.expects.iter().map(|e| (e.words.as_str(), &e.outcome));
    let unasked = report.unasked.iter().map(|u| (u.claim.as_str(), &u.outcome));
    let all = points.chain(expects).chain(unasked).filter(|(_, outcome)| !outcome.holds());
    all.map(|(claim, outcome)| format!("{claim}: {outcome:?}")).collect()
}

fn refuted_point<'r>(report: &'r Report, place: &str) -> &'r Counterexample {
    let proof = report.points.iter().find(|proof| proof.place == place).unwrap();
    example(place, &proof.outcome)
}

fn refuted<'r>(report: &'r Report, words: &str) -> &'r Counterexample {
    let proof = report.expects.iter().find(|proof| proof.words == words);
    let proof = proof.unwrap_or_else(|| panic!("nobody expects `{words}`"));
    example(words, &proof.outcome)
}

fn example<'r>(claim: &str, outcome: &'r Outcome) -> &'r Counterexample {
    match outcome {
        Outcome::Refuted(found) => found,
        other => panic!("{claim}: {other:?}"),
    }
}
