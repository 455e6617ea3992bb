//! `fwc import aws`: the policy that is made of groups gives those groups again, by means that the import does not use: the policy
//! is compiled once more from its text, and both sides are asked packet by packet.

use std::collections::BTreeMap;

use fwc::compile::import::{Imported, Obstacle, import};
use fwc::compile::{Compiled, Options, compile};
use fwc::diag::Findings;
use fwc::model::{Waiver, amazons, nobodys};
use fwc::net::{Packet, Random};
use fwc::source::{Loader, SourceFile, SourceMap};
use fwc::target::aws::artifact::*;
use fwc::target::aws::{read, sim};
use proptest::prelude::*;

use crate::generate::{self, pick};
use crate::{files, folder};

const AT: u64 = 1_795_219_200_000_000_000;

fn imported(estate: &Estate) -> Result<Imported, Vec<Obstacle>> {
    import(estate, &BTreeMap::new(), AT)
}

struct NoFiles;

impl Loader for NoFiles {
    fn load(&mut self, _: &str, path: &str) -> Result<SourceFile, String> {
        Err(format!("{path} is not there"))
    }
}

fn compiled(text: &str) -> Compiled {
    let mut sources = SourceMap::default();
    let file = sources.add("imported.fw", text);
    let mut findings = Findings::default();
    let options = Options { at: AT, ..Options::default() };
    let done = compile(&mut sources, &[file], &mut NoFiles, &options, &mut findings, &|_| {});
    let done = done.unwrap_or_else(|| panic!("{text}\n{:?}", findings.sorted()));
    assert!(done.report.holds(), "{text}");
    done
}

/// The groups of a policy under the ids of AWS that it names.
fn groups_of(done: &Compiled) -> BTreeMap<String, Vec<Group>> {
    let ids: BTreeMap<String, String> =
        done.site.security_groups.iter().map(|g| (g.name.clone(), g.id.clone().unwrap())).collect();
    let known = |id: &str| {
        let name = id.strip_prefix("${sg:").unwrap().strip_suffix('}').unwrap();
        ids[name.split('.').next().unwrap()].clone()
    };
    let mut all: BTreeMap<String, Vec<Group>> = BTreeMap::new();
    for group in &done.groups.estate.groups {
        let mut group = group.clone();
        for rule in [&mut group.ingress, &mut group.egress].into_iter().flatten().flatten() {
            if let Peer::Group(named) = &mut rule.peer {
                named.id = known(&named.id);
            }
        }
        all.entry(known(&group.id)).or_default().push(group);
    }
    all
}

/// Packets at the edges of what is generated, of which both sides have to say the same. How many passed.
fn alike(estate: &Estate, text: &str, random: &mut Random, packets: usize) -> usize {
    let made = groups_of(&compiled(text));
    let idle = nobodys().union(&amazons());
    let mut passed = 0;
    for group in &estate.groups {
        let made: Vec<&Group> = made[&group.id].iter().collect();
        for direction in Direction::BOTH {
            for _ in 0..packets {
                let packet = generate::packet(random);
                let far = if direction == Direction::Ingress { packet.src } else { packet.dst };
                if idle.contains(far) {
                    continue;
                }
                // Nobody is in a list without networks.
                let lists =
                    estate.lists.iter().filter(|list| list.entries.as_ref().is_some_and(|e| !e.is_empty()));
                let lists = lists.map(|list| sim::Role::List(list.id.clone()));
                let other = sim::Role::Group(pick(random, &estate.groups).id);
                let roles: Vec<sim::Role> = lists.chain([other]).collect();
                let roles = sim::Roles(roles.into_iter().filter(|_| random.below(2) == 0).collect());
                let verdict = |groups: &[&Group], packet: &Packet| {
                    sim::run::symbolic(groups, direction, packet, &roles).unwrap().verdict
                };
                let (is, would) = (verdict(&[group], &packet), verdict(&made, &packet));
                assert_eq!(is, would, "{} {}: {packet:?} {roles:?}\n{text}", group.id, direction.word());
                passed += usize::from(is == fwc::net::Verdict::Accept);
            }
        }
    }
    passed
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    /// Random groups: a policy that says them, packet by packet; or the rule that none says.
    #[test]
    fn random_groups_come_back(seed in any::<u64>()) {
        let mut random = Random::new(seed);
        let mut estate = generate::estate(&mut random);
        for group in &mut estate.groups {
            group.vpc = Some("vpc-0a1b2c3d".to_owned());
            for rules in [&mut group.ingress, &mut group.egress].into_iter().flatten() {
                for rule in rules.iter_mut() {
                    // Half of the references stay as they are drawn: over peerings, stale, elsewhere.
                    if let Peer::Group(named) = &mut rule.peer && random.below(2) == 0 {
                        (named.peering, named.status, named.vpc) = (None, None, None);
                    }
                }
                rules.retain(|rule| rule.family_fault().is_none());
            }
        }
        match imported(&estate) {
            Ok(done) => drop(alike(&estate, &done.text, &mut random, 30)),
            Err(obstacles) => {
                for obstacle in obstacles {
                    let told = match &obstacle {
                        Obstacle::Rule { why, .. } => why.contains("peering"),
                        // A network that a list of the same addresses stands beside is emitted as that list (S59).
                        Obstacle::Sentence { .. } => estate.lists.iter().any(|l| l.entries.as_ref().is_some_and(|e| !e.is_empty())),
                        Obstacle::Nothing | Obstacle::Untold { .. } => false,
                    };
                    prop_assert!(told, "seed {seed}: {obstacle}");
                }
            }
        }
    }
}

