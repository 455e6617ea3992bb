//! Groups with more rules than one of EC2's takes, and groups whose name begins like an id: in every format, proved and read back
//! as what was emitted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use fwc::compile::{Compiled, Format};
use fwc::target::aws::artifact::*;
use fwc::target::aws::{print, read};

use crate::nacls::attempt;

const FORMATS: [Format; 2] = [Format::Terraform, Format::Cloudformation];

const SITE: &str = "\
vpc main { 10.0.0.0/16; gateway internet }
zone app { 10.0.1.0/24 } in main
zone internet { rest }
host w = 10.0.1.10 in app
host d = 10.0.1.20 in app
";

/// So many addresses of the Internet of which no two make a network.
fn apart(count: usize) -> String {
    let addresses: Vec<String> = (0..count).map(|n| format!("203.0.{n}.1")).collect();
    addresses.join(", ")
}

fn compiled(text: &str, formats: &[Format]) -> Compiled {
    let done = attempt(text, Path::new("."), formats).unwrap_or_else(|why| panic!("{text}\n{why:?}"));
    assert!(done.report.holds(), "{text}");
    done
}

/// What a policy is refused for, with the text that it is said of.
fn refused(text: &str, formats: &[Format]) -> Vec<(String, String)> {
    use fwc::compile::{Options, compile};
    let mut sources = fwc::source::SourceMap::default();
    let file = sources.add("policy.fw", text);
    let mut findings = fwc::diag::Findings::default();
    let options = Options {
        at: 1_795_219_200_000_000_000,
        emit: formats.iter().copied().collect(),
        ..Options::default()
    };
    let mut loader = crate::nacls::Beside(".".into());
    assert!(
        compile(&mut sources, &[file], &mut loader, &options, &mut findings, &|_| {}).is_none(),
        "{text}"
    );
    let errors = findings.sorted().into_iter().filter(|d| d.severity == fwc::diag::Severity::Error);
    let said = errors.map(|d| {
        let place = d.primary.as_ref().map(|label| label.span);
        let at = place.map_or("", |span| &text[span.start as usize..span.end as usize]);
        (at.to_owned(), d.message.clone())
    });
    said.collect()
}

/// Names and canonical forms of the groups of a text, by their ids.
fn said(estate: &Estate) -> BTreeMap<String, (Option<String>, Canonical, Canonical)> {
    let form = |group: &Group, way| Canonical::of(group.rules(way).unwrap());
    let of = |g: &Group| (g.name.clone(), form(g, Direction::Ingress), form(g, Direction::Egress));
    let all: BTreeMap<_, _> = estate.groups.iter().map(|g| (g.id.clone(), of(g))).collect();
    assert_eq!(all.len(), estate.groups.len(), "an id stands for one group");
    all
}

/// Every text of a policy says what was emitted.
fn agree(done: &Compiled) {
    assert_eq!(done.artifacts.groups.len(), 1 + FORMATS.len());
    for text in &done.artifacts.groups {
        assert_eq!(said(&text.estate), said(&done.groups.estate), "{}\n{}", text.file, text.text);
    }
}

#[test]
fn a_group_in_parts_is_written_in_every_format() {
    // Beside them a reference and the default of ICMP.
    for (count, parts) in [(58, 1), (59, 2), (61, 2), (130, 3)] {
        let text = format!(
            "{SITE}security-group web = w\nsecurity-group db = d\nlist far = {}\n\
             allow https from far to web\nallow postgres from web to db\nallow http from db to web\n",
            apart(count)
        );
        let done = compiled(&text, &FORMATS);
        let ids: Vec<&str> = done.groups.estate.groups.iter().map(|g| g.id.as_str()).collect();
        let mut wanted = vec!["${sg:db}".to_owned()];
        wanted.extend((2..=parts).map(|part| format!("${{sg:web.{part}}}")));
        wanted.push("${sg:web}".to_owned());
        assert_eq!(ids, wanted, "{count}");
        agree(&done);
    }
}

#[test]
fn a_name_that_begins_like_an_id_is_written_in_every_format() {
    let text = format!(
        "{SITE}security-group sg-web = w\nsecurity-group sg-00000000000000007 = d\nlist far = {}\n\
         allow https from far to sg-web\nallow postgres from sg-web to sg-00000000000000007\n",
        apart(70)
    );
    let done = compiled(&text, &FORMATS);
    assert!(done.groups.estate.group("${sg:sg-web.2}").is_some());
    agree(&done);
}

/// Names that would meet if a mark were a letter of a name.
#[test]
fn no_two_groups_have_one_name_in_a_format() {
    let names = [
        "web",
        "web-p2",
        "web2",
        "web-2",
        "web_2",
        "webp2",
        "n-sg-web",
        "nsg-web",
        "sg-web",
        "sg-web-p2",
        "sg-",
    ];
    let mut text = SITE.to_owned();
    for (n, name) in names.iter().enumerate() {
        let _ = writeln!(text, "host h{n} = 10.0.1.{} in app\nsecurity-group {name} = h{n}", n + 30);
        let _ =
            writeln!(text, "allow tcp {} from {name} to web, sg-web\nallow https from far to {name}", n + 1);
    }
    let _ = writeln!(text, "list far = {}", apart(65));
    let done = compiled(&text, &FORMATS);
    assert_eq!(done.groups.estate.groups.len(), names.len() * 2);
    agree(&done);
}

