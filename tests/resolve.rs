//! What holds of every policy: its meaning does not depend on the order of its statements nor on how they are
//! spread over files, and no size of it makes resolving grow without bound.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail by panicking")]

use std::collections::BTreeMap;

use fwc::diag::{Findings, Severity};
use fwc::model::Site;
use fwc::source::{Loader, SourceFile, SourceMap};
use proptest::prelude::*;

/// One statement a line, of every kind this version resolves.
const POLICY: &str = r#"
var admin_net: place = 203.0.113.0/24, ops
var app: service = tcp 3000, crm
list blocked = file "blocked.txt"
list spare = none
zone clients { 10.1.1.0/24, 2001:db8:1::/64 }
zone dmz { 10.1.2.0/24, 2001:db8:2::/64 }
zone web_net { 10.1.3.0/24 }
zone mgmt { 10.1.5.0/24 }
zone internet { rest }
firewall fw { eth1 10.1.1.1, 2001:db8:1::1 in clients; eth2 10.1.2.1, 2001:db8:2::1 in dmz; eth3 10.1.5.1 in mgmt; route web_net, admin_net via lb.dmz; log from clients, internet }
firewall lb { eth2 10.1.3.1 in web_net; eth1 10.1.2.2 in dmz }
router uplink { wan dynamic in internet; lan 10.1.1.2 in clients }
host ops = 10.1.1.9 in clients
host s1 { eth1 10.1.3.11 in web_net }
host s2 { eth1 10.1.3.12 in web_net }
host s3 { eth1 10.1.3.13 in web_net; eth5 10.1.5.13 in mgmt }
group web = s1, s2
group web += s3
group servers = web, fw except s2
group servers += s2, lb
group doors = none
group most = clients except ops
each web { nftables; reject from mgmt, web_net }
each servers { log from mgmt }
service crm = tcp 8000-8010, odd
service odd = udp 5000 from 1024-65535, icmp type timestamp-request, icmpv6 type 128 code 0, proto 112
allow http, ping from clients to lb.dmz, s1
allow app from lb to web.web_net { until 2030-06-30; owner "ana" }
allow ssh from admin_net, most to lb.dmz { log; limit 100/minute burst 20 per source; reason "OPS\12" }
allow ssh from admin_net, most to lb.dmz
allow ssh from doors, ops to s3.mgmt
allow dns from anywhere except blocked to dmz, fw.clients except 10.1.2.200
deny any from blocked to servers { reject; waive lint expired "on purpose" }
test "second" { expect deny any from clients to fw, web; expect allow http from clients to lb.dmz }
test "first" { expect only http, ping from clients to lb }
test "first" { expect deny any from blocked to s1 }
"#;

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn order_and_files_never_matter(
        statements in Just(statements()).prop_shuffle(),
        cuts in proptest::collection::vec(0usize..3, 64),
    ) {
        let mut files = [String::new(), String::new(), String::new()];
        for (statement, cut) in statements.iter().zip(cuts) {
            files[cut].push_str(statement);
            files[cut].push('\n');
        }
        prop_assert_eq!(meaning(&[POLICY.to_owned()]), meaning(&files));
    }
}

#[test]
fn the_policy_of_the_property_says_something() {
    let (site, errors) = resolved(&[POLICY.to_owned()]);
    assert_eq!(errors, Vec::<String>::new());
    let site = site.unwrap();
    assert_eq!(
        site.hosts.iter().map(|h| h.name.as_str()).collect::<Vec<_>>(),
        ["fw", "lb", "ops", "s1", "s2", "s3", "uplink"]
    );
    // One sentence of two pieces (`most` keeps its exclusion) is two accesses with the same words, twice.
    let ssh = site.accesses.iter().filter(|a| a.words == "allow ssh from admin_net, most to lb.dmz");
    assert_eq!(ssh.count(), 4);
    let reasons: Vec<_> = site.accesses.iter().filter_map(|a| a.remarks().reason.as_deref()).collect();
    assert_eq!(reasons, ["OPS/12", "OPS/12"]);
}

#[test]
fn a_statement_said_twice_is_said_once() {
    let zones = "zone a { 10.1.1.0/24 }\nzone b { 10.1.2.0/24 }\n";
    let once = format!("{zones}allow http, http from a, a to b\n");
    let twice = format!("{once}allow   http, http\n    from a, a # again\n    to b\n");
    assert_eq!(meaning(&[once]), meaning(&[twice]));
}

