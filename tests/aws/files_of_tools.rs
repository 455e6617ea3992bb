//! The suite of files: `corpus/*.files`, what a template or a file of Terraform says with what comes of it.
//!
//! A case is a line `--- name ---`, lines that say what is in the file beside the group `web`, and its verdict after `=`:
//! `accept` or `reject <place>: <why>`. `rule {…}` is an ingress rule of the group, `egress {…}` one of egress, `group {…}` more
//! of the group, `resource NAME {…}` another resource (of Terraform: `resource KIND {…}`).

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use fwc::target::aws::read;
use serde_json::{Map, Value, json};

use crate::peers::tools;
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

/// The cases of a text: a name, what is in the file, its verdict.
fn cases(text: &str) -> Vec<(String, File, String)> {
    let (mut cases, mut file, mut case) = (Vec::new(), File::default(), String::new());
    for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix("--- ").and_then(|line| line.strip_suffix(" ---")) {
            name.clone_into(&mut case);
        } else if let Some(expected) = line.strip_prefix("= ") {
            cases.push((case.clone(), std::mem::take(&mut file), expected.to_owned()));
        } else {
            file.line(line);
        }
    }
    cases
}

#[test]
fn every_file_is_judged_as_its_tool_does() {
    let (mut wrong, mut verdicts, mut rejected) = (Vec::new(), 0, 0);
    for path in files(&folder("corpus"), "files") {
        let text = std::fs::read_to_string(&path).unwrap();
        let is_template = path.file_stem().unwrap() == "cloudformation";
        for (case, file, expected) in cases(&text) {
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
        }
    }
    println!("{verdicts} files, {rejected} of them refused");
    assert!(wrong.is_empty(), "{} of {verdicts}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(verdicts > 60 && rejected > 40, "{verdicts} {rejected}");
}

/// What `docs/aws.md` says of cfn-lint and the templates is so: how many it judges as we do, and each of the others by name.
#[test]
fn cfn_lint_judges_the_templates_as_the_notes_say() {
    let Some(tools) = tools() else { return };
    let text = std::fs::read_to_string(folder("corpus").join("cloudformation.files")).unwrap();
    let place = tempfile::tempdir().unwrap();
    let mut refused: BTreeMap<String, (String, bool)> = BTreeMap::new();
    for (at, (case, file, expected)) in cases(&text).into_iter().enumerate() {
        let path = place.path().join(format!("{at}.json"));
        std::fs::write(&path, file.template()).unwrap();
        refused.insert(path.display().to_string(), (case, expected.starts_with("reject")));
    }
    let mut lint = Command::new(tools.join("bin/cfn-lint"));
    let run = lint.args(["--format", "json", "--"]).args(refused.keys()).output().unwrap();
    let said: Value = serde_json::from_slice(&run.stdout).unwrap();
    let errors = said.as_array().unwrap().iter().filter(|one| one["Level"] == "Error");
    let errors: BTreeSet<&str> = errors.map(|one| one["Filename"].as_str().unwrap()).collect();
    let other: Vec<&str> = refused
        .iter()
        .filter(|(path, (_, ours))| errors.contains(path.as_str()) != *ours)
        .map(|(_, (case, _))| case.as_str())
        .collect();
    let notes = std::fs::read_to_string(folder("../../docs/aws.md")).unwrap();
    let notes = notes.split_whitespace().collect::<Vec<_>>().join(" ");
    let (all, alike) = (refused.len(), refused.len() - other.len());
    let counted = format!("Of the {all} templates cfn-lint 1.58 judges {alike} as we do");
    assert!(notes.contains(&counted), "docs/aws.md does not say: {counted}");
    for case in other {
        assert!(notes.contains(case), "docs/aws.md does not name `{case}`");
    }
}