/// Enough of what is drawn is said for the law above to mean something.
#[test]
fn most_groups_without_peerings_are_said() {
    let (mut said, mut passed) = (0, 0);
    for seed in 0..20 {
        let mut random = Random::new(seed);
        let mut estate = generate::estate(&mut random);
        for group in &mut estate.groups {
            group.vpc = Some("vpc-0a1b2c3d".to_owned());
            for rules in [&mut group.ingress, &mut group.egress].into_iter().flatten() {
                rules.retain(|rule| rule.family_fault().is_none());
                rules.retain(
                    |rule| !matches!(&rule.peer, Peer::Group(g) if g.peering.is_some() || g.is_stale()),
                );
                rules.retain(|rule| !matches!(&rule.peer, Peer::List(_)));
                for rule in rules.iter_mut() {
                    if let Peer::Group(named) = &mut rule.peer {
                        named.vpc = None;
                    }
                }
            }
        }
        let done = imported(&estate).unwrap_or_else(|why| panic!("{seed}: {why:?}"));
        passed += alike(&estate, &done.text, &mut random, 30);
        said += 1;
    }
    assert!(said == 20 && passed > 300, "{passed}");
}

/// What each fixture gives: the groups again, or the rules that no sentence says.
#[test]
fn every_fixture_is_said_or_named() {
    let mut told = String::new();
    for path in files(&folder("fixtures"), "json") {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let Ok(all) = read::read_all(&text) else { continue };
        let estate = read::gather(
            all.into_iter().map(|read| (Some("pl-0123456789abcdef0".to_owned()), read.document)),
        );
        let Ok(estate) = estate else { continue };
        if estate.groups.is_empty() && estate.records.is_empty() {
            continue;
        }
        told.push_str(&format!("{name}\n"));
        match imported(&estate) {
            Ok(done) => {
                told.push_str(&format!(
                    "    said: {} groups, {} rules, {} in another form\n",
                    done.groups, done.rules, done.idle
                ));
                for note in done.notes {
                    told.push_str(&format!("    note: {note}\n"));
                }
                // Its own first lines say no more, and count as people do.
                let head: Vec<&str> = done.text.lines().take(2).collect();
                assert_eq!(
                    head[0].ends_with("the same security groups again."),
                    done.idle == 0,
                    "{}",
                    head[0]
                );
                assert_eq!(head[1].starts_with("# 1 group."), done.groups == 1, "{}", head[1]);
                compiled(&done.text);
            }
            Err(obstacles) => {
                for obstacle in obstacles {
                    told.push_str(&format!("    {obstacle}\n"));
                }
            }
        }
    }
    let expected = std::fs::read_to_string(folder("fixtures").join("IMPORTED.txt")).unwrap_or_default();
    assert!(told.trim_end() == expected.trim_end(), "tests/aws/fixtures/IMPORTED.txt should say\n{told}");
}

/// Both halves of a flow are one sentence; a half alone waives the other end.
#[test]
fn halves_become_flows() {
    let group = |id: &str, name: &str| Group { name: Some(name.to_owned()), ..Group::closed(id) };
    let tcp = |port| Traffic::Tcp(Ports::one(port));
    let mut web = group("sg-0000000a", "Web Servers!");
    let mut db = group("sg-0000000b", "allow");
    web.egress = Some(vec![Rule::new(tcp(5432), Peer::group("sg-0000000b"))]);
    db.ingress = Some(vec![
        Rule::new(tcp(5432), Peer::group("sg-0000000a")).because("from \"web\"\n deny any"),
        Rule::new(tcp(22), Peer::group("sg-0000000a")),
    ]);
    let estate = Estate { groups: vec![web, db], ..Estate::default() };
    let done = imported(&estate).unwrap();
    assert!(done.text.contains("\nallow tcp 5432 from web-servers to g-allow\n"), "{}", done.text);
    let half = "allow tcp 22 from web-servers to g-allow { waive aws egress \"imported\" }";
    assert!(done.text.contains(half), "{}", done.text);
    assert!(
        done.text
            .contains("security-group web-servers = web-servers-member id \"sg-0000000a\"  # Web Servers!")
    );
    let site = compiled(&done.text).site;
    assert_eq!(site.accesses.len(), 2);
    assert!(site.accesses.iter().any(|access| access.waives(Waiver::Egress)));
}

