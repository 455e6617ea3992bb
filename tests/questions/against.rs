//! A machine's own compiled ruleset with something of somebody else's beside it, against its policy: what may stop packets,
//! or hand them on, where nothing is compared.

use fwc::verify::{Against, HostRules, Outcome, Report};

use crate::common::compiled;

const POLICY: &str = "\
zone lan { 10.1.1.0/24 }
zone dmz { 10.1.2.0/24 }
firewall fw { eth1 10.1.1.1 in lan; eth2 10.1.2.1 in dmz }
host web = 10.1.2.2 in dmz
allow http, ping from lan to web
";

/// The policy against its own ruleset with these tables behind it.
fn with(foreign: &str) -> Report {
    let compiled = compiled(&[("against.fw".to_owned(), POLICY.to_owned())]);
    let host = compiled.site.host_named("fw").unwrap();
    let own = &compiled.artifacts.get(&host).unwrap().text;
    let listed = HostRules::listed(format!("{own}\n{foreign}")).unwrap();
    Against::new(&compiled.site, host).report(&listed)
}

fn undecided(report: &Report) -> Vec<(&str, &str)> {
    let reasons = report.points.iter().filter_map(|point| match &point.outcome {
        Outcome::Undecided { reason } => Some((point.place.as_str(), reason.as_str())),
        Outcome::Holds | Outcome::Refuted(_) => None,
    });
    reasons.collect()
}

/// A chain in braces.
fn base(family: &str, kind: &str, policy: &str, rule: &str) -> String {
    format!(
        "table {family} nd {{\n\tchain c {{\n\t\ttype filter hook {kind}; policy {policy};\n\t\t{rule}\n\t}}\n}}\n"
    )
}

#[test]
fn what_stands_at_other_hooks_is_named_and_nothing_is_proved() {
    assert!(with("").holds());
    let at_a_device = "ingress device \"eth1\" priority 0";
    for (foreign, said) in [
        (base("netdev", at_a_device, "accept", "fwd to \"eth2\""), "chain `netdev nd c` at ingress"),
        (base("netdev", at_a_device, "accept", "ip saddr 10.1.1.9 drop"), "chain `netdev nd c` at ingress"),
        (base("netdev", at_a_device, "drop", ""), "chain `netdev nd c` at ingress"),
        (base("inet", at_a_device, "accept", "ip saddr 10.1.1.9 drop"), "chain `inet nd c` at ingress"),
        (base("bridge", "prerouting priority -300", "accept", "drop"), "chain `bridge nd c` at prerouting"),
        (base("bridge", "forward priority -200", "drop", ""), "chain `bridge nd c` at forward"),
        (base("arp", "input priority 0", "drop", ""), "chain `arp nd c` at input"),
        (
            "table inet nd {\n\tflowtable f {\n\t\thook ingress priority 0; devices = { \"eth1\", \"eth2\" };\n\t}\n}\n".to_owned(),
            "flowtable `inet nd f`",
        ),
    ] {
        let report = with(&foreign);
        assert_eq!(report.uncompared, [said], "{foreign}");
        assert!(!report.holds(), "{foreign}");
        assert!(report.points.iter().all(|point| point.outcome.holds()), "{foreign}");
    }
    // What does nothing at all is not in the way.
    assert!(with(&base("arp", "input priority 0", "accept", "")).holds());
    assert!(with("table netdev nd {\n\tflags dormant\n\tchain c {\n\t\ttype filter hook ingress device \"eth1\" priority 0; policy drop;\n\t}\n}\n").holds());
}

/// Which of two chains of one priority runs first no listing tells.
#[test]
fn chains_of_one_priority_that_depend_on_each_other_are_named() {
    let table = |name: &str, priority: &str, rule: &str| {
        base("inet", &format!("forward priority {priority}"), "accept", rule)
            .replace(" nd ", &format!(" {name} "))
    };
    let writes = table("one", "5", "meta mark set 1");
    let said = with(&(writes.clone() + &table("two", "5", "meta mark 1 accept")));
    let [words] = said.uncompared.as_slice() else { panic!("{:?}", said.uncompared) };
    assert!(words.starts_with("which of the chains `inet one c` and `inet two c` runs first"), "{words}");
    assert!(!said.holds());
    assert!(with(&(writes + &table("two", "6", "meta mark 1 accept"))).holds());
}

