//! What nft lists and does not read as it listed it, said so that it does.
//!
//! Two things, of all that fwc writes (tried with nft 1.0.6 and 1.1.3):
//!
//! - `reject with icmpx type port-unreachable` is listed as `reject`. Behind a match of one family nft reads that as
//!   `reject with icmp type port-unreachable`, another statement; what was that from the start is listed in full.
//! - 1.0.6 does not know of which type the elements are that `ct original proto-dst` is compared with, once the rule's
//!   protocol is out of its sight: `{ 0x50 [invalid type]-0x5a [invalid type] }`, which it cannot read.

use std::borrow::Cow;

use super::token::{Kind, Lexer};

/// What nft puts behind a number whose type it does not know.
const UNTYPED: &str = "[invalid type]";
/// What `reject` stands for in the listing of a table of several families.
const REJECT: &str = " with icmpx type port-unreachable";

/// A listing of tables of several families (`inet`, `bridge`) as nft must be given it, to list it so again.
#[must_use]
pub fn loadable(listing: &str) -> String {
    rewritten(listing, true)
}

/// A text without what stands behind numbers of no known type. Its lines are the same.
pub(super) fn typed(text: &str) -> Cow<'_, str> {
    if text.contains(UNTYPED) { Cow::Owned(rewritten(text, false)) } else { Cow::Borrowed(text) }
}

/// A number as JSON has it: 1.0.6 puts it into a string, with the same words behind it.
pub(super) fn typed_word(word: &str) -> &str {
    word.strip_suffix(UNTYPED).map_or(word, str::trim_end)
}

fn rewritten(text: &str, rejects: bool) -> String {
    let mut lexer = Lexer::new(text);
    let (mut new, mut done) = (String::with_capacity(text.len()), 0);
    let mut plain_reject = None;
    loop {
        let token = lexer.next(|_| {});
        let end = lexer.at();
        let start = end.saturating_sub(token.text.len());
        if let Some(at) = plain_reject.take()
            && !(token.kind == Kind::Word && token.text == "with")
        {
            new.push_str(text.get(done..at).unwrap_or_default());
            new.push_str(REJECT);
            done = at;
        }
        match token.kind {
            Kind::End | Kind::Bad(_) => break,
            Kind::Word if rejects && token.text == "reject" => plain_reject = Some(end),
            Kind::Word if token.text == "[invalid" => {
                let behind_a_number = text.get(done..start).is_some_and(|before| before.ends_with(' '));
                if behind_a_number && text.get(start..).is_some_and(|rest| rest.starts_with(UNTYPED)) {
                    new.push_str(text.get(done..start).unwrap_or_default().trim_end_matches(' '));
                    done = start.saturating_add(UNTYPED.len());
                }
            }
            _ => {}
        }
    }
    new.push_str(text.get(done..).unwrap_or_default());
    new
}

#[cfg(test)]
mod tests {
    use super::super::{listing, read};
    use super::{loadable, typed};

    #[test]
    fn a_plain_reject_is_said_in_full_and_nothing_else_is_touched() {
        let listing = "table inet fwc {\n\tchain a {\n\t\tip saddr 10.0.0.1 reject\n\
            \t\ttcp dport 80 reject comment \"reject from\" # handle 3\n\t\treject with tcp reset\n\
            \t\tlog prefix \"reject \" reject with icmp port-unreachable\n\t\tjump reject_all\n\t}\n}\n";
        let full = "reject with icmpx type port-unreachable";
        let said = listing
            .replace("10.0.0.1 reject", &format!("10.0.0.1 {full}"))
            .replace("80 reject", &format!("80 {full}"));
        assert_eq!(loadable(listing), said);
        assert_eq!(loadable(&said), said);
        assert_eq!(loadable("chain a { reject }"), format!("chain a {{ {full} }}"));
    }

    #[test]
    fn numbers_of_no_known_type_are_numbers() {
        let one = |set: &str| {
            format!(
                "table inet fwc {{\n\tchain a {{\n\t\tct original proto-dst {set} accept comment \"5 [invalid type]\"\n\t}}\n}}\n"
            )
        };
        let untyped = one("{ 0x50 [invalid type]-0x5a [invalid type], 0x1bb [invalid type] }");
        let plain = one("{ 0x50-0x5a, 0x1bb }");
        assert_eq!(typed(&untyped), plain);
        assert_eq!(loadable(&untyped), plain);
        let ruleset = read(&one("{ 80-90, 443 }")).unwrap().ruleset;
        let (listed, text) = listing(untyped.clone()).unwrap();
        assert_eq!((listed.ruleset, text), (ruleset, untyped));
    }

    /// The same listing as 1.0.6 makes it with `-j`.
    #[test]
    fn numbers_of_no_known_type_are_numbers_in_json_too() {
        let json = |of: &str| {
            format!(
                r#"{{"nftables": [{{"table": {{"family": "inet", "name": "fwc", "handle": 1}}}},
                {{"chain": {{"family": "inet", "table": "fwc", "name": "a", "handle": 1}}}},
                {{"rule": {{"family": "inet", "table": "fwc", "chain": "a", "handle": 2, "expr": [{{"match":
                {{"op": "==", "left": {{"ct": {{"key": "proto-dst", "dir": "original"}}}}, "right": {{"set": [{of}]}}}}}},
                {{"accept": null}}]}}}}]}}"#
            )
        };
        let ruleset = |of: &str| listing(json(of)).unwrap().0.ruleset;
        let untyped = r#""0x50 [invalid type]", {"range": ["0x1bb [invalid type]", "0x1bc [invalid type]"]}"#;
        assert_eq!(ruleset(untyped), ruleset(r#"80, {"range": [443, 444]}"#));
    }
}
