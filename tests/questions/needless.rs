//! What is called needless can be left out: the proved rulesets are the same for every packet.

use fwc::model::{AccessId, Site};
use fwc::verify::diff::{Bounds, Lines, Names, Side, diff};
use fwc::verify::needless::needless;

use crate::common::{attempt, compiled};
use crate::compiles;

/// The accesses of whole statements that can be left out.
fn whole(site: &Site, all: &[AccessId]) -> Vec<AccessId> {
    let span = |id: &AccessId| site.access(*id).unwrap().span;
    let complete = |id: &&AccessId| {
        site.accesses().filter(|(_, a)| a.span == span(id)).all(|(other, _)| all.contains(&other))
    };
    all.iter().filter(complete).copied().collect()
}

/// The text without the line on which a statement stands; none where it shares it.
fn without(text: &str, site: &Site, id: AccessId) -> Option<String> {
    let span = site.access(id)?.span;
    let (start, end) = (span.start as usize, span.end as usize);
    let line = text[..start].rfind('\n').map_or(0, |at| at + 1);
    let after = text[end..].find('\n').map_or(text.len(), |at| end + at + 1);
    let rest = &text[end..after];
    let plain = text[line..start].trim().is_empty()
        && !rest.contains(';')
        && rest.matches('{').count() == rest.matches('}').count();
    plain.then(|| format!("{}{}", &text[..line], &text[after..]))
}

#[test]
fn a_needless_statement_can_be_left_out() {
    let (mut covered, mut denied, mut idle, mut seed) = (0, 0, 0, 0);
    while covered < 6 || denied < 1 || idle < 3 {
        seed += 1;
        assert!(seed < 150, "{covered} covered, {denied} denied, {idle} idle");
        let Some((text, before)) = compiles::policy(seed, "") else { continue };
        let found = needless(&before.site, 0).unwrap();
        let of: Vec<AccessId> = found.covered.iter().map(|(id, _)| *id).collect();
        for (count, all) in [(&mut covered, &of), (&mut denied, &found.denied), (&mut idle, &found.idle)] {
            for id in whole(&before.site, all).into_iter().take(2) {
                let Some(less) = without(&text, &before.site, id) else { continue };
                let (Some(after), ..) = attempt(&[("less.fw".to_owned(), less.clone())]) else { continue };
                for (host, rules) in &before.artifacts {
                    let name = &before.site.host(*host).unwrap().name;
                    let other = after.site.host_named(name).and_then(|id| after.artifacts.get(&id)).unwrap();
                    let lines = Lines::new();
                    let side = |rules| Side { rules, lines: &lines };
                    let found = diff(side(rules), side(other), &Names::default(), Bounds::default());
                    let words = &before.site.access(id).unwrap().words;
                    assert!(found.is_empty(), "seed {seed} `{words}` {name}: {found:#?}\n{text}");
                }
                *count += 1;
            }
        }
    }
}

/// What is not called needless is needed: without it some packet fares otherwise.
#[test]
fn what_is_needed_is_not_called_needless() {
    let text = |more: &str| {
        format!(
            "zone lan {{ 10.0.1.0/24 }}\nzone dmz {{ 10.0.2.0/24 }}\nfirewall fw {{ eth1 10.0.1.1 in lan; eth2 10.0.2.1 in dmz }}\n{more}"
        )
    };
    for more in [
        "allow http from lan to dmz\nallow http from lan to 10.0.2.9 { log }\n",
        "allow http from lan to dmz { limit 5/second }\nallow http from lan to 10.0.2.9\n",
        "allow http from lan to dmz { until 2027-01-01 }\nallow http from lan to 10.0.2.9\n",
        "allow http from lan to dmz\ndeny http from lan to 10.0.2.9\n",
        "allow tcp 1-100 from lan to dmz\nallow tcp 102-200 from lan to dmz\nallow tcp 50-150 from lan to dmz\n",
    ] {
        let site = compiled(&[("a.fw".to_owned(), text(more))]).site;
        let found = needless(&site, 0).unwrap();
        assert_eq!((found.covered, found.denied, found.idle), Default::default(), "{more}");
    }
}

