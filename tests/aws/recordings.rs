//! Recordings as a person has them: which of two lets more through, whether one is whole, and who wears what in it.

use std::process::Command;

use serde_json::{Value, json};

const VPC: &str = "vpc-0123456789abcdef0";
/// Lets nobody in but who may reach HTTPS.
const WEB: &str = "sg-0000000000000000a";
/// Lets everybody in.
const WIDE: &str = "sg-0000000000000000b";

/// A folder of answers by file name, and what fwc says of it.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn answer(&self, file: &str, answer: &Value) -> &Self {
        let path = self.0.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, answer.to_string()).unwrap();
        self
    }

    fn policy(&self, text: &str) -> &Self {
        std::fs::write(self.0.path().join("policy.fw"), text).unwrap();
        self
    }

    /// The exit code, and all that is said.
    fn fwc(&self, args: &[&str]) -> (Option<i32>, String) {
        let run = Command::new(env!("CARGO_BIN_EXE_fwc"))
            .args(args)
            .args(if ["diff", "import"].contains(&args[0]) { &[][..] } else { &["--at", "2026-11-21"] })
            .current_dir(self.0.path())
            .output()
            .unwrap();
        let said = [run.stdout, run.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        (run.status.code(), said.join(""))
    }

    fn widens(&self) -> (Option<i32>, String) {
        self.fwc(&["diff", "old", "new", "--deny-widening"])
    }
}

fn group(id: &str, name: &str, ingress: &Value) -> Value {
    json!({ "GroupId": id, "GroupName": name, "Description": "d", "VpcId": VPC,
        "IpPermissions": ingress, "IpPermissionsEgress": [] })
}

fn tcp(port: u16, net: &str) -> Value {
    json!({ "IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": [{ "CidrIp": net }] })
}

fn groups(groups: &[Value]) -> Value {
    json!({ "SecurityGroups": groups })
}

fn both() -> Value {
    groups(&[
        group(WEB, "web", &json!([tcp(443, "198.51.100.0/24")])),
        group(WIDE, "wide", &json!([tcp(22, "0.0.0.0/0"), tcp(443, "0.0.0.0/0")])),
    ])
}

fn interface(id: &str, vpc: &str, address: &str, wears: &[&str]) -> Value {
    let wears: Vec<Value> = wears.iter().map(|id| json!({ "GroupId": id })).collect();
    json!({ "NetworkInterfaceId": id, "VpcId": vpc, "SubnetId": "subnet-1", "PrivateIpAddress": address,
        "PrivateIpAddresses": [{ "PrivateIpAddress": address, "Primary": true }], "Groups": wears })
}

fn interfaces(all: &[Value]) -> Value {
    json!({ "NetworkInterfaces": all })
}

fn policy(addresses: &str) -> String {
    format!(
        "vpc main {{ 10.0.0.0/16; id \"{VPC}\"; gateway internet; waive aws icmp-errors \"as it is\" }}\n\
         zone app {{ 10.0.1.0/24 }} in main\nzone internet {{ rest }}\n\
         host w {{ eth0 {addresses} in app }}\nsecurity-group web = w id \"{WEB}\"\n\
         list off = 198.51.100.0/24\nallow https from off to web\n"
    )
}

/// The same groups, worn by others, let other packets through.
#[test]
fn an_interface_that_wears_another_group_widens() {
    let place = Place::new();
    place.answer("old/groups.json", &both()).answer("new/groups.json", &both());
    place.answer("old/eni.json", &interfaces(&[interface("eni-1", VPC, "10.0.1.10", &[WEB])]));
    place.answer("new/eni.json", &interfaces(&[interface("eni-1", VPC, "10.0.1.10", &[WIDE])]));
    let (code, said) = place.widens();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("~ interface eni-1, ingress\n    passes now: tcp/22 from "), "{said}");
    let (code, said) = place.fwc(&["diff", "new", "old", "--deny-widening"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("passes no more: tcp/22 from "), "{said}");
}

