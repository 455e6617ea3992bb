//! Rulesets broken by hand in ways that people break them, and what is shown of it.

use std::process::{Command, Output};

use fwc::model::{Hook, Point};
use fwc::net::{CtState, Verdict};
use fwc::verify::{Against, Counterexample, Outcome};

use crate::common::{artifact, root};
use crate::study::{STUDY, of_text};

const ENDS: &str = "counter drop comment \"everything else\"";

/// The text of the entry firewall, with a change that must be one.
fn changed(from: &str, to: &str) -> String {
    let text = artifact(&STUDY.compiled, "fw", "ruleset.nft");
    let new = text.replace(from, to);
    assert_ne!(text, new, "`{from}` is not there");
    new
}

/// What is shown of a broken text at a hook.
fn shown(text: String, hook: Hook) -> Counterexample {
    let (host, _) = STUDY.compiled.site.hosts().find(|(_, h)| h.name == "fw").unwrap();
    let report = Against::new(&STUDY.compiled.site, host).report(&of_text(text));
    let point = report.points.into_iter().find(|p| p.point == Point::Hook { host, hook }).unwrap();
    match point.outcome {
        Outcome::Refuted(shown) => *shown,
        other => panic!("{other:?}"),
    }
}

fn rules(shown: &Counterexample) -> String {
    shown.hops.iter().flat_map(|hop| &hop.rules).map(|(n, line)| format!("{n}: {line}\n")).collect()
}

#[test]
fn a_hand_made_mutant_that_accepts_all() {
    let chain = "table inet fwc {\n\tchain forward {\n\t\ttype filter hook forward priority 0; policy drop;\n\t\taccept\n\t}\n}\n";
    let shown = shown(chain.to_owned(), Hook::Forward);
    assert_eq!((shown.meant, shown.done), (Verdict::Drop, Verdict::Accept));
    assert_eq!(rules(&shown), "4: accept\n");
}

#[test]
fn a_hand_made_mutant_with_swapped_ends() {
    let shown = shown(changed(ENDS, "counter accept"), Hook::Forward);
    assert_eq!((shown.meant, shown.done), (Verdict::Drop, Verdict::Accept));
    assert!(rules(&shown).ends_with(": counter accept\n"), "{}", rules(&shown));
}

#[test]
fn a_hand_made_mutant_with_swapped_policy() {
    let text = changed(ENDS, "counter").replace("policy drop;", "policy accept;");
    let shown = shown(text, Hook::Input);
    assert_eq!((shown.meant, shown.done), (Verdict::Drop, Verdict::Accept));
    assert!(
        rules(&shown).contains("policy accept;") || rules(&shown).contains("chain input"),
        "{}",
        rules(&shown)
    );
}

#[test]
fn a_hand_made_mutant_that_forgets_invalid_packets() {
    let shown = shown(changed("invalid : drop,", ""), Hook::Forward);
    assert_eq!((shown.meant, shown.done), (Verdict::Drop, Verdict::Accept));
    assert_eq!(shown.packet.ct, CtState::Invalid);
    assert!(rules(&shown).contains(": accept,"), "{}", rules(&shown));
}

#[test]
fn the_program_refutes_a_mutant() {
    const OPENED: &str = "10.1.1.2 . 10.1.2.2 . tcp . 80 comment \"allow http, ping from lan1 to lb.dmz\" : ";
    let whole = artifact(&STUDY.compiled, "fw", "ruleset.nft").to_owned();
    let closed = changed(&format!("{OPENED}accept"), &format!("{OPENED}drop"));
    let number = closed.lines().position(|line| line.contains(&format!("{OPENED}drop"))).unwrap() + 1;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("fw.nft");

    std::fs::write(&file, &whole).unwrap();
    let fine = verify(&file);
    assert_eq!(fine.status.code(), Some(0), "{}", said(&fine));

    std::fs::write(&file, &closed).unwrap();
    let refuted = verify(&file);
    let words = said(&refuted);
    assert_eq!(refuted.status.code(), Some(1), "{words}");
    for part in ["refuted", "fw forward", "10.1.1.2", "tcp/80", "policies/crm/policy.fw:"] {
        assert!(words.contains(part), "no `{part}` in:\n{words}");
    }
    assert!(words.contains("allow http, ping from lan1 to lb.dmz"), "{words}");
    assert!(words.contains(&format!("{}:{number}", file.display())), "{words}");
}

fn verify(file: &std::path::Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fwc"))
        .args(["verify", "policies/crm", "--host", "fw", "--at", "2026-11-21", "--against"])
        .arg(file)
        .current_dir(root())
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
