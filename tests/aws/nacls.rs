//! Network ACLs made of policies: proved against them, and every one broken in one entry refuted.

use std::path::Path;

use fwc::compile::{Compiled, Format, Options, compile};
use fwc::diag::Findings;
use fwc::model::Way;
use fwc::net::{Packet, Proto, Space, Verdict};
use fwc::source::{Loader, SourceFile, SourceMap};
use fwc::target::aws::artifact::*;
use fwc::target::aws::{print, read, sim, validate};
use fwc::verify::{AclsText, AgainstAcls, Outcome};

/// The files of the checkout, by their path below a policy.
pub(crate) struct Beside(pub(crate) std::path::PathBuf);

impl Loader for Beside {
    fn load(&mut self, _: &str, path: &str) -> Result<SourceFile, String> {
        let text = std::fs::read_to_string(self.0.join(path)).map_err(|why| why.to_string())?;
        Ok(SourceFile { name: path.to_owned(), text })
    }
}

/// A policy with its ACLs, or what is wrong with it.
pub(crate) fn attempt(text: &str, beside: &Path, emit: &[Format]) -> Result<Compiled, Vec<String>> {
    let mut sources = SourceMap::default();
    let file = sources.add("policy.fw", text);
    let mut findings = Findings::default();
    let options =
        Options { at: 1_795_219_200_000_000_000, emit: emit.iter().copied().collect(), ..Options::default() };
    let mut loader = Beside(beside.to_owned());
    let done = compile(&mut sources, &[file], &mut loader, &options, &mut findings, &|_| {});
    let said = || findings.sorted().iter().map(|d| format!("{}: {}", d.code.as_str(), d.message)).collect();
    done.ok_or_else(said)
}

fn site(name: &str) -> Compiled {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies").join(name);
    let text = std::fs::read_to_string(folder.join("policy.fw")).unwrap();
    attempt(&text, &folder, &[Format::Nacl]).unwrap_or_else(|why| panic!("{name}: {why:?}"))
}

/// A text of ACLs, printed and read back.
fn text(acls: &[Acl]) -> AclsText {
    let text = print::document(&Document::Acls(acls.to_vec()));
    let Document::Acls(acls) = read::read(&text).unwrap().document else { panic!() };
    AclsText { file: "aws/nacl.json".to_owned(), text, acls }
}

#[test]
fn acls_of_the_sites_are_proved_and_taken() {
    for name in ["swarm", "crm-aws"] {
        let done = site(name);
        assert!(done.report.holds(), "{name}");
        let acls = done.groups.acls.as_ref().unwrap();
        let edges = done.report.points.iter().filter(|p| p.place.starts_with("network ACL")).count();
        assert_eq!(edges, acls.acls.len() * 2, "{name}");
        assert_eq!(text(&acls.acls).text, acls.text, "{name}: printed the same again");
        let estate = Estate { acls: acls.acls.clone(), ..Estate::default() };
        let limits = validate::quota::Limits { acl_entries: 40, ..Default::default() };
        let faults = validate::estate(&estate, &limits, Strictness::Asked);
        // EC2's own last entries are no people's: their numbers are out of people's range, and nothing else is wrong.
        let faults: Vec<String> =
            faults.iter().map(ToString::to_string).filter(|f| !f.contains("3276")).collect();
        assert_eq!(faults, Vec::<String>::new(), "{name}");
    }
}

/// Packets in literal numbers, at the edge of the manager's subnet.
#[test]
fn the_edge_of_the_swarms_manager() {
    let done = site("swarm");
    let acls = &done.groups.acls.as_ref().unwrap().acls;
    let acl = acls.iter().find(|acl| acl.id == "${acl:manager_net}").unwrap();
    let cases = [
        ("198.51.100.7", Direction::Ingress, 6, 443, Verdict::Accept),
        ("198.51.100.7", Direction::Ingress, 6, 22, Verdict::Drop),
        ("203.0.113.5", Direction::Ingress, 6, 22, Verdict::Accept),
        // An answer to what the manager fetched: an ACL cannot tell it from a new packet to such a port.
        ("198.51.100.7", Direction::Ingress, 6, 40_000, Verdict::Accept),
        ("198.51.100.7", Direction::Ingress, 6, 1_023, Verdict::Drop),
        ("198.51.100.7", Direction::Ingress, 17, 4_789, Verdict::Drop),
        ("172.31.0.11", Direction::Ingress, 17, 4_789, Verdict::Accept),
        ("172.31.0.12", Direction::Ingress, 17, 4_789, Verdict::Drop),
        ("172.31.0.11", Direction::Ingress, 50, 0, Verdict::Accept),
        ("198.51.100.7", Direction::Egress, 6, 40_000, Verdict::Accept),
        ("198.51.100.7", Direction::Egress, 6, 443, Verdict::Accept),
        ("198.51.100.7", Direction::Egress, 6, 25, Verdict::Drop),
    ];
    for (far, direction, proto, port, expected) in cases {
        let (far, near) = (far.parse().unwrap(), "172.31.48.10".parse().unwrap());
        let (src, dst) = if direction == Direction::Ingress { (far, near) } else { (near, far) };
        let packet = Packet::new(src, dst, Proto(proto), 443, port);
        assert_eq!(sim::acl::run(acl, direction, &packet).0, expected, "{direction:?} {far} {proto}/{port}");
    }
}