/// Groups are about addresses, and one that is not checked sends from those of others.
#[test]
fn an_interface_that_lost_its_check_widens() {
    let place = Place::new();
    place.answer("old/groups.json", &both()).answer("new/groups.json", &both());
    let with = |check: Value| {
        let mut one = interface("eni-1", VPC, "10.0.1.10", &[WEB]);
        one.as_object_mut().unwrap().insert("SourceDestCheck".to_owned(), check);
        interfaces(&[one])
    };
    place.answer("old/eni.json", &with(json!(true))).answer("new/eni.json", &with(json!(false)));
    let (code, said) = place.widens();
    assert_eq!(code, Some(1), "{said}");
    let off =
        "~ interface eni-1: SourceDestCheck is off now: it may send from addresses that are not its own";
    assert!(said.contains(off), "{said}");
    let (code, said) = place.fwc(&["diff", "new", "old", "--deny-widening"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("~ interface eni-1: SourceDestCheck is on now"), "{said}");
    let (_, said) = place.fwc(&["diff", "old", "new", "--format", "json"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["checks"], json!([{ "interface": "eni-1", "source_dest_check": false }]));
    // Told by one alone it is neither the same nor another.
    place.answer("new/eni.json", &interfaces(&[interface("eni-1", VPC, "10.0.1.10", &[WEB])]));
    let (code, said) = place.fwc(&["diff", "old", "new"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("? eni-1: not compared: whether `eni-1` has SourceDestCheck was told by one"),
        "{said}"
    );
}

/// Groups look at private addresses; who has a public one besides is reached by it, and by IPv6 where it had none.
#[test]
fn an_interface_that_is_reached_by_another_address_widens() {
    let place = Place::new();
    place.answer("old/groups.json", &both()).answer("new/groups.json", &both());
    let with = |key: &str, value: Value| {
        let mut one = interface("eni-1", VPC, "10.0.1.10", &[WIDE]);
        one.as_object_mut().unwrap().insert(key.to_owned(), value);
        interfaces(&[one])
    };
    let plain = with("SourceDestCheck", json!(true));
    for (key, value, address) in [
        ("Association", json!({ "PublicIp": "198.51.100.77" }), "198.51.100.77"),
        ("Ipv6Addresses", json!([{ "Ipv6Address": "2001:db8::7" }]), "2001:db8::7"),
    ] {
        let mut reached = with(key, value);
        reached["NetworkInterfaces"][0]["SourceDestCheck"] = json!(true);
        place.answer("old/eni.json", &plain).answer("new/eni.json", &reached);
        let (code, said) = place.widens();
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(&format!("~ interface eni-1: reached by {address}")), "{said}");
        let (code, said) = place.fwc(&["diff", "new", "old", "--deny-widening"]);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains(&format!("~ interface eni-1: no longer reached by {address}")), "{said}");
        let (_, said) = place.fwc(&["diff", "old", "new", "--format", "json"]);
        let said: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(said["reached"], json!([{ "interface": "eni-1", "more": [address], "less": [] }]));
    }
}

/// The same of two policies, whoever wears a group or none.
#[test]
fn a_public_address_in_a_policy_widens() {
    let place = Place::new();
    for worn in ["", "security-group asg = app\nallow https from internet to app\n"] {
        let policy = |public: &str| {
            format!(
                "vpc main {{ 10.1.0.0/16; gateway internet }}\nzone n {{ 10.1.1.0/24 }} in main\nzone internet {{ rest }}\n\
                 host web = 10.1.1.10 in n\nhost app = 10.1.1.20{public} in n\n{worn}"
            )
        };
        let path = |name: &str| place.0.path().join(name);
        std::fs::write(path("old.fw"), policy("")).unwrap();
        std::fs::write(path("new.fw"), policy(" public 198.51.100.77")).unwrap();
        let (code, said) = place.fwc(&["diff", "old.fw", "new.fw", "--deny-widening"]);
        assert_eq!(code, Some(1), "{said}");
        assert!(
            said.contains("reached by 198.51.100.77") && said.contains("1 difference, 1 let more"),
            "{said}"
        );
        let (code, said) = place.fwc(&["diff", "new.fw", "old.fw", "--deny-widening"]);
        assert_eq!(code, Some(0), "{said}");
        let (code, said) = place.fwc(&["diff", "new.fw", "new.fw", "--deny-widening"]);
        assert!(code == Some(0) && said.contains("the same for every packet"), "{said}");
    }
}

/// A new one that is not checked is wider, whatever its groups let through.
#[test]
fn a_new_interface_without_a_check_widens() {
    let place = Place::new();
    place.answer("old/groups.json", &both()).answer("new/groups.json", &both());
    let one = interface("eni-1", VPC, "10.0.1.10", &[WEB]);
    let mut two = interface("eni-2", VPC, "10.0.1.11", &[WEB]);
    two["SourceDestCheck"] = json!(false);
    place.answer("old/eni.json", &interfaces(std::slice::from_ref(&one)));
    place.answer("new/eni.json", &interfaces(&[one, two]));
    let (code, said) = place.widens();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("~ interface eni-2: SourceDestCheck is off now"), "{said}");
}

