//! `matrix` and `reach` say what `expect deny` proves: a pair speaks iff its denial is refuted.

use fwc::model::Role;
use fwc::net::{Packet, Proto, Verdict};
use fwc::verify::diff::Names;
use fwc::verify::questions::{By, Spoken, matrix, reach};
use fwc::verify::trace::{NoWay, by_its_leg, trace};

use crate::common::{compiled, crm, folder, options};

#[test]
fn a_pair_speaks_iff_its_denial_is_refuted() {
    for policy in [crm(), folder("policies/lxc"), folder("policies/crm-aws"), folder("policies/swarm")] {
        let plain = compiled(&policy);
        let mut asked = policy.clone();
        let mut tests = "test \"every pair\" {\n".to_owned();
        for zone in &plain.site.zones {
            // What a vpc does between its subnets cannot be named.
            for host in plain.site.hosts.iter().filter(|host| host.role != Role::Vpc) {
                tests += &format!("    expect deny any from {} to {}\n", zone.name, host.name);
            }
        }
        asked.push(("pairs.fw".to_owned(), tests + "}\n"));
        let site = compiled(&asked);
        let cells = matrix(&plain.site, &plain.artifacts, options().at, By::Host, None).unwrap().cells;
        let (mut speak, mut silent) = (0, 0);
        for cell in &cells {
            let from = &plain.site.zone(cell.from).unwrap().name;
            let words = format!("deny any from {from} to {}", cell.to);
            let proof =
                site.report.expects.iter().find(|e| e.test == "every pair" && e.words.contains(&words));
            let proof = proof.unwrap_or_else(|| panic!("no proof of {words}"));
            assert_eq!(proof.outcome.holds(), cell.services.is_empty(), "{words}: {:?}", cell.services);
            if cell.services.is_empty() { silent += 1 } else { speak += 1 }
        }
        assert!(speak > 3 && silent > 3, "{speak} speak, {silent} do not");
    }
}

