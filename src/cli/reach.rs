//! `fwc reach`: who can reach a place, what a place can reach, and the lines that allow it.
//!
//! A question is a sentence. It is put into the words of the policy and read by the policy's own reader, so that every
//! name and service of the policy means there what it means everywhere, and a wrong one is told as everywhere.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::json;

use crate::compile::Compiled;
use crate::model::Expect;
use crate::verify::questions::{Answer, Arriving};

use super::check::unanswered;
use super::clean::clean_line;
use super::options::{Depends, Format, PolicyArgs};
use super::render::{self, number};
use super::report::Telling;
use super::request::Request;
use super::{Console, Exit, Failure, engine};

/// The answer for programs (`docs/json.md`).
const FORMAT: &str = "fwc.reach/1";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Policies as for the other commands, then the question: "who can reach db postgres", "what can guest_net reach",
    /// "how can web reach db"
    #[arg(value_name = "[POLICY]... QUESTION", required = true)]
    words: Vec<String>,

    #[command(flatten)]
    depends: Depends,

    /// How the answer is written
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(args: Args, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let mut words = args.words;
    let sentence = words.pop().unwrap_or_default();
    let question = expectation(&sentence).map_err(|why| {
        Failure::new(format!("no question in `{sentence}`: {why}")).help(
            "say it in quotes, as the last word: \"who can reach db postgres\", \"what can guest_net reach\"",
        )
    })?;
    let policies = words.into_iter().map(PathBuf::from).collect();
    let mut request = Request::read(PolicyArgs { policies, depends: args.depends })?;
    request.ask(format!("test \"{TITLE}\" {{ expect deny {question} }}\n"), &sentence);
    let compiled = request.prove_for_question();
    let Some(compiled) = compiled else {
        return unanswered(args.format.json((FORMAT, "reaches")), &request, console);
    };
    request.tell_findings(console);
    let Some(asked) = asked(&compiled) else { return Err(Failure::new("the question was not read")) };
    let answer = engine::reach(&compiled, request.options.at, &asked)?;
    request.mark("reach");
    let telling = Telling { site: &compiled.site, sources: &request.sources, ruleset: None };
    match args.format {
        Format::Text => {
            let what = sentence.trim_start().starts_with("what");
            console.data(&text(telling, &answer, if what { "nothing" } else { "nobody" }));
        }
        Format::Json => {
            let told = json!({
                "question": sentence,
                "reaches": answer.ways.iter().map(|way| as_json(telling, way)).collect::<Vec<_>>(),
                "more": answer.more,
                "assuming": answer.assuming,
            });
            console.data(&render::document(FORMAT, told));
        }
    }
    request.tell_timings(console);
    Ok(Exit::Fine)
}

/// The title of the test that is the question: no title of a policy is like it.
pub(super) const TITLE: &str = "a question of the command line";

/// The question as it was read.
pub(super) fn asked(compiled: &Compiled) -> Option<Expect> {
    let test = compiled.site.tests.iter().find(|test| test.title == TITLE)?;
    test.expects.first().cloned()
}

/// `SERVICES from PLACES to PLACES` for a sentence.
fn expectation(sentence: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || " _.,:/-".contains(c);
    if let Some(odd) = sentence.chars().find(|c| !plain(*c)) {
        return Err(format!("`{odd}` is in no name, address or service"));
    }
    // A list is one word, whether or not blanks follow its commas.
    let sentence = sentence.replace(", ", ",");
    let words: Vec<&str> = sentence.split_whitespace().collect();
    // What else an expectation may say is no part of a question.
    // `as` may be the name of a place where one stands; the others never are.
    let place = match words.first() {
        Some(&"who") => Some(3),
        Some(&"how") => Some(4),
        _ => None,
    };
    let is_other = |at: usize, word: &str| {
        at > 2 && (word == "as" && Some(at) != place || ["except", "from", "to"].contains(&word))
    };
    if let Some((_, other)) = words.iter().enumerate().find(|(at, word)| is_other(*at, word)) {
        return Err(format!("`{other}` is no part of a question: `expect` of a test can say it"));
    }
    let services = |rest: &[&str]| if rest.is_empty() { "any".to_owned() } else { rest.join(" ") };
    match words.as_slice() {
        ["who", "can", "reach", place, rest @ ..] => {
            Ok(format!("{} from anywhere to {place}", services(rest)))
        }
        ["what", "can", place, "reach", rest @ ..] => {
            Ok(format!("{} from {place} to anywhere", services(rest)))
        }
        ["how", "can", from, "reach", to, rest @ ..] => Ok(format!("{} from {from} to {to}", services(rest))),
        _ => Err("it starts with `who can reach`, `what can` or `how can`".to_owned()),
    }
}

