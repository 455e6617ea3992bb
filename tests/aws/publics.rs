//! Public addresses, which the gateway of a vpc puts for private ones (S57): as the command says it.

use crate::planned::{Said, fwc};

const SITE: &str = "\
vpc main { 10.1.0.0/16; gateway internet }
vpc other { 10.2.0.0/16; gateway internet }
zone app { 10.1.1.0/24 } in main
zone data { 10.2.1.0/24 } in other
zone internet { rest }
host w = 10.1.1.10 public 198.51.100.10 in app
host d = 10.2.1.10 public 198.51.100.20 in data
host j = dynamic public 198.51.100.30 in app
security-group web = w
security-group db = d
security-group jobs = j
allow https from web to internet { waive aws complement \"x\"; waive lint exposed-service \"x\" }
allow https from internet to db { waive aws complement \"x\"; waive lint exposed-service \"x\" }
";

fn said(policy: &str, args: &[&str]) -> Said {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("policy.fw"), format!("{SITE}{policy}")).unwrap();
    fwc(dir.path(), args)
}

/// What one vpc's rules say of the private address of another vpc's machine holds for nobody: it comes by the public one.
#[test]
fn two_vpcs_that_only_the_internet_joins_know_no_private_addresses() {
    for sentence in ["allow ssh from web to db", "test \"t\" { expect allow https from web to db }"] {
        let said = said(sentence, &["verify", "policy.fw"]);
        assert!(said.code == Some(1) && !said.out.contains("proved"), "{sentence}: {said:?}");
        assert!(said.err.contains("error[public-address]"), "{sentence}: {said:?}");
    }
}

/// A packet from a public address is sent by the machine that has it, and its groups decide about it.
#[test]
fn a_trace_begins_at_the_machine_that_has_the_public_address() {
    for source in ["198.51.100.10", "10.1.1.10"] {
        let packet = format!("tcp 22 from {source} to 8.8.8.8");
        let said = said("", &["trace", "policy.fw", &packet]);
        assert!(said.out.contains("drop at w egress"), "{said:?}");
    }
    let said = said("", &["trace", "policy.fw", "tcp 22 from 198.51.100.30 to 8.8.8.8"]);
    assert!(
        said.out.contains("no path: 198.51.100.30 stands for an address of `j` that nobody knows"),
        "{said:?}"
    );
}

const TWO: &str = "\
vpc main { 10.1.0.0/16, 2001:db8:1::/48; gateway internet }
vpc other { 10.2.0.0/16, 2001:db8:2::/48; gateway internet }
zone app { 10.1.1.0/24, 2001:db8:1:1::/64 } in main
zone data { 10.2.1.0/24, 2001:db8:2:1::/64 } in other
zone internet { rest }
list bad = 203.0.113.0/24
list own = 198.51.100.10
host d = 10.2.1.10 in data
host six = 2001:db8:2:1::10 in data
security-group db = d
security-group db6 = six
";

/// A public address is put in its own family alone; an exception that does not name it takes nothing of it away; and a machine
/// of unknown address has one as well as any other.
#[test]
fn a_public_address_is_known_to_those_who_see_it_alone() {
    let known = "host w = 10.1.1.10, 2001:db8:1:1::10 public 198.51.100.10 in app\nsecurity-group web = w\n";
    let unknown = "host j = dynamic public 198.51.100.30 in app\nsecurity-group jobs = j\n";
    for (machine, sentence, good) in [
        (known, "allow https from web to db6", true),
        (known, "allow https from web to db", false),
        (known, "allow https from anywhere except bad to db", true),
        (known, "allow https from anywhere except own to db", false),
        (unknown, "allow mysql from app to db6", true),
        (unknown, "allow mysql from app to d", false),
    ] {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("policy.fw"), format!("{TWO}{machine}{sentence}\n")).unwrap();
        let said = fwc(dir.path(), &["check", "policy.fw"]);
        assert_eq!(
            !said.err.contains("error[public-address]") && !said.out.contains("error[public-address]"),
            good,
            "{sentence}: {said:?}"
        );
        assert_eq!(said.code, Some(if good { 0 } else { 1 }), "{sentence}: {said:?}");
    }
}