/// A group that is made wider passes nothing more where nobody wears it, but for any member it does.
#[test]
fn an_interface_that_was_not_there_widens_by_what_it_lets_through() {
    let place = Place::new();
    place.answer("old/groups.json", &both()).answer("new/groups.json", &both());
    let one = interface("eni-1", VPC, "10.0.1.10", &[WEB]);
    place.answer("old/eni.json", &interfaces(std::slice::from_ref(&one)));
    place.answer("new/eni.json", &interfaces(&[one, interface("eni-2", VPC, "10.0.1.11", &[WIDE])]));
    let (code, said) = place.widens();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("~ interface eni-2, ingress, was not there\n    passes now: tcp/22 "), "{said}");
    let (code, said) = place.fwc(&["diff", "new", "old", "--deny-widening"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("~ interface eni-2, ingress, not there any more"), "{said}");
}

/// Who wears a new group is told by the interfaces, or is not told.
#[test]
fn a_new_group_widens_where_somebody_wears_it_or_nobody_is_described() {
    let place = Place::new();
    let old = groups(&[group(WEB, "web", &json!([tcp(443, "198.51.100.0/24")]))]);
    place.answer("old/groups.json", &old).answer("new/groups.json", &both());
    let (code, said) = place.widens();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("note: `old` describes no interface: who wears what was not compared"), "{said}");
    let one = interfaces(&[interface("eni-1", VPC, "10.0.1.10", &[WEB])]);
    place.answer("old/eni.json", &one).answer("new/eni.json", &one);
    assert_eq!(place.widens().0, Some(0));
    place.answer("new/eni.json", &interfaces(&[interface("eni-1", VPC, "10.0.1.10", &[WEB, WIDE])]));
    let (code, said) = place.widens();
    assert_eq!(code, Some(1), "{said}");
}

/// What is on a page that is not there may be anything.
#[test]
fn an_answer_without_its_last_page_is_none() {
    let place = Place::new();
    place.policy(&policy("10.0.1.10"));
    let mut page = groups(&[group(WEB, "web", &json!([tcp(443, "198.51.100.0/24")]))]);
    place.answer("live/1.json", &page);
    assert_eq!(place.fwc(&["verify", "--aws-live", "live", "policy.fw"]).0, Some(0));
    page["NextToken"] = json!("eyJ");
    place.answer("live/1.json", &page);
    let commands: [&[&str]; 4] = [
        &["verify", "--aws-live", "live", "policy.fw"],
        &["plan", "--aws-live", "live", "policy.fw"],
        &["import", "aws", "live"],
        &["diff", "live", "live"],
    ];
    for command in commands {
        let (code, said) = place.fwc(command);
        assert_eq!(code, Some(2), "{command:?}: {said}");
        assert!(said.contains("`live/1.json` is not the whole answer: it goes on at a page"), "{said}");
        assert!(said.contains("`aws ec2 describe-security-groups` without `--max-items`"), "{said}");
    }
    // The last page, of the same call.
    place.answer("live/eni.json", &interfaces(&[]));
    assert_eq!(place.fwc(commands[0]).0, Some(2));
    place.answer("live/2.json", &groups(&[]));
    let (code, said) = place.fwc(commands[0]);
    assert_eq!(code, Some(0), "{said}");
    place.answer("live/vpcs.json", &json!({ "Vpcs": [], "NextToken": "eyJ" }));
    let (code, said) = place.fwc(commands[1]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("`aws ec2 describe-vpcs` without"), "{said}");
}

