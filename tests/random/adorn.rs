//! What a sketch cannot say, put into its text: logs, nested groups, a named service.

use std::fmt::Write as _;

use super::Dice;

/// The same policy with logs and `log from`, and with places moved into groups of groups.
///
/// An `except` that moves into a group takes away from that group alone, so the meaning may change.
pub fn policy(text: &str, seed: u64) -> String {
    let dice = &mut Dice::new(seed ^ 0xad04);
    let names: Vec<&str> = text.lines().filter_map(|l| l.strip_prefix("zone ")?.split(' ').next()).collect();
    let (mut out, mut groups) = (String::new(), String::new());
    for (at, line) in text.lines().enumerate() {
        let clause =
            [" masquerade", " dnat to ", " snat to ", " ipvs "].iter().any(|word| line.contains(word));
        let statement = (line.starts_with("allow ") || line.starts_with("deny ")) && !clause;
        let line = if statement { access(dice, line, at, &mut groups) } else { line.to_owned() };
        let _ = writeln!(out, "{line}");
        let filters = line.starts_with("firewall ") && line.ends_with('{') || line == "    nftables";
        if filters && !names.is_empty() && dice.one_in(3) {
            let _ =
                writeln!(out, "    log from {}", if dice.one_in(3) { "anywhere" } else { dice.pick(&names) });
        }
    }
    out + &groups
}

fn access(dice: &mut Dice, line: &str, at: usize, groups: &mut String) -> String {
    let (sentence, tail) = line.split_once(" {").map_or((line, ""), |(s, t)| (s, t.trim_end_matches('}')));
    let Some((head, to)) = sentence.rsplit_once(" to ") else { return line.to_owned() };
    let Some((what, from)) = head.rsplit_once(" from ") else { return line.to_owned() };
    let (from, to) =
        (grouped(dice, from, &format!("f{at}"), groups), grouped(dice, to, &format!("t{at}"), groups));
    let mut modifiers: Vec<&str> = tail.split(';').map(str::trim).filter(|m| !m.is_empty()).collect();
    if dice.one_in(3) {
        modifiers.push("log");
    }
    let tail = if modifiers.is_empty() { String::new() } else { format!(" {{ {} }}", modifiers.join("; ")) };
    format!("{what} from {from} to {to}{tail}")
}

/// A place, or a name for it: of all of it, or of its last item with what it excepts.
fn grouped(dice: &mut Dice, place: &str, name: &str, groups: &mut String) -> String {
    if place.contains("anywhere") || !dice.one_in(3) {
        return place.to_owned();
    }
    let (first, last) = match place.split_once(", ") {
        Some((first, last)) if dice.one_in(2) && !first.contains(" except ") => (Some(first), last),
        _ => (None, place),
    };
    let _ = writeln!(groups, "group {name}a = {last}\ngroup {name}b = {name}a");
    first.map_or(format!("{name}b"), |first| format!("{first}, {name}b"))
}