/// What TCP is told of segments no packet shows: the rules are read for it (S82).
#[test]
fn a_clamp_that_is_gone_or_another_is_no_proof() {
    let policy =
        POLICY.replace("in lan;", "in lan clamps mss;").replace("in dmz }", "in dmz clamps mss to 1380 }");
    let compiled = compiled(&[("clamps.fw".to_owned(), policy)]);
    let host = compiled.site.host_named("fw").unwrap();
    let own = &compiled.artifacts.get(&host).unwrap().text;
    let report = |text: &str| {
        let report = Against::new(&compiled.site, host).report(&HostRules::listed(text).unwrap());
        assert!(report.points.iter().all(|point| point.outcome.holds()), "{text}");
        let wrong = report.clamps.iter().flat_map(|proof| &proof.wrong).count();
        assert_eq!(report.holds(), wrong == 0 && report.uncompared.is_empty());
        (wrong, report.uncompared.len())
    };
    assert_eq!(report(own), (0, 0));
    let line = "iifname \"eth1\" tcp flags & (fin|syn|rst) == syn tcp option maxseg size set rt mtu";
    assert!(own.contains(line), "{own}");
    for (other, found) in [
        // As other programs and releases of nft write it.
        ("iifname \"eth1\" tcp flags syn / syn,rst tcp option maxseg size set rt mtu", (0, 0)),
        (
            "iifname { \"eth1\" } tcp flags & (syn|rst) == syn counter tcp option maxseg size set rt mtu",
            (0, 0),
        ),
        // Another size, way, interface; twice; more than was meant; nothing.
        ("iifname \"eth1\" tcp flags & (fin|syn|rst) == syn tcp option maxseg size set 1360", (2, 0)),
        ("oifname \"eth1\" tcp flags & (fin|syn|rst) == syn tcp option maxseg size set rt mtu", (1, 0)),
        ("iifname \"eth9\" tcp flags & (fin|syn|rst) == syn tcp option maxseg size set rt mtu", (2, 0)),
        (
            "iifname { \"eth1\", \"eth9\" } tcp flags & (syn|rst) == syn tcp option maxseg size set rt mtu",
            (1, 0),
        ),
        ("tcp flags & (fin|syn|rst) == syn tcp option maxseg size set rt mtu", (2, 0)),
        ("counter", (1, 0)),
        // Answers are not lowered; nor what is none of these; and who knows what.
        ("iifname \"eth1\" tcp flags & (fin|syn|rst|ack) == syn tcp option maxseg size set rt mtu", (1, 1)),
        ("iifname \"eth1\" tcp flags syn tcp option maxseg size set rt mtu", (1, 1)),
        ("iifname \"eth*\" tcp flags & (fin|syn|rst) == syn tcp option maxseg size set rt mtu", (1, 1)),
        (
            "iifname \"eth1\" ip saddr 10.1.1.9 tcp flags & (syn|rst) == syn tcp option maxseg size set rt mtu",
            (1, 1),
        ),
        (
            "iifname \"eth1\" limit rate 1/second tcp flags & (syn|rst) == syn tcp option maxseg size set rt mtu",
            (1, 1),
        ),
        ("accept", (4, 3)),
    ] {
        assert_eq!(report(&own.replacen(line, other, 1)), found, "{other}");
    }
    // At another hook, in a table of one family, in one that sleeps.
    assert_eq!(report(&own.replacen("hook forward priority -143", "hook input priority -143", 1)), (4, 4));
    let chain = base("ip", "forward priority mangle", "accept", line);
    assert_eq!(report(&format!("{}\n{chain}", own.replacen(line, "counter", 1))), (1, 0));
    assert_eq!(report(&format!("{own}\n{chain}")), (0, 0));
    let asleep = chain.replacen("{\n", "{\n\tflags dormant\n", 1);
    assert_eq!(report(&format!("{}\n{asleep}", own.replacen(line, "counter", 1))), (1, 0));
    // A policy that says nothing of it means nothing of it.
    assert_eq!(with(&chain).clamps.len(), 1);
    assert!(!with(&chain).holds() && with("").clamps.is_empty());
    assert!(
        !with(&base("inet", "postrouting priority mangle", "accept", &line.replace("iif", "oif"))).holds()
    );
}

