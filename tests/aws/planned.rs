//! `fwc plan --aws-live`, as a person uses it: what moto describes goes into a folder, the command plans from it, botocore and moto
//! take its calls as they stand in the file, and what moto then describes is the policy's canonical set.

use std::path::{Path, PathBuf};
use std::process::Command;

use fwc::target::aws::artifact::*;
use fwc::target::aws::read;
use serde_json::{Value, json};

use crate::peers::{Moto, renamed, with_ports};

/// A folder with a policy, and what moto describes.
struct Place {
    dir: tempfile::TempDir,
    peer: Moto,
    vpc: String,
}

/// What the command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// The command in a folder, on a day of the policies' life.
pub(crate) fn fwc(dir: &Path, args: &[&str]) -> Said {
    let run = Command::new(env!("CARGO_BIN_EXE_fwc"))
        .args(args)
        .args(["--at", "2026-11-21"])
        .current_dir(dir)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Said { code: run.status.code(), out: text(run.stdout), err: text(run.stderr) }
}

impl Place {
    fn new(v6: bool) -> Option<Self> {
        let mut peer = Moto::start()?;
        let vpc = peer.fresh(v6);
        Some(Self { dir: tempfile::tempdir().unwrap(), peer, vpc })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A policy in the vpc of moto.
    fn policy(&self, text: &str) {
        std::fs::write(self.path("policy.fw"), text.replace("VPC", &self.vpc)).unwrap();
    }

    /// What moto describes now, in `live`; with the rules one by one or without.
    fn describe(&mut self, records: bool) {
        let all = self.peer.ask(&json!({ "do": "describe" }));
        let live = self.path("live");
        std::fs::create_dir_all(&live).unwrap();
        for kind in ["SecurityGroups", "SecurityGroupRules"] {
            let path = live.join(format!("{kind}.json"));
            if kind == "SecurityGroups" || records {
                std::fs::write(path, json!({ kind: all[kind] }).to_string()).unwrap();
            } else {
                let _ = std::fs::remove_file(path);
            }
        }
    }

    fn fwc(&self, args: &[&str]) -> Said {
        fwc(self.dir.path(), args)
    }

    fn plan(&self) -> Said {
        self.fwc(&["plan", "--aws-live", "live", "-o", "plan.json", "policy.fw"])
    }

    fn steps(&self) -> Vec<Value> {
        let plan: Value =
            serde_json::from_str(&std::fs::read_to_string(self.path("plan.json")).unwrap()).unwrap();
        assert_eq!(plan["format"], "fwc.aws.plan/1");
        plan["steps"].as_array().unwrap().clone()
    }

    /// botocore and moto take the calls as they stand in the file.
    fn carry_out(&mut self, steps: &[Value], about: &str) {
        for step in steps {
            let (op, input) = (&step["op"], &step["input"]);
            let found = self.peer.ask(&json!({ "do": "params", "op": op, "input": input }));
            assert_eq!(found, json!({}), "{about}: botocore of {op} {input}");
            let question = json!({ "do": "call", "op": op, "bind": step.get("bind"), "input": with_ports(input.clone()) });
            let answer = self.peer.ask(&question);
            assert!(answer.get("answer").is_some(), "{about}: moto says {answer} to {op} {input}");
        }
    }

    /// What moto describes has, of the policy's groups, the canonical forms that the policy compiles to.
    fn is_the_policys(&mut self, about: &str) -> Result<(), String> {
        let said = self.fwc(&["compile", "-o", "build", "policy.fw"]);
        assert_eq!(said.code, Some(0), "{about}: {}", said.err);
        let text = std::fs::read_to_string(self.path("build/aws/security-groups.json")).unwrap();
        let Document::Groups(wanted) = read::read(&text).unwrap().document else { panic!("{about}") };
        let (live, _) = self.peer.described();
        let of_name = |name: &Option<String>| live.groups.iter().find(|group| group.name == *name);
        let names = wanted
            .iter()
            .filter_map(|group| Some((group.id.clone(), of_name(&group.name)?.id.clone())))
            .collect();
        for group in &wanted {
            let is = of_name(&group.name).ok_or_else(|| format!("{about}: no {:?}", group.name))?;
            for direction in Direction::BOTH {
                let meant = Canonical::of(&renamed(group.rules(direction).unwrap(), &names));
                if Canonical::of(is.rules(direction).unwrap()) != meant {
                    return Err(format!("{about}: {:?} {}", group.name, direction.word()));
                }
            }
        }
        Ok(())
    }

    /// From what is described to the policy, and then nothing is left to do.
    fn arrive(&mut self, about: &str) -> Said {
        self.describe(true);
        let said = self.plan();
        assert_eq!(said.code, Some(0), "{about}: {}", said.err);
        let steps = self.steps();
        assert!(!steps.is_empty(), "{about}: {said:?}");
        self.carry_out(&steps, about);
        self.is_the_policys(about).unwrap();
        self.nothing_to_do(about);
        said
    }

    fn nothing_to_do(&mut self, about: &str) {
        self.describe(true);
        let said = self.plan();
        assert_eq!((said.code, said.out.as_str()), (Some(0), ""), "{about}: {said:?}");
        assert!(said.err.contains("nothing to do"), "{about}: {said:?}");
        assert_eq!(self.steps(), Vec::<Value>::new(), "{about}: an old plan stays");
        let said = self.fwc(&["verify", "--aws-live", "live", "policy.fw"]);
        assert_eq!(said.code, Some(0), "{about}: {said:?}");
    }

    fn call(&mut self, op: &str, input: &Value) -> Value {
        let answer = self.peer.call(op, input);
        assert!(answer.get("answer").is_some(), "{op}: {answer}");
        answer["answer"].clone()
    }

    fn id_of(&mut self, name: &str) -> String {
        let (live, _) = self.peer.described();
        live.groups.iter().find(|group| group.name.as_deref() == Some(name)).unwrap().id.clone()
    }
}

const HEAD: &str = "\
vpc main { 10.0.0.0/16; id \"VPC\"; gateway internet }
zone net { 10.0.0.0/16 } in main
zone internet { rest }
host web1 = 10.0.0.7 in net
host db1 = 10.0.0.8 in net
security-group web = web1
";

fn first() -> String {
    format!(
        "{HEAD}security-group db = db1\nallow https from anywhere to web\nallow postgres from web to db\n"
    )
}

/// `db` gives its place to `cache`; the web moves to another port.
fn second() -> String {
    format!(
        "{HEAD}security-group cache = db1\nallow tcp 8443 from anywhere to web\nallow redis from web to cache\n"
    )
}

/// The shipped policies: from nothing; with a rule lost and one astray; and then nothing is left to do.
#[test]
fn the_shipped_policies_are_reached_and_kept() {
    for (name, v6) in [("swarm", false), ("ecommerce", true), ("crm-aws", false)] {
        let Some(mut place) = Place::new(v6) else { return };
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies").join(name);
        copy(&folder, place.dir.path());
        let text = std::fs::read_to_string(folder.join("policy.fw")).unwrap();
        let at = text.lines().position(|line| line.starts_with("vpc ")).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let own = text.split('"').find(|word| word.starts_with("vpc-"));
        if own.is_none() {
            lines[at] = lines[at].replacen('{', "{ id \"VPC\";", 1);
        }
        place.policy(&format!("{}\n", lines.join("\n").replace(own.unwrap_or("VPC"), "VPC")));
        let said = place.arrive(name);
        assert!(said.out.contains("create-security-group ${sg:"), "{name}: {}", said.out);
        assert!(said.err.contains("put the id that its call answers with"), "{name}: {}", said.err);
        // Somebody was there by hand.
        let (live, _) = place.peer.described();
        let has = |group: &&Group| {
            let ours = group.name.as_deref().is_some_and(|name| name.starts_with("fwc-"));
            ours && group.ingress.iter().flatten().any(|rule| matches!(rule.traffic, Traffic::Tcp(_)))
        };
        let group = live.groups.iter().find(has).unwrap().id.clone();
        let described = place.peer.ask(&json!({ "do": "describe" }));
        let groups = described["SecurityGroups"].as_array().unwrap();
        let one = groups.iter().find(|of| of["GroupId"] == group).unwrap();
        let of_tcp = |of: &&Value| of["IpProtocol"] == "tcp";
        let lost = one["IpPermissions"].as_array().unwrap().iter().find(of_tcp).unwrap().clone();
        place.call("revoke-security-group-ingress", &json!({ "GroupId": group, "IpPermissions": [lost] }));
        let astray = json!({ "IpProtocol": "tcp", "FromPort": 2323, "ToPort": 2323,
            "IpRanges": [{ "CidrIp": "0.0.0.0/0", "Description": "just for now" }] });
        let call = json!({ "GroupId": group, "IpPermissions": [astray] });
        place.call("authorize-security-group-ingress", &call);
        // The check can fail: moto does not have the policy's set now.
        place.is_the_policys(name).unwrap_err();
        let said = place.arrive(name);
        assert!(said.out.contains("- ") && said.out.contains("`just for now`"), "{name}: {}", said.out);
        assert!(said.out.contains("+ ") && said.out.contains("policy.fw:"), "{name}: {}", said.out);
        assert!(!said.out.contains("create-security-group"), "{name}: {}", said.out);
        println!("{name}: {} calls", said.out.lines().filter(|line| line.contains("security-group")).count());
    }
}

/// The policy changes: what comes is authorized before what goes is revoked, a group goes, and nothing of anybody else's is touched.
#[test]
fn a_changed_policy_touches_its_own_groups_alone() {
    let Some(mut place) = Place::new(false) else { return };
    place.policy(&first());
    place.arrive("first");
    let vpc = place.vpc.clone();
    // A group of nobody's, and one of another policy of ours in another vpc: none in this test's policy.
    let call = json!({ "GroupName": "theirs", "Description": "d", "VpcId": vpc });
    let theirs = place.call("create-security-group", &call)["GroupId"].clone();
    let rule =
        json!({ "IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{ "CidrIp": "0.0.0.0/0" }] });
    place.call("authorize-security-group-ingress", &json!({ "GroupId": theirs, "IpPermissions": [rule] }));
    let stranger = |place: &mut Place| {
        let all = place.peer.ask(&json!({ "do": "describe" }));
        all["SecurityGroups"].as_array().unwrap().iter().find(|of| of["GroupId"] == theirs).unwrap().clone()
    };
    let before = stranger(&mut place);
    place.nothing_to_do("a stranger came");
    place.policy(&second());
    let said = place.arrive("second");
    let at = |words: &str| said.out.find(words).unwrap_or_else(|| panic!("no `{words}` in {}", said.out));
    assert!(
        at("authorize-security-group-ingress sg-") < at("revoke-security-group-ingress sg-"),
        "{}",
        said.out
    );
    assert!(at("create-security-group ${sg:cache}") < at("delete-security-group sg-"), "{}", said.out);
    assert_eq!(stranger(&mut place), before);
    let (live, _) = place.peer.described();
    assert!(live.groups.iter().all(|group| group.name.as_deref() != Some("fwc-db")));
    // The same tag in a vpc that the policy does not have is another policy's.
    let described = std::fs::read_to_string(place.path("live/SecurityGroups.json")).unwrap();
    let mut described: Value = serde_json::from_str(&described).unwrap();
    let mut far = described["SecurityGroups"]
        .as_array()
        .unwrap()
        .iter()
        .find(|of| of["GroupName"] == "fwc-web")
        .unwrap()
        .clone();
    far["GroupId"] = json!("sg-0000000000000beef");
    far["VpcId"] = json!("vpc-0000000000000beef");
    far["GroupName"] = json!("fwc-far");
    described["SecurityGroups"].as_array_mut().unwrap().push(far);
    std::fs::write(place.path("live/SecurityGroups.json"), described.to_string()).unwrap();
    let said = place.plan();
    assert!(said.code == Some(0) && said.err.contains("nothing to do"), "{said:?}");
}

/// What cannot be planned is an error at its line, with nothing written.
#[test]
fn there_is_no_plan_of_what_is_not_known() {
    let Some(mut place) = Place::new(false) else { return };
    place.policy(&first());
    let refused = |place: &Place, words: &str| {
        let said = place.plan();
        assert_eq!(said.code, Some(1), "{words}: {said:?}");
        assert!(said.err.contains("error[no-aws-plan]") && said.err.contains(words), "{words}: {}", said.err);
        assert!(!place.path("plan.json").exists(), "{words}");
    };
    // A group of the name that is not ours.
    let vpc = place.vpc.clone();
    place.call("create-security-group", &json!({ "GroupName": "fwc-web", "Description": "d", "VpcId": vpc }));
    place.describe(false);
    refused(&place, "is not marked as ours");
    // The policy says that it is meant: then it is the policy's.
    let id = place.id_of("fwc-web");
    place.policy(&first().replace("= web1\n", &format!("= web1 id \"{id}\"\n")));
    place.arrive("adopted");
    std::fs::remove_file(place.path("plan.json")).unwrap();
    // An id that nobody described.
    place.policy(&first().replace("= web1\n", "= web1 id \"sg-00000000000000bad\"\n"));
    refused(&place, "sg-00000000000000bad");
    // A description that is not whole: `db` names `web`, which is not there.
    place.policy(&first());
    place.describe(false);
    let path = place.path("live/SecurityGroups.json");
    let mut described: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    described["SecurityGroups"].as_array_mut().unwrap().retain(|of| of["GroupName"] != "fwc-web");
    std::fs::write(&path, described.to_string()).unwrap();
    refused(&place, "which is not described");
    // A vpc without an id, of which nothing is described.
    place.policy(&first().replace("; id \"VPC\"", ""));
    std::fs::write(&path, json!({ "SecurityGroups": [] }).to_string()).unwrap();
    refused(&place, "which vpc of AWS `main` is");
}

/// Sixty rules become sixty others, where the quota has no room for both.
#[test]
fn a_full_group_needs_the_ids_of_its_rules() {
    let Some(mut place) = Place::new(false) else { return };
    let policy = |port: u16| {
        let nets: Vec<String> = (0..58).map(|n| format!("198.51.{n}.0/32")).collect();
        format!("{HEAD}allow tcp {port} from {} to web\n", nets.join(", "))
    };
    place.policy(&policy(80));
    place.arrive("full");
    place.policy(&policy(443));
    place.describe(false);
    let said = place.plan();
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("rules in a security group"), "{}", said.err);
    assert!(said.err.contains("describe-security-group-rules"), "{}", said.err);
    let said = place.arrive("full again");
    assert!(said.out.contains("modify-security-group-rules"), "{}", said.out);
}

/// A plan is written over a plan alone, and never into a build.
#[test]
fn nothing_else_is_overwritten() {
    let Some(mut place) = Place::new(false) else { return };
    place.policy(&first());
    place.describe(true);
    std::fs::write(place.path("plan.json"), "{}").unwrap();
    let said = place.plan();
    assert!(said.code == Some(2) && said.err.contains("is no plan"), "{said:?}");
    assert_eq!(std::fs::read_to_string(place.path("plan.json")).unwrap(), "{}");
    place.is_the_policys("nothing is there").unwrap_err();
    let said = place.fwc(&["plan", "--aws-live", "live", "-o", "build/aws/plan.json", "policy.fw"]);
    assert!(said.code == Some(2) && said.err.contains("a file of a build"), "{said:?}");
    let said = place.fwc(&["plan", "--aws-live", "live", "--format", "json", "policy.fw"]);
    let answer: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(answer["nothing_to_do"], false);
    assert!(answer["allowed"].as_array().unwrap().len() >= 2, "{answer}");
    assert_eq!(answer["denied"], json!([]));
    assert_eq!(answer["plan"]["format"], "fwc.aws.plan/1");
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}
