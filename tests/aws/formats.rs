//! Terraform and CloudFormation say what EC2's own JSON says: printed, read back by readers of their own, canonically equal;
//! and what those tools would refuse, or would make of a file that looks right, is seen.

use std::collections::BTreeSet;
use std::path::PathBuf;

use fwc::net::{Random, Space};
use fwc::target::aws::artifact::*;
use fwc::target::aws::{mutate, print, read, sim};
use proptest::prelude::*;
use serde_json::Value;

use crate::nacls::Beside;
use crate::planned::fwc;
use crate::{folder, generate};

fn set(name: &str) -> Estate {
    let text = std::fs::read_to_string(folder("sets").join(name)).unwrap();
    read::gather([(None, read::read(&text).unwrap().document)]).unwrap()
}

/// The three texts of an estate.
fn texts(estate: &Estate) -> [String; 3] {
    [print::groups(&estate.groups), print::terraform(estate).unwrap(), print::cloudformation(estate).unwrap()]
}

/// Each read back by its own reader.
fn back(texts: &[String; 3]) -> [Estate; 3] {
    let ec2 = read::gather([(None, read::read(&texts[0]).unwrap().document)]).unwrap();
    let terraform = read::terraform(&texts[1]).unwrap_or_else(|why| panic!("{why}\n{}", texts[1]));
    let template = read::cloudformation(&texts[2]).unwrap_or_else(|why| panic!("{why}\n{}", texts[2]));
    [ec2, terraform, template]
}

type Forms = Vec<(String, Canonical, Canonical)>;

fn forms(estate: &Estate) -> Forms {
    let form = |group: &Group, direction| Canonical::of(group.rules(direction).unwrap());
    let of = |g: &Group| (g.id.clone(), form(g, Direction::Ingress), form(g, Direction::Egress));
    let mut forms: Forms = estate.groups.iter().map(of).collect();
    forms.sort_by(|a, b| a.0.cmp(&b.0));
    forms
}

/// The texts of the rules, whatever they are cut into.
fn descriptions(estate: &Estate) -> BTreeSet<(String, Direction, String)> {
    let of = |group: &Group| {
        let said = group
            .all_rules()
            .filter_map(|(d, _, rule)| Some((group.id.clone(), d, rule.description.clone()?)));
        said.collect::<Vec<_>>()
    };
    estate.groups.iter().flat_map(of).collect()
}

fn agree(estate: &Estate) {
    let texts = texts(estate);
    assert_eq!(texts, self::texts(estate), "the same bytes");
    for back in back(&texts) {
        assert_eq!(forms(&back), forms(estate), "{}\n{}", texts[1], texts[2]);
        assert_eq!(descriptions(&back), descriptions(estate));
        let mut space = Space::default();
        for mine in &estate.groups {
            let theirs = back.group(&mine.id).unwrap();
            for direction in Direction::BOTH {
                let mine = sim::admits::symbolic(&[mine], direction, &mut space).unwrap();
                let theirs = sim::admits::symbolic(&[theirs], direction, &mut space).unwrap();
                assert_eq!(mine.difference(&theirs, &mut space).unwrap(), None);
            }
        }
    }
}

#[test]
fn the_same_groups_in_every_format() {
    for name in ["shop.json", "swarm.json"] {
        agree(&set(name));
    }
}

/// One rule changed is another form in each format; and the file of one format says it to the others.
#[test]
fn every_single_rule_mutant_of_every_format_is_refuted() {
    let (mut count, mut refused) = (0, 0);
    for name in ["shop.json", "swarm.json"] {
        let estate = set(name);
        let meant = forms(&estate);
        for mutant in mutate::mutants(&estate.groups) {
            let broken = Estate { groups: mutant.groups, ..estate.clone() };
            let files = [
                print::terraform(&broken).map(|text| read::terraform(&text)),
                print::cloudformation(&broken).map(|text| read::cloudformation(&text)),
            ];
            for file in files {
                count += 1;
                match file {
                    Ok(Ok(back)) => assert_ne!(forms(&back), meant, "{}", mutant.what),
                    // What a reader refuses, Terraform or CloudFormation would.
                    Ok(Err(_)) => refused += 1,
                    Err(why) => {
                        assert!(why.to_string().contains("twice"), "{}: {why}", mutant.what);
                        refused += 1;
                    }
                }
            }
        }
    }
    println!("{count} mutants in two formats, {refused} of them refused as files");
    assert!(count > 1_000 && refused < count / 10, "{count} {refused}");
}

