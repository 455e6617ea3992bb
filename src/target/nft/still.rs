//! A ruleset as it was before it counted: what packets count and rules put into sets is the rules' own doing, and no edit of them.

use std::collections::BTreeSet;

use super::artifact::{Counter, Element, Expression, Ruleset, Set, SetOp, Statement, Table};
use super::sim;

/// A table in which every counter and quota is at its beginning, and no set that rules or its own timeout change holds what
/// passes. Of any other set an element that bears a timeout stays, without the time that it has left: somebody put it there. So does one with
/// another limit than the rules give it, which a source then has instead of theirs.
#[must_use]
pub fn stilled(table: &Table) -> Table {
    let fixed: BTreeSet<usize> = sim::all_fixed(table).into_values().collect();
    let rules = sim::OfRules::new(table);
    let mut table = table.clone();
    for (at, set) in table.sets.iter_mut().enumerate() {
        let passes = |e: &Element| e.state().timeout.is_some() || e.state().expires.is_some();
        let passing = set.timeout.is_some();
        let Set { name, statements, elements, .. } = set;
        elements.retain(|element| {
            let stays = !(passing || passes(element)) || !rules.may_have_put(element, name, statements);
            fixed.contains(&at) || stays
        });
        set.statements.iter_mut().for_each(still);
        set.elements.iter_mut().for_each(still_element);
    }
    for rule in table.chains.iter_mut().flat_map(|chain| &mut chain.rules) {
        rule.statements.iter_mut().for_each(still);
    }
    for object in &mut table.objects {
        object.body = uncounted(&object.body);
    }
    table
}

/// Whether one ruleset is the other some time later: nothing was edited, and what came and went did so by its timeout or by rules.
#[must_use]
pub fn is_later(later: &Ruleset, earlier: &Ruleset) -> bool {
    later.tables.len() == earlier.tables.len()
        && later.tables.iter().zip(&earlier.tables).all(|(later, earlier)| is_table_later(later, earlier))
}

fn is_table_later(later: &Table, earlier: &Table) -> bool {
    let (mut is, mut was) = (stilled(later), stilled(earlier));
    let rules = sim::OfRules::new(later);
    for (is, was) in is.sets.iter_mut().zip(&mut was.sets).filter(|(is, was)| is != was) {
        let [puts, takes] = done_for_good(later, &is.name);
        if puts {
            let before = keys(was);
            let Set { name, statements, elements, .. } = is;
            elements.retain(|element| {
                before.contains(&key(element)) || !rules.may_have_put(element, name, statements)
            });
        }
        let left = keys(is);
        was.elements.retain(|e| left.contains(&key(e)) || !(takes || e.state().timeout.is_some()));
    }
    is == was
}

/// Whether rules put elements into a set that stay, and whether they take some out.
fn done_for_good(table: &Table, name: &str) -> [bool; 2] {
    let (mut puts, mut takes) = (false, false);
    for statement in table.chains.iter().flat_map(|chain| &chain.rules).flat_map(|rule| &rule.statements) {
        if let Statement::SetUpdate { op, set, timeout, .. } = statement
            && set == name
        {
            puts |= *op != SetOp::Delete && timeout.is_none();
            takes |= *op == SetOp::Delete;
        }
    }
    [puts, takes]
}

fn keys(set: &Set) -> BTreeSet<String> {
    set.elements.iter().map(key).collect()
}

/// No key has an order of its own; its words tell it from others.
fn key(element: &Element) -> String {
    format!("{:?}", element.key)
}

fn still_element(element: &mut Element) {
    element.restate(|state| {
        state.expires = None;
        state.statements.iter_mut().for_each(still);
    });
}

fn still(statement: &mut Statement) {
    zero(statement);
    match statement {
        Statement::SetUpdate { statements, .. } => statements.iter_mut().for_each(still),
        Statement::Match { right: Expression::Set(elements), .. }
        | Statement::VerdictMap { map: Expression::Set(elements), .. } => {
            elements.iter_mut().for_each(still_element);
        }
        Statement::Unsupported(text) => *text = uncounted(text),
        _ => {}
    }
}