/// A listing says dates in the time zone of who listed it, and not which that is.
#[test]
fn a_date_decides_nothing_unless_its_time_zone_is_said() {
    let policy = format!("{POLICY}allow ssh from lan to web {{ until 2027-06-30 }}\n");
    let compiled = compiled(&[("dated.fw".to_owned(), policy)]);
    let host = compiled.site.host_named("fw").unwrap();
    let own = &compiled.artifacts.get(&host).unwrap().text;
    let report = |said: &str, utc: bool| {
        let text = own.replace("meta time < 1814400000", &format!("meta time < {said}"));
        let listed = HostRules::listed(text).unwrap();
        Against::new(&compiled.site, host).report(&if utc { listed.in_utc() } else { listed })
    };
    let unsaid = report("\"2027-07-01 00:00:00\"", false);
    assert!(undecided(&unsaid).iter().any(|(_, why)| why.contains("a date whose time zone it does not say")));
    assert!(!unsaid.holds());
    assert!(report("1814400000", false).holds() && report("1814400000", true).holds());
    assert!(report("\"2027-07-01 00:00:00\"", true).holds());
    assert!(!report("\"2027-07-01 00:00:01\"", true).holds());
}

/// What is untracked is another packet at every hook behind: established no more, or new.
#[test]
fn what_is_taken_out_of_tracking_is_not_proved() {
    for (hook, whose) in [("prerouting", "ip saddr 10.1.1.5"), ("output", "oifname \"lo\"")] {
        let raw = |rule: &str| base("ip", &format!("{hook} priority raw"), "accept", rule);
        let report = with(&raw(&format!("{whose} notrack")));
        let found = undecided(&report);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].0, format!("fw {hook}"));
        assert!(
            found[0].1.contains("`ip nd c`") && found[0].1.contains("out of connection tracking"),
            "{found:?}"
        );
        // Nothing is taken out of it where that comes too late, or of packets that there are none of.
        let late = |rule: &str| base("ip", &format!("{hook} priority filter"), "accept", rule);
        assert!(with(&late(&format!("{whose} ct state new,established notrack"))).holds());
        assert!(!with(&late(&format!("{whose} notrack"))).holds());
        assert!(with(&raw(&format!("{whose} ip saddr 10.1.1.5 ip saddr 10.1.1.6 notrack"))).holds());
    }
}

/// The kernel asks for the route again of what a chain of type `route` has marked: it leaves by another interface than was looked at.
#[test]
fn what_may_take_another_route_is_named() {
    let table = |kind: &str, rule: &str| {
        format!(
            "table inet nd {{\n\tchain c {{\n\t\ttype {kind} hook output priority -150; policy accept;\n\t\t{rule}\n\t}}\n}}\n"
        )
    };
    let said = "the route that packets take by chain `inet nd c` at output";
    for rule in ["udp dport 80 meta mark set 9", "ip dscp set cs1"] {
        let report = with(&table("route", rule));
        assert_eq!(report.uncompared, [said], "{rule}");
        assert!(!report.holds(), "{rule}");
        assert!(with(&table("filter", rule)).holds(), "{rule}");
    }
    assert!(!with(&table("route", "tcp option maxseg size set 1300")).uncompared.contains(&said.to_owned()));
    assert!(with(&table("route", "")).holds());
}

/// At prerouting a packet may come in parts before connection tracking puts them together: nobody knows what a rule finds of a port.
#[test]
fn ports_before_fragments_are_put_together_decide_nothing_for_sure() {
    let rules = "iifname \"eth1\" tcp dport 0-65535 accept\n\t\tiifname \"eth1\" meta l4proto tcp drop";
    assert!(with(&base("inet", "prerouting priority -399", "accept", rules)).holds());
    for priority in ["-400", "-450"] {
        assert!(
            !with(&base("inet", &format!("prerouting priority {priority}"), "accept", rules)).holds(),
            "{priority}"
        );
    }
    // What stands in the header of IP is in each part.
    assert!(
        with(&base(
            "inet",
            "prerouting priority -450",
            "accept",
            "iifname \"eth1\" ip saddr 10.1.1.9 accept"
        ))
        .holds()
    );
}
