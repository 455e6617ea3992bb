//! Rulesets broken on purpose.
mod common;
use common::{compiled, crm};
use fwc::target::nft::{mutate, print, read};
use fwc::verify::{Against, HOOKS, HostRules, Outcome};
use std::time::Instant;

#[test]
fn count_mutants() {
    let c = compiled(&crm());
    let only = std::env::var("ONLY").ok();
    for (&host, rules) in &c.artifacts {
        let name = &c.site.host(host).unwrap().name;
        std::fs::write(format!("/tmp/wt/resolve/target/{name}.nft"), &rules.text).unwrap();
        let ms = mutate::mutants(&rules.ruleset);
        println!("{name}: {} mutants, {} lines", ms.len(), rules.text.lines().count());
        if only.as_ref().is_some_and(|o| o != name) { continue; }
        let t = Instant::now();
        let mut against = Against::new(&c.site, host);
        let (mut refuted, mut holds, mut undecided, mut same) = (0, 0, 0, 0);
        let mut differs = 0;
        for m in &ms {
            let text = match print::print(&m.ruleset) { Ok(t) => t, Err(e) => { println!("unprintable {e}"); continue } };
            let back = read::read(&text).unwrap();
            if back.ruleset == rules.ruleset { same += 1; }
            if back.ruleset != m.ruleset { differs += 1; }
            let r = HostRules { text, ruleset: back.ruleset, lines: back.lines };
            let mut fate = "holds".to_owned();
            for hook in HOOKS {
                match against.hook(&r, hook).outcome {
                    Outcome::Holds => {}
                    Outcome::Refuted(_) => { fate = "refuted".into(); break; }
                    Outcome::Undecided { reason } => { fate = reason; }
                }
            }
            match fate.as_str() { "holds" => { holds += 1; println!("  HOLDS {} {:?} line {:?}", m.change, m.place, rules.lines.line(m.place).and_then(|l| rules.text.lines().nth(l as usize - 1))); },
              "refuted" => refuted += 1,
              w => { undecided += 1; println!("  UNDECIDED {w} {} {:?} {:?}", m.change, m.place, rules.lines.line(m.place).and_then(|l| rules.text.lines().nth(l as usize - 1))); } }
        }
        println!("{name}: refuted {refuted} holds {holds} undecided {undecided} same {same} reads-differently {differs} in {:?}, nodes {}", t.elapsed(), against.nodes());
    }
}
