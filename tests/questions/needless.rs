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
        let found = needless(&before.site).unwrap();
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
        let found = needless(&site).unwrap();
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
            let found = needless(&site).unwrap();
            assert!(found.denied.is_empty() && found.idle.is_empty(), "{text}");
            assert_eq!(
                whole(&site, &found.covered.iter().map(|(id, _)| *id).collect::<Vec<_>>()).len(),
                least,
                "{text}"
            );
        }
    }
}