/// What would make the policy another is found: a sentence taken away, one more, one changed.
#[test]
fn a_policy_that_says_something_else_is_seen() {
    let mut random = Random::new(7);
    let tcp = |port| Traffic::Tcp(Ports::one(port));
    let mut web = Group::closed("sg-00000001");
    web.ingress = Some(vec![Rule::new(tcp(443), Peer::V4(v4("0.0.0.0/0").unwrap().0))]);
    let estate = Estate { groups: vec![web], ..Estate::default() };
    let done = imported(&estate).unwrap();
    assert!(alike(&estate, &done.text, &mut random, 400) > 20);
    let spoiled = done.text.replace("allow tcp 443", "allow tcp 22");
    assert_ne!(spoiled, done.text);
    let seen = std::panic::catch_unwind(move || alike(&estate, &spoiled, &mut Random::new(7), 400));
    assert!(seen.is_err(), "another port was not seen");
}

/// A rule for the block of another vpc, or for one around it: what is written compiles, and says the same. What is for the
/// router of that vpc alone is left out, and noted.
#[test]
fn a_rule_for_the_block_of_another_vpc_is_said() {
    let vpcs = ["vpc-0000000a", "vpc-0000000b"];
    let blocks: BTreeMap<String, Vec<ipnet::IpNet>> = [(vpcs[0], "10.8.0.0/16"), (vpcs[1], "10.9.0.0/16")]
        .map(|(vpc, block)| (vpc.to_owned(), vec![block.parse().unwrap()]))
        .into();
    let nets = ["10.9.0.0/16", "10.9.0.0/24", "10.9.0.0/30", "10.0.0.0/8", "10.8.0.0/15", "10.9.0.1/32"];
    for (direction, net) in Direction::BOTH.into_iter().flat_map(|way| nets.map(|net| (way, net))) {
        let mut groups: Vec<Group> = Vec::new();
        for (id, vpc) in [("sg-0000000a", vpcs[0]), ("sg-0000000b", vpcs[1])] {
            groups.push(Group { vpc: Some(vpc.to_owned()), ..Group::closed(id) });
        }
        let rule = Rule::new(Traffic::Tcp(Ports::one(22)), Peer::V4(v4(net).unwrap().0));
        *groups[0].rules_mut(direction) = Some(vec![rule]);
        let estate = Estate { groups, ..Estate::default() };
        let done = import(&estate, &blocks, AT).unwrap_or_else(|why| panic!("{net}: {why:?}"));
        compiled(&done.text);
        let left_out = done.notes.iter().any(|note| note.contains("a vpc's router"));
        assert_eq!(left_out, net.ends_with("/32"), "{net}: {:?}", done.notes);
        assert_eq!(done.text.contains(&format!(" {net} ")), !left_out, "{}", done.text);
    }
}

/// A rule for a prefix list without networks cannot be said: that it is left out, and what follows, is.
#[test]
fn rules_of_a_list_without_networks_are_left_out_aloud() {
    let mut web = Group::closed("sg-0000000a");
    let list = "pl-0123456789abcdef0";
    web.ingress = Some(vec![Rule::new(Traffic::Tcp(Ports::one(22)), Peer::list(list))]);
    let empty = PrefixList { id: list.to_owned(), entries: Some(Vec::new()), ..PrefixList::default() };
    let estate = Estate { groups: vec![web], lists: vec![empty], ..Estate::default() };
    let done = imported(&estate).unwrap();
    assert_eq!((done.left, done.idle), (1, 0));
    assert!(
        done.text.starts_with("# Imported")
            && done.text.contains("lack the rules of prefix lists without networks")
    );
    let note = done.notes.iter().find(|note| note.contains(list)).unwrap();
    assert!(note.contains("`verify --aws-live` refutes them"), "{note}");
}

/// Each vpc of an estate has a place, however many there are.
#[test]
fn hundreds_of_vpcs_are_each_said() {
    let vpc =
        |at: usize| Group { vpc: Some(format!("vpc-{at:08x}")), ..Group::closed(format!("sg-{at:08x}")) };
    let estate = Estate { groups: (0..300).map(vpc).collect(), ..Estate::default() };
    let done = imported(&estate).unwrap();
    assert_eq!(done.text.lines().filter(|line| line.starts_with("security-group ")).count(), 300);
}
