//! The suite of files: `corpus/*.files`, what a template or a file of Terraform says with what comes of it.
//!
//! A case is a line `--- name ---`, lines that say what is in the file beside the group `web`, and its verdict after `=`:
//! `accept` or `reject <place>: <why>`. `rule {…}` is an ingress rule of the group, `egress {…}` one of egress, `group {…}` more
//! of the group, `resource NAME {…}` another resource (of Terraform: `resource KIND {…}`).

use fwc::target::aws::read;
use serde_json::{Map, Value, json};

use crate::{files, folder};

#[derive(Default)]
struct File {
    group: Map<String, Value>,
    ingress: Vec<Value>,
    egress: Vec<Value>,
    resources: Vec<(String, Value)>,
}

impl File {
    fn line(&mut self, line: &str) {
        let (word, rest) = line.split_once(' ').unwrap();
        let json =
            |text: &str| serde_json::from_str::<Value>(text).unwrap_or_else(|why| panic!("{line}: {why}"));
        match word {
            "rule" => self.ingress.push(json(rest)),
            "egress" => self.egress.push(json(rest)),
            "group" => self.group.extend(json(rest).as_object().unwrap().clone()),
            "resource" => {
                let (name, rest) = rest.split_once(' ').unwrap();
                self.resources.push((name.to_owned(), json(rest)));
            }
            other => panic!("{other}"),
        }
    }

    fn template(self) -> String {
        let mut group = self.group;
        group.entry("GroupDescription").or_insert_with(|| json!("managed by fwc"));
        for (key, rules) in [("SecurityGroupIngress", self.ingress), ("SecurityGroupEgress", self.egress)] {
            if !rules.is_empty() {
                group.insert(key.to_owned(), Value::Array(rules));
            }
        }
        let mut resources = Map::new();
        resources
            .insert("Sgweb".to_owned(), json!({ "Type": "AWS::EC2::SecurityGroup", "Properties": group }));
        resources.extend(self.resources);
        json!({ "Resources": resources }).to_string()
    }

    fn terraform(self) -> String {
        let mut kinds: Map<String, Value> = Map::new();
        let mut group = self.group;
        group.entry("name").or_insert_with(|| json!("web"));
        kinds.insert("aws_security_group".to_owned(), json!({ "web": group }));
        for (way, rules) in [("ingress", self.ingress), ("egress", self.egress)] {
            let rules = rules.into_iter().enumerate().map(|(at, mut rule)| {
                let of = rule.as_object_mut().unwrap();
                of.entry("security_group_id").or_insert_with(|| json!("${aws_security_group.web.id}"));
                (format!("r{at}"), rule)
            });
            let rules: Map<String, Value> = rules.collect();
            if !rules.is_empty() {
                kinds.insert(format!("aws_vpc_security_group_{way}_rule"), Value::Object(rules));
            }
        }
        for (kind, resource) in self.resources {
            let of = kinds.entry(kind).or_insert_with(|| json!({}));
            of.as_object_mut().unwrap().insert("other".to_owned(), resource);
        }
        json!({ "resource": kinds }).to_string()
    }
}

#[test]
fn every_file_is_judged_as_its_tool_does() {
    let (mut wrong, mut verdicts, mut rejected) = (Vec::new(), 0, 0);
    for path in files(&folder("corpus"), "files") {
        let text = std::fs::read_to_string(&path).unwrap();
        let is_template = path.file_stem().unwrap() == "cloudformation";
        let (mut file, mut case) = (File::default(), String::new());
        for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
            if let Some(name) = line.strip_prefix("--- ").and_then(|line| line.strip_suffix(" ---")) {
                name.clone_into(&mut case);
            } else if let Some(expected) = line.strip_prefix("= ") {
                let file = std::mem::take(&mut file);
                let read = if is_template {
                    read::cloudformation(&file.template())
                } else {
                    read::terraform(&file.terraform())
                };
                let said = read.map_or_else(
                    |why| format!("reject {why}"),
                    |estate| {
                        let web = &estate.groups.iter().find(|group| group.id == "${sg:web}").unwrap();
                        let count = |rules: &Option<Vec<_>>| rules.as_ref().unwrap().len();
                        format!("accept {} in, {} out", count(&web.ingress), count(&web.egress))
                    },
                );
                verdicts += 1;
                rejected += usize::from(said.starts_with("reject"));
                if said != expected {
                    wrong.push(format!("{case}\n    says {said}\n    not  {expected}"));
                }
            } else {
                file.line(line);
            }
        }
    }
    println!("{verdicts} files, {rejected} of them refused");
    assert!(wrong.is_empty(), "{} of {verdicts}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(verdicts > 60 && rejected > 40, "{verdicts} {rejected}");
}
