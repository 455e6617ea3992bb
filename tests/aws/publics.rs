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