/// Of other people it is another permission, though the packets are the same: their keys and what they may open are said
/// by it alone (S62). So is a jump that a login from around it covers.
#[test]
fn what_names_other_people_is_needed() {
    let text = |gate: &str, user: [&str; 2], more: &str| {
        let key =
            |rest: &str| format!("key \"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{rest}\"; until 2100-01-31");
        format!(
            "zone office {{ 10.0.1.0/24 }}\nzone servers {{ 10.0.2.0/24 }}\n\
             firewall fw {{ eth0 10.0.1.1 in office; eth1 10.0.2.1 in servers }}\n\
             host gate {{ eth0 10.0.1.5 in office; {gate} }}\n\
             host s1 {{ eth0 10.0.2.9 in servers; nftables }}\nhost s2 {{ eth0 10.0.2.10 in servers; nftables }}\n\
             user ana {{ {} {} }}\nuser luis {{ {} {} }}\n{more}\n",
            user[0],
            key("FBWXXC1DaC4/06MBLkPD6unBJynV5jxMSRpg1KDYD2H ana"),
            user[1],
            key("DAP50mWLa+nl8l4FQJulJv0WdXj6/fjASquCuoHNHtw luis"),
        )
    };
    let door = "allow ssh from office to gate as ana, luis\n";
    let other_people = "allow ssh from gate to s1, s2 as ana\nallow ssh from gate to s2 as luis";
    let of_a_jump = "allow ssh from office to s1 as ana\nallow ssh from gate to s1 as ana";
    let twice = "allow ssh from gate to s1, s2 as ana\nallow ssh from gate to s2 as ana";
    for (gate, user) in [
        ("nftables", ["", ""]),
        ("nftables", ["uid 1001;", "uid 1002;"]),
        ("nftables; ssh port 2222", ["", ""]),
        ("ssh port 2222", ["", ""]),
    ] {
        for (more, least) in [(other_people, 0), (of_a_jump, 0), (twice, 1)] {
            let text = text(gate, user, &format!("{door}{more}"));
            let site = compiled(&[("a.fw".to_owned(), text.clone())]).site;
            let found = needless(&site, 0).unwrap();
            assert!(found.denied.is_empty() && found.idle.is_empty(), "{text}");
            assert_eq!(
                whole(&site, &found.covered.iter().map(|(id, _)| *id).collect::<Vec<_>>()).len(),
                least,
                "{text}"
            );
        }
    }
}

/// What is found in a policy, by the words of the statements: covered, denied, idle, of one machine.
fn found(text: &str) -> [Vec<String>; 4] {
    let site = compiled(&[("a.fw".to_owned(), text.to_owned())]).site;
    let found = needless(&site, 0).unwrap();
    let covered: Vec<AccessId> = found.covered.iter().map(|(id, _)| *id).collect();
    [covered, found.denied, found.idle, found.itself]
        .map(|all| all.iter().map(|id| site.access(*id).unwrap().words.clone()).collect())
}

/// A group lets pass what a statement says though no ruleset asks it: with the statement goes what passes (S53).
#[test]
fn what_a_security_group_reads_is_needed() {
    const VPC: &str = "vpc main { 10.0.0.0/16; region eu-west-1; gateway internet }\nzone internet { rest }\n\
        zone za { 10.0.1.0/24 } in main\nzone zb { 10.0.2.0/24 } in main\n";
    const HOSTS: &str = "host h0 { e0 10.0.1.10 in za; nftables }\nhost h1 = 10.0.1.11 in za\n\
        host h2 { e0 10.0.2.12 in zb; nftables }\n";
    for more in [
        "security-group web = h1\nallow tcp 80-90 from internet to web\ndeny tcp 80 from internet to web\n",
        "security-group web = h1\nallow tcp 80-90 from web to internet\ndeny tcp 80 from web to internet\n",
        "security-group web = h1\nallow tcp 80-90 from za to internet\ndeny tcp 80 from 10.0.1.0/28 to internet\n",
        "security-group web = h0\nallow tcp 80 from internet to web\n\
         allow tcp 80-90 from internet to web { waive aws ingress \"wrong side\" }\n",
        "security-group web = h0\nallow tcp 80 from web to internet\n\
         allow tcp 80-90 from web to internet { waive aws egress \"wrong side\" }\n",
        "security-group web = h0, h1\nallow tcp 80 from internet to web\n\
         deny tcp 80 from internet to h0 { waive aws denial \"hook does it\" }\n",
        "security-group web = h0\nsecurity-group same = h0\nallow tcp 80 from internet to web\n\
         allow tcp 80 from internet to same\n",
        "security-group web = h0\nallow tcp 80 from web to web\n",
    ] {
        assert_eq!(found(&format!("{VPC}{HOSTS}{more}")), <[Vec<String>; 4]>::default(), "{more}");
    }
    // Of whom no group is asked, everything is said as ever.
    let beside = "security-group web = h1\nallow tcp 80-90 from internet to h2\nallow tcp 85 from internet to h2\n\
        deny tcp 22 from internet to h2\nallow tcp 80 from internet to web\n";
    let said = found(&format!("{VPC}{HOSTS}{beside}"));
    assert_eq!(said[0], ["allow tcp 85 from internet to h2"]);
    assert_eq!(said[2], ["deny tcp 22 from internet to h2"]);
}