#[test]
fn a_date_includes_its_day_and_an_instant_is_exact() {
    let policy = |until: &str| {
        format!(
            "zone a {{ 10.1.1.0/24 }}\nzone b {{ 10.1.2.0/24 }}\nallow http from a to b {{ until {until} }}\n"
        )
    };
    let until = |text: &str| resolved(&[policy(text)]).0.unwrap().accesses[0].until.unwrap() / 1_000_000_000;
    assert_eq!(until("2027-06-30"), 1_814_400_000); // date -u -d 2027-07-01 +%s
    assert_eq!(until("2027-06-30T18:00Z"), 1_814_378_400);
    assert_eq!(until("2028-02-29"), 1_835_481_600);
}

/// `resolve` takes whole seconds only; were there others, the ruleset would not round them.
#[test]
fn a_part_of_a_second_is_an_error_of_the_ruleset() {
    let policy = "zone a { 10.0.1.0/24 }\nzone b { 10.0.2.0/24 }\nfirewall fw { eth1 10.0.1.1 in a; eth2 10.0.2.1 in b }\n\
                  allow ssh from a to b { until 2027-06-30T18:00Z }\n";
    let mut site = resolved(&[policy.to_owned()]).0.unwrap();
    let emitted = |site: &Site| {
        let mut findings = Findings::default();
        let emitted = fwc::target::nft::emit::emit(&fwc::lower::lower(site), site, &mut findings);
        (emitted.is_some(), errors(&findings))
    };
    assert_eq!(emitted(&site), (true, Vec::new()));
    for access in &mut site.accesses {
        access.until = access.until.map(|end| end + 1);
    }
    let (written, errors) = emitted(&site);
    assert!(
        !written && !errors.is_empty() && errors.iter().all(|e| e.contains("unsupported-date")),
        "{errors:?}"
    );
}

#[test]
fn a_value_takes_the_place_of_a_default() {
    let policy =
        "zone a { 10.1.1.0/24 }\nzone b { 10.1.2.0/24 }\nvar who: place = a\nallow http from who to a\n";
    let mut sources = SourceMap::default();
    let root = sources.add("policy.fw", policy);
    let (mut findings, mut none) = (Findings::default(), Memory(BTreeMap::new()));
    let files = fwc::resolve::gather(&mut sources, &[root], &mut none, &mut findings);
    let set = [("who".to_owned(), "b except 10.1.2.7".to_owned())];
    let site = fwc::resolve::resolve(&files, &mut sources, &mut none, &set, &mut findings).unwrap();
    let from = &site.accesses[0].from;
    assert_eq!(from.plus, [fwc::model::End::Zone(site.zone_named("b").unwrap())]);
    assert_eq!(from.except.len(), 1);
}

#[test]
fn too_many_files_are_an_error() {
    let includes: String = (0..1_001).map(|n| format!("include \"{n}.fw\"\n")).collect();
    let mut files: BTreeMap<String, String> =
        (0..1_001).map(|n| (format!("{n}.fw"), format!("group g{n} = none\n"))).collect();
    files.insert("policy.fw".into(), includes);
    assert!(errors_of(files).contains(&"too-large: a policy has at most 1000 files".to_owned()));
}

#[test]
fn groups_that_would_spread_without_bound_are_an_error() {
    let mut policy = String::from("zone z { 10.0.0.0/8 }\n");
    let names: Vec<String> = (0..2_500).map(|n| format!("10.1.{}.{}", n / 250, n % 250)).collect();
    policy.push_str(&format!("group all = {}\n", names.join(", ")));
    for n in 0..1_700 {
        policy.push_str(&format!("group g{n} = all, 10.2.{}.{}\n", n / 250, n % 250));
    }
    let errors = errors_of(BTreeMap::from([("policy.fw".to_owned(), policy)]));
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].starts_with("too-large: "), "{errors:?}");
}

#[test]
fn a_chain_of_groups_or_files_of_any_length_does_not_overflow_the_stack() {
    let mut policy = String::from("zone z { 10.0.0.0/8 }\ngroup g0 = z\n");
    for n in 1..5_000 {
        policy.push_str(&format!("group g{n} = g{}\n", n - 1));
    }
    assert_eq!(errors_of(BTreeMap::from([("policy.fw".to_owned(), policy)])), Vec::<String>::new());
    let chain = (0..900).map(|n| (format!("{n}.fw"), format!("include \"{}.fw\"\n", n + 1)));
    let mut files: BTreeMap<String, String> = chain.collect();
    files.insert("900.fw".into(), "group g = none\n".into());
    files.insert("policy.fw".into(), "include \"0.fw\"\n".into());
    assert_eq!(errors_of(files), Vec::<String>::new());
}