fn text(telling: Telling<'_>, answer: &Answer, nobody: &str) -> String {
    let mut text = String::new();
    for way in &answer.ways {
        if way.statements.is_empty() {
            let why = if way.unfiltered {
                "nothing that filters is on the way of"
            } else {
                "no statement speaks of what every ruleset lets pass of"
            };
            let _ = writeln!(text, "{why}");
        }
        for (words, span) in &way.statements {
            let place = telling.place(*span).unwrap_or_default();
            let _ = writeln!(text, "{place}  {}", clean_line(words));
        }
        for region in &way.regions {
            let _ = writeln!(text, "  {}", clean_line(&region.to_string()));
        }
        if way.more {
            let _ = writeln!(text, "  … and more");
        }
        let translated = if way.translated { ", translated on its way" } else { "" };
        let _ = writeln!(text, "  example {}{translated}", telling.packet(&way.witness));
        let hops: Vec<&str> = way.hops.iter().map(|hop| hop.place.as_str()).collect();
        if !hops.is_empty() {
            let _ = writeln!(text, "  through {}", clean_line(&hops.join(", ")));
        }
    }
    let _ = writeln!(text, "{}", ending(answer.ways.len(), answer.more, nobody));
    if let Some(assuming) = answer.assuming {
        let _ = writeln!(text, "assuming {assuming}");
    }
    text
}

/// Whether that was all.
fn ending(ways: usize, more: bool, nobody: &str) -> String {
    match (ways, more) {
        (0, false) => format!("{nobody}: no packet of these arrives, on any path"),
        (ways, false) => format!("{}; nothing else arrives, on any path", number(ways, "way")),
        (ways, true) => {
            format!("{}, and there are more: ask about fewer places or services", number(ways, "way"))
        }
    }
}

fn as_json(telling: Telling<'_>, way: &Arriving) -> serde_json::Value {
    let statements: Vec<serde_json::Value> = way
        .statements
        .iter()
        .map(|(words, span)| json!({ "statement": words, "place": telling.place(*span) }))
        .collect();
    json!({
        "statements": statements,
        "unfiltered": way.unfiltered,
        "regions": way.regions.iter().map(super::diff::region_as_json).collect::<Vec<_>>(),
        "more": way.more,
        "translated": way.translated,
        "example": telling.packet(&way.witness),
        "through": way.hops.iter().map(|hop| hop.place.clone()).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::{ending, expectation};

    /// An answer that was cut short says so, and not that nothing else arrives.
    #[test]
    fn an_answer_that_is_not_all_is_not_said_to_be() {
        assert_eq!(ending(2, false, "nobody"), "2 ways; nothing else arrives, on any path");
        assert_eq!(ending(0, false, "nothing"), "nothing: no packet of these arrives, on any path");
        let cut = ending(256, true, "nobody");
        assert!(cut.starts_with("256 ways, and there are more") && !cut.contains("nothing else"), "{cut}");
    }

    #[test]
    fn sentences_are_questions() {
        let said = |sentence| expectation(sentence).unwrap_or_else(|why| format!("! {why}"));
        assert_eq!(said("who can reach db postgres"), "postgres from anywhere to db");
        assert_eq!(said("who can reach lb.dmz tcp 80, ping"), "tcp 80,ping from anywhere to lb.dmz");
        assert_eq!(said("what can guest_net reach"), "any from guest_net to anywhere");
        assert_eq!(said("how can 10.1.3.11 reach db, nas"), "any from 10.1.3.11 to db,nas");
        assert_eq!(said("who can reach as ssh"), "ssh from anywhere to as");
        assert_eq!(said("how can as reach as"), "any from as to as");
        for bad in [
            "who can reach db as ana",
            "what can db as ana reach",
            "what can db reach as",
            "how can a reach b as ana",
        ] {
            assert!(said(bad).contains("`as` is no part of a question"), "{bad}");
        }
        for bad in ["", "who", "db", "who can reach db } deny any", "who can reach \"x\"", "can a reach b"] {
            assert!(expectation(bad).is_err(), "{bad}");
        }
    }
}
