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
