//! Expectations where nobody knows an address: of a gateway that masks what it forwards, and of a machine among others.

use crate::common::compiled;

/// Whether every expectation of a policy is proved.
fn holds(text: &str) -> bool {
    compiled(&[("dynamic.fw".to_owned(), text.to_owned())]).report.holds()
}

/// The router at home: replies come back to whatever address it got.
#[test]
fn what_is_masked_by_a_dynamic_leg_is_answered() {
    for (inside, outside) in [("h", "internet"), ("b", "internet"), ("h", "203.0.113.80")] {
        for leg in ["dynamic", "203.0.113.1"] {
            let text = format!(
                "zone b {{ 10.1.2.0/24 }}\nzone internet {{ rest }}\n\
                 firewall fw {{ eth1 10.1.2.1 in b; wan {leg} in internet }}\nhost h = 10.1.2.5 in b\n\
                 allow tcp 82 from b to internet masquerade\n\
                 test \"t\" {{ expect allow tcp 82 from {inside} to {outside} }}\n"
            );
            assert!(holds(&text), "{text}");
        }
    }
}

/// A machine has none of another's addresses, whatever its own is.
#[test]
fn a_dynamic_member_is_not_who_it_speaks_to() {
    for (from, to) in [("lan", "x"), ("lan except d", "x"), ("x", "lan")] {
        let text = format!(
            "zone lan {{ 10.1.1.0/24 }}\nhost x {{ e 10.1.1.5 in lan; nftables }}\n\
             host d {{ e dynamic in lan; nftables }}\nallow ping from {from} to {to}\n\
             test \"t\" {{ expect allow ping from {from} to {to} }}\n"
        );
        assert!(holds(&text), "{text}");
    }
}