/// Sets a counter to its beginning.
pub fn zero(statement: &mut Statement) {
    if let Statement::Counter(Counter::Own { packets, bytes }) = statement {
        (*packets, *bytes) = (0, 0);
    }
}

/// What is kept as text, as it was before it counted: `packets 7 bytes 420` is 0 of both, and `used 5 kbytes` of a quota or
/// `used 4s` of a `last` is not there.
fn uncounted(text: &str) -> String {
    let is_number = |word: &&str| word.bytes().all(|byte| byte.is_ascii_digit());
    let mut kept = Vec::new();
    let mut words = text.split_whitespace().peekable();
    while let Some(word) = words.next() {
        if word == "used" {
            words.next();
            words.next_if(|unit| unit.ends_with("bytes"));
            continue;
        }
        kept.push(word);
        if matches!(word, "packets" | "bytes") && words.next_if(is_number).is_some() {
            kept.push("0");
        }
    }
    kept.join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use super::{is_later, uncounted};

    #[test]
    fn text_that_counts_is_as_it_was_before_it_counted() {
        for (counted, plain) in [
            ("counter packets 7 bytes 420 drop", "counter packets 0 bytes 0 drop"),
            ("quota over 25 mbytes used 5 kbytes drop", "quota over 25 mbytes drop"),
            ("last used 4s", "last"),
            ("last used never", "last"),
            ("limit rate 5/second burst 5 packets accept", "limit rate 5/second burst 5 packets accept"),
        ] {
            assert_eq!(uncounted(counted), plain);
        }
    }

    #[test]
    fn time_takes_what_has_a_timeout_and_puts_nothing_there() {
        let text = |sets: &str| {
            let rules = "type filter hook input priority 0; policy drop; add @seen { ip saddr }; ip saddr @ok accept;";
            let text = format!("table inet t {{ {sets} chain c {{ {rules} }} }}");
            read::read(&text).unwrap().ruleset
        };
        let of = |ok: &str, seen: &str| {
            let set = |name: &str, flag: &str, elements: &str| {
                let held =
                    if elements.is_empty() { String::new() } else { format!("elements = {{ {elements} }};") };
                format!("set {name} {{ type ipv4_addr; flags {flag}; {held} }}\n")
            };
            text(&(set("ok", "timeout", ok) + &set("seen", "dynamic", seen)))
        };
        let timed = "192.0.2.1, 192.0.2.2 timeout 1h expires";
        let was = of(&format!("{timed} 50m"), "");
        assert!(
            is_later(&of(&format!("{timed} 9m"), "192.0.2.7"), &was),
            "time passed, and a rule put something there"
        );
        assert!(is_later(&of("192.0.2.1", ""), &was), "an hour later");
        assert!(!is_later(&was, &of("192.0.2.1", "")), "somebody lets it in for an hour");
        assert!(
            !is_later(&was, &of(&format!("{timed} 50m"), "192.0.2.7")),
            "no rule takes out what one put there"
        );
        assert!(!is_later(&of("192.0.2.1, 192.0.2.2", ""), &was), "somebody lets it in for good");
        assert!(
            !is_later(&of("192.0.2.2 timeout 1h expires 9m", ""), &was),
            "somebody took out what was there for good"
        );
    }

    #[test]
    fn a_limit_that_somebody_gave_a_source_is_none_of_the_rules() {
        let with = |elements: &str| {
            let held =
                if elements.is_empty() { String::new() } else { format!("elements = {{ {elements} }};") };
            let set = format!("set m {{ type ipv4_addr; flags dynamic,timeout; timeout 2m; {held} }}");
            let rules = "type filter hook input priority 0; policy drop; update @m { ip saddr limit rate 1/minute burst 2 packets } accept;";
            read::read(&format!("table inet t {{ {set}\n chain c {{ {rules} }} }}")).unwrap().ruleset
        };
        let was = with("");
        assert!(is_later(&with("192.0.2.7 limit rate 1/minute burst 2 packets expires 1m"), &was));
        for edited in [
            "192.0.2.7 timeout 300d expires 299d",
            "192.0.2.7 limit rate 9/second burst 2 packets expires 1m",
        ] {
            assert!(!is_later(&with(edited), &was), "{edited}");
        }
    }
}