/// A resource lost, a number changed, a reference turned: in the text itself.
#[test]
fn a_change_of_the_text_is_seen() {
    let estate = set("shop.json");
    let meant = forms(&estate);
    let [_, terraform, template] = texts(&estate);
    let (mut seen, mut refused) = (0, 0);
    for (text, is_template) in [(terraform, false), (template, true)] {
        let read = |text: &str| if is_template { read::cloudformation(text) } else { read::terraform(text) };
        let json: Value = serde_json::from_str(&text).unwrap();
        for pointer in pointers(&json) {
            let ends = |keys: &[&str]| keys.iter().any(|key| pointer.ends_with(&format!("/{key}")));
            let mut broken = json.clone();
            let at = broken.pointer_mut(&pointer).unwrap();
            match at {
                Value::Number(number) => *at = Value::from(number.as_i64().unwrap() + 1),
                Value::String(cidr) if cidr.ends_with("/32") || cidr.ends_with("/24") => {
                    *at = Value::from(cidr.replace("/32", "/31").replace("/24", "/23"));
                }
                Value::String(name) if ends(&["ip_protocol", "IpProtocol"]) => {
                    *at = Value::from(if name == "tcp" { "udp" } else { "tcp" });
                }
                _ => continue,
            }
            match read(&broken.to_string()) {
                Ok(back) => {
                    assert_ne!(forms(&back), meant, "{pointer}");
                    seen += 1;
                }
                Err(_) => refused += 1,
            }
        }
        // Each rule that is a resource, gone.
        let resources =
            if is_template { "/Resources" } else { "/resource/aws_vpc_security_group_ingress_rule" };
        for key in json.pointer(resources).unwrap().as_object().unwrap().keys() {
            let mut broken = json.clone();
            broken.pointer_mut(resources).unwrap().as_object_mut().unwrap().remove(key);
            match read(&broken.to_string()) {
                Ok(back) => assert_ne!(forms(&back), meant, "{key}"),
                // A group that others name.
                Err(_) => refused += 1,
            }
            seen += 1;
        }
    }
    println!("{seen} changes seen, {refused} refused");
    assert!(seen > 150, "{seen}");
}

/// The ways to every value.
fn pointers(of: &Value) -> Vec<String> {
    let mut all = vec![String::new()];
    let children: Vec<(String, &Value)> = match of {
        Value::Array(items) => items.iter().enumerate().map(|(at, item)| (at.to_string(), item)).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(key, value)| (key.replace('~', "~0").replace('/', "~1"), value)).collect()
        }
        _ => Vec::new(),
    };
    for (key, child) in children {
        all.extend(pointers(child).into_iter().map(|rest| format!("/{key}{rest}")));
    }
    all
}