/// A machine has two addresses on two interfaces: both are asked.
#[test]
fn every_interface_of_a_machine_is_asked() {
    let place = Place::new();
    place.policy(&policy("10.0.1.10, 10.0.1.11")).answer("live/groups.json", &both());
    let first = interface("eni-1", VPC, "10.0.1.10", &[WEB]);
    let live = |second: &[&str]| interfaces(&[first.clone(), interface("eni-2", VPC, "10.0.1.11", second)]);
    let verify = ["verify", "--aws-live", "live", "policy.fw"];
    place.answer("live/eni.json", &live(&[WEB]));
    let (code, said) = place.fwc(&verify);
    assert_eq!(code, Some(0), "{said}");
    place.answer("live/eni.json", &live(&[WEB, WIDE]));
    let (code, said) = place.fwc(&verify);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&format!("refuted  `w` (eni-2) wears {WEB}, {WIDE}; meant: {WEB}")), "{said}");
    assert!(said.contains("passes for it: ingress tcp/22 from "), "{said}");
    place.answer("live/eni.json", &interfaces(std::slice::from_ref(&first)));
    let (code, said) = place.fwc(&verify);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("refuted  no described interface has 10.0.1.11, of `w`"), "{said}");
}

/// Another vpc may have the same address: that is another machine.
#[test]
fn the_address_of_another_vpc_is_another_machine() {
    let place = Place::new();
    place.policy(&policy("10.0.1.10")).answer("live/groups.json", &both());
    let other = interface("eni-0", "vpc-0fffffffffffffff0", "10.0.1.10", &[]);
    let own = interface("eni-1", VPC, "10.0.1.10", &[WEB]);
    place.answer("live/eni.json", &interfaces(&[other, own]));
    let (code, said) = place.fwc(&["verify", "--aws-live", "live", "policy.fw"]);
    assert_eq!(code, Some(0), "{said}");
}

/// EC2 gives a new group of a vpc with IPv6 a rule that lets all out by it: an address of such an interface tells as well as the
/// vpc itself; where neither does, that is said.
#[test]
fn a_new_group_loses_its_rule_of_ipv6_where_an_interface_has_it() {
    let place = Place::new();
    let text = policy("10.0.1.10").replace(&format!(" id \"{WEB}\""), "");
    let old = group("sg-0000000000000000c", "default", &json!([]));
    place.policy(&text).answer("live/groups.json", &groups(&[old]));
    let plan = ["plan", "--aws-live", "live", "--format", "json", "policy.fw"];
    let (code, said) = place.fwc(&plan);
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("::/0"), "{said}");
    assert!(said.contains(&format!("note: whether {VPC} has IPv6 is taken from the policy")), "{said}");
    let mut six = interface("eni-9", VPC, "10.0.9.9", &["sg-0000000000000000c"]);
    six["Ipv6Addresses"] = json!([{ "Ipv6Address": "2001:db8::9" }]);
    place.answer("live/eni.json", &interfaces(&[six]));
    let (code, said) = place.fwc(&plan);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("::/0"), "{said}");
    // Beside the groups in one file, as some record it.
    let mut all = groups(&[group("sg-0000000000000000c", "default", &json!([]))]);
    all["Vpcs"] = json!([{ "VpcId": VPC, "CidrBlock": "10.0.0.0/16" }]);
    place.answer("live/groups.json", &all).answer("live/eni.json", &interfaces(&[]));
    let (code, said) = place.fwc(&plan);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        !said.contains("::/0") && !said.contains("note: whether") && !said.contains("not read"),
        "{said}"
    );
}

