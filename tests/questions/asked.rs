//! `matrix` and `reach` say what `expect deny` proves: a pair speaks iff its denial is refuted.

use fwc::verify::diff::Names;
use fwc::verify::questions::{By, matrix, reach};

use crate::common::{compiled, crm, folder, options};

#[test]
fn a_pair_speaks_iff_its_denial_is_refuted() {
    for policy in [crm(), folder("policies/lxc")] {
        let plain = compiled(&policy);
        let mut asked = policy.clone();
        let mut tests = "test \"every pair\" {\n".to_owned();
        for zone in &plain.site.zones {
            for host in &plain.site.hosts {
                tests += &format!("    expect deny any from {} to {}\n", zone.name, host.name);
            }
        }
        asked.push(("pairs.fw".to_owned(), tests + "}\n"));
        let site = compiled(&asked);
        let cells = matrix(&plain.site, &plain.artifacts, options().at, By::Host, None).unwrap();
        let (mut speak, mut silent) = (0, 0);
        for cell in &cells {
            let from = &plain.site.zone(cell.from).unwrap().name;
            let words = format!("deny any from {from} to {}", cell.to);
            let proof =
                site.report.expects.iter().find(|e| e.test == "every pair" && e.words.contains(&words));
            let proof = proof.unwrap_or_else(|| panic!("no proof of {words}"));
            assert_eq!(proof.outcome.holds(), cell.services.is_empty(), "{words}: {:?}", cell.services);
            if cell.services.is_empty() { silent += 1 } else { speak += 1 }
        }
        assert!(speak > 3 && silent > 3, "{speak} speak, {silent} do not");
    }
}

#[test]
fn an_answer_names_the_lines_and_only_those() {
    let mut policy = crm();
    let question = "test \"q\" { expect deny postgres from anywhere to bbdd }\n";
    policy.push(("q.fw".to_owned(), question.to_owned()));
    let compiled = compiled(&policy);
    let asked = compiled.site.tests.iter().find(|t| t.title == "q").unwrap().expects[0].clone();
    let names = Names::of(&compiled.site);
    let answer = reach(&compiled.site, &compiled.artifacts, options().at, &asked, &names).unwrap();
    let mut said: Vec<String> = answer
        .ways
        .iter()
        .flat_map(|way| {
            let regions: Vec<String> = way.regions.iter().map(ToString::to_string).collect();
            way.statements.iter().map(move |(words, _)| format!("{words}: {}", regions.join("; ")))
        })
        .collect();
    said.sort();
    assert_eq!(
        said,
        [
            "allow postgres from nagios to bbdd.mgmt: tcp 5432 from nagios to bbdd.mgmt",
            "allow postgres from web to bbdd.data: tcp 5432 from s1.data, s2.data, s3.data to bbdd.data",
        ]
    );
}
