//! Translations broken on purpose: every mutant of a small ruleset loads, and shows.

use fwc::net::Space;
use fwc::target::nft::artifact::*;
use fwc::target::nft::{mutate, print, read::read, sim};

use crate::loads::{load, programs};

const RULES: &str = r#"
table inet t {
	chain prerouting {
		type nat hook prerouting priority -100; policy accept;
		iifname "eth0" ip saddr 198.51.100.0/24 ip daddr 192.0.2.1 tcp dport 80 dnat ip to 10.0.0.9:8080
		ip daddr 192.0.2.2 dnat ip to 10.0.0.9
	}
	chain postrouting {
		type nat hook postrouting priority 100; policy accept;
		oifname "eth0" ip saddr 10.0.0.0/24 masquerade
		oifname "eth1" ip saddr 10.0.1.0/24 snat ip to 192.0.2.1
	}
	chain forward {
		type filter hook forward priority 0; policy drop;
		ct status dnat ct original ip daddr 192.0.2.1 meta l4proto tcp ct original proto-dst 80 tcp dport 8080 accept
	}
}
"#;

/// What a ruleset does at a hook, all of it.
fn does(ruleset: &Ruleset, hook: Hook, space: &mut Space) -> impl PartialEq + std::fmt::Debug + use<> {
    let admits = sim::admits(ruleset, hook, space).unwrap();
    let translations = sim::translations(ruleset, hook, space).unwrap();
    let to = |(_, to, set): (Place, fwc::net::Translation, fwc::net::PacketSet)| (to, set);
    (admits, translations.into_iter().map(to).collect::<Vec<_>>())
}

#[test]
fn every_broken_translation_loads_and_shows() {
    let ruleset = read(RULES).unwrap().ruleset;
    let (_, nft) = programs().pop().expect("an nft");
    let mut space = Space::default();
    let hooks = [Hook::Prerouting, Hook::Forward, Hook::Postrouting];
    let good = hooks.map(|hook| does(&ruleset, hook, &mut space));
    let mut seen = Vec::new();
    for mutant in mutate::mutants(&ruleset) {
        let bad = hooks.map(|hook| does(&mutant.ruleset, hook, &mut space));
        seen.push(mutant.change.clone());
        assert_ne!(good, bad, "{} at {:?} changes nothing", mutant.change, mutant.place);
        let text = print::print(&mutant.ruleset).unwrap();
        load(&nft, &text).unwrap_or_else(|e| panic!("{} does not load: {e}\n{text}", mutant.change));
    }
    for change in [
        "accept untranslated",
        "translate to 10.0.0.8",
        "translate to port 8081",
        "leave out the port",
        "masquerade instead",
        "snat to 192.0.2.0 instead",
        "translate to 192.0.2.0",
        "delete",
        "leave out match 1",
        "widen 192.0.2.0/31",
        "duplicate before all others",
    ] {
        assert!(seen.iter().any(|s| s == change), "no mutant: {change}: {seen:#?}");
    }
}