/// A prefix list of AWS's own: one call tells all but its networks, the other one those.
#[test]
fn two_answers_of_a_prefix_list_are_one() {
    let place = Place::new();
    let id = "pl-0123456789abcdef0";
    let rule = json!({ "IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "PrefixListIds": [{ "PrefixListId": id }] });
    place.answer("live/groups.json", &groups(&[group(WEB, "web", &json!([rule]))]));
    let list = |more: Value| {
        let mut list = json!({ "PrefixListId": id, "PrefixListName": "com.amazonaws.eu-west-1.s3" });
        list.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "PrefixLists": [list] })
    };
    place.answer("live/managed.json", &list(json!({ "AddressFamily": "IPv4", "OwnerId": "AWS" })));
    place.answer("live/networks.json", &list(json!({ "Cidrs": ["198.51.100.0/24"] })));
    let entries = json!({ "Entries": [{ "Cidr": "198.51.100.0/24" }] });
    place.answer(&format!("live/entries-{id}.json"), &entries);
    let (code, said) = place.fwc(&["diff", "live", "live"]);
    assert_eq!(code, Some(0), "{said}");
    let entries = json!({ "Entries": [{ "Cidr": "203.0.113.0/24" }] });
    place.answer(&format!("live/entries-{id}.json"), &entries);
    let (code, said) = place.fwc(&["diff", "live", "live"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("is described twice, and not alike"), "{said}");
}

/// `describe-security-group-rules` alone tells no names: nothing is then nothing's namesake.
#[test]
fn groups_without_names_are_known_by_their_ids_alone() {
    let rule = |group: &str, port: u16, net: &str| {
        json!({ "SecurityGroupRuleId": format!("sgr-{group}"), "GroupId": group, "GroupOwnerId": "111111111111",
            "IsEgress": false, "IpProtocol": "tcp", "FromPort": port, "ToPort": port, "CidrIpv4": net })
    };
    let (known, wide) = (rule(WEB, 443, "10.0.0.0/8"), rule(WIDE, 8080, "0.0.0.0/0"));
    let rules = |all: &[&Value]| json!({ "SecurityGroupRules": all });
    let place = Place::new();
    place.answer("old/rules.json", &rules(&[&known])).answer("new/rules.json", &rules(&[&known, &wide]));
    let (code, said) = place.widens();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&format!("+ group {WIDE}: was not there")), "{said}");
    place.answer("new/rules.json", &rules(&[&wide]));
    let (code, said) = place.widens();
    assert_eq!(code, Some(1), "{said}");
    place.answer("new/rules.json", &rules(&[&known]));
    assert_eq!(place.widens().0, Some(0));
}

fn by_list(networks: Option<&[&str]>, folder: &str, place: &Place) {
    let id = "pl-0123456789abcdef0";
    let rule = json!({ "IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "PrefixListIds": [{ "PrefixListId": id }] });
    place.answer(&format!("{folder}/groups.json"), &groups(&[group(WEB, "web", &json!([rule]))]));
    let list =
        json!({ "PrefixListId": id, "PrefixListName": "off", "AddressFamily": "IPv4", "MaxEntries": 10 });
    place.answer(&format!("{folder}/lists.json"), &json!({ "PrefixLists": [list] }));
    let entries: Vec<Value> = networks.unwrap_or_default().iter().map(|net| json!({ "Cidr": net })).collect();
    if networks.is_some() {
        place.answer(&format!("{folder}/entries-{id}.json"), &json!({ "Entries": entries }));
    }
}

/// By what they hold, and not by how it is written; what nobody told is not nothing.
#[test]
fn prefix_lists_are_compared_by_their_addresses() {
    let whole: &[&str] = &["198.51.100.0/24"];
    let (half, halves): (&[&str], &[&str]) =
        (&["198.51.100.0/25"], &["198.51.100.0/25", "198.51.100.128/25"]);
    for (old, new, code, what) in [
        (Some(whole), Some(half), 0, "    - 198.51.100.128/25\n"),
        (Some(half), Some(whole), 1, "    + 198.51.100.128/25\n"),
        (Some(whole), Some(halves), 0, "no difference"),
        (None, Some(&["0.0.0.0/0"][..]), 2, "? pl-0123456789abcdef0: not compared"),
        (Some(whole), None, 2, "? pl-0123456789abcdef0: not compared"),
        // The same list on both sides, whoever is in it.
        (None, None, 0, ""),
    ] {
        let place = Place::new();
        by_list(old, "old", &place);
        by_list(new, "new", &place);
        let (found, said) = place.widens();
        assert_eq!(found, Some(code), "{old:?} {new:?}: {said}");
        assert!(said.contains(what), "{old:?} {new:?}: {said}");
    }
}

/// Answers pass at every interface: one more that lets nothing in is none that is wider.
#[test]
fn a_new_interface_that_admits_nothing_is_not_wider() {
    let place = Place::new();
    let all = groups(&[group(WEB, "web", &json!([]))]);
    place.answer("old/groups.json", &all).answer("new/groups.json", &all);
    let one = interface("eni-1", VPC, "10.0.1.10", &[WEB]);
    place.answer("old/eni.json", &interfaces(std::slice::from_ref(&one)));
    place.answer("new/eni.json", &interfaces(&[one, interface("eni-2", VPC, "10.0.1.11", &[WEB])]));
    let (code, said) = place.widens();
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("passes now"), "{said}");
}
