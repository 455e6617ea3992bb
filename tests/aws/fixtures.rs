//! Every quirk of a real answer, by name: read, noted, printed, whole.

use fwc::target::aws::artifact::{Direction, Document, Strictness};
use fwc::target::aws::read;

use crate::survey::{self, Outcome};
use crate::{files, folder};

fn text(name: &str) -> String {
    std::fs::read_to_string(folder("fixtures").join(name)).unwrap()
}

/// One line a fixture, as `make corpus` prints it, with what is noted.
const EXPECTED: &str = include_str!("fixtures/EXPECTED.txt");

#[test]
fn every_fixture_is_whole_and_noted() {
    let mut said = String::new();
    for file in files(&folder("fixtures"), "json") {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let (outcome, words) = survey::line(&file);
        said += &format!("{name}: {words}\n");
        assert!(!matches!(outcome, Outcome::Wrong(_)), "{name}: {words}");
        for note in read::read(&text(&name)).map(|read| read.notes).unwrap_or_default() {
            said += &format!("    {note}\n");
        }
    }
    assert!(said == EXPECTED, "the fixtures are told otherwise:\n{said}");
}

/// What EC2 answers today needs no leniency.
#[test]
fn answers_of_today_are_strict() {
    for name in
        ["cli.json", "boto.json", "rules.json", "lists_and_peers.json", "ipv6.json", "icmp.json", "acls.json"]
    {
        let read =
            read::read_as(&text(name), Strictness::Asked).unwrap_or_else(|why| panic!("{name}: {why}"));
        assert_eq!(read.notes, [], "{name}");
    }
    for name in ["no_egress_key.json", "open_ports.json", "unknown_scalar.json", "interface_untold.json"] {
        assert!(read::read_as(&text(name), Strictness::Asked).is_err(), "{name}");
    }
}

/// The two forms of one group say the same; of contradictions none is chosen.
#[test]
fn answers_are_gathered() {
    let document = |name: &str| read::read(&text(name)).unwrap().document;
    let all = ["cli.json", "interfaces.json", "acls.json", "lists.json"];
    let with = |more: Vec<(Option<String>, Document)>| {
        let documents = all.iter().map(|name| (None, document(name)));
        read::gather(documents.chain(more))
    };
    let office = || (Some("pl-0123456789abcdef0".to_owned()), document("entries.json"));
    let estate = with(vec![office()]).unwrap();
    assert_eq!(estate.list("pl-0123456789abcdef0").unwrap().entries.as_ref().unwrap().len(), 2);
    assert_eq!((estate.groups.len(), estate.interfaces.len(), estate.acls.len()), (2, 3, 2));
    // The same answer twice is one answer.
    assert_eq!(with(vec![office(), (None, document("cli.json"))]).unwrap(), estate);
    // Entries of nobody.
    assert!(with(vec![(None, document("entries.json"))]).is_err());
    // One rule more in one form than in the other.
    let conflicts = with(vec![(None, document("rules.json"))]).unwrap_err();
    assert_eq!(conflicts.len(), 1, "{conflicts:?}");
    // The records alone are the group.
    let alone = read::gather([(None, document("rules.json"))]).unwrap();
    let group = alone.group("sg-0123456789abcdef0").unwrap();
    assert_eq!(group.rules(Direction::Ingress).unwrap().len(), 5);
    assert_eq!(group.rules(Direction::Egress).unwrap().len(), 1);
    // Two descriptions of one group that differ.
    let mut other = document("cli.json");
    if let Document::Groups(groups) = &mut other {
        groups[1].ingress.as_mut().unwrap().clear();
    }
    assert!(with(vec![(None, other)]).is_err());
}

/// What is passed over is nothing that looks like an answer.
#[test]
fn the_survey_passes_over_nothing() {
    let outcome = |text: &str| match survey::survey(text) {
        Outcome::Whole { .. } => "whole",
        Outcome::Skipped(_) => "skipped",
        Outcome::Refused(_) => "refused",
        Outcome::Wrong(_) => "wrong",
    };
    let whole = text("cli.json");
    for (text, expected) in [
        (whole.clone(), "whole"),
        (whole[..whole.len() / 2].to_owned(), "refused"),
        (format!("[{whole},{whole}]"), "whole"),
        (format!("[{whole},{}]", whole.replacen("IpProtocol", "IpProtokoll", 1)), "refused"),
        (format!("{whole}{whole}"), "refused"),
        (whole.replacen("IpProtocol", "IpProtokoll", 1), "refused"),
        (r#"{"SecurityGroups":[],"NetworkAcls":[],"Vpcs":[]}"#.to_owned(), "whole"),
        (r#"{"SecurityGroups":[],"SecurityGroups":[]}"#.to_owned(), "refused"),
        (
            r#"{"Reservations":[{"Instances":[{"SecurityGroups":[{"GroupId":"sg-1"}]}]}]}"#.to_owned(),
            "skipped",
        ),
        ("not JSON".to_owned(), "skipped"),
        ("[1]".to_owned(), "skipped"),
    ] {
        assert_eq!(outcome(&text), expected, "{}", text.chars().take(200).collect::<String>());
    }
}

/// The survey is no rubber stamp: what a reader could get wrong, it tells.
#[test]
fn the_survey_bites() {
    let whole = text("cli.json");
    let said = survey::naive(&serde_json::from_str(&whole).unwrap());
    for (from, to) in [
        ("443", "444"),
        ("0.0.0.0/0", "0.0.0.0/1"),
        ("sg-0123456789abcdef1", "sg-0123456789abcdef2"),
        ("tcp", "udp"),
    ] {
        let changed = survey::naive(&serde_json::from_str(&whole.replacen(from, to, 1)).unwrap());
        assert_ne!(said, changed, "{from} for {to}");
    }
}
