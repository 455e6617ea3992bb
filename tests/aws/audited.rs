//! What `fwc verify --aws-live` tells whoever audits an account, beside its answer; and accounts with a raised quota.

use serde_json::{Value, json};

use crate::planned::{Said, fwc};

const WEB: &str = "sg-0123456789abcdef0";
const VPC: &str = "vpc-0cccccccccccccc01";

fn policy(more: &str) -> String {
    format!(
        "vpc v {{ 10.70.0.0/16; id \"{VPC}\"; gateway internet; waive aws icmp-errors \"x\" }}\n\
         zone na {{ 10.70.1.0/24 }} in v\nzone internet {{ rest }}\nhost h1 = 10.70.1.11 in na\n{more}"
    )
}

fn group(rules: &Value) -> Value {
    json!({ "SecurityGroups": [{ "GroupId": WEB, "GroupName": "web", "Description": "x", "VpcId": VPC,
        "IpPermissions": rules, "IpPermissionsEgress": [] }] })
}

fn https(nets: &[String]) -> Value {
    let nets: Vec<Value> = nets.iter().map(|net| json!({ "CidrIp": net })).collect();
    json!([{ "IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": nets }])
}

fn interface(id: &str, address: &str, groups: &[&str], more: &Value) -> Value {
    let groups: Vec<Value> = groups.iter().map(|id| json!({ "GroupId": id })).collect();
    let mut all =
        json!({ "NetworkInterfaceId": id, "VpcId": VPC, "PrivateIpAddress": address, "Groups": groups });
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    all
}

/// The answer of a command to a policy and a folder of these answers.
fn asked(command: &[&str], policy: &str, answers: &[Value]) -> Said {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("live")).unwrap();
    for (nth, answer) in answers.iter().enumerate() {
        std::fs::write(dir.path().join(format!("live/{nth}.json")), answer.to_string()).unwrap();
    }
    std::fs::write(dir.path().join("policy.fw"), policy).unwrap();
    fwc(dir.path(), command)
}

const VERIFY: [&str; 4] = ["verify", "--aws-live", "live", "policy.fw"];

/// With the interfaces: the policy has `h1` in `web`, and https from one network.
fn audited(member: &str, interfaces: &[Value]) -> Said {
    let text = policy(&format!("{member}\nallow https from 203.0.113.0/24 to web\n"));
    let rules = https(&["203.0.113.0/24".to_owned()]);
    asked(&VERIFY, &text, &[group(&rules), json!({ "NetworkInterfaces": interfaces })])
}

#[test]
fn who_wears_a_group_and_is_nobody_of_the_policy_is_named() {
    let known = "security-group web = h1 id \"sg-0123456789abcdef0\"";
    let none = json!({});
    let own = interface("eni-1", "10.70.1.11", &[WEB], &none);
    let stranger = interface("eni-2", "10.70.1.66", &[WEB], &none);
    let said = audited(known, std::slice::from_ref(&own));
    assert!(said.code == Some(0) && !said.out.contains("no machine of the policy"), "{said:?}");
    let said = audited(known, &[own.clone(), stranger.clone()]);
    let note = "note: eni-2 (10.70.1.66) wears sg-0123456789abcdef0 and is no machine of the policy";
    assert!(said.code == Some(0) && said.out.contains(note) && said.out.contains("proved"), "{said:?}");
    // Where a member's address is not known, it may be that one.
    let any = "host task = dynamic in na\nsecurity-group web = h1, task id \"sg-0123456789abcdef0\"";
    let said = audited(any, &[own, stranger]);
    assert!(said.code == Some(0) && !said.out.contains("no machine of the policy"), "{said:?}");
}

#[test]
fn what_a_member_has_beside_its_address_is_named() {
    let known = "security-group web = h1 id \"sg-0123456789abcdef0\"";
    let more = json!({ "SourceDestCheck": false, "Ipv6Addresses": [{ "Ipv6Address": "2001:db8::66" }] });
    let said = audited(known, &[interface("eni-1", "10.70.1.11", &[WEB], &more)]);
    assert!(said.code == Some(0), "{said:?}");
    for note in ["note: `h1` (eni-1) has 2001:db8::66 too", "note: `h1` (eni-1) has no SourceDestCheck"] {
        assert!(said.out.contains(note), "{said:?}");
    }
}

#[test]
fn by_which_public_addresses_a_member_is_reached_is_named() {
    let known = "security-group web = h1 id \"sg-0123456789abcdef0\"";
    let reached = json!({ "Association": { "PublicIp": "198.51.100.77" } });
    let said = audited(known, &[interface("eni-1", "10.70.1.11", &[WEB], &reached)]);
    assert!(said.code == Some(0), "{said:?}");
    assert!(said.out.contains("note: `h1` (eni-1) is reached by 198.51.100.77 too, of which"), "{said:?}");
}

#[test]
fn an_interface_without_groups_is_said_to_let_everything_pass() {
    let known = "security-group web = h1 id \"sg-0123456789abcdef0\"";
    let said = audited(known, &[interface("eni-1", "10.70.1.11", &[], &json!({}))]);
    let refuted =
        "refuted  `h1` (eni-1) wears no group, which lets everything pass; meant: sg-0123456789abcdef0";
    assert!(said.code == Some(1) && said.out.contains(refuted), "{said:?}");
}