/// Real ids stay what they are, beside groups that are named like them.
#[test]
fn real_ids_are_no_names() {
    let ids = [
        "sg-0123abcd",
        "${sg:sg-0123abcd}",
        "${sg:sg-0123abcd.2}",
        "${sg:web}",
        "${sg:web.2}",
        "${sg:web.10}",
    ];
    let rule = |id: &str| Rule::new(Traffic::Tcp(Ports::one(22)), Peer::group(id));
    let group = |id: &str| Group {
        ingress: Some(ids.iter().map(|id| rule(id)).chain([rule("${sg:sg-out}"), rule("sg-0abc")]).collect()),
        description: Some("tried".to_owned()),
        name: Some(format!("n{}", id.len())),
        ..Group::closed(id)
    };
    let list = |id: &str| PrefixList {
        id: id.to_owned(),
        name: Some("l".to_owned()),
        family: Some(fwc::net::Family::V4),
        max_entries: Some(1),
        entries: Some(vec![Entry { cidr: cidr("192.0.2.0/24").unwrap().0, description: None }]),
        ..PrefixList::default()
    };
    let lists = vec![list("${pl:pl-x_v4}"), list("${pl:x_v4}")];
    let mut estate = Estate { groups: ids.map(group).to_vec(), lists, ..Estate::default() };
    for group in &mut estate.groups {
        group.vpc = Some("${vpc:vpc-main}".to_owned());
        let lists = ["${pl:pl-x_v4}", "${pl:x_v4}"].map(|id| Rule::new(Traffic::All, Peer::list(id)));
        group.egress = Some(lists.to_vec());
    }
    let [terraform, template] = [
        read::terraform(&print::terraform(&estate).unwrap()),
        read::cloudformation(&print::cloudformation(&estate).unwrap()),
    ]
    .map(Result::unwrap);
    for back in [terraform, template] {
        assert_eq!(said(&back), said(&estate));
        let ids: BTreeSet<&str> = back.lists.iter().map(|list| list.id.as_str()).collect();
        assert_eq!(ids, BTreeSet::from(["${pl:pl-x_v4}", "${pl:x_v4}"]));
        assert!(back.groups.iter().all(|group| group.vpc.as_deref() == Some("${vpc:vpc-main}")));
    }
}

/// What is no part of a group by its name is none in a file either.
#[test]
fn odd_parts_are_no_names() {
    for id in
        ["${sg:web.}", "${sg:web.1}", "${sg:web.02}", "${sg:web.2.3}", "${sg:.2}", "${sg:web.x}", "${sg:}"]
    {
        let estate = Estate { groups: vec![Group::closed(id)], ..Estate::default() };
        for why in [print::terraform(&estate).unwrap_err(), print::cloudformation(&estate).unwrap_err()] {
            assert!(why.to_string().contains("the id gives no name"), "{id}: {why}");
        }
    }
    for name in ["SgP2", "SgwebP", "SgwebP1", "SgwebP02", "SgwebP2P3", "SgNweb", "SgNN", "SgwebN", "Sg"] {
        let properties = "{\"GroupDescription\": \"d\"}";
        let text = format!(
            "{{\"Resources\": {{\"{name}\": {{\"Type\": \"AWS::EC2::SecurityGroup\", \"Properties\": {properties}}}}}}}"
        );
        assert!(read::cloudformation(&text).is_err(), "{name}");
    }
}

#[test]
fn what_cannot_be_written_is_said_of_its_own_declaration() {
    let text = format!(
        "{SITE}security-group web = w\nsecurity-group db = d\nlist far = {}\nallow https from 198.51.100.0/24 to web, db\n",
        apart(101)
    );
    let said = refused(&text, &[Format::Cloudformation, Format::PrefixLists]);
    assert_eq!(
        said,
        [(
            "far".to_owned(),
            "aws/template.json cannot be written: ${pl:far_v4}: CloudFormation cannot say this: more than 100 networks"
                .to_owned()
        )]
    );
}

#[test]
fn a_prefix_list_that_no_group_takes_is_named() {
    let site = format!(
        "{SITE}security-group web = w\nlist far = {} prefix-list \"pl-0123456789abcdef0\"\n",
        apart(70)
    );
    let said = refused(&format!("{site}allow https from far to web\n"), &[]);
    assert_eq!(
        said,
        [(
            "web".to_owned(),
            "the security group `web` names the prefix list `far`, ingress, IPv4, which counts 70 rules: more than the 60 of a group"
                .to_owned()
        )]
    );
    // The same of a list that becomes one on request; without that it is seventy networks, in two parts.
    let text =
        format!("{SITE}security-group web = w\nlist far = {}\nallow https from far to web\n", apart(70));
    assert!(refused(&text, &[Format::PrefixLists])[0].1.contains("the prefix list `far`"));
    assert_eq!(compiled(&text, &[]).groups.estate.groups.len(), 2);
}

/// Six lists of 31 are 186 rules, 187 with the default of ICMP, and yet two of them fit no group together.
#[test]
fn prefix_lists_that_do_not_divide_are_said() {
    let mut text = format!("{SITE}security-group web = w\n");
    for n in 0..6 {
        let addresses: Vec<String> = (0..31).map(|m| format!("203.{n}.{m}.1")).collect();
        let _ = writeln!(text, "list l{n} = {} prefix-list \"pl-0123456789abcdef{n}\"", addresses.join(", "));
        let _ = writeln!(text, "allow https from l{n} to web");
    }
    assert_eq!(
        refused(&text, &[]),
        [(
            "web".to_owned(),
            "the security group `web` needs 187 rules, ingress, IPv4, and its prefix lists, whole ones, do not fit into 5 groups of 60"
                .to_owned()
        )]
    );
}
