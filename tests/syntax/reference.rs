//! Every example of the reference is the language, and its own layout.

use crate::Text;

const REFERENCE: &str = include_str!("../../grammar/README.md");
const GRAMMAR: &str = include_str!("../../grammar/fwc.pest");

/// The one example that shows what `fwc fmt` changes; the next is what it makes of it.
const UNFORMATTED: &str = "zone lan { 10.0.0.0/24 }; zone internet { rest }";

fn examples() -> Vec<&'static str> {
    REFERENCE.split("```fw\n").skip(1).filter_map(|part| part.split("```").next()).collect()
}

#[test]
fn every_example_parses_and_is_formatted() {
    let mut wanted = None;
    for example in examples() {
        let text = Text::new(example);
        assert_eq!(text.findings(), Vec::<String>::new(), "in:\n{example}");
        let formatted = text.formatted();
        if let Some(wanted) = wanted.take() {
            assert_eq!(example, wanted, "what follows the unformatted example is its layout");
        }
        if example.contains(UNFORMATTED) {
            wanted = Some(formatted);
        } else if example.contains("10.3.0.0/16,\n") || example.contains("web,\n") {
            // Shows an item over two lines, which are short enough to be joined.
            assert_eq!(Text::new(&formatted).shape(), text.shape());
        } else {
            assert_eq!(formatted, example);
        }
    }
}

/// Each word of the grammar stands in an example.
#[test]
fn every_word_has_an_example() {
    let all = examples().concat();
    let words: Vec<&str> =
        all.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-')).collect();
    let keywords = GRAMMAR.lines().filter(|l| l.starts_with("kw_")).filter_map(|l| l.split('"').nth(1));
    let missing: Vec<&str> = keywords.filter(|k| !words.contains(k)).collect();
    assert_eq!(missing, Vec::<&str>::new());
}

/// Whoever has the program alone finds the words that start a statement in the pages of `fwc explain`.
#[test]
fn the_pages_list_every_statement() {
    let list = REFERENCE.split("with one of\n\n").nth(1).unwrap().split("\n\n").next().unwrap();
    assert!(list.contains("allow") && list.contains("waive"), "{list}");
    for page in [
        include_str!("../../docs/diagnostics/unknown-statement.md"),
        include_str!("../../docs/diagnostics/syntax.md"),
    ] {
        let said: Vec<&str> = page.split("## When to allow it").nth(1).unwrap().split_whitespace().collect();
        for word in list.split_whitespace() {
            assert!(said.contains(&word), "{word} is not on the page:\n{page}");
        }
    }
}