/// What is not known of an interface is so both ways, and is said once.
#[test]
fn what_is_undecided_is_said_once() {
    let known = "security-group web = h1 id \"sg-0123456789abcdef0\"";
    let all = [
        interface("eni-1", "10.70.1.11", &[WEB], &json!({})),
        interface("eni-3", "10.70.1.77", &["sg-00000000000000009"], &json!({})),
    ];
    let said = audited(known, &all);
    assert_eq!(said.out.matches("undecided  eni-3").count(), 1, "{said:?}");
    assert_eq!(said.code, Some(2), "{said:?}");
}

/// Seventy rules in one group: the account's quota was raised, and a policy of it is proved of that account.
#[test]
fn a_group_beyond_the_usual_quota_is_imported_and_proved() {
    let nets: Vec<String> = (0..70).map(|n| format!("198.18.{}.0/24", 2 * n)).collect();
    let live = group(&https(&nets));
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("groups.json"), live.to_string()).unwrap();
    let mut import = std::process::Command::new(env!("CARGO_BIN_EXE_fwc"));
    let done = import.args(["import", "aws"]).arg(dir.path()).output().unwrap();
    let (imported, told) = (String::from_utf8(done.stdout).unwrap(), String::from_utf8(done.stderr).unwrap());
    assert!(done.status.success(), "{told}");
    let note = format!("note: `{WEB}` has more rules than the quota of 60");
    assert!(told.contains(&note) && told.contains("1 of them in parts"), "{told}");
    let said = asked(&VERIFY, &imported, std::slice::from_ref(&live));
    assert!(said.code == Some(0) && said.out.contains("proved: 1 group"), "{said:?}");
    let said = asked(&["plan", "--aws-live", "live", "policy.fw"], &imported, std::slice::from_ref(&live));
    assert!(said.code == Some(0) && said.out.contains("no packet is treated differently"), "{said:?}");
    // A rule less, and more than the usual quota all the same.
    let less = group(&https(nets.get(1..).unwrap()));
    let said = asked(&VERIFY, &imported, std::slice::from_ref(&less));
    assert!(said.code == Some(1) && !said.out.contains("proved"), "{said:?}");
    // A machine of a known address wears the one group.
    let text = policy(&format!(
        "security-group web = h1 id \"{WEB}\"\nlist far = {}\nallow https from far to web\n",
        nets.join(", ")
    ));
    let worn = interface("eni-1", "10.70.1.11", &[WEB], &json!({}));
    let said = asked(&VERIFY, &text, &[live, json!({ "NetworkInterfaces": [worn] })]);
    assert!(said.code == Some(0) && said.out.contains("proved"), "{said:?}");
}

/// A folder of something else is no account without groups.
#[test]
fn a_folder_without_answers_is_no_account() {
    let text = policy("security-group web = h1\nallow https from 203.0.113.0/24 to web\n");
    for command in ["verify", "plan"] {
        let said = asked(&[command, "--aws-live", "live", "policy.fw"], &text, &[json!({ "Foo": 1 })]);
        assert!(!said.out.contains("refuted") && said.err.contains("holds no answer of EC2"), "{said:?}");
        assert_eq!(said.code, Some(2), "{said:?}");
    }
    let none = asked(&VERIFY, &text, &[json!({ "SecurityGroups": [] })]);
    assert!(none.code == Some(1) && none.out.contains("is not there"), "{none:?}");
}

/// A file that was cut off says nothing, and nothing is wrong with that.
#[test]
fn an_empty_policy_is_an_error() {
    for (text, code) in [("", 1), ("# only a comment\n", 1), ("zone a { 10.0.0.0/24 }\n", 0)] {
        for command in ["check", "verify", "compile"] {
            let said = asked(&[command, "policy.fw"], text, &[]);
            assert_eq!(said.code, Some(code), "{command} {text:?}: {said:?}");
            let told = said.out.contains("error[empty-policy]") || said.err.contains("error[empty-policy]");
            assert_eq!(told, code == 1, "{command} {text:?}: {said:?}");
        }
    }
}

/// Nor does one that only names files which say nothing.
#[test]
fn a_policy_of_empty_files_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("main.fw"), "include \"policy.fw\"\n").unwrap();
    for (text, code) in [("", 1), ("zone a { 10.0.0.0/24 }\n", 0)] {
        std::fs::write(dir.path().join("policy.fw"), text).unwrap();
        let said = fwc(dir.path(), &["check", "main.fw"]);
        assert_eq!(said.code, Some(code), "{text:?}: {said:?}");
    }
}

#[test]
fn formats_of_groups_without_groups_are_said_to_be_nothing() {
    let said = asked(&["compile", "--emit", "terraform", "policy.fw"], "zone a { 10.0.0.0/24 }\n", &[]);
    assert!(said.code == Some(0) && said.err.contains("the policy has no security group"), "{said:?}");
}
