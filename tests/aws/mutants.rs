//! Groups broken in one rule: each is told apart by what it admits, and by its canonical form.

use fwc::net::Space;
use fwc::target::aws::artifact::{Canonical, Direction, Document, Group};
use fwc::target::aws::{mutate, read, sim};

use crate::folder;

fn groups(name: &str) -> Vec<Group> {
    let text = std::fs::read_to_string(folder("sets").join(name)).unwrap();
    match read::read(&text).unwrap().document {
        Document::Groups(groups) => groups,
        other => panic!("{other:?}"),
    }
}

/// What a shipped policy compiles to.
fn compiled(policy: &str) -> Vec<Group> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("policies").join(policy);
    let build = tempfile::tempdir().unwrap();
    let run = std::process::Command::new(env!("CARGO_BIN_EXE_fwc"))
        .args(["compile", "--at", "2026-11-21", "-o"])
        .args([build.path(), &folder])
        .output()
        .unwrap();
    assert!(run.status.success(), "{policy}: {}", String::from_utf8_lossy(&run.stderr));
    let text = std::fs::read_to_string(build.path().join("aws/security-groups.json")).unwrap();
    match read::read(&text).unwrap().document {
        Document::Groups(groups) => groups,
        other => panic!("{other:?}"),
    }
}

/// A packet, and a role, on which two sets of groups differ at some group.
fn refuted(before: &[Group], after: &[Group], at: usize, space: &mut Space) -> bool {
    Direction::BOTH.into_iter().any(|direction| {
        let of = |groups: &[Group], space: &mut Space| {
            sim::admits::symbolic(&[&groups[at]], direction, space).unwrap()
        };
        let (before, after) = (of(before, space), of(after, space));
        let difference = before.difference(&after, space).unwrap();
        if let Some(difference) = &difference {
            // The witness is one: the two sides really differ on it.
            let says = |side: &sim::admits::Admits, space: &mut Space| {
                let set = side.of(difference.role.as_ref(), space);
                space.contains(set, &difference.packet).unwrap()
            };
            assert_eq!((says(&before, space), says(&after, space)), (!difference.wider, difference.wider));
        }
        difference.is_some()
    })
}

#[test]
fn every_single_rule_mutant_is_refuted() {
    let mut all = 0;
    let sets = ["shop.json", "swarm.json"].map(|name| (name, groups(name)));
    for (name, before) in sets.into_iter().chain([("crm-aws", compiled("crm-aws"))]) {
        let mut space = Space::default();
        assert!((0..before.len()).all(|at| !refuted(&before, &before, at, &mut space)));
        let form = |groups: &[Group], at: usize| {
            Direction::BOTH.map(|direction| Canonical::of(groups[at].rules(direction).unwrap()))
        };
        let (mut survivors, mut twins) = (Vec::new(), 0);
        for mutant in mutate::mutants(&before) {
            all += 1;
            let differs = refuted(&before, &mutant.groups, mutant.group, &mut space);
            let same_form = form(&before, mutant.group) == form(&mutant.groups, mutant.group);
            if !differs {
                survivors.push(mutant.what);
            }
            twins += usize::from(same_form);
        }
        println!("{name}: {} survive, {twins} have the same form", survivors.len());
        assert!(survivors.is_empty(), "{name}:\n{}", survivors.join("\n"));
        assert_eq!(twins, 0, "{name}");
    }
    println!("{all} mutants");
    assert!(all > 500, "{all}");
}