/// Everything that EC2 takes, in every format: random groups with symbolic ids, made such that EC2 would take them.
fn drawn(seed: u64) -> Estate {
    let random = &mut Random::new(seed);
    let mut estate = generate::estate(random);
    let name = |id: &str| match id {
        "sg-00000001" => "${sg:web-api}".to_owned(),
        "sg-00000002" => "${sg:db_1}".to_owned(),
        "pl-00000001" => "${pl:office}".to_owned(),
        other => other.to_owned(),
    };
    for group in &mut estate.groups {
        group.id = name(&group.id);
        group.description = Some("managed by fwc".to_owned());
        group.name = Some(group.id.trim_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned());
        group.vpc = generate::pick(random, &[None, Some("vpc-1".to_owned()), Some("${vpc:main}".to_owned())]);
        for direction in Direction::BOTH {
            let rules = group.rules_mut(direction).get_or_insert_default();
            let mut seen = BTreeSet::new();
            rules.retain(|rule| {
                let never =
                    matches!(rule.traffic, Traffic::Icmp(Icmp::NoType(_)) | Traffic::Icmpv6(Icmp::NoType(_)));
                !never && rule.family_fault().is_none() && seen.insert(rule.key())
            });
            for rule in rules {
                match &mut rule.peer {
                    Peer::Group(named) => {
                        *named = GroupRef { id: name(&named.id), ..GroupRef::default() };
                    }
                    Peer::List(list) => list.id = name(&list.id),
                    Peer::V4(_) | Peer::V6(_) => {}
                }
            }
        }
    }
    for list in &mut estate.lists {
        list.id = name(&list.id);
        list.name = Some("office".to_owned());
        list.family = Some(fwc::net::Family::V4);
    }
    estate
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_groups_are_the_same_in_every_format(seed in any::<u64>()) {
        agree(&drawn(seed));
    }

    #[test]
    fn a_text_is_no_template(text in "[$%{} a-z.]{0,24}") {
        let mut estate = set("shop.json");
        estate.groups[0].ingress.as_mut().unwrap()[0].description = Some(text.clone());
        if let Ok(printed) = print::terraform(&estate) {
            let back = read::terraform(&printed).unwrap();
            prop_assert!(descriptions(&back).iter().any(|(_, _, said)| *said == text), "{}", printed);
        } else {
            let escape = text.contains("$${") || text.contains("%%{");
            prop_assert!(escape, "refused: {:?}", text);
        }
    }
}

/// What a format cannot say is an error with its place, and nothing is written.
#[test]
fn what_a_format_cannot_say() {
    let change = |change: &dyn Fn(&mut Estate)| {
        let mut estate = set("shop.json");
        change(&mut estate);
        [print::terraform(&estate).err(), print::cloudformation(&estate).err()]
            .map(|why| why.map_or_else(String::new, |why| why.to_string()))
    };
    assert_eq!(change(&|_| {}), ["", ""]);
    assert_eq!(
        change(&|e| e.groups[0].egress = None),
        [
            "${sg:alb}.egress: Terraform cannot say this: nobody told the rules",
            "${sg:alb}.egress: CloudFormation cannot say this: nobody told the rules"
        ]
    );
    let name = change(&|e| e.groups[0].id = "${sg:My Group}".to_owned());
    assert!(name.iter().all(|why| why.contains("the id gives no name")), "{name:?}");
    let twice = change(&|e| {
        let rules = e.groups[0].ingress.as_mut().unwrap();
        rules.push(rules[0].clone());
    });
    assert!(twice[0].contains("twice"), "{twice:?}");
    let many = change(&|e| {
        let rule = |port| Rule::new(Traffic::Tcp(Ports::one(port)), Peer::group("${sg:alb}"));
        e.groups[0].ingress = Some((0..600).map(rule).collect());
    });
    assert!(many[0].is_empty() && many[1].contains("are more than 500"), "{many:?}");
}

