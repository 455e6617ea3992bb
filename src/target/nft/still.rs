//! A ruleset as it was before it counted: what packets count and rules put into sets is the rules' own doing, and no edit of them.

use std::collections::BTreeSet;

use super::artifact::{Counter, Element, Expression, Ruleset, Set, Statement, Table};
use super::sim;

/// A table in which every counter and quota is at its beginning, and no set holds what rules or its own timeout put there.
/// An element that bears a timeout of its own stays, without the time that it has left: somebody may have put it there.
#[must_use]
pub fn stilled(table: &Table) -> Table {
    let fixed: BTreeSet<usize> = sim::all_fixed(table).into_values().collect();
    let mut table = table.clone();
    for (at, set) in table.sets.iter_mut().enumerate() {
        set.elements.retain(|_| fixed.contains(&at));
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

/// Whether one ruleset is the other some time later: nothing was edited, and what is there no more had a timeout.
#[must_use]
pub fn is_later(later: &Ruleset, earlier: &Ruleset) -> bool {
    let aged = earlier.tables.iter().zip(&later.tables).map(|(was, is)| {
        let mut was = stilled(was);
        for (set, left) in was.sets.iter_mut().zip(&is.sets) {
            age(set, left);
        }
        was
    });
    earlier.tables.len() == later.tables.len() && aged.eq(later.tables.iter().map(stilled))
}

/// Takes out of a set what time took out of it.
fn age(set: &mut Set, later: &Set) {
    if set.elements.iter().all(|element| element.timeout.is_none()) {
        return;
    }
    // No key has an order of its own; the words of one are told apart as it is.
    let left: BTreeSet<String> = later.elements.iter().map(|element| format!("{:?}", element.key)).collect();
    set.elements.retain(|e| e.timeout.is_none() || left.contains(&format!("{:?}", e.key)));
}

fn still_element(element: &mut Element) {
    element.expires = None;
    element.statements.iter_mut().for_each(still);
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
        assert!(!is_later(&of("192.0.2.1, 192.0.2.2", ""), &was), "somebody lets it in for good");
        assert!(
            !is_later(&of("192.0.2.2 timeout 1h expires 9m", ""), &was),
            "somebody took out what was there for good"
        );
    }
}