fn statements() -> Vec<&'static str> {
    POLICY.lines().filter(|line| !line.is_empty()).collect()
}

/// The site without its spans, as text.
fn meaning(files: &[String]) -> String {
    let (site, errors) = resolved(files);
    assert_eq!(errors, Vec::<String>::new());
    let text = format!("{:#?}", site.unwrap());
    // A span is `Span { file: FileId( N, ), start: N, end: N, }` over eight lines.
    let mut lines = text.lines();
    let mut out = String::new();
    while let Some(line) = lines.next() {
        if line.trim_start().starts_with("span: Span {") {
            let indent = line.len() - line.trim_start().len();
            lines.by_ref().find(|l| l.len() - l.trim_start().len() == indent);
        } else {
            out.push_str(line);
            out.push('\n');
        }
    }
    assert!(!out.contains("Span"));
    out
}

fn resolved(texts: &[String]) -> (Option<Site>, Vec<String>) {
    let mut sources = SourceMap::default();
    let roots: Vec<_> =
        texts.iter().enumerate().map(|(n, text)| sources.add(format!("{n}.fw"), text.clone())).collect();
    let mut loader = Memory(BTreeMap::from([(
        "blocked.txt".to_owned(),
        "198.51.100.0/24\n2001:db8:bad::/48\n".to_owned(),
    )]));
    let mut findings = Findings::default();
    let files = fwc::resolve::gather(&mut sources, &roots, &mut loader, &mut findings);
    let site = fwc::resolve::resolve(&files, &mut sources, &mut loader, &[], &mut findings);
    (site, errors(&findings))
}

/// A patch that names what is declared there makes a circle, and one that names another of the list says it twice.
#[test]
fn nothing_is_suggested_that_stands_in_the_list_already_or_is_declared_by_it() {
    let text = "zone data { 10.1.4.0/24 }\nzone office { 10.1.5.0/24 }\nhost s1 = 10.1.4.11 in data\nhost s4 = 10.1.4.14 in data\n\
                group nas = nas1, nas2\ngroup web = s1, s4, s3\nservice panel = panels, tcp 81\n\
                user ana { key \"ssh-ed25519 AAAA\" }\n\
                allow http from office to s1, s2\nallow http from office to s1, s4 except s5\n\
                allow ssh from office to s1 as ana, anna\n";
    let mut sources = SourceMap::default();
    let root = sources.add("policy.fw", text);
    let (mut loader, mut findings) = (Memory(BTreeMap::new()), Findings::default());
    let files = fwc::resolve::gather(&mut sources, &[root], &mut loader, &mut findings);
    let _ = fwc::resolve::resolve(&files, &mut sources, &mut loader, &[], &mut findings);
    let told = findings.sorted().into_iter().filter(|d| d.code.as_str().starts_with("unknown-"));
    let told: Vec<_> = told
        .map(|d| (d.message.as_str(), d.help.as_deref(), d.fix.as_ref().map(|f| f.text.as_str())))
        .collect();
    let meant = |message, help, fix| (message, Some(help), Some(fix));
    assert_eq!(
        told,
        [
            ("unknown place `nas1`", None, None),
            ("unknown place `nas2`", None, None),
            ("unknown place `s3`", None, None),
            ("unknown service `panels`", None, None),
            meant("unknown place `s2`", "did you mean `s4`?", "s4"),
            ("unknown place `s5`", None, None),
            ("unknown user `anna`", None, None),
        ]
    );
}

fn errors_of(mut files: BTreeMap<String, String>) -> Vec<String> {
    let mut sources = SourceMap::default();
    let root = sources.add("policy.fw", files.remove("policy.fw").unwrap());
    let (mut loader, mut findings) = (Memory(files), Findings::default());
    let files = fwc::resolve::gather(&mut sources, &[root], &mut loader, &mut findings);
    let _ = fwc::resolve::resolve(&files, &mut sources, &mut loader, &[], &mut findings);
    errors(&findings)
}

fn errors(findings: &Findings) -> Vec<String> {
    let errors = findings.sorted().into_iter().filter(|d| d.severity == Severity::Error);
    errors.map(|d| format!("{}: {}", d.code, d.message)).collect()
}

/// Files by name.
struct Memory(BTreeMap<String, String>);

impl Loader for Memory {
    fn load(&mut self, _: &str, path: &str) -> Result<SourceFile, String> {
        let text = self.0.get(path).ok_or("there is no such file")?;
        Ok(SourceFile { name: path.to_owned(), text: text.clone() })
    }
}