/// Who logs in where nothing filters, and what is opened through an sshd there, is said by its files alone (S62).
#[test]
fn what_an_sshd_that_does_not_filter_reads_is_needed() {
    const SITE: &str = "zone lan { 10.0.1.0/24 }\nzone x { 10.0.2.0/24 }\n\
        router r { eth1 10.0.1.1 in lan; eth2 10.0.2.1 in x }\nhost pc = 10.0.1.2 in lan\n\
        host b = 10.0.1.3 in lan\nhost db = 10.0.2.3 in x\nhost c { e0 10.0.2.4 in x; nftables }\n\
        host d { e0 10.0.2.5 in x; nftables }\n\
        user ana { key \"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDALgCXWlm118Gh7cbfkphW4SdI1q4unR1CdTFXqSSec\"; until 2100-01-01 }\n\
        sshd b, c { accept ed25519 }\n";
    let nothing = <[Vec<String>; 4]>::default();
    for more in [
        "allow ssh from pc to b, c as ana\ndeny ssh from pc to c\n",
        "allow ssh from pc to b as ana\nallow tcp 5432-5433 from b to db as ana\ndeny tcp 5433 from b to x\n",
        // Without a jump she has a shell there.
        "allow ssh from pc to c as ana\nallow tcp 5432 from c to d as ana\ndeny tcp 5432 from c to d\n",
        "allow ssh from pc to b as ana\nallow tcp 5432 from b to d as ana\ndeny tcp 5432 from b to d\n",
    ] {
        assert_eq!(found(&format!("{SITE}{more}")), nothing, "{more}");
    }
    let [_, denied, idle, _] = found(&format!(
        "{SITE}allow ssh from pc to b as ana\nallow tcp 5432-5433 from b to d as ana\n\
         allow tcp 5433 from b to d as ana\ndeny tcp 5433 from b to d\ndeny tcp 5434 from b to d\n"
    ));
    assert_eq!(denied, ["allow tcp 5433 from b to d as ana"], "another jump stays");
    assert_eq!(idle, ["deny tcp 5434 from b to d"]);
}

/// A machine does not talk to itself over a wire (S13).
#[test]
fn an_allow_of_a_machine_to_itself_is_needed_by_nobody() {
    const SITE: &str = "zone lan { 10.1.1.0/24 }\nzone dmz { 10.1.2.0/24 }\n\
        firewall fw { eth1 10.1.1.1 in lan; eth2 10.1.2.1 in dmz }\nhost web { eth0 10.1.2.2 in dmz; nftables }\n\
        host db { eth0 10.1.2.3 in dmz; nftables }\n";
    let said = found(&format!(
        "{SITE}allow udp 53 from web to web.dmz\nallow dns from fw.lan to fw.dmz\nallow udp 53 from web to 10.1.2.2\n\
         allow udp 53 from web, db to web\nallow udp 54 from dmz to web\nallow udp 55 from 10.1.2.2, 10.1.2.3 to web\n"
    ));
    let itself = [
        "allow dns from fw.lan to fw.dmz",
        "allow udp 53 from web to 10.1.2.2",
        "allow udp 53 from web to web.dmz",
    ];
    assert_eq!(said, [vec![], vec![], vec![], itself.map(str::to_owned).to_vec()]);
}
