//! `fwc diff` of two policies, and of two builds: what their security groups do differently, and who wears them.

use std::process::Command;

const OLD: &str = "vpc cloud { 10.0.0.0/16; gateway internet }\n\
    zone app { 10.0.1.0/24 } in cloud\nzone data { 10.0.2.0/24 } in cloud\nzone internet { rest }\n\
    host s1 = 10.0.1.11 in app\nhost s2 = 10.0.1.12 in app\nhost job = dynamic in app\nhost db1 = 10.0.2.11 in data\n\
    security-group web = s1, s2\nsecurity-group db = db1\nsecurity-group jobs = job\n\
    allow https from internet to web { waive aws complement \"x\" }\n\
    allow postgres from web to db\nallow tcp 9000 from jobs to db\n";

const LISTING: &str =
    "table inet t {\n\tchain c {\n\t\ttype filter hook input priority filter; policy drop;\n\t}\n}\n";

/// A folder with an old and a new policy, and what fwc says of the two.
struct Place(tempfile::TempDir);

impl Place {
    fn new(edits: &[(&str, &str)]) -> Self {
        Self::of(OLD, edits)
    }

    fn of(old: &str, edits: &[(&str, &str)]) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let mut new = old.to_owned();
        for (from, to) in edits {
            assert!(new.contains(from), "`{from}` is not there");
            new = new.replace(from, to);
        }
        place.write("old.fw", old);
        place.write("new.fw", &new);
        place
    }

    fn write(&self, file: &str, text: &str) {
        std::fs::write(self.0.path().join(file), text).unwrap();
    }

    /// The exit code, and what is said on stdout.
    fn fwc(&self, args: &[&str]) -> (Option<i32>, String) {
        let run = Command::new(env!("CARGO_BIN_EXE_fwc"))
            .args(args)
            .args(["--at", "2026-11-21"])
            .current_dir(self.0.path())
            .output()
            .unwrap();
        (run.status.code(), String::from_utf8(run.stdout).unwrap())
    }

    fn widens(&self, old: &str, new: &str) -> (Option<i32>, String) {
        self.fwc(&["diff", "--deny-widening", old, new])
    }

    /// Both policies as builds, in `old` and `new`.
    fn built(&self, more: &[&str]) -> &Self {
        for name in ["old", "new"] {
            let policy = format!("{name}.fw");
            let (code, said) = self.fwc(&[&["compile", "-o", name, policy.as_str()], more].concat());
            assert_eq!(code, Some(0), "{said}");
        }
        self
    }
}

/// It said `the same for every packet, 0 machines`.
#[test]
fn what_a_policy_opens_in_aws_is_a_difference_that_widens() {
    let opened = ("allow https from internet", "allow https, ssh, postgres from internet");
    let place = Place::new(&[opened]);
    let (code, said) = place.widens("old.fw", "new.fw");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("~ group ${sg:web} (fwc-web), ingress\n    passes now: tcp/22 from "), "{said}");
    assert!(said.contains("let more through, 0 machines, 3 security groups"), "{said}");
    assert_eq!(place.fwc(&["diff", "old.fw", "new.fw"]).0, Some(0));
    let (code, said) = place.widens("new.fw", "old.fw");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("passes no more: tcp/22 from "), "{said}");
    place.built(&[]);
    for (old, new, code) in [("old", "new", 1), ("new", "old", 0), ("old.fw", "new", 1), ("old", "old.fw", 0)]
    {
        let (found, said) = place.widens(old, new);
        assert_eq!(found, Some(code), "{old} {new}: {said}");
    }
}

/// Rules alone do not tell it: nobody of the rules changed.
#[test]
fn a_machine_that_joins_a_group_is_a_difference() {
    let place = Place::new(&[
        ("host db1 =", "host s3 = 10.0.1.13 in app\nhost db1 ="),
        ("web = s1, s2", "web = s1, s2, s3"),
    ]);
    let (code, said) = place.widens("old.fw", "new.fw");
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("~ interface ${eni:db1.data}, ingress\n    passes now: tcp/5432 from 10.0.1.13"),
        "{said}"
    );
    assert!(said.contains("~ interface ${eni:s3.app}, ingress, was not there"), "{said}");
    assert_eq!(place.widens("new.fw", "old.fw").0, Some(0));
}

/// As one that has no ruleset any more does.
#[test]
fn a_machine_that_wears_no_group_any_more_lets_everything_pass() {
    let place = Place::new(&[("web = s1, s2", "web = s1")]);
    let (code, said) = place.widens("old.fw", "new.fw");
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("${eni:s2.app}, ingress, wears no group, which lets everything pass\n    passes now"),
        "{said}"
    );
    let (code, said) = place.fwc(&["diff", "--deny-widening", "--host", "s1", "old.fw", "new.fw"]);
    assert_eq!((code, said.as_str()), (Some(0), "the same for every packet, 1 machine, 3 security groups\n"));
    let (code, said) = place.fwc(&["diff", "--deny-widening", "--host", "s2", "old.fw", "new.fw"]);
    assert_eq!(code, Some(1), "{said}");
}