/// Types that begin no connection are told with all that begin one, and where nothing is tracked.
#[test]
fn icmp_that_is_never_new_is_not_named() {
    const POLICY: &str = "\
zone a { 10.50.1.0/24 }
zone b { 10.50.2.0/24 }
zone c { 10.50.3.0/24 }
firewall fw { eth0 10.50.1.1 in a; eth1 10.50.2.1 in b; eth2 10.50.3.1 in c }
allow icmp type 3 from a to b
allow icmp type 3, icmp type 8 from b to a
allow icmp from a to c
allow any from b to c
allow ping from c to b
allow icmp from c to a
deny icmp type 13 from c to a
";
    let said = |from: &str, to: &str| cell(POLICY, By::Zone, from, to);
    assert_eq!(said("a", "b"), Vec::<String>::new());
    assert_eq!(said("b", "a"), ["(icmp type 8)"]);
    assert_eq!(said("a", "c"), ["(icmp)"]);
    assert_eq!(said("b", "c"), ["(any)"]);
    assert_eq!(said("c", "b"), ["(icmp type 8 code 0)"]);
    assert_eq!(said("c", "a"), ["(icmp type 8,15,17)"]);
    assert_eq!(ways(POLICY, "icmp type 3 from a to b"), []);
    let all = ways(POLICY, "any from a to c");
    assert!(all.len() == 1 && all[0].1.starts_with("icmp from a"), "{all:?}");
    // A bridge that knows no connections knows no `new` either.
    const BRIDGED: &str = "\
zone lan { 10.50.1.0/24 }
firewall br { br0 10.50.1.1 in lan bridge stateless \"tried\" }
host one = 10.50.1.6 in lan
host two = 10.50.1.7 in lan
allow icmp type 3 from one to two
";
    let all = ways(BRIDGED, "icmp from one to two");
    assert!(all.len() == 1 && all[0].1.starts_with("icmp type 3 "), "{all:?}");
}

/// The ways that reach a machine, as their statements and whether a packet of a zone is among them.
fn ways(policy: &str, asked: &str) -> Vec<(Vec<String>, String)> {
    let text = format!("{policy}test \"q\" {{ expect deny {asked} }}\n");
    let compiled = compiled(&[("ways.fw".to_owned(), text)]);
    let asked = compiled.site.tests[0].expects[0].clone();
    let names = Names::of(&compiled.site);
    let answer = reach(&compiled.site, &compiled.artifacts, options().at, &asked, &names).unwrap();
    assert!(!answer.more, "{asked:?}");
    let ways = answer.ways.into_iter().map(|way| {
        let regions: Vec<String> = way.regions.iter().map(ToString::to_string).collect();
        (way.statements.into_iter().map(|(words, _)| words).collect(), regions.join("; "))
    });
    let mut ways: Vec<_> = ways.collect();
    ways.sort();
    ways
}

/// A way that nothing filters is not the way of those whom a firewall lets through.
#[test]
fn what_is_filtered_is_not_said_to_be_unfiltered() {
    const POLICY: &str = "\
zone lan { 10.0.0.0/24 }
zone dmz { 10.9.0.0/24 }
firewall fw { eth1 10.0.0.1 in lan; eth2 10.9.0.1 in dmz }
host web = 10.9.0.15 in dmz
host app = 10.9.0.16 in dmz
allow https from lan to web
allow ssh from app to web
";
    let https = "allow https from lan to web".to_owned();
    let all = ways(POLICY, "any from anywhere to web");
    assert!(all.iter().any(|(said, of)| *said == [https.clone()] && of.contains("from lan")), "{all:?}");
    let unfiltered: Vec<_> = all.iter().filter(|(said, _)| said.is_empty()).collect();
    assert!(!unfiltered.is_empty() && unfiltered.iter().all(|(_, of)| !of.contains("lan")), "{all:?}");
    let all = ways(POLICY, "https from anywhere to web");
    assert_eq!(all.iter().filter(|(said, _)| *said == [https.clone()]).count(), 1, "{all:?}");
}

/// A dynamic leg may have any address of its zone: nobody is left out for it, one address after the other.
#[test]
fn a_dynamic_leg_is_no_end_of_an_answer() {
    const POLICY: &str = "\
zone lan { 10.0.0.0/24 }
zone internet { rest }
firewall gw { wan dynamic in internet; eth1 10.0.0.1 in lan }
host pc { eth0 dynamic in lan; nftables }
host web = 10.0.0.15 in lan
allow https from internet to web
allow http, https from lan to internet
";
    for asked in
        ["any from internet to anywhere", "any from anywhere to internet", "any from lan to anywhere"]
    {
        let all = ways(POLICY, asked);
        assert!((1..20).contains(&all.len()), "{asked}: {all:?}");
    }
}

#[test]
fn security_groups_let_arrive_what_they_admit() {
    const POLICY: &str = "\
vpc prod { 10.0.0.0/16; region eu-west-1; gateway internet }
zone internet { rest }
zone pub { 10.0.0.0/24 } in prod
zone priv { 10.0.1.0/24 } in prod
host lb1 = 10.0.0.10 in pub
host app1 = 10.0.1.10 in priv
security-group lb = lb1
security-group app = app1
allow tcp 8080 from lb to app
";
    let all = ways(POLICY, "any from anywhere to app1");
    let found = |(said, of): &(Vec<String>, String)| {
        *said == ["allow tcp 8080 from lb to app"] && of.contains("tcp 8080 from lb to app")
    };
    assert!(all.iter().any(found), "{all:?}");
}

#[test]
fn an_answer_names_the_lines_and_only_those() {
    let mut policy = crm();
    let question = "test \"q\" { expect deny postgres from anywhere to bbdd }\n";
    policy.push(("q.fw".to_owned(), question.to_owned()));
    let compiled = compiled(&policy);
    let asked = compiled.site.tests.iter().find(|t| t.title == "q").unwrap().expects[0].clone();
    let names = Names::of(&compiled.site);
    let answer = reach(&compiled.site, &compiled.artifacts, options().at, &asked, &names).unwrap();
    let mut said: Vec<String> = answer
        .ways
        .iter()
        .flat_map(|way| {
            let regions: Vec<String> = way.regions.iter().map(ToString::to_string).collect();
            way.statements.iter().map(move |(words, _)| format!("{words}: {}", regions.join("; ")))
        })
        .collect();
    said.sort();
    assert_eq!(
        said,
        [
            "allow postgres from nagios to bbdd.mgmt: tcp 5432 from nagios to bbdd.mgmt",
            "allow postgres from web to bbdd.data: tcp 5432 from s1.data, s2.data, s3.data to bbdd.data",
        ]
    );
}

/// What stands in a cell, in brackets where it is not spoken by all.
fn cell(policy: &str, by: By, from: &str, to: &str) -> Vec<String> {
    let compiled = compiled(&[("cell.fw".to_owned(), policy.to_owned())]);
    let cells = matrix(&compiled.site, &compiled.artifacts, options().at, by, None).unwrap().cells;
    let of = cells.iter().find(|c| c.to == to && compiled.site.zone(c.from).unwrap().name == from).unwrap();
    let word = |s: &Spoken| if s.whole { s.service.clone() } else { format!("({})", s.service) };
    of.services.iter().map(word).collect()
}

const TWO: &str = "zone a { 10.0.0.0/24 }\nzone b { 10.0.1.0/24 }\n\
    firewall f { e0 10.0.0.1 in a; e1 10.0.1.1 in b }\n";

#[test]
fn a_cell_does_not_speak_what_is_denied() {
    let policy = format!("{TWO}allow any from a to b\ndeny tcp 25, udp 53, proto 50 from a to b\n");
    assert_eq!(
        cell(&policy, By::Zone, "a", "b"),
        ["(every protocol but tcp, udp, esp)", "(tcp port other than 25)", "(udp port other than 53)"]
    );
}

#[test]
fn a_cell_leaves_nothing_out() {
    let kinds: Vec<String> = (40..75).map(|n| format!("icmp type {n} code {}", n * 3 % 250)).collect();
    // Where nothing is tracked, so that every type may be there.
    const BRIDGE: &str =
        "zone a { 10.0.0.0/24 }\nfirewall f { br 10.0.0.1 in a bridge stateless \"a case\" }\n";
    let policy = format!("{BRIDGE}allow {} from a to a\n", kinds.join(", "));
    let said = cell(&policy, By::Zone, "a", "a");
    assert_eq!(said, kinds.iter().map(|kind| format!("({kind})")).collect::<Vec<_>>());
}

#[test]
fn ports_are_those_written_to_a_gateway_and_those_delivered_behind_it() {
    const POLICY: &str = "\
zone internet { rest }
zone srv { 192.168.60.0/24 }
firewall gw { wan 203.0.113.50 in internet; srv 192.168.60.1 in srv }
host git = 192.168.60.22 in srv
allow tcp 2222 from internet to gw.internet dnat to git port 22
";
    assert_eq!(cell(POLICY, By::Host, "internet", "gw"), ["(tcp 2222)"]);
    assert_eq!(cell(POLICY, By::Host, "internet", "git"), ["(tcp 22)"]);
    assert_eq!(cell(POLICY, By::Zone, "internet", "srv"), ["(tcp 22)"]);
}

/// A neighbour may send in the name of a machine that filters; the machine itself does not for that.
#[test]
fn a_zone_does_not_speak_for_its_machines_that_filter() {
    const POLICY: &str = "\
zone dmz { 192.0.2.0/24 }
zone internet { rest }
router isp { d 192.0.2.1 in dmz; w 198.51.100.1 in internet }
host mx { eth0 192.0.2.25 in dmz; nftables }
allow smtp from internet to mx
";
    assert_eq!(cell(POLICY, By::Zone, "dmz", "internet"), ["(any)"]);
    let open = POLICY.replace("; nftables", "");
    assert_eq!(cell(&open.replace("allow", "#"), By::Zone, "dmz", "internet"), ["any"]);
}

#[test]
fn what_all_speak_stands_apart_from_what_some_do() {
    const POLICY: &str = "\
vpc one { 10.70.0.0/16; region us-east-1; gateway internet }
zone na { 10.70.1.0/24 } in one
zone internet { rest }
host h1 = 10.70.1.11 in na
security-group base = h1
allow tcp 22, tcp 80 from internet to base
deny tcp 22 from 198.51.100.0/24 to base
";
    assert_eq!(cell(POLICY, By::Host, "internet", "h1"), ["(tcp 22)", "tcp 80"]);
}

#[test]
fn what_has_ended_does_not_arrive_and_what_ends_is_said_to() {
    let policy = format!(
        "{TWO}host db = 10.0.1.7 in b\n\
        allow tcp 9999 from a to db {{ until 1999-11-01 }}\nallow tcp 443 from a to db {{ until 2099-06-30 }}\n\
        allow tcp 444 from a to db\ndeny tcp 444 from a to db {{ until 1999-12-31 }}\n"
    );
    assert_eq!(cell(&policy, By::Host, "a", "db"), ["(tcp 443-444)"]);
    let said = ways(&policy, "any from a to db");
    let of = |port: &str| said.iter().find(|(_, of)| of.contains(port)).map(|(_, of)| of.as_str());
    assert_eq!(of("9999"), None);
    assert_eq!(of("443"), Some("tcp 443 from a except f.a to db until 2099-07-01T00:00:00Z"));
    assert_eq!(of("444"), Some("tcp 444 from a except f.a to db"));
}

/// The line that lets a packet through is named though nobody's packet leaves, or the sender shares a zone with a leg of no known address.
#[test]
fn what_only_some_user_may_send_or_a_dynamic_leg_takes_in_is_not_unfiltered() {
    const DYNAMIC: &str = "\
zone internet { rest }
zone srv { 192.168.2.0/24 }
firewall rt { wan dynamic in internet; s 192.168.2.1 in srv }
host web = 192.168.2.10 in srv
allow http from internet to rt.internet dnat to web
";
    let all = ways(DYNAMIC, "any from internet to anywhere");
    let web = all.iter().find(|(_, of)| of.contains("to web")).unwrap();
    assert_eq!(web.0, ["allow http from internet to rt.internet dnat to web"], "{all:?}");
    assert!(all.iter().all(|(said, of)| !said.is_empty() || !of.contains("web")), "{all:?}");
}

/// Of a place with addresses of both families each is said of its own: the same words twice would say nothing.
#[test]
fn what_holds_in_both_families_is_not_said_twice_alike() {
    const POLICY: &str = "zone lan { 10.1.1.0/24, 2001:db8:1::/64 }\nzone dmz { 10.1.2.0/24 }\n\
        firewall fw { eth1 10.1.1.1, 2001:db8:1::1 in lan; eth2 10.1.2.1 in dmz }\nallow http from lan to dmz\n";
    let all = ways(POLICY, "any from lan to anywhere");
    let within = all.iter().find(|(said, _)| said.is_empty()).unwrap();
    assert_eq!(within.1, "from lan to lan except fw.lan IPv4; from lan to lan except fw.lan IPv6");
}

/// What is shown as an example of what arrives arrives, traced.
#[test]
fn examples_of_what_arrives_are_accepted() {
    const POLICY: &str = "\
zone clients { 10.1.1.0/24 }
zone dmz { 10.1.2.0/24 }
zone internet { rest }
firewall fw { eth0 198.51.100.2 in internet; eth1 10.1.1.1 in clients; eth2 10.1.2.1 in dmz }
host web = 10.1.2.2 in dmz
host mx { eth0 10.1.2.3 in dmz; nftables }
allow http from clients to web
allow smtp from internet to mx { until 2099-01-01 }
allow https from mx to internet
";
    for question in ["anywhere to web", "anywhere to mx", "dmz to anywhere", "mx to anywhere"] {
        let text = format!("{POLICY}test \"q\" {{ expect deny any from {question} }}\n");
        let compiled = compiled(&[("ways.fw".to_owned(), text)]);
        let asked = compiled.site.tests[0].expects[0].clone();
        let names = Names::of(&compiled.site);
        let answer = reach(&compiled.site, &compiled.artifacts, options().at, &asked, &names).unwrap();
        assert!(!answer.ways.is_empty());
        for way in answer.ways {
            let sent = Packet { time: options().at, ..way.witness.clone() };
            let hops = trace(&compiled.site, &compiled.artifacts, &sent).unwrap();
            assert!(hops.iter().all(|hop| hop.verdict == Verdict::Accept), "{question}: {:?}", way.witness);
            assert_ne!(sent.src, sent.dst);
        }
    }
}

/// A captured packet says by which interface it came: a spoofed source does not come by the way that its owner would.
#[test]
fn a_packet_is_traced_from_the_interface_it_came_by() {
    const POLICY: &str = "zone lan { 10.1.1.0/24 }\nzone dmz { 10.1.2.0/24 }\nzone net { rest }\n\
        firewall fw { eth1 10.1.1.1 in lan; eth2 10.1.2.1 in dmz; eth0 198.51.100.1 in net }\n\
        firewall far { up 10.1.2.9 in dmz; eth1 10.9.0.1 in farther }\nzone farther { 10.9.0.0/24 }\n\
        host web = 10.1.2.2 in dmz\nallow http from lan to web\nallow https from net to web\n";
    let compiled = compiled(&[("policy.fw".to_owned(), POLICY.to_owned())]);
    let traced = |interface: &str| {
        let packet =
            Packet::new("10.1.1.5".parse().unwrap(), "10.1.2.2".parse().unwrap(), Proto::TCP, 40_000, 80);
        trace(&compiled.site, &compiled.artifacts, &packet.at(interface, "")).map(|hops| {
            hops.into_iter().map(|hop| format!("{}: {:?}", hop.place, hop.verdict)).collect::<Vec<_>>()
        })
    };
    let usual = Ok(vec!["fw forward eth1 -> eth2: Accept".to_owned()]);
    assert_eq!(traced(""), usual);
    assert_eq!(traced("fw.eth1"), usual);
    assert_eq!(traced("eth1"), usual, "`far` has one too, and is not on the way");
    let spoofed = Ok(vec!["fw forward eth0 -> eth2: Drop".to_owned()]);
    assert_eq!(traced("eth0"), spoofed);
    assert_eq!(traced("fw.eth0"), spoofed);
    assert_eq!(traced("far.eth1"), Ok(vec!["far forward eth1 -> up: Drop".to_owned()]));
    for unknown in ["eth7", "fw.eth7", "web.eth0", "lo"] {
        assert!(matches!(traced(unknown), Err(NoWay::Interface(_))), "{unknown}");
    }
}

/// S14: a group is heard by whoever carries its family, in a trace as in a proof.
#[test]
fn a_group_is_traced_to_those_who_carry_its_family() {
    const POLICY: &str = "zone lan { 10.0.0.0/24, fd00::/64 }\nhost a { e 10.0.0.2, fd00::2 in lan; nftables }\n\
        host b { e 10.0.0.3, fd00::3 in lan; nftables }\nhost old { e 10.0.0.4 in lan; nftables }\n\
        host late { e fd00::5 in lan; nftables }\n\
        allow udp 9 from a to ff05::18, b, old\nallow udp 9 from a to 224.0.0.18\n\
        test \"heard\" { expect allow udp 9 from a to ff05::18, 224.0.0.18 }\n";
    let compiled = compiled(&[("policy.fw".to_owned(), POLICY.to_owned())]);
    for (src, dst, heard) in [("fd00::2", "ff05::18", "late"), ("10.0.0.2", "224.0.0.18", "old")] {
        let packet = Packet::new(src.parse().unwrap(), dst.parse().unwrap(), Proto::UDP, 40_000, 9);
        let hops = trace(&compiled.site, &compiled.artifacts, &packet).unwrap();
        let hops: Vec<_> = hops.into_iter().map(|hop| format!("{}: {:?}", hop.place, hop.verdict)).collect();
        let heard = format!("{heard} input e: Accept");
        assert_eq!(hops, ["a output -> e: Accept", "b input e: Accept", &heard], "{dst}");
    }
}

/// A source in no zone says nothing of its link; an interface does, and there everybody hears it.
#[test]
fn a_group_is_heard_on_the_link_that_is_said() {
    const POLICY: &str = "zone lan { 10.1.0.0/24, fd01::/64 }\nzone dmz { 10.2.0.0/24, fd02::/64 }\n\
        firewall fw { eth0 10.1.0.1, fd01::1 in lan; eth1 10.2.0.1, fd02::1 in dmz }\n\
        host h { e 10.1.0.5, fd01::5 in lan; nftables }\nhost g { e 10.2.0.5, fd02::5 in dmz; nftables }\n\
        allow udp 9 from lan to ff05::18, 224.0.0.18\n";
    let compiled = compiled(&[("policy.fw".to_owned(), POLICY.to_owned())]);
    let traced = |src: &str, dst: &str, interface: &str| {
        let packet = Packet::new(src.parse().unwrap(), dst.parse().unwrap(), Proto::UDP, 40_000, 9);
        trace(&compiled.site, &compiled.artifacts, &packet.at(interface, "")).map(|hops| {
            hops.into_iter().map(|hop| format!("{}: {:?}", hop.place, hop.verdict)).collect::<Vec<_>>()
        })
    };
    let told = |hops: &[&str]| Ok(hops.iter().map(ToString::to_string).collect::<Vec<_>>());
    let on_lan = told(&["fw input eth0: Drop", "h input e: Drop"]);
    assert_eq!(traced("fe80::9", "ff05::18", "fw.eth0"), on_lan);
    assert_eq!(traced("fe80::9", "ff05::18", "eth0"), on_lan);
    assert_eq!(traced("fe80::9", "ff05::18", "h.e"), on_lan);
    assert_eq!(traced("fe80::9", "ff05::18", "eth1"), told(&["fw input eth1: Drop", "g input e: Drop"]));
    let heard = told(&["fw input eth0: Accept", "h input e: Accept"]);
    assert_eq!(traced("fd01::9", "ff05::18", "fw.eth0"), heard);
    assert_eq!(traced("10.1.0.9", "224.0.0.18", "h.e"), heard);
    // From its own machine as well as without that word, and by another link for somebody else's.
    assert_eq!(
        traced("10.1.0.5", "224.0.0.18", "eth0"),
        told(&["h output -> e: Accept", "fw input eth0: Accept"])
    );
    assert_eq!(traced("10.1.0.9", "224.0.0.18", "eth1"), told(&["fw input eth1: Drop", "g input e: Drop"]));
    // Who filters hears nobody to whom no way leads.
    let unheard = ["fw", "h"].map(|name| format!("{name}: no route back to its source (rp_filter): Drop"));
    assert_eq!(traced("192.168.9.9", "224.0.0.18", "fw.eth0"), Ok(unheard.to_vec()));
    assert!(
        matches!(traced("fe80::9", "ff05::18", "e"), Err(NoWay::Interface(why)) if why.contains("several machines"))
    );
    assert!(matches!(traced("fe80::9", "ff05::18", "eth7"), Err(NoWay::Interface(_))));
    assert!(
        matches!(traced("fe80::9", "ff05::18", ""), Err(NoWay::NoPath(why)) if why.contains("`in HOST.INTERFACE`"))
    );
}

/// The kernel routes by destination: from whichever of its addresses a machine writes, it leaves by the leg that leads there.
#[test]
fn a_machine_may_write_from_the_address_of_another_leg() {
    const POLICY: &str = "zone lan { 10.0.1.0/24 }\nzone srv { 10.0.2.0/24 }\nzone net { rest }\n\
        firewall fw { wan 198.51.100.1 in net; l 10.0.1.1 in lan; s 10.0.2.1 in srv }\n\
        allow tcp 9100 from fw to srv\n";
    let compiled = compiled(&[("policy.fw".to_owned(), POLICY.to_owned())]);
    let traced = |src: &str, dst: &str| {
        let packet = Packet::new(src.parse().unwrap(), dst.parse().unwrap(), Proto::TCP, 40_000, 9100);
        trace(&compiled.site, &compiled.artifacts, &packet).map(|hops| {
            hops.into_iter().map(|hop| format!("{}: {:?}", hop.place, hop.verdict)).collect::<Vec<_>>()
        })
    };
    assert_eq!(traced("10.0.2.1", "10.0.2.9"), Ok(vec!["fw output -> s: Accept".to_owned()]));
    assert_eq!(
        traced("10.0.1.1", "10.0.2.9"),
        Ok(vec!["fw output -> s: Drop".to_owned()]),
        "S20: not by that address"
    );
    assert_eq!(traced("198.51.100.1", "10.0.1.9"), Ok(vec!["fw output -> l: Drop".to_owned()]));
}

/// A machine sends on a link of its own by that link; what becomes of it by the leg that has the address, through the gateway there, is
/// told apart.
#[test]
fn a_packet_starts_where_the_routes_of_its_machine_lead() {
    const POLICY: &str = "zone lan { 10.0.1.0/24 }\nzone srv { 10.0.2.0/24 }\n\
        firewall fw { l 10.0.1.1 in lan; s 10.0.2.1 in srv }\n\
        host nas { e 10.0.1.9 in lan; f 10.0.2.9 in srv; nftables }\n\
        allow tcp 9100 from nas.lan to srv\nallow tcp 9100 from nas to srv\n";
    let compiled = compiled(&[("policy.fw".to_owned(), POLICY.to_owned())]);
    let said = |hops: Vec<fwc::verify::Hop>| -> Vec<String> {
        hops.into_iter().map(|hop| format!("{}: {:?}", hop.place, hop.verdict)).collect()
    };
    let both = |src: &str| {
        let dst = "10.0.2.77".parse().unwrap();
        let packet = Packet::new(src.parse().unwrap(), dst, Proto::TCP, 40_000, 9100);
        let own = trace(&compiled.site, &compiled.artifacts, &packet).map(said);
        (own, by_its_leg(&compiled.site, &compiled.artifacts, &packet).map(|(by, hops)| (by, said(hops))))
    };
    let told = |hops: &[&str]| hops.iter().map(ToString::to_string).collect::<Vec<_>>();
    let by_leg = ("e".to_owned(), told(&["nas output -> e: Accept", "fw forward l -> s: Accept"]));
    assert_eq!(both("10.0.1.9"), (Ok(told(&["nas output -> f: Drop"])), Some(by_leg)));
    // By the leg that leads there there is no other way.
    assert_eq!(both("10.0.2.9"), (Ok(told(&["nas output -> f: Accept"])), None));
}

/// Groups decide of machines whose addresses nobody knows as of any other: the statement is named, and the hops.
#[test]
fn what_groups_decide_of_unknown_addresses_is_filtered() {
    const POLICY: &str = "vpc a { 10.0.0.0/16; region eu-west-1 }
zone app { 10.0.1.0/24 } in a
zone dat { 10.0.2.0/24 } in a
host web1 = dynamic in app
host web2 = 10.0.1.20 in app
host db1 = dynamic in dat
host db2 = 10.0.2.20 in dat
security-group web = web1, web2
security-group db = db1
security-group plain = db2
allow postgres from web to db
allow mysql from web to db2
";
    for (question, hops) in [
        ("anywhere to db1", "web1 egress, db1 ingress"),
        ("web1 to db1", "web1 egress, db1 ingress"),
        ("web2 to db1", "web2 egress, db1 ingress"),
        ("app to db1", "web1 egress, db1 ingress"),
        ("web1 to anywhere", "web1 egress, db1 ingress"),
        ("web1 to db2", "web1 egress, db2 ingress"),
        ("anywhere to db2", "web1 egress, db2 ingress"),
    ] {
        let text = format!("{POLICY}test \"q\" {{ expect deny any from {question} }}\n");
        let compiled = compiled(&[("groups.fw".to_owned(), text)]);
        let asked = compiled.site.tests[0].expects[0].clone();
        let names = Names::of(&compiled.site);
        let answer = reach(&compiled.site, &compiled.artifacts, options().at, &asked, &names).unwrap();
        let mut through = Vec::new();
        for way in &answer.ways {
            let said: Vec<&str> = way.statements.iter().map(|(words, _)| words.as_str()).collect();
            assert!(
                !way.unfiltered && said.len() == 1 && said[0].starts_with("allow"),
                "{question}: {said:?}"
            );
            let places: Vec<&str> = way.hops.iter().map(|hop| hop.place.as_str()).collect();
            assert!(
                way.hops.iter().all(|hop| hop.faithful() && hop.verdict == Verdict::Accept),
                "{question}"
            );
            through.push(places.join(", "));
        }
        assert!(through.iter().any(|way| way == hops), "{question}: {through:?}");
        assert!(through.iter().all(|way| !way.is_empty()), "{question}: {through:?}");
    }
    // Who is nobody, at whatever address there, wears no group.
    let all = ways(POLICY, "any from app to dat");
    assert!(all.iter().any(|(said, _)| said.is_empty()), "{all:?}");
}