/// A logical id has 255 characters at most: that of a rule is cut where the name of its group is long, and stays its own; shorter
/// ones are what they were.
#[test]
fn no_logical_id_of_cloudformation_is_longer_than_it_takes() {
    for (length, prints) in [(200, true), (250, true), (253, true), (254, false)] {
        let id = format!("${{sg:{}}}", "a".repeat(length));
        let rule = |port| Rule::new(Traffic::Tcp(Ports::one(port)), Peer::group(id.clone()));
        let mut group = Group::closed(id.clone());
        group.name = Some("long".to_owned());
        group.description = Some("managed by fwc".to_owned());
        group.ingress = Some(vec![rule(80), rule(443)]);
        let estate = Estate { groups: vec![group], ..Estate::default() };
        let Ok(text) = print::cloudformation(&estate) else {
            assert!(!prints, "{length}");
            continue;
        };
        let template: Value = serde_json::from_str(&text).unwrap();
        let names: Vec<&String> = template["Resources"].as_object().unwrap().keys().collect();
        assert!(prints && names.len() == 3 && names.iter().all(|name| name.len() <= 255), "{names:?}");
        assert_eq!(names.iter().all(|name| name.contains(&"a".repeat(length))), length == 200, "{names:?}");
        assert_eq!(forms(&read::cloudformation(&text).unwrap()), forms(&estate));
    }
}

/// `unprintable`: what one format cannot say of a list that no group wears (else it is `too-many-rules`).
#[test]
fn a_list_longer_than_cloudformation_takes_is_an_error_with_its_place() {
    let place = tempfile::tempdir().unwrap();
    let nets: Vec<String> = (0..101).map(|n| format!("198.18.{n}.0/25")).collect();
    let policy = format!(
        "vpc main {{ 172.31.0.0/16; gateway internet }}\nzone internet {{ rest }}\nzone app {{ 172.31.48.0/20 }} in main\n\
         host web = 172.31.48.10 in app\nsecurity-group front = web\nallow https from internet to web\nlist partners = {}\n",
        nets.join(", ")
    );
    std::fs::write(place.path().join("policy.fw"), policy).unwrap();
    let both = ["compile", "--emit", "prefix-lists", "--emit", "cloudformation", "policy.fw"];
    let said = fwc(place.path(), &both);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("error[unprintable]: aws/template.json cannot be written"), "{said:?}");
    assert!(said.err.contains("policy.fw:7:6") && !place.path().join("build").exists(), "{said:?}");
    // Either by itself is fine.
    for one in ["prefix-lists", "cloudformation"] {
        let said = fwc(place.path(), &["compile", "--emit", one, "policy.fw"]);
        assert_eq!(said.code, Some(0), "{said:?}");
    }
}

/// A stack takes 500 resources: where nobody asked for a template, the other texts are proved without it.
#[test]
fn a_template_that_nobody_asked_for_may_be_too_long() {
    use fwc::compile::{Format, Options, compile};
    let mut text = "vpc v { 10.0.0.0/16; region eu-west-1 }\nzone z { 10.0.1.0/24 } in v\n".to_owned();
    for n in 0..16 {
        text.push_str(&format!("host h{n} = 10.0.1.{} in z\nsecurity-group g{n} = h{n}\n", 10 + n));
    }
    let all = (0..16).map(|n| format!("g{n}")).collect::<Vec<_>>().join(", ");
    text.push_str(&format!("group all = {all}\nallow tcp 8080 from all to all\n"));
    let attempt = |options: Options| {
        let mut sources = fwc::source::SourceMap::default();
        let file = sources.add("policy.fw", &text);
        let mut findings = fwc::diag::Findings::default();
        let mut loader = Beside(PathBuf::new());
        let done = compile(&mut sources, &[file], &mut loader, &options, &mut findings, &|_| {});
        (done, findings.sorted().iter().map(|found| found.message.clone()).collect::<Vec<_>>())
    };
    let both = BTreeSet::from([Format::Terraform, Format::Cloudformation]);
    let too_many = [
        "aws/template.json cannot be written: the document: CloudFormation cannot say this: 528 resources are more than 500",
    ];
    let (done, said) = attempt(Options { emit_if_possible: both.clone(), ..Options::default() });
    let names: Vec<String> = done.unwrap().groups.texts.iter().map(|text| text.file.clone()).collect();
    assert_eq!(names, ["aws/security-groups.json", "aws/main.tf.json"]);
    assert_eq!(said, too_many);
    let (done, said) = attempt(Options { emit: both, ..Options::default() });
    assert!(done.is_none());
    assert_eq!(said, too_many);
}