/// Whom a rule that names a group lets through by a machine of no known address cannot be told.
#[test]
fn a_dynamic_machine_in_another_group_is_not_compared() {
    let place = Place::new(&[
        ("jobs = job", "jobs = job, more"),
        ("host db1 =", "host more = dynamic in app\nhost db1 ="),
    ]);
    let (code, said) = place.fwc(&["diff", "old.fw", "new.fw"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("not compared: what rules that name ${sg:jobs} let through for ${eni:more.app}"),
        "{said}"
    );
}

/// A listing has no groups to compare with; nor has the other side any then.
#[test]
fn groups_beside_a_listing_are_not_compared() {
    let host = ("host db1 =", "host fw { eth0 10.0.1.5 in app; nftables }\nhost db1 =");
    let place = Place::new(&[host, ("allow postgres", "allow https from internet to fw\nallow postgres")]);
    place.write("live.nft", LISTING);
    let (code, said) = place.fwc(&["diff", "live.nft", "new.fw"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("not compared: security groups: a listing"), "{said}");
}

/// In which part of a group a rule stands, and whether by a prefix list, is nobody's wish.
#[test]
fn the_same_groups_said_otherwise_are_no_difference() {
    let listed =
        "list off = 198.51.100.0/24, 203.0.113.0/24\nallow ssh from off to web\nallow postgres from web";
    let place = Place::new(&[("allow postgres from web", listed)]);
    place.write("old.fw", &std::fs::read_to_string(place.0.path().join("new.fw")).unwrap());
    place.built(&["--emit", "prefix-lists"]);
    let same = "the same for every packet, 0 machines, 3 security groups\n";
    for (old, new) in [("old", "new"), ("old.fw", "new"), ("old", "new.fw"), ("old.fw", "new.fw")] {
        let (code, said) = place.widens(old, new);
        assert_eq!((code, said.as_str()), (Some(0), same), "{old} {new}");
    }
}

/// Every machine has an address, and what ICMP needs is waived.
fn addressed() -> String {
    OLD.replace("dynamic in app", "10.0.1.20 in app")
        .replace("gateway internet }", "gateway internet; waive aws icmp-errors \"x\" }")
}

/// Who is meant by a rule that names its group is not told any more.
#[test]
fn a_machine_that_has_no_known_address_any_more_is_not_compared() {
    let place = Place::new(&[("s1 = 10.0.1.11", "s1 = dynamic")]);
    let what = "not compared: what rules that name ${sg:web} let through for ${eni:s1.app}";
    for (old, new) in [("old.fw", "new.fw"), ("new.fw", "old.fw")] {
        let (code, said) = place.fwc(&["diff", old, new]);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(what), "{said}");
    }
}

/// Who wore it wears nothing now, which lets everything pass, or something else: a build does not tell.
#[test]
fn a_group_that_is_gone_from_a_build_is_not_narrower() {
    let place = Place::of(
        &addressed(),
        &[
            ("security-group jobs = job\n", ""),
            ("allow tcp 9000 from jobs to db\n", ""),
            ("host job = 10.0.1.20 in app\n", ""),
        ],
    );
    place.built(&[]);
    for (old, new) in [("old", "new"), ("old.fw", "new")] {
        let (code, said) = place.widens(old, new);
        assert_eq!(code, Some(2), "{old} {new}: {said}");
        assert!(said.contains("not compared: what lets through who wore ${sg:jobs}: a build"), "{said}");
    }
    // Policies tell who does.
    let (code, said) = place.widens("old.fw", "new.fw");
    assert_eq!(code, Some(0), "{said}");
}

/// Of a policy they are what `compile` would write.
#[test]
fn a_policy_and_its_own_build_have_the_same_network_acls() {
    let place = Place::of(&addressed(), &[]);
    place.built(&["--emit", "nacl"]);
    assert!(place.0.path().join("old/aws/nacl.json").exists());
    for (old, new) in [("old.fw", "old"), ("old", "old.fw"), ("old", "new.fw")] {
        let (code, said) = place.widens(old, new);
        assert_eq!(code, Some(0), "{old} {new}: {said}");
    }
    let other = addressed().replace("allow https from", "allow https, ssh from");
    place.write("new.fw", &other);
    let (code, said) = place.fwc(&["diff", "old", "new.fw"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("the network ACLs: aws/nacl.json is not the same"), "{said}");
}

/// Answers pass at every machine: one more that lets nothing in lets nothing through.
#[test]
fn a_new_machine_that_admits_nothing_is_not_wider() {
    let place = Place::of(
        &addressed(),
        &[
            ("host db1 =", "host shut = 10.0.2.12 in data\nhost db1 ="),
            ("security-group db =", "security-group closed = shut\nsecurity-group db ="),
        ],
    );
    let (code, said) = place.widens("old.fw", "new.fw");
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("passes now"), "{said}");
}