/// A vpc with machines that have public addresses and one that has none, and what an expectation says of them.
const OPEN: &str = "\
vpc main { 10.1.0.0/16; gateway internet }
vpc other { 10.2.0.0/16; gateway internet }
zone app { 10.1.1.0/24 } in main
zone data { 10.1.2.0/24 } in main
zone far { 10.2.1.0/24 } in other
zone internet { rest }
list office = 203.0.113.0/24
list world = 64.0.0.0/2, 128.0.0.0/2, 192.0.0.0/3
host w = 10.1.1.10 public 198.51.100.10 in app
host n = 10.1.1.11 in app
host j = dynamic public 198.51.100.30 in app
host d = 10.1.2.10 public 198.51.100.20 in data
host m = 10.1.2.11 public 198.51.100.21 in data
host p = 10.1.2.12 in data
host q = 10.1.2.13 in data
host x = 10.2.1.10 public 198.51.100.40 in far
security-group web = w
security-group plain = n
security-group jobs = j
security-group db = d
security-group mgmt = m
security-group inner = p
security-group deep = q
security-group theirs = x
allow https from web, plain, jobs, theirs to world
allow https from world to db { waive lint exposed-service \"x\" }
allow https from office to mgmt
allow https from office to inner
allow https from world to deep { waive lint exposed-service \"x\" }
";

/// What is let out to the Internet comes in from there, by the public addresses of both.
#[test]
fn a_denial_holds_by_public_addresses_too() {
    for (denied, to, by) in [
        ("expect deny https from w to d", "198.51.100.20", Some("198.51.100.10")),
        ("expect deny https from n to d", "198.51.100.20", Some("one that no statement names")),
        ("expect deny https from j to d", "198.51.100.20", Some("198.51.100.30")),
        ("expect deny https from x to d", "198.51.100.20", Some("198.51.100.40")),
        ("expect only ssh from w to d", "198.51.100.20", Some("198.51.100.10")),
        ("expect deny ssh from w to d", "", None),
        ("expect deny https from d to w", "", None),
        ("expect deny https from w to m", "", None),
        ("expect deny https from n to m", "198.51.100.21", None),
        ("expect deny https from w to p", "", None),
        // Nothing is delivered to a private address that no public one stands for, nor to whoever is beside its owner.
        ("expect deny https from w to q", "", None),
        ("expect deny https from x to app", "", None),
        ("expect only https from w to internet", "", None),
    ] {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("policy.fw"), format!("{OPEN}test \"t\" {{ {denied} }}\n")).unwrap();
        let said = fwc(dir.path(), &["verify", "policy.fw"]);
        match by {
            Some(by) => {
                assert!(
                    said.code == Some(1) && said.out.contains(to) && said.out.contains(by),
                    "{denied}: {said:?}"
                );
                assert!(said.out.contains("d ingress: accept"), "{denied}");
            }
            None => {
                let assumed = said.out.contains("assuming  what has no public address leaves its vpc by one");
                assert_eq!((said.code, assumed), (Some(0), !to.is_empty()), "{denied}");
            }
        }
    }
}

/// Who is not in the zone behind the gateway sends to the public address, and comes by a public one.
#[test]
fn a_trace_to_a_public_address_passes_the_gateway() {
    for (source, last) in [
        ("10.1.1.10", "3 main gateway: sent to 10.1.2.10"),
        ("10.1.1.11", "2 main gateway: sent from 64.0.0.0"),
        ("10.2.1.10", "2 other gateway: sent from 198.51.100.40"),
        ("130.0.0.1", "1 d ingress: accept"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("policy.fw"), OPEN).unwrap();
        let said =
            fwc(dir.path(), &["trace", "policy.fw", &format!("tcp 443 from {source} to 198.51.100.20")]);
        assert!(said.out.contains(last) && said.out.contains("d ingress: accept"), "{said:?}");
    }
    let said = said_of(OPEN, &["trace", "policy.fw", "tcp 443 from 10.1.1.11 to 198.51.100.21"]);
    assert!(said.out.contains("drop at m ingress"), "{said:?}");
}

/// What a machine of unknown address behind a public one does with packets, what one beyond the gateway sees, which of several
/// public addresses is meant: each was proved, or refuted without a way.
#[test]
fn what_is_behind_a_public_address_is_followed_too() {
    let translating = "\
zone other { 10.1.2.0/24 } in main
zone inner { 192.168.9.0/24 }
host n = 10.1.2.11 in other
security-group plain = n
firewall edge { eth0 dynamic public 198.51.100.30 in app; eth1 192.168.9.1 in inner }
host srv { eth0 192.168.9.10 in inner; nftables }
allow https, ssh from plain to internet { waive aws complement \"x\" }
allow https from internet to edge.app dnat to srv { waive lint exposed-service \"x\" }
allow ssh from internet to edge.app { waive lint exposed-service \"x\" }
";
    let beyond = "\
list world = 64.0.0.0/2, 128.0.0.0/2
host n = 10.1.1.11 in app
host office { wan dynamic in internet; nftables }
security-group plain = n
allow ssh, https from plain to world
allow ssh from world to office { waive lint exposed-service \"x\" }
";
    let several = "\
zone data { 10.1.2.0/24 } in main
list half = 198.51.100.128/25
list world = 64.0.0.0/2, 128.0.0.0/2, 192.0.0.0/3
host j = dynamic public 198.51.100.30, 198.51.100.130 in app
list low = 64.0.0.0/2, 128.0.0.0/2
host k = dynamic in app
host d = 10.1.2.10 public 198.51.100.20 in data
host e = 10.1.2.11 public 198.51.100.21 in data
security-group jobs = j, k
security-group db = d
security-group log = e
allow https from jobs to world
allow https from half to db
allow https from low to log
";
    for (site, denied, way) in [
        (translating, "https from n to srv", "srv input"),
        (translating, "https from n to edge", "srv input"),
        (translating, "ssh from n to edge", "edge input"),
        (beyond, "ssh from n to office", "office input"),
        (several, "https from j to d", "sent from 198.51.100.130"),
        (several, "https from j to d direct", "d ingress: accept"),
        // Beside a machine that has a public address another that has none leaves by one that nobody knows.
        (several, "https from k to e", "one that no statement names"),
    ] {
        let vpc = "vpc main { 10.1.0.0/16; gateway internet }\nzone app { 10.1.1.0/24 } in main\nzone internet { rest }\n";
        let said =
            said_of(&format!("{vpc}{site}test \"t\" {{ expect deny {denied} }}\n"), &["verify", "policy.fw"]);
        assert!(said.code == Some(1) && said.out.contains(way), "{denied}: {said:?}");
    }
}

/// An answer that rests on an assumption says so, as a proof does.
#[test]
fn reach_says_what_it_assumes() {
    for (question, assumed) in [("who can reach m https", true), ("who can reach q https", false)] {
        let said = said_of(OPEN, &["reach", "policy.fw", question]);
        assert_eq!(said.out.contains("assuming what has no public address"), assumed, "{said:?}");
    }
}

/// What a matrix takes for granted it says, in each of its formats.
#[test]
fn a_matrix_says_what_it_assumes() {
    for (policy, assumed) in [(OPEN, true), (OPEN.replace("allow https", "deny https").as_str(), false)] {
        let text = said_of(policy, &["matrix", "policy.fw", "--to", "host", "--service", "https"]);
        assert_eq!(text.out.contains("assuming what has no public address"), assumed, "{text:?}");
        let json = said_of(
            policy,
            &["matrix", "policy.fw", "--to", "host", "--service", "https", "--format", "json"],
        );
        assert_eq!(json.out.contains("\"assuming\": \"what has no public address"), assumed, "{json:?}");
        let csv = said_of(
            policy,
            &["matrix", "policy.fw", "--to", "host", "--service", "https", "--format", "csv"],
        );
        assert_eq!(csv.err.contains("assuming what has no public address"), assumed, "{csv:?}");
        assert!(!csv.out.contains("assuming"), "{csv:?}");
    }
}

/// Which address a public one stands for: the one at the same place in the sentence, any of them where there are not as many.
#[test]
fn public_addresses_pair_with_private_ones_as_they_are_written() {
    let verified = |leg: &str, to: &str| {
        let policy = format!(
            "vpc main {{ 10.1.0.0/16; gateway internet }}\nzone app {{ 10.1.1.0/24 }} in main\n\
             zone data {{ 10.1.2.0/24 }} in main\nzone internet {{ rest }}\n\
             list world = 64.0.0.0/2, 128.0.0.0/2, 192.0.0.0/3\nhost n = 10.1.1.11 in app\n\
             host d {{ eth0 {leg} in data; nftables }}\nsecurity-group plain = n\nallow ssh from plain to world\n\
             allow ssh from world to {to} {{ waive lint exposed-service \"x\" }}\n"
        );
        (
            said_of(
                &format!("{policy}test \"a\" {{ expect deny ssh from n to d }}\n"),
                &["verify", "policy.fw"],
            ),
            policy,
        )
    };
    for (leg, to, public) in [
        ("10.1.2.20, 10.1.2.10 public 198.51.100.1, 198.51.100.2", "10.1.2.20", "198.51.100.1"),
        ("10.1.2.20, 10.1.2.10 public 198.51.100.2, 198.51.100.1", "10.1.2.20", "198.51.100.2"),
        ("10.1.2.20, 10.1.2.10, 10.1.2.10 public 198.51.100.1, 198.51.100.2", "10.1.2.10", "198.51.100.2"),
        // Of fewer nothing says which: it may be any.
        ("10.1.2.20, 10.1.2.10 public 198.51.100.1", "10.1.2.20", "198.51.100.1"),
        ("10.1.2.20, 10.1.2.10 public 198.51.100.1", "10.1.2.10", "198.51.100.1"),
    ] {
        let (said, policy) = verified(leg, to);
        assert_eq!(said.code, Some(1), "{leg}, {to}: {said:?}");
        assert!(said.out.contains(&format!("-> internet {public} tcp/22")), "{leg}, {to}: {said:?}");
        assert!(said.out.contains(&format!("main gateway: sent to {to}")), "{leg}, {to}: {said:?}");
        let packet = format!("tcp 22 from 130.0.0.1 to {public}");
        let traced = said_of(&policy, &["trace", "policy.fw", &packet]);
        match leg.matches("198.51").count() {
            // Each of them is followed, and it depends.
            1 => {
                let other = if to == "10.1.2.20" { "10.1.2.10" } else { "10.1.2.20" };
                for end in [
                    format!("sent to {to}: accept, 2 hops"),
                    format!("sent to {other}: drop at d input eth0"),
                ] {
                    assert!(traced.out.contains(&end), "{end}: {traced:?}");
                }
                let json = said_of(&policy, &["trace", "policy.fw", &packet, "--format", "json"]);
                assert!(json.out.contains("\"verdict\": \"depends\""), "{json:?}");
                assert!(json.out.contains(&format!("\"destination\": \"{other}\"")), "{json:?}");
            }
            _ => assert!(traced.out.contains("d input eth0: accept"), "{leg}: {traced:?}"),
        }
    }
}

/// Whoever looks at the source beyond a gateway sees the public one, though nobody has the destination or it is private.
#[test]
fn beyond_a_gateway_a_private_network_and_a_bridge_see_the_public_source() {
    let private = "zone corp { 172.16.0.0/16 }\nlist half = 172.16.5.0/24\nhost w = 10.1.1.10 public 172.16.5.10 in app\n\
        host h { eth0 172.16.9.9 in corp; nftables }\nallow ssh from half to h\n";
    let bridge = "zone corp { 203.0.113.0/24 }\nlist half = 203.0.113.0/28\nhost w = 10.1.1.10 public 203.0.113.10 in app\n\
        firewall br { br0 203.0.113.1 in corp bridge br_netfilter; up 172.30.0.1 in stub }\n\
        zone stub { 172.30.0.0/24 }\nallow ssh from half except br to 203.0.113.50\nallow ping from stub to br.stub\n";
    let router = "zone corp { 172.16.0.0/16 }\nlist half = 172.16.5.0/24\nhost w = 10.1.1.10 public 172.16.5.10 in app\n\
        firewall fw { a 172.16.0.1 in corp; b 192.168.1.1 in lan }\nzone lan { 192.168.1.0/24 }\n\
        allow ssh from half to lan\n";
    let far = "zone corp { 172.16.0.0/16 }\nlist half = 172.16.5.0/24\nhost w = 10.1.1.10 public 172.16.5.10 in app\n\
        vpc other { 10.2.0.0/16; gateway corp }\nzone far { 10.2.1.0/24 } in other\nhost x = 10.2.1.10 in far\n\
        security-group xs = x\nallow ssh from half to xs\n";
    for (site, to) in [(private, "h"), (bridge, "203.0.113.50"), (router, "192.168.1.9"), (far, "x")] {
        let vpc = "vpc main { 10.1.0.0/16; gateway corp }\nzone app { 10.1.1.0/24 } in main\n";
        let said = said_of(
            &format!("{vpc}{site}test \"t\" {{ expect deny ssh from w to {to} }}\n"),
            &["verify", "policy.fw"],
        );
        assert!(said.code == Some(1) && said.out.contains("main gateway: sent from"), "{to}: {said:?}");
    }
}

/// A trace shows who is seen to send beyond a gateway, wherever the packet goes, and is decided as the proof says.
#[test]
fn a_trace_shows_the_source_that_is_seen_beyond_a_gateway() {
    let site = "vpc main { 10.1.0.0/16; gateway corp }\nzone app { 10.1.1.0/24 } in main\nzone corp { 11.16.0.0/16 }\n\
        list half = 11.16.5.0/24\nlist most = 11.16.128.0/17, 11.16.64.0/18, 11.16.32.0/19\n\
        host w = 10.1.1.10 public 11.16.5.10 in app\nhost n = 10.1.1.11 in app\n\
        host h { eth0 11.16.9.9 in corp; nftables }\nallow ssh from half to h\nallow http from most to h\n";
    for (packet, hop, end) in [
        (
            "tcp 22 from 10.1.1.10 to 11.16.9.9",
            "1 main gateway: sent from 11.16.5.10",
            "2 h input eth0: accept",
        ),
        (
            "tcp 80 from 10.1.1.11 to 11.16.9.9",
            "what has no public address leaves by one",
            "2 h input eth0: accept",
        ),
        (
            "tcp 22 from 10.1.1.11 to 11.16.9.9",
            "what has no public address leaves by one",
            "2 h input eth0: drop",
        ),
    ] {
        let said = said_of(site, &["trace", "policy.fw", packet]);
        assert!(said.out.contains(hop) && said.out.contains(end), "{packet}: {said:?}");
    }
}

/// What has left a vpc by a public source, of whichever machine, goes on to the groups of whoever has the destination.
#[test]
fn a_trace_from_one_of_several_addresses_goes_on_to_the_end() {
    let site = |man: &str| {
        format!(
            "vpc main {{ 172.31.0.0/16; region eu-west-1; gateway internet }}\nzone man {{ 172.31.48.0/20 }} in main\n\
             zone wor {{ 172.31.64.0/20 }} in main\nzone internet {{ rest }}\n{man}\n\
             host wk = 172.31.64.10 public 198.51.100.30 in wor\nhost w2 = 172.31.64.11 in wor\n\
             security-group manager = mgr\nsecurity-group worker = wk\nsecurity-group other = w2\n\
             allow https from mgr to internet {{ waive aws complement \"x\" }}\n\
             allow ssh from 203.0.113.0/24 to wk {{ break-glass \"x\" }}\n\
             allow tcp 8443 from other to internet {{ waive aws complement \"x\" }}\n\
             allow tcp 8443 from 0.0.0.0/1 to mgr\n"
        )
    };
    for man in [
        "host mgr { eth0 172.31.48.10 public 198.51.100.20 in man }",
        "host mgr { eth0 172.31.48.10, 172.31.48.11 public 198.51.100.20 in man }",
        "host mgr = dynamic public 198.51.100.20 in man",
    ] {
        let packet = "tcp 443 from 172.31.48.10 to 198.51.100.30";
        let said = said_of(&site(man), &["trace", "policy.fw", packet]);
        assert!(said.out.contains("drop at wk ingress"), "{man}: {said:?}");
    }
    let several = site("host mgr { eth0 172.31.48.10, 172.31.48.11 public 198.51.100.20 in man }");
    let refuted = "test \"t\" { expect deny tcp 8443 from w2 to mgr }\n";
    let said = said_of(&format!("{several}{refuted}"), &["verify", "policy.fw"]);
    assert!(said.code == Some(1) && said.out.contains("198.51.100.20"), "{said:?}");
    let said = said_of(&several, &["trace", "policy.fw", "tcp 8443 from 172.31.64.11 to 198.51.100.20"]);
    for hop in ["sent to 172.31.48.10", "sent to 172.31.48.11", "mgr ingress: accept", "accept, 6 hops"] {
        assert!(said.out.contains(hop), "{hop}: {said:?}");
    }
}

/// A bastion to which there is no way round but for what the proof takes for granted says so.
#[test]
fn a_bastion_says_what_it_assumes() {
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl ana@laptop";
    let site = |public: &str| {
        format!(
            "vpc main {{ 10.1.0.0/16; gateway internet }}\nzone app {{ 10.1.1.0/24 }} in main\n\
             zone mgmt {{ 10.1.2.0/24 }} in main\nzone internet {{ rest }}\nlist trusted = 203.0.113.0/28\n\
             host n = 10.1.1.11 in app\nhost b {{ eth0 10.1.2.10 {public} in mgmt }}\n\
             security-group plain = n\nsecurity-group bg = b\nuser ana {{ key \"{key}\"; uid 1001 }}\n\
             sshd b {{ accept ed25519 }}\nallow ssh from plain to internet {{ waive aws complement \"x\" }}\n\
             allow ssh from trusted to b as ana\n"
        )
    };
    for (public, assumed) in [("public 198.51.100.20", true), ("", false)] {
        let text = said_of(&site(public), &["verify", "policy.fw"]);
        assert_eq!(text.code, Some(0), "{public}: {text:?}");
        let line = "assuming  what has no public address leaves its vpc by one";
        assert_eq!(text.out.contains(line), assumed, "{public}: {text:?}");
        let json = said_of(&site(public), &["verify", "policy.fw", "--format", "json"]);
        assert_eq!(json.out.contains("what has no public address leaves"), assumed, "{public}: {json:?}");
    }
}

/// A `deny` that a packet gets round by public addresses says so, unless it is waived.
#[test]
fn a_denial_that_holds_by_private_addresses_alone_says_so() {
    let site = "vpc main { 10.1.0.0/16; gateway internet }\nzone app { 10.1.1.0/24 } in main\nzone data { 10.1.2.0/24 } in main\n\
        zone internet { rest }\nhost w = 10.1.1.10 public 198.51.100.10 in app\nhost d = 10.1.2.10 public 198.51.100.20 in data\n\
        host e = 10.1.2.11 in data\nsecurity-group web = w\nsecurity-group db = d\nsecurity-group log = e\n\
        allow https from web to anywhere { waive lint any-to-any \"x\"; waive aws complement \"x\" }\n\
        allow https from anywhere to db, log { waive lint any-to-any \"x\"; waive lint exposed-service \"x\" }\n";
    for (denial, said) in [
        ("deny https from w to d", true),
        ("deny https from w to d { waive lint public-way \"x\" }", false),
        ("deny https from w to e", false),
        ("deny https from w to anywhere", false),
        ("deny https from anywhere to d", false),
    ] {
        for command in ["check", "verify"] {
            let found = said_of(&format!("{site}{denial}\n"), &[command, "policy.fw"]);
            let all = format!("{}{}", found.out, found.err);
            assert_eq!(all.contains("warning[public-way]: this holds by private addresses alone: what 10.1.1.10 sends to 198.51.100.20"), said, "{denial}: {found:?}");
            assert!(!all.contains("error["), "{denial}: {found:?}");
        }
    }
    // What the help says to do can be done, and helps.
    let found = said_of(&format!("{site}deny https from w to d\n"), &["check", "policy.fw"]);
    assert!(format!("{}{}", found.out, found.err).contains("by `except 198.51.100.20`"), "{found:?}");
    let helped = site.replace("from web to anywhere {", "from web to anywhere except 198.51.100.20 {");
    let test = "deny https from w to d\ntest \"t\" { expect deny https from w to d }\n";
    let found = said_of(&format!("{helped}{test}"), &["verify", "policy.fw"]);
    assert_eq!(found.code, Some(0), "{found:?}");
    assert!(!format!("{}{}", found.out, found.err).contains("public-way"), "{found:?}");
    let without = said_of(&format!("{site}{test}"), &["verify", "policy.fw"]);
    assert_eq!(without.code, Some(1), "{without:?}");
    // Where machines filter themselves it may end.
    let filtering =
        site.replace("in app\nhost", "in app\neach ends { nftables }\ngroup ends = w, d, e\nhost");
    let filtering = filtering.lines().filter(|line| !line.starts_with("security-group"));
    let filtering: String = filtering
        .map(|line| line.replace("from web", "from w").replace("to db, log", "to d, e") + "\n")
        .collect();
    for (denial, warned) in [("until 2020-01-01", false), ("until 2120-01-01", true)] {
        let policy = format!("{filtering}deny https from w to d {{ {denial} }}\n");
        let found = said_of(&policy, &["check", "policy.fw"]);
        let all = format!("{}{}", found.out, found.err);
        assert!(found.code == Some(0) && all.contains("public-way") == warned, "{denial}: {found:?}");
    }
}

/// After `except` a public address takes away what is written to it, or comes from it; where it would not, that is an error
/// whose help can be followed.
#[test]
fn a_public_address_after_except_takes_something_away() {
    let site = "vpc main { 10.1.0.0/16; gateway internet }\nzone app { 10.1.1.0/24 } in main\nzone data { 10.1.2.0/24 } in main\n\
        zone internet { rest }\nhost w = 10.1.1.10 public 198.51.100.10 in app\n\
        host d { eth0 10.1.2.10, 10.1.2.12 public 198.51.100.20, 198.51.100.21 in data }\nhost y = dynamic public 198.51.100.30 in data\n\
        security-group web = w\nsecurity-group db = d\nsecurity-group odd = y\nlist both = 198.51.100.20/31\n\
        allow https from web to anywhere except both { waive aws complement \"x\" }\n\
        allow https from internet to db { waive lint exposed-service \"x\" }\nallow ssh from web to odd\n";
    let error = |sentence: &str| {
        let sentence = match sentence.strip_prefix("expect ") {
            Some(_) => format!("test \"t\" {{ {sentence} }}"),
            None => sentence.to_owned(),
        };
        let found = said_of(&format!("{site}{sentence}\n"), &["check", "policy.fw"]);
        let all = format!("{}{}", found.out, found.err);
        let code = all.split_once("error[").map(|(_, rest)| rest.split(']').next().unwrap().to_owned());
        (code, all)
    };
    for (sentence, code, help) in [
        // The place does not hold it.
        ("allow http from internet to web except 198.51.100.10", "idle-except", "public address of `w`"),
        ("allow http from web except 198.51.100.10 to internet", "idle-except", "public address of `w`"),
        ("expect deny http from internet to db except 198.51.100.21", "idle-except", "public address of `d`"),
        // What comes by the gateway is seen by the private one, and the place holds that.
        ("allow http from internet to anywhere except both", "public-address", "`except 198.51.100.20, d`"),
        (
            "allow http from anywhere except 198.51.100.20 to internet",
            "public-address",
            "`except 198.51.100.20, d`",
        ),
        (
            "allow http from anywhere to internet, data except 198.51.100.30",
            "public-address",
            "`except 198.51.100.30, y`",
        ),
        (
            "expect allow https from internet to anywhere except both",
            "public-address",
            "`except 198.51.100.20, d`",
        ),
        (
            "deny https from web to anywhere except 198.51.100.20",
            "public-address",
            "`except 198.51.100.20, d`",
        ),
        (
            "expect deny https from web to anywhere except 198.51.100.20",
            "public-address",
            "`except 198.51.100.20, d`",
        ),
        (
            "expect only https from web to anywhere except 198.51.100.30",
            "public-address",
            "`except 198.51.100.30, data`",
        ),
        (
            "expect only https from anywhere except 198.51.100.10 to db",
            "public-address",
            "`except 198.51.100.10, w`",
        ),
        // Without `except` it says nothing.
        ("allow ssh from web to 198.51.100.20", "public-address", "name the machine: `d`"),
        ("expect allow https from web to 198.51.100.20", "public-address", "name the machine: `d`"),
    ] {
        let (found, all) = error(sentence);
        assert!(found.as_deref() == Some(code) && all.contains(help), "{sentence}: {all}");
    }
    for sentence in [
        "allow http from web to anywhere except 198.51.100.20 { waive aws complement \"x\" }",
        "allow http from internet except 198.51.100.10 to db { waive lint exposed-service \"x\" }",
        "allow http from anywhere except 198.51.100.10 to db { waive lint exposed-service \"x\"; waive lint any-to-any \"x\" }",
        "allow http from internet to anywhere except both, d { waive lint exposed-service \"x\"; waive lint any-to-any \"x\" }",
        "deny http from web to internet except 198.51.100.20",
        "expect allow https from web to internet except both",
        "expect deny http from web to internet except both",
        "expect only https from web to anywhere except both, d",
        "expect only https from web to anywhere except 198.51.100.30, data",
    ] {
        let (found, all) = error(sentence);
        assert_eq!(found, None, "{sentence}: {all}");
    }
    // What is allowed so can be expected so, and no more of it.
    for (expected, holds) in [
        ("allow https from web to internet except both", true),
        ("allow https from web to anywhere except both, app, data", true),
        ("allow https from web to internet except 198.51.100.20", false),
        ("allow https from web to internet", false),
        ("only https from web to internet except both", true),
        ("deny https from web to internet except both", false),
        ("deny http from web to internet except both", true),
    ] {
        let test = format!("{site}test \"t\" {{ expect {expected} }}\n");
        let found = said_of(&test, &["verify", "policy.fw"]);
        assert_eq!(found.code, Some(if holds { 0 } else { 1 }), "{expected}: {found:?}");
    }
}

/// A vpc adds a machine to the declared ones: what takes nothing away, or everything, is an error beside it all the same.
#[test]
fn exceptions_are_judged_beside_a_vpc_too() {
    let site = "zone a { 10.1.0.0/24 }\nzone b { 10.2.0.0/24 }\nfirewall fw { eth0 10.1.0.1 in a; eth1 10.2.0.1 in b }\n\
        host h = 10.1.0.5 in a\nhost i = 10.1.0.6 in a\nhost g = 10.2.0.5 in b\n";
    let vpc = "vpc main { 172.31.0.0/16; gateway b }\nzone sub { 172.31.1.0/24 } in main\n";
    for (sentence, code) in [
        ("allow https from a to g except h", "idle-except"),
        ("allow https from b to h except 10.1.0.77", "idle-except"),
        ("group all = h except i\nallow https from all to g", "idle-except"),
        ("allow https from a to g except 10.2.0.0/25", "emptied-places"),
    ] {
        for beside in ["", vpc] {
            let found = said_of(&format!("{site}{beside}{sentence}\n"), &["check", "policy.fw"]);
            let all = format!("{}{}", found.out, found.err);
            assert!(all.contains(&format!("error[{code}]")), "{beside}{sentence}: {all}");
        }
    }
}

fn said_of(policy: &str, args: &[&str]) -> Said {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("policy.fw"), policy).unwrap();
    fwc(dir.path(), args)
}