#[test]
fn every_acl_mutant_is_refuted() {
    // `make mutants` takes each, the suite every fourth.
    let step = if std::env::var_os("FWC_MUTANTS").is_some_and(|all| all == "all") { 1 } else { 4 };
    for name in ["swarm", "crm-aws"] {
        let done = site(name);
        let acls = &done.groups.acls.as_ref().unwrap().acls;
        let mut against = AgainstAcls::new(&done.site);
        let (mut drawn, mut count, mut same) = (0, 0, 0);
        for (of, acl) in acls.iter().enumerate() {
            let zone = acl.associations[0].subnet.trim_start_matches("${subnet:").trim_end_matches('}');
            let subnet = done.site.zone_named(zone).unwrap();
            let mut space = Space::default();
            let meant = Direction::BOTH.map(|way| sim::acl::admits(acl, way, &mut space).unwrap());
            for (at, entry) in acl.entries.iter().enumerate() {
                for broken in broken(entry) {
                    drawn += 1;
                    if drawn % step != 0 {
                        continue;
                    }
                    let mut acls = vec![acls[of].clone()];
                    acls[0].entries.remove(at);
                    acls[0].entries.extend(broken);
                    let changed = Direction::BOTH
                        .map(|way| sim::acl::admits(&acls[0], way, &mut space).unwrap())
                        != meant;
                    let text = text(&acls);
                    let refuted = Way::BOTH
                        .into_iter()
                        .any(|way| matches!(against.point(&text, subnet, way).outcome, Outcome::Refuted(_)));
                    count += 1;
                    same += usize::from(!changed);
                    assert_eq!(refuted, changed, "{name} {zone}: {entry:?}");
                }
            }
        }
        assert!(
            count * step > 150 && same * 2 < count,
            "{name}: {count} broken, {same} of them mean the same"
        );
    }
}

/// An entry broken in one place.
fn broken(entry: &AclEntry) -> Vec<Vec<AclEntry>> {
    let mut all = vec![Vec::new()];
    let mut add = |changed: AclEntry| all.push(vec![changed]);
    let flipped = if entry.action == Action::Allow { Action::Deny } else { Action::Allow };
    let turned = if entry.direction == Direction::Ingress { Direction::Egress } else { Direction::Ingress };
    add(AclEntry { action: flipped, ..entry.clone() });
    // A number that nobody has in the other direction.
    add(AclEntry { direction: turned, number: entry.number.min(32_000) + 1, ..entry.clone() });
    let traffics = match entry.traffic {
        Traffic::All => vec![Traffic::Tcp(Ports::ALL)],
        Traffic::Tcp(of) => vec![Traffic::Udp(of), Traffic::All, Traffic::Tcp(Ports::one(of.first()))],
        Traffic::Udp(of) => vec![Traffic::Tcp(of), Traffic::All, Traffic::Udp(Ports::one(of.last()))],
        Traffic::Icmp(_) | Traffic::Icmpv6(_) | Traffic::Other(_) => {
            vec![Traffic::All, Traffic::Other(Proto(47))]
        }
    };
    for traffic in traffics.into_iter().filter(|traffic| *traffic != entry.traffic) {
        add(AclEntry { traffic, ..entry.clone() });
    }
    if let ipnet::IpNet::V4(net) = entry.cidr
        && let Some(wider) = net.supernet()
    {
        add(AclEntry { cidr: wider.into(), ..entry.clone() });
    }
    all
}

/// What an ACL cannot say of a policy is an error with its reason.
#[test]
fn what_no_acl_says_is_an_error() {
    let policy = |rest: &str| {
        format!(
            "vpc main {{ 10.0.0.0/16; gateway world }}
zone app {{ 10.0.1.0/24 }} in main
zone db_net {{ 10.0.2.0/24 }} in main
zone world {{ rest }}
host web = 10.0.1.5 in app
host db = 10.0.2.5 in db_net
host task = dynamic in app
security-group web_g = web
security-group db_g = db
{rest}
"
        )
    };
    let cases = [
        ("security-group tasks = task\nallow any from web to db", "what answers everything sent to"),
        (
            "security-group tasks = task\nallow tcp 5432 from tasks to db_g",
            "nobody knows the address of `task.app`",
        ),
        ("allow tcp 5432 from web to db", "`task` wears no security group"),
    ];
    for (rest, expected) in cases {
        let found = attempt(&policy(rest), Path::new("."), &[Format::Nacl]);
        let said = found.err().unwrap_or_else(|| panic!("{rest} compiles"));
        assert!(said.iter().any(|s| s.starts_with("unsupported-on-aws") && s.contains(expected)), "{said:?}");
    }
    let ports =
        |first: usize| (0..45).map(|n| format!("udp {}", first + n * 2)).collect::<Vec<_>>().join(", ");
    let rest = format!("security-group tasks = task\nallow {} from web to db", ports(100));
    let said = attempt(&policy(&rest), Path::new("."), &[Format::Nacl]).err().unwrap();
    assert!(said.iter().any(|s| s.contains("47 entries, ingress, IPv4")), "{said:?}");
    let both = "security-group tasks = task\nallow any from web to db\nallow any from db to web";
    assert!(attempt(&policy(both), Path::new("."), &[Format::Nacl]).unwrap().report.holds());
}
